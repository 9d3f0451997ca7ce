"""What every storage of a replica keeps to, memory or encrypted file. And what only the file promises."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from bide.entries.records import EntryRecord, EventRecord, Standing
from bide.errors import ForkDetected, Locked, NewerFormat, SequenceGap, StorageError
from bide.ids import DeviceId, EntryId, LogId, SpaceId, entry_code
from bide.log.envelope import HEADER_BYTES
from bide.log.head import Head
from bide.projections.search import words
from bide.storage.base import (
    Citation,
    Displaced,
    EntryQuery,
    FormerDevice,
    HeldRecord,
    MemberRecord,
    Quarantined,
    SpaceRecord,
    Storage,
    StoredEnvelope,
    Suspect,
)
from bide.storage.memory import MemoryStorage
from bide.storage.opening import FORMAT, open_database, schema_text
from bide.storage.sqlite import SqliteStorage

KEY = bytes(range(32))
OWN = SpaceId(b"o" * 16)
PAIR = SpaceId(b"p" * 16)
MINE = LogId(b"m" * 16)
THEIRS = LogId(b"t" * 16)
OTHER = LogId(b"o" * 16)


def space_record(space: SpaceId = PAIR, kind: str = "pair", **other: Any) -> SpaceRecord:
    record = SpaceRecord(space, kind, 0, MINE, b"s" * 32, b"x" * 32, b"e" * 16, "", pending=False)
    return record._replace(**other)


def envelope(log: LogId, seq: int, *, text: bytes = b"", control: bool = False, size: int = 10) -> StoredEnvelope:
    name = (text or b"plain").ljust(24, b".")[:24]
    return StoredEnvelope(log, seq, name + seq.to_bytes(8, "big"), control, name + bytes(size))


def event(entry: EntryId, seq: int, *, log: LogId = MINE, space: SpaceId = PAIR, kind: str = "checkin.written") -> EventRecord:
    frontier = (Head(THEIRS, 3, b"h" * 32), Head(MINE, 2**40, b"i" * 32))
    place = (space, entry, log, seq, 0, kind, 2, 1, 1_700_000_000_000, "Asia/Bangkok", "2026-02-03")
    return EventRecord(*place, b"change", frontier, Standing.APPLIED)


def entry_id(number: int, *, tail: int = 0) -> EntryId:
    return EntryId(number.to_bytes(8, "big") + tail.to_bytes(8, "big"))


def entry(
    number: int,
    text: str = "",
    *,
    space: SpaceId = PAIR,
    kind: str = "checkin",
    slot: int = 0,
    day: str = "2026-01-01",
    shown: bool = True,
    reply_to: EntryId | None = None,
) -> EntryRecord:
    return EntryRecord(
        entry_id(number, tail=number), space, kind, slot, number, "UTC", day, shown, reply_to, False, "", "{}", text
    )


class Box:
    """A storage, and a way to open it again."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.storage: Storage = MemoryStorage() if path is None else SqliteStorage(path, KEY, create=True)

    def reopen(self) -> Storage:
        if self.path is not None:
            self.storage.close()
            self.storage = SqliteStorage(self.path, KEY)
        return self.storage


@pytest.fixture(params=["memory", "sqlite"])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    made = Box(None if request.param == "memory" else tmp_path / "home.db")
    with made.storage.transaction():
        made.storage.put_space(space_record(OWN, "own"))
        made.storage.put_space(space_record(PAIR))
    yield made
    made.storage.close()


@pytest.fixture
def storage(box: Box) -> Storage:
    return box.storage


def put(storage: Storage, *entries: EntryRecord) -> None:
    with storage.transaction():
        for record in entries:
            storage.put_entry(record)


def numbers(found: list[EntryRecord]) -> list[int]:
    return [record.at_ms for record in found]


def append(storage: Storage, *envelopes: StoredEnvelope) -> None:
    with storage.transaction():
        for item in envelopes:
            assert storage.append(PAIR, item)


def held(number: int, *, due: int = 0, space: SpaceId = PAIR, **other: Any) -> HeldRecord:
    return HeldRecord(entry_id(number, tail=number), space, f'{{"number": {number}}}', number, due or number)._replace(**other)


# What is held back


def test_what_is_held_is_kept_replaced_and_removed(box: Box) -> None:
    """It comes back as it was put, by the time at which it goes, and is gone once it is removed."""
    first, second = held(1, due=9), held(2, due=3, waits_for=entry_id(7), hindrance="why")
    with box.storage.transaction():
        for record in (held(1), first, second):
            box.storage.put_held(record)
    storage = box.reopen() if box.path else box.storage
    assert storage.outbox() == [second, first]
    assert storage.held(first.held_id) == first
    with storage.transaction():
        storage.remove_held(first.held_id)
        storage.remove_held(first.held_id)
    assert storage.held(first.held_id) is None
    assert storage.outbox() == [second]


def test_the_first_to_go_is_one_that_nothing_is_in_the_way_of(storage: Storage) -> None:
    """What waits for an entry, or could not go, has no time at which it goes."""
    assert storage.outbox_due() is None
    with storage.transaction():
        for record in (held(1, due=5, hindrance="why"), held(2, due=6, waits_for=entry_id(7)), held(3, due=8), held(4, due=7)):
            storage.put_held(record)
    assert storage.outbox_due() == 7


def test_the_outbox_is_not_derived_and_belongs_to_its_space(storage: Storage) -> None:
    """Dropping what is derived leaves it; removing a space takes what was held for it along."""
    with storage.transaction():
        storage.put_held(held(1))
        storage.put_held(held(2, space=OWN))
        storage.clear_derived()
    assert len(storage.outbox()) == 2
    with storage.transaction():
        storage.remove_space(PAIR)
    assert storage.outbox() == [held(2, space=OWN)]


# Transactions


