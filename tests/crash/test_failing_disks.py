"""A disk that fails: nothing is acknowledged that was not stored, the relay ends and tries no second sync, people are told.

First every place by itself, on the VFS: the Nth sync fails, for every N, or the disk is full from the Nth write on. Then
real processes end to end, under strace.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest
from homes import Home
from seeds import SEED

from bide.errors import BideError, StorageError
from bide.replica import Replica
from bide.replica.examining.doctor import DAMAGE
from bide.storage.sqlite import SqliteStorage
from bide.testing import FakeClock, SeededRandomness, SpaceBuilder
from bide_relay.committer import Committer, Founding, Outcome, Upload
from bide_relay.service import load_state
from bide_relay.storage.sqlite import SqliteStorage as RelayStorage
from bide_relay.testing import RelayProcess
from crash import tally, unsafe
from crash.campaign import memory_folder
from crash.disk import Said, read_image
from crash.forking import Forge, QuickHome
from crash.histories import OPEN, RelayCheck, Serving, Stored
from crash.recording import Recording
from crash.tracing import Traced, needs_strace, program, strace, trace

KEY = b"k" * 32
WRITES = 6
FAULTS = [("sync", apsw.IOError), ("write", apsw.IOError), ("write", apsw.FullError)]
ALL_PLACES = os.environ.get("ALL_PLACES") == "1"
"""Whether each place fails in its turn, as in make soak, or every so many-eth."""
SENTENCES = (
    "The database could not be ",
    "The database can't be ",
    "The database on this device ",
    "There is no room left on the disk",
)
"""How what a person is told of a disk begins."""
RELAY_FAILED, UNREACHABLE = 70, 5
"""Exit codes of a relay that can promise nothing any more, and of a `bide` that doesn't reach it."""


# A device


def write_on_failing_disk(kind: str, error: type[apsw.Error], number: int, *, for_good: bool) -> bool:
    """Write while the Nth sync or write fails; whether it did. What was acknowledged is there when the disk is well again."""
    with memory_folder() as folder:
        recording = Recording(folder)
        with recording.running():
            path = folder / "bide.db"
            clock = FakeClock(tick_ms=1000)
            storage = SqliteStorage(path, KEY, create=True)
            Replica.create(storage, name="Sam", zone="UTC", clock=clock, randomness=SeededRandomness(number))
            storage.close()
            acknowledged: list[str] = []
            recording.fail_at(kind, number, error, for_good=for_good)
            for _ in range(WRITES):
                told = _write_once(path, clock, acknowledged)
                # One sentence of Bide's own.
                assert told is None or (told.message.endswith(".") and told.message.startswith(SENTENCES)), told.message
            recording.mend()
            storage = SqliteStorage(path, KEY)
            replica = Replica(storage, clock=clock)
            assert set(acknowledged) <= {entry["id"] for entry in replica.timeline()}, "a false acknowledgement"
            assert all(finding.level != DAMAGE for finding in replica.doctor())
            replica.write("appreciation", {"noticed": "afterwards"}, private=True)
            storage.close()
            return recording.failed > 0


def _write_once(path: Path, clock: FakeClock, acknowledged: list[str]) -> StorageError | None:
    """As a command does: open, write, tell, close. What a person is told instead."""
    try:
        storage = SqliteStorage(path, KEY)
    except StorageError as error:
        return error
    try:
        acknowledged.append(Replica(storage, clock=clock).write("appreciation", {"noticed": "words" * 50}, private=True).id)
    except StorageError as error:
        return error
    finally:
        with contextlib.suppress(apsw.Error):  # `bide` ends here; what it told was committed before
            storage.close()
    return None


def every_place(name: str, fail: Callable[[int], bool], *, stride: int = 1) -> int:
    """Let the first place fail, then the next, and so on until there is none; how many places there are."""
    begun = time.monotonic()
    stride = 1 if ALL_PLACES else stride
    number, tried = 1 + SEED % stride, 0
    while fail(number):
        number += stride
        tried += 1
    tally.note(name, tried=tried, hit=tried, seconds=time.monotonic() - begun, seed=SEED)
    return number - 1


