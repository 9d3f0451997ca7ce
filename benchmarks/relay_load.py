"""The load generator, a process of its own: ``relay_load KIND URL PID SCENARIO PAIRS EACH SECONDS``; prints JSON.

KIND is ``relay``, ``pair`` or ``echo``. A change is delivered when the other side has it (for echo: when it is back). It is
done, so that the next may be sent, when the relay has stored it, and with the yardsticks, which store nothing, when it is
delivered. The same messages go to all three.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from benchmarks.measuring import MS, Spread, cpu_s, memory_bytes
from benchmarks.relay_spaces import BATCH, Pair, prepared
from bide_relay.testing import WireClient

WARM_S = 0.5
PING_PONG_COUNT = 1_000
_LIMIT_S = 90
_ENVELOPES = b"\xa9envelopes"
_STORED = b"\xa6stored"


class Link:
    """One device's connection."""

    def __init__(self, ws: ClientConnection, kind: str, messages: Iterator[bytes], *, changes: int, controls: int) -> None:
        """Take a connection that is ready for changes.

        Args:
            ws: open, and for the relay welcomed.
            kind: of the server.
            messages: what to send, in order.
            changes: how many changes are in each message.
            controls: entries that the device's log begins with: the relay's acknowledgements count them.
        """
        self.ws = ws
        self.kind = kind
        self.messages = messages
        self.changes = changes
        self.controls = controls
        self.sent = 0
        """Changes."""
        self.delivered_to_me = 0
        self.on_delivered: Callable[[], None] = lambda: None
        self.on_done: Callable[[int], None] = lambda _: None

    async def send(self) -> bool:
        """Send the next message; False: there is none left."""
        message = next(self.messages, None)
        if message is None:
            return False
        self.sent += self.changes
        await self.ws.send(message)
        return True

    async def read(self) -> None:
        """Take what comes until the connection ends."""
        try:
            while True:
                self._take(await self.ws.recv(decode=False))
        except ConnectionClosed:
            pass

    def _take(self, data: bytes) -> None:
        if self.kind != "relay":
            self.delivered_to_me += self.changes
            self.on_delivered()
        elif data.startswith(_ENVELOPES, 1):
            # The head of the msgpack array: up to 15 items in a nibble, more in 16 bits.
            self.delivered_to_me += data[11] & 0x0F if data[11] != 0xDC else int.from_bytes(data[12:14], "big")
            self.on_delivered()
        elif data.startswith(_STORED, 1):
            self.on_done(max(seq for _, seq, _ in msgpack.unpackb(data)[1]))
        elif data.startswith(b"\xa5error", 1):
            raise RuntimeError(f"the relay refused: {msgpack.unpackb(data)[1:3]}")


async def open_pair(
    kind: str, url: str, number: int, pair: Pair, *, batched: bool = False, endless: bool = False
) -> list[Link]:
    """Connect both devices of a pair, and bring the relay to the point where changes flow."""
    links = []
    for slot, side in enumerate(pair.sides):
        messages: Iterator[bytes] = iter(side.batches if batched else side.frames)
        if endless:
            messages = itertools.cycle(messages)
        if kind == "relay":
            client = await WireClient.connect(url)
            await client.prove(space=pair.space, device=side.device, signing_seed=side.signing_seed)
            welcome = await client.welcome(genesis=pair.controls[0])
            if slot == 0 and len(welcome.heads) == 1 and welcome.heads[0].seq == 1:
                await client.want({welcome.heads[0].log_id: 2})
                await client.upload(pair.controls[1:])
            else:
                await client.want({head.log_id: head.seq for head in welcome.heads})
            await _until_caught_up(client, stored=slot == 0)
            ws = client.ws
        else:
            ws = await connect(f"{url}/{number}/{slot}", compression=None, ping_interval=None, max_size=None)
        controls = len(pair.controls) if slot == 0 else 0
        links.append(Link(ws, kind, messages, changes=BATCH if batched else 1, controls=controls))
    return links


async def _until_caught_up(client: WireClient, *, stored: bool) -> None:
    wanted = {"CaughtUp", "Stored"} if stored else {"CaughtUp"}
    while wanted:
        wanted.discard(type(await client.receive()).__name__)


