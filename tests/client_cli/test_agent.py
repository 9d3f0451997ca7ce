"""`bide unlock` and `bide lock`: an agent that holds the key for a bounded time, and nothing that takes its place."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from client_cli.conftest import BIDE, Person, opened_quickly, wait_for

from bide_cli.home.folder import read_config
from bide_cli.unlocking.agent import MAGIC, SOCKET, end_agent, fetch_key, seconds_left
from bide_cli.unlocking.keys import unlocks_unasked

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc and SO_PEERCRED are Linux's")
PASSPHRASE = "seven slow herons"


@pytest.fixture(scope="module")
def locked_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a passphrase, to be copied."""
    folder = tmp_path_factory.mktemp("locked")
    (folder / "passphrase").write_text(PASSPHRASE + "\n")
    (folder / "passphrase").chmod(0o600)
    sam = Person(folder / "home", BIDE_PASSPHRASE_FILE=str(folder / "passphrase"))
    sam.ok("init", "--name", "Sam", "--passphrase", "--no-input")
    sam.ok("thank", "--private", "--noticed", "The kettle was on")
    opened_quickly(sam.home, PASSPHRASE)
    return folder


@pytest.fixture
def sam(locked_template: Path, tmp_path: Path) -> Iterator[Person]:
    """Sam, whose home asks for a passphrase."""
    shutil.copytree(locked_template / "home", tmp_path / "sam")
    person = Person(tmp_path / "sam")
    yield person
    end_agent(person.home)


@pytest.fixture
def passphrase(locked_template: Path) -> dict[str, str]:
    """An environment that names the passphrase."""
    return {"BIDE_PASSPHRASE_FILE": str(locked_template / "passphrase")}


def unlock(person: Person, passphrase: dict[str, str], *args: str) -> int:
    """Unlock a home; gives the process of the agent."""
    result = person.run("unlock", *args, env=passphrase)
    assert result.code == 0, result
    return pid_of(person.home)


def pid_of(home: Path) -> int:
    """The process that listens in a home; 0 where the system doesn't say."""
    if not hasattr(socket, "SO_PEERCRED"):
        return 0
    with connected(home) as connection:
        return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])


@contextlib.contextmanager
def connected(home: Path) -> Iterator[socket.socket]:
    """A connection to whatever listens in a home."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(10)
        connection.connect(str(home / SOCKET))
        yield connection


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def is_locked(person: Person) -> bool:
    """Whether the home has to be unlocked first."""
    return person.run("timeline", "--no-input").code == 7


def test_an_unlocked_home_opens_without_the_passphrase_until_it_is_locked(sam: Person, passphrase: dict[str, str]) -> None:
    """What `bide unlock` opens stays open for commands of its home, and `bide lock` ends it at once."""
    assert is_locked(sam)
    unlocked = sam.run("unlock", "--for", "8h", "--json", env=passphrase)
    assert unlocked.json == {"schema": "bide.unlock/1", "unlocked": True, "seconds": 8 * 3600, "until_idle": False}
    assert "The kettle was on" in sam.ok("timeline", "--no-input").out
    sam.ok("thank", "--private", "--noticed", "And the window", "--no-input")
    assert unlocks_unasked(read_config(sam.home), sam.home)
    pid = pid_of(sam.home)

    assert sam.json("lock") == {"schema": "bide.lock/1", "locked": True, "was_unlocked": True}

    assert not (sam.home / SOCKET).exists()
    assert is_locked(sam)
    wait_for(lambda: gone(pid))
    assert not unlocks_unasked(read_config(sam.home), sam.home)
    assert sam.json("lock")["was_unlocked"] is False


def test_reading_with_the_agent_derives_nothing(sam: Person, passphrase: dict[str, str]) -> None:
    """The timeline of an unlocked home imports neither what derives keys from passphrases nor anything heavy for the socket."""
    unlock(sam, passphrase)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bide_cli.main", "timeline"],
        capture_output=True,
        env=sam.env,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "_socket" in imported
    assert not imported & {"nacl", "keyring", "socket", "subprocess", "ctypes", "bide.crypto.wrapping", "click"}


def test_the_agent_is_for_this_person_alone(sam: Person, passphrase: dict[str, str]) -> None:
    """The socket is for its owner, in a folder for its owner."""
    unlock(sam, passphrase)
    status = (sam.home / SOCKET).lstat()
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert stat.S_IMODE(sam.home.stat().st_mode) == 0o700


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_somebody_else_who_gets_at_the_socket_is_told_nothing(sam: Person, passphrase: dict[str, str]) -> None:
    """Should the modes be wrong, the agent still looks who asks."""
    unlock(sam, passphrase)
    (sam.home / SOCKET).chmod(0o777)
    for folder in (sam.home, *sam.home.parents):
        if folder != Path("/") and not folder.stat().st_mode & stat.S_IXOTH:
            folder.chmod(0o711)
    reads, writes = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgid(65534)
            os.setuid(65534)
            with connected(sam.home) as connection:
                os.write(writes, b"got:")
                connection.sendall(MAGIC + b"k")
                os.write(writes, connection.recv(100))
        finally:
            os._exit(0)
    os.close(writes)
    os.waitpid(child, 0)
    with open(reads, "rb") as pipe:
        assert pipe.read() == b"got:"
    assert fetch_key(sam.home) is not None


@LINUX
def test_the_key_is_in_no_argument_and_no_environment(sam: Person, passphrase: dict[str, str]) -> None:
    """What other programs can see of the agent doesn't hold the key or the passphrase, and a crash leaves no image of it."""
    pid = unlock(sam, passphrase)
    key = fetch_key(sam.home)
    assert key is not None
    seen = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
    assert b"bide_cli.unlocking.agent" in seen
    for secret in (key, key.hex().encode(), PASSPHRASE.encode()):
        assert secret not in seen
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert next(line for line in limits.splitlines() if line.startswith("Max core file size")).split()[4:6] == ["0", "0"]


