"""A replica in one encrypted SQLite file. The truth is kept by `bide.storage.sqlite_truth`; here is what is derived from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bide.entries.records import EntryRecord, EventRecord, Standing
from bide.ids import DeviceId, EntryId, LogId, SpaceId, entry_code
from bide.log.head import Head
from bide.storage.base import Citation, EntryQuery, MemberRecord, Quarantined
from bide.storage.sqlite_truth import SqliteTruth, readable

_ENTRY_COLUMNS = "entry_id, space_id, kind, slot, at_ms, zone, day, shown, reply_to, edited, state, body, search_text"
_EVENT_COLUMNS = (
    "space_id, entry_id, log_id, seq, slot, type, version, least_version, time_ms, zone, day, change, frontier, standing"
)
DERIVED_TABLES = ("member", "event", "entry", "citation", "quarantine")
_HEAD_BYTES = 16 + 8 + 32
_TRIGRAM_CHARS = 3
_FOUND_MAX = 8


class SqliteStorage(SqliteTruth):
    """`bide.storage.base.Storage` in SQLite. One instance belongs to one thread."""

    def members(self, space: SpaceId) -> list[MemberRecord]:
        """See the contract."""
        rows = self._rows("SELECT space_id, log_id, device_id, slot FROM member WHERE space_id = ? ORDER BY position", space)
        return [MemberRecord(SpaceId(row[0]), LogId(row[1]), DeviceId(row[2]), row[3]) for row in rows]

    def put_member(self, member: MemberRecord) -> None:
        """See the contract."""
        self._run("INSERT OR IGNORE INTO member (space_id, log_id, device_id, slot) VALUES (?, ?, ?, ?)", *member)

    def remove_member(self, space: SpaceId, log: LogId) -> None:
        """See the contract."""
        self._run("DELETE FROM member WHERE space_id = ? AND log_id = ?", space, log)

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

    def entries_standing(self, space: SpaceId, standing: Standing) -> list[EntryId]:
        """See the contract."""
        sql = "SELECT DISTINCT entry_id FROM event WHERE space_id = ? AND standing = ? ORDER BY entry_id"
        return [EntryId(row[0]) for row in self._rows(sql, space, standing.value)]

    def log_events(self, space: SpaceId, log: LogId, seq: int) -> Iterator[tuple[int, EntryId, tuple[Head, ...]]]:
        """See the contract."""
        for row in self._rows(
            "SELECT seq, entry_id, frontier FROM event WHERE space_id = ? AND log_id = ? AND seq <= ? ORDER BY seq",
            space,
            log,
            seq,
        ):
            yield row[0], EntryId(row[1]), _frontier(row[2])

    def all_events(self, space: SpaceId) -> Iterator[EventRecord]:
        """See the contract."""
        with readable():
            for row in self._db.execute(
                f"SELECT {_EVENT_COLUMNS} FROM event WHERE space_id = ? ORDER BY log_id, seq",  # noqa: S608
                (space,),
            ):
                yield _event(row)

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
        rows = self._rows("SELECT log_id, slot, max(seq) FROM citation WHERE space_id = ? GROUP BY log_id, slot", space)
        return {(LogId(row[0]), row[1]): row[2] for row in rows}

    def cited(self, space: SpaceId) -> list[Citation]:
        """See the contract."""
        rows = self._rows(
            "SELECT log_id, by_log, slot, seq, hash, by_seq FROM citation WHERE space_id = ? ORDER BY log_id, by_log", space
        )
        return [Citation._make(row) for row in rows]

    def put_citation(self, space: SpaceId, citation: Citation) -> None:
        """See the contract."""
        self._run(
            "INSERT INTO citation VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET seq = excluded.seq, hash = excluded.hash, by_seq = excluded.by_seq WHERE excluded.seq > seq",
            space,
            *citation,
        )

    def remove_citations(self, space: SpaceId, by_log: LogId) -> None:
        """See the contract."""
        self._run("DELETE FROM citation WHERE space_id = ? AND by_log = ?", space, by_log)

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
                self.unindex_text(number)
                self.index_text(number, entry.search_text)
            return
        marks = ", ".join("?" * 14)
        self._run(
            f"INSERT INTO entry ({_ENTRY_COLUMNS}, code) VALUES ({marks})",  # noqa: S608 constants only
            *values,
            entry_code(entry.entry_id),
        )
        if entry.search_text:
            self.index_text(self._db.last_insert_rowid(), entry.search_text)

    def index_text(self, number: int, text: str) -> None:
        """Let the entry with this number be found by `text`. Inside a transaction."""
        self._run("INSERT INTO search (rowid, text) VALUES (?, ?)", number, text)

    def unindex_text(self, number: int) -> None:
        """Let the entry with this number be found by nothing. Inside a transaction."""
        self._run("DELETE FROM search WHERE rowid = ?", number)

    def remove_entry(self, space: SpaceId, entry: EntryId) -> None:
        """See the contract."""
        rows = self._rows("SELECT number FROM entry WHERE space_id = ? AND entry_id = ?", space, entry)
        for (number,) in rows:
            self.unindex_text(number)
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
        with readable():
            for row in self._db.execute(
                f"SELECT {_ENTRY_COLUMNS} FROM entry WHERE space_id = ? ORDER BY entry_id",  # noqa: S608
                (space,),
            ):
                yield _entry(row)

    def forget_removed(self) -> None:
        """See the contract. Merging all of the index leaves out what is marked as deleted."""
        self._run("INSERT INTO search (search) VALUES ('optimize')")

    def clear_derived(self) -> None:
        """See the contract."""
        for table in DERIVED_TABLES:
            self._run(f"DELETE FROM {table}")  # noqa: S608 constants only
        self._run("INSERT INTO search (search) VALUES ('delete-all')")


def _contains(word: str) -> tuple[str, str]:
    """The condition that an entry's search text contains `word`, and its binding."""
    if len(word) >= _TRIGRAM_CHARS:
        quoted = '"' + word.replace('"', '""') + '"'
        return "number IN (SELECT rowid FROM search WHERE search MATCH ?)", quoted
    # Shorter than a trigram: the index can't help.
    return "instr(search_text, ?) > 0", word


def _event(row: tuple[Any, ...]) -> EventRecord:
    return EventRecord._make((*row[:12], _frontier(row[12]), Standing(row[13])))


def _frontier(packed: bytes) -> tuple[Head, ...]:
    return tuple(
        Head(LogId(packed[at : at + 16]), int.from_bytes(packed[at + 16 : at + 24], "big"), packed[at + 24 : at + 56])
        for at in range(0, len(packed), _HEAD_BYTES)
    )


def _entry(row: tuple[Any, ...]) -> EntryRecord:
    return EntryRecord._make((*row[:7], bool(row[7]), row[8], bool(row[9]), *row[10:]))
