"""Syncing: all the protocol is in `bide.replica.sync.syncing`; here bytes are carried, and the result is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bide.errors import BideError, NotAllowed, RelayUnreachable
from bide.replica.spaces.addresses import host_of
from bide.storage.base import SpaceRecord
from bide_cli.home.locks import SYNC_LOCK, Lock
from bide_cli.language import sentence
from bide_cli.syncing.contact import note_contact
from bide_cli.syncing.transport import as_frame, dialled

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from bide.replica import Replica
    from bide.replica.sync.syncing import SpaceSync
    from bide_cli.terminal.shell import Shell

LOCK_WAIT_S = 30
LOCK_BUSY = "Another sync of this home is still running."
STALL_MAX_S = 60
"""How long a relay may bring nothing forward, however much it says, before a sync gives up."""
_FLUSH_S = 5
INVITE_HINT = "Ask whoever runs it for one, then: bide relay set URL --invite TOKEN"


class Outcome:
    """What a sync of one space did."""

    def __init__(self, space: SpaceRecord, others: list[str]) -> None:
        self.space = space
        self.others = others
        self.sync: SpaceSync | None = None
        self.error: BideError | None = None

    def as_json(self, pending: int) -> dict[str, Any]:
        """For ``bide sync --json``."""
        return {
            "space": self.space.space_id.hex(),
            "with": self.others,
            "kind": self.space.kind,
            "sent": self.sync.sent if self.sync else 0,
            "received": self.sync.received if self.sync else 0,
            "pending": pending,
            "error": self.error.code if self.error else self.sync.declined if self.sync else "",
        }


class Carrier:
    """Carries frames between one sync session and one connection.

    Reading and sending are two tasks: a relay that waits for us to read while we wait for it to read would be a standstill.
    """

    def __init__(self, connection: ClientConnection, sync: SpaceSync) -> None:
        self._connection = connection
        self.sync = sync
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._broken_by: Exception | None = None

    def flush(self) -> None:
        """Hand on what the session wants to send."""
        for message in self.sync.data_to_send():
            self._outbox.put_nowait(message)

    def wake(self) -> None:
        """Send what was written here meanwhile."""
        self.sync.wake()
        self.flush()

    def break_off(self, error: Exception) -> None:
        """End `run` with an error that came up elsewhere."""
        self._broken_by = error
        if self._task is not None:
            self._task.cancel()

    async def run(self, on_frame: Callable[[], None], *, stall_max_s: float = STALL_MAX_S) -> None:
        """Carry until the session is over, or finished if it is not to stay.

        Args:
            on_frame: called after each frame.
            stall_max_s: how long to go on without progress while something is left to do.

        Raises:
            BideError: as `SpaceSync.receive_data`; and `RelayUnreachable` if nothing comes forward.
        """
        self._task = asyncio.current_task()
        sender = asyncio.create_task(self._send())
        try:
            await self._take_frames(on_frame, stall_max_s)
        except asyncio.CancelledError:
            if self._broken_by is None or self._task is None:
                raise
            self._task.uncancel()
            raise self._broken_by from None
        finally:
            self._task = None
            # An error frame, or the last words of a pairing, still go out.
            self.flush()
            drained = asyncio.create_task(self._outbox.join())
            await asyncio.wait({drained, sender}, timeout=_FLUSH_S, return_when=asyncio.FIRST_COMPLETED)
            for task in (drained, sender):
                task.cancel()
            await asyncio.gather(drained, sender, return_exceptions=True)

    async def _take_frames(self, on_frame: Callable[[], None], stall_max_s: float) -> None:
        """Frames that bring nothing forward (old acknowledgements, known entries) don't win time."""
        now = asyncio.get_running_loop().time
        deadline = now() + stall_max_s
        while not self.sync.closed and (self.sync.live or not self.sync.finished):
            before = self.sync.progress, self.sync.finished
            self.sync.receive_data(as_frame(await self._receive(None if self.sync.finished else deadline)))
            self.flush()
            on_frame()
            # Something left to do again, such as after a write while all was exchanged, begins anew as well.
            if (self.sync.progress, self.sync.finished) != before:
                deadline = now() + stall_max_s

    async def _receive(self, deadline: float | None) -> str | bytes:
        """The next frame.

        Args:
            deadline: on the loop's clock; None: there is none, since nothing is left to do.
        """
        try:
            async with asyncio.timeout_at(deadline):
                # A relay that always has a frame ready would never let the clock be looked at.
                await asyncio.sleep(0)
                return await self._connection.recv()
        except TimeoutError:
            raise RelayUnreachable("The relay brought nothing forward for a minute.") from None

    async def _send(self) -> None:
        while True:
            message = await self._outbox.get()
            await self._connection.send(message)
            self._outbox.task_done()


def sync_once(replica: Replica, home: Path, *, on_frame: Callable[[list[Outcome]], None] = lambda _: None) -> list[Outcome]:
    """Sync every space that has a relay, once; one such run at a time in a home.

    An error of one space is noted in its outcome and doesn't keep the others from going.

    Raises:
        StorageBusy: another run didn't end in time.
    """
    with Lock(home / SYNC_LOCK, wait_s=LOCK_WAIT_S, busy=LOCK_BUSY):
        return sync_locked(replica, on_frame=on_frame)


def sync_locked(
    replica: Replica, *, on_frame: Callable[[list[Outcome]], None] = lambda _: None, patiently: bool = False
) -> list[Outcome]:
    """`sync_once` for who holds the lock already; `patiently`: without a relay that was left and is away."""
    return asyncio.run(sync_all(replica, on_frame=on_frame, patiently=patiently))


