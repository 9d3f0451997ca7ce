"""Recovery phrases in a world: papers that are written, used, replaced and destroyed, and machines that are gone for good.

What must hold: who comes back by the words has everything that the relay acknowledged to anybody; the earlier devices are out
and read nothing that comes later; and words that were ended, and of which everybody knows it, open nothing.
"""

from __future__ import annotations

import contextlib
import io
import random
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, BinaryIO

from bide.crypto.recovery import KEYS_MAX, RecoveryPhrase
from bide.errors import BideError, EnvelopeRejected, NotAllowed
from bide.ids import LogId, SpaceId, log_id
from bide.log.envelope import parse_envelope
from bide.log.head import Head
from bide.replica.derivation.deriving import open_event
from bide.replica.own_devices.phrases import anchor_for, create, destroy, own_logs, prepared
from bide.replica.replica import Replica
from bide.replica.spaces.belonging import read_belonging
from bide.storage.base import Storage
from bide_cli.joining.recovering import Recovery
from bide_relay.service import load_state
from simulation.disks import Disk
from simulation.granted import secrets_granted
from simulation.processes import URL, Device

if TYPE_CHECKING:
    from simulation.world import World

RECOVERY = "recovery"
"""The switch."""
_CALM_MS = 15 * 60_000
_CALM_STEPS = 300_000
_TRIES = 3
"""How often somebody who has lost everything tries again, before the storm is over."""


@dataclass(eq=False)
class Paper:
    """24 words that somebody wrote down."""

    person: int
    phrase: RecoveryPhrase
    by: Device
    """On which it was made."""
    contested: bool = False
    """Somebody tried to end them, or used others of the same person."""
    over: bool = False
    """They were ended, and everybody came to rest knowing it."""
    used_at: int | None = None
    """How often something had been done to the relay's disk when they were used last."""
    safe: bool = False
    """Everybody had come to rest, all that there is was at the relay, and nothing has happened to it or to the words since."""

    def logs(self, space: SpaceId) -> set[LogId]:
        """What these words may write in a space."""
        return own_logs(self.phrase, space)


class WayBack(Recovery):
    """The real thing, which says how far it is."""

    def __init__(self, home: Returning, **how: Any) -> None:
        quiet: Any = SimpleNamespace(as_json=True, plain=True, accessible=True)
        super().__init__(quiet, home.paper.phrase, clock=home.clock, randomness=home.randomness(), **how)
        self._home = home

    def _open_file(self) -> BinaryIO:
        return io.BytesIO(self._home.file)

    def _settle_missing(self, storage: Storage) -> None:
        """All has come; from here on the other devices are removed."""
        self._home.takes_over(storage)
        super()._settle_missing(storage)


class Returning(Device):
    """A new machine with a paper beside it. Until it has its home, a crash leaves nothing."""

    kind = "recovery "

    def __init__(
        self, world: World, name: str, person: int, disk: Disk, paper: Paper, *, file: bytes = b"", relay: bool = True
    ) -> None:
        super().__init__(world, name, person, disk)
        self.file = file
        """A bundle that it comes back by, at some time before now."""
        self._relay = relay
        self.paper = paper
        self.moved_in = False
        self.was_safe = paper.safe and not file
        self.brought_back = True
        # What a file knows may be long over.
        self.contested = paper.contested or bool(file)
        self._repairs = world.recoveries.repairs
        self._acknowledged: dict[tuple[SpaceId, LogId], Head] = dict(world.invariants.acknowledged)

    @property
    def going_on(self) -> bool:
        """Whether it is still on its way."""
        return self.alive and not self.moved_in

    def begin(self) -> None:
        """Type the words."""
        storage = self.open_empty()
        self.loop.create_task(self._come_back_by(storage))

    def come_back(self) -> None:
        """With a home as any device; without one there is nothing to come back to."""
        if self.moved_in:
            super().come_back()
        else:
            self.abandon()

    async def _come_back_by(self, storage: Storage) -> None:
        world = self.world
        url, file = world.recoveries.where(self.person), "a file" if self.file else ""
        way = WayBack(self, device_name=self.name, relay_url=url if self._relay else "", bundle=file, without_missing=False)
        try:
            await way.bring_back(storage)
        except BideError as error:
            world.recoveries.failed(self, error)
            self.abandon()
            return
        except Exception as error:
            world.failed("a recovery made a mistake", error)
            return
        assert way.taken is not None  # it came to its end
        self.moved_in = True
        self.replica = Replica(storage, clock=self.clock, randomness=self.randomness())
        world.devices.append(self)
        world.deeds["came back by the words"] += 1
        if self.file:
            world.deeds["came back by the words and a file"] += 1
        if not self._relay:
            self.replica.set_relay(url)
        if way.taken.own_lost:
            world.deeds["came back without the own space"] += 1
        self.promise()
        world.recoveries.arrived(self)

    def takes_over(self, storage: Storage) -> None:
        """Everything is here. Whoever has these words removes all other devices from here on."""
        recoveries = self.world.recoveries
        if recoveries.repairs == self._repairs and not self.world.rotten and not self.file:
            recoveries.has_all(self, storage, self._acknowledged)
        if self.paper.over and not self.file and recoveries.repairs == recoveries.repairs_at_rest:
            self.world.broke(f"words of {self.name} that were ended opened something")
        recoveries.takes_over(self, storage)


