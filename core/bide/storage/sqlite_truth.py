"""The part of a replica's SQLite file that is the truth: spaces, keys, logs, what is held and what is suspect.

Imports nothing but apsw, so that reading the timeline stays quick.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw

from bide.errors import ForkDetected, Phrase, SequenceGap, StorageBusy, StorageDamaged, StorageError
from bide.ids import EntryId, LogId, SpaceId
from bide.log.head import Head
from bide.storage.base import Citation, Displaced, FormerDevice, HeldRecord, SpaceRecord, StoredEnvelope, Suspect
from bide.storage.opening import NoRoom, lacks_room, open_database

if TYPE_CHECKING:
    from bide.storage.mark import Mark

_UNFIT_SEARCH = (
    "SELECT number FROM entry WHERE search_text <> '' EXCEPT SELECT rowid FROM search"
    " UNION ALL SELECT * FROM (SELECT rowid FROM search EXCEPT SELECT number FROM entry) LIMIT 1"
)
"""What is to be found and isn't in the index, and what is in the index and nowhere else."""


@contextmanager
def readable() -> Iterator[None]:
    """Turn what SQLite raises while reading into our own errors."""
    try:
        yield
    except apsw.BusyError as error:
        raise StorageBusy from error
    except (apsw.CorruptError, apsw.NotADBError, apsw.IOError) as error:
        raise StorageDamaged from error
    except apsw.Error as error:
        raise StorageError("The database on this device can't be read as it is.") from error


_HEADER_BYTES = 204
"""Of an envelope; `bide.log.envelope` has it too, and the cryptography with it."""
_BARE = f"control = 0 AND length(data) = {_HEADER_BYTES} AND substr(data, 105, 4) <> x'00000000'"