async def sync_all(
    replica: Replica, *, on_frame: Callable[[list[Outcome]], None] = lambda _: None, patiently: bool = False
) -> list[Outcome]:
    """`sync_locked`, for who has an event loop."""
    from bide_cli.syncing.moving import tend

    view = replica.reader.view()
    outcomes = [Outcome(space, view.others(space.space_id)) for space in replica.spaces() if space.relay_url]
    _leave_out_resting(replica, outcomes)
    if outcomes:
        replica.holding.send_due()
        if outcomes[0].space.kind == "own":
            # What this person paused or left is to be known before anything of it is sent: on another device, or on this one
            # before its home was put back from a backup, which nothing here can tell.
            await _sync_spaces(replica, outcomes[:1], on_frame)
            _leave_out_resting(replica, outcomes)
            await _sync_spaces(replica, outcomes[1:], on_frame)
        else:
            await _sync_spaces(replica, outcomes, on_frame)
        again, errors = await tend(replica, [outcome.space for outcome in outcomes], patiently=patiently)
        for outcome in outcomes:
            outcome.error = outcome.error or errors.get(outcome.space.space_id)
        # What waited for something that arrived just now goes with the same sync; and a home that became another device in one
        # space becomes one in its own, so that its person is told once what it is called.
        if replica.holding.send_due() or replica.storage.meta("own_space_follows"):
            again = {outcome.space.space_id for outcome in outcomes}
        if again:
            await _sync_again(replica, [each for each in outcomes if each.space.space_id in again], on_frame)
        _note(replica, worst_error(outcomes))
    return outcomes


def _note(replica: Replica, error: BideError | None) -> None:
    note_contact(replica.storage, code=error.code if error else "", words=sentence(error)[0] if error else "")


def _leave_out_resting(replica: Replica, outcomes: list[Outcome]) -> None:
    resting = replica.resting()
    outcomes[:] = [outcome for outcome in outcomes if outcome.space.space_id not in resting]


async def _sync_again(replica: Replica, outcomes: list[Outcome], on_frame: Callable[[list[Outcome]], None]) -> None:
    """A second round for the spaces that the first one reached; what both carried counts together."""
    now = {space.space_id: space for space in replica.spaces()}
    firsts = [outcome for outcome in outcomes if outcome.error is None]
    _leave_out_resting(replica, firsts)
    again = [Outcome(now[outcome.space.space_id], outcome.others) for outcome in firsts]
    await _sync_spaces(replica, again, on_frame)
    for first, second in zip(firsts, again, strict=True):
        first.error = second.error
        if first.sync is not None and second.sync is not None:
            second.sync.sent += first.sync.sent
            second.sync.received += first.sync.received
            first.sync = second.sync


def sync_own(replica: Replica, home: Path) -> None:
    """Sync the person's own space once: shows, before anybody is asked to do anything, whether the relay takes this person.

    Raises:
        NotAllowed: it asks for an invite that is missing or spent.
        RelayUnreachable: it can't be had.
        StorageBusy: another run didn't end in time.
    """
    with Lock(home / SYNC_LOCK, wait_s=LOCK_WAIT_S, busy=LOCK_BUSY):
        space = replica.reader.own_space()
        outcome = Outcome(space, [])
        asyncio.run(_sync_spaces(replica, [outcome], lambda _: None))
        _note(replica, outcome.error)
    if outcome.sync is not None and outcome.sync.declined:
        raise NotAllowed("This relay asks for an invite.", hint=INVITE_HINT)
    # What else may be wrong with the own space, such as no more room in it, is no matter of pairing.
    error = outcome.error
    if isinstance(error, RelayUnreachable) or (isinstance(error, NotAllowed) and "--invite" in error.hint):
        raise error


async def _sync_spaces(replica: Replica, outcomes: list[Outcome], on_frame: Callable[[list[Outcome]], None]) -> None:
    async def one(outcome: Outcome) -> None:
        try:
            outcome.sync = replica.sync_session(outcome.space.space_id, host=host_of(outcome.space.relay_url))
            async with dialled(outcome.space.relay_url) as connection:
                await Carrier(connection, outcome.sync).run(lambda: on_frame(outcomes))
        except BideError as error:
            outcome.error = error

    await asyncio.gather(*(one(outcome) for outcome in outcomes))


def sync_now(replica: Replica, home: Path) -> BideError | None:
    """`sync_once`, if there is a relay; what kept it from going, if anything did."""
    if not any(space.relay_url for space in replica.spaces()):
        return None
    try:
        return worst_error(sync_once(replica, home))
    except BideError as busy:
        return busy


def worst_error(outcomes: list[Outcome]) -> BideError | None:
    """The error to tell: something refused weighs more than a relay that is away."""
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    return min(errors, key=lambda error: isinstance(error, RelayUnreachable), default=None)


def tell_own_devices(shell: Shell, replica: Replica) -> bool:
    """Bring what was just said in the own space to the relay, if other devices of mine are to hear of it; a paper is one.

    Returns:
        Whether there are others than a paper.
    """
    from bide.replica.spaces.personal import my_devices

    active = [device for device in my_devices(replica.storage) if device.active]
    if len(active) > 1 and replica.relay():
        with contextlib.suppress(BideError):  # then it goes with the next sync
            sync_now(replica, shell.home)
    return sum(not device.on_paper for device in active) > 1
