"""What every storage of the relay keeps to, memory or file."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from bide.errors import NewerFormat, StorageBusy, StorageError
from bide.ids import LogId, SystemRandomness
from bide.testing import SpaceBuilder
from bide_relay.errors import InviteSpent, SpaceUnknown
from bide_relay.storage.base import Appended, Batch, Conflict, Entry, Span, Storage, StorageDamaged, Usage
from bide_relay.storage.memory import MemoryStorage
from bide_relay.storage.sqlite import SqliteStorage


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    opened: Storage = MemoryStorage() if request.param == "memory" else SqliteStorage(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def space() -> SpaceBuilder:
    builder = SpaceBuilder.found("pair", randomness=SystemRandomness())
    builder.join()
    return builder


def found(storage: Storage, space: SpaceBuilder) -> None:
    assert storage.found(space.id, space.envelopes[0], invite=None)


def spans(storage: Storage, space: SpaceBuilder) -> list[Span]:
    return [Span(log, 0, head.seq) for log, head in storage.heads(space.id).items()]


def everything(storage: Storage, space: SpaceBuilder) -> list[Entry]:
    return storage.read(space.id, spans(storage, space), bytes_max=2**30, envelopes_max=2**20)


def test_identity_stays_the_same(storage: Storage) -> None:
    """The relay's key and store id are made once."""
    identity = storage.identity()
    assert (len(identity.signing_seed), len(identity.store_id)) == (32, 16)
    assert storage.identity() == identity


def test_an_unknown_space_is_empty_and_takes_nothing(storage: Storage, space: SpaceBuilder) -> None:
    """Only founding makes a space; a batch for an unknown one stores nothing of the others either."""
    assert storage.heads(space.id) == {}
    assert storage.controls(space.id) == []
    assert storage.header(space.id, space.founder.log_id, 1) is None
    assert storage.read(space.id, [Span(space.founder.log_id, 0, 9)], bytes_max=10, envelopes_max=10) == []
    assert storage.usage(space.id) == Usage(0, 0)
    other = SpaceBuilder.found("own", randomness=SystemRandomness())
    found(storage, other)
    batch = Batch(other.id, [other.write(other.founder)])
    with pytest.raises(SpaceUnknown):
        storage.append([batch, Batch(space.id, space.envelopes)])
    assert storage.usage(other.id).entries == 1
    assert list(storage.spaces()) == [other.id]


def test_founding_twice_changes_nothing(storage: Storage, space: SpaceBuilder) -> None:
    """The second founding says that the space is there, and costs no invite."""
    storage.add_invite(b"i" * 32, spaces=1)
    found(storage, space)
    assert not storage.found(space.id, space.envelopes[0], invite=b"i" * 32)
    assert len(everything(storage, space)) == 1
    other = SpaceBuilder.found("own", randomness=SystemRandomness())
    assert storage.found(other.id, other.envelopes[0], invite=b"i" * 32)


def test_an_invite_admits_as_many_spaces_as_it_says(storage: Storage) -> None:
    """A spent or unknown invite admits nobody, and leaves nothing."""
    storage.add_invite(b"a" * 32, spaces=2)
    spaces = [SpaceBuilder.found("own", randomness=SystemRandomness()) for _ in range(3)]
    for space in spaces[:2]:
        assert storage.found(space.id, space.envelopes[0], invite=b"a" * 32)
    for invite in (b"a" * 32, b"b" * 32):
        with pytest.raises(InviteSpent):
            storage.found(spaces[2].id, spaces[2].envelopes[0], invite=invite)
    assert set(storage.spaces()) == {space.id for space in spaces[:2]}
    assert storage.heads(spaces[2].id) == {}


def test_a_space_is_gone_when_everybody_in_it_said_so(storage: Storage, space: SpaceBuilder) -> None:
    """One person alone, however often, changes nothing for the other; nobody else's space is touched."""
    other = SpaceBuilder.found("own", randomness=SystemRandomness())
    found(storage, space)
    found(storage, other)
    storage.append([Batch(space.id, space.envelopes)])
    for _ in range(2):
        assert not storage.forget(space.id, 0, of={0, 1}, day=7)
    assert everything(storage, space)
    assert not storage.was_forgotten(space.id)
    assert storage.forget(space.id, 1, of={0, 1}, day=7)
    while storage.sweep(envelopes_max=1, before_day=0, known_max=9):
        pass
    assert (storage.heads(space.id), storage.controls(space.id), storage.usage(space.id)) == ({}, [], Usage(0, 0))
    assert storage.was_forgotten(space.id)
    assert list(storage.spaces()) == [other.id]
    assert len(everything(storage, other)) == 1
    for late in (
        lambda: storage.forget(space.id, 0, of={0, 1}, day=7),
        lambda: storage.append([Batch(space.id, space.envelopes)]),
    ):
        with pytest.raises(SpaceUnknown):
            late()


