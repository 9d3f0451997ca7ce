"""Holding the heads that a relay tells against what is here: what to ask for, and what is to be settled first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bide.ids import LogId
from bide.log.envelope import LOG_ID_AT
from bide.log.head import Head
from bide.replica.single_writer.succession import own_logs
from bide.storage.base import SpaceRecord, Storage


@dataclass(slots=True)
class Comparison:
    """What comes of it."""

    asked: dict[LogId, int]
    """After which entry each log is asked for."""
    to_receive: int = 0
    """Entries that the relay has and this device lacks."""
    same: set[LogId] = field(default_factory=set)
    """Logs whose head at the relay stands here as well."""
    claims: list[Head] = field(default_factory=list)
    """Heads of other pasts: the relay has to show them."""
    disputed: set[LogId] = field(default_factory=set)
    """Logs of others of which the relay has another past than is here."""
    halted: bool = False
    """Nothing is sent before what the relay has is here."""


def compare(storage: Storage, space: SpaceRecord, theirs: Iterable[Head]) -> Comparison:
    """Hold what a relay has against what is here.

    Args:
        storage: the replica.
        space: which.
        theirs: the head of each log at the relay.
    """
    heads = storage.heads(space.space_id)
    mine = own_logs(storage, space)
    forked = forked_logs(storage, space)
    beside = {each.hash for each in storage.beside(space.space_id)}
    parted = {each.log_id for each in storage.beside(space.space_id) if each.control}
    found = Comparison({log: head.seq for log, head in heads.items()})
    for head in theirs:
        log = head.log_id
        here = heads[log].seq if log in heads else 0
        found.to_receive += max(0, head.seq - here)
        if is_here(storage, space, head):
            found.same.add(log)
            # What builds on another past, kept beside, the relay can't judge: that is settled once all has come.
            found.halted = found.halted or log in parted
        elif log in mine:
            # Another copy of this home has written: its log is looked at from the beginning, and nothing is sent before.
            found.asked[log] = 0
            found.halted = True
            found.claims.append(head)
        elif log in heads and (head.seq <= here or log in forked):
            # Its device has written two pasts: that which is not here is asked for, as far as it is not kept already.
            # Kept beside there may be yet another one, so it is asked for from the beginning.
            found.asked[log] = min(here, head.seq) if head.hash in beside else 0
            if head.seq <= here:
                found.disputed.add(log)
                found.claims.append(head)
            # What builds on the past that is here the relay can't judge; where they part is known once the other one came.
            found.halted = found.halted or log not in forked
    return found


def is_here(storage: Storage, space: SpaceRecord, head: Head) -> bool:
    """Whether the very entry that a head names is here, at its place."""
    here = storage.envelope(space.space_id, head.log_id, head.seq)
    return here is not None and here.hash == head.hash


def forked_logs(storage: Storage, space: SpaceRecord) -> set[LogId]:
    """The logs of which there is proof that they have two pasts."""
    return {LogId(header[LOG_ID_AT]) for header in storage.evidence(space.space_id)}
