"""The thread that judges and stores: order, grouping, and what happens when storing fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from bide.errors import BideError
from bide.ids import SystemRandomness
from bide.testing import SpaceBuilder
from bide_relay.committer import Committer, Founding, Outcome, Upload
from bide_relay.errors import DiskLow
from bide_relay.service import SpaceState, load_state
from bide_relay.settings import Settings
from bide_relay.storage.base import Appended, Batch, StorageFailed
from bide_relay.storage.memory import MemoryStorage

OPEN = Settings(registration="open")


class SlowStorage(MemoryStorage):
    """Waits before each append, and counts; can run out of disk, or fail."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()
        self.appends: list[int] = []
        self.errors: list[Exception] = []
        self.free = 2**40

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        self.go.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.appends.append(len(batches))
        return super().append(batches)

    def free_bytes(self) -> int:
        return self.free


class Bench:
    """A committer on a slow storage, and the answers that it gave."""

    def __init__(self, space: SpaceBuilder) -> None:
        self.space = space
        self.storage = SlowStorage()
        self.storage.found(space.id, space.envelopes[0], invite=None)
        state = load_state(self.storage, space.id)
        assert state is not None
        self.state: SpaceState = state
        self.failed: list[BaseException] = []
        self.outcomes: list[Outcome] = []
        self.came = asyncio.Event()
        self.committer = Committer(self.storage, OPEN, loop=asyncio.get_running_loop(), fail=self.failed.append)

    def upload(self, *envelopes: bytes) -> None:
        def done(outcome: Outcome) -> None:
            self.outcomes.append(outcome)
            self.came.set()

        self.committer.submit(Upload(self.state, envelopes, sum(map(len, envelopes)), done))

    async def answers(self, count: int) -> list[Outcome]:
        async with asyncio.timeout(5):
            while len(self.outcomes) < count:
                self.came.clear()
                await self.came.wait()
        return self.outcomes

    async def stop(self) -> bool:
        return await asyncio.to_thread(self.committer.stop, 5)


async def test_what_queues_up_is_committed_together(space: SpaceBuilder) -> None:
    """While one commit is under way the others wait, and the next commit takes them all, in order."""
    bench = Bench(space)
    for _ in range(20):
        space.write(space.founder)
    bench.storage.go.clear()
    for envelope in space.envelopes[1:]:
        bench.upload(envelope.data)
    await asyncio.sleep(0.05)
    assert bench.outcomes == []
    bench.storage.go.set()
    outcomes = await bench.answers(21)
    assert [o.stored[space.founder.log_id].seq for o in outcomes] == list(range(2, 23))
    assert sum(bench.storage.appends) == 21
    assert len(bench.storage.appends) <= 3
    assert await bench.stop()


async def test_nothing_is_answered_before_the_commit(space: SpaceBuilder) -> None:
    """An acknowledgement is a promise."""
    bench = Bench(space)
    bench.storage.go.clear()
    bench.upload(space.envelopes[1].data)
    await asyncio.sleep(0.1)
    assert bench.outcomes == []
    bench.storage.go.set()
    (outcome,) = await bench.answers(1)
    assert outcome.roster is not None
    assert len(outcome.roster.members) == 2
    assert await bench.stop()


async def test_stopping_finishes_what_is_queued(space: SpaceBuilder) -> None:
    """Whatever was submitted before is stored and answered."""
    bench = Bench(space)
    for _ in range(50):
        space.write(space.founder)
    for envelope in space.envelopes[1:]:
        bench.upload(envelope.data)
    assert await bench.stop()
    assert len(await bench.answers(51)) == 51
    assert bench.storage.usage(space.id).entries == 52


async def test_a_failed_commit_is_never_tried_again(space: SpaceBuilder) -> None:
    """The process is told to end, and nobody is answered."""
    bench = Bench(space)
    bench.storage.errors.append(StorageFailed())
    bench.upload(space.envelopes[1].data)
    bench.upload(space.envelopes[1].data)
    assert await bench.stop()
    await asyncio.sleep(0)
    assert [type(error) for error in bench.failed] == [StorageFailed]
    assert bench.outcomes == []
    assert bench.storage.appends == []


async def test_a_full_disk_refuses_and_recovers(space: SpaceBuilder) -> None:
    """Nothing of the group counts, and the state is what storage holds when there is room again."""
    bench = Bench(space)
    entry = space.write(space.members[0])
    bench.storage.errors.append(DiskLow())
    bench.upload(space.envelopes[1].data, entry.data)
    (refused,) = await bench.answers(1)
    assert isinstance(refused.refusal, DiskLow)
    assert refused.stored == {}
    bench.upload(space.envelopes[1].data, entry.data)
    stored = (await bench.answers(2))[1]
    assert stored.refusal is None
    assert stored.roster is not None
    assert stored.stored[space.founder.log_id] == space.founder.head
    assert await bench.stop()
    assert bench.failed == []


async def test_little_disk_refuses_before_it_is_full(space: SpaceBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads and new spaces are refused with a time to come back; when there is room, they are taken."""
    bench = Bench(space)
    bench.storage.free = 511 * 2**20
    bench.upload(space.envelopes[1].data)
    (refused,) = await bench.answers(1)
    assert isinstance(refused.refusal, DiskLow)
    assert refused.refusal.retry_after_ms > 0
    other = SpaceBuilder.found("own", randomness=SystemRandomness())
    answer: asyncio.Future[BideError | None] = asyncio.get_running_loop().create_future()
    bench.committer.submit(Founding(other.id, other.envelopes[0].data, "", answer.set_result))
    assert isinstance(await answer, DiskLow)
    assert list(bench.storage.spaces()) == [space.id]
    bench.storage.free = 513 * 2**20
    bench.upload(space.envelopes[1].data)
    assert (await bench.answers(2))[1].refusal is None
    assert await bench.stop()


async def test_another_writer_is_noticed(space: SpaceBuilder) -> None:
    """If storage holds something else than was admitted here, the upload is refused and the state loaded anew."""
    bench = Bench(space)
    other = space.seal(space.founder, b"other")
    mine = space.write(space.founder)
    bench.upload(space.envelopes[1].data)
    await bench.answers(1)
    bench.storage.append([Batch(space.id, [other])])
    bench.upload(mine.data)
    refused = (await bench.answers(2))[1]
    assert refused.refusal is not None
    assert refused.refusal.code == "fork"
    bench.upload(other.data)
    assert (await bench.answers(3))[2].stored[space.founder.log_id].hash == other.hash
    assert await bench.stop()