def test_who_has_nobody_left_to_wait_for_is_not_kept_waiting(storage: Storage, space: SpaceBuilder) -> None:
    """What counts is who has a device now."""
    found(storage, space)
    assert not storage.forget(space.id, 0, of={0, 1}, day=7)
    assert storage.forget(space.id, 0, of={0}, day=7)


def test_a_wish_falls_when_its_person_is_there_again(storage: Storage, space: SpaceBuilder) -> None:
    """And only theirs."""
    found(storage, space)
    assert not storage.forget(space.id, 0, of={0, 1}, day=7)
    storage.stay(space.id, 1)
    assert storage.leaving(space.id) == {0}
    storage.stay(space.id, 0)
    assert storage.leaving(space.id) == set()
    assert not storage.forget(space.id, 1, of={0, 1}, day=7)
    assert storage.forget(space.id, 0, of={0, 1}, day=7)
    assert storage.leaving(space.id) == set()


@pytest.mark.parametrize("swept", [True, False])
def test_a_forgotten_space_may_begin_again(storage: Storage, space: SpaceBuilder, swept: bool) -> None:
    """Nothing of what it was is left over, whether or not it was deleted to the end, and a wish of that time doesn't count."""
    found(storage, space)
    storage.append([Batch(space.id, space.envelopes)])
    storage.forget(space.id, 0, of={0, 1}, day=7)
    storage.forget(space.id, 1, of={0, 1}, day=7)
    while swept and storage.sweep(envelopes_max=100, before_day=0, known_max=9):
        pass
    found(storage, space)
    assert not storage.was_forgotten(space.id)
    assert len(everything(storage, space)) == 1
    assert storage.append([Batch(space.id, space.envelopes)]) == [Appended(len(space.envelopes) - 1, 1, None, b"")]
    assert not storage.sweep(envelopes_max=100, before_day=10, known_max=0)
    assert len(everything(storage, space)) == len(space.envelopes)
    assert not storage.forget(space.id, 0, of={0, 1}, day=8)


def test_what_was_forgotten_is_known_for_so_long_and_of_so_many(storage: Storage) -> None:
    """The oldest go first."""
    spaces = [SpaceBuilder.found("own", randomness=SystemRandomness()) for _ in range(4)]
    for day, space in enumerate(spaces):
        found(storage, space)
        assert storage.forget(space.id, 0, of={0}, day=day)

    def known(**limits: int) -> list[bool]:
        while storage.sweep(envelopes_max=100, **limits):
            pass
        return [storage.was_forgotten(space.id) for space in spaces]

    assert known(before_day=0, known_max=9) == [True] * 4
    assert known(before_day=1, known_max=9) == [False, True, True, True]
    assert known(before_day=1, known_max=2) == [False, False, True, True]


def test_nothing_of_a_forgotten_space_is_left_in_the_files(tmp_path: Path, space: SpaceBuilder) -> None:
    """Beside the one row that says that it was here. The log of writes is emptied while the relay runs."""
    storage = SqliteStorage(tmp_path)
    for _ in range(30):
        space.write(space.founder)
    found(storage, space)
    storage.append([Batch(space.id, space.envelopes)])
    body = space.envelopes[-1].data[204:260]

    def on_disk() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert body in on_disk()
    for slot in (0, 1):
        storage.forget(space.id, slot, of={0, 1}, day=7)
    assert body in on_disk()
    while storage.sweep(envelopes_max=7, before_day=0, known_max=9):
        pass
    deadline = time.monotonic() + 10
    while body in on_disk() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert body not in on_disk()
    assert bytes(space.founder.log_id) not in on_disk()
    storage.close()
    with sqlite3.connect(tmp_path / "relay.db") as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        rows = {name: [row for row in db.execute(f"SELECT * FROM {name}") if space.id in row] for name in tables}
    assert {name: len(found) for name, found in rows.items() if found} == {"forgotten": 1}