@LINUX
def test_it_goes_when_its_time_is_over(sam: Person, passphrase: dict[str, str]) -> None:
    """After the time that was asked for the agent is gone with its socket."""
    pid = unlock(sam, passphrase, "--for", "1s")
    wait_for(lambda: gone(pid))
    assert not (sam.home / SOCKET).exists()
    assert is_locked(sam)


@LINUX
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it(sam: Person, passphrase: dict[str, str], number: signal.Signals) -> None:
    """The signals of a session that ends end the agent, and it takes its socket along."""
    pid = unlock(sam, passphrase)
    os.kill(pid, number)
    wait_for(lambda: gone(pid))
    assert not (sam.home / SOCKET).exists()


@LINUX
def test_it_goes_with_the_session_that_it_was_started_in(sam: Person, passphrase: dict[str, str]) -> None:
    """Once the shell of the terminal is gone, so is the agent."""
    shell = subprocess.Popen(
        ["/bin/sh", "-c", f"{BIDE} unlock && echo open && read line"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**sam.env, **passphrase},
        start_new_session=True,
        text=True,
    )
    assert shell.stdout is not None
    assert shell.stdout.readline() == "open\n"
    pid = pid_of(sam.home)
    assert fetch_key(sam.home) is not None
    shell.kill()
    shell.communicate()
    wait_for(lambda: gone(pid))
    assert is_locked(sam)


@LINUX
def test_it_goes_when_its_home_is_removed(sam: Person, passphrase: dict[str, str]) -> None:
    """Who removes a home doesn't have to think of the agent."""
    pid = unlock(sam, passphrase)
    shutil.rmtree(sam.home)
    wait_for(lambda: gone(pid))


@LINUX
def test_a_socket_that_a_crash_left_is_in_nobodys_way(sam: Person, passphrase: dict[str, str]) -> None:
    """Where nobody listens any more, the passphrase is asked, and unlocking works again."""
    pid = unlock(sam, passphrase)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: gone(pid))
    assert (sam.home / SOCKET).exists()
    assert is_locked(sam)
    assert sam.run("timeline", env=passphrase).code == 0
    unlock(sam, passphrase)
    assert not is_locked(sam)


@LINUX
def test_unlocking_again_replaces_the_agent(sam: Person, passphrase: dict[str, str]) -> None:
    """A home has one agent, with the time that was asked for last."""
    first = unlock(sam, passphrase)
    second = unlock(sam, passphrase, "--for", "5m")
    assert first != second
    wait_for(lambda: gone(first))
    assert 290 <= (seconds_left(sam.home) or 0) <= 300


def test_two_homes_have_two_agents(sam: Person, passphrase: dict[str, str], tmp_path: Path) -> None:
    """Unlocking one home unlocks no other, and a copied home is not open."""
    robin = Person(tmp_path / "robin", **passphrase)
    robin.ok("init", "--name", "Robin", "--passphrase", "--no-input")
    robin.env.pop("BIDE_PASSPHRASE_FILE")
    unlock(sam, passphrase)
    assert is_locked(robin)
    unlock(robin, passphrase)
    assert fetch_key(sam.home) != fetch_key(robin.home)
    sam.ok("lock")
    assert is_locked(sam)
    assert not is_locked(robin)
    robin.ok("lock")


