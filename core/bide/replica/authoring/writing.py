"""Writing: from what a person said to a sealed, signed, stored event, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from bide.crdt.document import NothingChanged, Scalar, amend_change, create_change
from bide.entries.fields import FieldKind, clean_field
from bide.entries.hearing import CLARIFICATION, Verdict
from bide.entries.hearing import FIELDS as HEARING_FIELDS
from bide.entries.keepsake import ORIGINAL
from bide.entries.kinds import (
    ANSWER,
    ERASED,
    HEARING,
    KINDS,
    PERSON,
    QUESTION,
    RECEPTION,
    REPAIR,
    WRITTEN_ON,
    EventType,
    Kind,
    clean_entry,
)
from bide.entries.person import NAME_KEY, RELATION_KEY
from bide.entries.question import CLOSED, Reveal
from bide.entries.records import EntryRecord, Standing
from bide.entries.repair import AGREEMENT_FIELD, GESTURE_FIELD, TELL_FIELDS, RepairState, Step
from bide.errors import InputError, NotAllowed
from bide.ids import Clock, EntryId, Randomness, new_entry_id, person_entry_id
from bide.projections.order import judge
from bide.projections.timeline import repair_state, shown_code
from bide.replica.authoring.appending import Appender, Moment
from bide.replica.derivation.vetting import before_amending
from bide.replica.views.reading import Reader
from bide.storage.base import SpaceRecord, Storage, find_space

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
        language: str = "en",
    ) -> None:
        self._storage = storage
        self._reader = reader
        self._clock = clock
        self._randomness = randomness
        self._language = language
        self.appender = Appender(storage, clock=clock, randomness=randomness, zone=zone, day_starts_min=day_starts_min)

    # Entries

    def write(
        self,
        kind_name: str,
        values: Mapping[str, Any],
        *,
        space: SpaceRecord,
        entry_id: EntryId | None = None,
        at: Moment | None = None,
    ) -> Written:
        """Begin an entry; see `bide.replica.Replica.write`."""
        kind = KINDS.get(kind_name)
        if kind is None or not kind.shown or kind is REPAIR:
            raise InputError("There is no kind of entry called {kind!r}.", kind=kind_name[:40])
        fields: dict[str, Scalar] = {**self.cleaned(kind, values)}
        if kind is QUESTION:
            fields.setdefault("reveal", Reveal.BOTH.value)
        return self._begin(kind, fields, space=space, entry_id=entry_id, at=at)

    def cleaned(self, kind: Kind, values: Mapping[str, Any], *, partial: bool = False) -> dict[str, str]:
        """The fields of an entry as given, checked and ready to store, feelings as their slugs.

        Raises:
            InputError: as `bide.entries.kinds.clean_entry`, and for an unknown feeling, with those that were perhaps meant.
        """
        fields = clean_entry(kind, values, partial=partial)
        for field in kind.fields:
            if field.kind is FieldKind.FEELINGS and fields.get(field.name):
                from bide.words import feeling  # reads the vocabulary, so only where there are feelings

                slugs = [feeling(word, self._language).slug for word in fields[field.name].split("\n")]
                fields[field.name] = "\n".join(dict.fromkeys(slugs))
        return fields

    def invite_to_repair(
        self, values: Mapping[str, Any], *, calm: bool, space: SpaceRecord, entry_id: EntryId | None = None
    ) -> Written:
        """Begin a repair conversation; see `bide.replica.Replica.invite_to_repair`."""
        if not calm:
            raise NotAllowed("A conversation like this needs some calm first.", hint="Come back to it when you are ready.")
        fields: dict[str, Scalar] = {**clean_entry(REPAIR, values), "calm": True}
        # The agreement is made with the first change, since two people making the same text would make one of them vanish.
        texts = {AGREEMENT_FIELD.name: ""}
        return self._begin(REPAIR, fields, texts=texts, space=space, entry_id=entry_id)

    def reply(
        self, kind_name: str, about: EntryRecord, values: Mapping[str, Any], *, entry_id: EntryId | None = None
    ) -> Written:
        """Reply to an entry; see `bide.replica.Replica.reply`."""
        kind = KINDS.get(kind_name)
        if kind not in (HEARING, ANSWER, RECEPTION):
            raise InputError("There is no kind of reply called {kind!r}.", kind=kind_name[:40])
        if kind is HEARING and about.kind == REPAIR.name:
            return self.repair_step(about, Step.HEAR, values)
        space = self._space_of(about)
        fields: dict[str, Scalar] = {**self.cleaned(kind, values), "about": about.entry_id.hex()}
        with self._storage.transaction():
            self.require_reply(kind, about)
            return self._begin(kind, fields, space=space, entry_id=entry_id)

    def require_reply(self, kind: Kind, about: EntryRecord) -> None:
        """See to it that a reply of that kind can be given to that entry now.

        Raises:
            NotAllowed: it is one's own, was taken back, is no question, or has been answered.
        """
        space = self._space_of(about)
        if json.loads(about.body).get("retracted"):
            raise NotAllowed("That was taken back by the one who wrote it.")
        mine = about.slot == space.slot or space.kind == "own"
        if kind is ANSWER:
            if about.kind != QUESTION.name:
                raise NotAllowed("That is no question.", hint="bide answer lists the questions that are open.")
            replies = (r for r in self._storage.replies([about.entry_id]) if r.space_id == about.space_id)
            mine_there = (r for r in replies if r.slot == space.slot and r.kind == ANSWER.name)
            # Who took an answer back may give another.
            if any(not json.loads(r.body).get("retracted") for r in mine_there):
                raise NotAllowed("You have answered that one.", hint="Change your answer: bide edit, with its id")
        elif kind is HEARING and mine:
            raise NotAllowed("That one is yours; hearing is for what the other wrote.")
        elif kind is HEARING and about.kind == HEARING.name:
            raise NotAllowed("That is a hearing already.", hint="Answer it: bide hear ID --heard, or --not-quite")
        elif mine:
            raise NotAllowed("That one is yours; you can receive what the other wrote.")
        if about.kind == RECEPTION.name or (kind is HEARING and about.kind == ANSWER.name and about.state == CLOSED):
            raise NotAllowed("That one can't be replied to.")

    def answer_hearing(self, hearing: EntryRecord, *, verdict: str, clarification: str) -> Written:
        """Say whether a hearing fits; see `bide.replica.Replica.answer_hearing`."""
        space = self._space_of(hearing)
        if hearing.kind != HEARING.name or hearing.slot == space.slot:
            raise NotAllowed("Only the one who was heard can say whether it fits.")
        fields = _answer(verdict, clarification)
        return self._continue(hearing, HEARING.event("answered"), fields, space=space)

    def edit(self, entry: EntryRecord, values: Mapping[str, Any]) -> Written:
        """Change an own entry; see `bide.replica.Replica.edit`."""
        space = self._space_of(entry)
        kind = KINDS[entry.kind]
        if entry.kind == REPAIR.name:
            entry = self._own_invitation(entry, space)
        if entry.slot != space.slot:
            raise NotAllowed("Only the one who wrote it can change it.")
        body = json.loads(entry.body)
        _require_in_place(body)
        edited = kind.event("edited")
        fixed = next((name for name in values if kind.field(name) is not None and name not in edited.keys), None)
        if fixed is not None:
            raise InputError("'{field}' stays as it was at the beginning.", field=fixed)
        cleaned = self.cleaned(kind, values, partial=True)
        remaining = {**body["fields"], **cleaned}
        if not any(remaining.get(field.name) for field in kind.fields):
            raise InputError("That would leave nothing; the entry stays as it is.", hint="To take it back: bide undo ID")
        return self._continue(entry, edited, cleaned, space=space)

    def retract(self, entry: EntryRecord) -> Written:
        """Take back an own entry, visibly; see `bide.replica.Replica.retract`."""
        space = self._space_of(entry)
        if entry.slot != space.slot:
            raise NotAllowed("Only the one who wrote it can take it back.")
        if entry.kind == REPAIR.name:
            raise NotAllowed("A conversation belongs to both of you.", hint="To end it: bide repair ID withdraw")
        _require_in_place(json.loads(entry.body))
        return self._continue(entry, KINDS[entry.kind].event("retracted"), {"retracted": "yes"}, space=space)

    def postpone(self, entry: EntryRecord, *, back: bool) -> Written:
        """Say "not now" to what the other wrote, or come back to it; see `bide.replica.Replica.postpone`."""
        if entry.kind == REPAIR.name:
            return self.repair_step(entry, Step.RETURN if back else Step.LATER, {})
        space = self._space_of(entry)
        if entry.slot == space.slot:
            raise NotAllowed("That one is yours; later is for what the other wrote.")
        body = json.loads(entry.body)
        _require_in_place(body)
        if (space.slot in body.get("postponed", ())) is not back:
            raise NotAllowed("It is not kept for later." if back else "It is kept for later already.")
        fields = {f"postponed.{space.slot}": "" if back else "later"}
        return self._continue(entry, KINDS[entry.kind].event("postponed"), fields, space=space)

    def release(self, entry: EntryRecord, *, to: SpaceRecord, entry_id: EntryId | None = None) -> Written:
        """Share a private entry; see `bide.replica.Replica.release`."""
        own = self._space_of(entry)
        if own.kind != "own":
            raise NotAllowed("That one is shared already.")
        kind = KINDS[entry.kind]
        body = json.loads(entry.body)
        _require_in_place(body)
        if body.get("released_to"):
            raise NotAllowed("That one was shared before.")
        # What the other journal noted besides the words, such as a place, is no part of what is shared knowingly.
        fields = {name: value for name, value in body["fields"].items() if kind.field(name) and name != ORIGINAL.name}
        if not any(fields.get(field.name) for field in kind.fields if field.asked):
            raise NotAllowed("There are no words in it that could be shared.")
        with self._storage.transaction():
            written = self._begin(kind, {**fields, WRITTEN_ON.name: entry.day}, space=to, entry_id=entry_id)
            self._continue(entry, kind.event("released"), {"released": written.id.replace("-", "")}, space=own)
        return written

    def repair_step(
        self, entry: EntryRecord, step: Step, values: Mapping[str, Any], *, known: Mapping[str, int] | None = None
    ) -> Written:
        """Take a step in a conversation; see `bide.replica.Replica.repair_step`.

        Args:
            entry: the conversation.
            step: which.
            values: its fields.
            known: for what waited: how far each log, by its id in hex, was known when the words were written. They are an edit
                of what was there then, so that what came since is merged with them and not written over.
        """
        space = self._space_of(entry)
        if entry.kind != REPAIR.name:
            raise NotAllowed("That is not a repair conversation.")
        with self._storage.transaction():
            # Looked at in here: meanwhile another process may have taken a step, or a sync have brought one.
            main = self._storage.entry(space.space_id, entry.entry_id) or entry
            body = json.loads(main.body)
            if into := body.get("into"):
                main = self._storage.entry(space.space_id, EntryId(bytes.fromhex(into))) or main
                body = json.loads(main.body)
            state = repair_state(body)
            _require_step(state, step, slot=space.slot)
            fields, texts = _step_content(step, values, slot=space.slot)
            # A word such as "settled" can be needed again after what the other did; it is the step that counts.
            again = (step in _FLAGS or step is Step.ANSWER) and state.after(step, space.slot) != state
            confirm = [*(fields if again else ()), *(texts or () if body.get("unsettled") else ())]
            change = amend_change(
                self._changes(space, main.entry_id, known=known),
                fields,
                texts=texts,
                confirm=confirm,
                slot=space.slot,
                randomness=self._randomness,
            )
            self.appender.event(REPAIR.event(step.event), main.entry_id, change, space=space)
            return self._told(space, main.entry_id)

    def _own_invitation(self, entry: EntryRecord, space: SpaceRecord) -> EntryRecord:
        """Of two invitations that became one conversation my own, which holds my words for what it is about."""
        body = json.loads(entry.body)
        others = (body["into"],) if "into" in body else body.get("folded", ())
        found = (self._storage.entry(space.space_id, EntryId(bytes.fromhex(other))) for other in others)
        return next((other for other in (entry, *found) if other is not None and other.slot == space.slot), entry)

    def name_person(self, name: str, *, space: SpaceRecord, relation: str = "") -> None:
        """Say in a space what this person is called, and what the two are to each other. Inside a transaction."""
        fields = {NAME_KEY: name}
        if relation:
            fields[RELATION_KEY] = relation
        self._say_of_person(fields, space=space)

    def say_of_person(self, said: Mapping[str, str], *, space: SpaceRecord) -> None:
        """Say something of this person in a space, such as what a device is called, if it is news. Inside a transaction."""
        with suppress(NothingChanged):
            self._say_of_person(said, space=space)

    def _say_of_person(self, said: Mapping[str, str], *, space: SpaceRecord) -> None:
        entry = person_entry_id(space.space_id, space.slot)
        changes = self._changes(space, entry)
        fields: dict[str, Scalar] = {**said}
        if changes:
            change = amend_change(changes, fields, slot=space.slot, randomness=self._randomness)
        else:
            change = create_change(fields, slot=space.slot, randomness=self._randomness)
        self.appender.event(PERSON.created_by, entry, change, space=space)

    # The way into the log

    def _begin(
        self,
        kind: Kind,
        fields: Mapping[str, Scalar],
        *,
        texts: Mapping[str, str] | None = None,
        space: SpaceRecord,
        entry_id: EntryId | None = None,
        at: Moment | None = None,
    ) -> Written:
        entry = entry_id or new_entry_id(self._clock, self._randomness, slot=space.slot)
        with self._storage.transaction():
            if entry_id is not None and self._storage.events(space.space_id, entry):
                raise NotAllowed("That entry is here already.")
            change = create_change(fields, texts=texts, slot=space.slot, randomness=self._randomness)
            self.appender.event(kind.created_by, entry, change, space=space, at=at)
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
            self.appender.event(event_type, entry.entry_id, change, space=space)
            return self._told(space, entry.entry_id)

    def _changes(self, space: SpaceRecord, entry: EntryId, *, known: Mapping[str, int] | None = None) -> list[bytes]:
        """The counting changes of an entry, each once; of those `known` only, as `repair_step` says."""
        before_amending(self._storage, space, entry)
        judged = judge(self._storage.events(space.space_id, entry))
        # What the projection left out, since Automerge refuses it, stays out here too.
        events = [item.event for item in judged.applied if item.event.standing is Standing.APPLIED]
        then = [event for event in events if known and event.seq <= known.get(event.log_id.hex(), 0)]
        # None if the conversation went on in another one since.
        return [event.change for event in then or events]

    # Telling

    def _space_of(self, entry: EntryRecord) -> SpaceRecord:
        if entry.kind == ERASED.name:
            raise NotAllowed("That was erased by the one who wrote it.", hint="The words that are left stay readable.")
        return find_space(self._storage, entry.space_id)

    def _told(self, space: SpaceRecord, entry: EntryId) -> Written:
        record = self._storage.entry(space.space_id, entry)
        if record is None:
            raise NotAllowed("That could not be written as it is; nothing was changed.")
        shown = self._reader.show_record(record)
        return Written(shown["id"], shown_code(record), record.kind, shown["visibility"], shown["shared_with"])


def _require_in_place(body: Mapping[str, Any]) -> None:
    if body.get("retracted"):
        raise NotAllowed("That was taken back; it can't be changed any more.")


def _answer(verdict: str, clarification: str) -> dict[str, Scalar]:
    if verdict not in tuple(Verdict):
        raise InputError("Say 'heard' or 'not_quite'.")
    if verdict == Verdict.NOT_QUITE:
        cleaned = clean_field(CLARIFICATION, clarification)
        if not cleaned:
            raise InputError("'clarification' is empty.", hint="Say what you meant, so they can hear it.")
        return {"answer": Verdict.NOT_QUITE.value, "clarification": cleaned}
    return {"answer": Verdict.HEARD.value, "clarification": ""}


def _require_step(state: RepairState, step: Step, *, slot: int) -> None:
    if state.allows(step, slot):
        return
    if state.withdrawn:
        raise NotAllowed("This conversation was withdrawn, so nothing more can be said in it.")
    possible = ", ".join(s.name.lower() for s in state.next_steps(slot)) or "none"
    raise NotAllowed(
        "'{step}' is not possible at this point.", hint="Open to you now: {steps}", step=step.name.lower(), steps=possible
    )


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