def test_a_file_of_the_version_before_is_brought_up_to_date(tmp_path: Path, space: SpaceBuilder) -> None:
    """With everything in it, and what came new works at once."""
    storage = SqliteStorage(tmp_path)
    found(storage, space)
    storage.append([Batch(space.id, space.envelopes)])
    storage.close()
    with sqlite3.connect(tmp_path / "relay.db") as db:
        db.executescript("DROP TABLE moved_on; DROP TABLE forgotten; PRAGMA user_version = 2;")
    storage = SqliteStorage(tmp_path)
    assert len(everything(storage, space)) == len(space.envelopes)
    assert not storage.was_forgotten(space.id)
    assert not storage.forget(space.id, 0, of={0, 1}, day=7)
    assert storage.forget(space.id, 1, of={0, 1}, day=7)
    storage.close()


def test_what_is_appended_is_read_as_it_was(storage: Storage, space: SpaceBuilder) -> None:
    """Heads, usage, controls and bytes are those of the envelopes."""
    sam, robin = space.members
    for member in (sam, robin, sam):
        space.write(member)
    found(storage, space)
    assert storage.append([Batch(space.id, space.envelopes)]) == [Appended(4, 1, None, b"")]
    assert set(storage.heads(space.id).values()) == set(space.heads())
    assert set(storage.controls(space.id)) == {e.data for e in space.controls}
    assert {entry.data for entry in everything(storage, space)} == {e.data for e in space.envelopes}
    assert storage.usage(space.id) == Usage(5, sum(len(e.data) for e in space.envelopes))
    assert storage.totals() == (1, storage.usage(space.id))
    assert storage.header(space.id, robin.log_id, 1) == space.log(robin)[0].header
    assert storage.header(space.id, robin.log_id, 2) is None


def test_appending_again_is_known(storage: Storage, space: SpaceBuilder) -> None:
    """Whole, in part, or twice in one batch: nothing is stored twice and nothing counted twice."""
    sam = space.founder
    space.write(sam)
    found(storage, space)
    assert storage.append([Batch(space.id, space.envelopes[1:] * 2)]) == [Appended(2, 2, None, b"")]
    assert storage.append([Batch(space.id, space.envelopes)]) == [Appended(0, 3, None, b"")]
    assert storage.usage(space.id).entries == 3


def test_a_gap_stores_what_comes_before_it(storage: Storage, space: SpaceBuilder) -> None:
    """And nothing after it."""
    sam, robin = space.members
    first, _, third = (space.write(robin) for _ in range(3))
    last = space.write(sam)
    found(storage, space)
    batch = Batch(space.id, [space.envelopes[1], first, third, last])
    assert storage.append([batch]) == [Appended(2, 0, Conflict.GAP, b"")]
    assert {log: head.seq for log, head in storage.heads(space.id).items()} == {sam.log_id: 2, robin.log_id: 1}


def test_a_fork_is_refused_with_what_is_stored(storage: Storage, space: SpaceBuilder) -> None:
    """The same place with another hash, anywhere in the log or in the batch: nothing is replaced."""
    sam = space.founder
    found(storage, space)
    third_too = space.seal(sam, b"other")
    third = space.write(sam)
    after_too = space.seal(sam, b"other")
    fourth = space.write(sam)
    # In the same batch
    assert storage.append([Batch(space.id, [space.envelopes[1], third, third_too])]) == [
        Appended(2, 0, Conflict.FORK, third.header)
    ]
    storage.append([Batch(space.id, [fourth])])
    # Deep in the log, and at its head
    assert storage.append([Batch(space.id, [third_too])]) == [Appended(0, 0, Conflict.FORK, third.header)]
    assert storage.append([Batch(space.id, [after_too])]) == [Appended(0, 0, Conflict.FORK, fourth.header)]
    # Following on another past than the one that is stored
    true_head = sam.head
    sam.head = sam.head._replace(hash=after_too.hash)
    fifth_too = space.seal(sam, b"other")
    sam.head = true_head
    assert storage.append([Batch(space.id, [fifth_too])]) == [Appended(0, 0, Conflict.FORK, fourth.header)]
    assert {entry.data for entry in everything(storage, space)} == {e.data for e in space.envelopes}


def test_one_bad_batch_does_not_touch_the_others(storage: Storage, space: SpaceBuilder) -> None:
    """Batches of one append stand for themselves, and each sees those before it."""
    sam, robin = space.members
    other = SpaceBuilder.found("own", randomness=SystemRandomness())
    space.write(robin)
    skipped = [space.write(sam), space.write(sam)][1]
    found(storage, space)
    found(storage, other)
    results = storage.append(
        [
            Batch(space.id, [space.envelopes[1]]),
            Batch(space.id, [skipped]),
            Batch(other.id, [other.write(other.founder)]),
            Batch(space.id, space.log(robin)),
            Batch(space.id, []),
        ]
    )
    assert [(r.stored, r.conflict) for r in results] == [(1, None), (0, Conflict.GAP), (1, None), (1, None), (0, None)]


