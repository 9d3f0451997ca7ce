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
from crash.forking import Forge, Forked

from bide.crypto.wrapping import MEMORY_BYTES_MIN, unwrap_with_passphrase, wrap_with_passphrase
from bide.ids import SystemRandomness

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


def first_line(process: Forked) -> str:
    """What a process says first."""
    while not (line := process.first_line()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    return line


class Relay:
    """A relay process, forked: how it starts is tried in `sync_server` and `system`."""

    flags: tuple[str, ...] = ("--registration", "open")

    def __init__(self, data: Path, port: int = 0) -> None:
        """Start it, at a port that homes know already or at any."""
        self.data = data
        self._port = port
        self._process: Forked | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    def start(self) -> None:
        args = ("serve", "--listen", f"127.0.0.1:{self._port}", "--data", str(self.data), *self.flags)
        self._process = forge().start("bide-relay", *args, env=os.environ)
        self._port = int(first_line(self._process).rpartition(":")[2])

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.communicate(15)
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
    process = forge().start("bide", "pair", "--json", "--words-verified", env=first.env)
    code = json.loads(first_line(process))["code"]
    joined = second.json("join", "--code", "-", "--words-verified", stdin=code + "\n")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1]), joined


def opened_quickly(home: Path, passphrase: str) -> None:
    """Wrap a home's key once more under the same passphrase, with settings that take no second to derive with.

    What is wrapped says how, so the same code opens it. For homes that are opened again and again; what a new one costs is
    tried where one is made.
    """
    [path] = home.glob("key*.wrapped")
    key = unwrap_with_passphrase(path.read_bytes(), passphrase)
    path.write_bytes(wrap_with_passphrase(key, passphrase, SystemRandomness(), memory_bytes=MEMORY_BYTES_MIN, iterations=1))


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
        time.sleep(0.01)  # short: some wait to kill what has just begun


@pytest.fixture(scope="session")
def in_step(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """Sam and Robin, paired on a relay, in step: their homes and the relay's data, to be copied, and its port."""
    folder = tmp_path_factory.mktemp("in-step")
    relay = Relay(folder / "old")
    sam, robin = make_person(folder, "Sam", relay), make_person(folder, "Robin")
    pair(sam, robin)
    sam.ok("thank", "--noticed", "You drove my mother.")
    for person in (sam, robin, sam):
        person.ok("sync")
    relay.stop()
    return folder, int(relay.url.rpartition(":")[2])


@pytest.fixture
def relays(tmp_path: Path, in_step: tuple[Path, int]) -> Iterator[tuple[Relay, Relay]]:
    """Two relays: one that is left, where Sam and Robin have met, and one that is moved to."""
    folder, port = in_step
    shutil.copytree(folder / "old", tmp_path / "old")
    old, new = Relay(tmp_path / "old", port), Relay(tmp_path / "new")
    yield old, new
    for relay in (old, new):
        relay.stop()


@pytest.fixture
def two(tmp_path: Path, in_step: tuple[Path, int], relays: tuple[Relay, Relay]) -> tuple[Person, Person]:
    """Sam and Robin, paired on the first of two relays, in step."""
    folder, _ = in_step
    for name in ("Sam", "Robin"):
        home = tmp_path / name.lower()
        shutil.copytree(folder / name.lower(), home)
        shutil.copy(folder / f"{name}.key", tmp_path)
        config = home / "config.toml"
        config.write_text(config.read_text().replace(str(folder), str(tmp_path)))
    return Person(tmp_path / "sam"), Person(tmp_path / "robin")
