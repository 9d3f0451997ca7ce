"""What the relay's memory comes to: at rest, with many idle connections, under readers that stall, under a flood.

python -m benchmarks.relay_memory [CONNECTIONS]
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from benchmarks.measuring import CACHE
from benchmarks.relay import _UNLIMITED, _allow_files
from bide.ids import SystemRandomness
from bide.protocol.frames import CaughtUp, Stored
from bide.testing import Member, SpaceBuilder
from bide_relay.testing import RelayProcess, WireClient

CONNECTIONS = 2_000
STALLED_READERS = 100
STALLED_BYTES = 100 * 2**20
FLOOD_S = 5
_FLOODING = Path(__file__).parent.parent / "tests" / "sync_server" / "flooding.py"


def memory_mib(pid: int) -> tuple[float, float]:
    """What a process holds now, and the most that it ever held."""
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) / 1024, int(lines["VmHWM"].split()[0]) / 1024


async def connected(relay: RelayProcess, space: SpaceBuilder, member: Member) -> WireClient:
    client = await WireClient.connect(relay.url)
    await client.prove(space=space.id, device=member.device_id, signing_seed=member.keys.signing_seed)
    await client.welcome(genesis=space.envelopes[0].data)
    await client.want({m.log_id: m.head.seq for m in space.members})
    await client.expect(CaughtUp, 60)
    return client


def new_space(devices: int = 1) -> SpaceBuilder:
    space = SpaceBuilder.found("own", randomness=SystemRandomness())
    for _ in range(devices - 1):
        space.add_device(space.founder)
    return space


def tell(what: str, relay: RelayProcess, rest: float) -> None:
    now, most = memory_mib(relay.pid)
    print(f"{what:<55} {now:7.1f} MiB  (+{now - rest:.1f}; at most {most:.1f})", flush=True)


async def idle(relay: RelayProcess, rest: float, count: int) -> None:
    clients = [await connected(relay, space, space.founder) for space in (new_space() for _ in range(count))]
    await asyncio.sleep(2)
    tell(f"{count:,} idle connections of as many spaces", relay, rest)
    for client in clients:
        client.ws.transport.abort()


async def stalled(relay: RelayProcess, rest: float) -> None:
    """Several spaces, each with one that writes and ten devices that read nothing."""
    spaces = [new_space(11) for _ in range(STALLED_READERS // 10)]
    readers = []
    for space in spaces:
        writer = await connected(relay, space, space.founder)
        await writer.upload([e.data for e in space.envelopes[1:]])
        await writer.expect(Stored)
        await writer.close()
        for member in space.members[1:]:
            readers.append(await connected(relay, space, member))
            readers[-1].ws.transport.pause_reading()
    big = os.urandom(60_000)
    for space in spaces:
        writer = await connected(relay, space, space.founder)
        sent = 0
        while sent < STALLED_BYTES // len(spaces):
            envelope = space.write(space.founder, space.event(space.founder, change=big))
            sent += len(envelope.data)
            await writer.upload([envelope.data])
        while (await writer.expect(Stored, 60)).heads[0].seq < space.founder.head.seq:
            pass
        await writer.close()
    tell(f"{len(readers)} stalled readers, {STALLED_BYTES >> 20} MiB written to them", relay, rest)
    for client in readers:
        client.ws.transport.abort()


async def flooded(relay: RelayProcess, rest: float, kind: str) -> None:
    arguments = [kind, relay.url.rpartition(":")[2], "200", "1000"]
    process = await asyncio.create_subprocess_exec(sys.executable, _FLOODING, *arguments, stdout=subprocess.PIPE)
    await asyncio.sleep(FLOOD_S)
    tell(f"a flood of connections ({kind})", relay, rest)
    process.kill()
    await process.wait()


async def main(connections: int) -> None:
    """Each load on a relay of its own."""
    _allow_files()
    CACHE.mkdir(parents=True, exist_ok=True)
    loads: list[Callable[[RelayProcess, float], Awaitable[None]]] = [partial(idle, count=connections), stalled]
    loads += [partial(flooded, kind=kind) for kind in ("connect", "upgrade", "key", "garbage")]
    for load in loads:
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            flags = ("--registration", "open", *_UNLIMITED, "--ping-timeout-s", "600")
            async with RelayProcess(Path(folder) / "relay", *flags) as relay:
                space = new_space()
                await (await connected(relay, space, space.founder)).close()
                rest = memory_mib(relay.pid)[0]
                tell("at rest", relay, rest)
                await load(relay, rest)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else CONNECTIONS))
