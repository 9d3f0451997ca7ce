"""Records: one event as it is derived from the log, and one entry as it is read. Plain tuples, cheap to import and to store."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from bide.ids import EntryId, LogId, SpaceId
from bide.log.head import Head

DocumentFields = dict[str, str | int | bool]
"""Root keys and values of an entry's document."""


class Standing(StrEnum):
    """What became of an event."""

    APPLIED = "applied"
    WAITING = "waiting"
    """It builds on a change that has not arrived."""
    NEWER = "newer"
    """Its type or version is from a newer Bide: kept, and replayed after an upgrade."""
    LEFT_OVER = "left over"
    """It builds on a change that was erased: it changes nothing any more, and its words are shown beside."""
    IGNORED = "ignored"
    """It is not allowed: by this person, on this entry, or in this form. Kept as it is."""


class EventRecord(NamedTuple):
    """One event of one entry, decrypted."""

    space_id: SpaceId
    entry_id: EntryId
    log_id: LogId
    seq: int
    slot: int
    """Who caused it."""
    type: str
    version: int
    least_version: int
    time_ms: int
    zone: str
    day: str
    change: bytes
    frontier: tuple[Head, ...]
    standing: Standing


class EntryRecord(NamedTuple):
    """One entry of the read model. Everything in it follows from the log."""

    entry_id: EntryId
    space_id: SpaceId
    kind: str
    slot: int
    """Who wrote it."""
    at_ms: int
    zone: str
    day: str
    shown: bool
    """Whether it stands in the timeline by itself."""
    reply_to: EntryId | None
    edited: bool
    state: str
    """For a repair its phase, for an answer that is not open yet ``closed``. Empty otherwise."""
    body: str
    """JSON: ``fields``, ``history``, ``alternatives``, marks (see `bide.projections.entry`), for a repair more, and ``words``
    where some are left of an entry of which others were erased (see `bide.projections.erased`)."""
    search_text: str
    """What full-text search finds it by, folded as `bide.projections.search.fold` does."""
