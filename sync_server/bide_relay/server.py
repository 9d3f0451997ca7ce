"""The websocket shell: accepts connections, applies the limits, starts and stops.

Whatever a client sends, at worst its own connection ends. Nothing is logged but counts: no ids, no addresses, no keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import http
import logging
import os
import resource
import signal
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from bide.crypto import signing
from bide.errors import BideError, RemoteProtocolError, StorageError
from bide.ids import SpaceId
from bide.protocol.codec import encode_frame
from bide.protocol.frames import FORGOTTEN_DAYS, VERSION, Auth, Error, Frame, Hello, MailboxClaim, MailboxOpen
from bide.protocol.session import RelaySession
from bide_relay.committer import Committer, Use
from bide_relay.connection import DeviceConnection, error_frame
from bide_relay.door import BACKLOG, Door, bind, watched_connections
from bide_relay.errors import ShuttingDown, SpaceForgotten, TooManyConnections
from bide_relay.limits import Budget, Gate, Visitor
from bide_relay.logs import NAME, kind_of, log_failure, where
from bide_relay.mailboxes import Mailboxes
from bide_relay.metrics import Metric, serve_metrics
from bide_relay.rooms import Room
from bide_relay.service import load_state
from bide_relay.settings import Settings
from bide_relay.storage.base import Entry, Span, Storage

log = logging.getLogger(NAME)

_POOL_THREADS = 4
_FAREWELL_S = 1.0
_EXIT_FAILED = 70
_GC_THRESHOLD = 20_000
_DAY_S = 86_400
_FILES_BESIDE = 256
"""Descriptors for the database, the readers, and connections that are being closed."""
_SWITCH_INTERVAL_S = 0.0005
"""How long a thread may keep the interpreter: the event loop and the committer hand over often, in small pieces."""


def end_process(error: BaseException) -> None:
    """Say that nothing can be promised any more, and end at once, without any further write."""
    log.critical("the relay ends: %s: %s", type(error).__name__, error)
    logging.shutdown()
    os._exit(_EXIT_FAILED)


class _Opening:
    """A room that is open, or about to be."""

    __slots__ = ("room", "waiting")

    def __init__(self, room: asyncio.Future[Room | None]) -> None:
        self.room = room
        self.waiting = 0
        """Connections that wait for it."""

    def unused(self) -> bool:
        """Whether it is of no use to anybody: nobody waits for it or holds it, or there is no such space."""
        if not self.room.done():
            return False
        if self.room.cancelled() or self.room.exception() is not None:
            return True
        room = self.room.result()
        return room is None or (room.holders == 0 and self.waiting == 0)


class RelayServer:
    """One relay: storage, committer, rooms, and the listening socket."""

    def __init__(self, storage: Storage, settings: Settings, *, fail: Callable[[BaseException], None] = end_process) -> None:
        """Prepare; nothing runs until `start`.

        Args:
            storage: open; the caller closes it after `stop`.
            settings: every limit.
            fail: what to do when storing failed in a way that must not be tried again. Must not return to normal work.
        """
        self.settings = settings
        self._storage = storage
        self._fail = fail
        self._identity = storage.identity()
        self._relay_key = signing.public_key(self._identity.signing_seed)
        self._gate = Gate(settings, time.monotonic)
        self._mailboxes = Mailboxes(settings, self._gate)
        self._rooms: dict[SpaceId, _Opening] = {}
        self._devices: set[DeviceConnection] = set()
        self._pool = ThreadPoolExecutor(_POOL_THREADS, thread_name_prefix="reader")
        self._marked: dict[DeviceConnection, None] = {}
        self._stopping = False
        self._all_gone = asyncio.Event()
        self._servers: list[Server] = []
        self._visitors: dict[int, Visitor] = {}
        """Every open connection, by the number of its socket."""
        self._today = 0
        self._used_today: set[SpaceId] = set()
        self._metrics: asyncio.Server | None = None
        self.uploads = Budget(settings.uploads_in_flight_bytes_max)
        self._counter: asyncio.Task[None] | None = None
        self.committer: Committer

    # Life

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Begin to listen.

        Returns:
            The port, which the system chooses if `port` is 0.

        Raises:
            OSError: the address can't be had.
        """
        settings = self.settings
        self.committer = Committer(self._storage, settings, loop=asyncio.get_running_loop(), fail=self._fail)
        quiet = logging.getLogger("bide_relay.websockets")
        # The library's own lines name addresses and show what clients sent.
        quiet.disabled = True
        for bound in bind(host, port):
            server = await serve(
                self._handle,
                sock=Door(bound, self._gate, self._visitors),
                backlog=BACKLOG,
                ssl=tls,
                compression=None,
                process_request=self._answer_http,
                server_header=None,
                open_timeout=settings.open_timeout_s,
                close_timeout=settings.close_timeout_s,
                ping_interval=settings.ping_interval_s,
                ping_timeout=settings.ping_timeout_s,
                max_size=settings.frame_bytes_before_auth_max,
                max_queue=(settings.receive_queue_frames_max, None),
                write_limit=settings.send_buffer_bytes,
                logger=quiet,
                create_connection=watched_connections(settings),
            )
            self._servers.append(server)
        if settings.metrics_port:
            self._metrics = await serve_metrics(settings.metrics_port, self._counts)
        self._counter = asyncio.create_task(self._log_counts())
        return int(next(iter(self._servers[0].sockets)).getsockname()[1])

    async def stop(self) -> bool:
        """Stop accepting, finish what is being stored, say goodbye, close. Returns whether all of it was stored in time."""
        assert self._counter is not None  # started
        self._stopping = True
        self._counter.cancel()
        for server in self._servers:
            server.server.close()
        if self._metrics is not None:
            self._metrics.close()
        loop = asyncio.get_running_loop()
        drained = await loop.run_in_executor(self._pool, self.committer.stop, self.settings.stop_timeout_s)
        # One turn of the loop delivers the last results; then each connection says what it still has to say.
        await asyncio.sleep(0)
        for device in list(self._devices):
            device.end(ShuttingDown())
        with contextlib.suppress(TimeoutError):
            if self._devices:
                async with asyncio.timeout(_FAREWELL_S):
                    await self._all_gone.wait()
        for server in self._servers:
            server.close(code=1001)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.settings.close_timeout_s + _FAREWELL_S):
                for server in self._servers:
                    await server.wait_closed()
        self._pool.shutdown(wait=False, cancel_futures=True)
        return drained

    # Connections

    def _answer_http(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return None
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "ok\n")
        if request.path == "/":
            response = connection.respond(http.HTTPStatus.UPGRADE_REQUIRED, "This is a Bide relay; it speaks websocket.\n")
            response.headers["Upgrade"] = "websocket"
            return response
        return connection.respond(http.HTTPStatus.NOT_FOUND, "There is nothing here.\n")

    def _address(self, ws: ServerConnection) -> str:
        """Where a connection comes from; what a proxy says counts only if it is the trusted one."""
        remote = ws.remote_address
        address = str(remote[0]) if isinstance(remote, tuple) and remote else ""
        if address and address == self.settings.trusted_proxy and ws.request is not None:
            named = ws.request.headers.get_all("X-Forwarded-For")
            if named:
                # The last one is what the proxy itself saw; those before it the client could have made up.
                return named[-1].rsplit(",", 1)[-1].strip()
        return address

    def _greet(self, ws: ServerConnection) -> RelaySession:
        settings = self.settings
        limits = {
            "frame_bytes_max": settings.frame_bytes_max,
            "batch_bytes_max": settings.batch_bytes_max,
            "batch_envelopes_max": settings.batch_envelopes_max,
            "space_bytes_max": settings.space_bytes_max,
            "space_entries_max": settings.space_entries_max,
            FORGOTTEN_DAYS: settings.forgotten_days,
        }
        host = settings.host or (ws.request.headers.get("Host", "") if ws.request is not None else "")
        hello = Hello([VERSION], self._relay_key, os.urandom(32), self._identity.store_id, limits)
        return RelaySession(hello, signing_seed=self._identity.signing_seed, host=host)

    async def _handle(self, ws: ServerConnection) -> None:
        """One connection, from its opening to its end."""
        visitor = self._visitors.get(ws.transport.get_extra_info("socket").fileno())
        if visitor is None:  # it is closed already
            return
        before, visitor.address = visitor.address, self._address(ws)
        visitor.by_proxy, visitor.evict = visitor.address != before, lambda: _evict(ws)
        session = self._greet(ws)
        try:
            self._gate.enter(visitor)
            if self._stopping:
                raise ShuttingDown
            await self._serve(ws, session, visitor)
        except ConnectionClosed:
            pass
        except TimeoutError:
            await self._goodbye(ws, session, RemoteProtocolError("The other side took too long."))
        except Exception as error:
            if isinstance(error, BideError) and not isinstance(error, StorageError):
                await self._goodbye(ws, session, error)
            else:  # a bug here, or a damaged database, must cost one connection, and must be heard of
                self.report(error)
                await self._goodbye(ws, session, BideError("The relay made a mistake."))

    async def _serve(self, ws: ServerConnection, session: RelaySession, visitor: Visitor) -> None:
        async with asyncio.timeout(self.settings.auth_timeout_s):
            for message in session.data_to_send():
                await ws.send(message)
            frame = await self.receive_off_loop(session, await ws.recv(decode=False))
        if isinstance(frame, MailboxOpen | MailboxClaim):
            self._gate.known(visitor)
            await self._mailboxes.serve(ws, session, frame, visitor.address)
        elif isinstance(frame, Auth):

            def known() -> None:
                self._gate.known(visitor)
                ws.protocol.max_message_size = self.settings.frame_bytes_max

            # Anybody can prove a key that they just made: only one that some space is asked for with is somebody's.
            device = DeviceConnection(self, ws, session, frame, known)
            self._devices.add(device)
            try:
                await device.serve()
            finally:
                self._devices.discard(device)
                if self._stopping and not self._devices:
                    self._all_gone.set()

    async def _goodbye(self, ws: ServerConnection, session: RelaySession, error: BideError) -> None:
        """Tell a client why, and hang up; it has a few seconds to take it."""
        if not session.closed:
            frame = error_frame(error)
            session.send(Error(frame.code, frame.words, True, frame.retry_after_ms, frame.evidence))
        try:
            async with asyncio.timeout(self.settings.close_timeout_s):
                for message in session.data_to_send():
                    await ws.send(message)
                await ws.close(1001 if isinstance(error, ShuttingDown) else 1008)
        except (ConnectionClosed, TimeoutError):
            ws.transport.abort()

    # What connections ask for

    async def receive_off_loop(self, session: RelaySession, data: bytes) -> Frame:
        """Feed a session off the event loop, where a signature may have to be checked."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, session.receive_data, data)

    async def enter(self, space: SpaceId) -> Room | None:
        """The room of a space, held open until `leave`; None if there is no such space."""
        opening = self._rooms.get(space)
        if opening is None:
            opening = self._rooms[space] = _Opening(asyncio.ensure_future(self._open(space)))
            # Before those who wait go on: who asks next for a space that is not there, or couldn't be read, asks anew.
            opening.room.add_done_callback(lambda _: self._close_unused(space))
        opening.waiting += 1
        try:
            room = await asyncio.shield(opening.room)
            if room is not None:
                room.holders += 1
        finally:
            opening.waiting -= 1
            self._close_unused(space)
        return room

    async def _open(self, space: SpaceId) -> Room | None:
        state = await asyncio.get_running_loop().run_in_executor(self._pool, load_state, self._storage, space)
        if state is None:
            return None
        self._note_use([space])
        return Room(state, self.settings)

    def _note_use(self, spaces: Iterable[SpaceId]) -> None:
        """Let storage know which spaces are in use, once a day each."""
        day = int(time.time() // _DAY_S)
        if day != self._today:
            self._today = day
            self._used_today.clear()
        for space in spaces:
            if space not in self._used_today:
                self._used_today.add(space)
                self.committer.submit(Use(space, day))

    def _close_unused(self, space: SpaceId) -> None:
        opening = self._rooms.get(space)
        if opening is not None and opening.unused():
            del self._rooms[space]

    def leave(self, room: Room) -> None:
        """Let go of a room; the last one closes it."""
        room.holders -= 1
        self._close_unused(room.space)

    async def was_forgotten(self, space: SpaceId) -> bool:
        """Whether a space was here and everybody in it asked the relay to forget it."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._storage.was_forgotten, space)

    def close(self, room: Room) -> None:
        """Send everybody out of a room whose space is gone; who asks for the space from now on finds none."""
        room.gone = True
        opening = self._rooms.get(room.space)
        if opening is not None and opening.room.done() and opening.room.result() is room:
            del self._rooms[room.space]
        for listener in list(room.listeners):
            if isinstance(listener, DeviceConnection):
                listener.end(SpaceForgotten())

    def mark(self, connection: DeviceConnection) -> None:
        """Let a connection send, once, after everything that is being delivered now."""
        if not self._marked:
            asyncio.get_running_loop().call_soon(self._send_marked)
        self._marked[connection] = None

    def _send_marked(self) -> None:
        marked, self._marked = self._marked, {}
        for connection in marked:
            try:
                connection.send_marked()
            except Exception as error:  # a bug here must not keep the others from being served
                self.report(error)

    def report(self, error: Exception) -> None:
        """Log a mistake of the relay's own."""
        log.error("a connection failed: %s at %s", kind_of(error), where(error))

    async def read(self, room: Room, spans: list[Span]) -> list[Entry]:
        """Read from storage, off the event loop."""

        def read() -> list[Entry]:
            return self._storage.read(
                room.space,
                spans,
                bytes_max=self.settings.batch_bytes_max,
                envelopes_max=self.settings.batch_envelopes_max,
            )

        return await asyncio.get_running_loop().run_in_executor(self._pool, read)

    def _counts(self) -> dict[str, Metric]:
        """What Prometheus is told."""
        gate, committer = self._gate, self.committer
        return {
            "connections": Metric("gauge", "Connections that are open.", gate.connections),
            "connections_unauthenticated": Metric("gauge", "Of them, or about to be: not known yet.", gate.unauthenticated),
            "connections_refused_total": Metric("counter", "Connections refused or driven out by a limit.", gate.refused),
            "mailboxes": Metric("gauge", "Connections that are pairing.", gate.mailboxes),
            "spaces_in_use": Metric("gauge", "Spaces with at least one connection.", len(self._rooms)),
            "uploads_in_flight_bytes": Metric("gauge", "Bytes that wait for their commit.", self.uploads.used),
            "envelopes_stored_total": Metric("counter", "Envelopes stored since the start.", committer.envelopes),
            "commits_total": Metric("counter", "Commits since the start.", committer.commits),
            "spaces_forgotten_total": Metric(
                "counter", "Spaces deleted since the start because everybody in them asked.", committer.forgotten
            ),
            "disk_free_bytes": Metric("gauge", "Room left on the disk.", self._storage.free_bytes()),
            "disk_low": Metric("gauge", "1 while writes are refused for lack of disk.", committer.disk_low),
        }

    async def _log_counts(self) -> None:
        before = None
        while True:
            await asyncio.sleep(self.settings.log_interval_s)
            self._note_use(self._rooms)
            done = self.committer
            counts = (self._gate.connections, len(self._rooms), done.envelopes, done.commits, done.forgotten)
            if counts != before:
                words = "connections %d, spaces in use %d, stored since the start %d in %d commits, spaces forgotten %d"
                log.info(words, *counts)
                before = counts