@dataclass(eq=False)
class Recoveries:
    """What there is of papers in a world."""

    world: World
    papers: list[Paper] = field(default_factory=list)
    lost: list[Device] = field(default_factory=list)
    """Gone for good. Whoever has them can read what lies on them."""
    returning: list[Returning] = field(default_factory=list)
    repairs: int = 0
    """How often something was done to the relay's disk."""
    repairs_at_rest: int = 0
    twice: int = 0
    """How often words were used again after the relay had lost what they said the first time."""

    # What people do

    def note(self, device: Device, phrase: RecoveryPhrase | None) -> None:
        """Somebody is about to end what papers they have, and to write down a new one."""
        self._contest([paper for paper in self.papers if paper.person == device.person], by=device)
        if phrase is not None:
            self.papers.append(Paper(device.person, phrase, device))

    def usable(self, person: int) -> list[Paper]:
        """The papers in the drawer, the newest last."""
        return [paper for paper in self.papers if paper.person == person]

    def is_coming_back(self, person: int) -> bool:
        """Whether somebody is typing words just now: of one person nobody does so twice at once."""
        return any(each.person == person and each.going_on for each in self.returning)

    def use(self, paper: Paper, *, file: bytes = b"", relay: bool = True) -> Returning:
        """Somebody types the words on a new machine."""
        world = self.world
        home = Returning(world, *world.make_machine(paper.person), paper, file=file, relay=relay)
        self.returning.append(home)
        home.begin()
        return home

    def lose(self, device: Device) -> None:
        """A machine is gone for good."""
        world = self.world
        world.network.died(device.loop, quietly=True)
        device.loop.bury()
        world.devices.remove(device)
        world.home_backups = [each for each in world.home_backups if each[0] is not device]
        self.lost.append(device)
        for entry in [entry for entry, holder in world.invariants.held.items() if holder is device]:
            del world.invariants.held[entry]
        world.clockwork.note(device.name, "is lost")

    def where(self, person: int) -> str:
        """The relay that stands on the paper: the one that the person used last."""
        homes = [each for each in (*self.lost, *self.world.devices) if each.person == person]
        return homes[-1].replica.relay() if homes else URL

    def bereft(self) -> list[int]:
        """Who has no device left."""
        return sorted({paper.person for paper in self.papers} - {device.person for device in self.world.devices})

    def unsafe(self) -> None:
        """Something was done to the relay's disk."""
        self.repairs += 1
        for paper in self.papers:
            paper.safe = False

    def _contest(self, papers: list[Paper], *, by: Device | None) -> None:
        """Somebody ends them. Who came back by them, and is not known to that one, goes with them."""
        for paper in papers:
            paper.contested, paper.safe = True, False
        own = by.replica.reader.own_space().space_id if by is not None else None
        known = {member.log_id for member in by.replica.storage.members(own)} if by is not None and own is not None else set()
        for home in self.returning:
            if home.paper in papers:
                there = home.replica.reader.own_space().log_id if home.moved_in else None
                home.contested = home.contested or there not in known

    # What comes of it

    def has_all(self, home: Returning, storage: Storage, acknowledged: dict[tuple[SpaceId, LogId], Head]) -> None:
        """Whatever the relay had acknowledged before the words were typed is there, as far as it counts."""
        for space in (each for each in storage.spaces() if not each.pending):
            needed = read_belonging(storage, space.space_id).needed
            for (of, log), head in acknowledged.items():
                if of != space.space_id:
                    continue
                seq = min(head.seq, needed.get(log, head.seq))
                there = storage.envelope(of, log, seq) if seq else None
                if seq and (there is None or (seq == head.seq and there.hash != head.hash)):
                    self.world.broke(f"{home.name} came back without what the relay had acknowledged")

    def takes_over(self, home: Returning, storage: Storage) -> None:
        """From here on all other devices of the person may be out, and every other paper."""
        world, paper = self.world, home.paper
        if paper.used_at not in (None, self.repairs):
            # What the words said then is lost at the relay, and with others perhaps: it can't be told from here, so they say
            # something else in the same place. Whichever comes to nobody is void; docs/reliability.md tells of it.
            home.contested = True
            self.twice += 1
        paper.used_at = self.repairs
        self._contest([paper for paper in self.papers if paper.person == home.person and paper is not home.paper], by=None)
        for device in world.devices:
            if device.person == home.person:
                world.invariants.note_to_be_out(device)

    def arrived(self, home: Returning) -> None:
        """It has its home: whoever it knew of is out."""
        own = home.replica.reader.own_space()
        known = {member.log_id for member in home.replica.storage.members(own.space_id)}
        for device in self.world.devices:
            if device is not home and device.person == home.person:
                theirs = device.replica.reader.own_space()
                if theirs.space_id == own.space_id and theirs.log_id in known:
                    self.world.invariants.removed.append((own.log_id, theirs.log_id))

    def failed(self, home: Returning, error: BideError) -> None:
        """The words brought nothing back."""
        world, paper = self.world, home.paper
        world.clockwork.note(home.name, "comes not back", error.code, error.template)
        world.deeds["words that opened nothing"] += isinstance(error, NotAllowed)
        # A bit that flipped on the way may look like anything else.
        # Whoever moved has to know where: the last device may have been late.
        if home.was_safe and paper.safe and isinstance(error, NotAllowed) and world.elsewhere is None:
            world.broke(f"{home.name} can't come back by words that count: {error.template}")

    # At rest

    def calm(self) -> None:
        """Who is on the way gets there, or it is over."""
        for home in self.returning:
            home.crash_in = 0
        self._wait()

    def bring_back(self) -> bool:
        """Who has nothing left comes back, if that can be. Whether anybody did."""
        world, back = self.world, False
        for person in self.bereft():
            for paper in reversed(self.usable(person)):
                if paper.over:
                    continue
                home = self.use(paper)
                self._wait()
                if home.moved_in:
                    world.fired("came back at rest")
                    back = True
                    break
                if paper.safe and world.elsewhere is None:
                    world.broke(f"who has nothing left but the words can't come back by them: {home.name}")

        return back

    def _wait(self) -> None:
        on_the_way = lambda: any(home.going_on for home in self.returning)  # noqa: E731
        if not self.world.clockwork.run_while(on_the_way, ms_max=_CALM_MS, steps_max=_CALM_STEPS):
            self.world.broke("a recovery doesn't come to its end")

    def check(self, members: dict[SpaceId, list[Device]]) -> None:
        """What the relay has of each paper is what the person's devices have; and each covers all that there is."""
        self.repairs_at_rest = self.repairs
        for paper in self.papers:
            homes = [device for device in self.world.devices if device.person == paper.person]
            own = {device.replica.reader.own_space().space_id for device in homes}
            belonging = [device for device in homes if device in members.get(device.replica.reader.own_space().space_id, [])]
            if len(own) != 1 or not belonging:
                continue
            device = belonging[0]
            known = {each.log_id for each in prepared(device.replica.storage)}
            counts = not known.isdisjoint(paper.logs(own.pop()))
            at_relay = []
            for space in device.replica.spaces():
                state = load_state(self.world.relay_of(space).storage, space.space_id)
                if device in members.get(space.space_id, []) and state is not None:
                    at_relay.append(any(state.membership.is_active(log) for log in paper.logs(space.space_id)))
            if counts and not all(at_relay):
                self.world.broke(f"words that count for {device.name} don't cover all of its spaces")
            # Of a device that is gone for good, some of what it said may have come to the relay, and some not; and one that
            # was removed where the others are, and not where they were not let in yet, stays there with what it enrolled.
            if not counts and any(at_relay) and paper.by in belonging:
                self.world.broke(f"words that count no more for {device.name} are still enrolled somewhere")
            paper.over = paper.over or not counts
            paper.safe = counts
        for shared, devices in members.items():
            self._words_read_nothing(shared, devices[0].replica.storage)

    def _words_read_nothing(self, space: SpaceId, storage: Storage) -> None:
        """With words that were ended, and all that the relay has, nothing can be read that was written knowing of it."""
        sealed = [(key, known) for key, known in self.world.invariants.sealed_without.items() if key[0] == space]
        for paper in self.papers:
            keys = {log_id(space, each.device_id): each for each in map(paper.phrase.keys, range(KEYS_MAX))}
            # Two devices may have enrolled them at the same time, and whoever knows of one only ends that one.
            logs = {member.log_id for member in storage.members(space) if member.log_id in keys}
            later = [key for key, (ended, _) in sealed if logs and logs <= ended]
            if not later:
                continue
            enrolled = [keys[log] for log in logs]
            secrets = secrets_granted(enrolled, space, storage)
            for _, at in later:
                there = storage.envelope(space, at.log, at.seq)
                if there is None or there.control or there.hash != at.hash:
                    continue
                self.world.deeds["tried to read with words that were ended"] += 1
                with contextlib.suppress(EnvelopeRejected):
                    open_event(parse_envelope(there.data), space=space, epochs=secrets)
                    self.world.broke("words that were ended read what came later")


