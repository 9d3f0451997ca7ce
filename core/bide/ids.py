"""Identifiers, and the ports for the two things that are not pure: the clock and randomness.

All identifiers are raw ``bytes`` inside the program and on the wire. A person sees an entry as a short code such as
``th-7KQ2MX`` (kind prefix, then the last random bits in Crockford's base 32); scripts see the whole UUID.
"""

from __future__ import annotations

import os
import time
from typing import NewType, Protocol

SpaceId = NewType("SpaceId", bytes)
"""16 bytes, derived from the founding device's key: see `space_id`."""
DeviceId = NewType("DeviceId", bytes)
"""32 bytes: the device's Ed25519 public key in one space. A device has another in every space."""
LogId = NewType("LogId", bytes)
"""16 bytes, derived from space and device: see `log_id`."""
EntryId = NewType("EntryId", bytes)
"""16 bytes, a UUIDv7."""

SPACE_ID_BYTES = 16
LOG_ID_BYTES = 16
ENTRY_ID_BYTES = 16
CODE_CHARS = 6
"""Characters of an entry's short code as shown; any unambiguous beginning of 4 or more is accepted."""
CODE_CHARS_MIN = 4

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CROCKFORD_ALIASES = str.maketrans({"O": "0", "I": "1", "L": "1"})


class Clock(Protocol):
    """Where time comes from. Clocks are for display only: order comes from the log and the CRDT."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 in UTC."""
        ...


class Randomness(Protocol):
    """Where random bytes come from."""

    def token(self, size: int) -> bytes:
        """`size` bytes fit for keys."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now_ms(self) -> int:
        """Milliseconds since 1970 in UTC."""
        return time.time_ns() // 1_000_000


class SystemRandomness:
    """The random source of the operating system."""

    def token(self, size: int) -> bytes:
        """`size` bytes fit for keys."""
        return os.urandom(size)


def _digest(data: bytes, *, size: int, person: bytes) -> bytes:
    import hashlib  # brings OpenSSL along, which reading a timeline can do without

    return hashlib.blake2b(data, digest_size=size, person=person).digest()


def space_id(founder: DeviceId, salt: bytes) -> SpaceId:
    """The id of the space that `founder` creates with 16 random bytes of `salt`.

    Deriving it makes the founding envelope self-certifying: nobody can offer another beginning for a known space.
    """
    return SpaceId(_digest(founder + salt, size=SPACE_ID_BYTES, person=b"bide.space"))


def log_id(space: SpaceId, device: DeviceId) -> LogId:
    """The id of the one log that `device` writes in `space`."""
    return LogId(_digest(space + device, size=LOG_ID_BYTES, person=b"bide.log"))


def new_entry_id(clock: Clock, randomness: Randomness, *, slot: int) -> EntryId:
    """A fresh UUIDv7 (RFC 9562): 48 bits of milliseconds, then 73 random bits and the author's slot.

    The last bit names the author, so the other person can never begin an entry that is not theirs under the same id.
    """
    value = bytearray((clock.now_ms() & 0xFFFF_FFFF_FFFF).to_bytes(6, "big") + randomness.token(10))
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    value[15] = (value[15] & 0xFE) | slot
    return EntryId(bytes(value))


def entry_slot(entry: EntryId) -> int:
    """The slot of the person who alone can begin the entry with this id."""
    return entry[15] & 1


def person_entry_id(space: SpaceId, slot: int) -> EntryId:
    """The one entry that says what the person in `slot` is called in a space."""
    digest = _digest(space + bytes([slot]), size=ENTRY_ID_BYTES, person=b"bide.person")
    return EntryId(digest[:15] + bytes([(digest[15] & 0xFE) | slot]))


def format_entry_id(entry: EntryId) -> str:
    """The canonical UUID text, 36 characters."""
    text = entry.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def parse_entry_id(text: str) -> EntryId | None:
    """The id that `text` spells as a UUID, or None if it is no UUID."""
    compact = text.strip().lower().replace("-", "")
    if len(compact) != 2 * ENTRY_ID_BYTES or any(c not in "0123456789abcdef" for c in compact):
        return None
    return EntryId(bytes.fromhex(compact))


def entry_code(entry: EntryId) -> str:
    """The whole short code of an entry: 12 characters of Crockford's base 32 over its last 60 random bits."""
    number = int.from_bytes(entry[8:], "big") & ((1 << 60) - 1)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(55, -1, -5))


def normalize_code(text: str) -> str | None:
    """The beginning of a short code as a person typed it, or None if it can't be one.

    Accepts lower case, a kind prefix (``th-``), and the look-alikes O, I and L.
    """
    tail = text.strip().upper().rsplit("-", 1)[-1].translate(_CROCKFORD_ALIASES)
    if not CODE_CHARS_MIN <= len(tail) <= 12 or any(c not in _CROCKFORD for c in tail):
        return None
    return tail
