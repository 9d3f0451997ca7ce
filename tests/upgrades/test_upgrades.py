"""What every format so far wrote opens with the newest code, shows the same, and syncs. A failed migration changes nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
from homes import TIMEOUT_S, Home, pair

from bide.errors import BideError, NewerFormat, StorageError
from bide.replica import Replica
from bide.storage.opening import FORMAT
from bide.storage.sqlite import SqliteStorage
from bide_relay import admin
from bide_relay.storage.sqlite import SqliteStorage as RelayStorage
from bide_relay.testing import RelayProcess

FIXTURES = Path(__file__).with_name("fixtures")
FORMATS = sorted(path.name for path in FIXTURES.iterdir())
KEY = b"k" * 32
OLDER = Path(__file__).with_name("older.py")
CHANGING = ("delivery", "created", "seen")
"""What changes by itself when something is synced, and is no matter of the format."""


def put_home(folder: Path, name: str) -> Home:
    """A home out of a fixture."""
    shutil.copytree(FIXTURES / name / "sam", folder)
    key = folder.with_suffix(".key")
    key.write_bytes(KEY)
    key.chmod(0o600)
    folder.chmod(0o700)
    config = folder / "config.toml"
    config.write_text(config.read_text().replace('"sam.key"', json.dumps(str(key))))
    home = Home.__new__(Home)
    home.folder, home.name = folder, "Sam"
    return home


def put_relay(folder: Path, name: str) -> Path:
    folder.mkdir(0o700)
    shutil.copyfile(FIXTURES / name / "relay.db", folder / "relay.db")
    return folder


def assert_has(now: Any, then: Any, at: str = "") -> None:
    """Everything that was said then is said now in the same words; there may be more of it."""
    if isinstance(then, dict):
        for key, value in then.items():
            if key not in CHANGING:
                assert key in now, f"{at}.{key}"
                assert_has(now[key], value, f"{at}.{key}")
    elif isinstance(then, list):
        assert len(now) == len(then), at
        for number, (one, other) in enumerate(zip(now, then, strict=True)):
            assert_has(one, other, f"{at}[{number}]")
    else:
        assert now == then, at


@pytest.mark.parametrize("name", FORMATS)
def test_a_home_and_a_relay_of_every_format_go_on(tmp_path: Path, name: str) -> None:
    """The same timeline, outbox and standings; whole; what was not sent is sent; and a new device gets everything."""
    expected = json.loads((FIXTURES / name / "expected.json").read_text())
    sam = put_home(tmp_path / "sam", name)
    assert_has(sam.json("timeline")["entries"], expected["timeline"])
    assert_has(sam.json("outbox")["held"], expected["outbox"])
    for now, then in zip(sam.json("status")["spaces"], expected["status"]["spaces"], strict=True):
        assert [now[key] for key in ("entries", "newer", "quarantined")] == [
            then[key] for key in ("entries", "newer", "quarantined")
        ]
    sam.assert_sound()
    with RelayProcess(put_relay(tmp_path / "relay", name), "--registration", "open") as relay:
        sam.run("relay", "set", relay.url)
        assert sam.json("sync")["sent"] >= 1
        assert sam.pending() == 0
        waiting = sam.start("device", "add", "--json", "--words-verified")
        assert waiting.stdout is not None
        code = json.loads(waiting.stdout.readline())["code"]
        tablet = Home.__new__(Home)
        tablet.folder, tablet.name = tmp_path / "tablet", "tablet"
        key = str(tmp_path / "tablet.key")
        args = ("--name", "tablet", "--words-verified", "--no-input", "--key-file", key)
        assert tablet.call("device", "join", "--code", "-", *args, stdin=code + "\n")[0] == 0
        waiting.communicate(timeout=TIMEOUT_S)
        tablet.run("sync")
        assert tablet.ids() == sam.ids()
        assert set(expected["robin"]) <= tablet.ids()
        assert tablet.pair_digest() == sam.pair_digest()
    storage = RelayStorage(tmp_path / "relay", create=False)
    try:
        assert admin.check_spaces(storage).spaces >= 2
    finally:
        storage.close()


class _Stopped(BaseException):
    """The migration was stopped here."""


@contextmanager
def stopping(before: Callable[[str], None]) -> Iterator[None]:
    """Have each statement of every connection that is made meanwhile announced before it runs."""

    def hook(connection: apsw.Connection) -> None:
        def trace(_cursor: object, sql: str, _bindings: object) -> bool:
            if threading.current_thread() is threading.main_thread():
                before(sql)
            return True

        connection.set_exec_trace(trace)

    apsw.connection_hooks.append(hook)
    try:
        yield
    finally:
        apsw.connection_hooks.remove(hook)


def open_home(path: Path) -> None:
    SqliteStorage(path, KEY).close()


def open_relay(path: Path) -> None:
    RelayStorage(path.parent, create=False).close()


def facts(path: Path, key: bytes | None) -> tuple[int, list[str], list[int]]:
    """Its version, its tables and how many rows each has, read behind Bide's back; and SQLite finds it whole."""
    database = apsw.Connection(str(path))
    try:
        if key is not None:
            database.execute("PRAGMA cipher = 'chacha20'")
            database.execute(f"PRAGMA key = 'raw:{key.hex()}'")
        assert database.pragma("integrity_check") == "ok"
        names = [row[0] for row in database.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")]
        tables = [row[1] for row in database.execute("PRAGMA table_list") if row[2] == "table"]
        counts = [int(database.execute(f"SELECT count(*) FROM {table}").get) for table in sorted(tables)]
        return int(database.pragma("user_version")), names, counts
    finally:
        database.close()


def migrations() -> list[Any]:
    """Every fixture that the newest code changes when it opens it."""
    found = []
    for name in FORMATS:
        for part, key, opened in (("sam/bide.db", KEY, open_home), ("relay.db", None, open_relay)):
            found.append(pytest.param(FIXTURES / name / part, key, opened, id=f"{name} {Path(part).name}"))
    return found


def run_until(path: Path, opened: Callable[[Path], None], number: int, stop: Callable[[], None]) -> int:
    """Open it; stop before the statement of that number after the migration began. Returns how many there were."""
    seen = 0

    def before(sql: str) -> None:
        nonlocal seen
        if seen or sql.startswith(("BEGIN", "SAVEPOINT")):
            seen += 1
            if seen == number:
                stop()

    with stopping(before):
        opened(path)
    return seen


@pytest.mark.parametrize(("fixture", "key", "opened"), migrations())
def test_a_migration_that_fails_anywhere_leaves_the_file_as_it_was(
    tmp_path: Path, fixture: Path, key: bytes | None, opened: Callable[[Path], None]
) -> None:
    """Stopped by an error before each of its statements: the old version with all rows. Afterwards it still migrates."""
    path = tmp_path / fixture.name
    shutil.copyfile(fixture, path)
    before = facts(path, key)
    total = run_until(path, opened, 0, lambda: None)
    if before[0] == facts(path, key)[0]:
        return  # the newest format has nothing to migrate

    def stop() -> None:
        raise _Stopped

    stopped = 0
    for number in range(1, total + 1):
        shutil.copyfile(fixture, path)
        try:
            run_until(path, opened, number, stop)
        except (_Stopped, BideError):
            stopped += 1
            assert facts(path, key) == before, number
    assert stopped >= 4
    opened(path)
    assert facts(path, key)[0] > before[0]


@pytest.mark.parametrize(("fixture", "key", "opened"), migrations())
def test_a_migration_on_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, fixture: Path, key: bytes | None, opened: Callable[[Path], None]
) -> None:
    """No page can be added: it is said, and the file is the old one."""
    path = tmp_path / fixture.name
    shutil.copyfile(fixture, path)
    before = facts(path, key)
    full = False

    def hook(connection: apsw.Connection) -> None:
        def trace(cursor: apsw.Cursor, sql: str, _bindings: object) -> bool:
            nonlocal full
            if sql.startswith(("CREATE TABLE", "ALTER TABLE")) and not full:
                full = True
                connection.pragma("max_page_count", connection.pragma("page_count"))
            return True

        connection.set_exec_trace(trace)

    apsw.connection_hooks.append(hook)
    try:
        opened(path)
    except StorageError:
        assert full
        assert facts(path, key) == before
    finally:
        apsw.connection_hooks.remove(hook)
    opened(path)