# Deeds


def make_phrase(world: World, device: Device, chance: random.Random) -> bool:
    """Write down new words, in place of those that there are."""
    phrase = RecoveryPhrase(chance.randbytes(16), anchor_for(device.replica.storage).space_id)

    def do() -> None:
        world.recoveries.note(device, phrase)
        create(device.replica, phrase)

    return device.do(do)


def end_phrase(world: World, device: Device, chance: random.Random) -> bool:
    """Let the words count no more."""
    if not prepared(device.replica.storage):
        return False

    def do() -> None:
        world.recoveries.note(device, None)
        destroy(device.replica)

    return device.do(do)


def use_phrase(world: World, device: Device, chance: random.Random) -> bool:
    """Type the words on a new machine, whoever still has the others. At times it is an old paper."""
    recoveries = world.recoveries
    papers = recoveries.usable(device.person)
    if not papers or recoveries.is_coming_back(device.person):
        return False
    paper = papers[-1] if chance.random() < 0.8 else chance.choice(papers)
    files = [each.data for each in world.bundles if each.person == device.person and paper.phrase.anchor in each.heads]
    file = chance.choice(files) if files and chance.random() < 0.4 else b""
    # Words that were used before say something else now in the same place, if all that is known is an old file.
    relay = not file or paper.used_at is not None or chance.random() < 0.6
    _with_mishaps(world, recoveries.use(paper, file=file, relay=relay), chance, tries=1)
    return True


