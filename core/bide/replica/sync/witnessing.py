"""Whether two devices were shown the same history: what others say they had, held against what is here.

Every event names the heads of the other logs that its author had, and a head vouches for all beneath it. So a relay that shows
two devices different pasts of a log is found out as soon as one of them hears from the other, and so is a device with two
pasts. Nothing of it is taken over or taken back: it is kept and told.
"""

from __future__ import annotations

from collections.abc import Container

from bide.ids import LogId, SpaceId
from bide.storage.base import Citation, Storage


def witness(storage: Storage, space: SpaceId, logs: Container[LogId] | None = None) -> bool:
    """Compare the furthest citations with what is here, and keep what contradicts it. Inside a transaction.

    Args:
        storage: the replica.
        space: of which space.
        logs: only citations of these, or by these; None: all.

    Returns:
        Whether something did.
    """
    cited = [citation for citation in storage.cited(space) if _concerns(citation, logs)]
    found = [citation for citation in cited if not holds(storage, space, citation)]
    for citation in found:
        storage.put_contradiction(space, citation)
    return bool(found)


def _concerns(citation: Citation, logs: Container[LogId] | None) -> bool:
    return logs is None or citation.log_id in logs or citation.by_log in logs


def holds(storage: Storage, space: SpaceId, citation: Citation) -> bool:
    """Whether the place is as cited; what has not come yet contradicts nothing."""
    there = storage.envelope(space, citation.log_id, citation.seq)
    if there is None or there.hash == citation.hash:
        return True
    # What this home itself wrote there and took out again, since another copy of it was first, contradicts nothing.
    return any(each.envelope.hash == citation.hash for each in storage.displaced(space))
