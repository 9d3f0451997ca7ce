"""The processes of a world: devices with the real `Replica` and the real carrier of the command line, and the real relay.

Of the relay everything runs but the listening socket, TLS and HTTP: `RelayServer` with its connections, rooms, gate and limits,
its rules and its storage. The committer's thread is a timer here, so that what comes while it works is drawn from the seed.
"""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from websockets.exceptions import ConnectionClosed

from bide.errors import BideError, EnvelopeRejected, StorageError
from bide.ids import EntryId, LogId, SpaceId
from bide.log.chain import empty_head
from bide.log.envelope import parse_envelope
from bide.log.leaving import is_erased
from bide.replica.derivation.deriving import open_event
from bide.replica.replica import Replica
from bide.replica.spaces.addresses import host_of
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.relays import due, read_formers
from bide.storage.base import SpaceRecord, Storage
from bide.testing import SeededRandomness
from bide_cli.syncing.carrying import Carrier
from bide_cli.syncing.moving import tend
from bide_cli.syncing.transport import told_plainly
from bide_relay.committer import Committer, Job
from bide_relay.limits import Visitor
from bide_relay.server import RelayServer
from bide_relay.settings import Settings
from simulation.clockwork import START_MS, Clockwork, Crashed, begin_process
from simulation.disks import Disk
from simulation.network import End
from simulation.shown import require_shown

if TYPE_CHECKING:
    from simulation.world import World

HOST = "127.0.0.1:8765"
URL = f"ws://{HOST}"
SETTINGS = Settings(
    registration="open",
    host=HOST,
    disk_free_bytes_min=0,
    # Small, so that what takes many messages, or a look into storage, happens with a handful of entries too.
    batch_bytes_max=8192,
    batch_envelopes_max=6,
    recent_bytes_per_space_max=4096,
)


class Said(NamedTuple):
    """One event, in whatever log it stands: what is said again in another log is the same."""

    space: SpaceId
    entry: EntryId
    change: bytes


class Place(NamedTuple):
    """Where an event was written."""

    log: LogId
    seq: int
    hash: bytes


def waits(storage: Storage, said: Said, at: Place) -> bool:
    """Whether something that was said, there or since in a later log, was taken out of it and waits to be said again."""
    epochs = storage.epochs(said.space)
    for each in storage.displaced(said.space, waiting=True):
        if each.envelope.hash == at.hash:
            return True
        with contextlib.suppress(EnvelopeRejected):
            event = open_event(parse_envelope(each.envelope.data), space=said.space, epochs=epochs)
            if (event.entry_id, event.change) == (said.entry, said.change):
                return True
    return False


class SkewedClock:
    """A device's clock: wrong by as much as somebody made it."""

    def __init__(self, clockwork: Clockwork) -> None:
        self._clockwork = clockwork
        self.off_ms = 0

    def now_ms(self) -> int:
        return max(0, int(START_MS + self._clockwork.now_ms) + self.off_ms)


class Process:
    """Something that can crash at any moment and come back from its disk."""

    kind = ""
    """How its crashes are counted."""

    def __init__(self, world: World, name: str, disk: Disk) -> None:
        self.world = world
        self.name = name
        self.disk = disk
        self.lives = 0
        self.crash_in = 0
        """At how many writes from now it ends; 0: at none."""
        self.loop = begin_process(world.clockwork, name, failed=world.failed)
        self.loop.alive = False
        self._left: Any = None

    @property
    def alive(self) -> bool:
        return self.loop.alive

    def reached(self, kind: str) -> None:
        """A place where the process may end; see `simulation.disks`."""
        if not self.loop.alive:
            raise Crashed
        if self.crash_in:
            self.crash_in -= 1
            if not self.crash_in:
                self.world.fired(f"{self.kind}crash {kind}")
                self.die()
                raise Crashed

    def die(self, *, quietly: bool = False) -> None:
        """End at once. What is durable at this moment is all that stays."""
        if self.loop.alive:
            self.world.clockwork.note(self.name, "dies")
            self._left = self.disk.image()
            self.loop.alive = False
            self.crash_in = 0
            self.world.network.died(self.loop, quietly=quietly)
            self.world.clockwork.after(self.world.back_ms(), self.come_back)

    def _begin_life(self) -> None:
        self.loop.bury()
        self.disk.shut()
        if self._left is not None:
            self.disk.put(self._left)
            self._left = None
        self.lives += 1
        self.loop = begin_process(self.world.clockwork, self.name, failed=self.world.failed)

    def come_back(self) -> None:
        """Start again, if that was not done."""
        raise NotImplementedError


