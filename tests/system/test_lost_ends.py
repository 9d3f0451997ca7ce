"""A home was mended, and a relay lost what was missing too: nobody's log is written by two, and nobody waits for ever."""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from seeds import SEED
from system.test_damage import BROKEN, DAMAGES, KEY, Couple, Damage, mended_into, sync_all, with_sql

from bide.errors import BideError, NotAllowed
from bide.ids import SpaceId
from bide.log.envelope import EnvelopeClass
from bide.replica import Replica
from bide.replica.authoring.appending import NotWhole
from bide.replica.examining import mending
from bide.replica.examining.mending import go_on, laid_by, still_missing
from bide.replica.spaces.removal import note_turned_away
from bide.replica.spaces.stance import LEFT, read_stances
from bide.replica.sync.bundles import HOST, read_bundle, write_bundle
from bide.storage.sqlite import SqliteStorage
from bide.testing import FakeClock
from bide.testing_replicas import RELAY_URL, MemoryRelay, copied, new_replica, pair_space, pair_up, sync, wipe

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


def hole(path: Path, chance: random.Random) -> None:
    """An entry of the own log is gone, or its end; with it perhaps how long it was."""
    which = f"seq {chance.choice(('=', '>='))} {chance.randint(3, 20)}"
    log = "log_id = (SELECT log_id FROM space WHERE kind = 'pair')"
    heads = ["DELETE FROM log_head"] if chance.random() < 0.3 else []
    with_sql(path, KEY, f"DELETE FROM envelope WHERE {log} AND {which}", *heads)


def live_through(couple: Couple, folder: Path, damage: Damage, chance: random.Random) -> bool:
    """Damage a copy of Sam's home, mend it, let the relay lose something, and let both go on. Whether it could be mended."""
    damaged = folder / "damaged.db"
    shutil.copyfile(couple.path, damaged)
    damage(damaged, chance)
    sam = couple.mended(damaged, folder)
    if sam is None:
        return False
    robin, relay = copied(couple.robin, "again"), copy.deepcopy(couple.relay)
    space = pair_space(sam)
    lose(relay, space.space_id, chance)
    if chance.random() < 0.5:
        with suppress(NotAllowed):  # neither has the beginning: Robin brings it back
            sync_all(sam, relay)
        with suppress(NotAllowed):
            sam.write("checkin", {"hard": "at once"})
            sync_all(sam, relay)
    for home in (robin, sam):
        sync_all(home, relay)
    for private in (False, True):
        sam.write("checkin", {"hard": AFTERWARDS}, private=private)
    for home in (sam, robin, sam):
        sync_all(home, relay)
    assert not sam.storage.evidence(space.space_id) + robin.storage.evidence(space.space_id), "a log has two pasts"
    assert shared_digest(sam) == shared_digest(robin)
    assert AFTERWARDS in hard(robin)
    assert set(hard(couple.robin)) <= set(hard(sam))
    sam.storage.close()
    return True


