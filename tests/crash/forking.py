"""Processes that start in milliseconds: one that has imported everything forks itself for each command.

What is forked is a process like any other: it opens its home, its database and its connections itself, it can be killed, and
nothing of it is shared with another. Only the importing is done before, which would take most of the time of a campaign.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

from homes import TIMEOUT_S, Home

from bide_relay.testing import READY, RelayProcess
from crash.dying import DIES_AT
from crash.unsafe import SWITCH

_POLL_S = 0.001
_STRETCH_S = 0.5


class Forge:
    """The process that forks."""

    def __init__(self, switch: str = "") -> None:
        """Start it.

        Args:
            switch: of `crash.unsafe`, thrown in every process that it starts.
        """
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forger.py")), switch],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
        )

    def ask(self, **request: Any) -> Any:
        """Ask it for something, and wait for the answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with self._lock:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
            return json.loads(stdout.readline())

    def start(
        self,
        program: str,
        *args: str,
        env: Mapping[str, str],
        stdin: str | bytes = "",
        limits: Mapping[str, int] | None = None,
        folder: str = "/",
    ) -> Forked:
        """Start ``bide`` or ``bide-relay``.

        Args:
            program: which.
            args: its arguments.
            env: its environment.
            stdin: what it reads.
            limits: by the names of `resource`, without ``RLIMIT_``; ``AS`` is counted from what it has when it starts.
            folder: the one that it is in.
        """
        return Forked(self, program, args, env, stdin, limits or {}, folder)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(TIMEOUT_S)


class Forked:
    """A process that was forked; answers as `subprocess.Popen` does."""

    def __init__(
        self,
        forge: Forge,
        program: str,
        args: tuple[str, ...],
        env: Mapping[str, str],
        stdin: str | bytes,
        limits: Mapping[str, int],
        folder: str,
    ) -> None:
        self._forge = forge
        self.stdout_file: IO[bytes] = tempfile.NamedTemporaryFile()  # noqa: SIM115 closed by communicate
        self._stderr: IO[bytes] = tempfile.NamedTemporaryFile()  # noqa: SIM115
        self._stdin: IO[bytes] = tempfile.NamedTemporaryFile()  # noqa: SIM115
        self._stdin.write(stdin.encode() if isinstance(stdin, str) else stdin)
        self._stdin.flush()
        paths = [file.name for file in (self._stdin, self.stdout_file, self._stderr)]
        self.returncode: int | None = None
        request = {"program": program, "args": args, "env": dict(env), "files": paths, "limits": dict(limits), "folder": folder}
        self.pid = int(forge.ask(do="start", **request))

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._wait(0.0)

    def wait(self, timeout: float = TIMEOUT_S) -> int:
        """The exit code, once it has ended."""
        until = time.monotonic() + timeout
        # In short stretches: other threads ask the same forge.
        while (code := self._wait(max(0.0, min(_STRETCH_S, until - time.monotonic())))) is None:
            if time.monotonic() >= until:
                raise subprocess.TimeoutExpired("a forked process", timeout)
        return code

    def _wait(self, timeout_s: float) -> int | None:
        if self.returncode is None:
            self.returncode = self._forge.ask(do="wait", pid=self.pid, timeout_s=timeout_s)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def first_line(self) -> str:
        """The first line that it has written so far; empty: none yet."""
        line, end, _ = read_all(self.stdout_file).partition("\n")
        return line if end else ""

    def communicate(self, timeout: float = TIMEOUT_S) -> tuple[str, str]:
        """What it has written, once it has ended."""
        self.wait(timeout)
        out, err = (read_all(file) for file in (self.stdout_file, self._stderr))
        for file in (self._stdin, self.stdout_file, self._stderr):
            file.close()
        return out, err


def read_all(file: IO[bytes]) -> str:
    """Everything in a file, from its beginning."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode()


class QuickHome(Home):
    """A home whose commands are forked."""

    forge: Forge
    limits: Mapping[str, int] = MappingProxyType({})
    dies_at: int | None = None
    """The step at which its processes kill themselves; 0: none, but they wait for nobody either. See `crash.dying`."""

    switch = ""
    """Of `crash.unsafe`, thrown in its processes."""

    @classmethod
    def of(cls, home: Home, forge: Forge) -> QuickHome:
        """The same home, from now on with processes of a forge."""
        quick = cls.__new__(cls)
        quick.folder, quick.name, quick.forge = home.folder, home.name, forge
        return quick

    @classmethod
    def make(cls, folder: Path, name: str, forge: Forge) -> QuickHome:
        """A new home with its key file beside it."""
        quick = cls.__new__(cls)
        quick.folder, quick.name, quick.forge = folder, name, forge
        quick.run("init", "--name", name, "--key-file", str(folder.with_suffix(".key")), "--no-input")
        return quick

    def unsafe(self, switch: str) -> QuickHome:
        """The same home, used by processes with a safety taken out. See `crash.unsafe`."""
        other = QuickHome.of(self, self.forge)
        other.switch = switch
        return other

    def dying(self, step: int) -> QuickHome:
        """The same home, used by processes that die at a step."""
        other = QuickHome.of(self, self.forge)
        other.dies_at, other.switch = step, self.switch
        return other

    def limited(self, **limits: int) -> QuickHome:
        """The same home, used by processes under limits."""
        other = QuickHome.of(self, self.forge)
        other.limits = limits
        return other

    def start(self, *args: str, stdin: str | None = None) -> Any:
        env = self.environment | {SWITCH: self.switch}
        if self.dies_at is not None:
            env[DIES_AT] = str(self.dies_at)
        return self.forge.start("bide", *args, env=env, stdin=stdin or "", limits=self.limits)


class QuickRelay(RelayProcess):
    """A relay that is forked."""

    def __init__(self, forge: Forge, data: Path, *flags: str, **limits: int) -> None:
        super().__init__(data, *flags)
        self._limits = limits
        self._forge = forge
        self._port = 0
        self.switch = ""
        """Of `crash.unsafe`, thrown in its process."""
        self._forked: Forked | None = None

    @property
    def pid(self) -> int:
        assert self._forked is not None
        return self._forked.pid

    def start(self) -> QuickRelay:
        args = ("serve", "--listen", f"127.0.0.1:{self._port}", "--data", str(self.data), *self.flags)
        self._forked = self._forge.start("bide-relay", *args, env=os.environ | {SWITCH: self.switch}, limits=self._limits)
        while not (said := read_all(self._forked.stdout_file)).endswith("\n"):
            if self._forked._wait(_POLL_S) is not None:
                raise AssertionError(f"The relay did not start: {self._forked.communicate()}")
        self.url = said.strip().removeprefix(READY)
        self._port = int(self.url.rpartition(":")[2])
        return self

    def alive(self) -> bool:
        return self._forked is not None and self._forked.poll() is None

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self._forked is not None
        self._forked.send_signal(number)
        code = self._forked.wait()
        self._forked.communicate()
        return code
