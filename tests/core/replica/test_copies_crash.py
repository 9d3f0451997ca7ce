"""A home that exists twice dies while it mends itself: at any write to its database. The next sync goes on.

Every seventh write, or every one with ``BIDE_COPIES=deep``.
"""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from bide.replica import Replica
from bide.storage.sqlite import SqliteStorage
from bide.testing import FakeClock, SeededRandomness
from bide.testing_replicas import MemoryRelay, new_replica, pair_space, pair_up, sync, wipe

KEY = bytes(range(32))
STEP = 1 if os.environ.get("BIDE_COPIES") == "deep" else 11


class Killed(BaseException):
    """The process ended here."""


class Dying(SqliteStorage):
    """Ends the process at one of its writes."""

    left = 1 << 60

    def _run(self, sql: str, *bindings: Any) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed
        super()._run(sql, *bindings)


def opened(path: Path, label: str) -> tuple[Dying, Replica]:
    storage = Dying(path, KEY)
    return storage, Replica(storage, clock=FakeClock(tick_ms=1000), randomness=SeededRandomness(label))


def shown(replica: Replica) -> list[str]:
    return sorted(entry["fields"]["noticed"] for entry in replica.timeline())


@pytest.mark.parametrize("wiped", [False, True])
def test_a_copy_that_dies_at_any_write_loses_nothing(tmp_path: Path, *, wiped: bool) -> None:
    """Killed once in the middle, then synced: each entry is there once, in the new log, and everybody agrees."""
    path, relay = tmp_path / "sam.db", MemoryRelay()
    sam, robin = new_replica("Sam", SqliteStorage(path, KEY, create=True)), new_replica("Robin")
    pair_up(sam, robin)
    sam.write("appreciation", {"noticed": "before"})
    for home in (sam, robin, sam):
        sync(home, relay)
    sam.storage.close()
    shutil.copy(path, tmp_path / "template.db")
    _, first = opened(path, "first")
    first.write("appreciation", {"noticed": "by the first"})
    sync(first, relay)
    first.storage.close()
    sync(robin, relay)
    if wiped:
        wipe(relay)
        sync(robin, relay)
    storage, twin = opened(tmp_path / "template.db", "twin")
    for number in range(3):
        twin.write("appreciation", {"noticed": f"by the twin {number}"})
    storage.close()
    everything = ["before", "by the first", *(f"by the twin {number}" for number in range(3))]
    spaces, at, died = relay.spaces, 0, True
    while died:
        relay.spaces = copy.deepcopy(spaces)
        shutil.copy(tmp_path / "template.db", tmp_path / "twin.db")
        storage, twin = opened(tmp_path / "twin.db", f"dies at {at}")
        storage.left = at
        died = False
        try:
            sync(twin, relay)
        except Killed:
            died = True
        storage.close()
        storage, twin = opened(tmp_path / "twin.db", f"lives on after {at}")
        twin.write("appreciation", {"noticed": "and on"})
        other = copy.deepcopy(robin.storage)
        partner = Replica(other, clock=FakeClock(tick_ms=1000), randomness=SeededRandomness("partner"))
        for home in (twin, partner, twin):
            sync(home, relay)
        assert shown(twin) == shown(partner) == sorted([*everything, "and on"]), at
        assert twin.digest()[1]["digest"] == partner.digest()[1]["digest"]
        assert len(storage.members(pair_space(twin).space_id)) == 3
        assert not storage.displaced(pair_space(twin).space_id, waiting=True)
        assert not [finding for finding in twin.doctor() if finding.level == "damage"]
        storage.close()
        at += STEP
    assert at > 20
