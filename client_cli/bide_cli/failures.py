"""From an error to what a person reads, what a script reads, and the exit code. Imports little."""

from __future__ import annotations

import errno
import os
import sys

from bide.errors import (
    BideError,
    InputError,
    Locked,
    NotAllowed,
    NotFound,
    NotPaired,
    RelayUnreachable,
    VerificationFailed,
)
from bide_cli.language import N_, _, sentence
from bide_cli.terminal.shell import clean, write_talk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

OK = 0
ERROR = 1
USAGE = 2
NOT_PAIRED = 3
NOT_FOUND = 4
UNREACHABLE = 5
VERIFICATION = 6
LOCKED = 7
NOT_ALLOWED = 8
INTERRUPTED = 130

EXIT_CODES: tuple[tuple[type[BideError], int], ...] = (
    (InputError, USAGE),
    (NotPaired, NOT_PAIRED),
    (NotFound, NOT_FOUND),
    (RelayUnreachable, UNREACHABLE),
    (VerificationFailed, VERIFICATION),
    (Locked, LOCKED),
    (NotAllowed, NOT_ALLOWED),
)
"""The first class that fits decides; every other `BideError` is `ERROR`."""

_LACK_HINT = N_("What you wrote before is safe. Close something else, then try again.")
UNEXPECTED = N_("Something went wrong inside Bide.")
UNEXPECTED_HINT = N_("What you wrote before is safe. BIDE_DEBUG=1 shows what a report needs.")


def exit_code(error: BideError) -> int:
    """The exit code of an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), ERROR)


def report(error: BideError, *, as_json: bool) -> int:
    """Tell an error on stderr.

    Returns:
        The exit code.
    """
    tell(error.code, *sentence(error), as_json=as_json)
    if debugging():
        show_traceback()
    return exit_code(error)


def report_unexpected(*, as_json: bool) -> int:
    """Tell of an exception that nobody foresaw, in one sentence: its text could hold what somebody wrote."""
    tell("unexpected", _(UNEXPECTED), _(UNEXPECTED_HINT), as_json=as_json)
    if debugging():
        show_traceback()
    return ERROR


def lack_of(error: Exception) -> BideError | None:
    """What the machine has run out of, if that is what an exception says."""
    if isinstance(error, MemoryError):
        return BideError("There is not enough memory for that just now.", hint=_LACK_HINT)
    number = error.errno if isinstance(error, OSError) else 0
    if number in (errno.EMFILE, errno.ENFILE):
        return BideError("Too many files are open on this system for that just now.", hint=_LACK_HINT)
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return BideError("There is no room left on the disk for that.", hint="What you wrote before is safe. Make room.")
    if number == errno.EROFS:
        return BideError("That can't be written: the disk is read-only.", hint="What you wrote before is safe.")
    if number == errno.EIO:
        return BideError("The disk reports an error.", hint="Keep a copy of this home before anything else.")
    return None


def tell(code: str, message: str, hint: str, *, as_json: bool) -> None:
    """Write an error on stderr, as it is worded already."""
    if sys.stderr is None:
        return
    if as_json:
        import json

        text = json.dumps({"schema": "bide.error/1", "code": code, "message": message, "hint": hint})
    else:
        text = clean(message) + (f"\n{clean(hint)}" if hint else "")
    try:  # noqa: SIM105 contextlib costs more than it saves here
        write_talk(text, plain=as_json or "--plain" in sys.argv)
    except (OSError, ValueError):
        pass  # nobody is left to read it


def debugging() -> bool:
    """Whether a developer asked for tracebacks."""
    return os.environ.get("BIDE_DEBUG", "") not in ("", "0")


def show_traceback() -> None:
    """Show a developer where an exception came from: what goes into a report, so nothing of what it says itself."""
    error = sys.exc_info()[1]
    if error is not None and sys.stderr is not None:
        sys.stderr.writelines(_described(error))


def _described(error: BaseException) -> Iterator[str]:
    import traceback

    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None:
        yield from _described(before)
        yield "\nAnd from there:\n\n"
    for part in getattr(error, "exceptions", ()):
        yield from _described(part)
        yield "\nAs a part of:\n\n"
    yield "Traceback (most recent call last):\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__module__}.{type(error).__qualname__}: {_constant_words(error)}\n"


def _constant_words(error: BaseException) -> str:
    """What an exception says, as far as it says the same to everybody: the rest may be what somebody wrote, or a secret."""
    if isinstance(error, BideError):
        return error.template
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else ""
