"""How this person stands to what they share: paused, or left for good. Said, sealed, in their own space alone.

So their other devices rest too, once they hear of it, and nobody else is told anything. Imports nothing heavy.
"""

from __future__ import annotations

from bide.ids import SpaceId
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.personal import said_of_me
from bide.storage.base import SpaceRecord, Storage

PAUSED, LEFT = "paused", "left"
ENDED = "ended"
"""Not a stance of one person's: a statement in the space itself says so."""
YES, NO = "yes", ""


def stance_key(stance: str, space: SpaceId) -> str:
    """The key, in the own space, under which it is said. One for each, so that a pause can't undo a leaving."""
    return f"device.{stance}.{space.hex()}"


def read_stances(storage: Storage) -> dict[SpaceId, str]:
    """`PAUSED` or `LEFT` of each space that doesn't sync. What was left quietly is never anything else again."""
    own = next((space for space in storage.spaces() if space.kind == "own"), None)
    if own is None:
        return {}
    said = said_of_me(storage, own)
    found: dict[SpaceId, str] = {}
    for stance in (PAUSED, LEFT):
        beginning = stance_key(stance, SpaceId(b""))
        for key, value in said.items():
            if value and key.startswith(beginning):
                try:
                    found[SpaceId(bytes.fromhex(key[len(beginning) :]))] = stance
                except ValueError:
                    continue
    return found


def may_write(storage: Storage, space: SpaceRecord) -> bool:
    """Whether an event can be written in a space: it was neither ended nor left."""
    over = read_belonging(storage, space.space_id).over
    return not over and read_stances(storage).get(space.space_id) != LEFT
