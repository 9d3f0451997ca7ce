"""Damage to real files: doctor names it, ``--repair`` keeps a copy and mends it, and a sync brings back what was missing.

Replay: ``SEED=… DAMAGES=… .venv/bin/pytest tests/system/test_damage.py``; the seed is printed with every failure.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from homes import Home
from seeds import SEED

from bide.errors import BideError, StorageDamaged
from bide.replica import Replica
from bide.replica.examining.mending import KeysLost, Mended, laid_by, mend
from bide.storage.opening import PAGE_BYTES
from bide.storage.salvage import salvage
from bide.storage.sqlite import SqliteStorage
from bide.testing import FakeClock
from bide.testing_replicas import RELAY_URL, MemoryRelay, new_replica, pair_up, sync
from bide_relay.testing import RelayProcess

KEY = b"d" * 32
DAMAGES = int(os.environ.get("DAMAGES", "16"))
"""For the campaign inside one process; make soak raises it."""
Damage = Callable[[Path, random.Random], None]


def flip(path: Path, chance: random.Random) -> None:
    """One wrong bit anywhere."""
    with path.open("r+b") as file:
        at = chance.randrange(path.stat().st_size)
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1 << chance.randrange(8)]))


def zero_page(path: Path, chance: random.Random) -> None:
    """A page of zeros, as a disk gives back that lost one."""
    with path.open("r+b") as file:
        file.seek(PAGE_BYTES * chance.randrange(path.stat().st_size // PAGE_BYTES))
        file.write(bytes(PAGE_BYTES))


def truncate(path: Path, chance: random.Random) -> None:
    """The end is missing; most is left."""
    os.truncate(path, chance.randrange(path.stat().st_size * 3 // 4, path.stat().st_size))


def scatter(path: Path, chance: random.Random) -> None:
    """Several pages are gone."""
    for _ in range(4):
        zero_page(path, chance)


BROKEN: dict[str, Damage] = {"flip": flip, "zero": zero_page, "truncate": truncate, "scatter": scatter}


@pytest.fixture(autouse=True)
def _print_seed() -> None:
    print(f"SEED={SEED} DAMAGES={DAMAGES}")


def sync_all(replica: Replica, relay: MemoryRelay) -> None:
    for space in replica.spaces():
        sync(replica, relay, space=space.space_id)


class Couple:
    """Sam in a file and Robin, everything on a relay: as it is copied and damaged."""

    def __init__(self, folder: Path, *, entries: int = 40) -> None:
        self.path = folder / "sam.db"
        self.relay = MemoryRelay()
        sam = new_replica("Sam", SqliteStorage(self.path, KEY, create=True))
        self.robin = new_replica("Robin", clock=FakeClock(1_767_225_600_500, tick_ms=700))
        pair_up(sam, self.robin)
        for replica in (sam, self.robin):
            replica.set_relay(RELAY_URL)
        for number in range(entries):
            sam.write("checkin", {"hard": f"rain {number}"}, private=number % 3 == 0)
            if number % 4 == 0:
                self.robin.write("appreciation", {"noticed": f"tea {number}"})
        for replica in (sam, self.robin, sam):
            sync_all(replica, self.relay)
        self.digests = sam.digest()
        self.spaces = len(sam.spaces())
        sam.storage.close()

    def mended(self, damaged: Path, folder: Path) -> Replica | None:
        """What is made of a damaged copy, by the best way in which it can be read; None: its keys are gone."""
        work = folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        for found in salvage(damaged, KEY, scratch=work):
            new = work / "new.db"
            new.unlink(missing_ok=True)
            storage = SqliteStorage(new, KEY, create=True)
            try:
                mend(found, storage)
            except KeysLost:
                storage.close()
                continue
            return Replica(storage)
        return None


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Couple:
    return Couple(tmp_path_factory.mktemp("whole"))


def test_whatever_single_page_is_lost_the_keys_are_saved_and_a_sync_brings_back_the_rest(whole: Couple, tmp_path: Path) -> None:
    """Every page of the file in turn, the first and those of the schema too: found, mended, and the same as before."""
    pages = whole.path.stat().st_size // PAGE_BYTES
    data = whole.path.read_bytes()
    assert pages > 50
    for page in range(pages):
        damaged = tmp_path / "damaged.db"
        damaged.write_bytes(data[: page * PAGE_BYTES] + bytes(PAGE_BYTES) + data[(page + 1) * PAGE_BYTES :])
        assert not is_sound(damaged)
        replica = whole.mended(damaged, tmp_path)
        assert replica is not None, f"the keys were lost with page {page + 1}"
        assert not [finding for finding in replica.doctor() if finding.mendable]
        sync_all(replica, whole.relay)
        assert replica.digest() == whole.digests, f"page {page + 1}"
        assert all(finding.level == "ok" for finding in replica.doctor()), page
        replica.storage.close()


@pytest.mark.parametrize("kind", BROKEN)
def test_any_damage_is_survived(whole: Couple, tmp_path: Path, kind: str) -> None:
    """Flipped bits, pages of zeros, a cut end: it is mended and a sync brings back all, or it is said that it can't be."""
    mended = 0
    for number in range(max(2, DAMAGES // len(BROKEN))):
        damaged = tmp_path / "damaged.db"
        shutil.copyfile(whole.path, damaged)
        BROKEN[kind](damaged, random.Random(f"{SEED} {kind} {number}"))
        replica = whole.mended(damaged, tmp_path)
        if replica is None:
            continue
        mended += 1
        if len(replica.spaces()) == whole.spaces:
            sync_all(replica, whole.relay)
            assert replica.digest() == whole.digests, number
        replica.storage.close()
    assert mended


def test_without_the_second_copy_of_the_keys_a_single_page_can_take_them(whole: Couple, tmp_path: Path) -> None:
    """The control: with the copy taken out, the campaign of pages finds the one with which everything is lost."""
    without = tmp_path / "without.db"
    shutil.copyfile(whole.path, without)
    with_sql(without, KEY, "DELETE FROM space_copy")
    data = without.read_bytes()
    lost = 0
    for page in range(30):
        damaged = tmp_path / "damaged.db"
        damaged.write_bytes(data[: page * PAGE_BYTES] + bytes(PAGE_BYTES) + data[(page + 1) * PAGE_BYTES :])
        replica = whole.mended(damaged, tmp_path)
        lost += replica is None
        if replica is not None:
            replica.storage.close()
    assert lost == 1


def test_what_one_repair_laid_by_another_carries_over(tmp_path: Path) -> None:
    """Whatever page is lost next: all of it, or all but a few and it is said that some may be gone."""
    first, damaged, work = tmp_path / "first.db", tmp_path / "damaged.db", tmp_path / "work"
    sam = new_replica("Sam", SqliteStorage(tmp_path / "sam.db", KEY, create=True))
    for number in range(150):
        sam.write("checkin", {"hard": f"rain {number}"}, private=True)
    sam.storage.close()
    with_sql(tmp_path / "sam.db", KEY, "DELETE FROM envelope WHERE seq = 40")
    laid = mended_into(first, tmp_path / "sam.db", work).laid_by
    assert laid > 100
    data = first.read_bytes()
    carried = []
    pages = len(data) // PAGE_BYTES
    for page in range(0, pages, 6):
        damaged.write_bytes(data[: page * PAGE_BYTES] + bytes(PAGE_BYTES) + data[(page + 1) * PAGE_BYTES :])
        mended = mended_into(tmp_path / "second.db", damaged, work)
        assert mended.laid_by >= laid or mended.laid_torn, page
        carried.append(mended.laid_by)
    assert sum(count >= laid for count in carried) > len(carried) // 2
    assert min(carried) > laid // 4


def mended_into(new: Path, damaged: Path, work: Path) -> Mended:
    """What is said of mending a damaged database into a new one."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    copy = work / "copy.db"
    shutil.copyfile(damaged, copy)
    for found in salvage(copy, KEY, scratch=work):
        new.unlink(missing_ok=True)
        storage = SqliteStorage(new, KEY, create=True)
        try:
            mended = mend(found, storage)
            waiting = sum(len(laid_by(storage, space.space_id)) for space in storage.spaces())
            assert waiting == mended.laid_by
            storage.make_single_file()
        except KeysLost:
            continue
        finally:
            storage.close()
        return mended
    raise AssertionError("the keys are gone")


def is_sound(path: Path) -> bool:
    """Whether it opens, and finds nothing wrong with itself."""
    try:
        opened = SqliteStorage(path, KEY)
    except BideError:
        return False
    try:
        return not opened.check()
    finally:
        opened.close()


def with_sql(path: Path, key: bytes, *statements: str) -> None:
    """Change a database behind Bide's back."""
    database = apsw.Connection(str(path))
    database.execute("PRAGMA cipher = 'chacha20'")
    database.execute(f"PRAGMA key = 'raw:{key.hex()}'")
    database.execute("PRAGMA foreign_keys = OFF")
    for statement in statements:
        database.execute(statement)
    database.close()


ROWS = {
    "an envelope in the middle is gone": "DELETE FROM envelope WHERE seq = 3",
    "the beginnings are gone": "DELETE FROM envelope WHERE seq = 1",
    "a log is gone": "DELETE FROM envelope WHERE log_id = (SELECT log_id FROM space WHERE kind = 'pair')",
    "an envelope is altered": "UPDATE envelope SET data = CAST(substr(data, 1, 210) || x'00' AS BLOB) WHERE seq = 4",
    "an envelope is under a wrong hash": "UPDATE envelope SET hash = zeroblob(32) WHERE seq = 2",
    "a head is wrong": "UPDATE log_head SET seq = seq - 1",
    "the heads are gone": "DELETE FROM log_head",
    "the epochs are gone": "DELETE FROM epoch",
    "the devices are gone": "DELETE FROM member",
    "events are gone": "DELETE FROM event WHERE seq % 2 = 0",
    "an event makes no sense": "UPDATE event SET standing = 'sideways', frontier = x'01'",
    "an entry is gone": "DELETE FROM entry WHERE number = (SELECT max(number) FROM entry)",
    "an entry is altered": "UPDATE entry SET body = replace(body, 'rain', 'snow')",
    "an entry makes no sense": "UPDATE entry SET body = '{'",
    "the index of words is gone": "INSERT INTO search (search) VALUES ('delete-all')",
    "the citations are gone": "DELETE FROM citation",
    "the settings are gone": "DELETE FROM meta",
    "the key of the mark is gone": "DELETE FROM applying_key",
    "something strange is set aside": "INSERT INTO quarantine SELECT space_id, log_id, 2, '?' FROM space",
    "a space is gone": "DROP TRIGGER space_removed; DELETE FROM space WHERE kind = 'pair'",
    "every space is gone": "DROP TRIGGER space_removed; DELETE FROM space",
}


@pytest.fixture(scope="module")
def damaged_home(tmp_path_factory: pytest.TempPathFactory, whole: Couple) -> Home:
    """A home of which the database is put in place for each test."""
    home = Home(tmp_path_factory.mktemp("home") / "sam", "Sam")
    home.folder.with_suffix(".key").write_bytes(KEY)
    return home


@pytest.mark.parametrize("what", ROWS)
def test_doctor_names_what_does_not_fit_together_and_mends_it(
    damaged_home: Home, whole: Couple, what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never a traceback; the damaged database is kept; afterwards all is well and a sync brings back what was missing."""
    from bide_cli.cli import run
    from bide_cli.unlocking import opening

    database = damaged_home.folder / "bide.db"
    shutil.copyfile(whole.path, database)
    with_sql(database, KEY, ROWS[what])
    before = database.read_bytes()
    for name, value in damaged_home.environment.items():
        monkeypatch.setenv(name, value)

    def doctor(*args: str) -> tuple[int, dict[str, object]]:
        code = run(["doctor", "--json", *args])
        opening.forget_key(damaged_home.folder)
        out, err = capsys.readouterr()
        assert out, err
        return code, json.loads(out)

    code, told = doctor()
    assert (code, told["sound"]) == (1, False), told
    assert database.read_bytes() == before
    code, told = doctor("--repair")
    assert (code, told["sound"], told["repaired"]) == (0, True, True), told
    kept = Path(str(told["kept"]))
    assert (kept / "bide.db").read_bytes() == before
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept.iterdir())
    replica = Replica(SqliteStorage(database, KEY))
    sync_all(replica, whole.relay)
    assert replica.digest() == whole.digests
    assert replica.name == "Sam"
    replica.storage.close()
    shutil.rmtree(kept)


@pytest.mark.parametrize("place", [1, 2, 5, 9])
def test_a_sync_where_log_entries_are_missing_says_that_the_home_is_damaged(whole: Couple, tmp_path: Path, place: int) -> None:
    """The relay has them and sends them again, and the log is here further than they are: doctor is what helps."""
    path = tmp_path / "bide.db"
    shutil.copyfile(whole.path, path)
    pair = "(SELECT log_id FROM space WHERE kind = 'pair')"
    with_sql(path, KEY, f"DELETE FROM envelope WHERE log_id = {pair} AND seq >= {place}")
    replica = Replica(SqliteStorage(path, KEY))
    with pytest.raises(StorageDamaged) as told:
        sync_all(replica, copy.deepcopy(whole.relay))
    assert "bide doctor --repair" in told.value.hint
    replica.storage.close()


def test_a_damaged_home_is_mended_by_two_commands(couple: tuple[Home, Home], relay: RelayProcess) -> None:
    """The whole way as a person goes it: a wrong bit, doctor, repair, no writing before the sync, and all is back."""
    sam, robin = couple
    for number in range(12):
        sam.write(f"tea {number}")
    sam.run("sync")
    robin.run("sync")
    unsent = sam.write("only here")
    ids, digest = sam.ids(), robin.pair_digest()
    assert unsent in ids
    key = sam.folder.with_suffix(".key").read_bytes()
    database = sam.folder / "bide.db"
    with_sql(database, key, "UPDATE envelope SET data = zeroblob(300) WHERE seq = 5")
    code, out, err = sam.call("doctor")
    assert code == 1
    assert "DAMAGE" in out
    assert "bide doctor --repair" in err
    code, out, err = sam.call("doctor", "--repair")
    assert code == 0, err
    assert "damaged-" in err
    assert "bide sync" in err
    code, _, err = sam.call("thank", "--noticed", "too early")
    assert code == 8
    assert "bide sync" in err
    sam.run("sync")
    assert sam.ids() == ids
    assert sam.write("now") in sam.ids()
    sam.run("sync")
    robin.run("sync")
    assert unsent in robin.ids()
    assert sam.pair_digest() == robin.pair_digest() != digest
    sam.assert_sound()
    assert "nothing to mend" in sam.call("doctor", "--repair")[2]


def test_a_sound_home_is_left_alone(couple: tuple[Home, Home]) -> None:
    """Not a byte changes, and nothing is kept."""
    sam, _ = couple
    before = (sam.folder / "bide.db").read_bytes()
    code, _, err = sam.call("doctor", "--repair")
    assert code == 0
    assert "nothing was changed" in err
    assert (sam.folder / "bide.db").read_bytes() == before
    assert not list(sam.folder.glob("damaged-*"))


def test_a_home_in_use_is_not_mended(couple: tuple[Home, Home]) -> None:
    """While any process has the database open, repair says so and touches nothing."""
    sam, _ = couple
    database, key = sam.folder / "bide.db", sam.folder.with_suffix(".key")
    with_sql(database, key.read_bytes(), "DELETE FROM member")
    code = (
        "import sys, time; from pathlib import Path; from bide.storage.sqlite import SqliteStorage\n"
        "s = SqliteStorage(Path(sys.argv[1]), Path(sys.argv[2]).read_bytes()); s.spaces(); print('open', flush=True)\n"
        "time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(database), str(key)], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        status, _, err = sam.call("doctor", "--repair")
        assert status == 1
        assert "Another Bide has this home open" in err
        assert not list(sam.folder.glob("damaged-*"))
    finally:
        holder.kill()
        holder.communicate()
    assert sam.call("doctor", "--repair")[0] == 0


def test_a_repair_that_is_killed_leaves_the_old_or_the_new(couple: tuple[Home, Home]) -> None:
    """Killed at any moment, twice or more: the next repair makes it whole, and the damaged database is kept."""
    sam, robin = couple
    for number in range(5):
        sam.write(f"tea {number}")
    sam.run("sync")
    robin.run("sync")
    digest = robin.pair_digest()
    database = sam.folder / "bide.db"
    chance = random.Random(SEED)
    before = database.read_bytes()
    key = sam.folder.with_suffix(".key").read_bytes()
    begun = time.monotonic()
    killed = 0
    for _ in range(max(4, DAMAGES // 15)):
        database.write_bytes(before)
        with_sql(database, key, "DELETE FROM envelope WHERE seq = 2")
        process = sam.start("doctor", "--repair")
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(0.3, 1.4) * (time.monotonic() - begun if killed == 0 else 1.0))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.communicate()
        code, out, err = sam.call("doctor", "--repair")
        assert code == 0, (out, err)
        assert not (sam.folder / "mending").exists()
        assert not list(sam.folder.glob("*.part"))
        sam.run("sync")
        assert sam.pair_digest() == digest
    assert killed, "no repair was hit while it ran"


def test_a_repair_that_stopped_while_it_put_the_new_one_in_place_is_finished(couple: tuple[Home, Home]) -> None:
    """In between nothing opens the database, and the next repair goes on from the new one that is ready."""
    sam, _ = couple
    database = sam.folder / "bide.db"
    ids = sam.ids()
    ready = sam.folder / "mending" / "ready.db"
    ready.parent.mkdir(0o700)
    shutil.copyfile(database, ready)
    with database.open("r+b") as file:
        file.write(bytes(PAGE_BYTES))
        file.truncate(3 * PAGE_BYTES)
    code, _, err = sam.call("timeline")
    assert code == 1
    assert "bide doctor --repair" in err
    code, _, err = sam.call("doctor", "--repair")
    assert code == 0, err
    assert sam.ids() == ids
    assert not ready.parent.exists()


def test_where_the_keys_are_gone_it_is_said_and_nothing_is_touched(couple: tuple[Home, Home]) -> None:
    """Both copies of the keys lost: what is left is named, and every byte stays."""
    sam, _ = couple
    database = sam.folder / "bide.db"
    with_sql(database, sam.folder.with_suffix(".key").read_bytes(), "DELETE FROM space", "DELETE FROM space_copy")
    before = database.read_bytes()
    code, _, err = sam.call("doctor", "--repair")
    assert code == 1
    assert "keys of this home can't be read any more" in err
    assert "another device of yours" in err
    assert database.read_bytes() == before
    assert not list(sam.folder.glob("damaged-*"))


def test_the_wrong_key_is_told_from_damage(couple: tuple[Home, Home]) -> None:
    """A key that opens nothing is a wrong key; one that opens everything but the first page is the right one."""
    sam, _ = couple
    key = sam.folder.with_suffix(".key")
    right = key.read_bytes()
    key.write_bytes(bytes(32))
    assert sam.call("doctor")[0] == 7
    key.write_bytes(right)
    with (sam.folder / "bide.db").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 50)
    code, out, _ = sam.call("doctor")
    assert code == 1
    assert "The beginning of the database file" in out
    assert sam.call("doctor", "--repair")[0] == 0


RELAY_ROWS = {
    "an entry is gone": "DELETE FROM envelopes WHERE seq = 2",
    "an entry is altered": "UPDATE envelopes SET data = zeroblob(300) WHERE seq = 3",
    "a beginning is gone": "DELETE FROM envelopes WHERE seq = 1 AND class = 1",
    "a head is wrong": "UPDATE logs SET hash = zeroblob(32)",
    "a class is wrong": "UPDATE envelopes SET class = 0 WHERE class = 1",
}


def test_a_damaged_space_of_a_relay_is_named_and_the_devices_bring_it_back(
    couple: tuple[Home, Home], relay: RelayProcess
) -> None:
    """Check names each space that is damaged; with those gone, a sync fills the relay again, and it is whole."""
    sam, robin = couple
    for number in range(4):
        sam.write(f"tea {number}")
    for home in (sam, robin):
        home.run("sync")
    for what, statement in RELAY_ROWS.items():
        relay.stop()
        database = apsw.Connection(str(relay.data / "relay.db"))
        database.execute(statement)
        database.close()
        code, out, err = relay_command("check", "--data", str(relay.data))
        assert code == 1, what
        assert "is damaged: " in out
        assert "bide-relay purge --damaged" in err
        assert "Traceback" not in err
        assert relay_command("purge", "--damaged", "--yes", "--data", str(relay.data))[0] == 0
        relay.start()
        for home in (sam, robin):
            home.run("sync")
        code, out, _ = relay_command("check", "--data", str(relay.data))
        assert code == 0, (what, out)
        assert "All is well" in out
    assert sam.pair_digest() == robin.pair_digest()


def test_a_relay_file_that_is_broken_anywhere_is_named(couple: tuple[Home, Home], relay: RelayProcess) -> None:
    """Pages of zeros, a cut end, flipped bits in its pages' headers: check says so, or it is whole; never a traceback."""
    sam, _ = couple
    for number in range(4):
        sam.write(f"tea {number}")
    sam.run("sync")
    relay.stop()
    path = relay.data / "relay.db"
    whole = path.read_bytes()
    named = 0
    for number in range(8):
        path.write_bytes(whole)
        (zero_page, truncate, scatter, flip)[number % 4](path, random.Random(f"{SEED} relay {number}"))
        code, _, err = relay_command("check", "--data", str(relay.data))
        assert "Traceback" not in err
        assert code in (0, 1)
        named += code
    assert named >= 4
    os.truncate(path, 0)
    code, out, err = relay_command("check", "--data", str(relay.data))
    assert (code, out) == (1, "")
    assert err.startswith("bide-relay: The relay's database file is empty. Stop it, keep its files")
    path.unlink()
    relay.start()
    sam.run("sync")
    assert sam.pending() == 0


def relay_command(*args: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr of ``bide-relay``."""
    done = subprocess.run(
        [sys.executable, "-m", "bide_relay.main", *args], capture_output=True, text=True, check=False, timeout=60
    )
    return done.returncode, done.stdout, done.stderr
