"""One world: a few people, their devices, a relay with several lives, and everything that happens to them."""

from __future__ import annotations

import contextlib
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Self

from bide.entries.records import EntryRecord
from bide.ids import EntryId, LogId, SpaceId, parse_entry_id
from bide.log.head import Head
from bide.protocol.frames import Stored
from bide.replica.authoring.writing import Written
from bide.replica.spaces.personal import DeviceName
from bide.storage.base import SpaceRecord
from bide.testing_replicas import PairingRun
from simulation.carrying import carried
from simulation.chance import seeded
from simulation.clockwork import Clockwork
from simulation.controls import Controls
from simulation.disks import Disk, MemoryDisk, RelayMemoryDisk, RelaySqliteDisk, SqliteDisk
from simulation.faults import FAULTS
from simulation.files import Bundle
from simulation.invariants import Invariants
from simulation.moving import ELSEWHERE, URL_ELSEWHERE, Moving, make_disk
from simulation.network import KEEPALIVE_MS, Network
from simulation.operations import EVERYTHING, tolerant
from simulation.planning import STORM_MS, Plan, Stimulus
from simulation.processes import SETTINGS, URL, Device, RelayProcess
from simulation.quiet import Quiet
from simulation.recovery import Recoveries
from simulation.rot import is_noticed

NAMES = ("Sam", "Robin", "Kim", "Alex")
ROUNDS_MAX = 12
"""More than any chain of replies, keys and admissions takes to come to rest."""
DAY_MS = 24 * 3_600_000
_ROUND_MS = 15 * 60_000
_ROUND_STEPS = 300_000


class Broken(AssertionError):
    """Something that Bide promises did not hold."""


