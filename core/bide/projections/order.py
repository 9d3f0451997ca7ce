"""The order of an entry's events and what became of each: pure, and the same on every device whatever arrived first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from bide.crdt.change import Change, read_change
from bide.entries.kinds import EVENT_TYPES, PERSON, By, Kind, may_write
from bide.entries.records import EventRecord, Standing
from bide.errors import ChangeRejected
from bide.ids import entry_slot, person_entry_id


class Applied(NamedTuple):
    """An event that counts, with the header of its change."""

    event: EventRecord
    change: Change


class Judged(NamedTuple):
    """All events of one entry after judging."""

    kind: Kind | None
    """None: nothing counts yet."""
    applied: list[Applied]
    """In an order in which each comes after those that it builds on; ties by hash."""
    standings: dict[tuple[bytes, int], Standing]
    """(log, seq) to what became of the event."""


def is_newer(event: EventRecord) -> bool:
    """Whether an event can be understood only by a newer version."""
    known = EVENT_TYPES.get(event.type)
    return known is None or event.least_version > known[1].version


def judge(events: Sequence[EventRecord]) -> Judged:
    """Decide which events of one entry count.

    An event counts if its type is known, its change is well formed and writes only what its type may, its author may cause
    it, and everything that it builds on counts. The first event of an entry creates it, by the person whom its id names.
    """
    standings: dict[tuple[bytes, int], Standing] = {}
    candidates: dict[bytes, list[Applied]] = {}
    for event in events:
        place = (event.log_id, event.seq)
        if is_newer(event):
            standings[place] = Standing.NEWER
            continue
        try:
            change = read_change(event.change)
        except ChangeRejected:
            standings[place] = Standing.IGNORED
            continue
        # The same change can stand in two logs: after a restored home has moved on, or because somebody copied it. Whoever
        # copies what is not theirs to write must not silence the one who wrote it, so each is judged by itself.
        candidates.setdefault(change.hash, []).append(Applied(event, change))
    for twins in candidates.values():
        twins.sort(key=lambda item: (item.event.log_id, item.event.seq))
    applied: list[Applied] = []
    last_ops: dict[bytes, int] = {}
    kind = root_slot = None
    for found in in_causal_order([items[0] for items in candidates.values()], lambda item: item.change.deps):
        twins = candidates[found.change.hash]
        fitting: list[Applied] = []
        whole = last_ops.keys() >= set(found.change.deps)
        # A number out of line would let one change win against all, or be the last that Automerge can ever count to.
        if whole and found.change.start_op == 1 + max((last_ops[dep] for dep in found.change.deps), default=0):
            first = not applied
            fitting = [twin for twin in twins if _may_happen(twin, kind, root_slot, first=first)]
        for twin in twins:
            standing = Standing.APPLIED if twin in fitting else Standing.IGNORED
            standings[twin.event.log_id, twin.event.seq] = standing if whole else Standing.WAITING
        if fitting:
            applied.append(fitting[0])
            last_ops[found.change.hash] = found.change.last_op
            if kind is None:
                kind, root_slot = EVENT_TYPES[fitting[0].event.type][0], fitting[0].event.slot
    return Judged(kind, applied, standings)


def _may_happen(found: Applied, kind: Kind | None, root_slot: int | None, *, first: bool) -> bool:
    event, change = found
    event_kind, event_type = EVENT_TYPES[event.type]
    if not may_write(event_type, change.keys, slot=event.slot):
        return False
    if (change.edits_text or change.makes_text) and not event_type.edits_text:
        return False
    if event_kind is PERSON:
        return event.entry_id == person_entry_id(event.space_id, event.slot)
    if first:
        return event_type.creates and not change.deps and entry_slot(event.entry_id) == event.slot
    if event_type.creates or change.makes_text or event_kind is not kind:
        return False
    return event_type.by is By.EITHER or (event_type.by is By.AUTHOR) == (event.slot == root_slot)


def in_causal_order(items: Iterable[Applied], deps: Callable[[Applied], Iterable[bytes]]) -> list[Applied]:
    """Sort so that each item comes after those it depends on, by hash where the order is free.

    Args:
        items: with distinct hashes.
        deps: the hashes that an item comes after. Unknown ones don't hold it back; the caller judges those. A circle, which
            only a lie can make, is cut at its lowest hash: every item comes out exactly once.
    """
    by_hash = {item.change.hash: item for item in items}
    waiting_for = {h: {dep for dep in deps(item) if dep in by_hash} for h, item in by_hash.items()}
    followers: dict[bytes, list[bytes]] = {}
    for h, needed in waiting_for.items():
        for dep in needed:
            followers.setdefault(dep, []).append(h)
    ready = [h for h, needed in waiting_for.items() if not needed]
    heapq.heapify(ready)
    ordered: list[Applied] = []
    placed: set[bytes] = set()
    while len(ordered) < len(by_hash):
        h = heapq.heappop(ready) if ready else min(h for h in by_hash if h not in placed)
        if h in placed:
            continue
        placed.add(h)
        ordered.append(by_hash[h])
        for follower in followers.get(h, ()):
            waiting_for[follower].discard(h)
            if not waiting_for[follower] and follower not in placed:
                heapq.heappush(ready, follower)
    return ordered
