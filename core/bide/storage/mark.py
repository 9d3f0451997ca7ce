"""The *applying* mark: a small file beside the database that says what is being taken in, and outlives the process.

A transaction can't say it: it is undone when its process dies, and that is what the mark is for. It is written under the write
lock and cleared before the lock is let go. So whoever has the lock and finds a mark knows that its writer died at it.

What it says is sealed under a key that only the encrypted database holds. The file keeps its size, and a length of zero before
the rest says that nothing is being taken in: a file that grows and shrinks takes SQLite's disk several times as long to sync.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bide.errors import StorageError
from bide.ids import LogId, SpaceId
from bide.storage.opening import NO_ROOM, NoRoom

SUFFIX = "-applying"
_SPACE_BYTES = 16
_PLACE_BYTES = 16 + 8
_NO_LOG = LogId(bytes(16))
_PURPOSE = b"bide.applying\0"
_LENGTH = struct.Struct(">I")
_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no other


class Marked(NamedTuple):
    """What was being taken in."""

    space_id: SpaceId
    places: tuple[tuple[LogId, int], ...]


class Mark:
    """The mark beside one database; of a database in memory nothing outlives the process."""

    def __init__(self, database: Path | None) -> None:
        self._path = database.with_name(database.name + SUFFIX) if database else None
        self._set = False

    def left(self) -> bytes:
        """Somebody's mark, as it is there; empty: none. Costs 10 µs."""
        if self._path is None:
            return b""
        try:
            with self._path.open("rb") as file:
                return file.read(_LENGTH.unpack(file.read(_LENGTH.size))[0])
        except (OSError, struct.error):
            return b""

    def set(self, space: SpaceId, places: Sequence[tuple[LogId, int]], *, key: bytes, durable: bool) -> None:
        """Say what is taken in from now on.

        Args:
            space: of which space.
            places: log and number of each envelope.
            key: 32 bytes.
            durable: so that it survives the machine too, at the cost of an fsync.

        Raises:
            NoRoom: the disk is full.
            StorageError: it can't be written.
        """
        if self._path is None:
            return
        from bide.crypto import sealing  # whoever only reads has no mark to set

        nonce = os.urandom(sealing.NONCE_BYTES)
        plain = space + b"".join(log + seq.to_bytes(8, "big") for log, seq in places)
        sealed = sealing.seal(plain, secret=key, log=_NO_LOG, nonce=nonce, associated=_PURPOSE)
        try:
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                self._set = True
                os.write(file, _LENGTH.pack(len(nonce) + len(sealed)) + nonce + sealed)
                if durable:
                    _sync(file)
            finally:
                os.close(file)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise NoRoom from error
            raise StorageError("The database could not be written; nothing was changed.") from error

    def clear(self, *, left: bool = False) -> None:
        """It was taken in, or given up. Before the write lock is let go.

        Args:
            left: clear what another process left, too.
        """
        if self._path is not None and (self._set or left):
            # One that stays costs the next process a trial, and nothing else.
            with suppress(OSError), self._path.open("r+b") as file:
                file.write(_LENGTH.pack(0))
            self._set = False


def read_mark(data: bytes, *, key: bytes) -> Marked | None:
    """What a mark says; None: nothing that this database's key opens, such as half of a mark."""
    from bide.crypto import sealing
    from bide.errors import EnvelopeRejected

    nonce, sealed = data[: sealing.NONCE_BYTES], data[sealing.NONCE_BYTES :]
    try:
        plain = sealing.unseal(sealed, secret=key, log=_NO_LOG, nonce=nonce, associated=_PURPOSE)
    except EnvelopeRejected:
        return None
    places = (plain[at : at + _PLACE_BYTES] for at in range(_SPACE_BYTES, len(plain), _PLACE_BYTES))
    return Marked(
        SpaceId(plain[:_SPACE_BYTES]),
        tuple((LogId(place[:_SPACE_BYTES]), int.from_bytes(place[_SPACE_BYTES:], "big")) for place in places),
    )
