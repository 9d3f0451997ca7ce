"""A home whose folder was copied, or put back from a backup: with real files, real commands and a real relay."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from typing import Any


def noticed(person: Any) -> set[str]:
    return {entry["fields"]["noticed"] for entry in person.entries("--kind", "appreciation")}


def copy_of(person: Any, folder: Path) -> Any:
    shutil.copytree(person.home, folder)
    return type(person)(folder)


def pair_digest(person: Any) -> str:
    return str(person.json("digest")["spaces"][1]["digest"])


def assert_well(*people: Any) -> None:
    for person in people:
        findings = person.json("doctor")["findings"]
        assert not [finding for finding in findings if finding["level"] == "damage"], findings
        before = person.json("digest")["spaces"]
        person.ok("rebuild")
        assert person.json("digest")["spaces"] == before


def test_two_copies_of_a_folder_go_on_as_two_devices(couple: Any, tmp_path: Path) -> None:
    """Both wrote. The second to sync is told once, in plain words; nobody loses anything, and the old one can be removed."""
    sam, robin = couple
    for person in (sam, robin, sam):
        person.ok("sync")
    twin = copy_of(sam, tmp_path / "twin")
    sam.ok("thank", "--noticed", "by the first")
    twin.ok("thank", "--noticed", "by the second")
    sam.ok("sync")
    told = twin.ok("sync")
    assert "device of its own" in told.out + told.err
    assert "called device 2" in told.out + told.err
    assert "device of its own" not in (again := twin.ok("sync")).out + again.err
    told = robin.ok("sync")
    assert "another device" in told.out + told.err
    told = sam.ok("sync")
    assert "another device" in told.out + told.err
    assert noticed(sam) == noticed(twin) == noticed(robin) == {"by the first", "by the second"}
    assert pair_digest(sam) == pair_digest(twin) == pair_digest(robin)
    found = [finding["words"] for finding in twin.json("doctor")["findings"] if "device of its own" in finding["words"]]
    assert found
    assert not [words for words in found if "(0)" in words]
    devices = twin.json("device", "list")["devices"]
    assert [(device["name"], device["this"]) for device in devices if device["by"]["me"]] == [
        ("device 1", False),
        ("device 2", True),
    ]
    assert_well(twin, robin)
    sam.ok("device", "revoke", "device 2", "--yes")
    for person in (sam, robin):
        person.ok("sync")
    assert twin.run("sync").code == 8
    sam.ok("thank", "--noticed", "after the removal")
    for person in (sam, robin):
        person.ok("sync")
    assert noticed(robin) == {"by the first", "by the second", "after the removal"}


def test_a_folder_is_put_back_from_a_backup(couple: Any, tmp_path: Path) -> None:
    """What was sent since comes back, what is written then arrives, and what was written before the first sync does too."""
    sam, robin = couple
    for person in (sam, robin, sam):
        person.ok("sync")
    backup = tmp_path / "backup"
    shutil.copytree(sam.home, backup)
    sam.ok("thank", "--noticed", "after the backup")
    for person in (sam, robin):
        person.ok("sync")
    shutil.rmtree(sam.home)
    shutil.copytree(backup, sam.home)
    sam.ok("thank", "--noticed", "in the restored one")
    for person in (sam, robin, sam):
        person.ok("sync")
    assert {"after the backup", "in the restored one"} <= noticed(sam) == noticed(robin)
    assert pair_digest(sam) == pair_digest(robin)
    assert sam.json("status")["spaces"][1]["pending"] == 0
    assert_well(sam, robin)


def test_killed_while_it_mends_itself(couple: Any, tmp_path: Path) -> None:
    """Wherever the process ends, the next sync goes on; nothing is said twice and nothing is lost."""
    sam, robin = couple
    for person in (sam, robin, sam):
        person.ok("sync")
    homes = [copy_of(sam, tmp_path / f"copy {number}") for number in range(3)]
    before = noticed(robin)
    sam.ok("thank", "--noticed", "by the first of many")
    sam.ok("sync")
    for number, home in enumerate(homes):
        home.ok("thank", "--noticed", f"by copy {number}")
        process = home.start("sync")
        time.sleep(0.25 + 0.1 * number)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        home.ok("sync")
    for person in (robin, sam, *homes):
        person.ok("sync")
    everything = before | {"by the first of many", *(f"by copy {number}" for number in range(3))}
    for person in (robin, sam, *homes):
        assert noticed(person) == everything
        assert len(person.entries("--kind", "appreciation")) == len(everything)
    assert len({pair_digest(person) for person in (robin, sam, *homes)}) == 1
    assert_well(robin, homes[0])