def test_a_home_with_a_long_path_can_be_unlocked(sam: Person, passphrase: dict[str, str], tmp_path: Path) -> None:
    """A path longer than a socket's address makes no difference."""
    deep = tmp_path / ("d" * 70) / ("e" * 70)
    deep.mkdir(parents=True)
    shutil.move(sam.home, deep / "home")
    person = Person(deep / "home")
    assert person.run("unlock", env=passphrase).code == 0
    assert not is_locked(person)
    assert person.json("lock")["was_unlocked"] is True


class Impostor:
    """Something that listens where the agent should be."""

    def __init__(self, home: Path, answer: bytes | None) -> None:
        self.heard = b""
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(home / SOCKET))
        self._listener.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        kept = []
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            kept.append(connection)
            with contextlib.suppress(OSError):
                self.heard += connection.recv(1000)
                if self._answer is None:
                    continue  # says nothing and keeps the line open
                connection.sendall(self._answer)
                connection.close()

    def stop(self) -> None:
        """Listen no longer."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.mark.parametrize(
    "answer",
    [b"", None, MAGIC, MAGIC + bytes(32), MAGIC + bytes(range(32)), b"x" * 37, b"A" * 3_000_000],
    ids=["hangs up", "silent", "short", "zeros", "another key", "no magic", "flood"],
)
def test_what_listens_in_the_agents_place_gets_and_opens_nothing(
    sam: Person, passphrase: dict[str, str], answer: bytes | None
) -> None:
    """An impostor hears the request and no more; with its key nothing opens, and the passphrase does as if it weren't there."""
    before = (sam.home / "bide.db").read_bytes()
    impostor = Impostor(sam.home, answer)
    try:
        refused = sam.run("timeline", "--no-input")
        assert refused.code == 7
        assert "passphrase" in refused.err
        assert (sam.home / "bide.db").read_bytes() == before
        begun = time.monotonic()
        shown = sam.run("timeline", "--no-input", env=passphrase)
        assert "The kettle was on" in shown.out
        assert time.monotonic() - begun < 15
        assert set(impostor.heard.split(MAGIC)) <= {b"", b"k"}
    finally:
        impostor.stop()


def test_unlocking_where_something_else_listens_takes_its_place(sam: Person, passphrase: dict[str, str]) -> None:
    """The key goes to the agent that this command started, never to what listened before."""
    impostor = Impostor(sam.home, MAGIC)
    unlock(sam, passphrase)
    assert not is_locked(sam)
    impostor.stop()
    key = fetch_key(sam.home)
    assert key is not None
    assert key not in impostor.heard
    assert set(impostor.heard.split(MAGIC)) <= {b"", b"k", b"e", b"s"}


@pytest.mark.parametrize("sent", [b"", b"k", MAGIC, MAGIC + b"x", b"B" * 5_000], ids=str)
def test_the_agent_answers_only_what_it_knows(sam: Person, passphrase: dict[str, str], sent: bytes) -> None:
    """Anything but a request gets no answer, and the agent goes on."""
    unlock(sam, passphrase)
    with connected(sam.home) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            assert connection.recv(100) == b""
    assert fetch_key(sam.home) is not None


@pytest.mark.parametrize("text", ["", "8", "h", "-1h", "25h", "0m", "1.5h", "8h30m", "9999999h"])
def test_a_time_that_is_none_is_refused(sam: Person, text: str) -> None:
    """Only a length of time up to a day can be asked for."""
    result = sam.run("unlock", f"--for={text}", "--no-input")
    assert result.code == 2
    assert "For example" in result.err


def test_a_wrong_passphrase_starts_no_agent(sam: Person, tmp_path: Path) -> None:
    """Nothing is held that doesn't open the home."""
    (tmp_path / "wrong").write_text("eight slow herons")
    (tmp_path / "wrong").chmod(0o600)
    result = sam.run("unlock", env={"BIDE_PASSPHRASE_FILE": str(tmp_path / "wrong")})
    assert result.code == 7
    assert result.err.strip() == "That passphrase doesn't open this home."
    assert not (sam.home / SOCKET).exists()


def test_a_home_with_a_key_file_has_nothing_to_unlock(template: Path) -> None:
    """Its key file opens it anyway."""
    result = Person(template).run("unlock", "--no-input")
    assert result.code == 2
    assert "key file" in result.err
