"""What the events of a log say that their author had of the other logs: the furthest of it is kept, as `Citation`."""

from __future__ import annotations

from collections.abc import Iterable

from bide.ids import EntryId, LogId, SpaceId
from bide.log.head import Head
from bide.storage.base import Citation, Storage

_THE_END = (1 << 63) - 1


def cite(
    storage: Storage, space: SpaceId, log: LogId, slot: int, events: Iterable[tuple[int, EntryId, tuple[Head, ...]]]
) -> None:
    """Note what these events of a log cite. Inside a transaction.

    Args:
        storage: where to.
        space: of which space.
        log: whose log.
        slot: whose that is.
        events: (seq, entry, frontier), in order.
    """
    furthest: dict[LogId, Citation] = {}
    for seq, _, frontier in events:
        for head in frontier:
            known = furthest.get(head.log_id)
            if known is None or known.seq < head.seq:
                furthest[head.log_id] = Citation(head.log_id, log, slot, head.seq, head.hash, seq)
    for citation in furthest.values():
        storage.put_citation(space, citation)


def cite_again(storage: Storage, space: SpaceId, logs: Iterable[LogId]) -> None:
    """Events of these logs were taken out: note only what those cite that are left. Inside a transaction."""
    slots = {citation.by_log: citation.slot for citation in storage.cited(space)}
    for log in logs:
        if log in slots:
            storage.remove_citations(space, log)
            cite(storage, space, log, slots[log], storage.log_events(space, log, _THE_END))
