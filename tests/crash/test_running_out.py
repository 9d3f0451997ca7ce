"""No room, no descriptors, no memory, nothing that may be written: one sentence, the right exit code, and nothing lost.

Where it runs out depends on the machine, so each is tried at many limits, from one where nothing goes to one where all goes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from homes import TIMEOUT_S
from seeds import SEED

from crash import tally
from crash.forking import Forge, QuickHome, QuickRelay
from crash.tracing import program

ERROR = 1
LIMITS: Sequence[Mapping[str, int]] = (
    *({"NOFILE": most} for most in range(3, 12)),
    *({"AS": most} for most in (0, 200_000, 400_000, 600_000, 800_000, 1_000_000, 4_000_000)),
    *({"FSIZE": most} for most in (1_000, 4_096, 40_000, 100_000, 130_000, 160_000, 400_000)),
)
ROTATE = ("key", "rotate", "--json")
THANK = ("thank", "--private", "--json", "--from-json", "-")
NO_ROOM = "There is no room left on the disk; nothing was written."
SENTENCES = (
    "The config of this home can't be read.",
    "The database can't be used.",
    "The database could not be written; nothing was changed.",
    "The database on this device can't be read as it is.",
    "The database on this device is damaged.",
    NO_ROOM,
    "There is no room left on the disk for that.",
    "There is not enough memory for that just now.",
    "Too many files are open on this system for that just now.",
)


def told(result: tuple[int, str, str]) -> dict[str, Any]:
    """The one error that a command has told; nothing else, and no traceback."""
    code, out, err = result
    assert code == ERROR, result
    assert out == "", "it told something else as well"
    error: dict[str, Any] = json.loads(err)
    assert "Traceback" not in err
    return error


def write(home: QuickHome, text: str) -> tuple[int, str, str]:
    """Write, and see what comes of it."""
    return home.call(*THANK, stdin=json.dumps({"noticed": text}))


@contextmanager
def mounted(folder: Path, *args: str) -> Iterator[None]:
    """Mount something there for a while; skips the test where that is not permitted."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *args, str(folder)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("needs to be allowed to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_device_that_runs_out_tells_so_and_loses_nothing(ram: Path, forge: Forge) -> None:
    """Of descriptors, of memory, of the size that a file may have: written and told so, or not and told so."""
    sam = QuickHome.make(ram / "sam", "Sam", forge)
    written = {sam.write_privately("before")}
    begun, failed = time.monotonic(), 0
    for number, limits in enumerate(LIMITS):
        result = write(sam.limited(**limits), f"number {number}")
        if result[0] == 0:
            written.add(json.loads(result[1])["id"])
        else:
            assert told(result)["message"] in SENTENCES
            failed += 1
        assert sam.ids() == written
    assert 5 < failed < len(LIMITS), "it never ran out, or always"
    sam.assert_sound()
    tally.note("running out, device", tried=len(LIMITS), hit=failed, seconds=time.monotonic() - begun, seed=SEED)


def test_a_sync_that_runs_out_goes_on_later(couple: tuple[QuickHome, QuickHome]) -> None:
    """It says so, and a later one brings everything."""
    sam, robin = couple
    written, failed = set(), 0
    for number, limits in enumerate(
        ({"NOFILE": 6}, {"NOFILE": 9}, {"NOFILE": 10}, {"AS": 0}, {"AS": 600_000}, {"FSIZE": 40_000})
    ):
        written.add(robin.write(f"number {number}"))
        robin.run("sync")
        code, _, err = sam.limited(**limits).call("sync", "--json")
        failed += code != 0
        assert code in (0, ERROR, 5), err
        assert "Traceback" not in err
        sam.run("sync")
        assert written <= sam.ids()
    assert failed > 1
    sam.assert_sound()


