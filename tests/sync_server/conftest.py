"""Spaces, a relay process, and clients on its wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest

from bide.ids import SystemRandomness
from bide.testing import Member, SpaceBuilder
from bide_relay.testing import RelayProcess, WireClient

Connect = Callable[..., Awaitable[WireClient]]


@pytest.fixture
def space() -> SpaceBuilder:
    """A pair space of the founder and the second person, with nothing written yet but their membership."""
    builder = SpaceBuilder.found("pair", randomness=SystemRandomness())
    builder.join()
    return builder


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """A relay process with open registration, shared by a module: it must survive every abuse in it."""
    folder = tmp_path_factory.mktemp("relay")
    with RelayProcess(folder / "data", "--registration", "open") as process:
        yield process
        assert process.alive(), process.log
        assert "Traceback" not in process.log
        assert "ERROR" not in process.log


@pytest.fixture
async def connect(relay: RelayProcess) -> AsyncIterator[Connect]:
    """Connects a member of a space, to the point where it syncs; everybody hangs up at the end.

    ``await connect(space, member)``: registers the space if need be. `relay` is another one than the module's.
    """
    async with AsyncExitStack() as stack:

        async def connect(
            space: SpaceBuilder, member: Member, *, to: RelayProcess = relay, have: dict[bytes, int] | None = None
        ) -> WireClient:
            client = await stack.enter_async_context(await WireClient.connect(to.url))
            await client.prove(space=space.id, device=member.device_id, signing_seed=member.keys.signing_seed)
            await client.welcome(genesis=space.envelopes[0].data)
            await client.want(have)
            return client

        yield connect
