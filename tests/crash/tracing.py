"""What a real process does to its files, told by strace: a recording for `crash.disk`, and calls that are made to fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from homes import TIMEOUT_S

from crash.disk import Cut, FolderSynced, Linked, Made, MadeFolder, Moved, Op, Removed, Said, Synced, Written

_REQUIRED = os.environ.get("BIDE_REQUIRE_STRACE") == "1"
CALLS = (
    "openat,open,creat,write,pwrite64,lseek,fsync,fdatasync,ftruncate,"
    "rename,renameat,renameat2,link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat"
)
_LINE = re.compile(r"^(\d+) +(?:(\d+\.\d+) +)?(\w+)\((.*)\) += (-?\d+)")
_UNFINISHED = re.compile(r"^(\d+) +(?:\d+\.\d+ +)?(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+) +((?:\d+\.\d+ +)?)<\.\.\. \w+ resumed>(.*)$")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_OPENED_AT = re.compile(r"^\w+(?:<((?:\\x[0-9a-f]{2})*)>)?, ")
_DESCRIPTOR = re.compile(r"^(\d+)<((?:\\x[0-9a-f]{2})*)>(.*)$")
_NUMBER = re.compile(r", (-?\d+)$")
_STDOUT = 1


def _works() -> bool:
    if shutil.which("strace") is None:
        return False
    done = subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return done.returncode == 0


needs_strace = pytest.mark.skipif(not _REQUIRED and not _works(), reason="needs strace, and to be allowed to trace")
"""BIDE_REQUIRE_STRACE=1 makes a failure of it."""


class Traced(NamedTuple):
    """What a process came to."""

    code: int
    out: str
    err: str
    ops: list[Op]
    lines: list[str]
    """As strace wrote them."""
    times: list[float]
    """When each of `ops` was done, in seconds since 1970; only if it was asked for."""

    @property
    def injected(self) -> int:
        """How many calls were made to fail."""
        return sum(line.endswith("(INJECTED)") for line in self.lines)


def program(name: str, *args: str, switch: str = "none") -> list[str]:
    """The command line of ``bide`` or ``bide-relay``, with a safety taken out if a switch is named."""
    return [sys.executable, str(Path(__file__).with_name("unsafe.py")), switch, name, *args]


def strace(output: Path, *options: str) -> list[str]:
    """The words before a command that is to be traced."""
    return ["strace", "-f", "-y", "-xx", "-s", "4000000", "-o", str(output), *options]


def trace(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    root: Path,
    start: Mapping[str, bytes],
    stdin: str = "",
    inject: str = "",
    timed: bool = False,
) -> Traced:
    """Run a command under strace.

    Args:
        command: what to run.
        env: its environment.
        root: only what is below it is recorded.
        start: the files that are there, by path.
        stdin: what it reads.
        inject: calls to make fail, as strace takes it.
        timed: note when.
    """
    with tempfile.TemporaryDirectory(prefix="bide-trace-") as folder:
        output = Path(folder) / "trace"
        options = ("-e", f"trace={CALLS}", *(("-e", f"inject={inject}") if inject else ()), *(("-ttt",) if timed else ()))
        done = subprocess.run(
            [*strace(output, *options), *command],
            input=stdin,
            env=env,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S * 2,
            check=False,
        )
        text = output.read_text(encoding="ascii")
    parser = Parser(str(root), start)
    return Traced(done.returncode, done.stdout, done.stderr, parser.read(text), text.splitlines(), parser.times)


class _Opened:
    def __init__(self, file: int) -> None:
        self.file, self.at = file, 0


class Parser:
    """From the lines of strace to a recording."""

    def __init__(self, root: str, start: Mapping[str, bytes]) -> None:
        """Begin with the files that are there."""
        self._root = root
        # As `Disk` numbers them.
        self._files = {path: -number for number, path in enumerate(start, start=1)}
        self._sizes = {-number: len(content) for number, content in enumerate(start.values(), start=1)}
        self._next = 1
        self._open: dict[int, _Opened] = {}
        self._ops: list[Op] = []
        self.times: list[float] = []
        """When each step was done, as far as strace told."""

    def read(self, text: str) -> list[Op]:
        """Everything that was done below the root, in order."""
        begun: dict[str, str] = {}
        for line in text.splitlines():
            if unfinished := _UNFINISHED.match(line):
                begun[unfinished[1]] = unfinished[2]
                continue
            if resumed := _RESUMED.match(line):
                line = f"{resumed[1]} {resumed[2]}{begun.pop(resumed[1], '')}{resumed[3]}"
            if (match := _LINE.match(line)) and int(match[5]) >= 0:
                self._call(match[3], match[4], int(match[5]))
                self.times += [float(match[2] or 0)] * (len(self._ops) - len(self.times))
        return self._ops

    def _call(self, name: str, args: str, result: int) -> None:
        if name in ("openat", "open", "creat"):
            self._opening(args, result)
        elif name in ("write", "pwrite64", "lseek", "fsync", "fdatasync", "ftruncate"):
            match = _DESCRIPTOR.match(args)
            if match is not None:
                self._at_descriptor(name, int(match[1]), _decoded(match[2]).decode(), match[3], result)
        else:
            self._naming(name, [self._absolute(path) for path in _TEXT.findall(args)])

    def _absolute(self, escaped: str) -> str:
        return _decoded(escaped).decode()

    def _opening(self, args: str, descriptor: int) -> None:
        text = _TEXT.search(args)
        assert text is not None
        path = self._absolute(text[1])
        self._open.pop(descriptor, None)
        if not path.startswith(self._root) or "O_DIRECTORY" in args:
            return
        if path not in self._files:
            if "O_CREAT" not in args:
                return
            self._files[path] = self._next
            self._sizes[self._next] = 0
            self._ops.append(Made(path, self._next))
            self._next += 1
        opened = self._open[descriptor] = _Opened(self._files[path])
        if "O_TRUNC" in args:
            self._ops.append(Cut(opened.file, 0))
            self._sizes[opened.file] = 0
        if "O_APPEND" in args:
            opened.at = self._sizes[opened.file]

    def _at_descriptor(self, name: str, number: int, path: str, rest: str, result: int) -> None:
        if name == "write" and number == _STDOUT:
            text = _TEXT.search(rest)
            assert text is not None
            self._ops.append(Said(_decoded(text[1]).decode()))
            return
        opened = self._open.get(number)
        if (name in ("fsync", "fdatasync") and path.startswith(self._root) and opened is None) or (
            name in ("fsync", "fdatasync") and path == str(Path(self._root).parent)
        ):
            self._ops.append(FolderSynced(path))
        if opened is None or not path.startswith(self._root):
            return
        if name == "lseek":
            opened.at = result
        elif name in ("fsync", "fdatasync"):
            self._ops.append(Synced(opened.file))
        elif name == "ftruncate":
            size = _NUMBER.search(rest)
            assert size is not None
            self._ops.append(Cut(opened.file, int(size[1])))
            self._sizes[opened.file] = int(size[1])
        else:
            self._writing(name, opened, rest, result)

    def _writing(self, name: str, opened: _Opened, rest: str, result: int) -> None:
        text, place = _TEXT.search(rest), _NUMBER.search(rest)
        assert text is not None
        assert place is not None
        at = int(place[1]) if name == "pwrite64" else opened.at
        self._ops.append(Written(opened.file, at, _decoded(text[1])[:result]))
        self._sizes[opened.file] = max(self._sizes[opened.file], at + result)
        if name == "write":
            opened.at += result

    def _naming(self, name: str, paths: list[str]) -> None:
        if not any(path.startswith(self._root) for path in paths):
            return
        if name.startswith("mkdir"):
            self._ops.append(MadeFolder(paths[0], self._next))
            self._next += 1
        elif name.startswith("rename"):
            self._ops.append(Moved(*paths))
            self._files[paths[1]] = self._files.pop(paths[0], 0)
        elif name.startswith("link"):
            self._ops.append(Linked(*paths))
            self._files[paths[1]] = self._files[paths[0]]
        else:
            self._ops.append(Removed(paths[0]))
            self._files.pop(paths[0], None)


def _decoded(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))
