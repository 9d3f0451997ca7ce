"""`bide key`: changing how a home is locked and rotating its key, with a way in at every moment."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from client_cli.conftest import BIDE, Person, opened_quickly

from bide.errors import Locked
from bide.storage.opening import open_database, rekey_database
from bide_cli.home.folder import read_config

WORDS = "The kettle was on"
OLD, NEW = "seven slow herons", "a lamp by the stairs"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a key file and an entry, to be copied."""
    folder = tmp_path_factory.mktemp("original")
    sam = Person(folder / "home")
    sam.ok("init", "--name", "Sam", "--key-file", str(folder / "key"), "--no-input")
    sam.ok("thank", "--private", "--noticed", WORDS)
    sam.ok("config", "set", "hold.repair", "60")
    return folder


@pytest.fixture
def sam(original: Path, tmp_path: Path) -> Person:
    """Sam, whose home opens with a key file of its own."""
    return copied(original, tmp_path)


def copied(original: Path, folder: Path) -> Person:
    """A home with its key file in `folder`."""
    shutil.copytree(original / "home", folder / "home")
    (folder / "keys").mkdir(parents=True)
    shutil.copy(original / "key", folder / "keys" / "key")
    config = folder / "home" / "config.toml"
    config.write_text(config.read_text().replace(str(original / "key"), str(folder / "keys" / "key")))
    return Person(folder / "home")


def passphrase_file(folder: Path, words: str) -> str:
    """A file with a passphrase."""
    path = folder / f"{words.replace(' ', '-')}.txt"
    path.write_text(words + "\n")
    path.chmod(0o600)
    return str(path)


def wrapped(home: Path) -> list[str]:
    """The files of a home that hold its key under a passphrase."""
    return sorted(path.name for path in home.glob("key*") if path.name != "key.lock")


def test_from_a_key_file_to_a_passphrase_to_another_and_back(sam: Person, tmp_path: Path) -> None:
    """Every change leaves exactly the new way in, and the rest of the config as it was."""
    old, new = passphrase_file(tmp_path, OLD), passphrase_file(tmp_path, NEW)

    def shows(passphrase: str = "") -> bool:
        result = sam.run("timeline", "--no-input", env={"BIDE_PASSPHRASE_FILE": passphrase} if passphrase else None)
        assert result.code in (0, 7)
        return WORDS in result.out

    changed = sam.json("key", "change", "--passphrase", "--new-passphrase-file", old, "--no-input")
    assert changed == {"schema": "bide.key/1", "unlock": "passphrase", "key_file": "", "open": False, "seconds_left": None}
    assert (shows(), shows(old), shows(new)) == (False, True, False)
    assert len(wrapped(sam.home)) == 1

    sam.env["BIDE_PASSPHRASE_FILE"] = old
    sam.ok("key", "change", "--passphrase", "--new-passphrase-file", new, "--no-input")
    del sam.env["BIDE_PASSPHRASE_FILE"]
    assert (shows(), shows(old), shows(new)) == (False, False, True)
    assert len(wrapped(sam.home)) == 1

    sam.env["BIDE_PASSPHRASE_FILE"] = new
    sam.ok("key", "change", "--key-file", str(tmp_path / "fresh"), "--no-input")
    del sam.env["BIDE_PASSPHRASE_FILE"]
    assert shows()
    assert wrapped(sam.home) == []
    assert (tmp_path / "fresh").stat().st_mode & 0o777 == 0o600
    config = read_config(sam.home)
    assert (config.unlock, config.key_file, config.wrapped, config.turning) == ("key-file", str(tmp_path / "fresh"), "", "")
    assert config.hold_min("repair") == 60


def test_a_rotated_home_opens_with_nothing_from_before(sam: Person, tmp_path: Path) -> None:
    """After rotating, the old key opens neither the home nor anything in its files; the entries are all there."""
    before = (tmp_path / "keys" / "key").read_bytes()
    assert sam.json("key", "rotate")["unlock"] == "key-file"
    after = (tmp_path / "keys" / "key").read_bytes()
    assert before != after
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["key"]
    assert WORDS in sam.ok("timeline").out
    assert sam.ok("doctor").code == 0
    (tmp_path / "old").write_bytes(before)
    (tmp_path / "old").chmod(0o600)
    assert sam.run("timeline", env={"BIDE_KEY_FILE": str(tmp_path / "old")}).code == 7
    with pytest.raises(Locked):
        open_database(sam.home / "bide.db", before)
    assert not list(sam.home.glob("bide.db-*"))


