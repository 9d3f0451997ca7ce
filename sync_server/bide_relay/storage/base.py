"""The storage contract of the relay. `tests/contracts/test_relay_storage.py` holds for every implementation.

Storage keeps places in chains and nothing else: it knows no membership and checks no signature. It is never asked to
replace an envelope, and never does: what is at (space, log, seq) stays. Only a body can go, where it is erased, and come back,
where somebody had kept it.

`append`, `found`, `forget`, `stay`, `sweep` and `touch` are called by one thread at a time; everything else by any thread.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from bide.errors import StorageError
from bide.ids import LogId, SpaceId
from bide.log.chain import Head
from bide.log.envelope import Envelope


class StorageFailed(StorageError):
    """The relay's database failed while writing; what was not acknowledged may or may not be there."""

    code = "storage_failed"


class StorageDamaged(StorageError):
    """The relay's database is damaged."""

    code = "storage_damaged"
    hint_default = (
        "Stop it, keep its files, and put back a backup (bide-relay restore) or begin with an empty folder: the devices send"
        " everything again."
    )


class Identity(NamedTuple):
    """Made at the first start and kept."""

    signing_seed: bytes
    """32 bytes of Ed25519: the relay's key."""
    store_id: bytes
    """16 random bytes: another storage has another."""


class Batch(NamedTuple):
    """Envelopes of one space to append, each log's in order."""

    space: SpaceId
    envelopes: Sequence[Envelope]
    fills: Sequence[Envelope] = ()
    """Whole envelopes for places that hold the same ones without their bodies."""
    erased: Sequence[Stretch] = ()
    """Where bodies of data envelopes are to be dropped, after all else."""


class Stretch(NamedTuple):
    """A part of one log, both ends included."""

    log_id: LogId
    first: int
    last: int


class Conflict(Enum):
    """Why a batch was not appended whole."""

    FORK = "fork"
    """Its next envelope has another hash than the stored one at its place, or follows on another past."""
    GAP = "gap"
    """Its next envelope does not follow on what is stored."""


class Appended(NamedTuple):
    """What became of one batch: a beginning of it is stored, all of it if there is no conflict."""

    stored: int
    """Envelopes that are new."""
    known: int
    """Envelopes that were there already."""
    conflict: Conflict | None
    evidence: bytes
    """For a fork: the first 204 bytes of the stored envelope that contradicts."""
    bodies: int = 0
    """How many bytes of bodies were filled in, less those that were dropped."""


class Span(NamedTuple):
    """A stretch of one log: after `after`, up to and including `upto`."""

    log_id: LogId
    after: int
    upto: int


class Entry(NamedTuple):
    """One stored envelope."""

    log_id: LogId
    seq: int
    data: bytes


class Usage(NamedTuple):
    """How much a space, or the whole relay, holds."""

    entries: int
    bytes: int


class Footprint(NamedTuple):
    """One space among others: what it takes and since when, and not which it is."""

    entries: int
    bytes: int
    made_day: int
    """Days since 1970 in UTC."""
    used_day: int
    """When a device was last connected, in days since 1970."""


class Storage(Protocol):
    """What the relay needs of a database."""

    def identity(self) -> Identity:
        """The relay's key and store id, made when the storage was."""
        ...

    def found(self, space: SpaceId, genesis: Envelope, *, invite: bytes | None) -> bool:
        """Begin a space with its first envelope. Durable on return.

        Args:
            space: the space's id.
            genesis: already verified.
            invite: the digest of the token that pays for it, or None where registration is open.

        It is then no longer one that was forgotten.

        Returns:
            False if the space is here already; nothing has changed then.

        Raises:
            InviteSpent: no such invite, or it admits no more spaces.
            DiskLow: there was no room to write; nothing has changed.
            StorageFailed: the caller must end the process.
        """
        ...

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        """Append batches, fill in bodies and drop them, in one transaction. Durable on return.

        Raises:
            SpaceUnknown: one of the spaces was never founded; nothing has changed.
            DiskLow: there was no room to write; nothing has changed.
            StorageFailed: the caller must end the process: after a failed sync nobody knows what is on the disk.
        """
        ...

    def forget(self, space: SpaceId, slot: int, *, of: Collection[int], day: int) -> bool:
        """Note that a person needs a space here no more; when all have said so, it is gone. Durable on return.

        What it held may stay on the disk until `sweep` has come to it; nothing gives it out any more.

        Args:
            space: which.
            slot: who says so.
            of: the slots of everybody who has a device in it.
            day: today, in days since 1970.

        Returns:
            Whether the space is gone.

        Raises:
            SpaceUnknown: there is no such space.
            DiskLow: there was no room to write; nothing has changed.
            StorageFailed: the caller must end the process.
        """
        ...

    def stay(self, space: SpaceId, slot: int) -> None:
        """A person is here with a space once more: what they may have said to `forget` before falls. Durable on return.

        Raises:
            DiskLow: there was no room to write; nothing has changed.
            StorageFailed: the caller must end the process.
        """
        ...

    def leaving(self, space: SpaceId) -> set[int]:
        """The slots of those who have asked to forget a space that is still here."""
        ...

    def was_forgotten(self, space: SpaceId) -> bool:
        """Whether a space was here and is gone since everybody in it said so, as far as that is still known."""
        ...

    def sweep(self, *, envelopes_max: int, before_day: int, known_max: int) -> bool:
        """Delete some of what forgotten spaces held, overwriting it; then what is known of them for too long.

        Args:
            envelopes_max: how many envelopes to delete at most.
            before_day: what was forgotten before it needs no longer be known.
            known_max: of how many it may be known.

        Returns:
            Whether there is more to delete.

        Raises as `touch`.
        """
        ...

    def heads(self, space: SpaceId) -> Mapping[LogId, Head]:
        """The head of every log of a space; empty if the space is unknown."""
        ...

    def controls(self, space: SpaceId) -> list[bytes]:
        """Every control envelope of a space, in any order."""
        ...

    def header(self, space: SpaceId, log: LogId, seq: int) -> bytes | None:
        """The first 204 bytes of one envelope, or None."""
        ...

    def is_bare(self, space: SpaceId, log: LogId, seq: int) -> bool:
        """Whether a data envelope is here without its body."""
        ...

    def bare(self, space: SpaceId) -> Iterator[tuple[LogId, int]]:
        """Log and number of every data envelope that is here without its body."""
        ...

    def read(self, space: SpaceId, spans: Sequence[Span], *, bytes_max: int, envelopes_max: int) -> list[Entry]:
        """Envelopes from the start of `spans`, in their order.

        Stops before the envelope that would exceed a limit, but returns at least one if there is one.
        """
        ...

    def usage(self, space: SpaceId) -> Usage:
        """What a space takes."""
        ...

    def totals(self) -> tuple[int, Usage]:
        """The number of spaces, and what they take together."""
        ...

    def spaces(self) -> Iterator[SpaceId]:
        """Every space."""
        ...

    def add_invite(self, invite: bytes, *, spaces: int) -> None:
        """Keep the digest of a new invite token that admits so many spaces. Durable on return."""
        ...

    def touch(self, spaces: Collection[SpaceId], day: int) -> None:
        """Note that spaces are in use on a day, in days since 1970. Unknown ones are passed over.

        Raises:
            DiskLow: there was no room to write; nothing has changed.
            StorageFailed: the caller must end the process.
        """
        ...

    def free_bytes(self) -> int:
        """Room left on the disk, for those who may not fill it."""
        ...

    def close(self) -> None:
        """Let go of everything. Call once, when nothing is under way."""
        ...
