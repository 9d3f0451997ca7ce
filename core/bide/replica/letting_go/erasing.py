"""Erasing one's own words: saying which, so that every honest relay and device drops their bodies. Headers stay."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bide.entries.kinds import REPAIR
from bide.entries.records import EntryRecord
from bide.errors import NotAllowed
from bide.ids import EntryId, LogId, SpaceId, person_entry_id
from bide.log.control import SPANS_MAX, BodiesErased, Span
from bide.log.leaving import joined
from bide.replica.authoring.appending import require_whole
from bide.replica.derivation.rebuilding import load_sayable
from bide.replica.letting_go.leaving import say
from bide.replica.spaces.belonging import read_belonging
from bide.storage.base import SpaceRecord, find_space

if TYPE_CHECKING:
    from bide.replica.authoring.replica_like import ReplicaLike

Places = dict[LogId, set[int]]


def erase_entries(replica: ReplicaLike, records: Sequence[EntryRecord]) -> list[SpaceId]:
    """Erase what this person wrote in these entries; see `bide.replica.Replica.erase`."""
    storage = replica.storage
    with storage.transaction():
        places: dict[SpaceId, Places] = {}
        for record in records:
            found = _own_places(replica, record)
            if not found:
                raise NotAllowed("Nothing in that is yours to erase; it may be erased already.")
            for log, seq in found:
                places.setdefault(record.space_id, {}).setdefault(log, set()).add(seq)
        for space in storage.spaces():
            if space.space_id in places:
                _erase(replica, space, places[space.space_id])
    return list(places)


def erase_all(replica: ReplicaLike, space: SpaceRecord) -> list[SpaceId]:
    """Erase all that this person wrote in a space, except what they are called there; see `bide.replica.Replica.erase`."""
    storage = replica.storage
    me = person_entry_id(space.space_id, space.slot)
    places: Places = {}
    with storage.transaction():
        require_whole(storage, space)  # or what was lost would count as nothing
        heads = storage.heads(space.space_id)
        for log in _own_logs(replica, space.space_id, space.slot):
            if log in heads:
                events = storage.log_events(space.space_id, log, heads[log].seq)
                if seqs := {seq for seq, entry, _ in events if entry != me}:
                    places[log] = seqs
        if not places:
            raise NotAllowed("There is nothing of yours to erase.")
        _erase(replica, space, places)
    return [space.space_id]


def own_part(replica: ReplicaLike, record: EntryRecord) -> int:
    """How many log entries of this person an entry is made of."""
    return len(_own_places(replica, record))


def _own_places(replica: ReplicaLike, record: EntryRecord) -> list[tuple[LogId, int]]:
    space = find_space(replica.storage, record.space_id)
    entries = [record.entry_id]
    if record.kind == REPAIR.name:
        body = json.loads(record.body)
        others = (*body.get("folded", ()), *filter(None, [body.get("into")]))
        entries += [EntryId(bytes.fromhex(other)) for other in others]
    own = set(_own_logs(replica, space.space_id, space.slot))
    events = (event for entry in entries for event in replica.storage.events(space.space_id, entry))
    return [(event.log_id, event.seq) for event in events if event.log_id in own]


def _own_logs(replica: ReplicaLike, space: SpaceId, slot: int) -> list[LogId]:
    return [member.log_id for member in replica.storage.members(space) if member.slot == slot]


def _erase(replica: ReplicaLike, space: SpaceRecord, places: Places) -> None:
    if space.log_id in read_belonging(replica.storage, space.space_id).ended:
        raise NotAllowed("This device was removed from the devices of this journal, so it can't write any more.")
    spans = [Span(log, first, last) for log, seqs in sorted(places.items()) for first, last in _stretches(seqs)]
    for at in range(0, len(spans), SPANS_MAX):
        heads = sorted(load_sayable(replica.storage, space.space_id).heads)
        say(replica, space, BodiesErased("bodies.erased", 1, heads, spans[at : at + SPANS_MAX]))


def _stretches(seqs: Iterable[int]) -> Iterable[tuple[int, int]]:
    return joined((seq, seq) for seq in seqs)
