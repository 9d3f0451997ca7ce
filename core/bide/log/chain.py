"""The hash chain of a log: where an envelope stands towards what is known of it."""

from __future__ import annotations

from enum import Enum

from bide.errors import EnvelopeRejected, ForkDetected, SequenceGap
from bide.log.envelope import Envelope
from bide.log.head import Head, VersionVector, empty_head

__all__ = ["Head", "Place", "VersionVector", "empty_head", "head_of", "place"]


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
