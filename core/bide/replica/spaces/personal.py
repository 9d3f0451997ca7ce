"""What devices are called, and which are one: said, sealed, in the entry that each person has of themselves in a space.

``device.LOG`` holds the name of the device that writes that log. In a person's own space ``device.LOG.in.SPACE`` holds the log
that the same device writes in another space: nobody else reads that. Imports nothing heavy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from bide.entries.kinds import PERSON
from bide.ids import LOG_ID_BYTES, LogId, SpaceId
from bide.replica.spaces.belonging import read_belonging
from bide.storage.base import SpaceRecord, Storage, find_own_space

_KEY = "device."
_IN = ".in."
_NAME_CHARS_MAX = 60
DEVICE_NAME_CHARS_MAX = 40
ON_PAPER = "recovery phrase (on paper)"
"""What a device that is a recovery phrase is called. It can't be named otherwise."""


class DeviceName(NamedTuple):
    """A device of a space as people see it."""

    name: str
    """As it was named, else a number."""
    named: bool
    mine: bool
    this: bool
    active: bool
    """It was not removed."""
    log_id: LogId
    places: Mapping[SpaceId, LogId]
    """The logs that it writes in my spaces; known of my own devices in my own space only."""
    on_paper: bool = False
    """It is a recovery phrase."""
    recovered: bool = False
    """It was brought in by a recovery phrase."""
    was: LogId | None = None
    """What the same home wrote here before it went on in this log, as it says itself; None: nothing, or others write it too."""


def device_key(log: LogId) -> str:
    """The key of a device's name."""
    return f"{_KEY}{log.hex()}"


def place_key(log: LogId, space: SpaceId) -> str:
    """The key of the log that a device writes in another space."""
    return f"{_KEY}{log.hex()}{_IN}{space.hex()}"


def was_key(log: LogId) -> str:
    """The key, in the space of that log, of the log that the same home wrote there before, and nobody else does."""
    return f"{_KEY}{log.hex()}.was"


def offer_key(space: SpaceId) -> str:
    """The key, in the own space, under which a device of mine offers a space to the others: kind, slot, relay, beginning."""
    return f"{_KEY}offer.{space.hex()}"


def wish_key(log: LogId, space: SpaceId) -> str:
    """The key, in the own space, under which a device of mine asks to be let into a space: its record there."""
    return f"{_KEY}{log.hex()}.wish.{space.hex()}"


def anchor_key(log: LogId) -> str:
    """The key, in the own space, of the space that a phrase's words lead to first; by the phrase's log in the own space."""
    return f"{_KEY}{log.hex()}.anchor"


def blanks_key(log: LogId) -> str:
    """The key, in the own space, of the public keys of a phrase for spaces to come; by the phrase's log in the own space."""
    return f"{_KEY}{log.hex()}.blanks"


def ended_key(log: LogId) -> str:
    """The key, in the own space, of what a phrase that was ended may be enrolled as anywhere; by its log in the own space."""
    return f"{_KEY}{log.hex()}.ended"


def box_key(log: LogId, place: LogId = LogId(b"")) -> str:  # noqa: B008 bytes don't change
    """The key, in the space that a phrase leads to first, under which another space is named to the phrase, sealed to it.

    Args:
        log: the phrase's log in that space.
        place: its log in the other space; left out, the beginning of all such keys.
    """
    return f"{_KEY}{log.hex()}.box.{place.hex()}"


def enrolling_key(space: SpaceId) -> str:
    """Where it is kept that a pending space is one that another device of mine lets this one into."""
    return f"enrolling.{space.hex()}"


def said_of_me(storage: Storage, space: SpaceRecord) -> dict[str, str]:
    """All that this person's devices say of the person in a space."""
    records = (record for record in storage.hidden_entries(space.space_id, PERSON.name) if record.slot == space.slot)
    return {key: str(value) for record in records for key, value in json.loads(record.body)["fields"].items()}


def my_devices(storage: Storage) -> list[DeviceName]:
    """My devices in the order in which they were added, removed ones too; one that went on as another is that other one."""
    own = find_own_space(storage)
    found = device_names(storage, own)
    gone_on = {each.was for each in found if each.active}
    return [each for each in found if each.log_id not in gone_on]


def device_names(storage: Storage, space: SpaceRecord) -> list[DeviceName]:
    """The devices of a space in the order in which they were added, removed ones too."""
    records = storage.hidden_entries(space.space_id, PERSON.name)
    said = {record.slot: json.loads(record.body)["fields"] for record in records}
    belonging = read_belonging(storage, space.space_id)
    ended = belonging.ended
    found: list[DeviceName] = []
    numbers = {0: 0, 1: 0}
    for member in storage.members(space.space_id):
        known = device_key(member.log_id) in said.get(member.slot, {}) or member.log_id in belonging.on_paper
        if ended.get(member.log_id) == 0 and not known:
            continue  # it was added by one that had been removed, and nobody ever knew it
        on_paper = member.log_id in belonging.on_paper
        numbers[member.slot] += not on_paper
        fields = said.get(member.slot, {})
        name = ON_PAPER if on_paper else str(fields.get(device_key(member.log_id), ""))[:_NAME_CHARS_MAX]
        found.append(
            DeviceName(
                name or f"device {numbers[member.slot]}",
                bool(name),
                member.slot == space.slot,
                member.log_id == space.log_id,
                member.log_id not in ended,
                member.log_id,
                _places(fields, member.log_id),
                on_paper,
                member.log_id in belonging.recovered,
                _was(fields, member.log_id),
            )
        )
    return found


def _was(fields: Mapping[str, Any], log: LogId) -> LogId | None:
    try:
        was = bytes.fromhex(str(fields.get(was_key(log), "")))
    except ValueError:
        return None
    return LogId(was) if len(was) == LOG_ID_BYTES else None


def _places(fields: Mapping[str, Any], log: LogId) -> dict[SpaceId, LogId]:
    beginning = f"{device_key(log)}{_IN}"
    found: dict[SpaceId, LogId] = {}
    for key, value in fields.items():
        if key.startswith(beginning):
            try:
                space, place = bytes.fromhex(key[len(beginning) :]), bytes.fromhex(str(value))
            except ValueError:
                continue
            if len(place) == LOG_ID_BYTES:
                found[SpaceId(space)] = LogId(place)
    return found
