"""From stored envelopes to the read model: open, judge, project. Everything here can be done again at any time."""

from __future__ import annotations

import json
from collections.abc import Iterable

from bide.crypto import sealing
from bide.entries.kinds import REPAIR
from bide.entries.records import EventRecord, Standing
from bide.errors import BideError, ChangeRejected, EnvelopeRejected
from bide.ids import EntryId, LogId, SpaceId
from bide.log.envelope import AUTHENTICATED_BYTES, Envelope, EnvelopeClass
from bide.log.event import Event, read_event
from bide.projections.entry import project_entry, without_unloadable
from bide.projections.order import Judged, judge
from bide.projections.repair import affected_groups, project_group
from bide.storage.base import Quarantined, Storage, StoredEnvelope


def stored(envelope: Envelope) -> StoredEnvelope:
    """An envelope as it is stored."""
    control = envelope.klass is EnvelopeClass.CONTROL
    return StoredEnvelope(envelope.log_id, envelope.seq, envelope.hash, control, envelope.data)


def open_event(envelope: Envelope, *, space: SpaceId, epochs: dict[bytes, bytes]) -> Event:
    """Decrypt a data envelope and read its event.

    Raises:
        EnvelopeRejected: no key for it, altered, or no event in it.
    """
    secret = epochs.get(envelope.epoch_id)
    if secret is None:
        raise EnvelopeRejected("The key for this entry has not arrived.")
    plaintext = sealing.unseal(
        envelope.body,
        secret=secret,
        log=envelope.log_id,
        nonce=envelope.nonce,
        associated=envelope.data[:AUTHENTICATED_BYTES] + space,
    )
    return read_event(plaintext)


def derive(storage: Storage, space: SpaceId, envelopes: Iterable[Envelope], *, slots: dict[LogId, int]) -> set[EntryId]:
    """Take verified envelopes into the read model. Inside a transaction.

    What can't be opened or read goes into quarantine with a reason, and stays in the log.

    Args:
        storage: where to.
        space: of which space.
        envelopes: already appended to their logs.
        slots: whose each log is.

    Returns:
        The entries that something happened to.
    """
    epochs = storage.epochs(space)
    touched: set[EntryId] = set()
    citations: dict[tuple[LogId, int], int] = {}
    for envelope in envelopes:
        if envelope.klass is not EnvelopeClass.DATA:
            continue
        try:
            event = open_event(envelope, space=space, epochs=epochs)
        except EnvelopeRejected as error:
            storage.put_quarantine(Quarantined(space, envelope.log_id, envelope.seq, error.message))
            continue
        slot = slots[envelope.log_id]
        for head in event.frontier:
            key = (head.log_id, slot)
            citations[key] = max(head.seq, citations.get(key, 0))
        storage.put_event(_record(space, envelope, event, slot))
        touched.add(event.entry_id)
    for (log, slot), seq in citations.items():
        storage.put_citation(space, log, slot, seq)
    project(storage, space, touched)
    return touched


def _record(space: SpaceId, envelope: Envelope, event: Event, slot: int) -> EventRecord:
    return EventRecord(
        space_id=space,
        entry_id=event.entry_id,
        log_id=envelope.log_id,
        seq=envelope.seq,
        slot=slot,
        type=event.type,
        version=event.version,
        least_version=event.least_version,
        time_ms=event.time_ms,
        zone=event.zone,
        day=event.day,
        change_hash=b"",
        change=event.change,
        frontier=event.frontier,
        standing=Standing.WAITING,
    )


def project(storage: Storage, space: SpaceId, entries: Iterable[EntryId]) -> None:
    """Bring the records of these entries up to date. Inside a transaction."""
    repairs: dict[EntryId, Judged] = {}
    formerly: set[EntryId] = set()
    for entry in sorted(entries):
        judged = _judge_stored(storage, space, entry)
        if judged.kind is REPAIR or Standing.IGNORED in judged.standings.values():
            formerly.update(_folded_with(storage, space, entry))
        if judged.kind is REPAIR:
            repairs[entry] = judged
        else:
            _project_one(storage, space, entry, judged)
    # Which conversations fold may have changed with what this one turned out to be.
    for entry in sorted(formerly - repairs.keys()):
        judged = _judge_stored(storage, space, entry)
        if judged.kind is REPAIR:
            repairs[entry] = judged
    if repairs:
        _project_repairs(storage, space, repairs)


def _project_one(storage: Storage, space: SpaceId, entry: EntryId, judged: Judged) -> None:
    try:
        try:
            record = project_entry(judged)
        except ChangeRejected:
            record = project_entry(_leave_out_unloadable(storage, judged))
    except ChangeRejected as error:
        _quarantine(storage, judged, error)
        return
    if record is not None:
        storage.put_entry(record)
    else:
        storage.remove_entry(space, entry)


def _project_repairs(storage: Storage, space: SpaceId, repairs: dict[EntryId, Judged]) -> None:
    counting = [e for e in storage.events_of_type(space, REPAIR.created_by.name) if e.standing is Standing.APPLIED]
    for group in affected_groups(repairs, counting):
        members = [repairs.get(entry) or _judge_stored(storage, space, entry) for entry in group]
        try:
            try:
                records = project_group(members)
            except ChangeRejected:
                members = [_leave_out_unloadable(storage, member) for member in members]
                records = project_group([member for member in members if member.applied])
        except ChangeRejected as error:
            for member in members:
                _quarantine(storage, member, error)
            continue
        for record in records:
            storage.put_entry(record)


def _folded_with(storage: Storage, space: SpaceId, entry: EntryId) -> list[EntryId]:
    """The conversations that this one was folded with when it was last projected."""
    record = storage.entry(space, entry)
    if record is None or record.kind != REPAIR.name:
        return []
    body = json.loads(record.body)
    return [EntryId(bytes.fromhex(other)) for other in (*body.get("folded", ()), *filter(None, [body.get("into")]))]


def _judge_stored(storage: Storage, space: SpaceId, entry: EntryId) -> Judged:
    events = storage.events(space, entry)
    judged = judge(events)
    _note_standings(storage, events, judged)
    return judged


def _leave_out_unloadable(storage: Storage, judged: Judged) -> Judged:
    """Go on with what Automerge takes, and note what it doesn't."""
    sound = without_unloadable(judged)
    # As they stand in storage now: whatever counted was noted as such a moment ago.
    noted = [item.event._replace(standing=Standing.APPLIED) for item in judged.applied]
    _note_standings(storage, noted, sound)
    return sound


def _note_standings(storage: Storage, events: Iterable[EventRecord], judged: Judged) -> None:
    for event in events:
        standing = judged.standings[event.log_id, event.seq]
        if standing is not event.standing:
            storage.put_event(event._replace(standing=standing))


def _quarantine(storage: Storage, judged: Judged, error: BideError) -> None:
    for event, _ in judged.applied:
        storage.put_quarantine(Quarantined(event.space_id, event.log_id, event.seq, error.message))