def test_a_rotated_home_keeps_its_passphrase(sam: Person, tmp_path: Path) -> None:
    """The passphrase stays while the key under it is another; what was wrapped before opens nothing."""
    old = passphrase_file(tmp_path, OLD)
    sam.ok("key", "change", "--passphrase", "--new-passphrase-file", old, "--no-input")
    opened_quickly(sam.home, OLD)
    sam.env["BIDE_PASSPHRASE_FILE"] = old
    sam.ok("unlock")
    [was] = wrapped(sam.home)
    copy = (sam.home / was).read_bytes()
    sam.ok("key", "rotate")
    assert not (sam.home / "agent.sock").exists()
    [now] = wrapped(sam.home)
    assert now != was
    assert WORDS in sam.ok("timeline").out
    assert sam.run("timeline", env={"BIDE_KEY_FILE": str(tmp_path / "keys" / "key")}).code == 7
    (sam.home / now).write_bytes(copy)
    assert sam.run("timeline").code == 7


def test_who_is_at_an_open_computer_can_not_change_the_lock(sam: Person, tmp_path: Path) -> None:
    """An agent opens entries; changing the passphrase or the key takes the passphrase itself."""
    old, new = passphrase_file(tmp_path, OLD), passphrase_file(tmp_path, NEW)
    sam.ok("key", "change", "--passphrase", "--new-passphrase-file", old, "--no-input")
    opened_quickly(sam.home, OLD)
    assert sam.run("unlock", env={"BIDE_PASSPHRASE_FILE": old}).code == 0
    assert sam.json("key", "status")["open"] is True
    assert sam.run("key", "change", "--passphrase", "--new-passphrase-file", new, "--no-input").code == 7
    assert sam.run("key", "rotate", "--no-input").code == 7
    assert sam.run("timeline", "--no-input").code == 0
    sam.ok("lock")


def test_another_bide_at_work_puts_a_rotation_off(sam: Person, tmp_path: Path) -> None:
    """While something else has the home open its key stays as it was, and everything made for the new one is gone."""
    key = (tmp_path / "keys" / "key").read_bytes()
    held = open_database(sam.home / "bide.db", key)
    held.execute("SELECT count(*) FROM entry").fetchall()
    result = sam.run("key", "rotate", "--json")
    held.close()
    assert result.code == 1
    assert result.error["code"] == "storage_busy"
    assert (tmp_path / "keys" / "key").read_bytes() == key
    assert [path.name for path in (tmp_path / "keys").iterdir()] == ["key"]
    assert read_config(sam.home).turning == ""
    assert WORDS in sam.ok("timeline").out


def test_a_command_that_waits_while_the_key_is_changed_finds_its_way(sam: Person) -> None:
    """Writing and rotating at the same time loses nothing, whichever comes first."""
    noticed = [f"cup number {number}" for number in range(6)]
    writers = [sam.start("thank", "--private", "--noticed", words) for words in noticed[:3]]
    rotation = sam.start("key", "rotate")
    writers += [sam.start("thank", "--private", "--noticed", words) for words in noticed[3:]]
    codes = [(process.communicate(timeout=60)[1], process.returncode) for process in writers]
    rotation.communicate(timeout=60)
    assert [code for _, code in codes] == [0] * 6, codes
    shown = sam.ok("timeline").out
    assert all(words in shown for words in noticed)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--key-file", "x", "--passphrase"), "alone"),
        (("--new-passphrase-file", "x", "--keyring"), "--passphrase"),
        (("--passphrase",), "terminal"),
        ((), "locked"),
        (("--passphrase", "--new-passphrase-file", "/nowhere"), "not there"),
    ],
)
def test_what_can_not_be_changed_to_changes_nothing(sam: Person, options: tuple[str, ...], hint: str) -> None:
    """A change that can't be made leaves the home as it was."""
    result = sam.run("key", "change", *options, "--no-input")
    assert result.code in (2, 7)
    assert hint in result.err
    assert read_config(sam.home).turning == ""
    assert WORDS in sam.ok("timeline").out


def test_a_key_file_of_another_home_is_never_overwritten(sam: Person, tmp_path: Path) -> None:
    """A file that is there and holds another key stays what it is."""
    (tmp_path / "other").write_bytes(bytes(range(32)))
    (tmp_path / "other").chmod(0o600)
    result = sam.run("key", "change", "--key-file", str(tmp_path / "other"), "--no-input")
    assert result.code == 2
    assert (tmp_path / "other").read_bytes() == bytes(range(32))
    assert WORDS in sam.ok("timeline").out