def test_reading_follows_the_spans_within_the_limits(storage: Storage, space: SpaceBuilder) -> None:
    """In their order, from after to upto; at least one envelope, however long it is."""
    sam, robin = space.members
    for member in (sam, robin) * 5:
        space.write(member)
    found(storage, space)
    storage.append([Batch(space.id, space.envelopes)])
    ours, theirs = space.log(sam), space.log(robin)
    asked = [Span(robin.log_id, 1, 3), Span(sam.log_id, 5, 99), Span(LogId(b"?" * 16), 0, 5)]
    wanted = [e.data for e in [*theirs[1:3], *ours[5:]]]

    def read(bytes_max: int, envelopes_max: int) -> list[bytes]:
        entries = storage.read(space.id, asked, bytes_max=bytes_max, envelopes_max=envelopes_max)
        assert all((e.log_id, e.seq) == (LogId(e.data[8:24]), int.from_bytes(e.data[24:32], "big")) for e in entries)
        return [entry.data for entry in entries]

    assert read(10**9, 100) == wanted
    assert read(10**9, 3) == wanted[:3]
    assert read(1, 100) == wanted[:1]
    size = len(wanted[0]) + len(wanted[1])
    assert read(size, 100) == wanted[:2]
    assert read(size - 1, 100) == wanted[:1]
    assert storage.read(space.id, [], bytes_max=100, envelopes_max=100) == []


def test_spaces_are_apart(storage: Storage, space: SpaceBuilder) -> None:
    """The same log id in two spaces is two logs."""
    other = SpaceBuilder.found("own", randomness=SystemRandomness())
    found(storage, space)
    found(storage, other)
    storage.append([Batch(space.id, space.envelopes)])
    assert set(storage.heads(other.id)) == {other.founder.log_id}
    assert storage.header(other.id, space.founder.log_id, 1) is None
    assert storage.usage(other.id).entries == 1


def test_readers_see_only_whole_appends(storage: Storage, space: SpaceBuilder) -> None:
    """While one thread appends, another reads heads and finds everything beneath them."""
    sam = space.founder
    for _ in range(300):
        space.write(sam)
    found(storage, space)
    stop = threading.Event()
    failures: list[str] = []

    def read() -> None:
        while not stop.is_set():
            head = storage.heads(space.id)[sam.log_id].seq
            count = len(storage.read(space.id, [Span(sam.log_id, 0, head)], bytes_max=10**9, envelopes_max=10**6))
            if count != head:
                failures.append(f"{count} of {head}")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for start in range(1, len(space.envelopes), 7):
        storage.append([Batch(space.id, space.envelopes[start : start + 7])])
    stop.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert storage.usage(space.id).entries == 302


# SQLite's own


def test_sqlite_keeps_everything_over_a_restart(tmp_path: Path, space: SpaceBuilder) -> None:
    """Identity, spaces, envelopes and invites are there again."""
    first = SqliteStorage(tmp_path)
    identity = first.identity()
    found(first, space)
    first.append([Batch(space.id, space.envelopes)])
    first.add_invite(b"i" * 32, spaces=1)
    heads = first.heads(space.id)
    first.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["relay.db"]
    second = SqliteStorage(tmp_path)
    assert second.identity() == identity
    assert second.heads(space.id) == heads
    assert {entry.data for entry in everything(second, space)} == {e.data for e in space.envelopes}
    other = SpaceBuilder.found("own", randomness=SystemRandomness())
    assert second.found(other.id, other.envelopes[0], invite=b"i" * 32)
    second.close()


