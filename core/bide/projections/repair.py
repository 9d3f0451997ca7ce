"""Repair conversations: folding invitations that crossed, and the state that follows from all steps.

Two people who invite each other without knowing of the other's invitation mean one conversation. Such invitations fold into the
one with the lower id; both topics and everything said under either stay. Whether they crossed is told by the frontiers
of all events that their authors had written by then, so every device folds alike and nobody can claim to have forgotten.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bide.crdt.document import Cowritten, EntryDocument
from bide.entries.kinds import REPAIR
from bide.entries.records import DocumentFields, EntryRecord, EventRecord
from bide.entries.repair import AGREEMENT_FIELD, STEP_BY_EVENT, RepairState, Step, fold_steps
from bide.ids import EntryId, LogId
from bide.log.head import Head
from bide.projections.entry import HISTORY_MAX, encode_body, history, search_text
from bide.projections.order import Applied, Judged, in_causal_order

FOLDED = "folded"
"""The state of a conversation that went on in another one."""
_AGREEMENT = AGREEMENT_FIELD.name


class _Conversation(NamedTuple):
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
    agreement = _agreement(group)
    body = {
        "fields": _merge_fields(group, agreement.text),
        "topics": {str(c.invitation.slot): c.document.fields().get("topic", "") for c in group},
        "history": sorted(
            (item for c in group for item in (*history(c.applied, c.document), *_earlier_agreements(c))),
            key=lambda item: (item["at_ms"], item["slot"], sorted(item["fields"])),
        )[-HISTORY_MAX:],
        "alternatives": _alternatives(group) | ({_AGREEMENT: agreement.versions} if agreement.versions else {}),
        "ignored": len(ignored),
        "folded": [conversation.entry_id.hex() for conversation in group[1:]],
        "state": _pack_state(state),
    }
    if agreement.unsettled:
        body["unsettled"] = True
    records = [_record(main, body, state.phase.value, edited=_edited(group), search=_searched(group, agreement.text))]
    for folded in group[1:]:
        into = body | {"fields": {}, "history": [], "alternatives": {}, "folded": [], "into": main.entry_id.hex()}
        records.append(_record(folded, into, FOLDED, edited=False, search=""))
    return records


def _edited(group: Sequence[_Conversation]) -> bool:
    return any(item.event.type == "repair.edited" for conversation in group for item in conversation.applied)


def _searched(group: Sequence[_Conversation], agreement: str) -> str:
    said: list[DocumentFields] = [{k: v for k, v in c.document.fields().items() if k != _AGREEMENT} for c in group]
    said.append({_AGREEMENT: agreement})
    return "\n".join(map(search_text, said))


def _alternatives(group: Sequence[_Conversation]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for conversation in group:
        found |= conversation.document.alternatives([item.change for item in conversation.applied])
    return found


class _Agreement(NamedTuple):
    """What the two have agreed on, over all documents of a group."""

    text: str
    versions: list[str]
    """Where edits clash: each whole version."""
    unsettled: bool
    """Whether there is more than one text to choose from, so that even keeping the wording says something."""


def _agreement(group: Sequence[_Conversation]) -> _Agreement:
    """The main document's agreement, and a folded one's as long as nobody who knew it has written the main one anew."""
    main, *others = group
    rewriters = [item.event for item in _agreeing(main)]
    texts = [_cowritten(main)]
    texts += [
        _cowritten(folded)
        for folded in others
        if any(not any(_knew(later, item.event) for later in rewriters) for item in _agreeing(folded))
    ]
    said = list(dict.fromkeys(text.text for text in texts if text.text))
    versions = list(dict.fromkeys(version for text in texts for version in text.versions))
    return _Agreement("\n\n".join(said), versions, bool(versions) or len(texts) > 1)


def _agreeing(conversation: _Conversation) -> list[Applied]:
    return [item for item in conversation.applied if STEP_BY_EVENT.get(item.event.type) is Step.AGREE]


def _cowritten(conversation: _Conversation, *, before: bytes | None = None) -> Cowritten:
    writers = {item.change.hash: item.event.slot for item in _agreeing(conversation)}
    changes = [item.change for item in conversation.applied]
    return conversation.document.cowritten(_AGREEMENT, changes, writers, before=before)


def _knew(later: EventRecord, earlier: EventRecord) -> bool:
    """Whether the author of one event had the other when writing it."""
    if later.log_id == earlier.log_id:
        return later.seq > earlier.seq
    return any(head.log_id == earlier.log_id and head.seq >= earlier.seq for head in later.frontier)


def _earlier_agreements(conversation: _Conversation) -> list[dict[str, Any]]:
    """What the agreement said before each step that changed it, as `bide.projections.entry.history` tells of other fields."""
    earlier: list[dict[str, Any]] = []
    for event, change in _agreeing(conversation)[-HISTORY_MAX:]:
        before = _cowritten(conversation, before=change.hash).text
        if before and before != conversation.document.value_at(_AGREEMENT, change.hash):
            earlier.append({"slot": event.slot, "at_ms": event.time_ms, "fields": {_AGREEMENT: before}})
    return earlier


def _record(conversation: _Conversation, body: dict[str, Any], state: str, *, edited: bool, search: str) -> EntryRecord:
    first = conversation.invitation
    return EntryRecord(
        entry_id=first.entry_id,
        space_id=first.space_id,
        kind=REPAIR.name,
        slot=first.slot,
        at_ms=first.time_ms,
        zone=first.zone,
        day=first.day,
        shown=state != FOLDED,
        reply_to=None,
        edited=edited,
        state=state,
        body=encode_body(body),
        search_text=search,
    )


def _not_quite(group: Sequence[_Conversation], item: Applied) -> bool:
    document = next(c.document for c in group if c.entry_id == item.event.entry_id)
    return document.value_at(f"answer.{item.event.slot}.verdict", item.change.hash) == "not_quite"


def _merge_fields(group: Sequence[_Conversation], agreement: str) -> DocumentFields:
    """The main document's fields, and from a folded one what the main one lacks; words said twice are both kept."""
    merged: DocumentFields = {key: value for key, value in group[0].document.fields().items() if value != ""}
    for conversation in group[1:]:
        for key, value in conversation.document.fields().items():
            if value in ("", merged.get(key)) or key in ("topic", "calm", _AGREEMENT):
                continue
            if key in merged and isinstance(value, str) and not key.startswith(("pause.", "answer.")):
                merged[key] = f"{merged[key]}\n\n{value}"
            else:
                merged.setdefault(key, value)
    merged.pop(_AGREEMENT, None)
    return merged | ({_AGREEMENT: agreement} if agreement else {})


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
