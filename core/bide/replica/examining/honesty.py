"""What doctor tells of a relay that is not honest, in words that say what it means and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bide.errors import Phrase
from bide.ids import LogId
from bide.projections.timeline import View
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.waiting import is_short
from bide.replica.sync import incidents
from bide.replica.sync.witnessing import holds
from bide.storage.base import SpaceRecord, Storage

_WITHHELD = {
    "theirs": (
        "{count} log entries of {name} in {space} have not come, though they have been referred to since {day}."
        " The relay may be holding them back. Compare with {name}: bide verify. If they don't come: another relay."
    ),
    "mine": (
        "{count} log entries of a device of yours in {space} have not come, though they have been referred to since {day}."
        " The relay may be holding them back: sync on that device too. If they don't come: another relay."
    ),
    "unknown": (
        "{count} log entries of a device in {space} that is not known here have not come, though they have been referred to"
        " since {day}. The relay may be holding them back, and that a device was added. Compare: bide verify"
    ),
}
_CONTRADICTED = {
    "theirs": (
        "A device of {name} says that it was shown other log entries in {space} than this one. Either the relay shows you"
        " different histories, or a device was copied, or one lost the end of its log and went on without it."
        " Nothing was overwritten, and the proof is kept ({count})."
        " Compare with {name}: bide verify"
    ),
    "mine": (
        "Another device of yours was shown other log entries in {space} than this one. Either the relay shows them"
        " different histories, or a device was copied, or one lost the end of its log and went on without it."
        " Nothing was overwritten, and the proof is kept ({count})."
    ),
}
_INCIDENTS = {
    incidents.NEW_STORAGE: (
        "The relay's storage was new when {space} was synced ({count}×, last on {day}). What is here stays, and is sent to it"
        " again as soon as it takes it."
    ),
    incidents.LOST: (
        "The relay lacked log entries of {space} that it had confirmed ({count}×, last on {day})."
        " What is here stays, and is sent to it again. If it goes on like that: another relay, with bide relay set"
    ),
    incidents.NOT_SENT: (
        "The relay announced log entries of {space} and did not send them ({count}×, last on {day})."
        " It may be holding something back. Compare with the other: bide verify"
    ),
    incidents.FALSE_RECEIPT: (
        "The relay confirmed log entries of {space} that it had not been sent ({count}×, last on {day})."
        " It was not believed: what you wrote counts as waiting until it is really there."
    ),
    incidents.NOT_GENUINE: (
        "The relay sent something for {space} that its author did not sign, or that nobody may write"
        " ({count}×, last on {day}). Nothing of it was taken over."
    ),
    incidents.OUT_OF_ORDER: (
        "The relay left out something in the middle of {space}, or turned the order around ({count}×, last on {day})."
        " Nothing of that was taken over."
    ),
    incidents.TWO_PASTS: (
        "The relay holds another past of a log in {space} than this device ({count}×, last on {day})."
        " Nothing was sent or overwritten."
    ),
    incidents.BROKE_RULES: (
        "The relay did not keep to the protocol while it synced {space} ({count}×, last on {day})."
        " It may be another version, or not be honest. What is here stays."
    ),
    incidents.DIFFERED: (
        "You compared what you both have in {space}, and it was not the same ({count}×, last on {day})."
        " Don't rely on this relay, and keep both devices as they are."
    ),
}


class _Withheld(NamedTuple):
    """Of one log: what others refer to and is not here."""

    log_id: LogId
    entries: int
    day: str
    """Of the first event here that refers to it."""


def examine_honesty(storage: Storage, space: SpaceRecord, label: Phrase, view: View) -> Iterator[tuple[bool, Phrase]]:
    """Everything that was noticed in one space.

    Args:
        storage: the replica.
        space: which space.
        label: what the space is called.
        view: what everybody is called.

    Yields:
        Whether it is damage, and the words.
    """
    # A log of this home's own that a copy of it wrote too is as it was cited, once the copy's writing has come.
    standing = (each for each in storage.contradictions(space.space_id) if not holds(storage, space.space_id, each))
    contradicting = [citation.slot for citation in standing]
    for slot in sorted(set(contradicting)):
        whose = "mine" if slot == space.slot else "theirs"
        count = contradicting.count(slot)
        name = view.names.get((space.space_id, slot), "")
        yield True, Phrase(_CONTRADICTED[whose], {"name": name, "space": label, "count": count})
    slots = {member.log_id: member.slot for member in storage.members(space.space_id)}
    for item in withheld(storage, space):
        owner = slots.get(item.log_id)
        whose = "unknown" if owner is None else "mine" if owner == space.slot else "theirs"
        name = view.names.get((space.space_id, -1 if owner is None else owner), "")
        yield False, Phrase(_WITHHELD[whose], {"name": name, "space": label, "count": item.entries, "day": item.day})
    for incident in incidents.incidents(storage, space.space_id):
        values = {"space": label, "count": incident.times, "day": incident.last_day}
        yield False, Phrase(_INCIDENTS[incident.kind], values)


def withheld(storage: Storage, space: SpaceRecord) -> list[_Withheld]:
    """What somebody's events refer to that is not here, by log: a relay that withholds shows itself so.

    Not of this device's own log while its end is known to have been lost here.
    """
    lost = space.log_id if is_short(storage, space.space_id) else None
    heads = storage.heads(space.space_id)
    # What a removed device wrote beyond this is passed on to nobody.
    needed = read_belonging(storage, space.space_id).needed
    furthest: dict[LogId, int] = {}
    for citation in storage.cited(space.space_id):
        upto = min(citation.seq, needed.get(citation.log_id, citation.seq))
        furthest[citation.log_id] = max(upto, furthest.get(citation.log_id, 0))
    here = {log: heads[log].seq if log in heads else 0 for log in furthest}
    return [
        _Withheld(log, seq - here[log], _since(storage, space, log, here[log]))
        for log, seq in sorted(furthest.items())
        if seq > here[log] and log != lost
    ]


def _since(storage: Storage, space: SpaceRecord, log: LogId, here: int) -> str:
    """The day of the first event that refers to more of a log than is here."""
    days = []
    for citation in storage.cited(space.space_id):
        if citation.log_id != log or citation.seq <= here:
            continue
        for seq, _, frontier in storage.log_events(space.space_id, citation.by_log, citation.by_seq):
            if any(head.log_id == log and head.seq > here for head in frontier):
                event = storage.event(space.space_id, citation.by_log, seq)
                days += [event.day] if event is not None else []
                break
    return min(days, default="?")