class SqliteTruth:
    """The first half of `bide.storage.sqlite.SqliteStorage`. One instance belongs to one thread."""

    def __init__(self, path: Path | None, key: bytes, *, create: bool = False) -> None:
        """Open the file; see `bide.storage.opening.open_database` for arguments and errors."""
        self._db = open_database(path, key, create=create)
        self._path = path

    @cached_property
    def _mark(self) -> Mark:
        """Made when first written: reading needs none."""
        from bide.storage.mark import Mark

        return Mark(self._path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See the contract. BEGIN IMMEDIATE: the write lock is taken before anything is read."""
        if self._db.in_transaction:
            yield
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            while left := self._mark.left():
                self._take_over(left)
        except apsw.BusyError as error:
            raise StorageBusy from error
        except apsw.CorruptError as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise StorageDamaged from error
        except (apsw.ReadOnlyError, apsw.IOError, apsw.FullError) as error:
            full = lacks_room(self._db, error)
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if full:
                raise NoRoom from error
            raise StorageError("The database could not be written; nothing was changed.") from error
        try:
            yield
            self._mark.clear()
            self._db.execute("COMMIT")
        except BaseException as error:
            full = lacks_room(self._db, error)
            self._mark.clear()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if full:
                raise NoRoom from error
            if isinstance(error, apsw.BusyError):
                raise StorageBusy from error
            if isinstance(error, apsw.CorruptError):
                raise StorageDamaged from error
            if isinstance(error, apsw.Error):
                raise StorageError("The database could not be written; nothing was changed.") from error
            raise

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """See the contract. Others may write meanwhile: that is what the write-ahead log is for."""
        if self._db.in_transaction:
            yield
            return
        with readable():
            self._db.execute("BEGIN")
        try:
            self._rows("PRAGMA user_version")  # what is seen begins with the first reading
            yield
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def close(self) -> None:
        """See the contract."""
        self._db.close()

    def make_single_file(self) -> None:
        """Put everything into the one file, which then has no write-ahead log until it is opened again."""
        with readable():
            self._db.execute("PRAGMA journal_mode = DELETE")

    def _rows(self, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
        with readable():
            return list(self._db.execute(sql, bindings))

    def _run(self, sql: str, *bindings: Any) -> None:
        self._db.execute(sql, bindings)

    # The truth

    def meta(self, key: str) -> str:
        """See the contract."""
        rows = self._rows("SELECT value FROM meta WHERE key = ?", key)
        return str(rows[0][0]) if rows else ""

    def put_meta(self, key: str, value: str) -> None:
        """See the contract."""
        self._run("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", key, value)

    def spaces(self) -> list[SpaceRecord]:
        """See the contract."""
        rows = self._rows(
            "SELECT space_id, kind, slot, log_id, signing_seed, sealing_secret, epoch_id, relay_url, pending"
            " FROM space ORDER BY kind <> 'own', position"
        )
        return [SpaceRecord._make((*row[:8], bool(row[8]))) for row in rows]

    def put_space(self, space: SpaceRecord) -> None:
        """See the contract."""
        self._run(
            "INSERT INTO space (space_id, kind, slot, log_id, signing_seed, sealing_secret, epoch_id, relay_url, pending)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (space_id) DO UPDATE SET"
            " epoch_id = CASE excluded.epoch_id WHEN x'' THEN epoch_id ELSE excluded.epoch_id END,"
            " relay_url = excluded.relay_url, pending = min(pending, excluded.pending)",
            *space[:8],
            int(space.pending),
        )

    def replace_device(self, space: SpaceRecord) -> None:
        """See the contract."""
        self._run(
            "UPDATE space SET log_id = ?, signing_seed = ?, sealing_secret = ? WHERE space_id = ?",
            space.log_id,
            space.signing_seed,
            space.sealing_secret,
            space.space_id,
        )

    def former_devices(self, space: SpaceId) -> list[FormerDevice]:
        """See the contract."""
        rows = self._rows(
            "SELECT space_id, log_id, signing_seed, sealing_secret FROM former_device WHERE space_id = ? ORDER BY position",
            space,
        )
        return [FormerDevice(*row) for row in rows]

    def put_former_device(self, former: FormerDevice) -> None:
        """See the contract."""
        self._run(
            "INSERT OR IGNORE INTO former_device (space_id, log_id, signing_seed, sealing_secret) VALUES (?, ?, ?, ?)", *former
        )

    def remove_former_device(self, space: SpaceId, log: LogId) -> None:
        """See the contract."""
        self._run("DELETE FROM former_device WHERE space_id = ? AND log_id = ?", space, log)

    def remove_space(self, space: SpaceId) -> None:
        """See the contract."""
        self._run("DELETE FROM search WHERE rowid IN (SELECT number FROM entry WHERE space_id = ?)", space)
        self._run("DELETE FROM space WHERE space_id = ?", space)

    def epochs(self, space: SpaceId) -> dict[bytes, bytes]:
        """See the contract."""
        return dict(self._rows("SELECT epoch_id, secret FROM epoch WHERE space_id = ?", space))

    def put_epoch(self, space: SpaceId, epoch_id: bytes, secret: bytes) -> None:
        """See the contract."""
        self._run("INSERT OR IGNORE INTO epoch VALUES (?, ?, ?)", space, epoch_id, secret)

    def append(self, space: SpaceId, envelope: StoredEnvelope) -> bool:
        """See the contract."""
        rows = self._rows("SELECT seq FROM log_head WHERE space_id = ? AND log_id = ?", space, envelope.log_id)
        last = rows[0][0] if rows else 0
        if envelope.seq > last + 1:
            raise SequenceGap
        if envelope.seq <= last:
            there = self.envelope(space, envelope.log_id, envelope.seq)
            if there is None or there.hash != envelope.hash:
                raise ForkDetected(evidence=there.data if there else b"")
            return False
        log, seq, digest, control, data = envelope
        self._run("INSERT INTO envelope VALUES (?, ?, ?, ?, ?, ?)", space, log, seq, digest, int(control), data)
        self._run(
            "INSERT INTO log_head VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
            space,
            log,
            seq,
            digest,
        )
        return True

    def displace(self, space: SpaceId, log: LogId, seq: int) -> list[StoredEnvelope]:
        """See the contract."""
        place = (space, log, seq)
        rows = self._rows(
            "SELECT log_id, seq, hash, control, data FROM envelope WHERE space_id = ? AND log_id = ? AND seq > ? ORDER BY seq",
            *place,
        )
        if not rows:
            return []  # the log may end before `seq`
        self._run(
            "INSERT OR REPLACE INTO displaced (space_id, log_id, seq, hash, control, data, waiting)"
            " SELECT space_id, log_id, seq, hash, control, data, 1 FROM envelope"
            " WHERE space_id = ? AND log_id = ? AND seq > ? ORDER BY seq",
            *place,
        )
        self._run("DELETE FROM envelope WHERE space_id = ? AND log_id = ? AND seq > ?", *place)
        self._run("DELETE FROM log_head WHERE space_id = ? AND log_id = ?", space, log)
        self._run(
            "INSERT INTO log_head SELECT space_id, log_id, seq, hash FROM envelope"
            " WHERE space_id = ? AND log_id = ? AND seq = ?",
            *place,
        )
        return [_envelope(row) for row in rows]

    def displaced(self, space: SpaceId, *, waiting: bool = False) -> list[Displaced]:
        """See the contract."""
        rows = self._rows(
            "SELECT log_id, seq, hash, control, data, waiting FROM displaced"
            " WHERE space_id = ? AND waiting >= ? ORDER BY position",
            space,
            int(waiting),
        )
        return [Displaced(space, _envelope(row), bool(row[5])) for row in rows]

    def settle_displaced(self, space: SpaceId, *, only: bytes = b"") -> None:
        """See the contract."""
        self._run("PRAGMA secure_delete = ON")
        kept = f"CASE WHEN control THEN data ELSE substr(data, 1, {_HEADER_BYTES}) END"
        sql = f"UPDATE displaced SET waiting = 0, data = {kept} WHERE space_id = ? AND ? IN (x'', hash)"  # noqa: S608
        self._run(sql, space, only)

    def bare_displaced(self, space: SpaceId, digest: bytes) -> None:
        """See the contract."""
        self._run("PRAGMA secure_delete = ON")
        sql = f"UPDATE displaced SET data = substr(data, 1, {_HEADER_BYTES}) WHERE space_id = ? AND hash = ? AND control = 0"  # noqa: S608 constants only
        self._run(sql, space, digest)

    def heads(self, space: SpaceId) -> dict[LogId, Head]:
        """See the contract."""
        rows = self._rows("SELECT log_id, seq, hash FROM log_head WHERE space_id = ?", space)
        return {LogId(row[0]): Head(*row) for row in rows}

    def envelope(self, space: SpaceId, log: LogId, seq: int) -> StoredEnvelope | None:
        """See the contract."""
        rows = self._rows(
            "SELECT log_id, seq, hash, control, data FROM envelope WHERE space_id = ? AND log_id = ? AND seq = ?",
            space,
            log,
            seq,
        )
        return _envelope(rows[0]) if rows else None

    def envelopes_after(self, space: SpaceId, log: LogId, seq: int, *, bytes_max: int, count_max: int) -> list[StoredEnvelope]:
        """See the contract."""
        batch: list[StoredEnvelope] = []
        size = 0
        with readable():
            rows = self._db.execute(
                "SELECT log_id, seq, hash, control, data FROM envelope"
                " WHERE space_id = ? AND log_id = ? AND seq > ? ORDER BY seq LIMIT ?",
                (space, log, seq, count_max),
            )
            for row in rows:
                envelope = _envelope(row)
                size += len(envelope.data)
                if batch and size > bytes_max:
                    break
                batch.append(envelope)
        return batch

    def controls(self, space: SpaceId) -> list[StoredEnvelope]:
        """See the contract."""
        rows = self._rows(
            "SELECT log_id, seq, hash, control, data FROM envelope WHERE space_id = ? AND control = 1 ORDER BY log_id, seq",
            space,
        )
        return [_envelope(row) for row in rows]

    def erase_bodies(self, space: SpaceId, log: LogId, first: int, last: int) -> list[int]:
        """See the contract."""
        # The pages are encrypted; whoever has the key is to find nothing left between the rows all the same.
        self._run("PRAGMA secure_delete = ON")
        where = f"space_id = ? AND log_id = ? AND seq BETWEEN ? AND ? AND control = 0 AND length(data) > {_HEADER_BYTES}"
        rows = self._rows(f"SELECT seq FROM envelope WHERE {where} ORDER BY seq", space, log, first, last)  # noqa: S608
        if rows:
            sql = f"UPDATE envelope SET data = substr(data, 1, {_HEADER_BYTES}) WHERE {where}"  # noqa: S608 constants only
            self._run(sql, space, log, first, last)
        return [row[0] for row in rows]

    def fill_body(self, space: SpaceId, envelope: StoredEnvelope) -> bool:
        """See the contract."""
        self._run(
            f"UPDATE envelope SET data = ?1 WHERE space_id = ?2 AND log_id = ?3 AND seq = ?4 AND {_BARE}"  # noqa: S608
            f" AND substr(?1, 1, {_HEADER_BYTES}) = data",
            envelope.data,
            space,
            envelope.log_id,
            envelope.seq,
        )
        return self._db.changes() > 0

    def bare(self, space: SpaceId) -> list[tuple[LogId, int]]:
        """See the contract."""
        sql = f"SELECT log_id, seq FROM envelope WHERE space_id = ? AND {_BARE} ORDER BY log_id, seq"  # noqa: S608
        return [(LogId(log), seq) for log, seq in self._rows(sql, space)]

    def relay_heads(self, space: SpaceId) -> dict[LogId, Head]:
        """See the contract."""
        rows = self._rows("SELECT log_id, seq, hash FROM relay_head WHERE space_id = ?", space)
        return {LogId(row[0]): Head(*row) for row in rows}

    def put_relay_head(self, space: SpaceId, head: Head) -> None:
        """See the contract."""
        self._run(
            "INSERT INTO relay_head VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
            space,
            *head,
        )

    def put_beside(self, space: SpaceId, envelope: StoredEnvelope) -> None:
        """See the contract."""
        log, seq, digest, control, data = envelope
        self._run("INSERT OR IGNORE INTO beside VALUES (?, ?, ?, ?, ?, ?)", space, log, seq, digest, int(control), data)

    def remove_beside(self, space: SpaceId, digest: bytes) -> None:
        """See the contract."""
        self._run(
            "INSERT OR IGNORE INTO displaced (space_id, log_id, seq, hash, control, data, waiting)"
            " SELECT space_id, log_id, seq, hash, control, data, 0 FROM beside WHERE space_id = ? AND hash = ? AND control = 1",
            space,
            digest,
        )
        self._run("DELETE FROM beside WHERE space_id = ? AND hash = ?", space, digest)

    def beside(self, space: SpaceId) -> list[StoredEnvelope]:
        """See the contract."""
        sql = "SELECT log_id, seq, hash, control, data FROM beside WHERE space_id = ? ORDER BY log_id, seq, hash"
        return [_envelope(row) for row in self._rows(sql, space)]

    def put_evidence(self, space: SpaceId, header: bytes) -> None:
        """See the contract."""
        self._run("INSERT OR IGNORE INTO evidence VALUES (?, ?)", space, header)

    def evidence(self, space: SpaceId) -> list[bytes]:
        """See the contract."""
        return [row[0] for row in self._rows("SELECT header FROM evidence WHERE space_id = ? ORDER BY header", space)]

    def put_contradiction(self, space: SpaceId, citation: Citation) -> None:
        """See the contract."""
        self._run("INSERT OR IGNORE INTO contradiction VALUES (?, ?, ?, ?, ?, ?, ?)", space, *citation)

    def contradictions(self, space: SpaceId) -> list[Citation]:
        """See the contract."""
        rows = self._rows(
            "SELECT log_id, by_log, slot, seq, hash, by_seq FROM contradiction WHERE space_id = ? ORDER BY log_id, by_log",
            space,
        )
        return [Citation._make(row) for row in rows]

    # What may stop a process

    def begin_applying(self, space: SpaceId, places: Sequence[tuple[LogId, int]], *, durable: bool) -> None:
        """See the contract."""
        self._mark.set(space, places, key=self._mark_key(), durable=durable)

    def _mark_key(self) -> bytes:
        rows = self._rows("SELECT key FROM applying_key")
        if not rows:
            raise StorageDamaged
        return bytes(rows[0][0])

    def _take_over(self, left: bytes) -> None:
        """Somebody died with the write lock: what they were at is suspect from now on. Committed before anything else."""
        from bide.storage.mark import read_mark

        marked = read_mark(left, key=self._mark_key())
        if marked is not None:
            for log, seq in marked.places:
                self._run(
                    "INSERT OR IGNORE INTO suspect SELECT space_id, ?, ?, x'', 0 FROM space WHERE space_id = ?",
                    log,
                    seq,
                    marked.space_id,
                )
        self._db.execute("COMMIT")
        self._db.execute("BEGIN IMMEDIATE")
        # In between another process may have come, taken over the same, and even died at something else.
        if self._mark.left() == left:
            self._mark.clear(left=True)

    def suspects(self, space: SpaceId) -> list[Suspect]:
        """See the contract."""
        rows = self._rows("SELECT * FROM suspect WHERE space_id = ? ORDER BY log_id, seq", space)
        return [Suspect._make((*row[:3], row[3] or None, bool(row[4]))) for row in rows]

    def put_suspect(self, suspect: Suspect) -> None:
        """See the contract."""
        space, log, seq, entry, set_aside = suspect
        self._run("INSERT OR REPLACE INTO suspect VALUES (?, ?, ?, ?, ?)", space, log, seq, entry or b"", int(set_aside))

    def remove_suspect(self, suspect: Suspect) -> None:
        """See the contract."""
        self._run("DELETE FROM suspect WHERE space_id = ? AND log_id = ? AND seq = ?", *suspect[:3])

    # What is held back on this device

    def put_held(self, held: HeldRecord) -> None:
        """See the contract."""
        self._run("INSERT OR REPLACE INTO outbox VALUES (?, ?, ?, ?, ?, ?, ?)", *held)

    def held(self, held_id: EntryId) -> HeldRecord | None:
        """See the contract."""
        rows = self._rows("SELECT * FROM outbox WHERE held_id = ?", held_id)
        return HeldRecord(*rows[0]) if rows else None

    def remove_held(self, held_id: EntryId) -> None:
        """See the contract."""
        self._run("DELETE FROM outbox WHERE held_id = ?", held_id)

    def outbox(self) -> list[HeldRecord]:
        """See the contract."""
        return [HeldRecord(*row) for row in self._rows("SELECT * FROM outbox ORDER BY due_ms, held_ms, held_id")]

    def outbox_due(self) -> int | None:
        """See the contract."""
        due: int | None = self._rows("SELECT min(due_ms) FROM outbox WHERE hindrance = '' AND waits_for IS NULL")[0][0]
        return due

    def check(self) -> list[Phrase]:
        """See the contract."""
        try:
            findings = [str(row[0]) for row in self._rows("PRAGMA integrity_check(1)")]
            strays = self._rows("PRAGMA foreign_key_check")
            unfit = self._rows(_UNFIT_SEARCH)
            keyless = not self._rows("SELECT 1 FROM applying_key")
        except StorageError:
            return [Phrase("A part of the database file can't be read any more.")]
        if findings != ["ok"]:
            return [Phrase("The database file is damaged.")]
        return [Phrase("Parts of the database don't fit together.")] if strays or unfit or keyless else []


def _envelope(row: tuple[Any, ...]) -> StoredEnvelope:
    return StoredEnvelope(row[0], row[1], row[2], bool(row[3]), row[4])
