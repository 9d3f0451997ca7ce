"""The process that forks; see `crash.forking`. Run as a program, with a switch of `crash.unsafe` or an empty one."""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import resource
import select
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # for `crash`, where this is the program

_POLL_S = 0.002


def _serve(switch: str) -> None:
    from crash import unsafe

    _import_all()
    unsafe.take_out(switch)
    # Nothing that was imported is looked at when rubbish is collected, so forks don't copy it.
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        answer = _start(request) if request["do"] == "start" else _await(request["pid"], request["timeout_s"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _import_all() -> None:
    import bide
    import bide_cli
    import bide_relay

    left_out = ("testing", "testing_replicas")
    for package in (bide, bide_cli, bide_relay):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if module.name.rpartition(".")[2] not in left_out:
                importlib.import_module(module.name)


def _start(request: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        for number, (path, flags) in enumerate(zip(request["files"], (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY), strict=True)):
            os.dup2(os.open(path, flags), number)
        os.closerange(3, 256)
        sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate("rww"))
        for name, value in request["limits"].items():
            number = getattr(resource, f"RLIMIT_{name}")
            resource.setrlimit(number, (value + (_memory_used() if name == "AS" else 0), resource.getrlimit(number)[1]))
        os.environ.clear()
        os.environ.update(request["env"])
        time.tzset()
        os.chdir(request["folder"])
        from crash import unsafe

        unsafe.run(request["program"], request["args"])
    except SystemExit as error:
        sys.stdout.flush()
        os._exit(error.code if isinstance(error.code, int) else 0)
    finally:
        os._exit(99)


def _memory_used() -> int:
    """Address space that this process has, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _await(pid: int, timeout_s: float) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return _look_again_and_again(pid, timeout_s)
    descriptor = os.pidfd_open(pid)
    try:
        ready, _, _ = select.select([descriptor], [], [], timeout_s)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) if ready else None
    finally:
        os.close(descriptor)


def _look_again_and_again(pid: int, timeout_s: float) -> int | None:
    """Where there is no descriptor for a process, as on macOS."""
    until = time.monotonic() + timeout_s
    while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
        if time.monotonic() >= until:
            return None
        time.sleep(_POLL_S)
    return os.waitstatus_to_exitcode(ended[1])


if __name__ == "__main__":
    _serve(sys.argv[1])
