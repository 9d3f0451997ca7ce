"""Writing is one transaction: all of it or nothing, whatever fails, and whoever else writes at the same time."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bide.crdt.document import NothingChanged
from bide.errors import InputError, NotAllowed, NotFound, NotPaired, StorageError
from bide.ids import SpaceId
from bide.replica import Replica
from bide.storage.base import Storage
from bide.storage.memory import MemoryStorage
from bide.storage.sqlite import SqliteStorage
from bide.testing import FakeClock
from bide.testing_replicas import exchange, new_replica, pair_space, pair_up

KEY = bytes(32)


class Disk(Exception):
    """What a storage might raise at any moment."""


class Failing:
    """A real storage that raises at the n-th call inside a transaction; before it is armed, it only passes calls on."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.left: int | None = None

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._storage, name)
        if name == "transaction" or not callable(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise Disk
            return method(*args, **kwargs)

        return call


def truth(replica: Replica) -> tuple[Any, ...]:
    spaces: list[SpaceId] = [space.space_id for space in replica.spaces()]
    storage = replica.storage
    return (
        replica.digest(),
        [sorted(storage.heads(space).items()) for space in spaces],
        [storage.standing_counts(space) for space in spaces],
        [storage.quarantine(space) for space in spaces],
        [storage.citations(space) for space in spaces],
    )


ACTIONS: dict[str, Callable[[Replica, dict[str, str]], object]] = {
    "write": lambda replica, ids: replica.write("checkin", {"went_well": "coffee"}),
    "private": lambda replica, ids: replica.write("checkin", {"hard": "alone"}, private=True),
    "edit": lambda replica, ids: replica.edit(ids["mine"], {"noticed": "more"}),
    "hear": lambda replica, ids: replica.hear(ids["theirs"], {"mirrored": "you were tired"}),
    "answer": lambda replica, ids: replica.answer_hearing(ids["hearing"], verdict="heard"),
    "invite": lambda replica, ids: replica.invite_to_repair({"topic": "dishes"}),
    "tell": lambda replica, ids: replica.repair_step(ids["repair"], "tell", {"own_part": "I", "felt": "sad"}),
    "rebuild": lambda replica, ids: replica.rebuild(),
}


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_failure_at_any_point_changes_nothing(kind: str, action: str) -> None:
    """Whichever call to the storage fails, log and read model are as before, and the same action works afterwards."""
    failing = Failing(MemoryStorage() if kind == "memory" else SqliteStorage(None, KEY))
    sam, robin = new_replica("Sam", failing), new_replica("Robin")
    pair_up(sam, robin)
    ids = {"mine": sam.write("appreciation", {"noticed": "you"}).id}
    exchange(sam, robin)
    ids["theirs"] = robin.write("checkin", {"hard": "work"}).id
    ids["hearing"] = robin.hear(ids["mine"], {"mirrored": "me"}).id
    ids["repair"] = robin.invite_to_repair({"topic": "money"}).id
    exchange(sam, robin)
    before = truth(sam)
    failures = 0
    while True:
        failing.left = failures
        try:
            ACTIONS[action](sam, ids)
        except Disk:
            failing.left = None
            assert truth(sam) == before, f"after call {failures}"
            failures += 1
        else:
            failing.left = None
            break
    assert failures > 5
    assert (truth(sam) != before) is (action != "rebuild")
    exchange(sam, robin)
    assert sam.digest()[1]["digest"] == robin.digest()[1]["digest"]


def write_many(path: Path, name: str, count: int) -> None:
    replica = Replica(SqliteStorage(path, KEY), clock=FakeClock(tick_ms=1))
    for number in range(count):
        replica.write("appreciation", {"noticed": f"{name} {number}"})
    replica.storage.close()


@pytest.mark.parametrize("how", ["threads", "processes"])
def test_two_at_once_on_one_home_neither_fork_nor_lose(tmp_path: Path, how: str) -> None:
    """The log has no gap and no fork, every write is in the timeline, and the other side takes it all."""
    path = tmp_path / "home.db"
    sam, robin = new_replica("Sam", SqliteStorage(path, KEY, create=True)), new_replica("Robin")
    pair_up(sam, robin)
    space = pair_space(sam)
    before = sam.storage.heads(space.space_id)[space.log_id].seq
    sam.storage.close()
    context = multiprocessing.get_context("fork")  # with no database open that a child could spoil
    arguments = [(path, "left", 15), (path, "right", 15)]
    workers: list[threading.Thread | multiprocessing.process.BaseProcess] = (
        [threading.Thread(target=write_many, args=a) for a in arguments]
        if how == "threads"
        else [context.Process(target=write_many, args=a) for a in arguments]
    )
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    sam = Replica(SqliteStorage(path, KEY))
    assert sam.storage.heads(space.space_id)[space.log_id].seq == before + 30
    assert {entry["fields"]["noticed"] for entry in sam.timeline()} == {
        f"{n} {i}" for n in ("left", "right") for i in range(15)
    }
    exchange(sam, robin)
    assert sam.digest()[1]["digest"] == robin.digest()[1]["digest"]
    assert all(finding.level != "damage" for finding in sam.doctor())
    sam.storage.close()


def test_a_home_is_founded_once(tmp_path: Path) -> None:
    """A second journal in the same place is refused, and the first stays."""
    storage = SqliteStorage(tmp_path / "home.db", KEY, create=True)
    sam = new_replica("Sam", storage)
    with pytest.raises(StorageError):
        new_replica("Robin", storage)
    assert (sam.status()["name"], len(sam.spaces())) == ("Sam", 1)


def test_a_home_that_was_not_finished_says_so() -> None:
    """An empty storage is no replica."""
    with pytest.raises(StorageError):
        Replica(MemoryStorage())


@pytest.mark.parametrize("name", ["", "   ", "a\nb", "x" * 61, "\ud800", "bell\a"])
def test_an_unusable_name_makes_no_home(name: str) -> None:
    """A name is one line of at most 60 characters that can be shown."""
    storage = MemoryStorage()
    with pytest.raises(InputError):
        Replica.create(storage, name=name)
    assert storage.spaces() == []


# Limits


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("checkin", {}),
        ("checkin", {"went_well": ""}),
        ("checkin", {"went_well": " \n\t "}),
        ("checkin", {"went_well": None}),
        ("checkin", {"went_well": "x" * 10_001}),
        ("checkin", {"went_well": "a\0b"}),
        ("checkin", {"went_well": "\x1b[31mred"}),
        ("checkin", {"went_well": "\x85"}),
        ("checkin", {"went_well": "\ud800"}),
        ("checkin", {"went_well": "\uffff"}),
        ("checkin", {"went_well": 5}),
        ("checkin", {"went_well": True}),
        ("checkin", {"went_well": ["a"]}),
        ("checkin", {"went_well": {"a": "b"}}),
        ("checkin", {"went_well": b"bytes"}),
        ("checkin", {"wrong": "field"}),
        ("checkin", {"went_well": "fine", "about": "0" * 32}),
        ("checkin", {"feelings": ["a", "b", "c", "d"]}),
        ("checkin", {"feelings": ["x" * 41]}),
        ("checkin", {"feelings": ["a\nb"]}),
        ("checkin", {"feelings": [1]}),
        ("checkin", {"feelings": {"a": 1}}),
        ("checkin", {"later": ["x"] * 0}),
        ("checkin", {"later": [f"line {n}" for n in range(21)]}),
        ("checkin", {"later": "x" * 201}),
        ("appreciation", {"felt": "warm"}),
        ("appreciation", {"noticed": " "}),
        ("hearing", {"mirrored": "you"}),
        ("repair", {"topic": "dishes"}),
        ("person", {"name": "x"}),
        ("nonsense", {"x": "y"}),
        ("", {}),
    ],
)
def test_what_cannot_be_used_writes_nothing(couple: tuple[Replica, Replica], kind: str, values: dict[str, Any]) -> None:
    """A clear refusal, and log and timeline stay as they were."""
    sam, _ = couple
    before = truth(sam)
    for private in (False, True):
        with pytest.raises(InputError) as caught:
            sam.write(kind, values, private=private)
        assert caught.value.message
    assert truth(sam) == before