@pytest.mark.parametrize("kind", ["hole", "zero", "truncate"])
def test_whatever_is_lost_here_and_at_the_relay_comes_back_and_nobody_is_stuck(tmp_path: Path, kind: str) -> None:
    """An entry, a page or the end of the file is gone, and the relay has nothing or less; Robin has it all."""
    couple = Couple(tmp_path, entries=24)
    for number in range(max(4, DAMAGES // 6)):
        print(f"SEED={SEED} {kind} {number}")
        live_through(couple, tmp_path, {**BROKEN, "hole": hole}[kind], random.Random(f"{SEED} lost ends {kind} {number}"))


def test_without_waiting_that_is_seen_to_lose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: written to after a sync that brought nothing, a log soon has two pasts."""
    monkeypatch.setattr(mending, "_missing", lambda *_: 0)
    couple = Couple(tmp_path, entries=24)
    with pytest.raises(AssertionError, match="two pasts"):
        live_through(couple, tmp_path, hole, random.Random("two"))


def shared_digest(replica: Replica) -> str:
    return next(str(space["digest"]) for space in replica.digest() if space["kind"] == "pair")


def lose(relay: MemoryRelay, space: SpaceId, chance: random.Random) -> None:
    """All of a space, or the ends of its logs."""
    if chance.random() < 0.3:
        kept = {other: held for other, held in relay.spaces.items() if other != space}
        wipe(relay)
        relay.spaces.update(kept)
        return
    for log, entries in relay.spaces[space].logs.items():
        least = max([1, *(each.seq for each in entries if each.klass is EnvelopeClass.CONTROL)])
        relay.spaces[space].logs[log] = entries[: chance.randint(least, len(entries))]


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
    told = [str(finding.words) for finding in lost.sam.doctor()]
    assert any("Mended: nothing can be written in the space with Robin" in words for words in told)
    assert [words for words in told if not words[0].isupper() or words.startswith("1 ")] == []
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
    told = " ".join(str(finding.words) for finding in lost.robin.doctor())
    assert ("or it lost the end of its log and went on without it" in told) is robin_has_it
    assert not lost.missing()


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("kind", ["pair", "own"])
def test_a_removed_home_is_told_of_the_removal_and_waits_for_nothing(tmp_path: Path, kind: str, *, asked: bool) -> None:
    """Neither a sync nor a repair could do anything for it."""
    lost = Lost(tmp_path)
    lost.damage("seq >= 6")
    put_back(lost)
    if asked:
        lost.sync(lost.sam)
    space = next(space for space in lost.sam.spaces() if space.kind == kind)
    if kind == "own":
        sync(lost.sam, lost.relay, space=space.space_id)  # so that it is known whose word it is
    with lost.sam.storage.transaction():
        note_turned_away(lost.sam.storage, space)
    with pytest.raises(NotWhole, match="removed") as refused:
        lost.write_afterwards()
    told = [refused.value.hint, *(str(finding.words) for finding in lost.sam.doctor())]
    assert not [words for words in told if "--repair" in words or "bide sync" in words]
    assert [words for words in told if "was removed from" in words]


def test_no_relay_is_blamed_for_what_was_lost_here(tmp_path: Path) -> None:
    """Robin has referred to it; of a log that this home didn't lose, that would tell of a relay which withholds."""
    lost = Lost(tmp_path)
    lost.robin.write("checkin", {"hard": "seen"})
    lost.sync(lost.robin, lost.sam)
    lost.damage("seq >= 6")
    own = pair_space(lost.sam).log_id
    assert [each.seq for each in lost.sam.storage.cited(pair_space(lost.sam).space_id) if each.log_id == own and each.seq >= 6]
    told = [str(finding.words) for finding in lost.sam.doctor()]
    assert not [words for words in told if "another relay" in words]
    assert [words for words in told if "Mended: nothing can be written in" in words]


def test_whoever_waits_can_leave_quietly(tmp_path: Path) -> None:
    """A notice waits for what is missing; that nothing is sent any more is said elsewhere."""
    lost = Lost(tmp_path)
    lost.damage("seq >= 6")
    put_back(lost)
    lost.sync(lost.sam)
    with pytest.raises(NotWhole):
        lost.sam.leave("Robin", quietly=False)
    lost.sam.leave("Robin", quietly=True)
    assert read_stances(lost.sam.storage)[pair_space(lost.sam).space_id] == LEFT


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


def test_whoever_watches_can_write_as_soon_as_it_has_come_back(tmp_path: Path) -> None:
    """On the connection on which it was missing."""
    lost = Lost(tmp_path)
    lost.damage("seq >= 6")
    put_back(lost)
    connection, session = (
        lost.relay.connect(),
        lost.sam.sync_session(pair_space(lost.sam).space_id, host=lost.relay.host, live=True),
    )

    def speak() -> None:
        for _ in range(9):
            for message in connection.data_to_send():
                session.receive_data(message)
            for message in session.data_to_send():
                connection.receive_data(message)

    speak()
    assert lost.missing()
    lost.sync(lost.robin)
    speak()
    assert not lost.missing()
    lost.write_afterwards()
    session.wake()
    speak()
    lost.sync(lost.robin)
    assert hard(lost.robin) == hard(lost.sam)
    assert lost.forks() == 0


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
