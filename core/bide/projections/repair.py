"""Repair conversations: folding invitations that crossed, and the state that follows from all steps.

Two people who invite each other without knowing of the other's invitation mean one conversation. Such invitations fold into the
one with the lower id; both topics and everything said under either stay. Whether they crossed is told by the events' frontiers,
so every device folds alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bide.crdt.document import EntryDocument
from bide.entries.kinds import REPAIR
from bide.entries.records import DocumentFields, EntryRecord, EventRecord
from bide.entries.repair import STEP_BY_EVENT, RepairState, Step, fold_steps
from bide.ids import EntryId
from bide.projections.entry import encode_body, history, load_document, search_text
from bide.projections.order import Applied, Judged, in_causal_order


@dataclass(frozen=True, slots=True)
class _Conversation:
    entry_id: EntryId
    applied: list[Applied]
    document: EntryDocument

    @property
    def invitation(self) -> EventRecord:
        return self.applied[0].event


def affected_groups(touched: Iterable[EntryId], invitations: Sequence[EventRecord]) -> list[list[EntryId]]:
    """The groups of conversations that have to be projected again after something happened to some.

    A group is one conversation, or two whose invitations crossed, the one with the lower id first. Conversations that could be
    grouped differently now are those that are connected to a touched one by crossing; the rest stays as it is.

    Args:
        touched: conversations with new events.
        invitations: the counting invitation of every conversation of the space.
    """
    by_entry = {invitation.entry_id: invitation for invitation in invitations}
    reached: set[EntryId] = set()
    frontier = [entry for entry in touched if entry in by_entry]
    while frontier:
        entry = frontier.pop()
        if entry in reached:
            continue
        reached.add(entry)
        crossing = (other for other in invitations if _crossed(by_entry[entry], other))
        frontier.extend(other.entry_id for other in crossing if other.entry_id not in reached)
    groups: list[list[EntryId]] = []
    taken: set[EntryId] = set()
    ordered = sorted(reached)
    for index, entry in enumerate(ordered):
        if entry in taken:
            continue
        later = (o for o in ordered[index + 1 :] if o not in taken and _crossed(by_entry[entry], by_entry[o]))
        partner = next(later, None)
        if partner is not None:
            taken.add(partner)
        groups.append([entry] if partner is None else [entry, partner])
    return groups


def project_group(judged: Sequence[Judged]) -> list[EntryRecord]:
    """The records of one group of conversations, the main one first."""
    return _project_group([_Conversation(item.applied[0].event.entry_id, item.applied, load_document(item)) for item in judged])


def _knows(event: EventRecord, other: EventRecord) -> bool:
    """Whether the author of `event` had `other` when writing it."""
    if event.log_id == other.log_id:
        return event.seq > other.seq
    return any(head.log_id == other.log_id and head.seq >= other.seq for head in event.frontier)


def _crossed(one: EventRecord, two: EventRecord) -> bool:
    return one.slot != two.slot and not _knows(one, two) and not _knows(two, one)


def _steps_in_order(group: Sequence[_Conversation]) -> list[Applied]:
    items = [item for conversation in group for item in conversation.applied]

    def before(item: Applied) -> list[bytes]:
        return [
            o.change.hash for o in items if o is not item and (o.change.hash in item.change.deps or _knows(item.event, o.event))
        ]

    return in_causal_order(items, before)


def _project_group(group: Sequence[_Conversation]) -> list[EntryRecord]:
    main = group[0]
    inviters = [conversation.invitation.slot for conversation in group]
    ordered = _steps_in_order(group)
    steps = [(STEP_BY_EVENT[i.event.type], i) for i in ordered if STEP_BY_EVENT.get(i.event.type) not in (None, Step.INVITE)]
    verdicts = {item.change.hash: _not_quite(group, item) for step, item in steps if step is Step.ANSWER}
    state, counted = fold_steps(
        inviters, [(step, item.event.slot, verdicts.get(item.change.hash, False)) for step, item in steps]
    )
    ignored = {item.change.hash for (_, item), counts in zip(steps, counted, strict=True) if not counts}
    fields = _merge_fields(group)
    alternatives: dict[str, Any] = {}
    for conversation in group:
        alternatives |= conversation.document.alternatives([item.change for item in conversation.applied])
    body = {
        "fields": fields,
        "topics": {str(c.invitation.slot): c.document.fields().get("topic", "") for c in group},
        "history": sorted(
            (item for c in group for item in history(c.applied, c.document)),
            key=lambda item: (item["at_ms"], item["slot"], sorted(item["fields"])),
        ),
        "alternatives": alternatives,
        "ignored": len(ignored),
        "folded": [conversation.entry_id.hex() for conversation in group[1:]],
        "state": _pack_state(state),
    }
    texts = "\n".join(search_text(conversation.document.fields()) for conversation in group)
    records = [_record(main, body, state.phase.value, shown=True, search=texts)]
    into = {"fields": {}, "into": main.entry_id.hex()}
    records.extend(_record(folded, into, "folded", shown=False, search="") for folded in group[1:])
    return records


def _record(conversation: _Conversation, body: dict[str, Any], state: str, *, shown: bool, search: str) -> EntryRecord:
    first = conversation.invitation
    return EntryRecord(
        entry_id=first.entry_id,
        space_id=first.space_id,
        kind=REPAIR.name,
        slot=first.slot,
        at_ms=first.time_ms,
        zone=first.zone,
        day=first.day,
        shown=shown,
        reply_to=None,
        edited=any(item.event.type == "repair.edited" for item in conversation.applied),
        state=state,
        body=encode_body(body),
        search_text=search,
    )


def _not_quite(group: Sequence[_Conversation], item: Applied) -> bool:
    document = next(c.document for c in group if c.entry_id == item.event.entry_id)
    return document.fields_at(item.change.hash).get(f"answer.{item.event.slot}.verdict") == "not_quite"


def _merge_fields(group: Sequence[_Conversation]) -> DocumentFields:
    """The main document's fields, and from a folded one what the main one lacks; words said twice are both kept."""
    merged: DocumentFields = {key: value for key, value in group[0].document.fields().items() if value != ""}
    for conversation in group[1:]:
        for key, value in conversation.document.fields().items():
            if value in ("", merged.get(key)) or key in ("topic", "calm"):
                continue
            if key in merged and isinstance(value, str) and not key.startswith(("pause.", "answer.")):
                merged[key] = f"{merged[key]}\n\n{value}"
            else:
                merged.setdefault(key, value)
    return merged


def _pack_state(state: RepairState) -> dict[str, Any]:
    return {
        "inviters": sorted(state.inviters),
        "accepted": state.accepted,
        "told": sorted(state.told),
        "heard": sorted(state.heard),
        "answered": sorted(state.answered),
        "reconnecting": state.reconnecting,
        "settled": sorted(state.settled),
        "pauses": {str(slot): phase.value for slot, phase in sorted(state.pauses.items())},
        "withdrawn": state.withdrawn,
    }
