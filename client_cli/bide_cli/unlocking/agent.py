"""The agent: a small process that holds the key of one home for a bounded time, after `bide unlock`.

It listens on ``agent.sock`` in the home (0600, in a folder that is 0700) and speaks to processes of the same person only. Three
requests, each one byte behind `MAGIC`: ``k`` for the key, ``s`` for the seconds that are left, ``e`` for its end. A client
says nothing else, so whatever listens there in its place is told nothing; and the key that it hands out has to open the
database, which another key doesn't. The agent gets the key through a pipe from the process that unlocked the home: it is
in no argument, no environment and no file.

It ends by itself when its time is over (also while the machine sleeps), with the session that it was started in, when its
socket is gone or another's, and on SIGHUP, SIGINT and SIGTERM.

Reading the timeline passes through here, so what only the agent itself needs is imported there.
"""

from __future__ import annotations

import os
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket as sockets
    import socket
    from pathlib import Path

SOCKET = "agent.sock"
MAGIC = b"BDAG\1"
KEY, LEFT, END = b"k", b"s", b"e"
KEY_BYTES = 32
IDLE_S = 3600
"""How long after the last use an agent goes away that was not told a time."""
FOR_MAX_S = 24 * 3600
_PATH_BYTES_MAX = 100
"""sun_path holds 104 bytes on macOS and 108 on Linux."""
_ANSWER_MAX_S = 0.5
_START_MAX_S = 10
_LOOK_S = 2.0
"""How often to look whether it is still wanted."""
_NUMBER_BYTES = 4
_READY = b"ready"
_LOCAL_PEERCRED = 1
_XUCRED_BYTES = 76


# The client's side


def fetch_key(home: Path) -> bytes | None:
    """The key that an agent holds for `home`; None if there is none that answers."""
    return _request(home, KEY, KEY_BYTES)


def seconds_left(home: Path) -> int | None:
    """How long the agent of `home` will be there if the key isn't used; None: there is none."""
    answer = _request(home, LEFT, _NUMBER_BYTES)
    return None if answer is None else int.from_bytes(answer, "big")


def end_agent(home: Path) -> bool:
    """End the agent of `home`, and take away a socket that nobody listens on any more.

    Returns:
        Whether there was one.
    """
    ended = _request(home, END, 0) is not None
    try:
        if stat.S_ISSOCK(os.lstat(home / SOCKET).st_mode):
            os.unlink(home / SOCKET)  # noqa: PTH108 as cheap as it gets
    except OSError:
        pass  # it is gone
    return ended


