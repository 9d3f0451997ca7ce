"""What follows from statements of leaving: that a space has ended, and which bodies were erased. Imports nothing heavy."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from bide.ids import LogId


class Ending(NamedTuple):
    """One statement that a space has ended. Several are one end."""

    day: str
    """The author's local day, ``YYYY-MM-DD``. For display only."""
    log_id: LogId
    seq: int
    slot: int
    """Who ended it."""


Spans = tuple[tuple[int, int], ...]
"""Numbers of one log, first and last of each stretch: in order, and no two of them touch."""
Erased = Mapping[LogId, Spans]
"""The places whose bodies were erased, by log. A control envelope among them keeps its body."""


def joined(spans: Iterable[tuple[int, int]]) -> Spans:
    """Stretches in order, those that overlap or touch made one."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return tuple(found)


def is_erased(erased: Erased, log: LogId, seq: int) -> bool:
    """Whether a place is among those whose bodies were erased."""
    spans = erased.get(log, ())
    at = bisect_right(spans, (seq, 1 << 63))
    return at > 0 and spans[at - 1][1] >= seq


def knows_of(endings: Iterable[Ending], log: LogId, seq: int, cited: Mapping[LogId, int]) -> bool:
    """Whether what stands at `seq` of a log was written by somebody who knew of an end: it follows on one, or cites one."""
    return any(seq > end.seq if log == end.log_id else cited.get(end.log_id, 0) >= end.seq for end in endings)