def lose_device(world: World, chance: random.Random) -> None:
    """One machine of a person who has words is gone for good, or all of them; sooner or later the words are typed."""
    recoveries = world.recoveries
    device = chance.choice(world.devices)
    papers = recoveries.usable(device.person)
    theirs = [each for each in world.devices if each.person == device.person]
    if not papers or any(not each.alive for each in theirs) or len(world.devices) == len(theirs):
        return
    everything = papers[-1].safe and chance.random() < 0.6
    if len(theirs) == 1 and not everything:
        return
    for each in theirs if everything else [device]:
        recoveries.lose(each)
    world.fired("lose_device")
    if everything:
        world.fired("lose every device")
    n = chance.getrandbits(32)

    def then() -> None:
        if world.storming and not recoveries.is_coming_back(device.person):
            later = random.Random(n)
            _with_mishaps(world, recoveries.use(papers[-1]), later, tries=_TRIES)

    world.clockwork.after(chance.uniform(1_000, 200_000), then)


def _with_mishaps(world: World, home: Returning, chance: random.Random, *, tries: int) -> None:
    """It may end in the middle, at any write or between any two awaits; then it is tried again."""
    mishap = chance.random()
    if mishap < 0.4:
        home.crash_in = chance.choice((1, 2, 5, 13, 34, 55, 89, 144, 233))
    elif mishap < 0.6:

        def end() -> None:
            if home.going_on:
                world.fired("recovery is killed")
                home.die(quietly=chance.random() < 0.4)

        world.clockwork.after(chance.uniform(10, 5_000), end)

    def again() -> None:
        if world.storming and not home.moved_in and not world.recoveries.is_coming_back(home.person):
            _with_mishaps(world, world.recoveries.use(home.paper), chance, tries=tries - 1)

    if tries > 1:
        world.clockwork.after(chance.uniform(60_000, 240_000), again)
