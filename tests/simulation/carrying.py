"""The network for what the command line dials by itself: recovery phrases and moves to other relays.

Inside `carried`, whatever the real code dials by an address is a connection of the world's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import bide_cli.joining.recovering
import bide_cli.syncing.carrying
import bide_cli.syncing.moving
from bide_cli.syncing.transport import told_plainly
from simulation.clockwork import ProcessLoop
from simulation.network import End

if TYPE_CHECKING:
    from simulation.world import World

_DIALLING: tuple[Any, ...] = (bide_cli.joining.recovering, bide_cli.syncing.moving, bide_cli.syncing.carrying)


@contextlib.contextmanager
def carried(world: World) -> Iterator[None]:
    """Inside, this process reaches the relays of a world and no other."""

    @contextlib.asynccontextmanager
    async def dialled(url: str) -> AsyncIterator[End]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, ProcessLoop)  # nothing else runs in a world
        with told_plainly():
            end = await world.network.dial(loop, world.relay_at(url), b"")
            try:
                yield end
            finally:
                await end.close()

    before = [(module, module.dialled) for module in _DIALLING]
    try:
        for module in _DIALLING:
            module.dialled = dialled
        yield
    finally:
        for module, real in before:
            module.dialled = real