# Kills

KILLED_AT = """
import os, signal, sys
left = int(sys.argv.pop(1))
place = sys.argv.pop(1)
def watch(event, args):
    global left
    if event in ("open", "os.rename", "os.remove", "os.link", "os.chmod", "fcntl.flock") and (
        event != "open" or (isinstance(args[0], (str, bytes)) and place in os.fsdecode(args[0]))
    ):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
from bide_cli.main import entry
entry()
"""


def killed_at(person: Person, number: int, place: Path, *args: str) -> bool:
    """Run a command and kill it before its n-th step on a file; False: it had fewer."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AT, str(number), str(place), *args],
        env=person.env,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (0, -signal.SIGKILL), done
    return done.returncode != 0


def test_a_rotation_that_is_killed_before_any_of_its_steps_leaves_a_way_in(original: Path, tmp_path: Path) -> None:
    """Killed before each step on a file in turn, the home opens, can be written, and can be rotated again."""
    keys, number = set(), 0
    while True:
        number += 1
        folder = tmp_path / str(number)
        sam = copied(original, folder)
        killed = killed_at(sam, number, folder, "key", "rotate")
        keys.add(_opens_whole(sam, folder, original))
        if not killed:
            break
    assert number > 15
    # Some were killed while the old key was the one that counts, some when the new one was.
    assert keys == {True, False}


def _opens_whole(sam: Person, folder: Path, original: Path) -> bool:
    """See that a home is in order; gives whether its key is still the old one."""
    old = (original / "key").read_bytes()
    try:
        open_database(sam.home / "bide.db", old).close()
        is_old = True
    except Locked:
        is_old = False
    assert WORDS in sam.ok("timeline", "--no-input").out
    sam.ok("thank", "--private", "--noticed", "afterwards")
    sam.ok("key", "rotate", "--no-input")
    shown = sam.ok("timeline", "--no-input").out
    assert WORDS in shown
    assert "afterwards" in shown
    assert read_config(sam.home).turning == ""
    assert [path.name for path in (folder / "keys").iterdir()] == ["key"]
    return is_old


def test_a_passphrase_that_is_changed_and_killed_leaves_the_old_or_the_new(original: Path, tmp_path: Path) -> None:
    """Killed at steps of a change, exactly one of the two passphrases opens the home."""
    old, new = passphrase_file(tmp_path, OLD), passphrase_file(tmp_path, NEW)
    first = copied(original, tmp_path / "first")
    first.ok("key", "change", "--passphrase", "--new-passphrase-file", old, "--no-input")
    opened_quickly(first.home, OLD)
    found = set()
    for number in range(8, 40, 3):
        home = tmp_path / f"home-{number}"
        shutil.copytree(first.home, home)
        sam = Person(home, BIDE_PASSPHRASE_FILE=old)
        killed = killed_at(sam, number, home, "key", "change", "--passphrase", "--new-passphrase-file", new, "--no-input")
        codes = [sam.run("timeline", "--no-input", env={"BIDE_PASSPHRASE_FILE": path}).code for path in (old, new)]
        assert sorted(codes) == [0, 7]
        found.add(codes[0] == 0)
        if not killed:
            break
    assert found == {True, False}


def test_the_database_opens_with_the_old_or_the_new_key_wherever_its_encrypting_is_killed(tmp_path: Path) -> None:
    """Killed while pages are written, the database opens with one of the two keys, whole; its journal holds no words."""
    old, new = b"\1" * 32, b"\2" * 32
    (tmp_path / "first").mkdir()
    database = open_database(tmp_path / "first" / "bide.db", old, create=True)
    database.execute("CREATE TABLE big (text)")
    with database:
        database.executemany("INSERT INTO big VALUES (?)", ((f"quokka {number} " * 300,) for number in range(6_000)))
    database.close()
    size = (tmp_path / "first" / "bide.db").stat().st_size
    code = (
        "import sys; from pathlib import Path; from bide.storage.opening import rekey_database;"
        f"rekey_database(Path(sys.argv[1]), {old!r}, {new!r})"
    )
    outcomes = []
    for share in (0.0, 0.1, 0.3, 0.6, 0.9, 2.0):
        folder = tmp_path / str(share)
        shutil.copytree(tmp_path / "first", folder)
        path, journal = folder / "bide.db", folder / "bide.db-journal"
        process = subprocess.Popen([sys.executable, "-c", code, str(path)])
        while process.poll() is None:
            try:
                if journal.stat().st_size >= share * size + 1:
                    process.kill()
                    break
            except FileNotFoundError:
                pass
            time.sleep(0.0005)
        process.wait()
        for file in folder.iterdir():
            assert b"quokka" not in file.read_bytes()
        for key in (old, new):
            try:
                opened = open_database(path, key)
            except Locked:
                continue
            outcomes.append(key)
            assert opened.execute("SELECT count(*) FROM big WHERE text LIKE 'quokka%'").fetchall() == [(6_000,)]
            assert opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            opened.close()
    assert len(outcomes) == 6
    assert set(outcomes) == {old, new}


def test_encrypting_anew_reaches_every_page(tmp_path: Path) -> None:
    """No page, also none that is free, stays under the old key."""
    path = tmp_path / "bide.db"
    database = open_database(path, b"\1" * 32, create=True)
    database.execute("CREATE TABLE big (text)")
    with database:
        database.executemany("INSERT INTO big VALUES (?)", (("x" * 3_000,) for _ in range(500)))
    with database:
        database.execute("DELETE FROM big WHERE rowid > 100")
    database.close()
    before = path.read_bytes()
    rekey_database(path, b"\1" * 32, b"\2" * 32)
    after = path.read_bytes()
    assert len(after) == len(before)
    assert not [at for at in range(0, len(after), 4096) if after[at : at + 4096] == before[at : at + 4096]]


# A keyring of the system

KEYRING = pytest.mark.skipif(
    not (shutil.which("dbus-run-session") and shutil.which("gnome-keyring-daemon")), reason="needs gnome-keyring and dbus"
)
IN_KEYRING = """
set -eu
bide() { "$BIDE_PROGRAM" "$@"; }
printf secret | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1
bide init --name Sam --keyring --no-input 2>/dev/null
bide thank --private --noticed 'The kettle was on' >/dev/null
bide key rotate
bide timeline
echo BOTH
bide key change --keyring --passphrase --new-passphrase-file "$RIGHT" --no-input
bide timeline --no-input && exit 91
BIDE_PASSPHRASE_FILE="$WRONG" bide timeline && exit 92
BIDE_PASSPHRASE_FILE="$RIGHT" bide timeline
BIDE_PASSPHRASE_FILE="$RIGHT" bide key rotate
BIDE_PASSPHRASE_FILE="$RIGHT" bide unlock
bide timeline
bide lock
echo LEFT
"$PYTHON" -c '
import secretstorage
items = list(secretstorage.get_default_collection(secretstorage.dbus_init()).get_all_items())
print(len(items))
'
cp -r "$BIDE_HOME" "$BIDE_HOME-copy"
echo LOCKED
"$PYTHON" -c '
import secretstorage
secretstorage.get_default_collection(secretstorage.dbus_init()).lock()
'
set +e
BIDE_PASSPHRASE_FILE="$RIGHT" bide timeline
echo "code $?"
"""


@KEYRING
def test_a_keyring_and_a_passphrase_open_a_home_together(tmp_path: Path) -> None:
    """With a real keyring: alone, together with a passphrase, rotated, locked, and without the session that has it."""
    for folder in ("run", "data"):
        (tmp_path / folder).mkdir(mode=0o700)
    right = passphrase_file(tmp_path, OLD)
    sam = Person(
        tmp_path / "home",
        BIDE_PROGRAM=BIDE,
        PYTHON=sys.executable,
        HOME=str(tmp_path),
        XDG_RUNTIME_DIR=str(tmp_path / "run"),
        XDG_DATA_HOME=str(tmp_path / "data"),
        RIGHT=right,
        WRONG=passphrase_file(tmp_path, NEW),
    )
    done = subprocess.run(
        ["dbus-run-session", "--", "bash", "-c", IN_KEYRING],
        env=sam.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done
    alone, both = done.stdout.partition("BOTH")[::2]
    assert WORDS in alone
    assert both.count(WORDS) == 2
    assert "LEFT\n1\n" in both
    assert both.endswith("code 7\n")
    assert "The keyring of this system is locked." in done.stderr
    missing = sam.run(
        "timeline", "--no-input", env={"BIDE_PASSPHRASE_FILE": right, "DBUS_SESSION_BUS_ADDRESS": "unix:path=/none"}
    )
    assert missing.code == 7
    assert "keyring" in missing.err
    assert OLD not in done.stderr + missing.err
