"""The order of an entry's events and what became of each: pure, and the same on every device whatever arrived first."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from bide.crdt.change import Change, Written, read_change
from bide.crdt.document import EntryDocument
from bide.entries.kinds import EVENT_TYPES, PERSON, By, Kind, may_write
from bide.entries.records import EventRecord, Standing
from bide.entries.repair import AGREEMENT_FIELD
from bide.errors import ChangeRejected
from bide.ids import entry_slot, person_entry_id

CHANGES_MAX = 1000
OPS_MAX = 100_000
TEXT_OPS_MAX = 50_000
SIZE_MAX_BYTES = 8 * 1024 * 1024
"""How much counts of one entry, the last once inflated. Each log may take half, by its own order, so that nobody can fill it up
for the other."""
ATTEMPTS_MAX = 2000
READ_BYTES_MAX = 16 * 1024 * 1024
"""How many events of one entry are looked at in each log, and how much of them once inflated, whether they count or not. The
rest is ignored unread: all are looked at again with each event that comes."""
_REFUSED_BYTES = 64 * 1024
"""What one counts for that is refused, however small it looks: it may have been inflated first."""
ROOT_OPS_MAX = 64
"""How many keys one change may write; Bide writes a handful."""

_VALUE_BY_NAME = {AGREEMENT_FIELD.name: Written.TEXT} | dict.fromkeys(
    ("calm", "accept", "agree", "settle", "withdraw"), Written.FLAG
)
"""What stands under a key, by the first part of its name. Everything else is words."""


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
    document: EntryDocument | None = None
    """What the counting events make; None: nothing counts."""


class _Measure:
    """How much has been taken in."""

    def __init__(self, share: int) -> None:
        self._left = [limit // share for limit in (CHANGES_MAX, OPS_MAX, TEXT_OPS_MAX, SIZE_MAX_BYTES)]

    def take(self, change: Change) -> bool:
        """Count a change in, if there is room for it."""
        sizes = (1, change.ops, change.ops - change.root_ops, change.size)
        left = [room - size for room, size in zip(self._left, sizes, strict=True)]
        if min(left) < 0:
            return False
        self._left = left
        return True


class _Reading:
    """Looks at the changes of one log, as long as there are not too many."""

    def __init__(self) -> None:
        self._attempts_left = ATTEMPTS_MAX
        self._bytes_left = READ_BYTES_MAX

    def read(self, data: bytes) -> Change:
        if self._attempts_left <= 0 or self._bytes_left <= 0:
            raise ChangeRejected
        self._attempts_left -= 1
        size = _REFUSED_BYTES
        try:
            change = read_change(data)
            size = change.size
        finally:
            self._bytes_left -= size
        return change


def is_newer(event: EventRecord) -> bool:
    """Whether an event can be understood only by a newer version."""
    known = EVENT_TYPES.get(event.type)
    return known is None or event.least_version > known[1].version


def judge(events: Sequence[EventRecord]) -> Judged:
    """Decide which events of one entry count.

    An event counts if its type is known, its change is well formed and writes only what its type may, its author may cause
    it, everything that it builds on counts, there is room for it, and Automerge takes it. The first event of an entry creates
    it, by the person whom its id names. All of this follows from the events alone, whatever arrived first.
    """
    standings: dict[tuple[bytes, int], Standing] = {}
    candidates: dict[bytes, list[Applied]] = {}
    refused: set[bytes] = set()
    actors: dict[bytes, bytes] = {}
    rooms: dict[bytes, _Measure] = {}
    roots: dict[bytes, bytes] = {}
    readings: dict[bytes, _Reading] = {}
    for event in sorted(events, key=lambda event: (event.log_id, event.seq)):
        place = (event.log_id, event.seq)
        if is_newer(event):
            standings[place] = Standing.NEWER
            continue
        try:
            change = readings.setdefault(event.log_id, _Reading()).read(event.change)
        except ChangeRejected:
            standings[place] = Standing.IGNORED
            continue
        # Its last bit names the writer, and nobody uses an actor twice: Automerge would take only one of the two.
        if change.actor[-1] & 1 != event.slot or actors.setdefault(change.actor, change.hash) != change.hash:
            standings[place] = Standing.IGNORED
            refused.add(change.hash)
            continue
        # An entry begins once in a log: a second beginning would put other words under what has been answered, without a mark.
        if not change.deps and roots.setdefault(event.log_id, change.hash) != change.hash:
            standings[place] = Standing.IGNORED
            refused.add(change.hash)
            continue
        # A log comes without gaps and in order, so what has room now has room whatever else may arrive.
        if not rooms.setdefault(event.log_id, _Measure(2)).take(change):
            standings[place] = Standing.IGNORED
            refused.add(change.hash)
            continue
        # The same change can stand in two logs: after a restored home has moved on, or because somebody copied it. Whoever
        # copies what is not theirs to write must not silence the one who wrote it, so each is judged by itself.
        candidates.setdefault(change.hash, []).append(Applied(event, change))
    refused -= candidates.keys()
    applied: list[Applied] = []
    last_ops: dict[bytes, int] = {}
    kind = root_slot = None
    room = _Measure(1)
    for found in in_causal_order([items[0] for items in candidates.values()], lambda item: item.change.deps):
        twins = candidates[found.change.hash]
        fitting: list[Applied] = []
        whole = last_ops.keys() >= set(found.change.deps)
        # A number out of line would let one change win against all, or be the last that Automerge can ever count to.
        if whole and found.change.start_op == 1 + max((last_ops[dep] for dep in found.change.deps), default=0):
            first = not applied
            fitting = [twin for twin in twins if _may_happen(twin, kind, root_slot, first=first)]
        if fitting and not room.take(found.change):
            fitting = []
        never = whole or not refused.isdisjoint(found.change.deps)
        for twin in twins:
            standing = Standing.APPLIED if twin in fitting else Standing.IGNORED
            standings[twin.event.log_id, twin.event.seq] = standing if never else Standing.WAITING
        if never and not fitting:
            refused.add(found.change.hash)
        if fitting:
            applied.append(fitting[0])
            last_ops[found.change.hash] = found.change.last_op
            if kind is None:
                kind, root_slot = EVENT_TYPES[fitting[0].event.type][0], fitting[0].event.slot
    sound, document = _loadable(applied)
    if len(sound) < len(applied):
        kept = {item.change.hash for item in sound}
        lost = [twin for item in applied if item.change.hash not in kept for twin in candidates[item.change.hash]]
        standings.update({(event.log_id, event.seq): Standing.IGNORED for event, _ in lost})
    return Judged(kind if sound else None, sound, standings, document)


def _loadable(applied: list[Applied]) -> tuple[list[Applied], EntryDocument | None]:
    """What of `applied` Automerge takes, and the document that it makes.

    A change can be well formed and still make no sense to Automerge. Such a one goes, with what builds on it, and not the whole
    entry. Looked for by halves, in the order of `judge`, so that every device finds the same ones.
    """
    kept: list[Applied] = []
    hashes: set[bytes] = set()
    document: EntryDocument | None = None
    stack = [applied]
    while stack:
        part: list[Applied] = []
        reached = set(hashes)
        for item in stack.pop():
            if reached.issuperset(item.change.deps):
                part.append(item)
                reached.add(item.change.hash)
        if not part:
            continue
        try:
            found = EntryDocument([item.event.change for item in (*kept, *part)])
            found.fields()
        except ChangeRejected:
            if len(part) > 1:
                half = len(part) // 2
                stack += [part[half:], part[:half]]
            continue
        kept, hashes, document = [*kept, *part], reached, found
    return kept, document


def _may_happen(found: Applied, kind: Kind | None, root_slot: int | None, *, first: bool) -> bool:
    event, change = found
    event_kind, event_type = EVENT_TYPES[event.type]
    if not may_write(event_type, change.keys, slot=event.slot):
        return False
    if change.root_ops > ROOT_OPS_MAX or any(
        value is not _VALUE_BY_NAME.get(key.partition(".")[0], Written.STRING) for key, value in change.writes
    ):
        return False
    if change.ops > change.root_ops and not event_type.edits_text:
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
