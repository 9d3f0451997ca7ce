"""One device's connection, from its hello to its end.

The handler task reads, and hands what it read to the committer. What there is to send is sent at once if the socket takes
it, else by a sender task, which exists only as long as it has something to do. Neither waits for the other, so upload and
download run at once, and an idle connection is one task.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from websockets.asyncio.server import ServerConnection, broadcast
from websockets.exceptions import ConnectionClosed

from bide.errors import BideError, ForkDetected, RemoteProtocolError
from bide.ids import DeviceId, LogId, SpaceId
from bide.log.chain import Head
from bide.protocol.frames import Auth, CaughtUp, Envelopes, Error, Forget, Forgotten, LogHead, Register, Stored, Want
from bide.protocol.session import RelaySession, as_sentence
from bide_relay.committer import Committer, Forgetting, Founding, Outcome, Staying, Upload
from bide_relay.errors import (
    DeviceRevoked,
    NotAMember,
    RateLimited,
    RelayRefusal,
    ShuttingDown,
    SpaceForgotten,
    SpaceUnknown,
    TooManyConnections,
)
from bide_relay.limits import Budget, Throttle
from bide_relay.rooms import Cursor, Room
from bide_relay.settings import Settings
from bide_relay.storage.base import Entry, Span

_SEQ_AT = slice(24, 32)
_LOG_AT = slice(8, 24)


class Relay(Protocol):
    """What a connection needs of the relay around it."""

    settings: Settings
    committer: Committer
    uploads: Budget
    """What may wait for its commit, of all connections together."""

    async def enter(self, space: SpaceId) -> Room | None:
        """The room of a space, held open until `leave`; None if there is no such space."""
        ...

    def leave(self, room: Room) -> None:
        """Let go of a room."""
        ...

    async def was_forgotten(self, space: SpaceId) -> bool:
        """Whether a space was here and everybody in it asked the relay to forget it."""
        ...

    def close(self, room: Room) -> None:
        """Send everybody out of a room whose space is gone."""
        ...

    def mark(self, connection: DeviceConnection) -> None:
        """Call the connection's `send_marked` once, after everything that is being delivered now."""
        ...

    def report(self, error: Exception) -> None:
        """Log a mistake of the relay's own."""
        ...

    async def read(self, room: Room, spans: list[Span]) -> list[Entry]:
        """Read from storage, off the event loop."""
        ...

    async def receive_off_loop(self, session: RelaySession, data: bytes) -> object:
        """Feed a session off the event loop, where a signature may have to be checked."""
        ...


class _Step(Enum):
    """What there is to send next."""

    PREPARED = "prepared"
    SLOW = "slow"
    """It takes waiting: for storage, or to the end of the connection."""
    NOTHING = "nothing"


