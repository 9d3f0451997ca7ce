"""A replica in one encrypted SQLite file. Imports nothing but apsw, so that reading the timeline stays quick."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from bide.entries.records import EntryRecord, EventRecord, Standing
from bide.errors import ForkDetected, Phrase, SequenceGap, StorageBusy, StorageError
from bide.ids import DeviceId, EntryId, LogId, SpaceId, entry_code
from bide.log.head import Head
from bide.storage.base import EntryQuery, HeldRecord, MemberRecord, Quarantined, SpaceRecord, StoredEnvelope, Suspect
from bide.storage.mark import Mark, read_mark
from bide.storage.opening import open_database

_ENTRY_COLUMNS = "entry_id, space_id, kind, slot, at_ms, zone, day, shown, reply_to, edited, state, body, search_text"
_EVENT_COLUMNS = (
    "space_id, entry_id, log_id, seq, slot, type, version, least_version, time_ms, zone, day, change, frontier, standing"
)
_DERIVED_TABLES = ("member", "event", "entry", "citation", "quarantine")
_HEAD_BYTES = 16 + 8 + 32
_TRIGRAM_CHARS = 3
_FOUND_MAX = 8


class SqliteStorage:
    """`bide.storage.base.Storage` in SQLite. One instance belongs to one thread."""

    def __init__(self, path: Path | None, key: bytes, *, create: bool = False) -> None:
        """Open the file; see `bide.storage.opening.open_database` for arguments and errors."""
        self._db = open_database(path, key, create=create)
        self._mark = Mark(path)

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
        except (apsw.ReadOnlyError, apsw.IOError, apsw.CorruptError, apsw.FullError) as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise StorageError("The database could not be written; nothing was changed.") from error
        try:
            yield
            self._mark.clear()
            self._db.execute("COMMIT")
        except BaseException as error:
            self._mark.clear()
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, apsw.FullError):
                raise StorageError("There is no room left on the disk; nothing was written.", hint="Make room.") from error
            if isinstance(error, apsw.BusyError):
                raise StorageBusy from error
            if isinstance(error, apsw.Error):
                raise StorageError("The database could not be written; nothing was changed.") from error
            raise

    def close(self) -> None:
        """See the contract."""
        self._db.close()

    def _rows(self, sql: str, *bindings: Any) -> list[tuple[Any, ...]]:
        try:
            return list(self._db.execute(sql, bindings))
        except apsw.BusyError as error:
            raise StorageBusy from error
        except (apsw.CorruptError, apsw.NotADBError, apsw.IOError) as error:
            raise StorageError("The database on this device is damaged.") from error
        except apsw.Error as error:
            raise StorageError("The database on this device can't be read as it is.") from error

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
        rows = self._db.execute(
            "SELECT log_id, seq, hash, control, data FROM envelope"
            " WHERE space_id = ? AND log_id = ? AND seq > ? ORDER BY seq LIMIT ?",
            (space, log, seq, count_max),
        )
        batch: list[StoredEnvelope] = []
        size = 0
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

    def put_evidence(self, space: SpaceId, header: bytes) -> None:
        """See the contract."""
        self._run("INSERT OR IGNORE INTO evidence VALUES (?, ?)", space, header)

    def evidence(self, space: SpaceId) -> list[bytes]:
        """See the contract."""
        return [row[0] for row in self._rows("SELECT header FROM evidence WHERE space_id = ? ORDER BY header", space)]

    # What may stop a process

    def begin_applying(self, space: SpaceId, places: Sequence[tuple[LogId, int]], *, durable: bool) -> None:
        """See the contract."""
        self._mark.set(space, places, key=self._mark_key(), durable=durable)

    def _mark_key(self) -> bytes:
        return bytes(self._rows("SELECT key FROM applying_key")[0][0])

    def _take_over(self, left: bytes) -> None:
        """Somebody died with the write lock: what they were at is suspect from now on. Committed before anything else."""
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

    # Derived from it

    def members(self, space: SpaceId) -> list[MemberRecord]:
        """See the contract."""
        rows = self._rows("SELECT space_id, log_id, device_id, slot FROM member WHERE space_id = ? ORDER BY position", space)
        return [MemberRecord(SpaceId(row[0]), LogId(row[1]), DeviceId(row[2]), row[3]) for row in rows]

    def put_member(self, member: MemberRecord) -> None:
        """See the contract."""
        self._run("INSERT OR IGNORE INTO member (space_id, log_id, device_id, slot) VALUES (?, ?, ?, ?)", *member)

    def put_event(self, event: EventRecord) -> None:
        """See the contract."""
        frontier = b"".join(log + seq.to_bytes(8, "big") + digest for log, seq, digest in event.frontier)
        marks = ", ".join("?" * 14)
        self._run(
            f"INSERT INTO event ({_EVENT_COLUMNS}) VALUES ({marks})"  # noqa: S608 constants only
            " ON CONFLICT (space_id, log_id, seq) DO UPDATE SET standing = excluded.standing",
            *event[:12],
            frontier,
            event.standing.value,
        )

    def remove_event(self, space: SpaceId, log: LogId, seq: int) -> None:
        """See the contract."""
        self._run("DELETE FROM event WHERE space_id = ? AND log_id = ? AND seq = ?", space, log, seq)

    def remove_quarantine(self, space: SpaceId, log: LogId, seq: int) -> None:
        """See the contract."""
        self._run("DELETE FROM quarantine WHERE space_id = ? AND log_id = ? AND seq = ?", space, log, seq)

    def event(self, space: SpaceId, log: LogId, seq: int) -> EventRecord | None:
        """See the contract."""
        rows = self._rows(
            f"SELECT {_EVENT_COLUMNS} FROM event WHERE space_id = ? AND log_id = ? AND seq = ?",  # noqa: S608 constants only
            space,
            log,
            seq,
        )
        return _event(rows[0]) if rows else None

    def events(self, space: SpaceId, entry: EntryId) -> list[EventRecord]:
        """See the contract."""
        rows = self._rows(
            f"SELECT {_EVENT_COLUMNS} FROM event WHERE space_id = ? AND entry_id = ? ORDER BY log_id, seq",  # noqa: S608
            space,
            entry,
        )
        return [_event(row) for row in rows]

    def events_of_type(self, space: SpaceId, name: str) -> list[EventRecord]:
        """See the contract."""
        rows = self._rows(
            # The plus keeps SQLite from walking every event of the space in this order instead of finding the few by type.
            f"SELECT {_EVENT_COLUMNS} FROM event WHERE space_id = ? AND type = ? ORDER BY +entry_id, log_id, seq",  # noqa: S608
            space,
            name,
        )
        return [_event(row) for row in rows]

    def log_events(self, space: SpaceId, log: LogId, seq: int) -> Iterator[tuple[int, EntryId, tuple[Head, ...]]]:
        """See the contract."""
        for row in self._rows(
            "SELECT seq, entry_id, frontier FROM event WHERE space_id = ? AND log_id = ? AND seq <= ? ORDER BY seq",
            space,
            log,
            seq,
        ):
            yield row[0], EntryId(row[1]), _frontier(row[2])

    def places(self, entries: Sequence[EntryId]) -> dict[tuple[SpaceId, EntryId], dict[LogId, int]]:
        """See the contract."""
        marks = ", ".join("?" * len(entries))
        rows = self._rows(
            f"""SELECT space_id, entry_id, log_id, max(seq) FROM entry JOIN event USING (space_id, entry_id)
            WHERE entry_id IN ({marks}) GROUP BY space_id, entry_id, log_id""",  # noqa: S608 marks only
            *entries,
        )
        places: dict[tuple[SpaceId, EntryId], dict[LogId, int]] = {}
        for space, entry, log, seq in rows:
            places.setdefault((SpaceId(space), EntryId(entry)), {})[LogId(log)] = seq
        return places

    def standing_of(self, space: SpaceId, log: LogId, seq: int) -> Standing | None:
        """See the contract."""
        rows = self._rows("SELECT standing FROM event WHERE space_id = ? AND log_id = ? AND seq = ?", space, log, seq)
        return Standing(rows[0][0]) if rows else None

    def standing_counts(self, space: SpaceId) -> dict[Standing, int]:
        """See the contract."""
        rows = self._rows("SELECT standing, count(*) FROM event WHERE space_id = ? GROUP BY standing", space)
        return {Standing(row[0]): row[1] for row in rows}

    def put_quarantine(self, item: Quarantined) -> None:
        """See the contract."""
        self._run("INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?, ?)", *item)

    def quarantine(self, space: SpaceId) -> list[Quarantined]:
        """See the contract."""
        rows = self._rows("SELECT * FROM quarantine WHERE space_id = ? ORDER BY log_id, seq", space)
        return [Quarantined(*row) for row in rows]

    def citations(self, space: SpaceId) -> dict[tuple[LogId, int], int]:
        """See the contract."""
        rows = self._rows("SELECT log_id, slot, seq FROM citation WHERE space_id = ?", space)
        return {(LogId(row[0]), row[1]): row[2] for row in rows}

    def put_citation(self, space: SpaceId, log: LogId, slot: int, seq: int) -> None:
        """See the contract."""
        self._run(
            "INSERT INTO citation VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET seq = max(seq, excluded.seq)",
            space,
            log,
            slot,
            seq,
        )

    def put_entry(self, entry: EntryRecord) -> None:
        """See the contract."""
        rows = self._rows(
            f"SELECT {_ENTRY_COLUMNS}, number FROM entry WHERE space_id = ? AND entry_id = ?",  # noqa: S608 constants only
            entry.space_id,
            entry.entry_id,
        )
        values = (*entry[:7], int(entry.shown), entry.reply_to, int(entry.edited), *entry[10:])
        if rows:
            *before, number = rows[0]
            columns = _ENTRY_COLUMNS.split(", ")
            differing = [(name, new) for name, old, new in zip(columns, before, values, strict=True) if old != new]
            if not differing:
                return
            # Only these: SQLite writes every index anew whose columns are named, whether they differ or not.
            assignments = ", ".join(f"{name} = ?" for name, _ in differing)
            self._run(f"UPDATE entry SET {assignments} WHERE number = ?", *(new for _, new in differing), number)  # noqa: S608
            if before[-1] != entry.search_text:
                self._run("DELETE FROM search WHERE rowid = ?", number)
                self._run("INSERT INTO search (rowid, text) VALUES (?, ?)", number, entry.search_text)
            return
        marks = ", ".join("?" * 14)
        self._run(
            f"INSERT INTO entry ({_ENTRY_COLUMNS}, code) VALUES ({marks})",  # noqa: S608 constants only
            *values,
            entry_code(entry.entry_id),
        )
        if entry.search_text:
            self._run("INSERT INTO search (rowid, text) VALUES (last_insert_rowid(), ?)", entry.search_text)

    def remove_entry(self, space: SpaceId, entry: EntryId) -> None:
        """See the contract."""
        rows = self._rows("SELECT number FROM entry WHERE space_id = ? AND entry_id = ?", space, entry)
        for (number,) in rows:
            self._run("DELETE FROM search WHERE rowid = ?", number)
            self._run("DELETE FROM entry WHERE number = ?", number)

    def entry(self, space: SpaceId, entry: EntryId) -> EntryRecord | None:
        """See the contract."""
        return next((record for record in self.entries_with_id(entry) if record.space_id == space), None)

    def entries_with_id(self, entry: EntryId) -> list[EntryRecord]:
        """See the contract."""
        rows = self._rows(f"SELECT {_ENTRY_COLUMNS} FROM entry WHERE entry_id = ? ORDER BY space_id", entry)  # noqa: S608
        return [_entry(row) for row in rows]

    def find_entries(self, code: str) -> list[EntryRecord]:
        """See the contract."""
        rows = self._rows(
            f"SELECT {_ENTRY_COLUMNS} FROM entry WHERE code >= ? AND code < ? AND kind <> 'person'"  # noqa: S608
            " ORDER BY code, space_id LIMIT ?",
            code,
            code + "~",
            _FOUND_MAX,
        )
        return [_entry(row) for row in rows]

    def entries(self, query: EntryQuery) -> list[EntryRecord]:
        """See the contract."""
        where = ["shown = 1"]
        bindings: list[Any] = []
        if query.space_id is not None:
            # The plus, here and below: found by time and cut at the limit, instead of read whole and sorted.
            where.append("+space_id = ?")
            bindings.append(query.space_id)
        if query.kinds:
            where.append(f"kind IN ({', '.join('?' * len(query.kinds))})")
            bindings.extend(query.kinds)
        if query.since_day:
            where.append("day >= ?")
            bindings.append(query.since_day)
        if query.until_day:
            where.append("day <= ?")
            bindings.append(query.until_day)
        if query.authors is not None:
            pairs = " OR ".join("(+space_id = ? AND slot = ?)" for _ in query.authors)
            where.append(f"({pairs or '0'})")
            bindings.extend(value for pair in query.authors for value in pair)
        for word in query.words:
            condition, binding = _contains(word)
            found = f"SELECT space_id, coalesce(reply_to, entry_id) FROM entry WHERE {condition}"  # noqa: S608 constants only
            where.append(f"(space_id, entry_id) IN ({found})")
            bindings.append(binding)
        limit = f"LIMIT {int(query.limit)}" if query.limit else ""
        # Every part of this text is a constant above; what a person typed is bound.
        sql = f"SELECT {_ENTRY_COLUMNS} FROM entry WHERE {' AND '.join(where)} ORDER BY at_ms DESC, entry_id DESC {limit}"  # noqa: S608
        return [_entry(row) for row in reversed(self._rows(sql, *bindings))]

    def hidden_entries(self, space: SpaceId, kind: str) -> list[EntryRecord]:
        """See the contract."""
        rows = self._rows(
            # The plus keeps SQLite from walking every entry of the space; there are few of such a kind.
            f"SELECT {_ENTRY_COLUMNS} FROM entry WHERE kind = ? AND +space_id = ? AND shown = 0 ORDER BY entry_id",  # noqa: S608
            kind,
            space,
        )
        return [_entry(row) for row in rows]

    def replies(self, entries: Sequence[EntryId]) -> list[EntryRecord]:
        """See the contract."""
        marks = ", ".join("?" * len(entries))
        rows = self._rows(
            f"SELECT {_ENTRY_COLUMNS} FROM entry WHERE reply_to IN ({marks}) ORDER BY at_ms, entry_id",  # noqa: S608
            *entries,
        )
        return [_entry(row) for row in rows]

    def count_entries(self, space: SpaceId) -> int:
        """See the contract."""
        return int(self._rows("SELECT count(*) FROM entry WHERE space_id = ? AND shown = 1", space)[0][0])

    def all_entries(self, space: SpaceId) -> Iterator[EntryRecord]:
        """See the contract."""
        for row in self._db.execute(
            f"SELECT {_ENTRY_COLUMNS} FROM entry WHERE space_id = ? ORDER BY entry_id",  # noqa: S608
            (space,),
        ):
            yield _entry(row)

    def clear_derived(self) -> None:
        """See the contract."""
        for table in _DERIVED_TABLES:
            self._run(f"DELETE FROM {table}")  # noqa: S608 constants only
        self._run("INSERT INTO search (search) VALUES ('delete-all')")

    def check(self) -> list[Phrase]:
        """See the contract."""
        findings = [str(row[0]) for row in self._rows("PRAGMA quick_check")]
        return [] if findings == ["ok"] else [Phrase("The database file is damaged.")]


def _contains(word: str) -> tuple[str, str]:
    """The condition that an entry's search text contains `word`, and its binding."""
    if len(word) >= _TRIGRAM_CHARS:
        quoted = '"' + word.replace('"', '""') + '"'
        return "number IN (SELECT rowid FROM search WHERE search MATCH ?)", quoted
    # Shorter than a trigram: the index can't help.
    return "instr(search_text, ?) > 0", word


def _envelope(row: tuple[Any, ...]) -> StoredEnvelope:
    return StoredEnvelope(row[0], row[1], row[2], bool(row[3]), row[4])


def _event(row: tuple[Any, ...]) -> EventRecord:
    return EventRecord._make((*row[:12], _frontier(row[12]), Standing(row[13])))


def _frontier(packed: bytes) -> tuple[Head, ...]:
    return tuple(
        Head(LogId(packed[at : at + 16]), int.from_bytes(packed[at + 16 : at + 24], "big"), packed[at + 24 : at + 56])
        for at in range(0, len(packed), _HEAD_BYTES)
    )


def _entry(row: tuple[Any, ...]) -> EntryRecord:
    return EntryRecord._make((*row[:7], bool(row[7]), row[8], bool(row[9]), *row[10:]))
