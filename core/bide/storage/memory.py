"""A replica in memory, in plain dictionaries: for tests, simulations and clients that keep nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from bide.entries.records import EntryRecord, EventRecord, Standing
from bide.errors import ForkDetected, Phrase, SequenceGap
from bide.ids import EntryId, LogId, SpaceId, entry_code
from bide.log.envelope import HEADER_BYTES as _HEADER_BYTES
from bide.log.head import Head
from bide.storage.base import (
    Citation,
    Displaced,
    EntryQuery,
    FormerDevice,
    HeldRecord,
    MemberRecord,
    Quarantined,
    SpaceRecord,
    StoredEnvelope,
    Suspect,
)
from bide.storage.memory_tables import Tables

_FOUND_MAX = 8


class MemoryStorage:
    """`bide.storage.base.Storage` in memory."""

    def __init__(self) -> None:
        self._t = Tables()
        self._writing = False

    def copy(self) -> MemoryStorage:
        """Another one with the same in it, as a copied folder has."""
        twin = MemoryStorage()
        twin._t = self._t.copy()
        return twin

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See the contract."""
        if self._writing:
            yield
            return
        before = self._t.copy()
        self._writing = True
        try:
            yield
        except BaseException:
            self._t = before
            raise
        finally:
            self._writing = False

    def snapshot(self) -> AbstractContextManager[None]:
        """See the contract. Nobody else writes here."""
        return nullcontext()

    def close(self) -> None:
        """See the contract."""

    # The truth

    def meta(self, key: str) -> str:
        """See the contract."""
        return self._t.meta.get(key, "")

    def put_meta(self, key: str, value: str) -> None:
        """See the contract."""
        self._t.meta[key] = value

    def spaces(self) -> list[SpaceRecord]:
        """See the contract."""
        return sorted(self._t.spaces.values(), key=lambda space: space.kind != "own")

    def put_space(self, space: SpaceRecord) -> None:
        """See the contract."""
        if there := self._t.spaces.get(space.space_id):
            space = there._replace(
                epoch_id=space.epoch_id or there.epoch_id, relay_url=space.relay_url, pending=there.pending and space.pending
            )
        self._t.spaces[space.space_id] = space

    def replace_device(self, space: SpaceRecord) -> None:
        """See the contract."""
        there = self._t.spaces[space.space_id]
        self._t.spaces[space.space_id] = there._replace(
            log_id=space.log_id, signing_seed=space.signing_seed, sealing_secret=space.sealing_secret
        )

    def former_devices(self, space: SpaceId) -> list[FormerDevice]:
        """See the contract."""
        return [former for key, former in self._t.formers.items() if key[0] == space]

    def put_former_device(self, former: FormerDevice) -> None:
        """See the contract."""
        self._t.formers.setdefault((former.space_id, former.log_id), former)

    def remove_former_device(self, space: SpaceId, log: LogId) -> None:
        """See the contract."""
        self._t.formers.pop((space, log), None)

    def remove_space(self, space: SpaceId) -> None:
        """See the contract."""
        t = self._t
        t.spaces.pop(space, None)
        t.epochs.pop(space, None)
        t.logs = {key: log for key, log in t.logs.items() if key[0] != space}
        t.relay_heads = {key: head for key, head in t.relay_heads.items() if key[0] != space}
        t.evidence = {key: header for key, header in t.evidence.items() if key[0] != space}
        t.displaced = {key: item for key, item in t.displaced.items() if key[0] != space}
        t.beside = {key: envelope for key, envelope in t.beside.items() if key[0] != space}
        t.formers = {key: former for key, former in t.formers.items() if key[0] != space}
        t.suspects = {key: item for key, item in t.suspects.items() if key[0] != space}
        t.held = {key: held for key, held in t.held.items() if held.space_id != space}
        t.members = {key: member for key, member in t.members.items() if key[0] != space}
        t.events = {key: event for key, event in t.events.items() if key[0] != space}
        t.contradictions = {key: citation for key, citation in t.contradictions.items() if key[0] != space}
        t.citations = {key: citation for key, citation in t.citations.items() if key[0] != space}
        t.quarantine = {key: item for key, item in t.quarantine.items() if key[0] != space}
        t.entries = {key: entry for key, entry in t.entries.items() if key[0] != space}

    def epochs(self, space: SpaceId) -> dict[bytes, bytes]:
        """See the contract."""
        return dict(self._t.epochs.get(space, {}))

    def put_epoch(self, space: SpaceId, epoch_id: bytes, secret: bytes) -> None:
        """See the contract."""
        self._t.epochs.setdefault(space, {}).setdefault(epoch_id, secret)

    def append(self, space: SpaceId, envelope: StoredEnvelope) -> bool:
        """See the contract."""
        key = (space, envelope.log_id)
        log = self._t.logs.get(key, ())
        if envelope.seq > len(log) + 1:
            raise SequenceGap
        if envelope.seq <= len(log):
            there = log[envelope.seq - 1]
            if there.hash != envelope.hash:
                raise ForkDetected(evidence=there.data)
            return False
        self._t.logs[key] = (*log, envelope)
        return True

    def displace(self, space: SpaceId, log: LogId, seq: int) -> list[StoredEnvelope]:
        """See the contract."""
        there = self._t.logs.get((space, log), ())
        for envelope in there[seq:]:
            self._t.displaced.pop((space, log, envelope.hash), None)
            self._t.displaced[space, log, envelope.hash] = Displaced(space, envelope, waiting=True)
        if there[:seq]:
            self._t.logs[space, log] = there[:seq]
        else:
            self._t.logs.pop((space, log), None)
        return list(there[seq:])

    def displaced(self, space: SpaceId, *, waiting: bool = False) -> list[Displaced]:
        """See the contract."""
        return [item for key, item in self._t.displaced.items() if key[0] == space and item.waiting >= waiting]

    def settle_displaced(self, space: SpaceId, *, only: bytes = b"") -> None:
        """See the contract."""
        for key in [key for key in self._t.displaced if key[0] == space and only in (b"", key[2])]:
            there = self._t.displaced[key].envelope
            kept = there if there.control else there._replace(data=there.data[:_HEADER_BYTES])
            self._t.displaced[key] = self._t.displaced[key]._replace(envelope=kept, waiting=False)

    def bare_displaced(self, space: SpaceId, digest: bytes) -> None:
        """See the contract."""
        for key, item in self._t.displaced.items():
            if key[0] == space and key[2] == digest and not item.envelope.control:
                bare = item.envelope._replace(data=item.envelope.data[:_HEADER_BYTES])
                self._t.displaced[key] = item._replace(envelope=bare)

    def heads(self, space: SpaceId) -> dict[LogId, Head]:
        """See the contract."""
        return {key[1]: Head(key[1], log[-1].seq, log[-1].hash) for key, log in self._t.logs.items() if key[0] == space}

    def envelope(self, space: SpaceId, log: LogId, seq: int) -> StoredEnvelope | None:
        """See the contract."""
        stored = self._t.logs.get((space, log), ())
        return stored[seq - 1] if 1 <= seq <= len(stored) else None

    def envelopes_after(self, space: SpaceId, log: LogId, seq: int, *, bytes_max: int, count_max: int) -> list[StoredEnvelope]:
        """See the contract."""
        batch: list[StoredEnvelope] = []
        size = 0
        for envelope in self._t.logs.get((space, log), ())[seq : seq + count_max]:
            size += len(envelope.data)
            if batch and size > bytes_max:
                break
            batch.append(envelope)
        return batch

    def controls(self, space: SpaceId) -> list[StoredEnvelope]:
        """See the contract."""
        logs = sorted((key[1], log) for key, log in self._t.logs.items() if key[0] == space)
        return [envelope for _, log in logs for envelope in log if envelope.control]

    def erase_bodies(self, space: SpaceId, log: LogId, first: int, last: int) -> list[int]:
        """See the contract."""
        kept = self._t.logs.get((space, log), ())
        gone = [e.seq for e in kept if first <= e.seq <= last and not e.control and len(e.data) > _HEADER_BYTES]
        for seq in gone:
            self._put_data(space, log, seq, kept[seq - 1].data[:_HEADER_BYTES])
        return gone

    def fill_body(self, space: SpaceId, envelope: StoredEnvelope) -> bool:
        """See the contract."""
        kept = self._t.logs.get((space, envelope.log_id), ())
        there = kept[envelope.seq - 1] if 1 <= envelope.seq <= len(kept) else None
        if there is None or not _is_bare(there) or envelope.data[:_HEADER_BYTES] != there.data:
            return False
        self._put_data(space, envelope.log_id, envelope.seq, envelope.data)
        return True

    def bare(self, space: SpaceId) -> list[tuple[LogId, int]]:
        """See the contract."""
        logs = sorted(key for key in self._t.logs if key[0] == space)
        return [(log, e.seq) for key in logs for log, e in ((key[1], e) for e in self._t.logs[key]) if _is_bare(e)]

    def _put_data(self, space: SpaceId, log: LogId, seq: int, data: bytes) -> None:
        kept = self._t.logs[space, log]
        self._t.logs[space, log] = (*kept[: seq - 1], kept[seq - 1]._replace(data=data), *kept[seq:])

    def relay_heads(self, space: SpaceId) -> dict[LogId, Head]:
        """See the contract."""
        return {key[1]: head for key, head in self._t.relay_heads.items() if key[0] == space}

    def put_relay_head(self, space: SpaceId, head: Head) -> None:
        """See the contract."""
        self._t.relay_heads[space, head.log_id] = head

    def put_beside(self, space: SpaceId, envelope: StoredEnvelope) -> None:
        """See the contract."""
        self._t.beside[space, envelope.log_id, envelope.hash] = envelope

    def remove_beside(self, space: SpaceId, digest: bytes) -> None:
        """See the contract."""
        for key in [key for key in self._t.beside if (key[0], key[2]) == (space, digest)]:
            if (envelope := self._t.beside.pop(key)).control:
                self._t.displaced.setdefault(key, Displaced(space, envelope, waiting=False))

    def beside(self, space: SpaceId) -> list[StoredEnvelope]:
        """See the contract."""
        found = [envelope for key, envelope in self._t.beside.items() if key[0] == space]
        return sorted(found, key=lambda envelope: (envelope.log_id, envelope.seq, envelope.hash))

    def put_evidence(self, space: SpaceId, header: bytes) -> None:
        """See the contract."""
        self._t.evidence[space, header] = header

    def evidence(self, space: SpaceId) -> list[bytes]:
        """See the contract."""
        return sorted(header for (owner, _), header in self._t.evidence.items() if owner == space)

    def put_contradiction(self, space: SpaceId, citation: Citation) -> None:
        """See the contract."""
        self._t.contradictions.setdefault((space, citation.log_id, citation.by_log), citation)

    def contradictions(self, space: SpaceId) -> list[Citation]:
        """See the contract."""
        return [citation for key, citation in sorted(self._t.contradictions.items()) if key[0] == space]

    # What may stop a process

    def begin_applying(self, space: SpaceId, places: Sequence[tuple[LogId, int]], *, durable: bool) -> None:
        """See the contract. Nothing in memory outlives the process."""

    def suspects(self, space: SpaceId) -> list[Suspect]:
        """See the contract."""
        return [suspect for key, suspect in sorted(self._t.suspects.items()) if key[0] == space]

    def put_suspect(self, suspect: Suspect) -> None:
        """See the contract."""
        self._t.suspects[suspect.space_id, suspect.log_id, suspect.seq] = suspect

    def remove_suspect(self, suspect: Suspect) -> None:
        """See the contract."""
        self._t.suspects.pop((suspect.space_id, suspect.log_id, suspect.seq), None)

    # What is held back on this device

    def put_held(self, held: HeldRecord) -> None:
        """See the contract."""
        self._t.held[held.held_id] = held

    def held(self, held_id: EntryId) -> HeldRecord | None:
        """See the contract."""
        return self._t.held.get(held_id)

    def remove_held(self, held_id: EntryId) -> None:
        """See the contract."""
        self._t.held.pop(held_id, None)

    def outbox(self) -> list[HeldRecord]:
        """See the contract."""
        return sorted(self._t.held.values(), key=lambda held: (held.due_ms, held.held_ms, held.held_id))

    def outbox_due(self) -> int | None:
        """See the contract."""
        free = (held.due_ms for held in self._t.held.values() if not held.hindrance and held.waits_for is None)
        return min(free, default=None)

    # Derived from it

    def members(self, space: SpaceId) -> list[MemberRecord]:
        """See the contract."""
        return [member for member in self._t.members.values() if member.space_id == space]

    def put_member(self, member: MemberRecord) -> None:
        """See the contract."""
        self._t.members.setdefault((member.space_id, member.log_id), member)

    def remove_member(self, space: SpaceId, log: LogId) -> None:
        """See the contract."""
        self._t.members.pop((space, log), None)

    def put_event(self, event: EventRecord) -> None:
        """See the contract."""
        self._t.events[event.space_id, event.log_id, event.seq] = event

    def remove_event(self, space: SpaceId, log: LogId, seq: int) -> None:
        """See the contract."""
        self._t.events.pop((space, log, seq), None)

    def remove_quarantine(self, space: SpaceId, log: LogId, seq: int) -> None:
        """See the contract."""
        self._t.quarantine.pop((space, log, seq), None)

    def event(self, space: SpaceId, log: LogId, seq: int) -> EventRecord | None:
        """See the contract."""
        return self._t.events.get((space, log, seq))

    def events(self, space: SpaceId, entry: EntryId) -> list[EventRecord]:
        """See the contract."""
        found = [event for event in self._t.events.values() if event.space_id == space and event.entry_id == entry]
        return sorted(found, key=lambda event: (event.log_id, event.seq))

    def events_of_type(self, space: SpaceId, name: str) -> list[EventRecord]:
        """See the contract."""
        found = [event for event in self._t.events.values() if event.space_id == space and event.type == name]
        return sorted(found, key=lambda event: (event.entry_id, event.log_id, event.seq))

    def entries_standing(self, space: SpaceId, standing: Standing) -> list[EntryId]:
        """See the contract."""
        return sorted({e.entry_id for key, e in self._t.events.items() if key[0] == space and e.standing is standing})

    def log_events(self, space: SpaceId, log: LogId, seq: int) -> Iterator[tuple[int, EntryId, tuple[Head, ...]]]:
        """See the contract."""
        found = [e for e in self._t.events.values() if e.space_id == space and e.log_id == log and e.seq <= seq]
        yield from ((e.seq, e.entry_id, e.frontier) for e in sorted(found, key=lambda event: event.seq))

    def all_events(self, space: SpaceId) -> Iterator[EventRecord]:
        """See the contract."""
        yield from (event for key, event in sorted(self._t.events.items()) if key[0] == space)

    def places(self, entries: Sequence[EntryId]) -> dict[tuple[SpaceId, EntryId], dict[LogId, int]]:
        """See the contract."""
        places: dict[tuple[SpaceId, EntryId], dict[LogId, int]] = {}
        for event in self._t.events.values():
            if event.entry_id in entries and (event.space_id, event.entry_id) in self._t.entries:
                logs = places.setdefault((event.space_id, event.entry_id), {})
                logs[event.log_id] = max(event.seq, logs.get(event.log_id, 0))
        return places

    def standing_of(self, space: SpaceId, log: LogId, seq: int) -> Standing | None:
        """See the contract."""
        event = self._t.events.get((space, log, seq))
        return event.standing if event else None

    def standing_counts(self, space: SpaceId) -> dict[Standing, int]:
        """See the contract."""
        counts: dict[Standing, int] = {}
        for event in self._t.events.values():
            if event.space_id == space:
                counts[event.standing] = counts.get(event.standing, 0) + 1
        return counts

    def put_quarantine(self, item: Quarantined) -> None:
        """See the contract."""
        self._t.quarantine[item.space_id, item.log_id, item.seq] = item

    def quarantine(self, space: SpaceId) -> list[Quarantined]:
        """See the contract."""
        return [item for key, item in sorted(self._t.quarantine.items()) if key[0] == space]

    def citations(self, space: SpaceId) -> dict[tuple[LogId, int], int]:
        """See the contract."""
        furthest: dict[tuple[LogId, int], int] = {}
        for citation in self.cited(space):
            key = (citation.log_id, citation.slot)
            furthest[key] = max(citation.seq, furthest.get(key, 0))
        return furthest

    def cited(self, space: SpaceId) -> list[Citation]:
        """See the contract."""
        return [citation for key, citation in sorted(self._t.citations.items()) if key[0] == space]

    def put_citation(self, space: SpaceId, citation: Citation) -> None:
        """See the contract."""
        there = self._t.citations.get(key := (space, citation.log_id, citation.by_log))
        if there is None or there.seq < citation.seq:
            self._t.citations[key] = citation

    def remove_citations(self, space: SpaceId, by_log: LogId) -> None:
        """See the contract."""
        self._t.citations = {k: each for k, each in self._t.citations.items() if (k[0], k[2]) != (space, by_log)}

    def put_entry(self, entry: EntryRecord) -> None:
        """See the contract."""
        self._t.entries[entry.space_id, entry.entry_id] = entry

    def remove_entry(self, space: SpaceId, entry: EntryId) -> None:
        """See the contract."""
        self._t.entries.pop((space, entry), None)

    def entry(self, space: SpaceId, entry: EntryId) -> EntryRecord | None:
        """See the contract."""
        return self._t.entries.get((space, entry))

    def entries_with_id(self, entry: EntryId) -> list[EntryRecord]:
        """See the contract."""
        return sorted((e for e in self._t.entries.values() if e.entry_id == entry), key=lambda e: e.space_id)

    def find_entries(self, code: str) -> list[EntryRecord]:
        """See the contract."""
        visible = (e for e in self._t.entries.values() if e.kind != "person")
        fitting = (e for e in visible if entry_code(e.entry_id).startswith(code))
        return sorted(fitting, key=lambda e: (entry_code(e.entry_id), e.space_id))[:_FOUND_MAX]

    def entries(self, query: EntryQuery) -> list[EntryRecord]:
        """See the contract."""
        fits = set(self._t.entries)
        for word in query.words:
            fits &= {(e.space_id, e.reply_to or e.entry_id) for e in self._t.entries.values() if word in e.search_text}
        found = [
            entry
            for entry in self._t.entries.values()
            if entry.shown
            and (entry.space_id, entry.entry_id) in fits
            and query.space_id in (None, entry.space_id)
            and (not query.kinds or entry.kind in query.kinds)
            and (not query.since_day or entry.day >= query.since_day)
            and (not query.until_day or entry.day <= query.until_day)
            and (query.authors is None or (entry.space_id, entry.slot) in query.authors)
        ]
        found.sort(key=_by_time)
        return found[-query.limit :] if query.limit else found

    def hidden_entries(self, space: SpaceId, kind: str) -> list[EntryRecord]:
        """See the contract."""
        return [entry for entry in self.all_entries(space) if entry.kind == kind and not entry.shown]

    def replies(self, entries: Sequence[EntryId]) -> list[EntryRecord]:
        """See the contract."""
        return sorted((e for e in self._t.entries.values() if e.reply_to in entries), key=_by_time)

    def count_entries(self, space: SpaceId) -> int:
        """See the contract."""
        return sum(1 for entry in self._t.entries.values() if entry.space_id == space and entry.shown)

    def all_entries(self, space: SpaceId) -> Iterator[EntryRecord]:
        """See the contract."""
        yield from sorted((e for e in self._t.entries.values() if e.space_id == space), key=lambda e: e.entry_id)

    def forget_removed(self) -> None:
        """See the contract."""

    def clear_derived(self) -> None:
        """See the contract."""
        for table in (self._t.members, self._t.events, self._t.entries, self._t.citations, self._t.quarantine):
            table.clear()

    def check(self) -> list[Phrase]:
        """See the contract."""
        return []


def _is_bare(envelope: StoredEnvelope) -> bool:
    return not envelope.control and len(envelope.data) == _HEADER_BYTES and any(envelope.data[104:108])


def _by_time(entry: EntryRecord) -> tuple[int, bytes]:
    return (entry.at_ms, entry.entry_id)