class DeviceConnection:
    """A connection that said which device of which space it is."""

    def __init__(
        self, relay: Relay, ws: ServerConnection, session: RelaySession, auth: Auth, known: Callable[[], None]
    ) -> None:
        """Begin with a proof that was verified; `known` is called once the space is here."""
        self._relay = relay
        self._ws = ws
        self._session = session
        self._known = known
        self.device = DeviceId(auth.device)
        self._space = SpaceId(auth.space)
        self._cursor: Cursor | None = None
        """None until the client said what it has."""
        self._room: Room | None = None
        self._acknowledge: dict[LogId, Head] = {}
        self._notices: list[Error] = []
        self._asked_to_forget = False
        self._answers: list[Forgotten] = []
        self._caught_up = False
        self._ending: BideError | None = None
        self._sender: asyncio.Task[None] | None = None
        self._uploads_in_flight = 0
        self._upload_done = asyncio.Event()
        self._progress_s = time.monotonic()
        self._provisional_timer: asyncio.TimerHandle | None = None

    # Reading

    async def serve(self) -> None:
        """Serve the connection to its end.

        Raises:
            BideError: to be told to the client as a fatal error, and the end.
            ConnectionClosed: it went away.
        """
        settings = self._relay.settings
        async with asyncio.timeout(settings.auth_timeout_s):
            room = await self._relay.enter(self._space) or await self._register()
        self._known()
        if self.device in room.roster.revoked:
            self._relay.leave(room)
            raise DeviceRevoked
        self._room = room
        try:
            self._make_way(room)
            async with asyncio.timeout(settings.auth_timeout_s):
                await self._welcome(room)
            room.listeners[self] = None
            if room.gone:
                raise SpaceForgotten
            self.wake()
            await self._read_on(room)
            if self._ending is not None and self._sender is None:
                # What came next was read before the goodbye was begun; it must go out all the same.
                self._start_sender()
            if self._sender is not None:
                await asyncio.wait({self._sender}, timeout=settings.close_timeout_s)
        finally:
            room.listeners.pop(self, None)
            if not self._is_member():
                room.throttles.pop(self.device, None)
            if self._provisional_timer is not None:
                self._provisional_timer.cancel()
            self._relay.leave(room)

    async def _register(self) -> Room:
        unknown = SpaceForgotten() if await self._relay.was_forgotten(self._space) else SpaceUnknown()
        self._session.send(Error(unknown.code, unknown.message, False, 0, []))
        await self._flush()
        frame = self._session.receive_data(await self._ws.recv(decode=False))
        if not isinstance(frame, Register):
            raise RemoteProtocolError
        answer: asyncio.Future[BideError | None] = asyncio.get_running_loop().create_future()

        def answered(refusal: BideError | None) -> None:
            if not answer.done():
                answer.set_result(refusal)

        self._relay.committer.submit(Founding(self._space, frame.genesis, frame.invite, answered))
        refusal = await answer
        if refusal is not None:
            raise refusal
        room = await self._relay.enter(self._space)
        if room is None:
            raise SpaceUnknown
        return room

    def _make_way(self, room: Room) -> None:
        """Close this device's oldest connections beyond the limit: they are most likely dead."""
        mine = [other for other in room.listeners if other.device == self.device and isinstance(other, DeviceConnection)]
        for other in mine[: len(mine) + 1 - self._relay.settings.connections_per_device_max]:
            room.listeners.pop(other, None)
            other.end(TooManyConnections("This device has newer connections."))

    async def _welcome(self, room: Room) -> None:
        provisional = not self._is_member()
        # Someone who is no member yet learns nothing about the space; what they bring proves itself.
        heads: list[tuple[bytes, int, bytes]] = []
        if not provisional:
            heads = [(log, seq, digest) for log, (seq, digest) in room.heads.items()]
        self._session.welcome(heads, provisional=provisional)
        await self._flush()
        frame = self._session.receive_data(await self._ws.recv(decode=False))
        if not isinstance(frame, Want):
            raise RemoteProtocolError
        self._cursor = Cursor({LogId(log): seq for log, seq in frame.have})
        if provisional:
            self._watch_provisional()
        elif room.state.leaving:
            self._relay.committer.submit(Staying(room.state, self.device))

    async def _read_on(self, room: Room) -> None:
        settings, ws, session = self._relay.settings, self._ws, self._session
        now_s = time.monotonic
        throttle = room.throttles.get(self.device)
        if throttle is None:
            throttle = room.throttles[self.device] = Throttle(settings, now_s())
        while True:
            data = await ws.recv(decode=False)
            if self._ending is not None:
                return
            frame = session.receive_data(data)
            if isinstance(frame, Envelopes):
                await self._submit(room, frame.envelopes)
                while self._uploads_in_flight >= settings.uploads_in_flight_max:
                    self._upload_done.clear()
                    await self._upload_done.wait()
            elif isinstance(frame, Forget):
                self._forget(room)
            elif session.closed:
                return
            delay_s = throttle.delay_s(len(data), now_s())
            if delay_s > 0:
                # Not reading is the answer to too much: the sender's socket fills, and it waits.
                await asyncio.sleep(delay_s)

    async def _submit(self, room: Room, batch: list[bytes]) -> None:
        size = sum(map(len, batch))
        uploads = self._relay.uploads
        await uploads.take(size)
        self._uploads_in_flight += 1
        # Whoever uploaded may leave; the state must not be loaded anew before what is under way is stored.
        room.holders += 1

        def stored(outcome: Outcome) -> None:
            uploads.give_back(size)
            self._uploads_in_flight -= 1
            self._upload_done.set()
            if self._cursor is not None:
                self._cursor.uploaded(_stretches(batch, outcome.stored))
            room.apply(outcome, self)
            self._note(outcome)
            self._relay.leave(room)

        self._relay.committer.submit(Upload(room.state, batch, size, stored))

    def _forget(self, room: Room) -> None:
        """Note the person's wish, once in a connection: each is a commit of its own."""
        if self._asked_to_forget:
            raise RateLimited
        self._asked_to_forget = True
        room.holders += 1

        def noted(gone: bool, refusal: BideError | None) -> None:
            if refusal is not None:
                self.end(refusal)
            else:
                self._answers.append(Forgotten(gone))
                self.wake()
            if gone:
                self._relay.close(room)
            self._relay.leave(room)

        self._relay.committer.submit(Forgetting(room.state, self.device, noted))

    def _note(self, outcome: Outcome) -> None:
        """Take in what became of an upload of this connection."""
        if outcome.stored:
            self._progress_s = time.monotonic()
            self._acknowledge.update(outcome.stored)
        if outcome.refusal is not None:
            refusal = outcome.refusal
            if isinstance(refusal, RelayRefusal) and not refusal.fatal:
                self._notices = [error_frame(refusal)]
            else:
                self.end(refusal)
        self.wake()

    # Membership

    def _is_member(self) -> bool:
        return self._room is not None and self.device in self._room.roster.members

    def _watch_provisional(self) -> None:
        """End a connection whose device neither is a member nor brings what would make it one."""
        self._provisional_timer = None
        if self._is_member():
            return
        left_s = self._progress_s + self._relay.settings.provisional_timeout_s - time.monotonic()
        if left_s <= 0 and not self._uploads_in_flight:
            self.end(NotAMember())
            return
        loop = asyncio.get_running_loop()
        self._provisional_timer = loop.call_later(max(left_s, 0.05), self._watch_provisional)

    # Sending

    def wake(self) -> None:
        """See to it that everything there is to send is sent soon. Does nothing if that is under way."""
        if self._sender is None and self._cursor is not None:
            self._relay.mark(self)

    def send_marked(self) -> None:
        """Send what can be sent at once, and leave the rest to a sender task.

        While the socket takes everything, a message is written here and now, which costs half of what a task would. As soon
        as anything waits in the write buffer, or storage must be read, the task takes over and goes at the client's pace.
        """
        while self._sender is None:
            if self._ws.transport.get_write_buffer_size() > 0 or (step := self._prepare()) is _Step.SLOW:
                self._start_sender()
            elif step is _Step.NOTHING:
                return
            else:
                for message in self._session.data_to_send():
                    broadcast((self._ws,), message)

    def _start_sender(self) -> None:
        self._sender = asyncio.get_running_loop().create_task(self._send_all())

    def end(self, error: BideError) -> None:
        """Tell the client what is wrong and close. Returns at once."""
        if self._ending is None:
            self._ending = error
            loop = asyncio.get_running_loop()
            # A reader that stalls must not keep the connection by never taking the goodbye.
            loop.call_later(self._relay.settings.close_timeout_s, self._abort)
            self.wake()

    def _abort(self) -> None:
        self._ws.transport.abort()

    async def _send_all(self) -> None:
        try:
            while (step := self._prepare()) is not _Step.NOTHING:
                if step is _Step.SLOW and not await self._send_slowly():
                    return
                await self._flush()
        except ConnectionClosed:
            pass
        except Exception as error:  # a client that waits for what never comes is worse than one that is cut off
            self._relay.report(error)
            self._abort()
        finally:
            self._sender = None

    def _prepare(self) -> _Step:
        """Put the next frame into the session, if that takes no waiting."""
        session = self._session
        if session.closed:
            return _Step.NOTHING
        if self._acknowledge:
            heads, self._acknowledge = self._acknowledge, {}
            session.send(Stored([LogHead(*head) for head in heads.values()]))
            return _Step.PREPARED
        if self._answers:
            session.send(self._answers.pop())
            return _Step.PREPARED
        if self._notices:
            session.send(self._notices.pop())
            return _Step.PREPARED
        if self._ending is not None:
            return _Step.SLOW
        room, cursor = self._room, self._cursor
        if room is not None and self.device in room.roster.revoked:
            self.end(DeviceRevoked())
            return _Step.SLOW
        if room is None or cursor is None or self.device not in room.roster.members:
            return _Step.NOTHING
        spans = room.spans(cursor)
        if spans:
            settings = self._relay.settings
            entries = room.recent(spans, bytes_max=settings.batch_bytes_max, envelopes_max=settings.batch_envelopes_max)
            if not entries:
                return _Step.SLOW
            self._put(cursor, entries)
            return _Step.PREPARED
        if self._caught_up:
            return _Step.NOTHING
        self._caught_up = True
        session.send(CaughtUp())
        return _Step.PREPARED

    async def _send_slowly(self) -> bool:
        """Do what takes waiting: read storage, or say goodbye. False: there is nothing to go on with."""
        room, cursor = self._room, self._cursor
        if self._ending is not None:
            self._session.send(error_frame(self._ending))
            await self._flush()
            await self._ws.close(1001 if isinstance(self._ending, ShuttingDown) else 1008)
            return False
        if room is None or cursor is None:
            return False
        entries = await self._relay.read(room, room.spans(cursor))
        if self._session.closed:
            return False
        if not entries:
            # They were deleted meanwhile, or are damaged. Whoever had something to say since found a sender at work.
            return bool(self._acknowledge or self._answers or self._notices or self._ending)
        self._put(cursor, entries)
        return True

    def _put(self, cursor: Cursor, entries: list[Entry]) -> None:
        for log, seq, _ in entries:
            cursor.advance(log, seq)
        self._session.send(Envelopes([entry.data for entry in entries]))

    async def _flush(self) -> None:
        for message in self._session.data_to_send():
            await self._ws.send(message)


def error_frame(error: BideError) -> Error:
    """The frame that tells a client of an error."""
    evidence = [error.evidence] if isinstance(error, ForkDetected) and error.evidence else []
    fatal = error.fatal if isinstance(error, RelayRefusal) else True
    retry_after_ms = error.retry_after_ms if isinstance(error, RelayRefusal) else 0
    return Error(error.code, as_sentence(error.message), fatal, retry_after_ms, evidence)


def _stretches(batch: list[bytes], stored: dict[LogId, Head]) -> list[tuple[LogId, int, int]]:
    """For each log of an upload that is here now: its first seq in the batch, and how far it is here."""
    first: dict[LogId, int] = {}
    for data in batch:
        first.setdefault(LogId(data[_LOG_AT]), int.from_bytes(data[_SEQ_AT], "big"))
    return [(log, first[log], head.seq) for log, head in stored.items()]
