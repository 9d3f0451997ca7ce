"""The listening sockets. Whoever is accepted is counted from the first moment to the last, TLS and HTTP included.

The event loop accepts for itself, with nothing in between; so what listens here is a socket whose `accept` asks the gate
first and hands out sockets that tell it when they are closed. That is the one place that sees every connection there is,
even one that never speaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import DATA_OPCODES, Frame
from websockets.protocol import Event

from bide_relay.limits import MINUTE_S, Gate, Visitor
from bide_relay.settings import Settings

BACKLOG = 1024
"""Connections that the system holds for us. With few, a flood makes it drop honest ones, which come back a second later."""
ACCEPTS_A_TURN = 8
"""Connections accepted in one turn of the event loop: so those already here get on as fast as new ones come, and are not
driven out before they had their turn to speak."""


class Guest(socket.socket):
    """An accepted connection that says when it is closed."""

    leaving: Callable[[], None] | None = None

    def close(self) -> None:
        """Close, and say so once."""
        leaving, self.leaving = self.leaving, None
        if leaving is not None:
            leaving()
        super().close()

    def dismiss(self) -> None:
        """End the connection from outside: its owner finds it at its end and closes it."""
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)


class Door(socket.socket):
    """A listening socket with a gate."""

    def __init__(self, bound: socket.socket, gate: Gate, visitors: dict[int, Visitor]) -> None:
        """Take over a bound socket.

        Args:
            bound: it is not to be used any more.
            gate: who may come in.
            visitors: kept up to date: each open connection by the number of its descriptor.
        """
        super().__init__(bound.family, bound.type, bound.proto, fileno=bound.detach())
        self._gate = gate
        self._visitors = visitors
        self._accepted = 0

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection that the gate lets in."""
        while self._accepted < ACCEPTS_A_TURN:
            accepted, address = super().accept()
            if not self._accepted:
                asyncio.get_running_loop().call_soon(self._begin_turn)
            self._accepted += 1
            guest = Guest(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
            number = guest.fileno()
            visitor = Visitor(str(address[0]) if isinstance(address, tuple) else "", guest.dismiss)
            if not self._gate.arrive(visitor):
                guest.close()
                continue
            self._visitors[number] = visitor

            def leaving(number: int = number, visitor: Visitor = visitor) -> None:
                del self._visitors[number]
                self._gate.leave(visitor)

            guest.leaving = leaving
            return guest, address
        # The loop takes that for an empty queue, and asks again in its next turn.
        raise BlockingIOError

    def _begin_turn(self) -> None:
        self._accepted = 0


def watched_connections(settings: Settings) -> type[ServerConnection]:
    """Connections that end when somebody sends control frames without end.

    Each ping is answered by a pong at once, however full the socket is. So one that only pings and never reads could fill
    the memory, and before the relay knows who it is.
    """
    most = settings.control_frames_minute_max

    class Watched(ServerConnection):
        _controls = 0
        _since_s = 0.0

        def process_event(self, event: Event) -> None:
            if isinstance(event, Frame) and event.opcode not in DATA_OPCODES:
                now_s = self.loop.time()
                if now_s - self._since_s >= MINUTE_S:
                    self._controls, self._since_s = 0, now_s
                self._controls += 1
                if self._controls > most:
                    self.transport.abort()
            super().process_event(event)

    return Watched


def bind(host: str, port: int) -> list[socket.socket]:
    """Bound sockets for every address of a name; with port 0 all get the one that the system chose for the first.

    Raises:
        OSError: the address can't be had.
    """
    bound: list[socket.socket] = []
    try:
        infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(infos):
            one = socket.socket(family, kind, protocol)
            bound.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.setblocking(False)
            one.bind((address[0], port or _port(bound), *address[2:]))
    except OSError:
        for one in bound:
            one.close()
        raise
    return bound


def _port(bound: list[socket.socket]) -> int:
    return int(bound[0].getsockname()[1]) if len(bound) > 1 else 0
