"""How far a log is known. Apart from the chain, so that reading the timeline needs no cryptography."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bide.ids import LogId


class Head(NamedTuple):
    """How far a log is known: the last entry's number and hash. A log of which nothing is known has seq 0."""

    log_id: LogId
    seq: int
    hash: bytes


VersionVector = Mapping[LogId, Head]
"""The heads of a space's logs. Two replicas with equal vectors hold the same logs."""


def empty_head(log: LogId) -> Head:
    """The head of a log of which nothing is known."""
    return Head(log, 0, bytes(32))