def test_an_exception_undoes_everything(box: Box) -> None:
    """Every kind of row that a transaction wrote is gone after it failed, reopened or not."""
    storage = box.storage
    put(storage, entry(1, "stays"))
    with pytest.raises(ZeroDivisionError), storage.transaction():  # noqa: PT012 all of it has to be undone
        storage.put_meta("name", "Sam")
        storage.put_held(held(1))
        storage.put_space(space_record(relay_url="ws://localhost"))
        storage.put_epoch(PAIR, b"e" * 16, b"s" * 32)
        storage.append(PAIR, envelope(MINE, 1))
        storage.put_relay_head(PAIR, Head(MINE, 1, b"h" * 32))
        storage.put_member(MemberRecord(PAIR, MINE, DeviceId(b"d" * 32), 0))
        storage.put_event(event(entry_id(1), 1))
        storage.put_quarantine(Quarantined(PAIR, MINE, 1, "why"))
        storage.put_citation(PAIR, citation(4))
        storage.put_entry(entry(1, "altered"))
        storage.put_entry(entry(2, "new"))
        raise ZeroDivisionError
    looks: list[Callable[[], Storage]] = [lambda: storage, box.reopen]
    for look in looks:
        again = look()
        assert again.meta("name") == ""
        assert again.outbox() == []
        assert [space.relay_url for space in again.spaces()] == ["", ""]
        assert again.epochs(PAIR) == {}
        assert (again.heads(PAIR), again.relay_heads(PAIR), again.members(PAIR)) == ({}, {}, [])
        assert (again.events(PAIR, entry_id(1)), again.quarantine(PAIR), again.citations(PAIR)) == ([], [], {})
        assert [record.search_text for record in again.all_entries(PAIR)] == ["stays"]
        assert numbers(again.entries(EntryQuery(words=("altered",)))) == []
        assert numbers(again.entries(EntryQuery(words=("stays",)))) == [1]


def test_a_system_exit_undoes_everything_too(storage: Storage) -> None:
    """What is no Exception (a signal, an interrupt) undoes as well."""
    with pytest.raises(KeyboardInterrupt), storage.transaction():  # noqa: PT012 it has to be undone
        storage.put_meta("name", "Sam")
        raise KeyboardInterrupt
    assert storage.meta("name") == ""
    with storage.transaction():
        storage.put_meta("name", "Robin")
    assert storage.meta("name") == "Robin"


# The truth


def test_small_values_are_kept_and_replaced(box: Box) -> None:
    """A value is empty until it is set, and stays what it was last set to."""
    assert box.storage.meta("name") == ""
    with box.storage.transaction():
        box.storage.put_meta("name", "Sam")
        box.storage.put_meta("name", "Sämi 🦉")
    assert box.reopen().meta("name") == "Sämi 🦉"


def test_the_own_space_comes_first_and_pairs_in_order_of_creation(box: Box) -> None:
    """Spaces keep their order when one of them is replaced, and every field survives."""
    third, first = SpaceId(b"a" * 16), SpaceId(b"z" * 16)
    with box.storage.transaction():
        box.storage.put_space(space_record(first, pending=True, relay_url="wss://r"))
        box.storage.put_space(space_record(third))
        box.storage.put_space(space_record(PAIR, epoch_id=b"n" * 16, relay_url="ws://x"))
    spaces = box.reopen().spaces()
    assert [space.space_id for space in spaces] == [OWN, PAIR, first, third]
    assert spaces[1] == space_record(PAIR, epoch_id=b"n" * 16, relay_url="ws://x")
    assert spaces[2] == space_record(first, pending=True, relay_url="wss://r")


def test_an_active_space_never_becomes_pending_again(box: Box) -> None:
    """Whoever offers a space once more can't take the key or the place away from the one that is in use."""
    with box.storage.transaction():
        box.storage.put_space(space_record(PAIR, epoch_id=b"n" * 16))
        box.storage.put_space(space_record(PAIR, epoch_id=b"", pending=True, relay_url="ws://x"))
    assert box.reopen().spaces()[1] == space_record(PAIR, epoch_id=b"n" * 16, relay_url="ws://x")


def test_the_own_space_is_first_even_if_it_was_made_last(storage: Storage) -> None:
    """The order is by kind before it is by age."""
    with storage.transaction():
        storage.remove_space(OWN)
        storage.put_space(space_record(OWN, "own"))
    assert [space.kind for space in storage.spaces()] == ["own", "pair"]


def test_an_epoch_secret_is_never_replaced(box: Box) -> None:
    """The first secret under an id stays: the id commits to it."""
    with box.storage.transaction():
        box.storage.put_epoch(PAIR, b"e" * 16, b"1" * 32)
        box.storage.put_epoch(PAIR, b"e" * 16, b"2" * 32)
        box.storage.put_epoch(OWN, b"f" * 16, b"3" * 32)
    assert box.reopen().epochs(PAIR) == {b"e" * 16: b"1" * 32}


def test_appending_follows_directly_or_not_at_all(box: Box) -> None:
    """What is next is appended, what is known says so, a gap and a fork are refused, and what stood there stays."""
    storage = box.storage
    append(storage, envelope(MINE, 1), envelope(MINE, 2), envelope(THEIRS, 1))
    with storage.transaction():
        assert storage.append(PAIR, envelope(MINE, 1)) is False
        assert storage.append(PAIR, envelope(MINE, 2)) is False
    with pytest.raises(SequenceGap), storage.transaction():
        storage.append(PAIR, envelope(MINE, 4))
    with pytest.raises(SequenceGap), storage.transaction():
        storage.append(OWN, envelope(MINE, 2))
    for seq in (1, 2):
        with pytest.raises(ForkDetected) as caught, storage.transaction():
            storage.append(PAIR, envelope(MINE, seq, text=b"other"))
        assert caught.value.evidence == envelope(MINE, seq).data
    again = box.reopen()
    assert again.heads(PAIR) == {MINE: Head(MINE, 2, envelope(MINE, 2).hash), THEIRS: Head(THEIRS, 1, envelope(THEIRS, 1).hash)}
    assert again.envelope(PAIR, MINE, 2) == envelope(MINE, 2)
    assert [again.envelope(PAIR, MINE, seq) for seq in (0, 3)] == [None, None]
    assert again.envelope(OWN, MINE, 1) is None
    assert again.heads(OWN) == {}


def test_reading_on_returns_at_least_one_and_what_fits(storage: Storage) -> None:
    """A batch is bounded by count and by bytes, yet never empty while something is left."""
    append(storage, *(envelope(MINE, seq, size=76) for seq in range(1, 6)))  # 100 bytes each
    first = storage.envelopes_after(PAIR, MINE, 0, bytes_max=1000, count_max=100)
    assert first == [envelope(MINE, seq, size=76) for seq in range(1, 6)]

    def seqs(after: int, bytes_max: int, count_max: int = 100) -> list[int]:
        return [e.seq for e in storage.envelopes_after(PAIR, MINE, after, bytes_max=bytes_max, count_max=count_max)]

    assert seqs(2, 1) == [3]
    assert seqs(2, 200) == [3, 4]
    assert seqs(2, 199) == [3]
    assert seqs(0, 1000, 2) == [1, 2]
    assert seqs(5, 1000) == []
    assert storage.envelopes_after(PAIR, THEIRS, 0, bytes_max=1000, count_max=9) == []