class Device(Process):
    """One device of one person."""

    replica: Replica

    def __init__(self, world: World, name: str, person: int, disk: Disk) -> None:
        super().__init__(world, name, disk)
        self.person = person
        self.clock = SkewedClock(world.clockwork)
        self.added_by: Device | None = None
        self.brought_back = False
        """It came back by words on paper."""
        self.copied = False
        """There is or was another home with the same keys: it was copied, or put back to an old copy."""
        self.contested = False
        """It came back by words that somebody ended who didn't know of it: it may be out with them."""
        self.own_logs: set[LogId] = set()
        """What it writes, or wrote before it went on in another log, in whatever space."""
        self.put_back: set[tuple[SpaceId, EntryId]] | None = None
        """Its disk is that of an old copy, and it has not started since: what was on it alone."""
        self.promised: dict[Said, Place] = {}
        """Everything that its person was told is written, and where it was written."""
        self._promised_upto: dict[tuple[SpaceId, LogId], int] = {}
        self.live: dict[SpaceId, Carrier] = {}
        """Connections that stay."""
        self.syncing: set[SpaceId] = set()
        """As the command line's lock has it, one connection at a time for each space."""
        self.errors: dict[str, int] = {}

    def randomness(self) -> SeededRandomness:
        return SeededRandomness(f"{self.world.seed} {self.name} {self.lives}")

    def found(self, name: str) -> None:
        """A first start, in an empty home."""
        self._begin_life()
        storage = self.disk.open(self.reached)
        self.replica = Replica.create(storage, name=name, clock=self.clock, randomness=self.randomness())

    def open_empty(self) -> Storage:
        """A first start as a device that is being added: a storage with nothing in it."""
        self._begin_life()
        storage: Storage = self.disk.open(self.reached)
        return storage

    def settle_in(self, storage: Storage) -> None:
        """It was added."""
        self.replica = Replica(storage, clock=self.clock, randomness=self.randomness())
        self.promise()

    def abandon(self) -> None:
        """It was not: nobody looks at it again."""
        self.loop.bury()
        self.disk.shut()

    def come_back(self) -> None:
        if not self.alive:
            self._begin_life()
            self.live.clear()
            self.syncing.clear()
            with contextlib.suppress(Crashed):
                self.replica = Replica(self.disk.open(self.reached), clock=self.clock, randomness=self.randomness())
                if self.put_back is not None:
                    lost, self.put_back = self.put_back, None
                    self.world.quiet.put_back(self)
                    self.world.invariants.disk_lost(self, lost)
                self.world.invariants.kept_its_word(self)
                require_shown(self)

    def do(self, deed: Callable[[], Any]) -> bool:
        """Let a person do something. False: it was refused, or the process ended over it."""
        try:
            with self.loop.running():
                deed()
        except Crashed:
            self.loop.bury()
            return False
        except BideError as error:
            if isinstance(error, StorageError):
                raise
            return False
        self.promise()
        try:
            for carrier in list(self.live.values()):
                with self.loop.running():
                    carrier.wake()
        except Crashed:  # the deed was done before
            self.loop.bury()
        return True

    def promise(self) -> None:
        """Somebody was told that it is written: it may not be lost from here on."""
        storage = self.replica.storage
        self.world.quiet.look(self)
        for space in self.replica.spaces():
            of, log = space.space_id, space.log_id
            head = storage.heads(of).get(log, empty_head(log))
            for seq in range(min(self._promised_upto.get((of, log), 0), head.seq) + 1, head.seq + 1):
                event, there = storage.event(of, log, seq), storage.envelope(of, log, seq)
                if event is not None and there is not None:
                    self.promised.setdefault(Said(of, event.entry_id, event.change), Place(log, seq, there.hash))
            self._promised_upto[of, log] = head.seq
            self.own_logs.add(log)

    def forget_promises(self) -> None:
        """Its disk is an old one: nothing holds but what is on it."""
        self.promised.clear()
        self._promised_upto.clear()
        self.promise()

    def lacks_words(self) -> bool:
        """Whether something is here without its body, and nobody erased it."""
        storage = self.replica.storage
        spaces = [(space.space_id, read_belonging(storage, space.space_id).erased) for space in self.replica.spaces()]
        return any(not is_erased(erased, *place) for space, erased in spaces for place in storage.bare(space))

    def go_on(self) -> bool:
        """Whatever was paused goes on, as far as this device may say so. Whether anything did."""
        resting = self.replica.resting()
        paused = [each.name for each in self.replica.reader.people() if each.space.space_id in resting]
        return sum(self.do(lambda with_=with_: self.replica.pause(with_, end=True)) for with_ in paused) > 0  # type: ignore[misc]

    # Syncing, as the command line does it

    def sync(self, *, live: bool = False) -> None:
        """Begin to sync every space; with `live` those that are not connected stay connected."""
        with self.loop.running():
            try:
                self.replica.holding.send_due()
            except Crashed:
                self.loop.bury()
                return
            self.promise()
            resting = self.replica.resting()
            spaces = [
                each for each in self.replica.spaces() if each.relay_url and each.space_id not in {*self.syncing, *resting}
            ]
            self.syncing.update(space.space_id for space in spaces)
            if self.world.quiet.begun and spaces and spaces[0].kind == "own":
                self.loop.create_task(self._sync_own_first(spaces, live=live))
                return
            for space in spaces:
                self.loop.create_task(self._sync_space(space, live=live))

    async def _sync_own_first(self, spaces: list[SpaceRecord], *, live: bool) -> None:
        """What this person left on another device is to be known before anything of it is sent."""
        loop = self.loop
        await self._sync_space(spaces[0], live=False)
        if self.loop is not loop or not loop.alive:
            return
        resting = self.replica.resting()
        self.syncing -= {space.space_id for space in spaces if space.space_id in resting}
        for space in spaces[1:]:
            if space.space_id not in resting:
                loop.create_task(self._sync_space(space, live=live))

    async def _sync_space(self, space: SpaceRecord, *, live: bool) -> None:
        loop, sync = self.loop, self.replica.sync_session(space.space_id, host=host_of(space.relay_url), live=live)
        try:
            with told_plainly():
                end = await self.world.network.dial(self.loop, self.world.relay_at(space.relay_url), space.space_id)
                try:
                    carrier = Carrier(end, sync)  # type: ignore[arg-type]
                    if live:
                        self.live[space.space_id] = carrier
                    await carrier.run(self.promise)
                    # What waited for something that arrived just now.
                    self.replica.holding.send_due()
                    self.promise()
                finally:
                    await end.close()
        except OSError:
            self.told("unreachable")
        except BideError as error:
            self.told(error.code, space.space_id)
        try:
            await self._tend(space)
        finally:
            if self.loop is loop and loop.alive:
                if live:
                    self.live.pop(space.space_id, None)
                self.syncing.discard(space.space_id)

    async def _tend(self, space: SpaceRecord) -> None:
        """Keep in step with relays that were left, and go after the person's other devices."""
        now = next(each for each in self.replica.spaces() if each.space_id == space.space_id)
        if self.loop.alive and (due(self.replica.storage, now) or read_formers(self.replica.storage, space.space_id)):
            again, errors = await tend(self.replica, [now], patiently=False)
            self.promise()
            for error in errors.values():
                self.told(error.code, space.space_id)
            if again:
                self.world.deeds["synced again after another relay"] += 1

    def told(self, code: str, space: bytes = b"") -> None:
        if self.loop.alive:
            self.errors[code] = self.errors.get(code, 0) + 1
            self.world.clockwork.note(self.name, "told", code, space.hex()[:4])

    def stop_live(self) -> None:
        """Go home: whatever stays connected hangs up."""
        for carrier in list(self.live.values()):
            carrier._connection.link.sever()  # type: ignore[attr-defined]