def test_the_longest_text_fits_and_comes_over(couple: tuple[Replica, Replica]) -> None:
    """10,000 characters in every field of an entry, four bytes each, and edited after: all of it arrives."""
    sam, robin = couple
    text = "🦉" * 10_000
    fields = dict.fromkeys(("noticed", "felt", "shows"), text)
    written = sam.write("appreciation", fields)
    exchange(sam, robin)
    assert robin.show(written.id)["fields"] == fields
    sam.edit(written.id, {"felt": "x" * 10_000})
    exchange(sam, robin)
    shown = robin.show(written.id)
    assert (shown["fields"]["felt"], shown["history"][0]["fields"]["felt"]) == ("x" * 10_000, text)


def test_text_is_composed_and_its_line_ends_plain(couple: tuple[Replica, Replica]) -> None:
    """What was typed differently and means the same is stored the same."""
    sam, _ = couple
    written = sam.write(
        "checkin", {"went_well": " Cafe\u0301\r\nand\rcake\n", "feelings": "glad, calm,,glad", "later": "a\r\n\r\nb"}
    )
    assert sam.show(written.id)["fields"] == {"went_well": "Café\nand\ncake", "feelings": ["glad", "calm"], "later": ["a", "b"]}


def test_edits_are_bounded_as_writing_is(couple: tuple[Replica, Replica]) -> None:
    """An edit that says nothing new, empties all, or isn't theirs is refused and changes nothing."""
    sam, robin = couple
    written = sam.write("appreciation", {"noticed": "you", "felt": "warm"})
    exchange(sam, robin)
    before = truth(sam), truth(robin)
    for values, error in (
        ({"noticed": "you"}, NothingChanged),
        ({"noticed": ""}, InputError),
        ({"noticed": "x" * 10_001}, InputError),
        ({"nothing": "x"}, InputError),
        ({}, InputError),
    ):
        with pytest.raises(error):
            sam.edit(written.id, values)
    with pytest.raises(NotAllowed):
        robin.edit(written.id, {"noticed": "me"})
    with pytest.raises(NotFound):
        sam.edit("ZZZZZZ", {"noticed": "x"})
    assert (truth(sam), truth(robin)) == before
    sam.edit(written.id, {"felt": ""})
    assert sam.show(written.id)["fields"] == {"noticed": "you"}
    assert sam.show(written.id)["edited"]


