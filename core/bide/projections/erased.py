"""What is left of an entry when words of it were erased: the words of others that build on them, or reply to them.

Automerge can't take in a change without those it builds on. So the words of such a change are read from it as they stand,
and shown beside what there is, or under a placeholder if the beginning itself is gone. Pure, and the same on every device:
it follows from the events, the replies and that something was erased.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bide.crdt.change import read_words
from bide.entries.kinds import ERASED, EVENT_TYPES, PERSON
from bide.entries.records import EntryRecord, EventRecord
from bide.errors import ChangeRejected
from bide.ids import EntryId, SpaceId, entry_slot
from bide.projections.entry import encode_body, search_text

_WORDLESS = ("about", "retracted", "released", "reveal", "accept", "settle", "withdraw", "calm", "postponed", "pause")
"""Marks and choices, by the first part of the key: nothing that anybody said."""


def left_over(events: Sequence[EventRecord]) -> list[dict[str, Any]]:
    """The words of events that build on something erased, oldest first by their authors' clocks."""
    found = []
    for event in sorted(events, key=lambda event: (event.time_ms, event.log_id, event.seq)):
        known = EVENT_TYPES.get(event.type)
        if known is None or known[0] is PERSON:
            continue
        try:
            words = read_words(event.change)
        except ChangeRejected:
            continue
        fields = {_name(key): words[key] for key in sorted(words) if words[key] and _says(key, event.slot)}
        if fields:
            found.append({"slot": event.slot, "at_ms": event.time_ms, "fields": fields})
    return found


def _says(key: str, slot: int) -> bool:
    parts = key.split(".")
    # In a conversation the second part is whose words they are: nobody puts any into the other's mouth here either.
    return parts[0] not in _WORDLESS and (len(parts) == 1 or parts[1] == str(slot))


def _name(key: str) -> str:
    """``tell.0.own_part`` is ``own_part``, ``gesture.1`` is ``gesture``."""
    parts = key.split(".")
    return parts[2] if len(parts) == 3 else parts[0]


def placeholder(
    space: SpaceId, entry: EntryId, events: Sequence[EventRecord], replies: Sequence[EntryRecord]
) -> EntryRecord | None:
    """What stands for an entry whose beginning was erased; None: nothing of anybody is left that it would be needed for.

    Args:
        space: of which space.
        entry: the entry.
        events: those of it that are left.
        replies: the entries that reply to it.
    """
    words = left_over(events)
    if not words and not replies:
        return None
    times = [(event.time_ms, event.zone, event.day) for event in events if words]
    at_ms, zone, day = min([*times, *((reply.at_ms, reply.zone, reply.day) for reply in replies)])
    return EntryRecord(
        entry_id=entry,
        space_id=space,
        kind=ERASED.name,
        slot=entry_slot(entry),
        at_ms=at_ms,
        zone=zone,
        day=day,
        shown=True,
        reply_to=None,
        edited=False,
        state="",
        body=encode_body({"fields": {}, "history": [], "alternatives": {}, "words": words}),
        search_text=words_text(words),
    )


def words_text(words: Sequence[dict[str, Any]]) -> str:
    """What words that are left are found by."""
    return "\n".join(filter(None, (search_text(said["fields"]) for said in words)))
