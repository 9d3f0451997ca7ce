"""Importing: entries of another journal, written as keepsakes with the time that they had there.

Each gets an id that follows from where it comes from, so that importing a file again begins nothing twice, and a second device
of the same person that imports the same file arrives at the same entries.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bide.entries.kinds import KEEPSAKE
from bide.ids import ENTRY_ID_BYTES, EntryId
from bide.storage.base import EntryQuery, SpaceRecord

if TYPE_CHECKING:
    from bide.replica.authoring.appending import Moment
    from bide.replica.authoring.replica_like import ReplicaLike

BATCH_ENTRIES = 100
"""Keepsakes to a transaction: few enough that what else wants to write need not wait long."""
_TIME_BITS = 48


class Planned(NamedTuple):
    """One keepsake to write."""

    entry_id: EntryId
    values: dict[str, Any]
    at: Moment


class Kept(NamedTuple):
    """A keepsake that is in the space already."""

    entry_id: EntryId
    at_ms: int
    source: str
    original: str


def imported_entry_id(space: SpaceRecord, at_ms: int, name: bytes) -> EntryId:
    """The id of what is imported into `space`: the time that it had, then a hash of `name`, then the slot as in every id.

    Args:
        space: where it goes; two spaces never share an id.
        at_ms: when it was written.
        name: what tells it from everything else that could be imported.
    """
    digest = hashlib.blake2b(name, key=space.space_id, digest_size=ENTRY_ID_BYTES, person=b"bide.imported").digest()
    value = bytearray((at_ms & ((1 << _TIME_BITS) - 1)).to_bytes(_TIME_BITS // 8, "big") + digest[_TIME_BITS // 8 :])
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    value[15] = (value[15] & 0xFE) | space.slot
    return EntryId(bytes(value))


def is_here(replica: ReplicaLike, space: SpaceRecord, entry: EntryId) -> bool:
    """Whether an entry of that id was ever begun in `space`, whatever became of it."""
    return bool(replica.storage.events(space.space_id, entry))


def is_anywhere(replica: ReplicaLike, entry: EntryId) -> bool:
    """Whether an entry of that id is in any space of this journal."""
    return bool(replica.storage.entries_with_id(entry))


def kept(replica: ReplicaLike, space: SpaceRecord) -> list[Kept]:
    """The keepsakes in a space that stand in its timeline, by this person."""
    query = EntryQuery(space_id=space.space_id, kinds=(KEEPSAKE.name,), authors=((space.space_id, space.slot),))
    found = []
    for record in replica.storage.entries(query):
        fields = json.loads(record.body)["fields"]
        found.append(Kept(record.entry_id, record.at_ms, str(fields.get("source", "")), str(fields.get("original", ""))))
    return found


def write_keepsakes(
    replica: ReplicaLike,
    space: SpaceRecord,
    groups: Iterable[Sequence[Planned]],
    *,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write keepsakes, a batch in a transaction: whoever is stopped half-way imports again, and only the rest comes.

    Args:
        replica: to write with.
        space: where to: the own space, or one that is shared knowingly.
        groups: keepsakes that are one entry of the other journal stand together: all of them are written or none.
        progress: told after each batch how many are written.

    Returns:
        How many were begun; not those that somebody else began meanwhile.
    """
    written = 0
    batch: list[Planned] = []

    def flush() -> int:
        begun = 0
        with replica.storage.transaction():
            for item in batch:
                if not is_here(replica, space, item.entry_id):
                    replica.writer.write(KEEPSAKE.name, item.values, space=space, entry_id=item.entry_id, at=item.at)
                    begun += 1
        batch.clear()
        return begun

    for group in groups:
        batch.extend(group)
        if len(batch) >= BATCH_ENTRIES:
            written += flush()
            if progress is not None:
                progress(written)
    written += flush()
    if progress is not None:
        progress(written)
    return written
