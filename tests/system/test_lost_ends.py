"""A home was mended, and a relay lost what was missing too: nobody's log is written by two, and nobody waits for ever."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from system.test_damage import KEY, mended_into, with_sql

from bide.errors import BideError
from bide.replica import Replica, mending
from bide.replica.appending import NotWhole
from bide.replica.bundles import HOST, read_bundle, write_bundle
from bide.replica.mending import go_on, laid_by, still_missing
from bide.storage.sqlite import SqliteStorage
from bide.testing import FakeClock
from bide.testing_replicas import RELAY_URL, MemoryRelay, new_replica, pair_space, pair_up, sync, wipe

AFTERWARDS = "afterwards"


class Lost:
    """Sam's home, of which an entry of the own log was lost and which was mended, and Robin, who has all of it or not."""

    def __init__(self, folder: Path, *, robin_has_it: bool = True, relay: bool = True) -> None:
        self._folder = folder
        self.relay = MemoryRelay()
        self.robin = new_replica("Robin", clock=FakeClock(1_767_225_600_500, tick_ms=700))
        self.sam = new_replica("Sam", SqliteStorage(folder / "sam.db", KEY, create=True))
        pair_up(self.sam, self.robin)
        for replica in (self.sam, self.robin) if relay else ():
            replica.set_relay(RELAY_URL)
        self.write(4)
        if relay:
            self.sync(self.robin, self.sam)
            self.before = copy.deepcopy(self.relay)
        self.write(6)
        if relay:
            self.sync(self.sam, *((self.robin,) if robin_has_it else ()))

    def write(self, count: int) -> None:
        for number in range(count):
            self.sam.write("checkin", {"hard": f"rain {number}"})

    def damage(self, which: str = "seq = 6") -> None:
        """Lose log entries of Sam's, and mend the home."""
        log = pair_space(self.sam).log_id
        self.sam.storage.close()
        with_sql(self._folder / "sam.db", KEY, f"DELETE FROM envelope WHERE log_id = x'{log.hex()}' AND {which}")
        mended_into(self._folder / "new.db", self._folder / "sam.db", self._folder / "work")
        self.sam = Replica(SqliteStorage(self._folder / "new.db", KEY))

    def sync(self, *replicas: Replica) -> list[str]:
        """What is told meanwhile."""
        return [str(notice) for replica in replicas for notice in sync(replica, self.relay).notices]

    def missing(self) -> int:
        return still_missing(self.sam.storage, pair_space(self.sam))

    def write_afterwards(self) -> None:
        self.sam.write("checkin", {"hard": AFTERWARDS})

    def forks(self) -> int:
        space = pair_space(self.sam).space_id
        return len(self.sam.storage.evidence(space)) + len(self.robin.storage.evidence(space))


def hard(replica: Replica) -> list[str]:
    return sorted(entry["fields"]["hard"] for entry in replica.timeline(limit=100) if "hard" in entry["fields"])


def wiped(lost: Lost) -> None:
    wipe(lost.relay)


def put_back(lost: Lost) -> None:
    lost.relay.spaces = lost.before.spaces


FATES: dict[str, Callable[[Lost], None]] = {"wiped": wiped, "put back to a copy": put_back}


@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("which", ["seq = 6", "seq >= 6"])
def test_what_another_device_still_has_comes_back_before_anything_is_written(tmp_path: Path, fate: str, which: str) -> None:
    """A sync that brings nothing is no proof that nobody has it."""
    lost = Lost(tmp_path)
    before = hard(lost.robin)
    lost.damage(which)
    FATES[fate](lost)
    told = lost.sync(lost.sam)
    if lost.missing():  # a copy that has the one entry is enough: what was laid by follows it
        assert any("bide doctor --repair" in words for words in told)
        assert any("no relay has them" in str(finding.words) for finding in lost.sam.doctor())
        assert not [finding for finding in lost.sam.doctor() if finding.mendable]
        with pytest.raises(NotWhole):
            lost.write_afterwards()
    lost.sync(lost.robin, lost.sam)
    assert hard(lost.sam) == before
    assert not laid_by(lost.sam.storage, pair_space(lost.sam).space_id)
    lost.write_afterwards()
    lost.sync(lost.sam, lost.robin, lost.sam)
    assert hard(lost.sam) == hard(lost.robin) == sorted([*before, AFTERWARDS])
    assert lost.forks() == 0
    assert not lost.sam.storage.former_devices(pair_space(lost.sam).space_id)


