"""Which rooms a server keeps: one for each space in use, and none besides."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping

import pytest

from bide.errors import StorageError
from bide.ids import LogId, SpaceId
from bide.log.chain import Head
from bide.testing import SpaceBuilder
from bide_relay.committer import Committer
from bide_relay.server import RelayServer
from bide_relay.settings import Settings
from bide_relay.storage.memory import MemoryStorage


class SlowStorage(MemoryStorage):
    """Reads when it is told to; can fail."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.loads = 0
        self.broken = False

    def heads(self, space: SpaceId) -> Mapping[LogId, Head]:
        self.loads += 1
        self.go.wait(5)
        if self.broken:
            raise StorageError
        return super().heads(space)


@pytest.fixture
def storage(space: SpaceBuilder) -> SlowStorage:
    storage = SlowStorage()
    storage.found(space.id, space.envelopes[0], invite=None)
    return storage


@pytest.fixture
async def server(storage: SlowStorage) -> RelayServer:
    server = RelayServer(storage, Settings(registration="open"))
    server.committer = Committer(
        storage, server.settings, loop=asyncio.get_running_loop(), fail=lambda error: pytest.fail(str(error))
    )
    return server


async def settled(server: RelayServer) -> None:
    """Wait until nothing is being opened any more."""
    await asyncio.wait([opening.room for opening in server._rooms.values()], timeout=5)
    await asyncio.sleep(0)


async def test_a_room_that_nobody_waited_for_is_closed(server: RelayServer, storage: SlowStorage, space: SpaceBuilder) -> None:
    """Whoever asked for it ran out of time before it was loaded."""
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await server.enter(space.id)
    assert storage.loads == 1
    assert list(server._rooms) == [space.id]
    storage.go.set()
    await settled(server)
    assert server._rooms == {}


async def test_a_room_lives_as_long_as_one_waits_or_holds(
    server: RelayServer, storage: SlowStorage, space: SpaceBuilder
) -> None:
    """All get the same one; one that gives up takes it from nobody, nor does one that leaves before another came to it."""
    waiting = [asyncio.create_task(server.enter(space.id)) for _ in range(3)]

    async def in_and_out() -> None:
        room = await server.enter(space.id)
        assert room is not None
        server.leave(room)

    short = [asyncio.create_task(in_and_out()) for _ in range(2)]
    await asyncio.sleep(0.05)
    waiting[0].cancel()
    storage.go.set()
    one, two = await asyncio.gather(*waiting[1:])
    await asyncio.gather(*short)
    assert one is not None
    assert one is two
    assert one.holders == 2
    assert (await server.enter(space.id), storage.loads) == (one, 1)
    for _ in range(3):
        assert list(server._rooms) == [space.id]
        server.leave(one)
    assert server._rooms == {}


async def test_who_leaves_at_once_takes_the_room_from_nobody(
    server: RelayServer, storage: SlowStorage, space: SpaceBuilder
) -> None:
    """Two rooms of one space would each believe that they alone know its heads."""

    async def in_and_out() -> None:
        room = await server.enter(space.id)
        assert room is not None
        server.leave(room)

    first = asyncio.create_task(in_and_out())
    await asyncio.sleep(0.05)
    second = asyncio.create_task(server.enter(space.id))
    await asyncio.sleep(0.05)
    storage.go.set()
    await first
    room = await second
    assert room is not None
    assert await server.enter(space.id) is room


async def test_what_is_not_there_or_cannot_be_read_is_asked_for_anew(
    server: RelayServer, storage: SlowStorage, space: SpaceBuilder
) -> None:
    """Nothing is kept of it."""
    storage.go.set()
    assert await server.enter(SpaceId(bytes(16))) is None
    storage.broken = True
    with pytest.raises(StorageError):
        await server.enter(space.id)
    assert server._rooms == {}
    storage.broken = False
    assert await server.enter(space.id) is not None
