"""``bide sync --watch``: stay connected, send what is written here at once, take what comes, try again when it breaks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bide.errors import BideError, NotAllowed, RelayUnreachable, StorageError, VerificationFailed
from bide.ids import SpaceId
from bide.replica.spaces.addresses import host_of
from bide.storage.base import SpaceRecord
from bide_cli import failures
from bide_cli.language import sentence
from bide_cli.syncing.background import SOCKET, SOCKET_PATH_BYTES_MAX
from bide_cli.syncing.carrying import Carrier
from bide_cli.syncing.contact import note_contact
from bide_cli.syncing.moving import tend
from bide_cli.syncing.transport import dialled

if TYPE_CHECKING:
    from bide.replica import Replica

BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 60.0
POLL_S = 3.0
"""How often to look for new entries and spaces, should nobody have told."""
TEND_S = 60.0
"""How often to look at relays that were left: often enough for whoever has not followed, and within what relays allow."""
_MOVED = "This journal goes through another relay now."
_POKE_BYTES = 64

Tell = Callable[[str, SpaceRecord, int, str], None]
"""(what: ``reached``, ``lost`` or ``received``; the space; how many; words)."""


class Watcher:
    """Stays connected for every space of a replica."""

    def __init__(self, replica: Replica, home: Path, tell: Tell, *, jitter: random.Random | None = None) -> None:
        """Prepare.

        Args:
            replica: what to sync.
            home: where to listen for writes.
            tell: called with what happened; never with what was written.
            jitter: where randomness for pauses comes from.
        """
        self._replica = replica
        self._home = home
        self._tell = tell
        self._jitter = jitter or random.Random()  # noqa: S311 spreads reconnects, guards nothing
        self._carriers: dict[SpaceId, Carrier] = {}
        self._tasks: dict[SpaceId, asyncio.Task[None]] = {}
        self._urls: dict[SpaceId, str] = {}
        """The relay that each space is connected to."""
        self._tending: asyncio.Task[None] | None = None
        self._heard_own = False
        """The own space was tried: another device of this person may have said there that one of the others rests."""
        self._stop = asyncio.Event()
        self._nobody_listens: OSError | None = None

    async def run(self) -> None:
        """Watch until SIGINT or SIGTERM, whatever becomes of single spaces.

        Raises:
            OSError: nobody reads any more what is told.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        with self._listening(loop):
            while not self._stop.is_set():
                self._look_for_spaces()
                if self._tending is None or self._tending.done():
                    self._tending = asyncio.create_task(self._tend())
                self._send_due()
                self._wake()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), POLL_S)
        tasks = [*self._tasks.values(), *([self._tending] if self._tending else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._nobody_listens is not None:
            raise self._nobody_listens

    def _look_for_spaces(self) -> None:
        try:
            spaces, resting = self._replica.spaces(), self._replica.resting()
            waiting = not self._heard_own and spaces[0].relay_url
        except BideError:
            return  # busy: the next look finds them
        for space in spaces:
            if space.space_id in resting:
                # Out of reach at once: until the task has ended nothing that is written now may wake it.
                self._carriers.pop(space.space_id, None)
                if task := self._tasks.pop(space.space_id, None):
                    task.cancel()
                continue
            if waiting and space.kind != "own":
                continue
            task = self._tasks.get(space.space_id)
            if space.relay_url and (task is None or task.done()):
                self._tasks[space.space_id] = asyncio.create_task(self._keep(space.space_id))
            carrier = self._carriers.get(space.space_id)
            if carrier is not None and self._urls.get(space.space_id) != space.relay_url:
                carrier.break_off(RelayUnreachable(_MOVED))

    async def _tend(self) -> None:
        """Go after a move on another device, and keep in step with relays that were left; then rest a while."""
        with contextlib.suppress(Exception):  # each is tried again, and bide sync tells what is wrong
            await tend(self._replica, [space for space in self._replica.spaces() if space.relay_url], patiently=True)
        await asyncio.sleep(TEND_S)

    def _send_due(self) -> None:
        with contextlib.suppress(BideError):  # busy: the next look finds it
            self._replica.holding.send_due()

    def _wake(self) -> None:
        for carrier in list(self._carriers.values()):
            try:
                carrier.wake()
            except StorageError:
                pass  # busy: the next look finds it
            except Exception as error:
                carrier.break_off(error)

    @contextlib.contextmanager
    def _listening(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Hear of writes by other processes at once. Where that can't be had, looking every few seconds has to do."""
        path = self._home / SOCKET
        if len(os.fsencode(path)) > SOCKET_PATH_BYTES_MAX:
            yield
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.setblocking(False)
            path.unlink(missing_ok=True)  # the lock says that nobody listens on it any more
            receiver.bind(str(path))
            path.chmod(0o600)

            def heard() -> None:
                with contextlib.suppress(OSError):
                    while receiver.recv(_POKE_BYTES):
                        pass
                self._look_for_spaces()
                self._wake()

            loop.add_reader(receiver.fileno(), heard)
            try:
                yield
            finally:
                loop.remove_reader(receiver.fileno())
                path.unlink(missing_ok=True)

    async def _keep(self, space_id: SpaceId) -> None:
        """Stay connected for one space, whatever goes wrong with it: the others have nothing to do with that."""
        tries = 0
        told = ""
        while not self._stop.is_set():
            connection = _Connection()
            words, lasting = "", False
            try:
                space = next((s for s in self._replica.spaces() if s.space_id == space_id), None)
                if space is None or not space.relay_url:
                    return
                connection.space = space
                await self._connect(space, connection)
            except BideError as error:
                words, lasting = sentence(error)[0], isinstance(error, (VerificationFailed, NotAllowed))
                self._note(error)
            except Exception:
                words, lasting = _unforeseen(), True
            self._heard(connection.space)
            if connection.caught_up or not tries or (lasting and words != told):
                self._report("lost", connection.space, 0, words)
                told = words
            # What doesn't mend by trying again is tried less and less often, even if it comes up after catching up.
            tries = 0 if connection.caught_up and not lasting else tries + 1
            await asyncio.sleep(self.pause_s(tries))

    def _heard(self, space: SpaceRecord | None) -> None:
        """Of the own space something came, or it can't be had now: see what rests before anything else is sent."""
        if space is None or space.kind == "own":
            self._heard_own = True
            self._look_for_spaces()

    def _report(self, what: str, space: SpaceRecord | None, count: int, words: str) -> None:
        if space is None:
            return
        try:
            self._tell(what, space, count, words)
        except OSError as error:
            self._nobody_listens = error
            self._stop.set()

    def pause_s(self, failures: int) -> float:
        """How long to wait before the next try: anything up to twice as long as before, so that not all come back at once."""
        return self._jitter.uniform(0, min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(failures, 10)))

    async def _connect(self, space: SpaceRecord, state: _Connection) -> None:
        sync = self._replica.sync_session(space.space_id, host=host_of(space.relay_url), live=True)
        async with dialled(space.relay_url) as connection:
            carrier = Carrier(connection, sync)

            def on_frame() -> None:
                if sync.received > state.received:
                    self._report("received", space, sync.received - state.received, "")
                    state.received = sync.received
                    self._heard(space)
                if sync.finished and not state.caught_up:
                    state.caught_up = True
                    self._heard(space)
                    self._report("reached", space, 0, "")
                    self._note(None)

            self._carriers[space.space_id], self._urls[space.space_id] = carrier, space.relay_url
            try:
                await carrier.run(on_frame)
            finally:
                self._carriers.pop(space.space_id, None)

    def _note(self, error: BideError | None) -> None:
        with contextlib.suppress(Exception):  # only `bide status` shows it
            note_contact(self._replica.storage, code=error.code if error else "", words=sentence(error)[0] if error else "")


class _Connection:
    """What one connection has come to."""

    def __init__(self) -> None:
        self.space: SpaceRecord | None = None
        self.received = 0
        self.caught_up = False


def _unforeseen() -> str:
    """One sentence for an exception that nobody foresaw; its own text could hold what somebody wrote."""
    if failures.debugging():
        failures.show_traceback()
    return failures.UNEXPECTED
