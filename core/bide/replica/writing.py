"""Writing: from what a person said to a sealed, signed, stored event, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bide.crdt.document import Scalar, amend_change, create_change
from bide.crypto import sealing
from bide.entries.fields import clean_field
from bide.entries.hearing import CLARIFICATION, Verdict
from bide.entries.hearing import FIELDS as HEARING_FIELDS
from bide.entries.kinds import HEARING, KINDS, PERSON, REPAIR, EventType, Kind, clean_entry
from bide.entries.records import EntryRecord, Standing
from bide.entries.repair import AGREEMENT_FIELD, GESTURE_FIELD, TELL_FIELDS, Step
from bide.errors import InputError, NotAllowed
from bide.ids import Clock, EntryId, Randomness, new_entry_id, person_entry_id
from bide.log.envelope import (
    ZERO_HASH,
    Envelope,
    EnvelopeClass,
    authenticated_prefix,
    parse_envelope,
    write_envelope,
)
from bide.log.event import Event, write_event
from bide.log.head import Head
from bide.projections.order import judge
from bide.projections.timeline import repair_state, shown_code
from bide.replica.deriving import derive, stored
from bide.replica.reading import Reader
from bide.storage.base import SpaceRecord, Storage

_STEP_FIELDS = {
    Step.TELL: TELL_FIELDS,
    Step.HEAR: HEARING_FIELDS,
    Step.RECONNECT: (GESTURE_FIELD,),
    Step.AGREE: (AGREEMENT_FIELD,),
}
_FLAGS: Mapping[Step, tuple[str, Scalar]] = {
    Step.ACCEPT: ("accept", True),
    Step.SETTLE: ("settle", True),
    Step.WITHDRAW: ("withdraw", True),
    Step.LATER: ("pause", "later"),
    Step.REST: ("pause", "rest"),
    Step.RETURN: ("pause", ""),
}
_DAY_MINUTES = 24 * 60


class Written(NamedTuple):
    """What was written, as the person is told."""

    id: str
    code: str
    kind: str
    visibility: str
    shared_with: list[str]


class Writer:
    """Writes events of this device. Every public method is one transaction."""

    def __init__(
        self,
        storage: Storage,
        reader: Reader,
        *,
        clock: Clock,
        randomness: Randomness,
        zone: str,
        day_starts_min: int,
    ) -> None:
        self._storage = storage
        self._reader = reader
        self._clock = clock
        self._randomness = randomness
        self._zone = zone
        self._day_starts_min = day_starts_min % _DAY_MINUTES

    # Entries

    def write(self, kind_name: str, values: Mapping[str, Any], *, space: SpaceRecord) -> Written:
        """Begin an entry; see `bide.replica.Replica.write`."""
        kind = KINDS.get(kind_name)
        if kind is None or not kind.shown or kind is REPAIR:
            raise InputError(f"There is no kind of entry called {kind_name[:40]!r}.")
        fields: Mapping[str, Scalar] = clean_entry(kind, values)
        return self._begin(kind, lambda: create_change(fields, slot=space.slot, randomness=self._randomness), space=space)

    def invite_to_repair(self, values: Mapping[str, Any], *, calm: bool, space: SpaceRecord) -> Written:
        """Begin a repair conversation; see `bide.replica.Replica.invite_to_repair`."""
        if not calm:
            raise NotAllowed("A conversation like this needs some calm first.", hint="Come back to it when you are ready.")
        fields: dict[str, Scalar] = {**clean_entry(REPAIR, values), "calm": True}
        # The agreement is made with the first change, since two people making the same text would make one of them vanish.
        texts = {AGREEMENT_FIELD.name: ""}
        return self._begin(
            REPAIR, lambda: create_change(fields, texts=texts, slot=space.slot, randomness=self._randomness), space=space
        )

    def hear(self, about: EntryRecord, values: Mapping[str, Any]) -> Written:
        """Reply to an entry by saying it back; see `bide.replica.Replica.hear`."""
        space = self._space_of(about)
        if about.kind == REPAIR.name:
            return self.repair_step(about, Step.HEAR, values)
        if about.slot == space.slot or space.kind == "own":
            raise NotAllowed("That one is yours; hearing is for what the other wrote.")
        if about.kind == HEARING.name:
            raise NotAllowed("That is a hearing already.", hint="Answer it: bide hear ID --heard, or --not-quite")
        fields: dict[str, Scalar] = {**clean_entry(HEARING, values), "about": about.entry_id.hex()}
        return self._begin(HEARING, lambda: create_change(fields, slot=space.slot, randomness=self._randomness), space=space)

    def answer_hearing(self, hearing: EntryRecord, *, verdict: str, clarification: str) -> Written:
        """Say whether a hearing fits; see `bide.replica.Replica.answer_hearing`."""
        space = self._space_of(hearing)
        if hearing.kind != HEARING.name or hearing.slot == space.slot:
            raise NotAllowed("Only the one who was heard can say whether it fits.")
        fields = _answer(verdict, clarification)
        return self._continue(hearing, HEARING.events[2], fields, space=space)

    def edit(self, entry: EntryRecord, values: Mapping[str, Any]) -> Written:
        """Change an own entry; see `bide.replica.Replica.edit`."""
        space = self._space_of(entry)
        kind = KINDS[entry.kind]
        if entry.slot != space.slot:
            raise NotAllowed("Only the one who wrote it can change it.")
        cleaned = clean_entry(kind, values, partial=True)
        remaining = {**json.loads(entry.body)["fields"], **cleaned}
        if not any(remaining.get(field.name) for field in kind.fields):
            raise InputError("That would leave nothing; the entry stays as it is.")
        event_type = next(event for event in kind.events if event.name.endswith(".edited"))
        return self._continue(entry, event_type, cleaned, space=space)

    def repair_step(self, entry: EntryRecord, step: Step, values: Mapping[str, Any]) -> Written:
        """Take a step in a conversation; see `bide.replica.Replica.repair_step`."""
        space = self._space_of(entry)
        if entry.kind != REPAIR.name:
            raise NotAllowed("That is not a repair conversation.")
        body = json.loads(entry.body)
        if "into" in body:
            main = self._storage.entry(space.space_id, EntryId(bytes.fromhex(body["into"])))
            if main is None:
                raise NotAllowed
            return self.repair_step(main, step, values)
        state = repair_state(body)
        if not state.allows(step, space.slot):
            open_steps = ", ".join(s.name.lower() for s in state.next_steps(space.slot)) or "none"
            raise NotAllowed(f"'{step.name.lower()}' is not possible at this point.", hint=f"Open to you now: {open_steps}")
        fields, texts = _step_content(step, values, slot=space.slot)
        event_type = next(event for event in REPAIR.events if event.name == f"repair.{step.event}")
        return self._continue(entry, event_type, fields, texts=texts, space=space)

    def name_person(self, name: str, *, space: SpaceRecord) -> None:
        """Say in a space what this person is called. Inside a transaction."""
        entry = person_entry_id(space.space_id, space.slot)
        changes = self._changes(space, entry)
        fields: Mapping[str, Scalar] = {"name": name}
        if changes:
            change = amend_change(changes, fields, slot=space.slot, randomness=self._randomness)
        else:
            change = create_change(fields, slot=space.slot, randomness=self._randomness)
        self._append_event(PERSON.created_by, entry, change, space=space)

    # The way into the log

    def _begin(self, kind: Kind, change: Callable[[], bytes], *, space: SpaceRecord) -> Written:
        entry = new_entry_id(self._clock, self._randomness, slot=space.slot)
        with self._storage.transaction():
            self._append_event(kind.created_by, entry, change(), space=space)
            return self._told(space, entry)

    def _continue(
        self,
        entry: EntryRecord,
        event_type: EventType,
        fields: Mapping[str, Scalar],
        *,
        texts: Mapping[str, str] | None = None,
        space: SpaceRecord,
    ) -> Written:
        with self._storage.transaction():
            changes = self._changes(space, entry.entry_id)
            change = amend_change(changes, fields, texts=texts, slot=space.slot, randomness=self._randomness)
            self._append_event(event_type, entry.entry_id, change, space=space)
            return self._told(space, entry.entry_id)

    def _changes(self, space: SpaceRecord, entry: EntryId) -> list[bytes]:
        """The counting changes of an entry, each once."""
        judged = judge(self._storage.events(space.space_id, entry))
        # What the projection left out, since Automerge refuses it, stays out here too.
        return [item.event.change for item in judged.applied if item.event.standing is Standing.APPLIED]

    def _append_event(self, event_type: EventType, entry: EntryId, change: bytes, *, space: SpaceRecord) -> None:
        """Seal, sign, chain, store and derive one event. The log's head is read inside the same transaction."""
        heads = self._storage.heads(space.space_id)
        now_ms = max(0, self._clock.now_ms())
        event = Event(
            type=event_type.name,
            version=event_type.version,
            least_version=event_type.version,
            entry_id=entry,
            time_ms=now_ms,
            zone=self._zone,
            day=self._local_day(now_ms),
            change=change,
            frontier=tuple(sorted(head for log, head in heads.items() if log != space.log_id)),
        )
        epoch_secret = self._storage.epochs(space.space_id)[space.epoch_id]
        nonce = self._randomness.token(sealing.NONCE_BYTES)
        prefix = _prefix(space, heads, klass=EnvelopeClass.DATA, epoch_id=space.epoch_id, nonce=nonce)
        body = sealing.seal(
            write_event(event), secret=epoch_secret, log=space.log_id, nonce=nonce, associated=prefix + space.space_id
        )
        self._append(write_envelope(prefix, body, space=space.space_id, signing_seed=space.signing_seed), space=space)

    def append_control(self, body: bytes, *, space: SpaceRecord) -> Envelope:
        """Sign, chain and store a control payload. Inside a transaction; the caller brings members up to date."""
        heads = self._storage.heads(space.space_id)
        prefix = _prefix(space, heads, klass=EnvelopeClass.CONTROL, epoch_id=bytes(16), nonce=bytes(24))
        envelope = write_envelope(prefix, body, space=space.space_id, signing_seed=space.signing_seed)
        self._storage.append(space.space_id, stored(envelope))
        return envelope

    def _append(self, envelope: Envelope, *, space: SpaceRecord) -> None:
        self._storage.append(space.space_id, stored(envelope))
        derive(self._storage, space.space_id, [parse_envelope(envelope.data)], slots={space.log_id: space.slot})
        if self._storage.standing_of(space.space_id, envelope.log_id, envelope.seq) is not Standing.APPLIED:
            raise NotAllowed("That could not be written as it is; nothing was changed.")

    def _local_day(self, now_ms: int) -> str:
        try:
            zone: ZoneInfo | timezone = ZoneInfo(self._zone)
        except (ZoneInfoNotFoundError, ValueError):
            zone = UTC
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=now_ms)
        # The day begins when the person's does: an entry at two in the morning belongs to the evening before.
        return (moment.astimezone(zone).replace(tzinfo=None) - timedelta(minutes=self._day_starts_min)).date().isoformat()

    # Telling

    def _space_of(self, entry: EntryRecord) -> SpaceRecord:
        return next(space for space in self._storage.spaces() if space.space_id == entry.space_id)

    def _told(self, space: SpaceRecord, entry: EntryId) -> Written:
        record = self._storage.entry(space.space_id, entry)
        if record is None:
            raise NotAllowed("That could not be written as it is; nothing was changed.")
        shown = self._reader.show_record(record)
        return Written(shown["id"], shown_code(record), record.kind, shown["visibility"], shown["shared_with"])