KILLED = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[4:]
from upgrades.test_upgrades import open_home, open_relay, run_until
run_until(Path(sys.argv[1]), open_home if sys.argv[2] == "home" else open_relay, int(sys.argv[3]), lambda: os._exit(9))
"""


@pytest.mark.parametrize("name", FORMATS)
def test_a_migration_that_is_killed_leaves_the_old_or_the_new(tmp_path: Path, name: str) -> None:
    """The process ends before some of the statements: the old version, whole, until all is done."""
    path = tmp_path / "bide.db"
    fixture = FIXTURES / name / "sam" / "bide.db"
    before = facts_of_copy(fixture, path)
    killed = 0
    for number in (3, 4, 6, 9):
        shutil.copyfile(fixture, path)
        command = [sys.executable, "-c", KILLED, str(path), "home", str(number), str(Path(__file__).parents[1])]
        code = subprocess.run(command, check=False, timeout=TIMEOUT_S).returncode
        killed += code == 9
        assert facts(path, KEY) == before or (code == 0 and facts(path, KEY)[0] == FORMAT)
    assert killed or before[0] == FORMAT
    open_home(path)


def facts_of_copy(fixture: Path, path: Path) -> tuple[int, list[str], list[int]]:
    shutil.copyfile(fixture, path)
    return facts(path, KEY)


def test_a_newer_format_is_refused_and_not_touched(tmp_path: Path) -> None:
    """One sentence that says what to do, on both sides, and every byte as before."""
    sam = put_home(tmp_path / "sam", FORMATS[-1])
    put_relay(tmp_path / "relay", FORMATS[-1])
    database = sam.folder / "bide.db"
    for path, key in ((database, KEY), (tmp_path / "relay" / "relay.db", None)):
        connection = apsw.Connection(str(path))
        if key is not None:
            connection.execute("PRAGMA cipher = 'chacha20'")
            connection.execute(f"PRAGMA key = 'raw:{key.hex()}'")
        connection.execute("PRAGMA user_version = 999")
        connection.close()
    before = database.read_bytes(), (tmp_path / "relay" / "relay.db").read_bytes()
    for args in (("timeline",), ("doctor",), ("doctor", "--repair"), ("thank", "--noticed", "tea")):
        code, _, err = sam.call(*args)
        assert code == 1
        assert "newer Bide" in err
        assert "Install the newest" in err
    with pytest.raises(NewerFormat):
        RelayStorage(tmp_path / "relay")
    assert (database.read_bytes(), (tmp_path / "relay" / "relay.db").read_bytes()) == before
    assert sorted(path.name for path in sam.folder.iterdir()) == ["bide.db", "config.toml"]


def test_what_an_older_client_does_not_know_comes_to_life_after_its_upgrade(tmp_path: Path) -> None:
    """Kept and told of as from a newer Bide, synced on as it is, and shown by the upgraded client without a further sync."""
    with RelayProcess(tmp_path / "relay", "--registration", "open") as relay:
        sam, robin = Home(tmp_path / "sam", "Sam"), Home(tmp_path / "robin", "Robin")
        pair(sam, robin, relay.url)

        def older(*args: str) -> Any:
            command = [sys.executable, str(OLDER), *args, "--json"]
            done = subprocess.run(
                command, env=os.environ | robin.environment, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
            )
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        thanked = sam.write("known to both")
        felt = str(sam.json("feel", "--from-json", "-", stdin=json.dumps({"feelings": ["calm"]}))["id"])
        sam.run("sync")
        older("sync")
        shown = {entry["id"] for entry in older("timeline")["entries"]}
        assert thanked in shown
        assert felt not in shown
        pair_status = next(space for space in older("status")["spaces"] if space["kind"] == "pair")
        assert pair_status["newer"] == 1
        assert any("newer Bide" in finding["words"] for finding in older("doctor")["findings"])
    # The upgrade; the relay is away.
    assert robin.ids() == {thanked, felt}
    robin.assert_sound()
    storage = SqliteStorage(robin.folder / "bide.db", robin.folder.with_suffix(".key").read_bytes())
    assert Replica(storage).show(felt)["kind"] == "feeling"
    storage.close()