def test_control_envelopes_are_listed_by_log_and_number(storage: Storage) -> None:
    """Only control envelopes, of one space, in a fixed order."""
    append(storage, envelope(THEIRS, 1), envelope(THEIRS, 2, control=True))
    append(storage, envelope(MINE, 1, control=True), envelope(MINE, 2), envelope(MINE, 3, control=True))
    assert [(e.log_id, e.seq) for e in storage.controls(PAIR)] == [(MINE, 1), (MINE, 3), (THEIRS, 2)]
    assert all(e.control for e in storage.controls(PAIR))
    assert storage.controls(OWN) == []


def test_what_the_relay_has_may_go_down(box: Box) -> None:
    """A relay that lost something is believed."""
    with box.storage.transaction():
        box.storage.put_relay_head(PAIR, Head(MINE, 5, b"5" * 32))
        box.storage.put_relay_head(PAIR, Head(MINE, 2, b"2" * 32))
        box.storage.put_relay_head(OWN, Head(MINE, 9, b"9" * 32))
    assert box.reopen().relay_heads(PAIR) == {MINE: Head(MINE, 2, b"2" * 32)}


def test_evidence_of_forks_is_kept_once_and_for_good(box: Box) -> None:
    """The same header twice is one, another space's is its own, and clearing what is derived leaves it."""
    one, two = b"1" * 204, b"2" * 204
    with box.storage.transaction():
        for header in (two, one, two):
            box.storage.put_evidence(PAIR, header)
        box.storage.put_evidence(OWN, one)
        box.storage.clear_derived()
    assert box.reopen().evidence(PAIR) == [one, two]
    with box.storage.transaction():
        box.storage.remove_space(PAIR)
    assert (box.reopen().evidence(PAIR), box.storage.evidence(OWN)) == ([], [one])


def test_a_device_is_replaced_and_what_it_was_is_kept(box: Box) -> None:
    """Log and keys change, and nothing else of the space; former devices stay in order, once each, until they are forgotten."""
    before = box.storage.spaces()[1]
    after = before._replace(log_id=LogId(b"n" * 16), signing_seed=b"2" * 32, sealing_secret=b"3" * 32)
    formers = [FormerDevice(PAIR, log, b"4" * 32, b"5" * 32) for log in (THEIRS, MINE)]
    with box.storage.transaction():
        box.storage.replace_device(after._replace(kind="own", relay_url="ws://elsewhere", epoch_id=b"x" * 16, pending=True))
        for former in (*formers, formers[0]._replace(signing_seed=b"6" * 32)):
            box.storage.put_former_device(former)
    again = box.reopen()
    assert again.spaces()[1] == after
    assert again.former_devices(PAIR) == formers
    assert again.former_devices(OWN) == []
    with again.transaction():
        again.remove_former_device(PAIR, THEIRS)
    assert again.former_devices(PAIR) == formers[1:]
    with again.transaction():
        again.remove_space(PAIR)
    assert again.former_devices(PAIR) == []


def test_what_was_said_again_is_kept_without_its_words(box: Box) -> None:
    """Erased words would lie there else. What waits has to be said yet, and control entries say nothing of anybody's."""
    words, control, waiting = (envelope(MINE, seq, control=seq == 2)._replace(data=b"w" * 900) for seq in (1, 2, 3))
    append(box.storage, words, control, waiting)
    with box.storage.transaction():
        box.storage.displace(PAIR, MINE, 0)
        box.storage.settle_displaced(PAIR, only=words.hash)
        box.storage.settle_displaced(PAIR, only=control.hash)
    kept = {item.envelope.seq: len(item.envelope.data) for item in box.reopen().displaced(PAIR)}
    assert kept == {1: HEADER_BYTES, 2: 900, 3: 900}


def test_what_is_displaced_is_kept_in_order_and_makes_room(box: Box) -> None:
    """The log ends before it, something else can stand there, and it stays, settled or not, whatever is rebuilt."""
    mine = [envelope(MINE, seq, control=seq == 3) for seq in (1, 2, 3)]
    other = envelope(MINE, 2, text=b"other")._replace(data=b"other" * 100)
    append(box.storage, *mine, envelope(THEIRS, 1))
    with box.storage.transaction():
        assert box.storage.displace(PAIR, MINE, 1) == mine[1:]
        assert box.storage.displace(PAIR, MINE, 1) == []
        assert box.storage.displace(PAIR, MINE, 5) == []
        assert box.storage.heads(PAIR)[MINE] == Head(MINE, 1, mine[0].hash)
        assert box.storage.append(PAIR, other)
        box.storage.clear_derived()
    again = box.reopen()
    assert again.displaced(PAIR) == again.displaced(PAIR, waiting=True) == [Displaced(PAIR, each, True) for each in mine[1:]]
    assert again.envelope(PAIR, MINE, 2) == other
    assert again.envelope(PAIR, MINE, 3) is None
    assert again.controls(PAIR) == []
    with again.transaction():
        again.settle_displaced(PAIR, only=mine[2].hash)
        assert again.displaced(PAIR, waiting=True) == [Displaced(PAIR, mine[1], True)]
        again.settle_displaced(PAIR)
        assert again.displace(PAIR, MINE, 0) == [mine[0], other]
    assert [(item.envelope, item.waiting) for item in again.displaced(PAIR)] == [
        (mine[1], False),
        (mine[2], False),
        (mine[0], True),
        (other, True),
    ]
    assert [item.envelope for item in again.displaced(PAIR, waiting=True)] == [mine[0], other]
    assert MINE not in again.heads(PAIR)
    assert again.heads(PAIR)[THEIRS].seq == 1
    assert again.displaced(OWN) == []
    with again.transaction():
        again.bare_displaced(PAIR, mine[2].hash)  # a statement
        again.bare_displaced(OWN, mine[0].hash)  # of another space
        again.bare_displaced(PAIR, other.hash)
    kept = [item.envelope for item in again.displaced(PAIR)]
    assert len(other.data) > 204
    assert kept == [*mine[1:], mine[0], other._replace(data=other.data[:204])]
    with again.transaction():
        again.remove_space(PAIR)
    assert again.displaced(PAIR) == []


