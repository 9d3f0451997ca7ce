"""What an operator does, killed at any step and any moment, and losing power: the relay serves on, and the next try works."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from homes import KILLS, kill_after
from seeds import SEED

from bide.errors import InputError
from bide.ids import SpaceId
from bide_relay import admin
from bide_relay.admin import check_spaces
from bide_relay.service import invite_digest
from bide_relay.storage.base import StorageDamaged
from bide_relay.storage.sqlite import FILE_NAME, SqliteStorage
from crash.disk import read_image
from crash.dying import DIES_AT
from crash.forking import Forge, QuickHome, QuickRelay
from crash.test_kills import Killing
from crash.test_power_homes import HOME_CUTS, assert_recorded, play
from crash.tracing import needs_strace, program, trace
from crash.unsafe import SWITCH

TRIES = max(KILLS // 16, 4)
"""Of each; make soak raises it."""
STEPS_MAX = 8
NewCouple = Callable[[int], tuple[QuickHome, QuickHome]]


def administer(
    forge: Forge, *args: str, dies_at: int = 0, after_s: float | None = None, switch: str = ""
) -> tuple[int, str, str]:
    """Run ``bide-relay``: to its end, to a step, or killed after a while."""
    env: Mapping[str, str] = os.environ | {SWITCH: switch} | ({DIES_AT: str(dies_at)} if dies_at else {})
    process = forge.start("bide-relay", *args, env=env)
    if after_s is not None:
        running, _ = kill_after(process, after_s)
        return (-signal.SIGKILL if running else process.wait()), "", ""
    code = process.wait()
    return code, *process.communicate()


def ways(name: str, count: int, takes_s: float) -> Iterator[dict[str, Any]]:
    """At a step, and at a moment, by turns."""
    chance = random.Random(f"{SEED} {name}")
    for number in range(count):
        yield {"dies_at": 1 + number // 2 % STEPS_MAX} if number % 2 else {"after_s": chance.uniform(0, takes_s)}


def held_by(data: Path) -> dict[SpaceId, int]:
    """How many entries of each space there are, after all of them were verified."""
    storage = SqliteStorage(data, create=False)
    try:
        storage.quick_check()
        check_spaces(storage)
        return {space: sum(head.seq for head in storage.heads(space).values()) for space in storage.spaces()}
    finally:
        storage.close()


def back_up_and_kill(
    sam: QuickHome, relay: QuickRelay, forge: Forge, ram: Path, killing: Killing, *, switch: str = "", within_s: float = 0.04
) -> None:
    """Kill backups and checks while somebody syncs; each time the next backup is whole, and nothing is left of the one before.

    Args:
        sam: who syncs.
        relay: that is backed up.
        forge: starts what is not killed.
        ram: where the backups go.
        killing: counts.
        switch: of `crash.unsafe`, in what is killed.
        within_s: how long it takes about.
    """
    data = ("--data", str(relay.data))
    backups, new = ram / "backups", ram / "restored"
    backups.mkdir()
    for number, way in enumerate(ways(killing.name, killing.tries, within_s)):
        sam.write(f"number {number}")
        syncing = sam.start("sync")
        copy = backups / "copy.db"
        args = ("check", *data) if number % 3 == 2 else ("backup", *data, str(copy))
        killing.hit += administer(forge, *args, switch=switch, **way)[0] == -signal.SIGKILL
        assert syncing.wait() == 0, syncing.communicate()
        syncing.communicate()
        before = held_by(relay.data)
        if copy.exists():  # it was killed after it was done
            copy.rename(backups / "before.db")
        code, _, err = administer(forge, "backup", *data, str(copy))
        assert code == 0, err
        for each in sorted(backups.glob("*.db")):
            code, _, err = administer(forge, "restore", "--data", str(new), str(each))
            assert code == 0, err
            assert each.name != "copy.db" or held_by(new) == before
            shutil.rmtree(new)
            each.unlink()
        assert not list(backups.iterdir()), "something of a backup was left"


def test_backups_and_checks_that_are_killed_while_it_serves_harm_nothing(
    new_couple: NewCouple, relay: QuickRelay, forge: Forge, ram: Path
) -> None:
    """It goes on, the next backup is whole and has what was acknowledged before it, and what was left is written over."""
    sam, robin = new_couple(0)
    with Killing("relay backup and check", TRIES) as killing:
        back_up_and_kill(sam, relay, forge, ram, killing)
    robin.run("sync")
    assert sam.ids() == robin.ids()
    assert administer(forge, "check", "--data", str(relay.data))[0] == 0


def test_a_backup_that_is_written_in_its_place_is_seen_to_be_torn(
    new_couple: NewCouple, relay: QuickRelay, forge: Forge, ram: Path
) -> None:
    """The control: what is there under its name after a kill can't be restored."""
    with Killing("control: backup in its place", TRIES) as killing, pytest.raises(AssertionError):
        back_up_and_kill(new_couple(0)[0], relay, forge, ram, killing, switch="backup-in-place", within_s=0.2)


