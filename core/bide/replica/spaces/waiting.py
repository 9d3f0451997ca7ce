"""What a space waits for: to be let into it, or for the lost end of this device's own log. Imports nothing heavy."""

from __future__ import annotations

from bide.errors import Phrase
from bide.ids import SpaceId
from bide.replica.spaces.personal import enrolling_key
from bide.storage.base import SpaceRecord, Storage

ASKED = " asked"
"""What stands behind it once a relay has been asked, and had not all of it; or if there is none to ask."""


def short_key(space: SpaceId) -> str:
    """Where it is kept that this device's own log was longer than it is here, and how far others may have it: see
    `bide.replica.examining.mending`.
    """
    return f"mended.short.{space.hex()}"


def go_on_key(space: SpaceId) -> str:
    """Where it is kept that its person has decided to go on without that, which the next sync does."""
    return f"mended.go_on.{space.hex()}"


def is_short(storage: Storage, space: SpaceId) -> bool:
    """Whether nothing may be written in a space yet, since this device's own log was longer."""
    return bool(storage.meta(short_key(space)))


def waiting_words(storage: Storage, space: SpaceRecord) -> Phrase | None:
    """What a person is told of a pending space, and how to begin again, since the other side may know nothing of it.

    Returns:
        A sentence or two; None: what the own space waits for says it all.
    """
    if not storage.meta(enrolling_key(space.space_id)):
        return Phrase(
            "The other person's side has not finished the pairing yet. If bide people shows you there, "
            "bide sync there and then here finishes it. If not, begin again: one runs bide pair, the other bide join."
        )
    if space.kind == "own":
        return Phrase(
            "The other device has not let this one in yet. If bide device shows it there, "
            "bide sync there and then here finishes it. If not, begin again: bide device add there, bide device join here."
        )
    if any(other.kind == "own" and other.pending for other in storage.spaces()):
        return None
    return Phrase("Another device of yours has yet to let this one into what you share with somebody; it does when it syncs.")