def test_without_waiting_the_log_is_seen_to_have_two_pasts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: written to after a sync that brought nothing, it is another past of what Robin has."""
    monkeypatch.setattr(mending, "_missing", lambda *_: 0)
    lost = Lost(tmp_path)
    lost.damage("seq >= 6")
    put_back(lost)
    lost.sync(lost.sam)
    lost.write_afterwards()
    lost.sync(lost.sam, lost.robin)
    assert lost.forks()
    assert AFTERWARDS not in hard(lost.robin)


@pytest.mark.parametrize("robin_has_it", [True, False])
def test_whoever_goes_on_without_it_does_so_in_a_new_log(tmp_path: Path, *, robin_has_it: bool) -> None:
    """Then what is written from now on reaches Robin, even if they had what is missing after all."""
    lost = Lost(tmp_path, robin_has_it=robin_has_it)
    lost.damage("seq >= 6")
    put_back(lost)
    lost.sync(lost.sam)
    space = pair_space(lost.sam)
    go_on(lost.sam.storage, space)
    with pytest.raises(NotWhole):
        lost.write_afterwards()  # not into the old log meanwhile
    lost.sync(lost.sam)
    assert len(lost.sam.storage.former_devices(space.space_id)) == 1
    lost.write_afterwards()
    lost.robin.write("checkin", {"hard": "from Robin"})
    for _ in range(3):
        lost.sync(lost.sam, lost.robin)
    assert {AFTERWARDS, "from Robin"} <= set(hard(lost.sam)) & set(hard(lost.robin))
    assert bool(lost.forks()) is robin_has_it
    assert not lost.missing()


def test_if_it_comes_back_after_all_nothing_goes_on_without_it(tmp_path: Path) -> None:
    """Robin synced just before."""
    lost = Lost(tmp_path)
    lost.damage("seq >= 6")
    put_back(lost)
    lost.sync(lost.sam)
    go_on(lost.sam.storage, pair_space(lost.sam))
    lost.sync(lost.robin, lost.sam)
    assert not lost.sam.storage.former_devices(pair_space(lost.sam).space_id)
    lost.write_afterwards()
    lost.sync(lost.sam, lost.robin)
    assert hard(lost.sam) == hard(lost.robin)
    assert lost.forks() == 0


def test_what_never_left_the_home_is_waited_for_by_nobody(tmp_path: Path) -> None:
    """Nobody else can have it; what is laid by stays so, for its words to come back from the damaged database."""
    lost = Lost(tmp_path)
    before = hard(lost.robin)
    lost.write(3)
    end = lost.sam.storage.heads(pair_space(lost.sam).space_id)[pair_space(lost.sam).log_id].seq
    lost.damage(f"seq = {end - 1}")
    lost.sync(lost.sam)
    assert not lost.missing()
    for _ in range(2):
        lost.write_afterwards()
    lost.sync(lost.sam, lost.robin, lost.sam)
    assert hard(lost.robin) == hard(lost.sam) == sorted([*before, "rain 0", AFTERWARDS, AFTERWARDS])
    assert [each.seq for each in laid_by(lost.sam.storage, pair_space(lost.sam).space_id)] == [end]
    assert lost.forks() == 0


def test_alone_nobody_waits(tmp_path: Path) -> None:
    """In the own space of somebody with one device there is nobody who could have it."""
    lost = Lost(tmp_path)
    own = next(space for space in lost.sam.spaces() if space.kind == "own")
    for _ in range(3):
        lost.sam.write("checkin", {"hard": "alone"}, private=True)
    sync(lost.sam, lost.relay, space=own.space_id)
    lost.sam.storage.close()
    with_sql(tmp_path / "sam.db", KEY, f"DELETE FROM envelope WHERE log_id = x'{own.log_id.hex()}' AND seq >= 4")
    mended_into(tmp_path / "new.db", tmp_path / "sam.db", tmp_path / "work")
    sam = Replica(SqliteStorage(tmp_path / "new.db", KEY))
    wipe(lost.relay)
    with pytest.raises(NotWhole):
        sam.write("checkin", {"hard": AFTERWARDS}, private=True)
    sync(sam, lost.relay, space=own.space_id)
    sam.write("checkin", {"hard": AFTERWARDS}, private=True)


def test_who_has_no_relay_waits_for_the_file_that_has_it(tmp_path: Path) -> None:
    """What went out in a bundle may be with somebody."""
    lost = Lost(tmp_path, relay=False)
    hand_over(tmp_path, lost.sam, lost.robin)
    before = hard(lost.robin)
    assert len(before) == 10
    lost.damage("seq >= 6")
    with pytest.raises(NotWhole):
        lost.write_afterwards()
    hand_over(tmp_path, lost.robin, lost.sam)
    assert hard(lost.sam) == before
    lost.write_afterwards()
    hand_over(tmp_path, lost.sam, lost.robin)
    assert hard(lost.robin) == hard(lost.sam)
    assert lost.forks() == 0


def hand_over(folder: Path, giver: Replica, taker: Replica) -> None:
    """By a bundle file."""
    path = folder / "bundle"
    path.write_bytes(b"".join(write_bundle(giver.storage, giver.spaces(), randomness=giver.randomness)))
    known = {space.space_id for space in taker.spaces()}

    def session_for(space: Any, storage: Any) -> Any:
        return taker.sync_session(space, host=HOST, storage=storage) if space in known else None

    with path.open("rb") as file:
        list(read_bundle(file.read, taker.storage, session_for))


def test_a_sync_elsewhere_is_not_stopped_by_what_waits(tmp_path: Path) -> None:
    """The own space syncs, and can be written to, while the shared one waits."""
    lost = Lost(tmp_path)
    lost.damage("seq >= 6")
    put_back(lost)
    lost.sync(lost.sam)
    own = next(space for space in lost.sam.spaces() if space.kind == "own")
    lost.sam.write("checkin", {"hard": "private"}, private=True)
    for _ in range(2):
        try:
            sync(lost.sam, lost.relay, space=own.space_id)
        except BideError as error:
            raise AssertionError(error) from error
    assert not lost.sam.reader.pending(own)
