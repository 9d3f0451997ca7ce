"""A VFS of SQLite that records what reaches the disk, below encryption and everything else, and can fail at the Nth place."""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from crash.disk import Cut, FolderSynced, Made, Op, Removed, Said, Synced, Written, read_image

_NAME = "bide-recording"
_BASE = "unix"
_JOURNALS = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
"""Files whose first sync by whoever may have made them SQLite follows by one of their folder."""


class Failure(Exception):
    """What `Recording.fail_at` was given came to pass."""


class _Streamed(list[Op]):
    """Steps that are in a file too, each with the time when it was done."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("ab", buffering=0)

    def append(self, op: Op) -> None:
        super().append(op)
        self._file.write(pickle.dumps((time.time(), op)))


def read_steps(path: Path) -> list[tuple[float, Op]]:
    """What a recording in another process wrote: each step, and when it was done in seconds since 1970."""
    steps = []
    with path.open("rb") as file:
        while file.peek(1):
            steps.append(pickle.load(file))
    return steps


class Recording:
    """What is done to databases below one folder while it is the default VFS."""

    def __init__(self, folder: Path, *, lies: bool = False, into: Path | None = None) -> None:
        """Begin.

        Args:
            folder: only what is in it is recorded.
            lies: the disk says that it has synced, and has not: a control.
            into: write each step there as well, at once, for `read_steps` in another process.
        """
        self.folder = str(folder)
        self.ops: list[Op] = [] if into is None else _Streamed(into)
        self.lies = lies
        self.failing: dict[str, tuple[int, type[apsw.Error], bool]] = {}
        """By kind (``sync``, ``write``): at the how many-eth from now, with what, and whether all after it fail too."""
        self.seen = {"sync": 0, "write": 0}
        self.failed = 0
        """How often it has failed."""
        self.after_failure: list[str] = []
        """What was still done to the disk after a failed sync: ``sync`` would be a second try."""
        # As `Disk` numbers the files that are there already.
        self._numbers = {path: -number for number, path in enumerate(read_image(folder), start=1)}
        self._next = 1
        self._lock = threading.Lock()

    def say(self, what: object) -> None:
        """Note that somebody was told of something."""
        with self._lock:
            self.ops.append(Said(what))

    def fail_at(self, kind: str, number: int, error: type[apsw.Error], *, for_good: bool = False) -> None:
        """Let the Nth (from 1) write or sync from now on fail, or all from there on."""
        self.seen[kind] = 0
        self.failing[kind] = (number, error, for_good)

    def mend(self) -> None:
        """Nothing fails any more."""
        self.failing.clear()
        self.after_failure.clear()

    def watches(self, path: str) -> bool:
        """Whether a file is recorded."""
        return path.startswith(self.folder)

    def opened(self, path: str, *, fresh: bool) -> int:
        """The number of the file at a path."""
        with self._lock:
            if fresh or path not in self._numbers:
                self._numbers[path] = self._next
                self._next += 1
                self.ops.append(Made(path, self._numbers[path]))
            return self._numbers[path]

    def removed(self, path: str, *, synced: bool) -> None:
        """A name is gone."""
        with self._lock:
            if self._numbers.pop(path, None) is not None:
                self.ops.append(Removed(path))
            if synced and not self.lies:
                self.ops.append(FolderSynced(str(Path(path).parent)))

    def note(self, op: Op) -> None:
        """Add a step."""
        with self._lock:
            self.ops.append(op)

    def meet(self, kind: str) -> None:
        """Fail if it is time to.

        Raises:
            apsw.Error: as was asked for.
        """
        with self._lock:
            if self.failed:
                self.after_failure.append(kind)
            self.seen[kind] += 1
            if kind not in self.failing:
                return
            number, error, for_good = self.failing[kind]
            if self.seen[kind] == number or (for_good and self.seen[kind] > number):
                self.failed += 1
                raise error("injected")

    @contextmanager
    def running(self) -> Iterator[Recording]:
        """Be under every database that is opened meanwhile by the name of a file."""
        vfs = _Vfs(self)
        default = apsw.vfs_names()[0]
        # What is opened under this name once makes the encrypting VFS above it.
        apsw.Connection(":memory:", vfs=f"multipleciphers-{_NAME}").close()
        apsw.set_default_vfs(f"multipleciphers-{_NAME}")
        try:
            yield self
        finally:
            apsw.set_default_vfs(default)
            apsw.unregister_vfs(f"multipleciphers-{_NAME}")
            vfs.unregister()


class _Vfs(apsw.VFS):
    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        super().__init__(_NAME, _BASE)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None or not self._recording.watches(path):
            return apsw.VFSFile(_BASE, name, flags)
        return _File(self._recording, name, path, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        if self._recording.watches(filename):
            self._recording.removed(filename, synced=syncdir)


class _File(apsw.VFSFile):
    def __init__(self, recording: Recording, name: str | apsw.URIFilename | None, path: str, flags: list[int]) -> None:
        fresh = not Path(path).exists()
        super().__init__(_BASE, name, flags)
        self._recording = recording
        self._number = recording.opened(path, fresh=fresh)
        journal = flags[0] & _JOURNALS and flags[0] & apsw.SQLITE_OPEN_CREATE
        self._folder = str(Path(path).parent) if journal else ""

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._recording.meet("write")
        super().xWrite(data, offset)
        self._recording.note(Written(self._number, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._recording.meet("write")
        super().xTruncate(newsize)
        self._recording.note(Cut(self._number, newsize))

    def xLock(self, level: int) -> None:  # noqa: N802
        try:
            super().xLock(level)
        except apsw.IOError:
            # A file opened for reading can't be locked for writing. SQLite tries it when it closes one, and is content.
            raise apsw.BusyError from None

    def xSync(self, flags: int) -> None:  # noqa: N802
        # Nothing is really synced: this disk is in memory, and what is certain of it is in the recording.
        self._recording.meet("sync")
        if self._recording.lies:
            return
        self._recording.note(Synced(self._number))
        if self._folder:
            self._recording.note(FolderSynced(self._folder))
            self._folder = ""