def _prefix(space: SpaceRecord, heads: Mapping[Any, Head], *, klass: EnvelopeClass, epoch_id: bytes, nonce: bytes) -> bytes:
    head = heads.get(space.log_id)
    return authenticated_prefix(
        klass=klass,
        log_id=space.log_id,
        seq=head.seq + 1 if head else 1,
        prev_hash=head.hash if head else ZERO_HASH,
        epoch_id=epoch_id,
        nonce=nonce,
    )


def _answer(verdict: str, clarification: str) -> dict[str, Scalar]:
    if verdict not in tuple(Verdict):
        raise InputError("Say 'heard' or 'not_quite'.")
    if verdict == Verdict.NOT_QUITE:
        cleaned = clean_field(CLARIFICATION, clarification)
        if not cleaned:
            raise InputError("'clarification' is empty.", hint="Say what you meant, so they can hear it.")
        return {"answer": Verdict.NOT_QUITE.value, "clarification": cleaned}
    return {"answer": Verdict.HEARD.value, "clarification": ""}


def _step_content(step: Step, values: Mapping[str, Any], *, slot: int) -> tuple[dict[str, Scalar], dict[str, str] | None]:
    """The fields and texts that a step writes."""
    if step in _FLAGS:
        key, value = _FLAGS[step]
        return {f"{key}.{slot}": value}, None
    if step is Step.ANSWER:
        answer = _answer(str(values.get("verdict", "")), str(values.get("clarification", "")))
        return {
            f"answer.{slot}.verdict": answer["answer"],
            f"answer.{slot}.clarification": answer["clarification"],
        }, None
    kind = Kind(step.event, "", "", _STEP_FIELDS[step], ())
    cleaned = clean_entry(kind, values)
    if step is Step.AGREE:
        return {f"agree.{slot}": True}, {AGREEMENT_FIELD.name: cleaned.get(AGREEMENT_FIELD.name, "")}
    if step is Step.RECONNECT:
        return {f"gesture.{slot}": cleaned.get(GESTURE_FIELD.name, "")}, None
    prefix = "tell" if step is Step.TELL else "hear"
    return {f"{prefix}.{slot}.{name}": value for name, value in cleaned.items()}, None
