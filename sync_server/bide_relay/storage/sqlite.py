"""The storage contract on SQLite: one file, one writer, readers on connections of their own.

Durability: WAL with synchronous=FULL, so a commit returns after the sync of the log. Checkpoints, which sync too, are left
to a thread of their own. After an I/O error nobody knows what reached the disk: `StorageFailed` says so, and the relay ends
rather than try again (a second sync may report success for pages that were dropped).

The file is not encrypted: what it holds was sealed by the clients, and the relay's own seed is worth no more than the file.
"""

from __future__ import annotations

import logging
import os
import queue
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from bide.errors import StorageBusy, StorageError
from bide.ids import LogId, SpaceId
from bide.log.chain import Head
from bide.log.envelope import HEADER_BYTES, SIGNED_BYTES, ZERO_HASH, Envelope, entry_hash
from bide_relay.errors import DiskLow, InviteSpent, SpaceUnknown
from bide_relay.logs import NAME
from bide_relay.storage import bodies, sqlite_forgetting
from bide_relay.storage.base import (
    Appended,
    Batch,
    Conflict,
    Entry,
    Footprint,
    Identity,
    Span,
    StorageDamaged,
    StorageFailed,
    Usage,
)
from bide_relay.storage.sqlite_checkpoints import Checkpoints
from bide_relay.storage.sqlite_copying import copy_to, sync_path
from bide_relay.storage.sqlite_layout import refuse_strange, schemas

log = logging.getLogger(NAME)

FILE_NAME = "relay.db"
BUSY_TIMEOUT_MS = 5_000
_DAY_MS = 86_400_000
READERS_MAX = 4
_ROOM_TO_OPEN_BYTES = 64 * 1024
"""SQLite makes a -shm file of half of that."""

_HEAD = "SELECT seq, hash, bytes FROM logs WHERE space_id = ? AND log_id = ?"
_GIVE_BACK = "UPDATE invites SET spaces_left = spaces_left + 1 WHERE digest = (SELECT invite FROM spaces WHERE space_id = ?)"
_KNOWS = "SELECT 1 FROM spaces WHERE space_id = ?"
_BEGIN = "INSERT INTO spaces (space_id, invite, made_ms, used_day) VALUES (?, ?, ?, ?)"
_HEADER = f"SELECT substr(data, 1, {HEADER_BYTES}) FROM envelopes WHERE space_id = ? AND log_id = ? AND seq = ?"  # noqa: S608
_INSERT = "INSERT INTO envelopes (space_id, log_id, seq, class, data) VALUES (?, ?, ?, ?, ?)"
_ADVANCE = (
    "INSERT INTO logs (space_id, log_id, seq, hash, bytes) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET seq = excluded.seq, hash = excluded.hash, bytes = excluded.bytes"
)
_READ = "SELECT seq, data FROM envelopes WHERE space_id = ? AND log_id = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"