def test_what_stands_beside_a_log_is_kept_once(box: Box) -> None:
    """By log and number, of its own space, whatever is rebuilt; it is no part of the log."""
    two, one = envelope(THEIRS, 2, control=True), envelope(THEIRS, 1, text=b"other")
    append(box.storage, envelope(THEIRS, 1))
    with box.storage.transaction():
        for each in (two, one, two):
            box.storage.put_beside(PAIR, each)
        box.storage.clear_derived()
    again = box.reopen()
    assert (again.beside(PAIR), again.beside(OWN)) == ([one, two], [])
    assert again.controls(PAIR) == []
    assert again.heads(PAIR)[THEIRS].seq == 1
    with again.transaction():
        again.remove_beside(OWN, one.hash)
        again.remove_beside(PAIR, two.hash)
    assert again.beside(PAIR) == [one]
    with again.transaction():
        again.remove_space(PAIR)
    assert again.beside(PAIR) == []


def test_a_statement_that_is_kept_beside_no_more_counts_as_taken_out(box: Box) -> None:
    """Something may build on it. Words that are in no log any more are gone, and what waits goes on waiting."""
    words, statement, mine = envelope(THEIRS, 1), envelope(THEIRS, 2, control=True), envelope(MINE, 1, control=True)
    append(box.storage, mine)
    with box.storage.transaction():
        box.storage.displace(PAIR, MINE, 0)
        for each in (words, statement, mine):
            box.storage.put_beside(PAIR, each)
        for each in (words, statement, mine):
            box.storage.remove_beside(PAIR, each.hash)
    again = box.reopen()
    assert again.beside(PAIR) == []
    assert again.displaced(PAIR) == [Displaced(PAIR, mine, waiting=True), Displaced(PAIR, statement, waiting=False)]


# Derived


def test_a_member_that_nothing_admits_any_more_is_taken_out(box: Box) -> None:
    """The others stay in their order."""
    members = [MemberRecord(PAIR, log, DeviceId(b"d" * 32), 0) for log in (MINE, THEIRS)]
    with box.storage.transaction():
        for member in members:
            box.storage.put_member(member)
        box.storage.remove_member(PAIR, MINE)
        box.storage.remove_member(OWN, THEIRS)
    assert box.reopen().members(PAIR) == members[1:]


def test_members_stay_in_order_of_admission(box: Box) -> None:
    """A device that is noted again stays where and what it was."""
    later = MemberRecord(PAIR, THEIRS, DeviceId(b"r" * 32), 1)
    first = MemberRecord(PAIR, MINE, DeviceId(b"s" * 32), 0)
    with box.storage.transaction():
        for member in (later, first, later._replace(slot=0), MemberRecord(OWN, MINE, DeviceId(b"o" * 32), 0)):
            box.storage.put_member(member)
    assert box.reopen().members(PAIR) == [later, first]


def test_events_come_back_as_they_were_put(box: Box) -> None:
    """Every field survives, also an empty frontier; putting again changes what became of it."""
    one, two = event(entry_id(1), 1), event(entry_id(1), 2, log=THEIRS)._replace(frontier=())
    with box.storage.transaction():
        box.storage.put_event(two)
        box.storage.put_event(one)
        box.storage.put_event(event(entry_id(2), 3, kind="repair.invited"))
        box.storage.put_event(event(entry_id(1), 1, space=OWN))
        box.storage.put_event(two._replace(standing=Standing.IGNORED))
    again = box.reopen()
    assert again.events(PAIR, entry_id(1)) == [one, two._replace(standing=Standing.IGNORED)]
    assert again.events_of_type(PAIR, "checkin.written") == again.events(PAIR, entry_id(1))
    assert [e.seq for e in again.events_of_type(PAIR, "repair.invited")] == [3]
    assert again.standing_of(PAIR, THEIRS, 2) is Standing.IGNORED
    assert again.standing_of(PAIR, THEIRS, 1) is None
    assert again.standing_counts(PAIR) == {Standing.APPLIED: 2, Standing.IGNORED: 1}


def test_the_events_of_a_log_come_in_order_up_to_a_number(storage: Storage) -> None:
    """With what each cites; of this log and this space only."""
    storage.put_space(space_record())
    for seq in (3, 1, 2, 9):
        storage.put_event(event(entry_id(seq), seq))
    storage.put_event(event(entry_id(4), 2, log=THEIRS))
    frontier = event(entry_id(1), 1).frontier
    assert list(storage.log_events(PAIR, MINE, 3)) == [(seq, entry_id(seq), frontier) for seq in (1, 2, 3)]
    assert list(storage.log_events(OWN, MINE, 3)) == []


def test_places_tell_the_last_event_of_an_entry_in_each_log(storage: Storage) -> None:
    """The highest number in each log, for the entries asked for."""
    put(storage, entry(1), entry(2), entry(3))
    with storage.transaction():
        for number, seq, log in ((1, 1, MINE), (1, 7, MINE), (1, 4, THEIRS), (2, 5, MINE), (3, 6, MINE)):
            storage.put_event(event(entry(number).entry_id, seq, log=log))
    wanted = [entry(1).entry_id, entry(2).entry_id]
    assert storage.places(wanted) == {(PAIR, wanted[0]): {MINE: 7, THEIRS: 4}, (PAIR, wanted[1]): {MINE: 5}}
    assert storage.places([]) == {}


def test_bodies_are_dropped_and_filled_in_and_nothing_else_fits(box: Box) -> None:
    """What is erased keeps its header; only the same envelope, whole, takes its place again; control entries stay."""
    storage = box.storage
    whole = [StoredEnvelope(MINE, seq, bytes([seq]) * 32, seq == 2, _sized(seq, 300)) for seq in (1, 2, 3)]
    append(storage, *whole, StoredEnvelope(THEIRS, 1, b"t" * 32, False, _sized(9, 300)))
    with storage.transaction():
        assert storage.erase_bodies(PAIR, MINE, 1, 9) == [1, 3]
        assert storage.erase_bodies(PAIR, MINE, 1, 9) == []
    assert storage.bare(PAIR) == [(MINE, 1), (MINE, 3)]
    kept = storage.envelopes_after(PAIR, MINE, 0, bytes_max=1 << 20, count_max=9)
    assert [len(each.data) for each in kept] == [204, 300, 204]
    assert kept[0].data == whole[0].data[:204]
    with storage.transaction():
        assert not storage.fill_body(PAIR, whole[2]._replace(data=_sized(8, 300)))
        assert not storage.fill_body(PAIR, whole[1])
        assert storage.fill_body(PAIR, whole[2])
        assert not storage.fill_body(PAIR, whole[2])
    assert storage.bare(PAIR) == [(MINE, 1)]
    assert storage.heads(PAIR)[MINE].seq == 3