def _evict(ws: ServerConnection) -> None:
    """End a connection at once, with a last word if its socket takes it."""
    frame = encode_frame(error_frame(TooManyConnections("Others are waiting, and you said nothing.")))
    broadcast((ws,), frame)
    ws.transport.abort()


def _allow_files(settings: Settings) -> None:
    """Ask for as many descriptors as the limits of connections need: often only 1,024 are allowed at first."""
    wanted = settings.connections_max + settings.connections_unauthenticated_max + _FILES_BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        log.warning("the system allows %d open files, and the limits of connections need %d", hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def run(
    storage: Storage, settings: Settings, *, host: str, port: int, tls: ssl.SSLContext | None, ready: Callable[[int], None]
) -> bool:
    """Serve until SIGTERM or SIGINT.

    Args:
        storage: open; closed here.
        settings: every limit.
        host: where to listen.
        port: 0 lets the system choose.
        tls: certificates, or None.
        ready: called with the port once connections are accepted.

    Returns:
        Whether everything under way was stored before the end.

    Raises:
        OSError: the address can't be had.
    """
    _allow_files(settings)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    # Envelopes come by the thousand and are in no cycles: looking for cycles among them took a tenth of all time.
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD)

    def thread_failed(args: Any) -> None:
        end_process(args.exc_value or RuntimeError("a thread failed"))

    threading.excepthook = thread_failed

    async def main() -> bool:
        relay = RelayServer(storage, settings)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(log_failure)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        ready(await relay.start(host, port, tls))
        await stop.wait()
        log.info("stopping")
        return await relay.stop()

    drained = asyncio.run(main())
    if drained:
        storage.close()
    return drained
