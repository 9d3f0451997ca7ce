"""What outlives a process: the real storages, each over a disk that knows what a crash at this very moment would leave.

Every write is a place at which the process may end: inside a transaction, just before its commit, and between the commit and
the moment at which anybody hears of it. In memory what is durable is what was last committed; in SQLite it is the files as
they lie there. Power loss, where the system loses what SQLite did not sync, is another campaign's.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import apsw

from bide.ids import LogId, SpaceId
from bide.log.envelope import Envelope
from bide.storage.base import Storage
from bide.storage.memory import MemoryStorage
from bide.storage.memory_tables import Tables
from bide.storage.sqlite import SqliteStorage
from bide_relay.storage.base import Appended, Batch
from bide_relay.storage.memory import MemoryStorage as RelayMemory
from bide_relay.storage.sqlite import SqliteStorage as RelaySqlite

KEY = bytes(range(32))
Reached = Callable[[str], None]
"""Called at every place where the process may end, with the kind of place. Raises if it ends there."""
INSIDE, BEFORE_COMMIT, AFTER_COMMIT = "inside a transaction", "before a commit", "after a commit"


class Disk(Protocol):
    """Of one process."""

    def open(self, reached: Reached) -> Any:
        """The storage as a new process finds it."""
        ...

    def image(self) -> Any:
        """What is durable at this moment."""
        ...

    def put(self, image: Any) -> None:
        """Let the disk hold this. No process may have it open."""
        ...

    def shut(self) -> None:
        """The process is gone: give back what it held, and change nothing."""
        ...


# A device's


class CrashableMemory(MemoryStorage):
    """The storage in memory; the disk holds what was committed."""

    def __init__(self, disk: MemoryDisk, reached: Reached) -> None:
        super().__init__()
        self._t = disk.durable.copy()
        self._disk = disk
        self._reached = reached
        disk.durable = self._t

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._writing:
            yield
            self._reached(INSIDE)
            return
        before = self._t.copy()
        self._disk.durable = before
        self._writing = True
        try:
            yield
            self._reached(BEFORE_COMMIT)
        except BaseException:
            self._t = before
            raise
        else:
            self._disk.commit(self._t)
        finally:
            self._writing = False
        self._reached(AFTER_COMMIT)

    def append(self, space: SpaceId, envelope: Any) -> bool:
        new = super().append(space, envelope)
        self._reached(INSIDE)
        return new

    def put_entry(self, entry: Any) -> None:
        super().put_entry(entry)
        self._reached(INSIDE)


class MemoryDisk:
    """Of a device, fast."""

    def __init__(self, *, lazy: bool = False) -> None:
        self.durable = Tables()
        self._lazy = lazy
        """Control: what was committed becomes durable with the next commit only."""
        self._late: Tables | None = None

    def commit(self, tables: Tables) -> None:
        if self._lazy:
            self._late, tables = tables.copy(), self._late or self.durable
        self.durable = tables

    def open(self, reached: Reached) -> Storage:
        return CrashableMemory(self, reached)

    def image(self) -> Tables:
        return self.durable.copy()

    def put(self, image: Tables) -> None:
        self.durable, self._late = image.copy(), None

    def shut(self) -> None:
        """Nothing is held."""


class CrashableSqlite(SqliteStorage):
    """The storage in SQLite; every statement that writes is a place to end at."""

    def __init__(self, path: Path, reached: Reached, *, create: bool) -> None:
        super().__init__(path, KEY, create=create)
        self._reached = reached

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._db.in_transaction:
            yield
            return
        with super().transaction():
            yield
            self._reached(BEFORE_COMMIT)
        self._reached(AFTER_COMMIT)

    def _run(self, sql: str, *bindings: Any) -> None:
        super()._run(sql, *bindings)
        self._reached(INSIDE)


class SqliteDisk:
    """Of a device, encrypted, in files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True)
        self._open: CrashableSqlite | None = None

    @property
    def _path(self) -> Path:
        return self._folder / "journal.db"

    def open(self, reached: Reached) -> Storage:
        self._open = CrashableSqlite(self._path, reached, create=not self._path.exists())
        return self._open

    def image(self) -> dict[str, bytes]:
        return _files(self._folder)

    def put(self, image: Mapping[str, bytes]) -> None:
        _write_files(self._folder, image)

    def shut(self) -> None:
        storage, self._open = self._open, None
        if storage is not None:
            with suppress(apsw.Error):
                storage.close()


# The relay's


