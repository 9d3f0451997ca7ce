"""Changes that stop a process: the mark that outlives it, the trial apart, and the limits that keep most of them out."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from automerge.core import ROOT, Document, ScalarType
from poison import ABORTS, EATS, HANGS, poisoned

from bide.crdt.change import Change, read_change
from bide.entries.records import EventRecord, Standing
from bide.ids import LogId, SpaceId, SystemRandomness, new_entry_id
from bide.projections import order
from bide.projections.order import judge
from bide.replica import Replica
from bide.replica.derivation import vetting
from bide.storage.base import Suspect
from bide.storage.mark import SUFFIX, Mark
from bide.storage.sqlite import SqliteStorage
from bide.testing import FakeClock
from bide.testing_replicas import give, new_replica, pair_space

RANDOM = SystemRandomness()
KEY = bytes(range(32))
SPACE, LOG, OTHER = SpaceId(b"pair space id..."), LogId(b"robin's log id.."), LogId(b"robin's other id")
DIES = """
import os, sys
from pathlib import Path
from bide.storage.sqlite import SqliteStorage
storage = SqliteStorage(Path(sys.argv[1]), bytes(range(32)))
with storage.transaction():
    storage.put_meta("half", "done")
    log = bytes.fromhex(sys.argv[3])
    storage.begin_applying(bytes.fromhex(sys.argv[2]), [(log, 7), (log, 8)], durable=True)
    os.kill(os.getpid(), 9)
"""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vetting, "TRIAL_S_MAX", 4)


@pytest.fixture
def home(tmp_path: Path) -> tuple[Path, SpaceId]:
    """A database with one space in it."""
    path = tmp_path / "bide.db"
    replica = new_replica("Sam", SqliteStorage(path, KEY, create=True))
    return path, replica.spaces()[0].space_id


def texts(replica: Replica) -> list[str]:
    return sorted(entry["fields"]["noticed"] for entry in replica.timeline() if entry["kind"] == "appreciation")


def suspect_all(replica: Replica, author: Replica) -> None:
    """As if a process had died while it took in the author's whole log."""
    theirs = pair_space(author)
    head = author.storage.heads(theirs.space_id)[theirs.log_id]
    with replica.storage.transaction():
        for seq in range(1, head.seq + 1):
            replica.storage.put_suspect(Suspect(theirs.space_id, theirs.log_id, seq))


def test_the_mark_outlives_a_process_though_its_transaction_does_not(home: tuple[Path, SpaceId]) -> None:
    """A process killed while it takes something in: the next one that writes finds what it was, and nothing else."""
    path, space = home
    arguments = [sys.executable, "-c", DIES, str(path), space.hex(), LOG.hex()]
    assert subprocess.run(arguments, check=False, timeout=30).returncode == -9
    storage = SqliteStorage(path, KEY)
    assert storage.suspects(space) == []
    with storage.transaction():
        pass
    assert storage.meta("half") == ""
    assert storage.suspects(space) == [Suspect(space, LOG, 7), Suspect(space, LOG, 8)]
    assert Mark(path).left() == b""


def test_the_mark_tells_nothing_to_who_finds_it(home: tuple[Path, SpaceId]) -> None:
    """It is sealed, and nobody else can read the file."""
    path, space = home
    storage = SqliteStorage(path, KEY)
    mark = path.with_name(path.name + SUFFIX)
    with storage.transaction():
        storage.begin_applying(space, [(LOG, 7)], durable=False)
        data = mark.read_bytes()
        assert stat.S_IMODE(mark.stat().st_mode) == 0o600
    assert data
    assert bytes(space) not in data
    assert bytes(LOG) not in data
    assert Mark(path).left() == b""


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_who_lives_leaves_no_mark(home: tuple[Path, SpaceId], error: type[BaseException]) -> None:
    """An error or Ctrl-C undoes the transaction and clears the mark."""
    path, space = home
    storage = SqliteStorage(path, KEY)
    with pytest.raises(error), storage.transaction():  # noqa: PT012 the context is what is tested
        storage.begin_applying(space, [(LOG, 7)], durable=False)
        raise error
    with storage.transaction():
        pass
    assert storage.suspects(space) == []


@pytest.mark.parametrize("data", [b"\x01", b"\0\0\0\x05half", b"\0\0\x01\0" + os.urandom(256), b"\xff" * 400])
def test_half_a_mark_or_somebody_elses_says_nothing(home: tuple[Path, SpaceId], data: bytes) -> None:
    """It is cleared, and writing goes on."""
    path, space = home
    mark = path.with_name(path.name + SUFFIX)
    mark.write_bytes(data)
    storage = SqliteStorage(path, KEY)
    with storage.transaction():
        storage.put_meta("whole", "done")
    assert (storage.meta("whole"), storage.suspects(space), Mark(path).left()) == ("done", [], b"")


def test_the_innocent_are_cleared(couple: tuple[Replica, Replica]) -> None:
    """Everything of Robin's is suspect, and nothing stops the trial: all of it comes in, and nothing stays suspect."""
    sam, robin = couple
    for number in range(3):
        robin.write("appreciation", {"noticed": f"number {number}"})
    suspect_all(sam, robin)
    give(robin, sam)
    assert texts(sam) == ["number 0", "number 1", "number 2"]
    assert [s for s in sam.storage.suspects(pair_space(sam).space_id) if s.seq > 2] == []