def _sized(seq: int, size: int) -> bytes:
    """Bytes that say of themselves, as an envelope does, that there is a body."""
    return bytes([seq]) * 104 + (size - 204).to_bytes(4, "big") + bytes([seq]) * (size - 108)


def test_entries_are_found_by_what_became_of_their_events(storage: Storage) -> None:
    with storage.transaction():
        storage.put_space(space_record())
        for number, standing in ((1, Standing.APPLIED), (2, Standing.LEFT_OVER), (3, Standing.LEFT_OVER)):
            storage.put_event(event(entry_id(number), number)._replace(standing=standing))
        storage.forget_removed()
    assert storage.entries_standing(PAIR, Standing.LEFT_OVER) == [entry_id(2), entry_id(3)]
    assert storage.entries_standing(PAIR, Standing.WAITING) == []


def test_suspects_are_kept_by_place(box: Box) -> None:
    """Added, replaced, taken out; a rebuild doesn't touch them, and they go with their space."""
    first, second = Suspect(PAIR, MINE, 2), Suspect(PAIR, THEIRS, 1, entry_id(1), set_aside=True)
    with box.storage.transaction():
        for suspect in (second, first, Suspect(PAIR, MINE, 3), first._replace(set_aside=True), first):
            box.storage.put_suspect(suspect)
        box.storage.remove_suspect(Suspect(PAIR, MINE, 3))
        box.storage.clear_derived()
    assert box.reopen().suspects(PAIR) == [first, second]
    assert box.storage.suspects(OWN) == []
    with box.storage.transaction():
        box.storage.remove_space(PAIR)
    assert box.reopen().suspects(PAIR) == []


def test_one_event_can_be_looked_up_and_taken_out(box: Box) -> None:
    """By its place; the others of its entry stay. The same of what is in quarantine."""
    with box.storage.transaction():
        for seq in (1, 2):
            box.storage.put_event(event(entry_id(1), seq))
            box.storage.put_quarantine(Quarantined(PAIR, MINE, seq, "why"))
        box.storage.remove_event(PAIR, MINE, 1)
        box.storage.remove_quarantine(PAIR, MINE, 1)
    again = box.reopen()
    assert again.event(PAIR, MINE, 1) is None
    assert again.event(PAIR, MINE, 2) == event(entry_id(1), 2)
    assert again.quarantine(PAIR) == [Quarantined(PAIR, MINE, 2, "why")]


def test_quarantine_keeps_one_reason_a_place(box: Box) -> None:
    """The last reason stands, in order of log and number."""
    with box.storage.transaction():
        for log, seq, reason in ((THEIRS, 1, "c"), (MINE, 2, "a"), (MINE, 2, "b")):
            box.storage.put_quarantine(Quarantined(PAIR, log, seq, reason))
    assert box.reopen().quarantine(PAIR) == [Quarantined(PAIR, MINE, 2, "b"), Quarantined(PAIR, THEIRS, 1, "c")]
    assert box.storage.quarantine(OWN) == []


def citation(seq: int, *, log: LogId = MINE, by: LogId = THEIRS, slot: int = 1, by_seq: int = 9) -> Citation:
    return Citation(log, by, slot, seq, bytes([seq]) * 32, by_seq)


def test_what_a_log_cites_can_be_forgotten(box: Box) -> None:
    """Of that log alone."""
    with box.storage.transaction():
        box.storage.put_citation(PAIR, citation(5))
        box.storage.put_citation(PAIR, citation(4, by=OTHER))
        box.storage.remove_citations(PAIR, THEIRS)
        box.storage.remove_citations(OWN, OTHER)
    assert box.reopen().cited(PAIR) == [citation(4, by=OTHER)]


def test_citations_never_go_down(box: Box) -> None:
    """An older entry that arrives late takes nothing back; of each device the furthest stays, with its hash and place."""
    with box.storage.transaction():
        for seq, by, slot in ((5, THEIRS, 1), (3, THEIRS, 1), (2, MINE, 0), (6, THEIRS, 1), (1, THEIRS, 1), (4, OTHER, 1)):
            box.storage.put_citation(PAIR, citation(seq, by=by, slot=slot, by_seq=10 + seq))
    again = box.reopen()
    assert again.citations(PAIR) == {(MINE, 1): 6, (MINE, 0): 2}
    kept = [citation(6, by_seq=16), citation(2, by=MINE, slot=0, by_seq=12), citation(4, by=OTHER, by_seq=14)]
    assert again.cited(PAIR) == sorted(kept)
    assert (box.storage.citations(OWN), box.storage.cited(OWN)) == ({}, [])


def test_what_contradicts_is_kept_once_for_each_two_logs_and_outlives_a_rebuild(box: Box) -> None:
    """The first stays, so that whoever cites nonsense again and again fills nothing; dropping what is derived leaves it."""
    with box.storage.transaction():
        for seq, by in ((5, THEIRS), (3, THEIRS), (6, THEIRS), (4, OTHER)):
            box.storage.put_contradiction(PAIR, citation(seq, by=by))
        box.storage.clear_derived()
    kept = sorted([citation(5), citation(4, by=OTHER)])
    assert box.reopen().contradictions(PAIR) == kept
    assert box.storage.contradictions(OWN) == []
    with box.storage.transaction():
        box.storage.remove_space(PAIR)
    assert box.reopen().contradictions(PAIR) == []


# Entries