class SteppedCommitter(Committer):
    """The real one without its thread: it takes what is queued whenever its turn comes."""

    def __init__(self, relay: RelayProcess, storage: Any, settings: Settings) -> None:
        self._relay = relay
        self._group: list[Job] = []
        super().__init__(storage, settings, loop=relay.loop, fail=relay.fail)

    def _run(self) -> None:
        """The thread has nothing to do."""

    def submit(self, job: Job) -> None:
        if not self._group:
            clockwork = self._relay.world.clockwork
            clockwork.after(0.5 + zlib.crc32(b"%d" % clockwork.steps) % 30, self._turn, self._relay.loop)
        self._group.append(job)

    def _turn(self) -> None:
        group, self._group = self._group, []
        relay = self._relay
        try:
            with relay.loop.running():
                results = self.work_off(group)
        except Crashed:
            relay.loop.bury()
            return
        except StorageError as error:
            relay.fail(error)
            return
        for result in results:
            relay.loop.call_soon(result)


class RelayProcess(Process):
    """The relay."""

    kind = "relay "
    server: RelayServer

    def __init__(self, world: World, disk: Disk, name: str = "relay", url: str = URL) -> None:
        super().__init__(world, name, disk)
        self.settings = world.settings.model_copy(update={"host": host_of(url)})
        self.storage: Any = None
        self.down = False
        """Being repaired: nobody starts it meanwhile."""

    def come_back(self) -> None:
        if self.alive or self.down:
            return
        self._begin_life()
        self.storage = self.disk.open(self.reached)
        forget = self.storage.forget

        def noted(space: SpaceId, slot: int, **how: Any) -> bool:
            needing = self.world.moving.needing(self, space)
            gone: bool = forget(space, slot, **how)
            if gone:
                self.world.moving.forgot(self, space, needing)
            return gone

        self.storage.forget = noted
        with self.loop.running():
            self.server = RelayServer(self.storage, self.settings, fail=self.fail)
            self.server.committer = SteppedCommitter(self, self.storage, self.settings)
            self.server.report = self._report  # type: ignore[method-assign]
        self.world.invariants.relay_kept_its_word(self)

    def fail(self, error: BaseException) -> None:
        if not isinstance(error, Crashed):
            self.world.failed("the relay gave up", error)
        self.die()

    def _report(self, error: Exception) -> None:
        if not self.world.rotten:
            self.world.failed("the relay made a mistake", error)

    def accept(self, end: End) -> None:
        self.loop.create_task(self._serve(end))

    async def _serve(self, end: End) -> None:
        server = self.server
        visitor = Visitor("127.0.0.1", end.abort)
        server._visitors[end.number] = visitor
        if server._gate.arrive(visitor):
            try:
                await server._handle(end)  # type: ignore[arg-type]
            except ConnectionClosed:
                pass
            finally:
                server._visitors.pop(end.number, None)
                server._gate.leave(visitor)
        await end.close()
