"""The hash chain of a log, and the vectors that say how far each log is known."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from bide.errors import EnvelopeRejected, ForkDetected, SequenceGap
from bide.ids import LogId
from bide.log.envelope import ZERO_HASH, Envelope


class Head(NamedTuple):
    """How far a log is known: the last entry's number and hash. A log of which nothing is known has seq 0."""

    log_id: LogId
    seq: int
    hash: bytes


VersionVector = Mapping[LogId, Head]
"""The heads of a space's logs. Two replicas with equal vectors hold the same logs."""


def empty_head(log: LogId) -> Head:
    """The head of a log of which nothing is known."""
    return Head(log, 0, ZERO_HASH)


class Place(Enum):
    """Where an envelope stands towards a head."""

    NEXT = "next"
    """It follows directly and can be appended."""
    KNOWN = "known"
    """Its number is not above the head's: compare hashes with what is stored there."""


def place(head: Head, envelope: Envelope) -> Place:
    """Where `envelope` stands towards the `head` of its log.

    Raises:
        SequenceGap: entries between the head and this one are missing.
        ForkDetected: it follows on another past than the one here.
    """
    if envelope.log_id != head.log_id:
        raise EnvelopeRejected
    if envelope.seq <= head.seq:
        return Place.KNOWN
    if envelope.seq > head.seq + 1:
        raise SequenceGap
    if envelope.prev_hash != head.hash:
        raise ForkDetected
    return Place.NEXT


def head_of(envelope: Envelope) -> Head:
    """The head of a log whose last entry is `envelope`."""
    return Head(envelope.log_id, envelope.seq, envelope.hash)