def test_a_backup_that_was_killed_at_its_end_is_not_written_over_by_the_next(
    new_couple: NewCouple, relay: QuickRelay, forge: Forge, ram: Path
) -> None:
    """What it was made as is another name of the same file, until it is removed."""
    new_couple(0)
    copy, kept = ram / "copy.db", ram / "kept.db"
    data = ("--data", str(relay.data))
    step = 0
    while not copy.exists():
        step += 1
        assert administer(forge, "backup", *data, str(copy), dies_at=step)[0] == -signal.SIGKILL
    assert ram.joinpath("copy.db.part").samefile(copy)
    copy.rename(kept)
    before = kept.read_bytes()
    assert administer(forge, "invite", *data)[0] == 0  # so that the next one is another
    assert administer(forge, "backup", *data, str(copy))[0] == 0
    assert kept.read_bytes() == before
    assert not ram.joinpath("copy.db.part").exists()


def test_a_restoring_that_is_killed_can_be_done_again(
    new_couple: NewCouple, relay: QuickRelay, forge: Forge, ram: Path
) -> None:
    """There is a database or none, and of the copy, which holds the relay's key, nothing is left."""
    new_couple(0)
    copy = ram / "copy.db"
    assert administer(forge, "backup", "--data", str(relay.data), str(copy))[0] == 0
    before = held_by(relay.data)
    with Killing("relay restore", TRIES) as killing:
        for number, way in enumerate(ways(killing.name, TRIES, 0.05)):
            new = ram / f"new-{number}"
            args = ("restore", "--data", str(new), str(copy))
            killing.hit += administer(forge, *args, **way)[0] == -signal.SIGKILL
            if not (new / FILE_NAME).exists():
                code, _, err = administer(forge, *args)
                assert code == 0, err
            else:
                QuickRelay(forge, new).start().stop()
            assert held_by(new) == before
            assert sorted(path.name for path in new.iterdir()) == [FILE_NAME, "relay.lock"]


def test_a_backup_is_not_put_beside_what_another_database_had_not_taken_in_yet(tmp_path: Path) -> None:
    """SQLite would write that over it."""
    SqliteStorage(tmp_path / "data").close()
    storage = SqliteStorage(tmp_path / "data", create=False)
    storage.back_up(tmp_path / "copy.db")
    storage.close()
    folder = tmp_path / "new"
    folder.mkdir()
    wal = folder / f"{FILE_NAME}-wal"
    wal.write_bytes(b"of another")
    with pytest.raises(InputError, match="-wal"):
        admin.restore(tmp_path / "copy.db", folder)
    wal.unlink()
    admin.restore(tmp_path / "copy.db", folder)