def test_sqlite_syncs_every_commit(tmp_path: Path) -> None:
    """The settings that durability rests on are on."""
    storage = SqliteStorage(tmp_path)
    pragmas = {name: storage._writer.execute(f"PRAGMA {name}").get for name in ("journal_mode", "synchronous", "foreign_keys")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    storage.close()


def test_sqlite_files_are_private(tmp_path: Path, space: SpaceBuilder) -> None:
    """0700 and 0600, the write-ahead log included, whatever the umask."""
    old = os.umask(0)
    try:
        storage = SqliteStorage(tmp_path / "new")
        found(storage, space)
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
        assert modes == {"relay.db": 0o600, "relay.db-wal": 0o600, "relay.db-shm": 0o600}
        storage.close()
    finally:
        os.umask(old)


def test_sqlite_of_a_newer_relay_is_refused_untouched(tmp_path: Path) -> None:
    """Not a byte changes."""
    SqliteStorage(tmp_path).close()
    path = tmp_path / "relay.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(NewerFormat):
        SqliteStorage(tmp_path)
    assert path.read_bytes() == before


def test_sqlite_that_is_damaged_or_missing_is_said_so(tmp_path: Path, space: SpaceBuilder) -> None:
    """Garbage, a damaged page, and a folder without a relay."""
    with pytest.raises(StorageError, match="no relay database"):
        SqliteStorage(tmp_path / "nowhere", create=False)
    (tmp_path / "garbage").mkdir()
    (tmp_path / "garbage" / "relay.db").write_bytes(os.urandom(8192))
    with pytest.raises(StorageDamaged):
        SqliteStorage(tmp_path / "garbage")
    storage = SqliteStorage(tmp_path / "worn")
    found(storage, space)
    for _ in range(50):
        space.write(space.founder)
    storage.append([Batch(space.id, space.envelopes)])
    storage.quick_check()
    storage.close()
    path = tmp_path / "worn" / "relay.db"
    worn = bytearray(path.read_bytes())
    for page in range(4, len(worn) // 4096):
        worn[page * 4096 : page * 4096 + 64] = os.urandom(64)
    path.write_bytes(worn)
    storage = SqliteStorage(tmp_path / "worn")
    with pytest.raises(StorageDamaged):
        storage.quick_check()
    storage.close()


def test_sqlite_checkpoints_keep_the_log_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under steady writing the write-ahead log begins anew again and again."""
    monkeypatch.setattr("bide_relay.storage.sqlite_checkpoints.CHECKPOINT_PAGES", 20)
    monkeypatch.setattr("bide_relay.storage.sqlite_checkpoints.CHECKPOINT_PAGES_URGENT", 100)
    storage = SqliteStorage(tmp_path)
    space = SpaceBuilder.found("own", randomness=SystemRandomness())
    found(storage, space)
    for _ in range(400):
        storage.append([Batch(space.id, [space.write(space.founder)])])
    assert (tmp_path / "relay.db-wal").stat().st_size < 300 * 4096
    assert len(everything(storage, space)) == 401
    storage.close()


def test_sqlite_schema_has_a_comment_for_every_column() -> None:
    """The schema is the documentation of the file, and every table about spaces leads with space_id."""
    folder = Path(__file__).parents[2] / "sync_server" / "bide_relay" / "storage" / "schema"
    for path in folder.glob("*.sql"):
        lines = path.read_text(encoding="utf-8").splitlines()
        tables = [index for index, line in enumerate(lines) if line.startswith("CREATE TABLE")]
        assert tables or path.name[:4] != "0001"
        added = [line for line in lines if line.startswith("ALTER TABLE")]
        assert all("--" in line for line in added)
        for index in tables:
            columns = lines[index + 1 : next(i for i in range(index, len(lines)) if lines[i].startswith(")"))]
            for line in columns:
                assert "--" in line or line.strip().startswith("PRIMARY KEY"), line
            if not any(name in lines[index] for name in ("relay", "invites")):
                assert columns[0].split()[0] == "space_id"


def test_a_relay_waits_for_who_holds_its_file_and_an_admin_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A big purge or a slow checkpoint takes longer than SQLite's patience; nothing was promised yet, so nothing has failed."""
    monkeypatch.setattr("bide_relay.storage.sqlite.BUSY_TIMEOUT_MS", 20)
    caplog.set_level("INFO")
    serving = SqliteStorage(tmp_path)
    admin = SqliteStorage(tmp_path, create=False)
    other = apsw.Connection(str(tmp_path / "relay.db"))  # the same library: locks of two don't count within one process
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageBusy, match="Another process"):
        admin.add_invite(b"a" * 32, spaces=1)
    waiting = threading.Thread(target=serving.add_invite, args=(b"b" * 32,), kwargs={"spaces": 1})
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    other.execute("COMMIT")
    waiting.join(10)
    assert [record.message.partition(";")[0] for record in caplog.records] == [
        "the database is in use elsewhere",
        "the database is free again",
    ]
    assert other.execute("SELECT digest FROM invites").fetchall() == [(b"b" * 32,)]
    other.close()
    admin.close()
    serving.close()


def test_less_than_a_page_is_a_damaged_database_and_no_new_one(tmp_path: Path) -> None:
    """SQLite would make a new relay of it, without a word."""
    (tmp_path / "relay.db").write_bytes(b"x")
    for create in (True, False):
        with pytest.raises(StorageDamaged):
            SqliteStorage(tmp_path, create=create)
    assert (tmp_path / "relay.db").read_bytes() == b"x"