class SqliteStorage:
    """A relay's storage in one SQLite file."""

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        """Open, and make or upgrade what is missing.

        Args:
            folder: the relay's data folder; made with mode 0700 if it isn't there.
            create: whether to make a new database. Admin commands don't.

        Raises:
            NewerFormat: a newer relay wrote it; it was not touched.
            StorageDamaged: it is no database, or fails its check.
            StorageError: it isn't there, or can't be opened.
        """
        self._path = folder / FILE_NAME
        self._serves = create
        try:
            if create:
                make_folder(folder)
                # Made here, with its mode, before SQLite would: the -wal and -shm files inherit it.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            elif not self._path.exists():
                raise StorageError("There is no relay database in that folder.", hint="bide-relay serve makes one.")
            elif self._path.stat().st_size == 0:
                # SQLite would take it for a new one: all would be well with it.
                raise StorageDamaged("The relay's database file is empty.")
            refuse_strange(self._path, busy_timeout_ms=BUSY_TIMEOUT_MS)
            self._writer = self._connect(apsw.SQLITE_OPEN_READWRITE)
            self._upgrade()
            # SQLite syncs the folder too once it has a write-ahead log, and doesn't look whether that failed.
            sync_path(folder)
        except OSError as error:
            raise StorageError(f"The data folder can't be used: {error.strerror}.", hint="") from error
        except (apsw.NotADBError, apsw.CorruptError) as error:
            raise StorageDamaged from error
        except (apsw.BusyError, apsw.LockedError) as error:
            raise StorageBusy("Another process holds the relay's database too long.") from error
        except apsw.Error as error:
            if not (os.access(self._path, os.W_OK) and os.access(folder, os.W_OK)):
                raise StorageError(
                    "The data folder can't be written, and reading the database takes that.", hint="Copy it to where it can be."
                ) from error
            disk = shutil.disk_usage(folder)
            if isinstance(error, apsw.FullError) or (isinstance(error, apsw.IOError) and disk.free < _ROOM_TO_OPEN_BYTES):
                raise StorageError("There is no room left on the disk of the data folder.", hint="Make room.") from error
            raise StorageError(f"The relay's database can't be opened: {error}", hint="") from error
        self._readers: queue.LifoQueue[apsw.Connection] = queue.LifoQueue()
        self._lock = threading.Lock()
        """Held while the writer connection is in use."""
        self._checkpoints = Checkpoints(lambda: self._connect(apsw.SQLITE_OPEN_READWRITE))
        self._writer.set_wal_hook(self._checkpoints.on_commit)

    # Opening

    def _connect(self, flags: int) -> apsw.Connection:
        connection = apsw.Connection(str(self._path), flags=flags)
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.execute("PRAGMA foreign_keys = ON")
        # On macOS only this makes a sync reach the medium; elsewhere it changes nothing.
        connection.execute("PRAGMA fullfsync = ON")
        if flags & apsw.SQLITE_OPEN_READWRITE:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection

    def _upgrade(self) -> None:
        connection = self._writer
        with connection:
            version = int(connection.execute("PRAGMA user_version").get)
            for number, script in schemas():
                if number > version:
                    connection.execute(script)
                    connection.execute(f"PRAGMA user_version = {number}")
            if connection.execute("SELECT 1 FROM relay").get is None:
                values = (os.urandom(32), os.urandom(16), _now_ms())
                connection.execute("INSERT INTO relay (one, signing_seed, store_id, made_ms) VALUES (1, ?, ?, ?)", values)

    def quick_check(self) -> None:
        """Ask SQLite whether the file is whole.

        Raises:
            StorageDamaged: it is not.
        """
        with self._reader() as connection:
            if connection.execute("PRAGMA quick_check(1)").get != "ok":
                raise StorageDamaged

    def damages(self) -> list[str]:
        """What SQLite finds wrong with the file and its indexes, at most a few lines; empty if it is whole."""
        found = [str(row[0]) for row in self._rows("PRAGMA integrity_check(5)")]
        return [] if found == ["ok"] else [line.strip().replace("\n", " ")[:200] for line in found]

    # Writing: one thread at a time

    def found(self, space: SpaceId, genesis: Envelope, *, invite: bytes | None) -> bool:
        """Begin a space with its first envelope."""
        with self._transaction() as connection:
            if connection.execute(_KNOWS, (space,)).get is not None:
                return False
            if invite is not None:
                connection.execute(
                    "UPDATE invites SET spaces_left = spaces_left - 1 WHERE digest = ? AND spaces_left > 0", (invite,)
                )
                if connection.changes() != 1:
                    raise InviteSpent
            now_ms = _now_ms()
            sqlite_forgetting.begin_anew(connection, space)
            connection.execute(_BEGIN, (space, invite, now_ms, now_ms // _DAY_MS))
            self._append(connection, Batch(space, [genesis]))
            return True

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        """Append batches in one transaction."""
        erasing = any(batch.erased for batch in batches)
        if erasing:
            with self._lock:  # so that what is erased is overwritten, and not just left out
                self._writer.execute("PRAGMA secure_delete = ON")
        with self._transaction() as connection:
            appended = [self._append(connection, batch) for batch in batches]
        if erasing:
            self._checkpoints.empty_soon()
        return appended

    @contextmanager
    def _transaction(self) -> Iterator[apsw.Connection]:
        connection = self._writer
        with self._lock:
            try:
                self._begin(connection)
                try:
                    yield connection
                    connection.execute("COMMIT")
                finally:
                    # Some errors roll back by themselves.
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
            except apsw.FullError as error:
                raise DiskLow from error
            except apsw.Error as error:
                raise StorageFailed(f"The relay's database failed while writing: {error}") from error
            self._checkpoints.help_out(connection)

    def _begin(self, connection: apsw.Connection) -> None:
        """Begin to write, once nobody else does. Nothing has been promised yet: a relay waits for that as long as it takes.

        Who holds the file is an admin command with much to do, or our own checkpoint on a disk that takes its time.
        """
        waited = False
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
                break
            except apsw.BusyError as error:
                if not self._serves:
                    raise StorageBusy("Another process holds the relay's database too long.") from error
                if not waited:
                    log.warning("the database is in use elsewhere; what clients bring waits")
                waited = True
        if waited:
            log.info("the database is free again")

    def _append(self, connection: apsw.Connection, batch: Batch) -> Appended:
        space = batch.space
        heads: dict[LogId, tuple[int, bytes, int]] = {}
        rows: list[tuple[bytes, bytes, int, int, bytes]] = []
        touched: set[LogId] = set()
        known = 0
        conflict: Conflict | None = None
        evidence = b""
        for envelope in batch.envelopes:
            log = envelope.log_id
            head = heads.get(log)
            if head is None:
                row = connection.execute(_HEAD, (space, log)).fetchone()
                if row is None and connection.execute(_KNOWS, (space,)).get is None:
                    raise SpaceUnknown
                head = heads[log] = (0, ZERO_HASH, 0) if row is None else (row[0], row[1], row[2])
            seq, digest, size = head
            if envelope.seq == seq + 1 and envelope.prev_hash == digest:
                rows.append((space, log, envelope.seq, int(envelope.klass), envelope.data))
                heads[log] = (envelope.seq, envelope.hash, size + len(envelope.data))
                touched.add(log)
                continue
            if envelope.seq > seq + 1:
                conflict = Conflict.GAP
                break
            evidence = self._stored_header(connection, rows, (space, log, min(envelope.seq, seq)))
            if envelope.seq > seq or entry_hash(evidence[:SIGNED_BYTES]) != envelope.hash:
                conflict = Conflict.FORK
                break
            evidence = b""
            known += 1
        if rows:
            connection.executemany(_INSERT, rows)
            connection.executemany(_ADVANCE, [(space, log, *heads[log]) for log in touched])
        changed = bodies.fill(connection, batch) - bodies.erase(connection, batch) if conflict is None else 0
        return Appended(len(rows), known, conflict, evidence, changed)

    def _stored_header(
        self,
        connection: apsw.Connection,
        rows: list[tuple[bytes, bytes, int, int, bytes]],
        where: tuple[SpaceId, LogId, int],
    ) -> bytes:
        """The header at a place, which may be in this very batch."""
        for row in rows:
            if row[1] == where[1] and row[2] == where[2]:
                return row[4][:HEADER_BYTES]
        header: bytes | None = connection.execute(_HEADER, where).get
        if header is None:
            raise StorageFailed("The relay's database misses an entry that it has counted.")
        return header

    def add_invite(self, invite: bytes, *, spaces: int) -> None:
        """Keep the digest of a new invite token."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO invites (digest, spaces_left, made_ms) VALUES (?, ?, ?)", (invite, spaces, _now_ms())
            )

    def touch(self, spaces: Collection[SpaceId], day: int) -> None:
        """Note that spaces are in use on a day."""
        with self._transaction() as connection:
            query = "UPDATE spaces SET used_day = ? WHERE space_id = ? AND used_day < ?"
            connection.executemany(query, [(day, space, day) for space in spaces])

    def forget(self, space: SpaceId, slot: int, *, of: Collection[int], day: int) -> bool:
        """Note that a person needs a space no more; it is gone when all have said so."""
        with self._transaction() as connection:
            return sqlite_forgetting.forget(connection, space, slot, of=of, day=day)

    def leaving(self, space: SpaceId) -> set[int]:
        """Who has asked to forget a space that is still here."""
        with self._reader() as connection:
            return sqlite_forgetting.leaving(connection, space)

    def stay(self, space: SpaceId, slot: int) -> None:
        """Let a person's wish fall."""
        with self._transaction() as connection:
            sqlite_forgetting.stay(connection, space, slot)

    def sweep(self, *, envelopes_max: int, before_day: int, known_max: int) -> bool:
        """Delete some of what forgotten spaces held, overwriting it; a space may hold gigabytes, and others wait."""
        with self._lock:
            self._writer.execute("PRAGMA secure_delete = ON")
        with self._transaction() as connection:
            if not sqlite_forgetting.sweep(connection, envelopes_max, before_day=before_day, known_max=known_max):
                return False
        # Else copies of the pages would stay in the write-ahead log for as long as little is written.
        self._checkpoints.empty_soon()
        return True

    # What an operator does

    def back_up(self, target: Path) -> None:
        """Write a whole and consistent copy to a new file, durably; others may write meanwhile.

        Raises:
            StorageError: the file is there already, can't be written, or its disk is full; nothing is left of it then.
        """
        with self._reader() as connection:
            copy_to(connection, target)

    def renew_store_id(self) -> None:
        """Tell clients that this is another storage than it was: they compare what they have, and fill in what is missing."""
        with self._transaction() as connection:
            connection.execute("UPDATE relay SET store_id = ?", (os.urandom(16),))

    def footprints(self) -> list[Footprint]:
        """What each space takes, the largest first."""
        query = (
            "SELECT coalesce(sum(seq), 0), coalesce(sum(bytes), 0) AS size, made_ms / ?1, used_day "
            "FROM spaces LEFT JOIN logs USING (space_id) GROUP BY space_id ORDER BY size DESC, made_ms"
        )
        with self._reader() as connection:
            return [Footprint(*row) for row in connection.execute(query, (_DAY_MS,))]

    def purge(self, before_day: int) -> int:
        """Delete for good every space that was last used before a day; returns how many. No relay may run meanwhile."""
        spaces = [SpaceId(row[0]) for row in self._rows("SELECT space_id FROM spaces WHERE used_day < ?", before_day)]
        self._delete(spaces)
        return len(spaces)

    def purge_spaces(self, spaces: Collection[SpaceId]) -> None:
        """Delete spaces that their devices are to bring back: what an invite paid for them it has again."""
        self._delete(spaces, give_back=True)

    def _delete(self, spaces: Collection[SpaceId], *, give_back: bool = False) -> None:
        with self._lock:
            self._writer.execute("PRAGMA secure_delete = ON")
        for space in spaces:
            with self._transaction() as connection:
                if give_back:
                    connection.execute(_GIVE_BACK, (space,))
                for table in ("envelopes", "moved_on", "logs", "spaces"):
                    connection.execute(f"DELETE FROM {table} WHERE space_id = ?", (space,))  # noqa: S608

    # Reading: any thread

    @contextmanager
    def _reader(self) -> Iterator[apsw.Connection]:
        try:
            connection = self._readers.get_nowait()
        except queue.Empty:
            connection = self._connect(apsw.SQLITE_OPEN_READONLY)
        try:
            yield connection
        except (apsw.NotADBError, apsw.CorruptError) as error:
            raise StorageDamaged from error
        except apsw.Error as error:
            raise StorageError(f"The relay's database can't be read: {error}", hint="") from error
        finally:
            if self._readers.qsize() < READERS_MAX:
                self._readers.put(connection)
            else:
                connection.close()

    def _rows(self, query: str, *bindings: bytes | int) -> list[Any]:
        with self._reader() as connection:
            return connection.execute(query, bindings).fetchall()

    def identity(self) -> Identity:
        """The relay's key and store id."""
        return Identity(*self._rows("SELECT signing_seed, store_id FROM relay")[0])

    def heads(self, space: SpaceId) -> Mapping[LogId, Head]:
        """The head of every log."""
        rows = self._rows("SELECT log_id, seq, hash FROM logs WHERE space_id = ?", space)
        return {LogId(log): Head(LogId(log), seq, digest) for log, seq, digest in rows}

    def controls(self, space: SpaceId) -> list[bytes]:
        """Every control envelope of a space."""
        query = "SELECT data FROM envelopes INDEXED BY controls WHERE space_id = ? AND class = 1"
        return [row[0] for row in self._rows(query, space)]

    def header(self, space: SpaceId, log: LogId, seq: int) -> bytes | None:
        """The first 204 bytes of one envelope, or None."""
        with self._reader() as connection:
            header: bytes | None = connection.execute(_HEADER, (space, log, seq)).get
        return header

    def is_bare(self, space: SpaceId, log: LogId, seq: int) -> bool:
        """Whether a data envelope is here without its body."""
        return bool(self._rows(bodies.IS_BARE, space, log, seq))

    def bare(self, space: SpaceId) -> Iterator[tuple[LogId, int]]:
        """Every data envelope that is here without its body."""
        return iter([(LogId(log), seq) for log, seq in self._rows(bodies.BARE, space)])

    def read(self, space: SpaceId, spans: Sequence[Span], *, bytes_max: int, envelopes_max: int) -> list[Entry]:
        """Envelopes from the start of `spans`, within the limits."""
        found: list[Entry] = []
        size = 0
        with self._reader() as connection:
            for log, after, upto in spans:
                limit = envelopes_max - len(found)
                if limit <= 0:
                    break
                cursor = connection.execute(_READ, (space, log, after, upto, limit))
                for seq, data in cursor:
                    size += len(data)
                    if found and size > bytes_max:
                        # An unfinished statement would hold its snapshot, and with it the write-ahead log.
                        cursor.close()
                        return found
                    found.append(Entry(log, seq, data))
        return found

    def was_forgotten(self, space: SpaceId) -> bool:
        """Whether a space was here and was forgotten."""
        return bool(self._rows("SELECT 1 FROM forgotten WHERE space_id = ?", space))

    def usage(self, space: SpaceId) -> Usage:
        """What a space takes."""
        query = "SELECT coalesce(sum(seq), 0), coalesce(sum(bytes), 0) FROM logs WHERE space_id = ?"
        return Usage(*self._rows(query, space)[0])

    def totals(self) -> tuple[int, Usage]:
        """The number of spaces, and what they take together."""
        sums = self._rows("SELECT coalesce(sum(seq), 0), coalesce(sum(bytes), 0) FROM logs")[0]
        return self._rows("SELECT count(*) FROM spaces")[0][0], Usage(*sums)

    def spaces(self) -> Iterator[SpaceId]:
        """Every space."""
        return iter([SpaceId(row[0]) for row in self._rows("SELECT space_id FROM spaces")])

    def free_bytes(self) -> int:
        """Room left on the disk."""
        return shutil.disk_usage(self._path.parent).free

    def close(self) -> None:
        """Checkpoint and let go."""
        self._checkpoints.close()
        while not self._readers.empty():
            self._readers.get().close()
        # Closing the last connection checkpoints and removes the write-ahead log.
        self._writer.close()


def make_folder(path: Path) -> None:
    """Make a folder with mode 0700, with those above it that are missing; they survive a power cut."""
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for folder in made:
        sync_path(folder.parent)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