async def throughput(
    kind: str, url: str, pid: int, pairs: list[Pair], *, window: int, batched: bool, seconds: float
) -> dict[str, Any]:
    """All devices send, each with `window` messages that are not done; count what is delivered in the time."""
    stop = asyncio.Event()
    opened = [
        await open_pair(kind, url, number, pair, batched=batched, endless=kind != "relay") for number, pair in enumerate(pairs)
    ]
    links = [link for both in opened for link in both]
    tasks: list[asyncio.Task[None]] = []
    for both in opened:
        for link, other in (both, both[::-1]):
            tasks.append(asyncio.create_task(_keep_sending(link, link if kind == "echo" else other, window, stop)))
            tasks.append(asyncio.create_task(link.read()))

    def delivered() -> int:
        return sum(link.delivered_to_me for link in links)

    await asyncio.sleep(WARM_S)
    count, server_s, own_s, began_s = delivered(), cpu_s(pid), time.process_time(), time.perf_counter()
    ran_out = False
    try:
        # Whoever has no envelope left ends the measurement: the rest would be measured at another load.
        await asyncio.wait_for(stop.wait(), seconds)
        ran_out = True
    except TimeoutError:
        pass
    took_s = time.perf_counter() - began_s
    count, server_s, own_s = delivered() - count, cpu_s(pid) - server_s, time.process_time() - own_s
    stop.set()
    failed = [t.exception() for t in tasks if t.done() and not t.cancelled() and t.exception()]
    if failed or not count:
        raise RuntimeError(f"the load broke off: {failed[:1] or 'nothing was delivered'}")
    return {
        "delivered_per_s": count / took_s,
        "server_us": server_s / count * 1e6,
        "server_busy": server_s / took_s,
        "client_busy": own_s / took_s,
        "seconds": took_s,
        "ran_out": ran_out,
    }


async def _keep_sending(link: Link, receiver: Link, window: int, stop: asyncio.Event) -> None:
    """Send whenever fewer than `window` messages are not done."""
    room = asyncio.Event()
    done = 0

    def on_done(seq: int) -> None:
        nonlocal done
        done = seq - link.controls
        room.set()

    def on_delivered() -> None:
        nonlocal done
        done = receiver.delivered_to_me
        room.set()

    if link.kind == "relay":
        link.on_done = on_done
    else:
        receiver.on_delivered = on_delivered
    while not stop.is_set():
        while link.sent - done < window * link.changes:
            if not await link.send():
                stop.set()
                return
        room.clear()
        await room.wait()


async def ping_pong(kind: str, url: str, pair: Pair, *, count: int) -> dict[str, Any]:
    """One change at a time, there and back: how long until the other side has it."""
    one, two = await open_pair(kind, url, 0, pair, endless=kind != "relay")
    taken: list[float] = []
    arrived = asyncio.Event()
    for link in (one, two):
        link.on_delivered = arrived.set
    tasks = [asyncio.create_task(link.read()) for link in (one, two)]
    for number in range(count + 50):
        arrived.clear()
        began_s = time.perf_counter()
        await (one if number % 2 == 0 else two).send()
        async with asyncio.timeout(5):
            await arrived.wait()
        if number >= 50:
            taken.append(time.perf_counter() - began_s)
        # So that the acknowledgement of this one is not in the way of the next.
        await asyncio.sleep(0.001)
    for task in tasks:
        task.cancel()
    ordered = sorted(taken)
    return {"p50_ms": Spread.of(ordered).median * MS, "p99_ms": ordered[int(0.99 * len(ordered))] * MS}


async def idle(kind: str, url: str, pid: int, pairs: list[Pair]) -> dict[str, Any]:
    """Connections that only are: what the server's memory grows by for each."""
    links: list[Link] = []
    warm = 10
    before = 0
    for number, pair in enumerate(pairs):
        if number == warm:
            await asyncio.sleep(0.5)
            before = memory_bytes(pid)
        links += await open_pair(kind, url, number, pair)
    await asyncio.sleep(2)
    count = len(links) - 2 * warm
    return {"connections": count, "kib_each": (memory_bytes(pid) - before) / count / 1024}


async def main(kind: str, url: str, pid: int, scenario: str, pairs: int, each: int, seconds: float) -> dict[str, Any]:
    """Run one scenario, bounded in time."""
    made = prepared(pairs, each)
    async with asyncio.timeout(_LIMIT_S):
        if scenario == "idle":
            return await idle(kind, url, pid, made)
        if scenario == "pingpong":
            return await ping_pong(kind, url, made[0], count=PING_PONG_COUNT)
        window, batched = {"single": (1, False), "flight": (32, False), "batch": (1, True)}[scenario]
        return await throughput(kind, url, pid, made, window=window, batched=batched, seconds=seconds)


if __name__ == "__main__":
    kind_, url_, pid_, scenario_, pairs_, each_, seconds_ = sys.argv[1:]
    print(
        json.dumps(asyncio.run(main(kind_, url_, int(pid_), scenario_, int(pairs_), int(each_), float(seconds_)))), flush=True
    )