def test_an_entry_is_put_replaced_and_removed(box: Box) -> None:
    """Every field survives; a replaced entry is found by its new words only; a removed one not at all."""
    record = EntryRecord(
        entry_id(1), PAIR, "repair", 1, 5, "Asia/Bangkok", "2026-01-05", True, entry_id(9), True, "open", '{"a":"ü"}', "dishes"
    )
    put(box.storage, record)
    assert box.reopen().entry(PAIR, entry_id(1)) == record
    replaced = record._replace(search_text="laundry", body="{}", reply_to=None, edited=False, state="told", slot=0)
    put(box.storage, replaced)
    assert box.reopen().entry(PAIR, entry_id(1)) == replaced
    assert box.storage.entries(EntryQuery(words=("dishes",))) == []
    assert box.storage.entries(EntryQuery(words=("laundry",))) == [replaced]
    with box.storage.transaction():
        box.storage.remove_entry(PAIR, entry_id(1))
        box.storage.remove_entry(PAIR, entry_id(2))
    assert box.reopen().entry(PAIR, entry_id(1)) is None
    assert box.storage.entries(EntryQuery(words=("laundry",))) == []


def test_entries_are_filtered_by_each_part_of_a_query(storage: Storage) -> None:
    """Space, kinds, days, authors and the limit restrict, alone and together; hidden ones never come."""
    put(
        storage,
        entry(1, day="2026-01-01"),
        entry(2, day="2026-01-02", slot=1),
        entry(3, day="2026-01-03", kind="appreciation"),
        entry(4, day="2026-01-04", space=OWN),
        entry(5, day="2026-01-05", shown=False),
        entry(6, day="2026-01-06", kind="repair", slot=1),
    )

    def found(**query: Any) -> list[int]:
        return numbers(storage.entries(EntryQuery()._replace(**query)))

    assert found() == [1, 2, 3, 4, 6]
    assert found(space_id=OWN) == [4]
    assert found(kinds=("checkin",)) == [1, 2, 4]
    assert found(kinds=("appreciation", "repair")) == [3, 6]
    assert found(since_day="2026-01-03") == [3, 4, 6]
    assert found(until_day="2026-01-02") == [1, 2]
    assert found(since_day="2026-01-02", until_day="2026-01-03") == [2, 3]
    assert found(authors=((PAIR, 1),)) == [2, 6]
    assert found(authors=((PAIR, 1), (OWN, 0))) == [2, 4, 6]
    assert found(authors=()) == []
    assert found(limit=2) == [4, 6]
    assert found(limit=99) == [1, 2, 3, 4, 6]
    assert found(space_id=PAIR, kinds=("checkin",), authors=((PAIR, 0),), since_day="2026-01-01", limit=5) == [1]


def test_entries_of_one_moment_are_ordered_by_id(storage: Storage) -> None:
    """The order is total, whatever was put first."""
    one, two = entry(1)._replace(at_ms=7), entry(2)._replace(at_ms=7)
    put(storage, two, one, entry(3)._replace(at_ms=6))
    assert [r.entry_id for r in storage.entries(EntryQuery())] == [entry(3).entry_id, one.entry_id, two.entry_id]
    assert [r.entry_id for r in storage.entries(EntryQuery(limit=1))] == [two.entry_id]


TEXTS = {
    1: "coffee with you in the morning",
    2: "สวัสดีตอนเช้า กาแฟ",
    3: "شكرا على القهوة",
    4: "we laughed 🦉🦉🎉 a lot",
    5: "she said \"stay\" and 'go' (50%) *all* OR nothing; a_b",
    6: "咖啡",
    7: "",
}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("coffee", [1]),
        ("offe", [1]),
        ("o", [1, 4, 5]),
        ("in", [1, 5]),
        ("กาแฟ", [2]),
        ("ตอน", [2]),
        ("แฟ", [2]),
        ("القهوة", [3]),
        ("شك", [3]),
        ("🦉", [4]),
        ("🦉🎉", [4]),
        ("🦉🦉🎉", [4]),
        ("咖啡", [6]),
        ("啡", [6]),
        ('"stay"', [5]),
        ('"', [5]),
        ("'go'", [5]),
        ("(50%)", [5]),
        ("*all*", [5]),
        ("a_b", [5]),
        ("%", [5]),
        ("axb", []),
        ("NOT", []),
        ("cof*", []),
        ("nowhere", []),
    ],
)
def test_a_word_is_found_wherever_it_stands(storage: Storage, word: str, expected: list[int]) -> None:
    """Any part of any text in any script, with nothing taken for syntax."""
    put(storage, *(entry(number, text) for number, text in TEXTS.items()))
    assert numbers(storage.entries(EntryQuery(words=(word,)))) == expected


def test_all_words_have_to_be_there_also_in_a_reply(storage: Storage) -> None:
    """An entry fits if each word stands in it or in a reply to it; replies themselves don't come."""
    put(storage, entry(1, "coffee in bed"), entry(2, "coffee outside"))
    put(storage, entry(3, "you liked the sun", kind="hearing", shown=False, reply_to=entry(2).entry_id))
    assert numbers(storage.entries(EntryQuery(words=("coffee",)))) == [1, 2]
    assert numbers(storage.entries(EntryQuery(words=("coffee", "sun")))) == [2]
    assert numbers(storage.entries(EntryQuery(words=("coffee", "bed", "sun")))) == []


@pytest.mark.parametrize(
    "typed", ["ab\0cd", "\ud800", "nul\0", "\ud800\udc00", "x" * 5000, '"""', "NEAR(", "\u200d", "\U0010ffff" * 3]
)
def test_whatever_is_typed_is_no_error(storage: Storage, typed: str) -> None:
    """Searching for nonsense finds nothing, and says nothing."""
    put(storage, entry(1, "coffee"))
    assert storage.entries(EntryQuery(words=words(typed) or ("nothing",))) == []


def found_by(storage: Storage, code: str) -> list[EntryId]:
    return [record.entry_id for record in storage.find_entries(code)]


def test_an_id_belongs_to_its_space(storage: Storage) -> None:
    """Entries of two spaces under one id stand side by side: neither replaces the other, or answers for it."""
    mine, theirs = entry(1, "coffee")._replace(space_id=OWN), entry(1, "tea")
    put(storage, mine, theirs)
    assert storage.entry(OWN, mine.entry_id) == mine
    assert storage.entry(PAIR, mine.entry_id) == theirs
    assert storage.entries_with_id(mine.entry_id) == sorted([mine, theirs], key=lambda record: record.space_id)
    assert storage.entries(EntryQuery(words=("coffee",))) == [mine]
    with storage.transaction():
        storage.remove_entry(PAIR, mine.entry_id)
    assert storage.entries_with_id(mine.entry_id) == [mine]
    assert storage.entries(EntryQuery(words=("tea",))) == []


