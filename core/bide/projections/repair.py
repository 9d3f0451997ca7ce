"""Repair conversations: folding invitations that crossed, and the state that follows from all steps.

Two people who invite each other without knowing of the other's invitation mean one conversation. Such invitations fold into the
one with the lower id; both topics and everything said under either stay. Whether they crossed is told by the frontiers
of all events that their authors had written by then, so every device folds alike and nobody can claim to have forgotten.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bide.crdt.document import EntryDocument
from bide.entries.kinds import REPAIR
from bide.entries.records import DocumentFields, EntryRecord, EventRecord
from bide.entries.repair import STEP_BY_EVENT, RepairState, Step, fold_steps
from bide.ids import EntryId, LogId
from bide.log.head import Head
from bide.projections.entry import encode_body, history, search_text
from bide.projections.order import Applied, Judged, in_causal_order


@dataclass(frozen=True, slots=True)
class _Conversation:
    entry_id: EntryId
    applied: list[Applied]
    document: EntryDocument

    @property
    def invitation(self) -> EventRecord:
        return self.applied[0].event


class Seen(NamedTuple):
    """What an event shows of its author's knowledge."""

    seq: int
    entry_id: EntryId
    frontier: tuple[Head, ...]


KnownBy = Mapping[tuple[LogId, int], Mapping[LogId, int]]
"""An invitation's (log, seq) to how far its author knew each other log."""


def knowledge(invitations: Sequence[EventRecord], log_events: Callable[[LogId, int], Iterable[Seen]]) -> KnownBy:
    """What the authors of invitations knew when they wrote them.

    Nobody forgets: what any earlier event of the same log cites was known, and so was a conversation that somebody took a step
    in. A log comes without gaps, so all of this is there whenever the invitation is.

    Args:
        invitations: the counting invitation of every conversation of the space.
        log_events: the events of a log up to a number, in order.
    """
    by_entry = {invitation.entry_id: invitation for invitation in invitations}
    wanted: dict[LogId, set[int]] = {}
    for invitation in invitations:
        wanted.setdefault(invitation.log_id, set()).add(invitation.seq)
    known_by: dict[tuple[LogId, int], Mapping[LogId, int]] = {}
    for log, seqs in wanted.items():
        known: dict[LogId, int] = {}
        for seen in log_events(log, max(seqs)):
            for head in seen.frontier:
                known[head.log_id] = max(head.seq, known.get(head.log_id, 0))
            other = by_entry.get(seen.entry_id)
            if other is not None and other.log_id != log:
                known[other.log_id] = max(other.seq, known.get(other.log_id, 0))
            if seen.seq in seqs:
                known_by[log, seen.seq] = dict(known)
    return known_by


def affected_groups(
    touched: Iterable[EntryId], invitations: Sequence[EventRecord], known_by: KnownBy | None = None
) -> list[list[EntryId]]:
    """The groups of conversations that have to be projected again after something happened to some.

    A group is one conversation, or two whose invitations crossed, the one with the lower id first. Conversations that could be
    grouped differently now are those that are connected to a touched one by crossing; the rest stays as it is.

    Args:
        touched: conversations with new events.
        invitations: the counting invitation of every conversation of the space.
        known_by: see `knowledge`; by default what each invitation itself cites.
    """
    if known_by is None:
        known_by = {(i.log_id, i.seq): {head.log_id: head.seq for head in i.frontier} for i in invitations}

    def crossed(one: EventRecord, two: EventRecord) -> bool:
        if one.slot == two.slot:
            return False
        knows = known_by[one.log_id, one.seq].get(two.log_id, 0) >= two.seq
        return not knows and known_by[two.log_id, two.seq].get(one.log_id, 0) < one.seq

    by_entry = {invitation.entry_id: invitation for invitation in invitations}
    reached: set[EntryId] = set()
    unreached = dict(by_entry)
    frontier = sorted(entry for entry in set(touched) if entry in by_entry)
    while frontier:
        entry = frontier.pop()
        unreached.pop(entry, None)
        reached.add(entry)
        crossing = [other for other, invitation in unreached.items() if crossed(by_entry[entry], invitation)]
        for other in crossing:
            del unreached[other]
        frontier += crossing
    groups: list[list[EntryId]] = []
    open_: dict[int, dict[EntryId, None]] = {}
    for entry in sorted(reached):
        open_.setdefault(by_entry[entry].slot, {})[entry] = None
    for entry in sorted(reached):
        slot = by_entry[entry].slot
        if entry not in open_[slot]:
            continue  # it is the second of a group
        del open_[slot][entry]
        others = (o for other, found in open_.items() if other != slot for o in found)
        partner = next((o for o in others if crossed(by_entry[entry], by_entry[o])), None)
        if partner is not None:
            del open_[by_entry[partner].slot][partner]
        groups.append([entry] if partner is None else [entry, partner])
    return groups


def project_group(judged: Sequence[Judged]) -> list[EntryRecord]:
    """The records of one group of conversations, the main one first; none of those of which nothing counts."""
    group = [_Conversation(i.applied[0].event.entry_id, i.applied, i.document) for i in judged if i.document is not None]
    return _project_group(group) if group else []


def _steps_in_order(group: Sequence[_Conversation]) -> list[Applied]:
    logs: dict[LogId, list[Applied]] = {}
    for item in sorted((i for c in group for i in c.applied), key=lambda i: i.event.seq):
        logs.setdefault(item.event.log_id, []).append(item)
    seqs = {log: [item.event.seq for item in items] for log, items in logs.items()}

    def before(item: Applied) -> list[bytes]:
        # Of each log the last step that the author knew; that one comes after the earlier ones by itself.
        event = item.event
        known = [(event.log_id, event.seq - 1), *((head.log_id, head.seq) for head in event.frontier)]
        lasts = [(log, bisect_right(seqs[log], seq)) for log, seq in known if log in seqs]
        return [*item.change.deps, *(logs[log][count - 1].change.hash for log, count in lasts if count)]

    return in_causal_order((item for items in logs.values() for item in items), before)


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
    return document.value_at(f"answer.{item.event.slot}.verdict", item.change.hash) == "not_quite"


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