def test_hearing_is_for_what_the_other_wrote(couple: tuple[Replica, Replica]) -> None:
    """Not for one's own, not for a hearing, and only the heard one answers; an answer is no edit."""
    sam, robin = couple
    mine = sam.write("checkin", {"hard": "work"})
    private = sam.write("checkin", {"hard": "alone"}, private=True)
    exchange(sam, robin)
    hearing = robin.hear(mine.id, {"mirrored": "work was hard"})
    exchange(sam, robin)
    before = truth(sam), truth(robin)
    refusals: list[Callable[[], object]] = [
        lambda: sam.hear(mine.id, {"mirrored": "me"}),
        lambda: sam.hear(private.id, {"mirrored": "me"}),
        lambda: sam.hear(hearing.id, {"mirrored": "me"}),
        lambda: robin.answer_hearing(hearing.id),
        lambda: robin.answer_hearing(mine.id),
        lambda: sam.invite_to_repair({"topic": "dishes"}, calm=False),
        lambda: sam.repair_step(mine.id, "tell", {"own_part": "I", "felt": "x"}),
    ]
    for refused in refusals:
        with pytest.raises(NotAllowed):
            refused()
    unusable: list[Callable[[], object]] = [
        lambda: robin.hear(mine.id, {}),
        lambda: sam.answer_hearing(hearing.id, verdict="maybe"),
        lambda: sam.answer_hearing(hearing.id, verdict="not_quite"),
        lambda: sam.repair_step(mine.id, "dance"),
    ]
    for nonsense in unusable:
        with pytest.raises(InputError):
            nonsense()
    assert (truth(sam), truth(robin)) == before
    sam.answer_hearing(hearing.id, verdict="not_quite", clarification="it was long")
    exchange(sam, robin)
    [reply] = robin.show(mine.id)["replies"]
    assert reply["fields"] == {"mirrored": "work was hard", "answer": "not_quite", "clarification": "it was long"}
    assert not reply["edited"]


def test_alone_one_writes_privately_only() -> None:
    """Without a partner, sharing says how to pair."""
    sam = new_replica("Sam")
    with pytest.raises(NotPaired):
        sam.write("checkin", {"hard": "x"})
    with pytest.raises(NotPaired):
        sam.invite_to_repair({"topic": "x"})
    assert sam.timeline() == []
    assert sam.write("checkin", {"hard": "x"}, private=True).visibility == "private"


def test_the_day_begins_when_the_persons_day_does() -> None:
    """Half past three at night in Berlin belongs to the evening before."""
    clock = FakeClock(1_767_236_400_000)  # 2026-01-01 03:00 UTC, 04:00 in Berlin
    sam = new_replica("Sam", clock=clock, zone="Europe/Berlin")
    clock.advance(-60_000)
    before = sam.write("checkin", {"hard": "x"}, private=True)
    clock.advance(60_000)
    after = sam.write("checkin", {"hard": "x"}, private=True)
    assert [sam.show(w.id)["day"] for w in (before, after)] == ["2025-12-31", "2026-01-01"]


@pytest.mark.parametrize("now_ms", [0, -5, 253_402_300_799_000, 4_000_000_000_000])
def test_a_wrong_clock_loses_no_write(now_ms: int) -> None:
    """Clocks are for display: whatever they say, the write is kept."""
    sam = new_replica("Sam", clock=FakeClock(now_ms))
    written = sam.write("checkin", {"hard": "x"}, private=True)
    assert sam.show(written.id)["fields"] == {"hard": "x"}