def test_a_code_finds_entries_by_its_beginning(storage: Storage) -> None:
    """Any beginning of a code finds its entries in order, at most a handful, and never a person."""
    shared = [EntryId(bytes(8) + bytes([0x80, 0, 0, 0, 0, 0, 0, tail])) for tail in range(1, 11)]
    put(storage, *(entry(1)._replace(entry_id=one) for one in shared))
    put(storage, entry(2)._replace(entry_id=EntryId(bytes(8) + bytes([0x8F] * 8)), shown=False, kind="hearing"))
    put(storage, entry(3)._replace(entry_id=EntryId(bytes(8) + bytes([0x8A] * 8)), shown=False, kind="person"))
    assert found_by(storage, entry_code(shared[0])) == [shared[0]]
    assert found_by(storage, "0000") == shared[:8]
    hearing, person = (EntryId(bytes(8) + bytes([byte] * 8)) for byte in (0x8F, 0x8A))
    assert found_by(storage, entry_code(hearing)[:5]) == [hearing]
    assert found_by(storage, entry_code(person)[:5]) == []
    assert storage.find_entries("ZZZZ") == []


def test_replies_come_oldest_first(storage: Storage) -> None:
    """Only replies to the entries that were asked for."""
    one, two = entry(1).entry_id, entry(2).entry_id
    put(storage, entry(1), entry(2))
    put(storage, *(entry(n, shown=False, reply_to=to) for n, to in ((5, one), (4, two), (3, one), (6, entry_id(99)))))
    assert numbers(storage.replies([one])) == [3, 5]
    assert numbers(storage.replies([one, two])) == [3, 4, 5]
    assert storage.replies([]) == []


def test_hidden_counted_and_all_entries(storage: Storage) -> None:
    """Hidden ones by kind, shown ones by number, all of a space by id."""
    put(storage, entry(3, shown=False, kind="person"), entry(1), entry(2, shown=False, kind="hearing"), entry(4, space=OWN))
    assert numbers(storage.hidden_entries(PAIR, "person")) == [3]
    assert storage.hidden_entries(PAIR, "checkin") == []
    assert (storage.count_entries(PAIR), storage.count_entries(OWN)) == (1, 1)
    assert numbers(list(storage.all_entries(PAIR))) == [1, 2, 3]


def test_clearing_what_is_derived_leaves_the_truth(box: Box) -> None:
    """Members, events, entries, search, citations and quarantine go; the rest stays; and all can be put again."""
    storage = box.storage
    append(storage, envelope(MINE, 1, control=True))
    fill_derived(storage)
    with storage.transaction():
        storage.put_meta("name", "Sam")
        storage.put_epoch(PAIR, b"e" * 16, b"s" * 32)
        storage.put_relay_head(PAIR, Head(MINE, 1, b"h" * 32))
        storage.clear_derived()
    again = box.reopen()
    assert_nothing_derived(again)
    assert (again.meta("name"), len(again.spaces()), len(again.epochs(PAIR))) == ("Sam", 2, 1)
    assert (len(again.heads(PAIR)), len(again.controls(PAIR)), len(again.relay_heads(PAIR))) == (1, 1, 1)
    fill_derived(again)
    assert numbers(again.entries(EntryQuery(words=("coffee",)))) == [1]


def fill_derived(storage: Storage) -> None:
    with storage.transaction():
        storage.put_member(MemberRecord(PAIR, MINE, DeviceId(b"d" * 32), 0))
        storage.put_event(event(entry(1).entry_id, 1))
        storage.put_entry(entry(1, "coffee"))
        storage.put_citation(PAIR, citation(4))
        storage.put_quarantine(Quarantined(PAIR, MINE, 1, "why"))


def assert_nothing_derived(storage: Storage) -> None:
    assert (storage.members(PAIR), storage.events(PAIR, entry(1).entry_id), storage.citations(PAIR)) == ([], [], {})
    assert (storage.entry(PAIR, entry(1).entry_id), storage.quarantine(PAIR)) == (None, [])
    assert storage.entries(EntryQuery(words=("coffee",))) == []
    assert (storage.standing_counts(PAIR), storage.count_entries(PAIR)) == ({}, 0)


def test_a_removed_space_leaves_nothing_and_touches_no_other(box: Box) -> None:
    """All that belongs to it goes; what belongs to another space stays, search included."""
    storage = box.storage
    fill_derived(storage)
    append(storage, envelope(MINE, 1, control=True))
    with storage.transaction():
        storage.put_epoch(PAIR, b"e" * 16, b"s" * 32)
        storage.put_relay_head(PAIR, Head(MINE, 1, b"h" * 32))
        storage.append(OWN, envelope(MINE, 1))
        storage.put_entry(entry(8, "coffee", space=OWN))
        storage.remove_space(PAIR)
    again = box.reopen()
    assert [space.space_id for space in again.spaces()] == [OWN]
    assert (again.epochs(PAIR), again.heads(PAIR), again.relay_heads(PAIR), again.controls(PAIR)) == ({}, {}, {}, [])
    assert again.entry(PAIR, entry(1).entry_id) is None
    assert (again.members(PAIR), again.citations(PAIR), again.quarantine(PAIR)) == ([], {}, [])
    assert numbers(again.entries(EntryQuery(words=("coffee",)))) == [8]
    assert list(again.heads(OWN)) == [MINE]
    put(again, entry(9, "tea", space=OWN))
    assert numbers(again.entries(EntryQuery(words=("coffee",)))) == [8]


def test_a_sound_storage_has_no_findings(box: Box) -> None:
    """An examination finds nothing where nothing is wrong."""
    fill_derived(box.storage)
    assert box.reopen().check() == []


# Only the file


def test_nothing_readable_is_on_the_disk(tmp_path: Path) -> None:
    """Neither the file nor its write-ahead log holds a word, a name, or the beginning of a plain database."""
    path = tmp_path / "home.db"
    storage = SqliteStorage(path, KEY, create=True)
    with storage.transaction():
        storage.put_meta("name", "Unmistakable Person")
        storage.put_space(space_record())
    put(storage, entry(1, "unmistakable words"))
    for name in ("home.db", "home.db-wal"):
        content = (tmp_path / name).read_bytes()
        assert content
        for plain in (b"nmistakable", b"SQLite format", b"CREATE TABLE", KEY):
            assert plain not in content
    storage.close()
    assert b"nmistakable" not in path.read_bytes()


