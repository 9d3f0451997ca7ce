"""The virtual network: websocket connections between a device and the relay, as both ends' real code sees them.

Messages of one connection arrive in order or not at all; those of different connections in any order. What TCP, TLS and
websockets promise is taken as promised, except for what a fault says: a connection dies, is held up, loses everything without a
word until the keepalive notices, delivers half of a message or one with a flipped bit.
"""

from __future__ import annotations

import logging
import zlib
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Protocol

from websockets.exceptions import ConnectionClosedError
from websockets.protocol import State

from bide.protocol.codec import decode_frame
from bide.protocol.frames import Auth, Stored
from simulation.clockwork import Clockwork, ProcessLoop

KEEPALIVE_MS = 40_000
"""Ping every 20 s, and 20 s for the answer: then the other side counts as gone."""
SEND_BUFFER_BYTES = 32 * 1024
_SLOW_ONE_IN = 40


class Host(Protocol):
    """What accepts connections."""

    loop: ProcessLoop

    def accept(self, end: End) -> None: ...


class End:
    """One end of a connection: what the real code of either side takes for a websocket of the websockets library."""

    send_in_progress = None
    remote_address = ("127.0.0.1", 40_000)
    request = None
    logger = logging.getLogger("bide.simulation")

    def __init__(self, link: Link, process: ProcessLoop, number: int) -> None:
        self.link = link
        self.process = process
        self.number = number
        self.other: End
        self.open = True
        self.backlog: deque[bytes] = deque()
        """Sent from here while the link was held up."""
        self.backlog_bytes = 0
        self.clear_ms = 0.0
        """When the last message sent from here arrives."""
        self._inbox: deque[bytes] = deque()
        self._waiting: list[Any] = []
        self._written: list[bytes] = []
        self.protocol = SimpleNamespace(state=State.OPEN, send_binary=self._written.append, max_message_size=0)
        self.transport = self
        self.sent = 0

    # As the library's own

    async def recv(self, decode: bool | None = None) -> bytes:
        while not self._inbox:
            if not self.open:
                raise ConnectionClosedError(None, None)
            await self._wait()
        return self._inbox.popleft()

    async def send(self, message: bytes) -> None:
        if not self.open:
            raise ConnectionClosedError(None, None)
        self.link.carry(self, message)
        while self.open and self.backlog_bytes > SEND_BUFFER_BYTES:
            await self._wait()

    async def close(self, code: int = 1000) -> None:
        self.link.end(self)

    def send_data(self) -> None:
        written, self._written[:] = list(self._written), []
        for message in written:
            self.link.carry(self, message)

    def abort(self) -> None:
        self.link.sever()

    def get_write_buffer_size(self) -> int:
        return self.backlog_bytes

    def get_extra_info(self, _name: str) -> End:
        return self

    def fileno(self) -> int:
        return self.number

    # What comes from the other side

    def arrive(self, message: bytes) -> None:
        if self.open and self.process.alive:
            self._inbox.append(message)
            self.notify()

    def shut(self) -> None:
        if self.open:
            self.open = False
            self.protocol.state = State.CLOSED
            self.notify()

    def notify(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done() and self.process.alive:
                with self.process.running():
                    future.set_result(None)

    async def _wait(self) -> None:
        future = self.process.create_future()
        self._waiting.append(future)
        await future


class Link:
    """One connection."""

    def __init__(self, network: Network, number: int, client: ProcessLoop, server: ProcessLoop, space: bytes) -> None:
        self.network = network
        self.number = number
        self.client = End(self, client, 2 * number)
        self.server = End(self, server, 2 * number + 1)
        self.client.other, self.server.other = self.server, self.client
        self.space = space
        self.dead = False
        self.silent = False
        """Half open: whatever is sent is lost."""
        self.held = 0
        """Faults that hold it up just now."""
        self.held_by = ""
        self.next_message: Callable[[bytes], bytes] | None = None
        """What befalls the next message that arrives."""
        self.cut_after = False

    def carry(self, sender: End, message: bytes) -> None:
        """Take a message at one end and bring it to the other, sometime."""
        if self.dead or not sender.process.alive or not sender.open:
            return
        self.network.carries(self)
        if self.dead:
            return
        if self.silent:
            self.network.fired("half_open")
            return
        if not self.space and sender is self.client and b"auth" in message[:8]:
            self.space = space_of(message)
        if sender is self.server and b"stored" in message[:8]:
            self.network.acknowledged(sender.process.name, self.space, message)
        if self.held:
            self.network.fired(self.held_by)
            sender.backlog.append(message)
            sender.backlog_bytes += len(message)
            return
        self._dispatch(sender, message)

    def _dispatch(self, sender: End, message: bytes) -> None:
        sender.sent += 1
        delay = self.network.delay_ms(self.number, sender.number, sender.sent)
        sender.clear_ms = max(sender.clear_ms, self.network.clockwork.now_ms + delay)
        self.network.clockwork.at(sender.clear_ms, lambda: self._arrive(sender.other, message))

    def _arrive(self, receiver: End, message: bytes) -> None:
        if self.dead or self.silent or not receiver.process.alive:
            return
        if self.held:  # it was under way when the fault came
            receiver.other.backlog.append(message)
            receiver.other.backlog_bytes += len(message)
            return
        network = self.network
        if self.next_message is not None:
            change, self.next_message = self.next_message, None
            message = change(message)
        network.clockwork.note("arrives", self.number, receiver.number & 1, len(message), zlib.crc32(message))
        network.messages += 1
        receiver.arrive(message)
        if self.cut_after:
            self.sever()

    def end(self, sender: End) -> None:
        """One side hangs up, once all that it sent has arrived."""
        if self.dead:
            return
        sender.shut()
        if self.silent or self.held:
            return  # the other side hears of it from the keepalive
        self.network.clockwork.at(max(sender.clear_ms, self.network.clockwork.now_ms + 1), self.sever)

    def sever(self) -> None:
        """The connection is gone for both."""
        if not self.dead:
            self.dead = True
            self.client.shut()
            self.server.shut()
            self.network.links.pop(self.number, None)

    def go_silent(self) -> None:
        """From now on everything is lost; both sides find out when their pings are not answered."""
        self.silent = True
        self.network.clockwork.after(KEEPALIVE_MS, self.sever)

    def hold(self, fault: str) -> None:
        self.held += 1
        self.held_by = fault

    def release(self) -> None:
        """What waited is sent on."""
        self.held = max(0, self.held - 1)
        if self.held or self.dead:
            return
        for end in (self.client, self.server):
            backlog, end.backlog, end.backlog_bytes = end.backlog, deque(), 0
            for message in backlog:
                self._dispatch(end, message)
            end.notify()
            if not end.open:
                self.end(end)


def space_of(message: bytes) -> bytes:
    """Of which space a client says that it is a member."""
    frame = decode_frame(message)
    return frame.space if isinstance(frame, Auth) else b""


class Network:
    """All connections of a world."""

    def __init__(
        self,
        clockwork: Clockwork,
        seed: str,
        *,
        acknowledged: Callable[[str, bytes, Stored], None],
        fired: Callable[[str], None],
    ) -> None:
        self.clockwork = clockwork
        self.links: dict[int, Link] = {}
        self.apart: dict[str, int] = {}
        """By process: how many faults keep it from everybody."""
        self.messages = 0
        self.slow = 0
        """Messages that took long."""
        self._armed: list[tuple[int, Callable[[Link], None]]] = []
        """After which message which fault strikes the connection that carries it."""
        self.carried = 0
        self._seed = zlib.crc32(seed.encode())
        self._count = 0
        self._acknowledged = acknowledged
        self.fired = fired

    def befall(self, after: int, fault: Callable[[Link], None]) -> None:
        """Let a fault strike the connection that carries the message after so many more."""
        self._armed.append((self.carried + after, fault))

    def calm(self) -> None:
        """Whatever was to strike does not, and what is held up goes on."""
        self._armed.clear()
        for name in self.apart:
            while self.apart[name]:
                self.join(name)
        for link in list(self.links.values()):
            link.next_message = None
            while link.held:
                link.release()

    def carries(self, link: Link) -> None:
        """Count a message, and let strike what is due."""
        self.carried += 1
        if self._armed:
            due = [fault for at, fault in self._armed if at < self.carried]
            self._armed = [each for each in self._armed if each[0] >= self.carried]
            for fault in due:
                fault(link)

    def acknowledged(self, relay: str, space: bytes, message: bytes) -> None:
        frame = decode_frame(message)
        if isinstance(frame, Stored):
            self._acknowledged(relay, space, frame)

    def delay_ms(self, *where: int) -> float:
        """How long a message takes: the same for the same message, whatever else is left out of a story."""
        chance = zlib.crc32(b"".join(part.to_bytes(8, "big") for part in where), self._seed)
        if chance % _SLOW_ONE_IN == 0:
            self.slow += 1
            return 500 + chance // _SLOW_ONE_IN % 8000
        return 1 + chance // _SLOW_ONE_IN % 60

    async def dial(self, client: ProcessLoop, host: Host | None, space: bytes) -> End:
        """A connection to the relay.

        Raises:
            OSError: it can't be had.
        """
        import asyncio

        self._count += 1
        number = self._count
        await asyncio.sleep(self.delay_ms(number, 0, 0) / 1000)
        if host is None or not host.loop.alive:
            raise ConnectionRefusedError
        if self.apart.get(client.name) or self.apart.get(host.loop.name):
            self.fired("partition")
            raise ConnectionRefusedError
        link = Link(self, number, client, host.loop, space)
        self.links[number] = link
        host.accept(link.server)
        return link.client

    def links_of(self, process: ProcessLoop) -> list[Link]:
        return [link for link in self.links.values() if process in (link.client.process, link.server.process)]

    def died(self, process: ProcessLoop, *, quietly: bool) -> None:
        """A process is gone. Its machine says so to the others, or is gone with it."""
        for link in self.links_of(process):
            if quietly:
                link.go_silent()
            else:
                self.clockwork.after(self.delay_ms(link.number, 0, 1), link.sever)

    def part(self, name: str) -> None:
        """Keep a process from everybody."""
        self.apart[name] = self.apart.get(name, 0) + 1
        for link in self.links.values():
            if name in (link.client.process.name, link.server.process.name):
                link.hold("partition")

    def join(self, name: str) -> None:
        """Let it through again."""
        if self.apart.get(name):
            self.apart[name] -= 1
            for link in list(self.links.values()):
                if name in (link.client.process.name, link.server.process.name):
                    link.release()