class World:
    """Use as a context manager: it takes over chance and time of this process."""

    def __init__(self, plan: Plan, *, story: bool = False) -> None:
        self.plan = plan
        self.seed = plan.seed
        self.clockwork = Clockwork(plan.seed)
        if story:
            self.clockwork.story = []
        self.controls = Controls(plan.controls)
        self.settings = SETTINGS
        self.counts: Counter[str] = Counter()
        """Faults that had an effect."""
        self.deeds: Counter[str] = Counter()
        """Operations that came to something."""
        self.breach: Broken | None = None
        self.rotten = False
        self.storming = False
        self.elsewhere: RelayProcess | None = None
        """A second relay, once somebody moves to it."""
        self.moving = Moving(self)
        self.first_url = URL
        self.quiet = Quiet(self)
        self.relay_backups: list[tuple[Any, bool]] = []
        """Images, and whether they were rotten already."""
        self.home_backups: list[tuple[Device, Any]] = []
        self.bundles: list[Bundle] = []
        self.filed: dict[tuple[SpaceId, LogId], int] = {}
        """How far logs have gone out in any file ever."""
        self.devices: list[Device] = []
        self.network = Network(self.clockwork, plan.seed, acknowledged=self._acknowledged, fired=self.fired)
        self.invariants = Invariants(self)
        self.recoveries = Recoveries(self)
        self.rounds = 0
        """Of syncing, until everything was at rest."""
        self._made = 0
        self._folder: Path | None = None
        self._seeded = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._seeded.enter_context(seeded(self.clockwork, self.seed))
        self._seeded.enter_context(carried(self))
        self._leave_controls = self.controls.take_out()
        if self.plan.sqlite:
            shared = Path("/dev/shm")
            self._folder = Path(tempfile.mkdtemp(prefix="bide-sim-", dir=shared if shared.is_dir() else None))
        self.relay = RelayProcess(self, self._relay_disk())
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.devices, *self.recoveries.lost, *self.recoveries.returning, *self.relays):
            process.loop.bury()
            process.disk.shut()
        self._leave_controls()
        self._seeded.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    # The whole of it

    def run(self) -> None:
        """Live through the plan.

        Raises:
            Broken: something did not hold.
        """
        self._found()
        for storm in self.plan.storms:
            self.storming = True
            for stimulus in storm:
                self.clockwork.after(stimulus.at_ms, lambda stimulus=stimulus: self._befall(stimulus))  # type: ignore[misc]
            end_ms = self.clockwork.now_ms + STORM_MS
            while self.breach is None and self.clockwork.step(end_ms):
                pass
            self._check()
            self._come_to_rest()
            self.invariants.check()
            self._check()

    def _found(self) -> None:
        for person in range(self.plan.people):
            device = self.make_device(person)
            device.found(NAMES[person])
            device.replica.set_relay(URL)
            self.devices.append(device)
        self.relay.come_back()
        chance = random.Random(f"{self.seed} people")
        for person in range(1, self.plan.people):
            other = chance.randrange(person)
            PairingRun(self.devices[other].replica, self.devices[person].replica).finish()
        for device in self.devices:
            device.promise()

    def _befall(self, stimulus: Stimulus) -> None:
        chance = random.Random(stimulus.n)
        self.clockwork.note("befalls", stimulus.do, stimulus.n)
        fault = FAULTS.get(stimulus.do)
        if fault is not None:
            fault.strike(self, chance)
            return
        awake = [device for device in self.devices if device.alive]
        if awake:
            operation = EVERYTHING[stimulus.do]
            if tolerant(operation)(self, chance.choice(awake), chance):
                self.deeds[stimulus.do] += 1

    def _check(self) -> None:
        if self.breach is not None:
            raise self.breach

    def broke(self, what: str) -> None:
        """Something did not hold; the first such thing counts."""
        if self.breach is None:
            self.clockwork.note("broken:", what)
            self.breach = Broken(f"{what} (at step {self.clockwork.steps})")

    def failed(self, what: str, error: BaseException | None) -> None:
        """Something went wrong in a place where nothing may."""
        if self.breach is None:
            self.broke(f"{what}: {type(error).__name__}: {error}")
            if self.breach is not None:
                self.breach.__cause__ = error

    def fired(self, fault: str) -> None:
        """A fault had an effect."""
        self.counts[fault] += 1
        self.clockwork.note("fired", fault)

    # Coming to rest

    def _come_to_rest(self) -> None:
        """Faults stop; everybody syncs until nothing moves."""
        self.storming = False
        self.network.calm()
        for device in self.devices:
            device.crash_in = 0
            device.stop_live()
        for relay in self.relays:
            relay.crash_in = 0
        if self.rotten:
            if is_noticed(self):
                self.fired("rot is noticed")
            self.repair_relay(lambda disk: disk.wipe())
            self.rotten = False
        self.clockwork.run_until(self.clockwork.now_ms + 3 * KEEPALIVE_MS)
        for process in (*self.devices, *self.relays):
            process.come_back()
        for device in self.devices:
            device.stop_live()  # what was still being dialled when the others hung up
            device.go_on()
        self.recoveries.calm()
        self.sync_until_nothing_moves()
        if self.recoveries.bring_back():
            self.sync_until_nothing_moves()
        self.moving.come_together()
        # The relay lets go of those who left.
        self.clockwork.run_until(self.clockwork.now_ms + KEEPALIVE_MS)
        self._check()

    def sync_until_nothing_moves(self) -> None:
        """As often as it takes; and once more a day later where words are lacking, since they are asked for once a day."""
        self._sync_for_rounds()
        # Who is let in only now has heard of a pause before, and rests from then on: its person ends it there as well.
        if sum(device.go_on() for device in self.devices):
            self._sync_for_rounds()
        if any(device.lacks_words() for device in self.devices):
            self.clockwork.run_until(self.clockwork.now_ms + DAY_MS)
            self._sync_for_rounds()

    def _sync_for_rounds(self) -> None:
        for _ in range(ROUNDS_MAX):
            self._check()
            before = self._where_all_are()
            for device in self.devices:
                device.errors.clear()
                device.sync()
            syncing = lambda: any(device.syncing for device in self.devices)  # noqa: E731
            if not self.clockwork.run_while(syncing, ms_max=_ROUND_MS, steps_max=_ROUND_STEPS):
                stuck = [device.name for device in self.devices if device.syncing]
                self.broke(f"a sync doesn't come to its end: {stuck}")
            self.rounds += 1
            if self._where_all_are() == before:
                break
        else:
            self.broke(f"after {ROUNDS_MAX} rounds something still moves")

    def _where_all_are(self) -> Any:
        return [
            [
                (
                    space,
                    device.replica.storage.heads(space.space_id),
                    device.replica.storage.relay_heads(space.space_id),
                    device.replica.storage.bare(space.space_id),
                )
                for space in device.replica.spaces()
            ]
            + [device.replica.storage.outbox()]
            for device in self.devices
        ], [
            {space: (dict(relay.storage.heads(space)), relay.storage.usage(space)) for space in relay.storage.spaces()}
            for relay in self.relays
        ]

    # What operations and faults tell

    def wrote(self, device: Device, written: Written) -> None:
        """A person was told that an entry is written."""
        entry = parse_entry_id(written.id)
        assert entry is not None  # what was just written has one
        found: list[EntryRecord] = device.replica.storage.entries_with_id(entry)
        for record in found:
            self.invariants.entries[record.space_id, record.entry_id] = device
            self.invariants.note_sealed(device, record.space_id)

    def held(self, device: Device, held_id: str) -> None:
        """A person was told that something is held."""
        entry = parse_entry_id(held_id)
        if entry is not None:
            self.invariants.held[EntryId(entry)] = device

    def tries_to_remove(self, device: Device, target: DeviceName) -> None:
        """A device is about to remove another one."""
        self.invariants.note_attempt(target)

    def removed(self, device: Device, target: DeviceName, spaces: Collection[SpaceId]) -> None:
        """A device was told that it has removed another one."""
        mine = device.replica.reader.own_space()
        mine = device.replica.reader.own_space()
        if mine.space_id in spaces:  # a device that is not let in yet itself removes nobody
            self.invariants.removed.append((mine.log_id, target.log_id))

    def _acknowledged(self, relay: str, space: bytes, frame: Stored) -> None:
        """The relay said that it has something for good."""
        for log, seq, digest in frame.heads:
            key = (SpaceId(space), LogId(log))
            acknowledged = self.invariants.acknowledged_at(relay)
            known = acknowledged.get(key)
            if known is None or known.seq < seq:
                acknowledged[key] = Head(LogId(log), seq, digest)

    # Machines

    def back_ms(self) -> float:
        """How long a process that died stays away."""
        return 500 + self.clockwork.steps * 2654435761 % 60_000

    def make_device(self, person: int, *, like: Device | None = None) -> Device:
        """A new device, with an empty disk; of the same sort as that of another one, whose home is to lie on it."""
        return Device(self, *self.make_machine(person, like=like))

    def make_machine(self, person: int, *, like: Device | None = None) -> tuple[str, int, Disk]:
        """What a new device is made of: its name, whose it is, and an empty disk."""
        self._made += 1
        name = f"{NAMES[person]}-{self._made}"
        if self._folder is not None and (isinstance(like.disk, SqliteDisk) if like is not None else self._made % 2):
            disk: Disk = SqliteDisk(self._folder / name)
        else:
            disk = MemoryDisk(lazy=self.controls.has("device acknowledges before commit"))
        return name, person, disk

    def _relay_disk(self) -> Disk:
        if self._folder is not None:
            return RelaySqliteDisk(self._folder / "relay")
        return RelayMemoryDisk(lazy=self.controls.has("relay acknowledges before commit"))

    def relay_at(self, url: str) -> RelayProcess | None:
        """The relay at an address."""
        if url == URL_ELSEWHERE and self.elsewhere is None:
            self.elsewhere = RelayProcess(self, make_disk(self), ELSEWHERE, URL_ELSEWHERE)
            self.elsewhere.come_back()
        return {URL: self.relay, URL_ELSEWHERE: self.elsewhere}.get(url)

    @property
    def relays(self) -> list[RelayProcess]:
        """All that there are."""
        return [self.relay] if self.elsewhere is None else [self.relay, self.elsewhere]

    @property
    def folder(self) -> Path | None:
        """Where a world in SQLite keeps its files."""
        return self._folder

    def relay_of(self, space: SpaceRecord) -> RelayProcess:
        """The one that a device syncs a space with."""
        return self.relay_at(space.relay_url) or self.relay

    def relay_has_spaces(self) -> bool:
        """Whether anything lies at the relay."""
        return self.relay.alive and bool(list(self.relay.storage.spaces()))

    def repair_relay(self, repair: Callable[[Any], None], relay: RelayProcess | None = None) -> None:
        """Take the relay down, do something to its disk, and start it again later."""
        relay = relay or self.relay
        relay.die()
        relay.loop.bury()
        relay.disk.shut()
        if relay._left is not None:
            relay.disk.put(relay._left)
            relay._left = None
        repair(relay.disk)
        self.invariants.acknowledged_at(relay.name).clear()
        self.recoveries.unsafe()

    def restore_home(self, device: Device, image: Any) -> None:
        """Put a home back to an old image of it; what nobody else has of it is lost with the disk."""
        lost = self.invariants.only_on(device) | (device.put_back or set())
        device.copied = True
        device.die()
        device._left = image
        device.put_back = lost

    def clone_home(self, device: Device) -> None:
        """Another machine with the same home."""
        twin = self.make_device(device.person, like=device)
        twin.disk.put(device.disk.image())
        twin.copied = device.copied = True
        twin.added_by, twin.own_logs = device.added_by, set(device.own_logs)
        twin.come_back()
        self.devices.append(twin)