@pytest.mark.parametrize("key", [bytes(32), b"", KEY[:31], KEY + b"x"])
def test_a_wrong_key_is_locked_and_changes_nothing(tmp_path: Path, key: bytes) -> None:
    """Another key, or none, is refused, and the file is the same afterwards."""
    path = tmp_path / "home.db"
    SqliteStorage(path, KEY, create=True).close()
    before = path.read_bytes()
    with pytest.raises(Locked):
        SqliteStorage(path, key)
    assert path.read_bytes() == before
    SqliteStorage(path, KEY).close()


def test_a_file_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    """Garbage and a plain database are both locked, and stay as they are."""
    garbage, plain = tmp_path / "garbage.db", tmp_path / "plain.db"
    garbage.write_bytes(os.urandom(8192))
    connection = apsw.Connection(str(plain))
    connection.execute("CREATE TABLE meta (key, value)")
    connection.close()
    for path in (garbage, plain):
        before = path.read_bytes()
        with pytest.raises((Locked, StorageError)):
            SqliteStorage(path, KEY)
        assert path.read_bytes() == before


def test_a_newer_format_is_left_untouched(tmp_path: Path) -> None:
    """A database of a newer Bide is refused, and not a byte of it changes."""
    path = tmp_path / "home.db"
    connection = open_database(path, KEY, create=True)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(NewerFormat):
        SqliteStorage(path, KEY)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["home.db"]


def first_format(path: Path, *statements: str) -> bytes:
    """A database as the first format had it, with a value in it; gives its bytes."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA cipher = 'chacha20'")
    connection.execute(f"PRAGMA key = 'raw:{KEY.hex()}'")
    connection.execute("PRAGMA journal_mode = WAL")
    for statement in (schema_text(1), "PRAGMA user_version = 1", "INSERT INTO meta VALUES ('name', 'Sam')", *statements):
        connection.execute(statement)
    connection.close()
    return path.read_bytes()


def test_the_first_format_is_brought_up_to_date(tmp_path: Path) -> None:
    """What is in it stays, and what came later can be kept in it."""
    path = tmp_path / "home.db"
    first_format(path)
    storage = SqliteStorage(path, KEY)
    assert storage.meta("name") == "Sam"
    with storage.transaction():
        storage.put_space(space_record())
        storage.put_held(held(1))
    storage.close()
    again = open_database(path, KEY)
    assert again.pragma("user_version") == FORMAT
    again.close()


def test_a_database_that_cannot_be_brought_up_to_date_stays_as_it_was(tmp_path: Path) -> None:
    """Something is in the way: one error of ours, and the file keeps its format and all that is in it."""
    path = tmp_path / "home.db"
    before = first_format(path, "CREATE TABLE outbox (something TEXT)")
    with pytest.raises(StorageError, match="current format"):
        SqliteStorage(path, KEY)
    assert path.read_bytes() == before


def test_a_missing_file_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    """Only creating creates."""
    with pytest.raises(StorageError):
        SqliteStorage(tmp_path / "home.db", KEY)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_an_error_of_ours(tmp_path: Path) -> None:
    """A flipped byte anywhere in the file is noticed, as a StorageError or as Locked, never as something else."""
    path = tmp_path / "home.db"
    storage = SqliteStorage(path, KEY, create=True)
    with storage.transaction():
        storage.put_space(space_record())
    put(storage, *(entry(number, f"entry {number} " * 20) for number in range(1, 100)))
    storage.close()
    sound = path.read_bytes()
    for at in range(50, len(sound), 4096):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        noticed = False
        try:
            damaged = SqliteStorage(path, KEY)
            noticed = damaged.check() != []
            list(damaged.all_entries(PAIR))
        except (StorageError, Locked):
            noticed = True
        assert noticed, at


def write_many(path: Path, log: LogId, count: int) -> None:
    storage = SqliteStorage(path, KEY)
    for _ in range(count):
        with storage.transaction():
            head = storage.heads(PAIR).get(log)
            seq = head.seq + 1 if head else 1
            assert storage.append(PAIR, envelope(log, seq))
            storage.put_meta("count", str(int(storage.meta("count") or "0") + 1))
    storage.close()


@pytest.mark.parametrize("how", ["threads", "processes"])
def test_two_writers_at_once_lose_nothing(tmp_path: Path, how: str) -> None:
    """Two connections that write to the same log at the same time leave it gapless, with every write in it."""
    path = tmp_path / "home.db"
    storage = SqliteStorage(path, KEY, create=True)
    with storage.transaction():
        storage.put_space(space_record())
    storage.close()
    context = multiprocessing.get_context("fork")  # with nothing open that a child could spoil
    workers: list[threading.Thread | multiprocessing.process.BaseProcess] = (
        [threading.Thread(target=write_many, args=(path, MINE, 40)) for _ in range(2)]
        if how == "threads"
        else [context.Process(target=write_many, args=(path, MINE, 40)) for _ in range(2)]
    )
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    storage = SqliteStorage(path, KEY)
    assert storage.heads(PAIR)[MINE].seq == 80
    assert storage.meta("count") == "80"
    found = storage.envelopes_after(PAIR, MINE, 0, bytes_max=1 << 30, count_max=1000)
    assert [e.seq for e in found] == list(range(1, 81))
    storage.close()


def test_a_snapshot_shows_nothing_that_another_process_writes_meanwhile(tmp_path: Path) -> None:
    """And keeps nobody from writing."""
    one = SqliteStorage(tmp_path / "bide.db", KEY, create=True)
    other = SqliteStorage(tmp_path / "bide.db", KEY)
    with one.snapshot():
        with other.transaction():
            other.put_meta("name", "Sam")
        assert other.meta("name") == "Sam"
        assert one.meta("name") == ""
    assert one.meta("name") == "Sam"


def test_all_events_come_by_log_and_number(storage: Storage) -> None:
    """Those of one space, whatever entry they are of."""
    with storage.transaction():
        for space in (OWN, PAIR):
            storage.put_space(space_record(space))
        places = [(THEIRS, 1), (MINE, 12), (MINE, 2)]
        for log, seq in places:
            storage.put_event(event(entry_id(seq), seq, log=log))
        storage.put_event(event(entry_id(1), 1, space=OWN))
    assert [(each.log_id, each.seq) for each in storage.all_events(PAIR)] == sorted(places)
