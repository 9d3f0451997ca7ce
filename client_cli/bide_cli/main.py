"""Where ``bide`` begins.

Reading is what people do most, so the well-formed reading commands take a short way that imports neither click nor what
writing needs (`bide_cli.quick`). Everything else, mistakes included, goes to `bide_cli.cli`. However it ends: a sentence
and an exit code, never a traceback.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from typing import NoReturn

from bide.errors import BideError, InputError
from bide_cli import failures, language

GC_THRESHOLD = 100_000
"""A command makes many objects that live to its end, so looking for rubbish among them at every 700th is wasted."""


def entry() -> NoReturn:
    """Run ``bide`` and end the process.

    Ends it at once, after everything is flushed and the database is closed: taking the interpreter apart piece by piece would
    take longer than writing an entry does.
    """
    gc.set_threshold(GC_THRESHOLD)
    if not failures.debugging():
        # What fails while it is taken apart, for lack of a descriptor for example, has been told in a sentence already.
        sys.unraisablehook = lambda _: None
    code = main()
    apsw = sys.modules.get("apsw")
    for connection in apsw.connections() if apsw is not None else ():
        connection.close()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def main() -> int:
    """Run ``bide`` with the arguments of this process.

    Returns:
        The exit code.
    """
    os.umask(0o077)  # whatever is written, a temporary file included, is for this person only
    _leave_no_core_dump()
    args = sys.argv[1:]
    as_json = "--json" in args
    try:
        code = _run(args)
        sys.stdout.flush()
        return code
    except BideError as error:
        return failures.report(error, as_json=as_json)
    except KeyboardInterrupt:
        if not as_json and sys.stderr is not None and sys.stderr.isatty():
            sys.stderr.write("\n")
        return failures.INTERRUPTED
    except BrokenPipeError:
        _forget_stdout()
        return failures.OK
    except Exception as error:
        lack = failures.lack_of(error)
        return failures.report(lack, as_json=as_json) if lack else failures.report_unexpected(as_json=as_json)


def _leave_no_core_dump() -> None:
    """Whatever crashes, an editor that is started from here included, leaves no image of its memory on disk."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, OSError, ValueError):
        pass  # as far as the system lets us


def _run(args: list[str]) -> int:
    language.settle(_named_home(args))
    for arg in args:
        if not arg.isascii() and any("\udc80" <= character <= "\udcff" for character in arg):
            raise InputError("An argument is not valid UTF-8 text.", hint="Nothing was written.")
    if "_BIDE_COMPLETE" not in os.environ:
        from bide_cli import quick

        code = quick.run(args)
        if code is not None:
            return code
    from bide_cli import cli

    return cli.run(args)


def _named_home(args: list[str]) -> str:
    """What ``--home`` names, found without understanding the rest: the config there may say how to speak, help included."""
    for place, arg in enumerate(args):
        if arg.startswith("--home="):
            return arg.partition("=")[2]
        if arg == "--home":
            return args[place + 1] if place + 1 < len(args) else ""
        if arg == "--":
            break
    return ""


def _forget_stdout() -> None:
    """Keep the interpreter from complaining at exit that nobody reads stdout any more."""
    try:  # noqa: SIM105 contextlib costs more than it saves here
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass


if __name__ == "__main__":
    entry()