def test_only_what_stops_a_process_is_set_aside(
    couple: tuple[Replica, Replica], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one batch and even of one entry: what was there before stays, what aborts, hangs or eats memory goes, and it alone."""
    sam, robin = couple
    for text in ("one", ABORTS, "two", HANGS, EATS, "three"):
        robin.write("appreciation", {"noticed": text})
    edited = robin.write("appreciation", {"noticed": "as it was"}).id
    robin.edit(edited, {"noticed": "as it is"})
    robin.edit(edited, {"noticed": ABORTS + " later"})
    suspect_all(sam, robin)
    for name, value in poisoned(tmp_path / "site").items():
        monkeypatch.setenv(name, value)
    give(robin, sam)
    assert texts(sam) == ["as it is", "one", "three", "two"]
    assert len([s for s in sam.storage.suspects(pair_space(sam).space_id) if s.set_aside]) == 4
    sam.rebuild()
    assert texts(sam) == ["as it is", "one", "three", "two"]
    assert sam.look_again() == (0, 4)
    monkeypatch.delenv("PYTHONPATH")
    assert sam.look_again() == (4, 0)
    assert len(texts(sam)) == 7
    assert sam.digest()[1]["digest"] == robin.digest()[1]["digest"]


def test_what_stops_a_later_write_is_taken_back(
    couple: tuple[Replica, Replica], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process died while it wrote to an entry that was taken in before: the next write goes on without the newest change."""
    sam, robin = couple
    mine = sam.invite_to_repair({"topic": "dishes"}).id
    give(sam, robin)
    robin.repair_step(mine, "accept", {})
    robin.repair_step(mine, "tell", {"own_part": "mine", "felt": ABORTS})
    give(robin, sam)
    suspect_all(sam, robin)
    for name, value in poisoned(tmp_path / "site").items():
        monkeypatch.setenv(name, value)
    sam.write("appreciation", {"noticed": "all the same"})
    assert texts(sam) == ["all the same"]
    assert len([s for s in sam.storage.suspects(pair_space(sam).space_id) if s.set_aside]) == 1
    assert [finding for finding in sam.doctor() if "bide doctor --again" in str(finding.words)]


def test_an_entry_can_be_written_to_again(
    couple: tuple[Replica, Replica], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever writes to the entry itself finds it as it was before the change that stops a process."""
    sam, robin = couple
    entry = robin.write("appreciation", {"noticed": "one"}).id
    other = robin.write("appreciation", {"noticed": "two"}).id
    robin.edit(entry, {"noticed": ABORTS})
    robin.edit(other, {"noticed": ABORTS})
    give(robin, sam)
    suspect_all(sam, robin)
    for name, value in poisoned(tmp_path / "site").items():
        monkeypatch.setenv(name, value)
    sam.postpone(entry)
    assert texts(sam) == ["one", "two"]


def test_where_no_process_can_be_started_nothing_suspect_is_taken_in(
    couple: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What can't be tried waits, set aside; what isn't suspect comes in."""
    sam, robin = couple
    robin.write("appreciation", {"noticed": "suspect"})
    suspect_all(sam, robin)
    robin.write("appreciation", {"noticed": "not suspect"})
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    give(robin, sam)
    assert texts(sam) == ["not suspect"]
    monkeypatch.undo()
    assert sam.look_again() == (1, 0)
    assert texts(sam) == ["not suspect", "suspect"]


# Limits


def checkin_of(size: int, count: int) -> list[EventRecord]:
    """A check-in edited again and again, with values that pack into almost nothing."""
    entry = new_entry_id(FakeClock(), RANDOM, slot=1)
    document = Document(os.urandom(15) + b"\x01")
    events = []
    for number in range(count):
        heads = document.get_heads()
        document.set_actor(os.urandom(15) + b"\x01")
        with document.transaction() as transaction:
            transaction.put(ROOT, "hard", ScalarType.Str, f"{number} " + "z" * size)
        kind = "checkin.edited" if number else "checkin.written"
        change = bytes(document.get_changes(heads)[0].bytes)
        day, standing = "2026-01-01", Standing.WAITING
        events.append(EventRecord(SPACE, entry, LOG, number + 1, 1, kind, 1, 1, 0, "UTC", day, change, (), standing))
    return events


def test_what_unpacks_to_much_counts_only_up_to_a_limit() -> None:
    """A few hundred bytes that become a megabyte, many times: half of what an entry may hold is taken, and then no more."""
    events = checkin_of(1_000_000, 12)
    assert sum(len(event.change) for event in events) < 20_000
    judged = judge(events)
    taken = sum(item.change.size for item in judged.applied)
    assert order.SIZE_MAX_BYTES // 2 - 1_100_000 < taken <= order.SIZE_MAX_BYTES // 2
    assert list(judged.standings.values()).count(Standing.IGNORED) == 12 - len(judged.applied)


def test_a_log_that_says_too_much_of_one_entry_is_not_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by count nor by size; and another log still has its half."""
    monkeypatch.setattr(order, "READ_BYTES_MAX", 300_000)
    reads: list[bytes] = []

    def counted(data: bytes) -> Change:
        reads.append(data)
        return read_change(data)

    monkeypatch.setattr(order, "read_change", counted)
    mine = checkin_of(100_000, 10)
    assert len(judge(mine).applied) == len(reads) == 3
    reads.clear()
    theirs = [event._replace(log_id=OTHER) for event in mine]
    judge([*mine, *theirs])
    assert len(reads) == 6
    reads.clear()
    monkeypatch.setattr(order, "ATTEMPTS_MAX", 2)
    judge([event._replace(change=b"none") for event in mine])
    assert len(reads) == 2