def start_agent(home: Path, key: bytes, *, for_s: int = 0) -> bool:
    """Start the agent of `home`, in the place of one that is there.

    Args:
        home: of the key.
        key: that opens its database.
        for_s: for how long, at most `FOR_MAX_S`; 0: until `IDLE_S` after the last use.

    Returns:
        Whether it runs.
    """
    import subprocess

    end_agent(home)
    try:
        process = subprocess.Popen(
            # -P: the home, where it starts, is not searched for modules.
            [sys.executable, "-P", "-m", "bide_cli.unlocking.agent"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            close_fds=True,
            cwd=home,
        )
    except OSError:
        return False
    assert process.stdin is not None
    assert process.stdout is not None
    session = os.getsid(0)
    # Where this process is the session, as when a desktop starts it, it would end at once.
    session = 0 if session == os.getpid() else session
    order = for_s.to_bytes(_NUMBER_BYTES, "big") + session.to_bytes(_NUMBER_BYTES, "big") + key
    try:
        process.stdin.write(order)
        process.stdin.close()
    except OSError:
        return False
    import select

    ready, _, _ = select.select([process.stdout], [], [], _START_MAX_S)
    started = bool(ready) and process.stdout.read(len(_READY)) == _READY
    process.stdout.close()
    if not started:
        process.kill()
        process.wait()
    process.returncode = 0  # it stays; nobody waits for it
    return started


def _request(home: Path, what: bytes, answer_bytes: int) -> bytes | None:
    path = os.fsencode(home / SOCKET)
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.geteuid():
        return None
    # Not `socket`: it would cost more than all of the rest. What it adds isn't needed here.
    import _socket

    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(_ANSWER_MAX_S)
        _connect(connection, home, path)
        if _peer(connection) != os.geteuid():
            return None
        connection.send(MAGIC + what)
        return _answer(connection, answer_bytes)
    except (OSError, ValueError):
        return None
    finally:
        connection.close()


def _connect(connection: sockets.socket, home: Path, path: bytes) -> None:
    if len(path) <= _PATH_BYTES_MAX:
        connection.connect(path)
        return
    # Too long for an address: from inside of the home it is short.
    here = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(home)
        connection.connect(SOCKET)
    finally:
        os.fchdir(here)
        os.close(here)


def _answer(connection: sockets.socket, answer_bytes: int) -> bytes | None:
    deadline = time.monotonic() + _ANSWER_MAX_S
    wanted = len(MAGIC) + answer_bytes
    data = b""
    while len(data) <= wanted and time.monotonic() < deadline:
        more = connection.recv(wanted + 1 - len(data))
        if not more:
            break
        data += more
    return data[len(MAGIC) :] if len(data) == wanted and data.startswith(MAGIC) else None


def _peer(connection: sockets.socket) -> int:
    """The user at the other end; -1 if the system doesn't say."""
    import _socket

    if hasattr(_socket, "SO_PEERCRED"):
        # struct ucred: pid, uid, gid.
        data = connection.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        return int.from_bytes(data[4:8], sys.byteorder) if len(data) == 12 else -1
    # struct xucred of macOS and the BSDs: version, uid, and the groups.
    data = connection.getsockopt(0, _LOCAL_PEERCRED, _XUCRED_BYTES)
    return int.from_bytes(data[4:8], sys.byteorder) if len(data) >= 8 else -1


# The agent's side


class Agent:
    """One agent, in a process of its own whose working directory is the home."""

    def __init__(self, key: bytearray, *, for_s: int, session: int) -> None:
        """Prepare.

        Args:
            key: held, and wiped at the end.
            for_s: see `start_agent`.
            session: the process whose end ends the agent: the shell of the terminal where `bide unlock` was run; 0: none.
        """
        self._key = key
        self._idle = not for_s
        self._session = _Session(session)
        self._born = _now()
        self._last = self._born + (min(for_s, FOR_MAX_S) if for_s else FOR_MAX_S)
        self._until = min(self._last, self._born + IDLE_S) if self._idle else self._last
        self._stopped = False
        self._mark: tuple[int, int] | None = None

    def run(self) -> None:
        """Listen until it is time to go."""
        import secrets
        import signal
        import socket

        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._stop)
        name = f".agent-{secrets.token_hex(4)}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(name)
            try:
                os.chmod(name, 0o600)  # noqa: PTH101 like the rest here: names in the working directory
                status = os.lstat(name)
                self._mark = status.st_dev, status.st_ino
                listener.listen(16)
                listener.settimeout(_LOOK_S)
                os.rename(name, SOCKET)  # noqa: PTH104
            except OSError:
                os.unlink(name)  # noqa: PTH108
                raise
            os.write(1, _READY)
            _let_go_of_streams()
            try:
                while self._wanted():
                    self._serve_one(listener)
            finally:
                if self._in_place():
                    os.unlink(SOCKET)  # noqa: PTH108

    def _serve_one(self, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            return  # nobody came, or a signal did
        with connection:
            try:
                connection.settimeout(_ANSWER_MAX_S)
                if _peer(connection) == os.geteuid():
                    self._answer(connection)
            except OSError:
                pass  # went away, or says nothing

    def _answer(self, connection: sockets.socket) -> None:
        request = connection.recv(len(MAGIC) + 1)
        if not request.startswith(MAGIC) or not self._wanted():
            return
        what = request[len(MAGIC) :]
        if what == KEY:
            if self._idle:
                self._until = min(self._last, _now() + IDLE_S)
            connection.sendall(MAGIC + self._key)
        elif what == LEFT:
            connection.sendall(MAGIC + int(self._until - _now()).to_bytes(_NUMBER_BYTES, "big"))
        elif what == END:
            self._stopped = True
            os.unlink(SOCKET)  # noqa: PTH108 gone before it is said
            connection.sendall(MAGIC)

    def _wanted(self) -> bool:
        return not self._stopped and _now() < self._until and self._in_place() and self._session.lasts()

    def _in_place(self) -> bool:
        """Whether the socket is there and this agent's: not, once the home was removed or another agent took over."""
        try:
            status = os.lstat(SOCKET)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._mark

    def _stop(self, *_: object) -> None:
        self._stopped = True


def _now() -> float:
    """Seconds on a clock that goes on while the machine sleeps, where there is one, and that nobody sets."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class _Session:
    """The process at the head of a session, to see whether it is still there."""

    def __init__(self, process: int) -> None:
        self._process = process
        self._descriptor = -1
        if process and hasattr(os, "pidfd_open"):
            try:
                # Unlike the number, this is never another process later.
                self._descriptor = os.pidfd_open(process)
            except ProcessLookupError:
                self._process = 0  # it had ended before: what has none can't outlive it
            except OSError:
                pass  # an old system: the number has to do

    def lasts(self) -> bool:
        if not self._process:
            return True
        if self._descriptor >= 0:
            import select

            return not select.select([self._descriptor], [], [], 0)[0]
        try:
            os.kill(self._process, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass  # another person's, such as a login process
        return True


def _let_go_of_streams() -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def _guard_memory(key: bytearray) -> None:
    """Keep the key out of core dumps, debuggers of other processes and the swap, as far as the system lets us."""
    import contextlib
    import resource

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(Exception):
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "linux":
            libc.prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
        libc.mlock(ctypes.c_void_p(ctypes.addressof((ctypes.c_char * len(key)).from_buffer(key))), ctypes.c_size_t(len(key)))


def main() -> int:
    """Be the agent: reads its order from stdin, says that it is ready on stdout, and stays."""
    os.umask(0o077)
    order = bytearray(2 * _NUMBER_BYTES + KEY_BYTES)
    if os.readv(0, [order]) != len(order):
        return 1
    for_s, session = (int.from_bytes(order[at : at + _NUMBER_BYTES], "big") for at in (0, _NUMBER_BYTES))
    _guard_memory(order)
    key = order[2 * _NUMBER_BYTES :]
    _guard_memory(key)
    try:
        Agent(key, for_s=for_s, session=session).run()
    except OSError:
        return 1
    finally:
        for held in (order, key):
            held[:] = bytes(len(held))
    return 0


if __name__ == "__main__":
    sys.exit(main())