class CrashableRelayMemory(RelayMemory):
    """The relay's storage in memory."""

    def __init__(self, disk: RelayMemoryDisk, reached: Reached) -> None:
        super().__init__()
        self._disk = disk
        self._reached = reached
        self._spaces = disk.durable
        self._asked, self._forgotten = _noted(disk.noted)
        self._identity = disk.identity or self._identity
        disk.identity = self._identity

    def found(self, space: SpaceId, genesis: Envelope, *, invite: bytes | None) -> bool:
        return bool(self._committed(lambda: super(CrashableRelayMemory, self).found(space, genesis, invite=invite)))

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        made: list[Appended] = self._committed(lambda: super(CrashableRelayMemory, self).append(batches))
        return made

    def forget(self, space: SpaceId, slot: int, *, of: Collection[int], day: int) -> bool:
        return bool(self._committed(lambda: super(CrashableRelayMemory, self).forget(space, slot, of=of, day=day)))

    def _committed(self, write: Callable[[], Any]) -> Any:
        disk = self._disk
        if disk.lazy:
            disk.late, disk.durable = _copied(self._spaces), disk.late or disk.durable
            made = write()
        else:
            disk.durable = _copied(self._spaces)
            made = write()
            self._reached(BEFORE_COMMIT)
            disk.durable = self._spaces
        disk.noted = _noted((self._asked, self._forgotten))
        self._reached(AFTER_COMMIT)
        return made


_Spaces = dict[SpaceId, dict[LogId, list[Envelope]]]
_Noted = tuple[dict[SpaceId, set[int]], dict[SpaceId, int]]
"""Who asked it to forget which space, and what it forgot."""


def _noted(noted: _Noted) -> _Noted:
    return {space: set(slots) for space, slots in noted[0].items()}, dict(noted[1])


def _copied(spaces: _Spaces) -> _Spaces:
    return {space: {log: list(entries) for log, entries in logs.items()} for space, logs in spaces.items()}


class RelayMemoryDisk:
    """Of the relay, fast."""

    def __init__(self, *, lazy: bool = False) -> None:
        self.durable: _Spaces = {}
        self.noted: _Noted = ({}, {})
        self.identity: Any = None
        self.lazy = lazy
        """Control: what was committed becomes durable with the next commit only."""
        self.late: _Spaces | None = None

    def open(self, reached: Reached) -> Any:
        return CrashableRelayMemory(self, reached)

    def image(self) -> Any:
        return _copied(self.durable), self.identity, _noted(self.noted)

    def put(self, image: Any) -> None:
        self.durable, self.identity, self.late, self.noted = _copied(image[0]), image[1], None, _noted(image[2])

    def wipe(self) -> None:
        """A new, empty store."""
        self.durable, self.identity, self.late, self.noted = {}, None, None, ({}, {})

    def renew(self) -> None:
        """What ``bide-relay restore`` does: it is another store from now on."""
        # A new one of its kind gets a new id, which comes from the seed.
        self.identity = self.identity._replace(store_id=RelayMemory().identity().store_id)

    def rot(self, pick: int) -> bool:
        """Flip a bit in an envelope that lies there. False: there is none."""
        places = [(space, log, at) for space, logs in self.durable.items() for log, es in logs.items() for at in range(len(es))]
        if not places:
            return False
        space, log, at = places[pick % len(places)]
        envelope = self.durable[space][log][at]
        spot = pick // 7 % len(envelope.data)
        data = envelope.data[:spot] + bytes([envelope.data[spot] ^ (1 << pick % 8)]) + envelope.data[spot + 1 :]
        self.durable[space][log][at] = envelope._replace(data=data)
        return True

    def shut(self) -> None:
        """Nothing is held."""


class CrashableRelaySqlite(RelaySqlite):
    """The relay's storage in SQLite."""

    def __init__(self, folder: Path, reached: Reached) -> None:
        self._reached: Reached = lambda _: None
        super().__init__(folder)
        self._reached = reached

    @contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        with super()._transaction() as connection:
            yield connection
            self._reached(BEFORE_COMMIT)
        self._reached(AFTER_COMMIT)


class RelaySqliteDisk:
    """Of the relay, in files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: CrashableRelaySqlite | None = None

    def open(self, reached: Reached) -> Any:
        self._open = CrashableRelaySqlite(self._folder, reached)
        return self._open

    def image(self) -> dict[str, bytes]:
        return _files(self._folder)

    def put(self, image: Mapping[str, bytes]) -> None:
        _write_files(self._folder, image)

    def wipe(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def renew(self) -> None:
        storage = RelaySqlite(self._folder)
        storage.renew_store_id()
        storage.close()

    def rot(self, pick: int) -> bool:
        connection = apsw.Connection(str(self._folder / "relay.db"))
        try:
            count = connection.execute("SELECT count(*) FROM envelopes").get
            if not count:
                return False
            row = connection.execute(
                "SELECT rowid, data FROM envelopes ORDER BY space_id, log_id, seq LIMIT 1 OFFSET ?", (pick % count,)
            )
            number, data = next(iter(row))
            row.close()
            spot = pick // 7 % len(data)
            data = data[:spot] + bytes([data[spot] ^ (1 << pick % 8)]) + data[spot + 1 :]
            connection.execute("UPDATE envelopes SET data = ? WHERE rowid = ?", (data, number))
            return True
        finally:
            connection.close()

    def shut(self) -> None:
        storage, self._open = self._open, None
        if storage is not None:
            storage.close()


def _files(folder: Path) -> dict[str, bytes]:
    """All files but the shared memory beside a database, which SQLite makes anew."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.endswith("-shm")}


def _write_files(folder: Path, image: Mapping[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in image.items():
        (folder / name).write_bytes(data)
