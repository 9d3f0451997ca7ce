"""Pairing mailboxes: two connections that need not say who they are, brought together by a number. In memory only.

A nameplate is dead after one claim, whatever comes of it, and after its time. Messages are handed from one side to the
other as they come: the relay reads on only once the other side's socket took the last one.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import assert_never

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from bide.errors import LocalProtocolError, RemoteProtocolError
from bide.protocol.frames import (
    Frame,
    MailboxClaim,
    MailboxClosed,
    MailboxMessage,
    MailboxOpen,
    MailboxOpened,
    MailboxReady,
)
from bide.protocol.session import RelaySession
from bide_relay.errors import RelayRefusal, TooManyConnections
from bide_relay.limits import Gate
from bide_relay.settings import Settings

_RANGES = (99, 999, 9_999, 99_999, 999_999)


class MailboxEnd:
    """One connection of a pairing."""

    def __init__(self, ws: ServerConnection, session: RelaySession) -> None:
        """Begin alone."""
        self.ws = ws
        self.session = session
        self.peer: MailboxEnd | None = None
        self.nameplate = 0

    async def deliver(self, frame: Frame) -> None:
        """Send, waiting for the socket to take it. A side that is gone or closed is no error."""
        with contextlib.suppress(ConnectionClosed, LocalProtocolError):
            self.session.send(frame)
            for message in self.session.data_to_send():
                await self.ws.send(message)

    async def end(self, reason: str) -> None:
        """Say that it is over, and hang up."""
        await self.deliver(MailboxClosed(reason))
        await self.ws.close()


class Mailboxes:
    """All pairings under way."""

    def __init__(self, settings: Settings, gate: Gate) -> None:
        """Begin with none."""
        self._settings = settings
        self._gate = gate
        self._waiting: dict[int, MailboxEnd] = {}
        self._random = random.SystemRandom()
        self._endings: set[asyncio.Task[None]] = set()

    def open(self, end: MailboxEnd) -> int:
        """A nameplate for `end`: small, random among those free, and from a wider range when many are taken."""
        taken = len(self._waiting)
        top = next((top for top in _RANGES if taken < top // 2), _RANGES[-1])
        number = self._random.randint(1, top)
        while number in self._waiting:
            number = self._random.randint(1, top)
        self._waiting[number] = end
        end.nameplate = number
        return number

    def claim(self, nameplate: int) -> MailboxEnd | None:
        """Whoever waits under a nameplate, which is dead from now on."""
        return self._waiting.pop(nameplate, None)

    def forget(self, end: MailboxEnd) -> None:
        """Free the nameplate of `end` if it was not claimed."""
        if self._waiting.get(end.nameplate) is end:
            del self._waiting[end.nameplate]

    async def serve(self, ws: ServerConnection, session: RelaySession, first: MailboxOpen | MailboxClaim, address: str) -> None:
        """Serve one connection that began with `first`, to its end.

        Raises:
            RelayRefusal: too many mailboxes, or claims from this address.
            RemoteProtocolError: the client broke the protocol.
            ConnectionClosed: it went away.
        """
        if self._gate.mailboxes >= self._settings.mailboxes_max:
            raise TooManyConnections("Too many pairings are under way.")
        end = MailboxEnd(ws, session)
        self._gate.mailboxes += 1
        reason = "gone"
        try:
            async with asyncio.timeout(self._settings.mailbox_expires_s):
                if await self._begin(end, first, address):
                    reason = await self._pass_on(end)
        except TimeoutError:
            reason = "expired"
            await end.deliver(MailboxClosed(reason))
        except (RelayRefusal, RemoteProtocolError):
            reason = "failed"
            raise
        finally:
            self._gate.mailboxes -= 1
            self.forget(end)
            peer, end.peer = end.peer, None
            if peer is not None:
                peer.peer = None
                # On its own: a side that doesn't read takes its time to hang up, and this one must not wait for it.
                ending = asyncio.get_running_loop().create_task(peer.end(reason))
                self._endings.add(ending)
                ending.add_done_callback(self._endings.discard)

    async def _begin(self, end: MailboxEnd, first: MailboxOpen | MailboxClaim, address: str) -> bool:
        match first:
            case MailboxOpen():
                await end.deliver(MailboxOpened(self.open(end), self._settings.mailbox_expires_s))
                return True
            case MailboxClaim():
                self._gate.claim(address)
                opener = self.claim(first.nameplate)
                if opener is None:
                    await end.deliver(MailboxClosed("unknown"))
                    return False
                end.peer, opener.peer = opener, end
                await opener.deliver(MailboxReady())
                await end.deliver(MailboxReady())
                return True
            case _:
                assert_never(first)

    async def _pass_on(self, end: MailboxEnd) -> str:
        """Hand messages over until one side closes; returns the reason to tell the other."""
        left = self._settings.mailbox_messages_max
        while True:
            data = await end.ws.recv(decode=False)
            if end.session.closed:
                return "gone"
            frame = end.session.receive_data(data)
            if isinstance(frame, MailboxClosed):
                return frame.reason
            if isinstance(frame, MailboxMessage):
                left -= 1
                if left < 0:
                    raise RemoteProtocolError("That is too much for a pairing.")
                if end.peer is not None:
                    await end.peer.deliver(frame)
            elif end.session.closed:
                return "failed"
