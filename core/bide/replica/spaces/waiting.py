"""What a space waits for that this device has not been let into yet. Imports nothing heavy."""

from __future__ import annotations

from bide.errors import Phrase
from bide.replica.spaces.personal import enrolling_key
from bide.storage.base import SpaceRecord, Storage


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
