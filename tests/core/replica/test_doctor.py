"""Looking at a home: at one moment of it, and without holding all of it in memory."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from bide.replica import Replica
from bide.replica.examining import doctor
from bide.replica.examining.doctor import DAMAGE, Finding
from bide.storage.aside import Aside
from bide.storage.sqlite import SqliteStorage
from bide.testing_replicas import new_replica

KEY = b"d" * 32


@pytest.fixture
def sam(tmp_path: Path) -> Replica:
    """Sam, with some entries in a file."""
    replica = new_replica("Sam", SqliteStorage(tmp_path / "bide.db", KEY, create=True))
    for number in range(8):
        replica.write("checkin", {"hard": f"rain {number}"}, private=True)
    return replica


def examined_while_another_writes(sam: Replica, path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What doctor finds if another process writes after all was derived anew, and before it is compared."""
    other = Replica(SqliteStorage(path, KEY))
    compare = doctor._shows_the_same

    def write_and_compare(*args: Any) -> bool:
        other.write("checkin", {"hard": "meanwhile"}, private=True)
        return compare(*args)

    monkeypatch.setattr(doctor, "_shows_the_same", write_and_compare)
    before = other.storage.count_entries(other.spaces()[0].space_id)
    found = sam.doctor()
    assert other.storage.count_entries(other.spaces()[0].space_id) == before + 1
    return found


def test_what_is_written_meanwhile_is_no_damage(sam: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by a sync that runs: everything is looked at as it was at one moment."""
    found = examined_while_another_writes(sam, tmp_path / "bide.db", monkeypatch)
    assert not [finding for finding in found if finding.level == DAMAGE]


def test_without_the_one_moment_it_would_be_taken_for_damage(
    sam: Replica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control."""
    monkeypatch.setattr(SqliteStorage, "snapshot", lambda _: nullcontext())
    found = examined_while_another_writes(sam, tmp_path / "bide.db", monkeypatch)
    assert [finding for finding in found if finding.level == DAMAGE]


def test_what_is_looked_at_is_told_up_to_the_end(sam: Replica) -> None:
    """So that who waits sees how far it is."""
    told: list[tuple[int, int]] = []
    sam.doctor(lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] > 0


def test_the_second_read_model_holds_no_log(sam: Replica) -> None:
    """That would be most of the memory, and is there already; nor can anything be written through it."""
    space = sam.spaces()[0]
    aside = Aside(sam.storage, space)
    assert len(aside.envelopes_after(space.space_id, space.log_id, 0, bytes_max=1 << 20, count_max=100)) > 8
    assert list(aside._db.execute("SELECT count(*) FROM envelope")) == [(0,)]
    assert aside.erase_bodies(space.space_id, space.log_id, 1, 100) == []
    assert not sam.storage.bare(space.space_id)


@pytest.mark.parametrize("column", ["frontier = zeroblob(56)", "time_ms = 1", "zone = 'Asia/Bangkok'", "change = x'00'"])
def test_an_event_that_is_not_what_its_envelope_says_is_found(sam: Replica, column: str) -> None:
    """One row, in any column: nothing that is shown need differ yet."""
    assert isinstance(sam.storage, SqliteStorage)
    sam.storage._db.execute(f"UPDATE event SET {column} WHERE seq = 4")
    found = [str(finding.words) for finding in sam.doctor() if finding.level == DAMAGE]
    assert found == ["What is shown of your own space is not what its log says."]
