"""The command line as a real process: homes, a relay, and two people who have paired."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pexpect
import pytest
from crash.forking import Forge

BIDE = str(Path(sys.executable).with_name("bide"))
RELAY = str(Path(sys.executable).with_name("bide-relay"))
_NOT_KEPT = ("NO_COLOR", "PAGER", "EDITOR", "VISUAL", "PYTHONDONTWRITEBYTECODE")
"""Without bytecode each of the many processes here would compile everything again."""
_OF_THE_INTERPRETER = ("PYTHON", "LC_", "LANG", "PATH", "LD_")


@functools.cache
def forge() -> Forge:
    """What forks a process for each command, and has imported everything: that is most of what a short command takes.

    How a command starts is tried elsewhere: `test_reading_path`, `test_terminal`, and whatever uses `Person.start`.
    """
    return Forge()


def _starts_anew(args: tuple[str | bytes, ...], env: Mapping[str, str]) -> bool:
    """Whether a process of its own is needed: what it is given decides how the interpreter, or Bide, starts."""
    if any(isinstance(arg, bytes) for arg in args) or env.get("BIDE_LANGUAGE") != "en":  # help is put together at import
        return True
    return any(os.environ.get(name) != env.get(name) for name in env if name.startswith(_OF_THE_INTERPRETER))


class Result(NamedTuple):
    """What a run of ``bide`` came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The one object on stderr."""
        return json.loads(self.err)


class Person:
    """One device: a home, and how to use it."""

    def __init__(self, home: Path, **env: str) -> None:
        self.home = home
        kept = {name: value for name, value in os.environ.items() if not name.startswith("BIDE_") and name not in _NOT_KEPT}
        fixed = {"BIDE_HOME": str(home), "BIDE_AUTO_SYNC": "0", "TZ": "Europe/Berlin", "TERM": "xterm", "BIDE_LANGUAGE": "en"}
        self.env = {**kept, **fixed, **env}

    def run(self, *args: str | bytes, stdin: str | bytes = "", env: dict[str, str] | None = None) -> Result:
        whole = {**self.env, **(env or {})}
        if _starts_anew(args, whole):
            data = stdin.encode() if isinstance(stdin, str) else stdin
            done = subprocess.run([BIDE, *args], input=data, capture_output=True, env=whole, timeout=60, check=False)
            return Result(done.returncode, done.stdout.decode(), done.stderr.decode())
        forked = forge().start("bide", *map(str, args), env=whole, stdin=stdin, folder=str(Path.cwd()))
        out, err = forked.communicate(timeout=60)
        assert forked.returncode is not None
        return Result(forked.returncode, out, err)

    def ok(self, *args: str, stdin: str | bytes = "") -> Result:
        result = self.run(*args, stdin=stdin)
        assert result.code == 0, result
        return result

    def json(self, *args: str, stdin: str = "") -> Any:
        return self.ok(*args, "--json", stdin=stdin).json

    def start(self, *args: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [BIDE, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.env, text=True
        )

    def terminal(self, *args: str, **env: str) -> Any:
        return pexpect.spawn(BIDE, list(args), env={**self.env, **env}, encoding="utf-8", timeout=20, dimensions=(50, 90))

    def entries(self, *args: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.json("timeline", *args)["entries"]
        return entries


def end(child: Any) -> int:
    """Wait for the end of a terminal session."""
    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus if child.exitstatus is not None else -child.signalstatus)


def press_ctrl_c(child: Any) -> None:
    """Interrupt a program that waits for somebody to type.

    Its prompt is on the screen a little before it listens, and a signal in between is noticed at the next key only: Python
    looks for signals, finds none, and then goes to sleep on the keyboard. So it has to be asleep first.
    """
    state = Path(f"/proc/{child.pid}/stat")
    until_s = time.monotonic() + 10
    while state.exists() and state.read_text().rpartition(")")[2].split()[0] != "S" and time.monotonic() < until_s:
        time.sleep(0.01)
    child.sendintr()


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of Sam, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    sam = Person(folder / "home")
    sam.ok("init", "--name", "Sam", "--key-file", str(folder / "key"), "--no-input")
    return sam.home


@pytest.fixture
def sam(template: Path, tmp_path: Path) -> Person:
    """Sam, who has a home and nobody to share with."""
    shutil.copytree(template, tmp_path / "sam")
    return Person(tmp_path / "sam")


@pytest.fixture
def nobody(tmp_path: Path) -> Person:
    """A device without a home."""
    return Person(tmp_path / "nobody")


class Relay:
    """A relay process."""

    def __init__(self, data: Path) -> None:
        self.data = self._data = data
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [RELAY, "serve", "--listen", f"127.0.0.1:{self._port}", "--data", str(self._data), "--registration", "open"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        self._port = int(line.rpartition(":")[2])

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(15)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay for the tests of a module."""
    relay = Relay(tmp_path_factory.mktemp("relay"))
    yield relay
    relay.stop()


def make_person(folder: Path, name: str, relay: Relay | None = None) -> Person:
    """A new device with a home."""
    person = Person(folder / name.lower())
    person.ok("init", "--name", name, "--key-file", str(folder / f"{name}.key"), "--no-input")
    if relay is not None:
        person.ok("relay", "set", relay.url)
    return person


def pair(first: Person, second: Person) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pair two people by code; gives both last lines."""
    process = first.start("pair", "--json", "--words-verified")
    assert process.stdout is not None
    code = json.loads(process.stdout.readline())["code"]
    joined = second.json("join", "--code", "-", "--words-verified", stdin=code + "\n")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return json.loads(out), joined


@pytest.fixture(scope="module")
def couple(tmp_path_factory: pytest.TempPathFactory, relay: Relay) -> tuple[Person, Person]:
    """Sam and Robin, paired; shared by the tests of a module."""
    folder = tmp_path_factory.mktemp("couple")
    sam, robin = make_person(folder, "Sam", relay), make_person(folder, "Robin")
    pair(sam, robin)
    return sam, robin


def wait_for(condition: Callable[[], bool], *, seconds: float = 15) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be in time"
        time.sleep(0.05)


@pytest.fixture
def relays(tmp_path: Path) -> Iterator[tuple[Relay, Relay]]:
    """Two relays: one that is left, and one that is moved to."""
    old, new = Relay(tmp_path / "old"), Relay(tmp_path / "new")
    yield old, new
    for relay in (old, new):
        relay.stop()


@pytest.fixture
def two(tmp_path: Path, relays: tuple[Relay, Relay]) -> tuple[Person, Person]:
    """Sam and Robin, paired on the first of two relays, in step."""
    sam, robin = make_person(tmp_path, "Sam", relays[0]), make_person(tmp_path, "Robin")
    pair(sam, robin)
    sam.ok("thank", "--noticed", "You drove my mother.")
    for person in (sam, robin, sam):
        person.ok("sync")
    return sam, robin
