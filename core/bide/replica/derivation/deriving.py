"""From stored envelopes to the read model: open, judge, project. Everything here can be done again at any time."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence

from bide.crypto import sealing
from bide.entries.kinds import ANSWER, ERASED, PERSON, QUESTION, REPAIR
from bide.entries.question import CLOSED, Reveal
from bide.entries.records import EntryRecord, EventRecord, Standing
from bide.errors import EnvelopeRejected
from bide.ids import EntryId, LogId, SpaceId
from bide.log.envelope import AUTHENTICATED_BYTES, Envelope, EnvelopeClass
from bide.log.event import Event, read_event
from bide.log.leaving import is_erased, knows_of
from bide.projections.entry import encode_body, project_entry, search_text
from bide.projections.erased import left_over, placeholder, words_text
from bide.projections.order import Applied, Judged, judge
from bide.projections.repair import Seen, affected_groups, knowledge, project_group
from bide.replica.derivation.citing import cite, cite_again
from bide.replica.derivation.vetting import taking_in
from bide.replica.spaces.belonging import read_belonging
from bide.storage.base import Quarantined, Storage, StoredEnvelope

_NOT_UNDERSTOOD = "This entry could not be made sense of, and is not shown."
AFTER_THE_END = "This was written after what you shared had ended; it is kept and not shown."
_UNEXPECTED = Exception
"""Caught around pure folds over somebody else's events only: whatever they raise must not stop what comes after. No storage is
called there, so nothing of it is swallowed."""


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
    belonging = read_belonging(storage, space)
    touched: set[EntryId] = set()
    records: list[EventRecord] = []
    for envelope in envelopes:
        if envelope.klass is not EnvelopeClass.DATA or envelope.is_bare:
            continue
        if is_erased(belonging.erased, envelope.log_id, envelope.seq):
            storage.erase_bodies(space, envelope.log_id, envelope.seq, envelope.seq)
            continue
        try:
            event = open_event(envelope, space=space, epochs=epochs)
        except EnvelopeRejected as error:
            storage.put_quarantine(Quarantined(space, envelope.log_id, envelope.seq, error.message))
            continue
        slot = slots[envelope.log_id]
        named = {head.log_id: head.seq for head in event.frontier} if belonging.over else {}
        if knows_of(belonging.over, envelope.log_id, envelope.seq, named):
            storage.put_quarantine(Quarantined(space, envelope.log_id, envelope.seq, AFTER_THE_END))
            continue
        records.append(_record(space, envelope, event, slot))
    with taking_in(storage, space, records) as (sound, stopped):
        for record in sound:
            storage.put_event(record)
            touched.add(record.entry_id)
        for log in {record.log_id: record for record in sound}:
            events = sorted((record.seq, record.entry_id, record.frontier) for record in sound if record.log_id == log)
            cite(storage, space, log, slots[log], events)
        if stopped:
            project_again(storage, space, touched | stopped)
        else:
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
        change=event.change,
        frontier=event.frontier,
        standing=Standing.WAITING,
    )


def project(storage: Storage, space: SpaceId, entries: Iterable[EntryId]) -> None:
    """Bring the records of these entries up to date. Inside a transaction."""
    repairs: dict[EntryId, Judged] = {}
    formerly: set[EntryId] = set()
    questions: set[EntryId] = set()
    own_space = any(found.space_id == space and found.kind == "own" for found in storage.spaces())
    erased = bool(read_belonging(storage, space).erased)
    bereft: set[EntryId] = set()
    for entry in sorted(entries):
        events = storage.events(space, entry)
        judged = _judge(storage, space, events, erased=erased)
        # What it was until now: it may have been taken out with the end of a log, or turn out to be something else.
        was_here = judged.kind in (REPAIR, None) or any(event.standing is not Standing.WAITING for event in events)
        before = storage.entry(space, entry) if erased or was_here else None
        formerly.update(_folded_with(before))
        questions.update(_asked(before))
        if erased:
            bereft.update(_perhaps_bereft(before))
        if judged.kind is REPAIR:
            repairs[entry] = judged
        else:
            questions.update(_asked(_project_one(storage, space, entry, judged, own_space=own_space)))
    # Which conversations fold may have changed with what this one turned out to be.
    for entry in sorted(formerly - repairs.keys()):
        judged = _judge(storage, space, storage.events(space, entry), erased=erased)
        if judged.kind is REPAIR:
            repairs[entry] = judged
    if repairs:
        _project_repairs(storage, space, repairs, erased=erased)
    for question in sorted(questions):
        _open_answers(storage, space, question)
    if erased:
        for entry in sorted(entries):
            record = storage.entry(space, entry)
            bereft.update(other for other in (entry, record.reply_to if record else None) if other is not None)
        for entry in sorted(bereft):
            _show_what_is_left(storage, space, entry)


def _perhaps_bereft(before: EntryRecord | None) -> list[EntryId]:
    """Entries that may need a placeholder, or need it no more, with what becomes of this one."""
    found = [before.reply_to] if before is not None and before.reply_to is not None else []
    return found + _folded_with(before)


def _asked(record: EntryRecord | None) -> list[EntryId]:
    """The question whose answers may have to open or close with this entry."""
    if record is None:
        return []
    if record.kind == ANSWER.name and record.reply_to is not None:
        return [record.reply_to]
    return [record.entry_id] if record.kind == QUESTION.name else []


def _show_what_is_left(storage: Storage, space: SpaceId, entry: EntryId) -> None:
    """Where words of an entry were erased: see to it that those of others which build on them are shown."""
    record = storage.entry(space, entry)
    events = storage.events(space, entry)
    left = [event for event in events if event.standing is Standing.LEFT_OVER]
    if record is not None and record.kind != ERASED.name:
        words = left_over(left)
        body = json.loads(record.body)
        if words and record.kind != PERSON.name and body.get("words") != words:
            search = "" if record.state == CLOSED else _joined(record.search_text, words_text(words))
            storage.put_entry(record._replace(body=encode_body({**body, "words": words}), search_text=search))
        return
    replies = [reply for reply in storage.replies([entry]) if reply.space_id == space]
    stand_in = placeholder(space, entry, left, replies)
    if stand_in is not None:
        storage.put_entry(stand_in)
    elif record is not None:
        storage.remove_entry(space, entry)


def project_again(storage: Storage, space: SpaceId, entries: Iterable[EntryId] = ()) -> None:
    """After something in the middle of a log went or came: these, and whatever may look otherwise now. Inside a transaction.

    That is what waits or is left over, all conversations (what their authors knew may be gone, which tells whether invitations
    crossed), and replies to what is not here.
    """
    touched = {*entries, *(event.entry_id for event in storage.events_of_type(space, REPAIR.created_by.name))}
    for standing in (Standing.WAITING, Standing.LEFT_OVER):
        touched.update(storage.entries_standing(space, standing))
    here = {record.entry_id: record for record in storage.all_entries(space)}
    touched.update(r.reply_to for r in here.values() if r.reply_to is not None and r.reply_to not in here)
    touched.update(entry for entry, record in here.items() if record.kind in (REPAIR.name, ERASED.name))
    project(storage, space, touched)


def remove_events(storage: Storage, space: SpaceId, places: Iterable[tuple[LogId, int]]) -> set[EntryId]:
    """Take events out of the read model. Inside a transaction; what they leave behind is for the caller to `project`.

    Returns:
        The entries that they belonged to.
    """
    touched: set[EntryId] = set()
    for log, seq in places:
        event = storage.event(space, log, seq)
        if event is not None:
            storage.remove_event(space, log, seq)
            touched.add(event.entry_id)
    return touched


def forget(storage: Storage, space: SpaceId, out: Sequence[StoredEnvelope]) -> set[EntryId]:
    """Keep nothing of what was derived from envelopes that were taken out of their logs. As `remove_events`."""
    touched = remove_events(storage, space, ((each.log_id, each.seq) for each in out))
    for each in out:
        storage.remove_quarantine(space, each.log_id, each.seq)
    cite_again(storage, space, {each.log_id for each in out})
    return touched


def _project_one(storage: Storage, space: SpaceId, entry: EntryId, judged: Judged, *, own_space: bool) -> EntryRecord | None:
    try:
        record = project_entry(judged, own_space=own_space)
    except _UNEXPECTED:
        _quarantine(storage, space, judged.applied)
        record = None
    if record is not None:
        storage.put_entry(record)
    else:
        storage.remove_entry(space, entry)
    return record


def _open_answers(storage: Storage, space: SpaceId, question: EntryId) -> None:
    """Open or close the answers to a question: where both are to answer first, neither is read or found before."""
    asked = storage.entry(space, question)
    found = [reply for reply in storage.replies([question]) if reply.space_id == space and reply.kind == ANSWER.name]
    at_once = asked is not None and asked.kind == QUESTION.name and json.loads(asked.body)["reveal"] == Reveal.AT_ONCE
    # Who took their answer back has not answered: else an empty one would open what the other writes after it.
    said = {answer.slot for answer in found if json.loads(answer.body)["fields"].get("answer")}
    opened = at_once or len(said) == 2
    for answer in found:
        body = json.loads(answer.body)
        search = _joined(search_text(body["fields"]), words_text(body.get("words", ()))) if opened else ""
        record = answer._replace(state="" if opened else CLOSED, search_text=search)
        if record != answer:
            storage.put_entry(record)


def _joined(*texts: str) -> str:
    """What an entry is found by: its own words, and those that are left over."""
    return "\n".join(filter(None, texts))


def _project_repairs(storage: Storage, space: SpaceId, repairs: dict[EntryId, Judged], *, erased: bool) -> None:
    counting = [e for e in storage.events_of_type(space, REPAIR.created_by.name) if e.standing is Standing.APPLIED]
    groups = affected_groups(repairs, counting)
    if any(len(group) > 1 for group in groups):
        # By what they cite themselves some crossed; now as their authors' whole logs tell it.
        known_by = knowledge(counting, lambda log, seq: itertools.starmap(Seen, storage.log_events(space, log, seq)))
        groups = affected_groups(repairs, counting, known_by)
    for group in groups:
        if repairs.keys().isdisjoint(group) and _stands(storage, space, group):
            continue
        members = [repairs.get(entry) or _judge(storage, space, storage.events(space, entry), erased=erased) for entry in group]
        try:
            records = project_group(members)
        except _UNEXPECTED:
            for member in members:
                _quarantine(storage, space, member.applied)
            records = []
        for entry in set(group) - {record.entry_id for record in records}:
            storage.remove_entry(space, entry)
        for record in records:
            storage.put_entry(record)
            if erased:
                _show_what_is_left(storage, space, record.entry_id)


def _stands(storage: Storage, space: SpaceId, group: Sequence[EntryId]) -> bool:
    """Whether these conversations are stored as this group already."""
    return all(
        storage.entry(space, entry) is not None
        and _folded_with(storage.entry(space, entry)) == [other for other in group if other != entry]
        for entry in group
    )


def _folded_with(record: EntryRecord | None) -> list[EntryId]:
    """The conversations that this one was folded with when it was last projected."""
    if record is None or record.kind != REPAIR.name:
        return []
    body = json.loads(record.body)
    return [EntryId(bytes.fromhex(other)) for other in (*body.get("folded", ()), *filter(None, [body.get("into")]))]


def _judge(storage: Storage, space: SpaceId, events: Sequence[EventRecord], *, erased: bool) -> Judged:
    """Judge the stored events of an entry, and note what became of each."""
    try:
        judged = judge(events)
    except _UNEXPECTED:
        for event in events:
            storage.put_quarantine(Quarantined(space, event.log_id, event.seq, _NOT_UNDERSTOOD))
        # None of them counts, so that what is written here now surfaces as not written.
        judged = Judged(None, [], {(event.log_id, event.seq): Standing.WAITING for event in events})
    if erased:
        # What something was erased for in this space may never come: it is shown as it is, and counts if it comes after all.
        left = {place: Standing.LEFT_OVER for place, each in judged.standings.items() if each is Standing.WAITING}
        judged.standings.update(left)
    for event in events:
        standing = judged.standings[event.log_id, event.seq]
        if standing is not event.standing:
            storage.put_event(event._replace(standing=standing))
    return judged


def _quarantine(storage: Storage, space: SpaceId, applied: Iterable[Applied]) -> None:
    for event, _ in applied:
        storage.put_quarantine(Quarantined(space, event.log_id, event.seq, _NOT_UNDERSTOOD))