def test_a_device_on_a_full_disk_recovers_when_there_is_room(tmp_path: Path, forge: Forge) -> None:
    """What was told as written before is there, what was refused is not, and it goes on by itself."""
    folder = tmp_path / "small"
    with mounted(folder, "-t", "tmpfs", "-o", "size=2m", "tmpfs"):
        sam = QuickHome.make(folder / "sam", "Sam", forge)
        filler = folder / "filler"
        filler.write_bytes(bytes(os.statvfs(folder).f_bavail * 4096 - 120 * 1024))
        written, refused = set(), 0
        for number in range(60):
            result = write(sam, f"number {number} " + os.urandom(4_000).hex())
            if result[0] == 0:
                written.add(json.loads(result[1])["id"])
            else:
                assert told(result)["message"] in SENTENCES
                refused += 1
            if refused > 5:
                break
        assert refused > 5, "the disk was never full"
        filler.unlink()
        assert sam.ids() == written
        written.add(sam.write_privately("afterwards"))
        assert sam.ids() == written
        sam.assert_sound()
        tally.note("full disk, device", tried=refused + len(written), hit=refused, seconds=1, seed=SEED)


def _fill_up(folder: Path, *, left_bytes: int) -> Path:
    """Fill a disk; returns the file that does."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(64 * 1024)):
            pass
    with contextlib.suppress(OSError), filler.open("ab", buffering=0) as file:
        while file.write(bytes(512)):
            pass
    if left_bytes:
        os.truncate(filler, filler.stat().st_size - left_bytes)
    return filler


@contextmanager
def _small_disk(folder: Path, kind: str) -> Iterator[Path]:
    """A disk that is soon full: in memory, or with blocks smaller than a page of memory."""
    if kind == "tmpfs":
        with mounted(folder, "-t", "tmpfs", "-o", "size=3m", "tmpfs"):
            yield folder
        return
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("needs mkfs.ext4")
    image = folder.with_suffix(".img")
    image.touch()
    os.truncate(image, 4_000_000)
    subprocess.run(["mkfs.ext4", "-q", "-b", "1024", "-m", "0", "-O", "^has_journal", str(image)], check=True)
    with mounted(folder, "-o", "loop", str(image)):
        yield folder


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_home_on_a_full_disk_can_be_read_and_is_not_called_damaged(kind: str, tmp_path: Path, forge: Forge) -> None:
    """However little is left: what is there is shown and found sound, and who would write is told that there is no room."""
    with _small_disk(tmp_path / "small", kind) as folder:
        sam = QuickHome.make(folder / "sam", "Sam", forge)
        written = {sam.write_privately("before")}
        for left_kib in (0, 4, 12, 20, 40):
            filler = _fill_up(folder, left_bytes=left_kib * 1024)
            assert sam.ids() == written
            code, out, err = sam.call("doctor", "--json")
            assert (code, out and json.loads(out)["sound"]) == (0, True), (left_kib, out, err)
            error = told(write(sam, os.urandom(4_000).hex()))
            assert (error["message"], error["hint"]) == (NO_ROOM, "Make room."), (left_kib, error)
            filler.unlink()
        written.add(sam.write_privately("afterwards"))
        assert sam.ids() == written
        sam.assert_sound()


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_home_begun_on_a_full_disk_says_so_and_is_made_when_there_is_room(kind: str, tmp_path: Path, forge: Forge) -> None:
    """One sentence, and nothing left that stands in the way."""
    with _small_disk(tmp_path / "small", kind) as folder:
        for left_kib in (0, 4, 12, 20, 40, 100):
            name = f"sam{left_kib}"
            sam = QuickHome.__new__(QuickHome)
            sam.folder, sam.name, sam.forge = folder / name, "Sam", forge
            filler = _fill_up(folder, left_bytes=left_kib * 1024)
            begin = ("init", "--name", "Sam", "--key-file", str(folder / f"{name}.key"), "--no-input", "--json")
            error = told(sam.call(*begin))
            assert (error["message"], "Make room" in error["hint"]) == (NO_ROOM, True), (left_kib, error)
            assert {path.name for path in folder.glob(f"{name}*")} <= {name, f"{name}.key"}
            assert {path.name for path in folder.glob(f"{name}/*")} <= {"init.lock"}
            filler.unlink()
            sam.run(*begin)
            sam.assert_sound()
            shutil.rmtree(sam.folder)


def test_a_backup_of_a_relay_onto_a_full_disk_says_which_and_leaves_nothing(tmp_path: Path, forge: Forge, ram: Path) -> None:
    """The database that is copied is not to blame."""
    with QuickRelay(forge, ram / "relay", "--registration", "open") as relay:
        relay.stop()
    small = tmp_path / "small"
    with mounted(small, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        for left_kib in (0, 20):
            filler = _fill_up(small, left_bytes=left_kib * 1024)
            line = program("bide-relay", "backup", "--data", str(ram / "relay"), str(small / "copy.db"))
            done = subprocess.run(line, timeout=TIMEOUT_S, check=False, capture_output=True, text=True)
            assert (done.returncode, "The disk of the copy is full." in done.stderr) == (1, True), done.stderr
            assert [path.name for path in small.iterdir()] == ["filler"]
            filler.unlink()


def test_a_home_on_a_read_only_disk_can_be_read_and_says_why_no_more(tmp_path: Path, forge: Forge) -> None:
    """The timeline is shown; whatever would write says so in a sentence, and everything is as it was."""
    sam = QuickHome.make(tmp_path / "sam", "Sam", forge)
    written = {sam.write_privately("before")}
    with mounted(tmp_path / "sam", "--bind", "-o", "ro", str(tmp_path / "sam")):
        assert sam.ids() == written
        for args in (
            THANK,
            ("config", "set", "day_starts", "05:00", "--json"),
            ("rebuild", "--json"),
            ("key", "rotate", "--json"),
        ):
            error = told(sam.call(*args, stdin='{"noticed": "x"}'))
            assert error["message"].endswith("."), error
            assert error["code"] != "unexpected", (args, error)
    assert sam.ids() == written
    sam.assert_sound()


def test_a_damaged_home_that_cannot_be_written_or_has_no_room_says_so_and_stays_as_it_is(tmp_path: Path, forge: Forge) -> None:
    """No byte changes and nothing is left lying about; where there is room it is mended."""
    folder = tmp_path / "small"
    with mounted(folder, "-t", "tmpfs", "-o", "size=3m", "tmpfs"):
        sam = QuickHome.make(folder / "sam", "Sam", forge)
        written = {sam.write_privately("before")}
        database = sam.folder / "bide.db"
        with database.open("r+b") as file:
            file.seek(100)
            file.write(b"\xff" * 50)
        before, there = database.read_bytes(), sorted(path.name for path in sam.folder.iterdir())
        with mounted(sam.folder, "--bind", "-o", "ro", str(sam.folder)):
            code, out, _ = sam.call("doctor", "--json")
            assert (code, json.loads(out)["sound"]) == (ERROR, False)
            assert told(sam.call("doctor", "--repair", "--json"))["message"].startswith("This home can't be written")
        filler = folder / "filler"
        for left_kib in (0, 150, 300, 600, 900):
            filler.write_bytes(bytes(max(0, os.statvfs(folder).f_bavail * 4096 - left_kib * 1024)))
            error = told(sam.call("doctor", "--repair", "--json"))
            assert "room" in error["message"], error
            assert database.read_bytes() == before
            left = {path.name for path in sam.folder.iterdir()} - set(there)
            assert left <= {"key.lock", "sync.lock"}, left
            filler.unlink()
        sam.run("doctor", "--repair")
        assert sam.ids() == written
        sam.assert_sound()


def test_a_relay_on_a_full_disk_refuses_and_recovers(tmp_path: Path, forge: Forge, couple: tuple[QuickHome, QuickHome]) -> None:
    """The device is told that nothing new is taken, keeps it, and brings it when there is room."""
    sam, robin = couple
    folder = tmp_path / "small"
    with mounted(folder, "-t", "tmpfs", "-o", "size=3m", "tmpfs"):
        flags = ("--registration", "open", "--disk-free-bytes-min", "0")
        with QuickRelay(forge, folder / "relay", *flags) as relay:
            for person in (sam, robin):
                person.run("relay", "set", relay.url)
                person.run("sync")
            filler = folder / "filler"
            filler.write_bytes(bytes(os.statvfs(folder).f_bavail * 4096 - 40 * 1024))
            written = {sam.write(os.urandom(3_000).hex()) for _ in range(20)}
            code, _, err = sam.call("sync", "--json")
            assert sam.pending() > 0, "a false acknowledgement"
            assert "Traceback" not in err
            assert relay.alive(), "a full disk is no reason to end"
            assert "accepts nothing new" in err or code != 0, err
            filler.unlink()
            for person in (sam, robin):
                person.run("sync")
            assert sam.pending() == 0
            assert written <= robin.ids()
            relay.stop()
        check = subprocess.run(program("bide-relay", "check", "--data", str(folder / "relay")), timeout=TIMEOUT_S, check=False)
        assert check.returncode == 0
        tally.note("full disk, relay", tried=1, hit=1, seconds=1, seed=SEED)


@pytest.mark.parametrize("most", [32, 48])
def test_a_relay_without_descriptors_recovers(most: int, couple: tuple[QuickHome, QuickHome], ram: Path, forge: Forge) -> None:
    """Strangers take every descriptor that it has; once they are gone, or it has had enough of them, it serves as before."""
    sam, robin = couple
    with QuickRelay(forge, ram / "few", "--registration", "open", "--auth-timeout-s", "3", NOFILE=most) as relay:
        for person in (sam, robin):
            person.run("relay", "set", relay.url)
            person.run("sync")
        host, _, port = relay.host.partition(":")
        with contextlib.ExitStack() as strangers:
            for _ in range(most):
                with contextlib.suppress(OSError):
                    strangers.enter_context(socket.create_connection((host, int(port)), timeout=1))
            written = {sam.write("while there is no room")}
            sam.call("sync")
            assert relay.alive()
        deadline = time.monotonic() + 20
        while sam.call("sync")[0] and time.monotonic() < deadline:
            time.sleep(0.2)
        robin.run("sync")
        assert written <= robin.ids()
        assert sam.pending() == 0
    tally.note("no descriptors, relay", tried=1, hit=1, seconds=1, seed=SEED)


def test_a_relay_without_memory_loses_nothing(couple: tuple[QuickHome, QuickHome], ram: Path, forge: Forge) -> None:
    """It may end; what it acknowledged is there when it starts again."""
    sam, robin = couple
    data, ended = ram / "poor", 0
    written: set[str] = set()
    with QuickRelay(forge, data, "--registration", "open") as relay:
        for person in (sam, robin):
            person.run("relay", "set", relay.url)
            person.run("sync")
        port = int(relay.url.rpartition(":")[2])
    for most in (160_000_000, 70_000_000, 66_000_000, 40_000_000):
        poor = QuickRelay(forge, data, "--registration", "open", AS=most)
        poor._port = port
        try:
            poor.start()
        except AssertionError:  # it said why
            ended += 1
            continue
        written |= {sam.write("x" * 2_000) for _ in range(3)}
        code, _, err = sam.call("sync")
        ended += code != 0
        assert "Traceback" not in err
        poor.kill()
    rich = QuickRelay(forge, data, "--registration", "open")
    rich._port = port
    with rich:
        for person in (sam, robin):
            person.run("sync")
        assert written <= robin.ids()
    tally.note("no memory, relay", tried=4, hit=ended, seconds=1, seed=SEED)
