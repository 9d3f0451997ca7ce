"""``kill -9`` while keys, devices and formats change, at random moments of real processes: there is a way in and a way on.

The keyring of the system is another process, and it outlives the one that is killed; here a file stands in for it, so that
keys can be changed in it a thousand times without a desktop.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from homes import KILLS, kill_after

from bide.storage.opening import FORMAT
from crash.forking import Forge, Forked, QuickHome, QuickRelay
from crash.test_killed_pairings import Devices, Dying
from crash.test_kills import Killing, duration_of
from crash.test_power_homes import IMPORTED, key_of, write_journal

CHANGES = max(KILLS // 15, 4)
"""Kills of each kind."""


@pytest.fixture
def home(ram: Path, forge: Forge) -> QuickHome:
    """Sam's home, with something in it; its key is in a folder beside it."""
    sam = QuickHome.__new__(QuickHome)
    sam.folder, sam.name, sam.forge = ram / "sam" / "home", "Sam", forge
    sam.run("init", "--name", "Sam", "--key-file", str(key_of(sam)), "--no-input")
    for number in range(3):
        sam.write_privately(f"number {number}")
    return sam


@pytest.fixture
def with_keyring(ram: Path) -> Iterator[Forge]:
    """Starts processes whose keyring is a file."""
    forge = Forge(f"keyring:{ram / 'keyring.json'}")
    yield forge
    forge.close()


def kill_again_and_again(
    name: str,
    run: Callable[[], Forked],
    check: Callable[[], None],
    takes_s: float,
    *,
    prepare: Callable[[], object] = lambda: None,
) -> None:
    """Kill a command at random moments, and check after each."""
    with Killing(name, CHANGES) as killing:
        for _ in range(CHANGES):
            prepare()
            running, _ = kill_after(run(), killing.moment(takes_s))
            killing.hit += running
            check()


def test_a_killed_rotation_leaves_a_way_in(home: QuickHome) -> None:
    """The home opens as its config says, and the next rotation leaves nothing behind."""
    before = home.ids()

    def check() -> None:
        assert before == home.ids()

    takes_s = duration_of(lambda: home.run("key", "rotate"))
    kill_again_and_again("key rotate", lambda: home.start("key", "rotate"), check, takes_s)
    home.run("key", "rotate")
    assert [path.name for path in key_of(home).parent.iterdir()] == ["key"]
    home.assert_sound()


def test_a_killed_change_to_and_from_the_keyring_leaves_a_way_in(home: QuickHome, with_keyring: Forge, ram: Path) -> None:
    """Between key file and keyring, and rotated in it; once it is done, the keyring holds one key or none."""
    sam = QuickHome.of(home, with_keyring)
    before = sam.ids()
    places = iter(range(10**6))

    def turn() -> Forked:
        number = next(places)
        ways = (("change", "--keyring"), ("rotate",), ("change", "--key-file", str(ram / "sam" / f"key-{number}")))
        process: Forked = sam.start("key", *ways[number % 3], "--no-input")
        return process

    def check() -> None:
        assert before == sam.ids()

    takes_s = duration_of(lambda: sam.run("key", "change", "--keyring", "--no-input"))
    kill_again_and_again("key in the keyring", turn, check, takes_s)
    sam.run("key", "change", "--keyring", "--no-input")
    sam.run("key", "rotate", "--no-input")
    assert len(json.loads((ram / "keyring.json").read_text())) == 1, "a key was left in the keyring"
    sam.assert_sound()


def test_a_killed_import_is_finished_by_the_next(home: QuickHome) -> None:
    """Nothing comes twice, and nothing is missing."""
    write_journal(home)
    before = home.ids()
    first = home.folder.with_name("first")
    shutil.copytree(home.folder, first)
    command = ("import", "jrnl", str(home.folder.parent / "journal.txt"))

    def prepare() -> None:
        shutil.rmtree(home.folder)
        shutil.copytree(first, home.folder)

    def check() -> None:
        assert before <= home.ids()
        home.run(*command)
        assert len(home.ids()) == len(before) + IMPORTED

    takes_s = duration_of(lambda: home.run(*command))
    kill_again_and_again("import", lambda: home.start(*command), check, takes_s, prepare=prepare)
    home.assert_sound()


def test_a_killed_rebuild_changes_nothing(home: QuickHome) -> None:
    """What is shown is what was shown."""
    before, digest = home.ids(), home.json("digest")["spaces"]

    def check() -> None:
        assert home.ids() == before
        assert home.json("digest")["spaces"] == digest

    takes_s = duration_of(lambda: home.run("rebuild"))
    kill_again_and_again("rebuild", lambda: home.start("rebuild"), check, takes_s)
    home.assert_sound()


def test_a_killed_migration_is_done_by_the_next(home: QuickHome) -> None:
    """A database of the first format, opened by a command that is killed, is of the first format or of today's."""
    key = key_of(home).read_bytes()
    first = home.folder.with_name("first.db")
    make_first_format(first, key)
    database = home.folder / "bide.db"

    def prepare() -> None:
        for path in home.folder.glob("bide.db*"):
            path.unlink()
        shutil.copy(first, database)

    def check() -> None:
        assert home.call("digest", "--json")[0] in (0, 1)  # there is nothing in it yet but a name
        connection = apsw.Connection(str(database))
        connection.execute("PRAGMA cipher = 'chacha20'")
        connection.execute(f"PRAGMA key = 'raw:{key.hex()}'")
        assert connection.pragma("user_version") == FORMAT
        assert connection.execute("SELECT value FROM meta WHERE key = 'name'").get == "Sam"
        connection.close()

    takes_s = duration_of(lambda: home.call("digest"))
    kill_again_and_again("migration", lambda: home.start("digest"), check, takes_s, prepare=prepare)


def make_first_format(path: Path, key: bytes) -> None:
    """A database as the first format had it."""
    from bide.storage.opening import schema_text

    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA cipher = 'chacha20'")
    connection.execute(f"PRAGMA key = 'raw:{key.hex()}'")
    connection.execute("PRAGMA journal_mode = WAL")
    for statement in (schema_text(1), "PRAGMA user_version = 1", "INSERT INTO meta VALUES ('name', 'Sam')"):
        connection.execute(statement)
    connection.close()


def test_a_removal_that_is_killed_anywhere_stands_or_can_be_said_again(ram: Path, forge: Forge, relay: QuickRelay) -> None:
    """At each step of it; once it was told it stands for everybody."""
    devices = Devices(ram, forge, relay, 0)
    sam = devices.sam
    with Killing("device revoke", min(CHANGES, 16)) as killing:
        steps = killing.chance.sample(range(1, 30), killing.tries)
        for number, step in enumerate(steps):
            devices.add(number, Dying(0, 0))
            process = sam.dying(step).start("device", "revoke", f"phone {number}", "--yes")
            killing.hit += process.wait() == -signal.SIGKILL
            process.communicate()
            sam.call("device", "revoke", f"phone {number}", "--yes")
            sam.run("sync")
            assert devices.names() == ["device 1"]
            assert "removed" in devices.phone(number).call("sync")[2]
    sam.assert_sound()
