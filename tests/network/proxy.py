"""A TCP proxy that treats connections badly, by a plan: each fault fires at a certain byte, so a campaign can be replayed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from enum import Enum
from types import TracebackType
from typing import Any, NamedTuple, Self

_CHUNK = 4096


class Fault(Enum):
    """What befalls a connection."""

    NONE = "none"
    CUT = "cut"
    """Both ends are reset in the middle of whatever was on its way."""
    STALL = "stall"
    """Nothing passes any more for a while; then it is cut."""
    HALF_OPEN = "half-open"
    """What one side says is swallowed from here on, and nobody is told."""
    SLOW = "slow"
    """A few bytes at a time."""
    LATE = "late"
    """The client loses it, and the relay gets what was on its way only after the client's next connection has begun."""
    REFUSE = "refuse"
    """It is reset before a byte."""


class Plan(NamedTuple):
    """The fault of one connection."""

    fault: Fault = Fault.NONE
    at_bytes: int = 0
    """How many bytes pass first, in the direction that is hit."""
    upwards: bool = True
    """Whether it hits what the client sends."""


class Proxy:
    """Listens on a port of its own in a thread of its own; what it does to a connection is asked of `plan` when one comes."""

    def __init__(self, target: str, plan: Callable[[], Plan] = Plan, *, stall_s: float = 0.2, slow_s: float = 0.002) -> None:
        self.target = target
        self.plan = plan
        self.stall_s, self.slow_s = stall_s, slow_s
        self.fired: Counter[Fault] = Counter()
        """How many connections each fault really befell."""
        self.up_bytes = self.down_bytes = self.connections = 0
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open: set[_Connection] = set()
        self._next_came = asyncio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = f"ws://127.0.0.1:{self._call(self._listen())}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def drop_all(self) -> int:
        """Reset every connection, as a change of address does. Returns how many there were."""

        async def drop() -> int:
            return sum(connection.reset() for connection in list(self._open))

        return int(self._call(drop()))

    def silence_all(self) -> int:
        """From now on swallow what comes on the connections that are open, in both directions, and tell nobody."""

        async def silence() -> int:
            for connection in self._open:
                connection.silent = True
            self.fired[Fault.HALF_OPEN] += len(self._open)
            return len(self._open)

        return int(self._call(silence()))

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _end(self) -> None:
        self._server.close()
        for connection in list(self._open):
            connection.reset()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._next_came.set()
        self._next_came = asyncio.Event()
        plan = self.plan()
        if plan.fault is Fault.REFUSE:
            self.fired[plan.fault] += 1
            _reset(writer)
            return
        host, _, port = self.target.rpartition(":")
        try:
            up_reader, up_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            _reset(writer)
            return
        connection = _Connection(self, plan, writer, up_writer)
        self._open.add(connection)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(connection.carry(reader, up_writer, upwards=True))
                group.create_task(connection.carry(up_reader, writer, upwards=False))
        except* (OSError, _Over):
            pass
        finally:
            connection.reset()
            self._open.discard(connection)


class _Over(Exception):
    """The connection ends here."""


class _Connection:
    def __init__(self, proxy: Proxy, plan: Plan, client: asyncio.StreamWriter, relay: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._plan = plan
        self._client, self._relay = client, relay
        self.silent = False

    def reset(self) -> bool:
        _reset(self._client)
        _reset(self._relay)
        return True

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, upwards: bool) -> None:
        passed = 0
        hit = self._plan.fault is not Fault.NONE and upwards is self._plan.upwards
        while data := await reader.read(_CHUNK):
            if self.silent:
                continue
            if hit and passed + len(data) >= self._plan.at_bytes:
                keep = max(0, self._plan.at_bytes - passed)
                await self._pass(writer, data[:keep], upwards=upwards)
                self._proxy.fired[self._plan.fault] += 1
                await self._befall(reader, writer, data[keep:], upwards=upwards)
                hit = False
                passed += len(data)
                continue
            passed += len(data)
            await self._pass(writer, data, upwards=upwards)
        raise _Over

    async def _pass(self, writer: asyncio.StreamWriter, data: bytes, *, upwards: bool) -> None:
        if upwards:
            self._proxy.up_bytes += len(data)
        else:
            self._proxy.down_bytes += len(data)
        writer.write(data)
        await writer.drain()

    async def _befall(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rest: bytes, *, upwards: bool) -> None:
        match self._plan.fault:
            case Fault.STALL:
                await asyncio.sleep(self._proxy.stall_s)
                raise _Over
            case Fault.HALF_OPEN:
                self.silent = True
            case Fault.SLOW:
                for at in range(0, min(len(rest), 600), 7):
                    await self._pass(writer, rest[at : at + 7], upwards=upwards)
                    await asyncio.sleep(self._proxy.slow_s)
                await self._pass(writer, rest[600:], upwards=upwards)
            case Fault.LATE:
                came = self._proxy._next_came
                _reset(self._client)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(came.wait(), 2)
                await asyncio.sleep(0.05)
                await self._pass(writer, rest, upwards=upwards)
                await asyncio.sleep(0.05)
                raise _Over
            case _:
                raise _Over


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the other side is told by a reset, at once, whatever still waits."""
    found: socket.socket | None = writer.get_extra_info("socket")
    if found is not None:
        with contextlib.suppress(OSError):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