def test_a_purge_that_is_killed_is_finished_by_the_next(forge: Forge, ram: Path) -> None:
    """Of idle spaces, and of damaged ones; a space is gone whole or is there whole, and devices bring back what is damaged."""
    with Killing("relay purge", max(TRIES // 4, 2)) as killing:
        for number in range(killing.tries):
            folder = ram / f"purged-{number}"
            folder.mkdir()
            with QuickRelay(forge, folder / "relay", "--registration", "open") as relay:
                homes = [QuickHome.make(folder / name, name, forge) for name in ("Sam", "Robin")]
                for home in homes:
                    home.run("relay", "set", relay.url)
                    home.write_privately("something")
                    home.run("sync")
            data = ("--data", str(relay.data))
            damaged = number % 2
            alter(relay.data, DAMAGE if damaged else IDLE)
            args = ("purge", *data, "--yes", *(("--damaged",) if damaged else ("--idle-days", "30")))
            killing.hit += administer(forge, *args, dies_at=1 + number // 2 % 4)[0] == -signal.SIGKILL
            assert administer(forge, *args)[0] == 0
            assert held_by(relay.data) == {}
            with QuickRelay(forge, relay.data, "--registration", "open") as again:
                for home in homes:
                    home.run("relay", "set", again.url)
                    home.run("sync")
                    assert home.pending() == 0
            assert len(held_by(relay.data)) == len(homes)


IDLE = "UPDATE spaces SET used_day = 1"
DAMAGE = "DELETE FROM envelopes WHERE seq = 1"
"""An entry of every log is missing."""


def alter(data: Path, statement: str) -> None:
    """Do something to the file of a relay that is off."""
    connection = sqlite3.connect(data / FILE_NAME)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_an_invite_gets_back_once_what_a_damaged_space_took_however_often_purging_is_killed(forge: Forge, ram: Path) -> None:
    """It would admit more than it was made for."""
    with QuickRelay(forge, ram / "relay") as relay:
        storage = SqliteStorage(relay.data, create=False)
        token = admin.make_invite(storage, spaces=3)
        sam = QuickHome.make(ram / "sam", "Sam", forge)
        sam.run("relay", "set", relay.url, "--invite", token)
        sam.run("sync")
        storage.close()
    alter(relay.data, DAMAGE)
    for step in (1, 2, 3):
        administer(forge, "purge", "--data", str(relay.data), "--damaged", "--yes", dies_at=step)
    administer(forge, "purge", "--data", str(relay.data), "--damaged", "--yes")
    storage = SqliteStorage(relay.data, create=False)
    [left] = storage._writer.execute("SELECT spaces_left FROM invites WHERE digest = ?", (invite_digest(token),))
    storage.close()
    assert left == (3,)


# Power


def after_backup(root: Path, told: bool) -> None:
    """The copy is there whole, or not at all and can be made."""
    copy = root / "copy.db"
    if not copy.exists():
        assert not told, "the backup that was told of is gone"
        storage = SqliteStorage(root / "relay", create=False)
        storage.back_up(copy)
        storage.close()
    admin.restore(copy, made(root / "restored"))
    assert held_by(root / "restored") == held_by(root / "relay")


def after_restore(root: Path, told: bool) -> None:
    """The database is there whole, or not at all and can be restored."""
    new = made(root / "new")
    if not (new / FILE_NAME).exists():
        assert not told, "the database that was told of is gone"
        admin.remove_leftovers(new)
        admin.restore(root / "copy.db", new)
    assert held_by(new) == held_by(root / "relay")


def after_purge(root: Path, told: bool) -> None:
    """What was told as deleted is gone, and the rest can be."""
    try:
        held = held_by(root / "relay")
    except StorageDamaged as error:
        raise AssertionError(str(error)) from error
    assert not (held and told), "what was told as deleted is there"
    storage = SqliteStorage(root / "relay", create=False)
    storage.purge(2**31)
    storage.close()
    assert held_by(root / "relay") == {}


def made(folder: Path) -> Path:
    """The folder, made if a power cut took it."""
    folder.mkdir(exist_ok=True)
    return folder


@needs_strace
@pytest.mark.parametrize(
    ("args", "check"),
    [
        (("backup", "--data", "{root}/relay", "{root}/copy.db"), after_backup),
        (("restore", "--data", "{root}/new", "{root}/copy.db"), after_restore),
        (("purge", "--data", "{root}/relay", "--idle-days", "30", "--yes"), after_purge),
    ],
    ids=["backup", "restore", "purge"],
)
def test_what_an_operator_does_is_whole_after_a_power_cut(
    args: tuple[str, ...], check: Callable[[Path, bool], None], forge: Forge, ram: Path
) -> None:
    """What was told is done, and the next try works."""
    root = ram / "root"
    root.mkdir()
    with QuickRelay(forge, root / "relay", "--registration", "open") as relay:
        for name in ("Sam", "Robin"):
            home = QuickHome.make(ram / name, name, forge)
            home.run("relay", "set", relay.url)
            home.write_privately("something")
            home.run("sync")
    alter(relay.data, IDLE)
    if args[0] == "restore":
        assert administer(forge, "backup", "--data", str(relay.data), str(root / "copy.db"))[0] == 0
    start = read_image(root)
    command = program("bide-relay", *(arg.replace("{root}", str(root)) for arg in args), switch="plain-copies")
    traced = trace(command, env=os.environ, root=root, start=start)
    assert traced.code == 0, traced.err
    assert_recorded(traced, start, root)
    lost = play(
        f"relay {args[0]}", traced, start, root, lambda told: check(root, told), HOME_CUTS, done="Deleted|Restored|Backed"
    )
    assert not lost, "\n".join(lost[:10])