@pytest.mark.parametrize("for_good", [False, True])
@pytest.mark.parametrize(("kind", "error"), FAULTS)
def test_a_device_on_a_failing_disk_acknowledges_nothing_falsely(kind: str, error: type[apsw.Error], for_good: bool) -> None:
    """At whichever sync or write it fails, once or from then on."""
    name = f"{error.__name__} at a {kind}{' for good' if for_good else ''}, device"
    stride = 5 if kind == "sync" else 53
    places = every_place(name, lambda number: write_on_failing_disk(kind, error, number, for_good=for_good), stride=stride)
    assert places >= WRITES


# A relay


class Ended(Exception):
    """The relay would have ended here."""


def _unheard(_: object) -> None:
    pass


async def _serve_on_failing_disk(
    recording: Recording, kind: str, error: type[apsw.Error], number: int
) -> tuple[bool, list[BaseException]]:
    folder = Path(recording.folder)
    storage = RelayStorage(folder)
    recording.say(Serving(storage.identity()))
    space = SpaceBuilder.found("own", randomness=SeededRandomness(number))
    failures: list[BaseException] = []
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def fail(what: BaseException) -> None:
        failures.append(what)
        loop.call_soon_threadsafe(lambda: None if ended.done() else ended.set_result(None))

    committer = Committer(storage, OPEN, loop=loop, fail=fail)
    founded: asyncio.Future[BideError | None] = loop.create_future()
    committer.submit(Founding(space.id, space.envelopes[0].data, "", lambda refusal: founded.set_result(refusal)))
    assert await founded is None
    recording.say(Stored(space.id, {h.log_id: h for h in space.heads()}))
    state = load_state(storage, space.id)
    assert state is not None
    recording.fail_at(kind, number, error)
    for _ in range(WRITES):
        outcome: asyncio.Future[Outcome] = loop.create_future()

        def told(what: Outcome, outcome: asyncio.Future[Outcome] = outcome) -> None:
            recording.say(Stored(space.id, dict(what.stored)))
            outcome.set_result(what)

        data = space.write(space.founder).data
        committer.submit(Upload(state, [data], len(data), told))
        await asyncio.wait([outcome, ended], return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            break
        if outcome.result().refusal is not None:
            committer.submit(Upload(state, [data], len(data), _unheard))  # the client tries again
    if not failures:
        await asyncio.to_thread(committer.stop, 10)
    recording.failing.clear()
    synced_again = "sync" in recording.after_failure
    storage.close()
    return synced_again, failures


def serve_on_failing_disk(kind: str, error: type[apsw.Error], number: int) -> bool:
    """Serve while the Nth sync or write fails; whether it did."""
    with memory_folder() as folder:
        recording = Recording(folder)
        with recording.running():
            synced_again, failures = asyncio.run(_serve_on_failing_disk(recording, kind, error, number))
            if recording.failed and error is apsw.IOError:
                assert failures, "the relay went on after an error of the disk"
                assert not synced_again, "the relay tried a second sync"
            if error is apsw.FullError:
                assert not failures, "a full disk is no reason to end"
        # What the machine has is what the relay's next start finds.
        RelayCheck()(folder, [op.what for op in recording.ops if isinstance(op, Said)])
        return recording.failed > 0


@pytest.mark.parametrize(("kind", "error"), FAULTS)
def test_a_relay_on_a_failing_disk_acknowledges_nothing_falsely(kind: str, error: type[apsw.Error]) -> None:
    """At whichever sync or write of a commit: after an I/O error it ends at once; a full disk it refuses, and goes on."""
    name = f"{error.__name__} at a {kind}, relay"
    assert every_place(name, lambda number: serve_on_failing_disk(kind, error, number), stride=2) >= WRITES


def test_a_relay_that_acknowledges_before_the_commit_is_caught_by_a_failing_sync() -> None:
    """The control."""
    with unsafe.taken_out("early-ack"), pytest.raises(AssertionError):
        every_place("control: early-ack on a failing disk", lambda number: serve_on_failing_disk("sync", apsw.IOError, number))


# Real processes, under strace


@needs_strace
def test_a_real_write_whose_sync_fails_is_not_acknowledged(ram: Path, forge: Forge) -> None:
    """At every sync of `bide thank` in turn: a sentence and exit code 1, or it is written."""
    sam = QuickHome.make(ram / "sam", "Sam", forge)
    begun, number, fired = time.monotonic(), 0, 0
    while True:
        number += 1
        before = sam.ids()
        traced = _thank(sam, ram, f"fsync,fdatasync:error=EIO:when={number}")
        if not traced.injected:
            break
        fired += 1
        _assert_told(traced, sam, before)
        sam.assert_sound()
    assert fired >= 2
    tally.note("EIO at a sync, bide (strace)", tried=fired, hit=fired, seconds=time.monotonic() - begun, seed=SEED)


@needs_strace
def test_a_real_write_on_a_disk_that_fills_up_is_told(ram: Path, forge: Forge) -> None:
    """From the Nth write on there is no room: one sentence, exit code 1, and everything from before is there."""
    sam = QuickHome.make(ram / "sam", "Sam", forge)
    begun, fired = time.monotonic(), 0
    for number in (1, 2, 3, 5, 8, 13, 21):
        before = sam.ids()
        traced = _thank(sam, ram, f"pwrite64:error=ENOSPC:when={number}+")
        fired += bool(traced.injected)
        _assert_told(traced, sam, before)
    assert fired >= 3
    sam.assert_sound()
    tally.note("ENOSPC at a write, bide (strace)", tried=7, hit=fired, seconds=time.monotonic() - begun, seed=SEED)


def _thank(sam: Home, root: Path, inject: str) -> Traced:
    command = program("bide", "thank", "--private", "--json", "--from-json", "-")
    return trace(command, env=sam.environment, root=root, start=read_image(root), stdin='{"noticed": "words"}', inject=inject)


def _assert_told(traced: Traced, sam: Home, before: set[str]) -> None:
    assert before <= sam.ids()
    assert "Traceback" not in traced.err
    if traced.code == 0:
        assert json.loads(traced.out)["id"] in sam.ids(), "a false acknowledgement"
        return
    assert traced.code == 1, traced.err
    assert traced.out == ""
    told = json.loads(traced.err)
    assert told["code"] in ("storage", "storage_busy"), told
    assert told["message"].startswith(SENTENCES), told


def _folder_failed(output: Path, folder: Path) -> bool:
    """Whether it was the sync of a folder that failed."""
    path = "".join(f"\\x{byte:02x}" for byte in str(folder).encode())
    return any(f"<{path}>" in line and "(INJECTED)" in line for line in output.read_text().splitlines())


@needs_strace
@pytest.mark.parametrize("number", range(1, 9) if ALL_PLACES else [1, 3])
def test_a_real_relay_whose_sync_fails_ends_and_syncs_no_more(
    number: int, couple: tuple[QuickHome, QuickHome], ram: Path, tmp_path: Path
) -> None:
    """It says why in its log; the device is told that the relay can't be reached; afterwards nothing is missing."""
    sam, robin = couple
    output = tmp_path / "trace"
    data = ram / "failing"
    # Its start syncs as well, so it is made first.
    with RelayProcess(data, "--registration", "open") as relay:
        for person in (sam, robin):
            person.run("relay", "set", relay.url)
            person.run("sync")
    listen = relay.host
    command = [*strace(output, "-e", "trace=fsync,fdatasync", "-e", f"inject=fsync,fdatasync:error=EIO:when={number}")]
    failing = RelayProcess(data, "--registration", "open", listen=listen, program=[*command, *program("bide-relay")])
    written = set()
    try:
        failing.start()
    except BideError:
        assert "I/O" in failing.log or "can't be" in failing.log  # it failed while it started, and said so
    else:
        code, err, turn = 0, "", 0
        while code == 0 and turn < number + WRITES and not _folder_failed(output, data):
            written.add(sam.write(f"number {turn}"))
            code, _, err = sam.call("sync", "--json")
            turn += 1
        if _folder_failed(output, data):
            failing.stop()
            return  # SQLite looks away; the names were synced when the relay started
        assert code == UNREACHABLE, (turn, err, failing.log, output.read_text()[-1500:])
        assert failing.wait() == RELAY_FAILED
        assert code == UNREACHABLE, err
        assert "the relay ends: StorageFailed" in failing.log
        assert sam.pending() > 0, "a false acknowledgement"
    syncs = [line for line in output.read_text().splitlines() if "sync(" in line]
    assert "(INJECTED)" in syncs[-1] or "resumed" in syncs[-1], "it synced after a sync had failed"
    assert "Traceback" not in failing.log
    with RelayProcess(data, "--registration", "open", listen=listen):
        for person in (sam, robin, sam):
            person.run("sync")
        assert written <= robin.ids()
        assert sam.pending() == 0
    tally.note("EIO at a sync, bide-relay (strace)", tried=1, hit=1, seconds=1, seed=SEED)
