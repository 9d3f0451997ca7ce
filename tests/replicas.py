"""Two people's replicas in memory, and what tests of them do again and again."""

from __future__ import annotations

from bide.ids import EntryId, parse_entry_id
from bide.replica import Replica
from bide.testing_replicas import MemoryRelay, exchange, new_replica, pair_up, sync


def new_couple() -> tuple[Replica, Replica]:
    """Two paired replicas that have all of each other's: Sam, the founder (slot 0), and Robin (slot 1)."""
    sam, robin = new_replica("Sam"), new_replica("Robin")
    pair_up(sam, robin)
    exchange(sam, robin)
    return sam, robin


def raw(text: str) -> EntryId:
    """The id of an entry, from how it is shown."""
    entry = parse_entry_id(text)
    assert entry is not None
    return entry


def sync_all(relay: MemoryRelay, *replicas: Replica, rounds: int = 2) -> None:
    """Every space of every replica through a relay, twice, so that answers arrive as well."""
    for _ in range(rounds):
        for replica in replicas:
            for space in replica.spaces():
                sync(replica, relay, space=space.space_id)
