"""What two people hold, made comparable face to face: six words for each, and how much of each person it is."""

from __future__ import annotations

from typing import NamedTuple

from bide.crypto.comparing import Said, comparison_words
from bide.ids import LogId
from bide.log.head import Head
from bide.replica.spaces.belonging import read_belonging
from bide.storage.base import SpaceRecord, Storage


class Comparison(NamedTuple):
    """One side of a comparison. Stays what it is while the people talk, whatever is synced meanwhile."""

    slot: int
    """Which of the two people this is."""
    words: tuple[str, ...]
    """To be said here."""
    expected: tuple[str, ...]
    """What the other says if they hold the same."""
    counts: tuple[int, int]
    """How many log entries of each person are held, by slot. What one did in silence is in it, and not told apart."""

    def matches(self, said: Said) -> bool:
        """Whether the other side holds the same history."""
        return said.words == self.expected

    def is_behind(self, counts: tuple[int, ...]) -> tuple[bool, bool]:
        """Whether something is missing here, and whether something is missing there, by the counts of the other side."""
        pairs = list(zip(self.counts, counts, strict=True))
        return any(here < there for here, there in pairs), any(there < here for here, there in pairs)


def compare(storage: Storage, space: SpaceRecord) -> Comparison:
    """This side of a comparison of what is held of a space.

    Raises:
        StorageError: the memory for it is not free.
    """
    places = _places(storage, space)
    slots = {member.log_id: member.slot for member in storage.members(space.space_id)}
    by_slot = comparison_words(space.space_id, places)
    of_first, of_second = (sum(place.seq for place in places if slots.get(place.log_id) == slot) for slot in (0, 1))
    return Comparison(space.slot, by_slot[space.slot], by_slot[1 - space.slot], (of_first, of_second))


def _places(storage: Storage, space: SpaceRecord) -> list[Head]:
    """The head of every log, and of a removed device's log the last entry that is passed on to everybody."""
    needed = read_belonging(storage, space.space_id).needed
    heads = storage.heads(space.space_id).values()
    places = [_place(storage, space, head, needed.get(head.log_id, head.seq)) for head in heads]
    return [place for place in places if place.seq]


def _place(storage: Storage, space: SpaceRecord, head: Head, upto: int) -> Head:
    if upto >= head.seq:
        return head
    there = storage.envelope(space.space_id, LogId(head.log_id), upto)
    return Head(head.log_id, upto, there.hash) if there is not None else Head(head.log_id, 0, bytes(32))
