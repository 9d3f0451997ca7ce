"""A second read model of one space, derived in memory beside the first, to compare the two. The storage is only read.

It holds what is derived and nothing of the log, so that it takes less memory than the home takes on disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bide.ids import LogId, SpaceId
from bide.storage.opening import KEY_BYTES
from bide.storage.sqlite import SqliteStorage

if TYPE_CHECKING:
    from bide.log.head import Head
    from bide.storage.base import Displaced, SpaceRecord, Storage, StoredEnvelope


class Aside(SqliteStorage):
    """A storage in memory whose log is that of another one. Nothing can be appended to it."""

    def __init__(self, source: Storage, space: SpaceRecord) -> None:
        """Begin with nothing derived.

        Args:
            source: where the log is; it has to stay as it is meanwhile (`Storage.snapshot`).
            space: the only one that is here.
        """
        super().__init__(None, bytes(KEY_BYTES), create=True)  # in memory there is nothing to encrypt
        self._source = source
        with self.transaction():
            self.put_space(space)
            for epoch, secret in source.epochs(space.space_id).items():
                self.put_epoch(space.space_id, epoch, secret)
            for suspect in source.suspects(space.space_id):
                self.put_suspect(suspect)
            for beside in source.beside(space.space_id):
                self.put_beside(space.space_id, beside)

    def heads(self, space: SpaceId) -> dict[LogId, Head]:
        """See the contract."""
        return self._source.heads(space)

    def envelope(self, space: SpaceId, log: LogId, seq: int) -> StoredEnvelope | None:
        """See the contract."""
        return self._source.envelope(space, log, seq)

    def envelopes_after(self, space: SpaceId, log: LogId, seq: int, *, bytes_max: int, count_max: int) -> list[StoredEnvelope]:
        """See the contract."""
        return self._source.envelopes_after(space, log, seq, bytes_max=bytes_max, count_max=count_max)

    def controls(self, space: SpaceId) -> list[StoredEnvelope]:
        """See the contract."""
        return self._source.controls(space)

    def displaced(self, space: SpaceId, *, waiting: bool = False) -> list[Displaced]:
        """See the contract. What others build on tells who belongs, though it stands in no log any more."""
        return self._source.displaced(space, waiting=waiting)

    def erase_bodies(self, space: SpaceId, log: LogId, first: int, last: int) -> list[int]:  # noqa: ARG002 the contract's
        """None are dropped here; what was erased is not derived in the first place."""
        return []

    def index_text(self, number: int, text: str) -> None:
        """Nobody searches here."""

    def unindex_text(self, number: int) -> None:
        """See `index_text`."""
