"""Events: the plaintext of a data envelope, one named change to one entry's document.

::

    [1, frontier, type, version, least_version, entry_id, time_ms, zone, day, change]

`frontier` lists the heads ``[log_id, seq, hash]`` of the other logs that the author had, so that a partner's entry exposes
what a relay withheld. `type` is a stable name in the past tense, `version` its schema, and `least_version` the oldest
schema that a reader must know to make sense of it. A reader that knows less keeps the event for later.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any, NamedTuple

from bide.errors import EnvelopeRejected
from bide.ids import ENTRY_ID_BYTES, EntryId, LogId
from bide.log.envelope import BODY_BYTES_MAX
from bide.log.head import Head
from bide.log.packing import pack, unpack

FORMAT = 1
FRONTIER_LOGS_MAX = 64
CHANGE_BYTES_MAX = 192 * 1024
TIME_MS_MAX = 253_402_300_799_000
"""The end of the year 9999: what RFC 3339 can write."""
_TYPE = re.compile(r"[a-z][a-z_]{0,30}\.[a-z][a-z_]{0,30}")
_ZONE = re.compile(r"[A-Za-z0-9_+\-/]{1,64}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Event(NamedTuple):
    """One thing that happened to one entry."""

    type: str
    version: int
    least_version: int
    entry_id: EntryId
    time_ms: int
    """Milliseconds since 1970, UTC, by the author's clock. For display only."""
    zone: str
    """IANA name of the author's time zone."""
    day: str
    """The author's local day, ``YYYY-MM-DD``, which may begin later than midnight."""
    change: bytes
    """One Automerge change to the entry's document."""
    frontier: tuple[Head, ...]


class MalformedEvent(EnvelopeRejected):
    """An entry of the log holds no event that can be read."""

    code = "malformed_event"


def write_event(event: Event) -> bytes:
    """The plaintext of `event`, before padding.

    Raises:
        MalformedEvent: a field is out of its limits. What nobody could read again must never get into a log.
    """
    frontier = [[head.log_id, head.seq, head.hash] for head in event.frontier]
    plaintext = pack(
        [
            FORMAT,
            frontier,
            event.type,
            event.version,
            event.least_version,
            event.entry_id,
            event.time_ms,
            event.zone,
            event.day,
            event.change,
        ]
    )
    read_event(plaintext)
    return plaintext


def read_event(plaintext: bytes) -> Event:
    """The event in a plaintext.

    Raises:
        MalformedEvent: there is none, or a field is out of its limits.
    """
    try:
        value = unpack(plaintext, bytes_max=BODY_BYTES_MAX)
    except EnvelopeRejected as error:
        raise MalformedEvent from error
    if not isinstance(value, list) or len(value) < 10 or value[0] != FORMAT:
        raise MalformedEvent
    _, frontier, name, version, least, entry, time_ms, zone, day, change = value[:10]
    if not (
        _matches(_TYPE, name)
        and _between(version, 1, 10_000)
        and _between(least, 1, version)
        and _is_bytes(entry, ENTRY_ID_BYTES)
        and _between(time_ms, 0, TIME_MS_MAX)
        and _matches(_ZONE, zone)
        and _is_day(day)
        and isinstance(change, bytes)
        and len(change) <= CHANGE_BYTES_MAX
        and isinstance(frontier, list)
        and len(frontier) <= FRONTIER_LOGS_MAX
        and all(_is_head(item) for item in frontier)
    ):
        raise MalformedEvent
    heads = tuple(Head(LogId(log), seq, digest) for log, seq, digest in frontier)
    return Event(name, version, least, EntryId(entry), time_ms, zone, day, change, heads)


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_day(value: Any) -> bool:
    # The pattern alone would let the 31st of February through, on which every reader's calendar would break.
    if not _matches(_DAY, value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _between(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _is_bytes(value: Any, size: int) -> bool:
    return isinstance(value, bytes) and len(value) == size


def _is_head(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 3
        and _is_bytes(value[0], 16)
        and _between(value[1], 1, 2**62)
        and _is_bytes(value[2], 32)
    )
