"""A second relay in a world: people move to it, follow each other there and back, each at another time.

What must hold: nothing is lost on the way; a relay that was left forgets a space only once nobody needs it there; and when all
have followed, all are at one place.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bide.errors import BideError
from bide.ids import SpaceId
from bide.replica.single_writer.succession import own_logs
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.relays import due, offered, read_formers
from bide.storage.base import SpaceRecord
from bide_cli.syncing.moving import follow_alone, move_alone
from bide_relay.service import load_state
from simulation.disks import RelayMemoryDisk, RelaySqliteDisk

if TYPE_CHECKING:
    from simulation.processes import Device, RelayProcess
    from simulation.world import World

MOVES = "moves"
"""The switch."""
URL_ELSEWHERE = "ws://127.0.0.1:8766"
ELSEWHERE = "elsewhere"
_ROUNDS_MAX = 16
_CALM_MS = 15 * 60_000
_CALM_STEPS = 300_000


@dataclass(eq=False)
class Moving:
    """Who goes where in a world."""

    world: World
    times: Counter[Device] = field(default_factory=Counter)
    """How often somebody moved on a device."""
    stranded: int = 0
    """Devices that were let in, or came back, with an address that is none any more, and were told the right one."""

    def forgot(self, relay: RelayProcess, space: SpaceId, needing: list[Device]) -> None:
        """A relay was asked to forget a space, and did."""
        self.world.fired("a relay forgets")
        self.world.invariants.acknowledged_at(relay.name, forget=space)
        for device in needing:
            self.world.broke(f"a relay forgot a space that {device.name} is still at")

    def needing(self, relay: RelayProcess, space: SpaceId) -> list[Device]:
        """The members of a space, as this relay knows them, that sync it there."""
        state = load_state(relay.storage, space)
        if state is None:
            return []
        found = []
        for device in self.world.devices:
            for each in device.replica.spaces():
                at = self.world.relay_at(each.relay_url)
                here = each.space_id == space and at is relay and not each.pending
                # Of a copy that has not parted yet nobody can know: what the other one says is said for both.
                known = here and not (device.copied and self._writes_as_another(device, each))
                if known and state.membership.is_active(each.log_id):
                    found.append(device)
        return found

    def _writes_as_another(self, device: Device, space: SpaceRecord) -> bool:
        """Whether another home writes this device's log as well, or did."""
        others = (other for other in self.world.devices if other is not device)
        records = ((other, each) for other in others for each in other.replica.spaces() if each.space_id == space.space_id)
        return any(space.log_id in own_logs(other.replica.storage, each) for other, each in records)

    def come_together(self) -> None:
        """Everybody follows whom there is to follow, until all are at one place."""
        world = self.world
        if world.elsewhere is None:
            return
        for _ in range(_ROUNDS_MAX):
            going = [(device, *found) for device in world.devices if (found := self._whereto(device)) is not None]
            if not going:
                return
            # Two who moved to different places and both follow would only change places.
            for device, space, url in {space.space_id: (device, space, url) for device, space, url in reversed(going)}.values():
                if self._whereto(device) == (space, url):
                    world.clockwork.note(device.name, "follows to", url)
                    begin(device, lambda device=device, space=space, url=url: self._go(device, space, url))  # type: ignore[misc]
                    if not world.clockwork.run_while(lambda: bool(device.syncing), ms_max=_CALM_MS, steps_max=_CALM_STEPS):  # noqa: B023
                        world.broke("following doesn't come to its end")
            world.sync_until_nothing_moves()
        world.broke("somebody still has somebody to follow")

    async def _go(self, device: Device, space: SpaceRecord, url: str) -> None:
        if self.times[device] > 1 and not offered(device.replica.storage, space):
            await move_alone(device.replica, url, space=space, without_old=True)
        elif space.kind == "own":
            device.replica.set_relay(url)
        else:
            await follow_alone(device.replica, url, space)

    def _whereto(self, device: Device) -> tuple[SpaceRecord, str] | None:
        """Whom to follow; or what another device of the person shows, for one that is told that its space moved away."""
        if self._was_told_that_it_is_out(device):
            return None
        for space in device.replica.spaces():
            storage = device.replica.storage
            if space.space_id in device.replica.resting() or space.log_id in read_belonging(storage, space.space_id).ended:
                continue
            # Who moved and then left brings nothing back to the relay that is offered.
            url = offered(storage, space)
            if url and (not self._left(space.space_id) or self._is_anybody_at(url, space.space_id)):
                return space, url
            here = self.world.relay_at(space.relay_url)
            # So is a copy, and a home that was put back to one: it looks where the space was then.
            late = device.added_by is not None or device.brought_back or device.copied or self.times[device] > 1
            if late and here is not None and here.storage.was_forgotten(space.space_id):
                self.stranded += 1
                there = URL_ELSEWHERE if here is self.world.relay else self.world.first_url
                return space, there
            if device.copied and (url := self._where_its_copy_is(device, space)):
                self.stranded += 1
                return space, url
        return None

    def _was_told_that_it_is_out(self, device: Device) -> bool:
        """Whether somebody removed it, and it knows: it follows nobody, though it may be in something that its person left."""
        return "not_allowed" in device.errors and self.world.invariants.may_be_removed(device)

    def _left(self, space: SpaceId) -> bool:
        """Whether somebody left a space quietly, on a device that may belong no more."""
        return any(each == space for _, each in self.world.quiet.upto)

    def _is_anybody_at(self, url: str, space: SpaceId) -> bool:
        """Whether there is a device at a relay that brings there what it lacks."""
        for device in self.world.devices:
            at = any(each.space_id == space and each.relay_url == url and not each.pending for each in device.replica.spaces())
            if at and not self.world.quiet.rests(device, space) and "not_allowed" not in device.errors:
                return True
        return False

    def _where_its_copy_is(self, device: Device, space: SpaceRecord) -> str:
        """Of two copies one may move before they have met: then they never do, unless their person says where.

        That holds as long as neither syncs with the relay of the other as well.
        """
        mine = own_logs(device.replica.storage, space)
        for other in self.world.devices:
            there = next((each for each in other.replica.spaces() if each.space_id == space.space_id), space)
            relay = self.world.relay_at(there.relay_url)
            state = (
                load_state(relay.storage, space.space_id) if relay is not None and there.relay_url != space.relay_url else None
            )
            if state is None or not state.membership.is_active(there.log_id):
                continue
            meet = self._syncs_with(device, space, there.relay_url) or self._syncs_with(other, there, space.relay_url)
            if not meet and not set(mine).isdisjoint(own_logs(other.replica.storage, there)):
                return there.relay_url
        return ""

    def _removed_each_other(self, device: Device, space: SpaceId, url: str, here: list[Device]) -> bool:
        """Whether the one that moved removed this device there, while it was removed here: neither relay lets the other one in.

        As long as nobody belongs at both, what is said at one does not come to the other.
        """
        relay = self.world.relay_at(url)
        state = load_state(relay.storage, space) if relay is not None else None
        if state is None or not self.world.invariants.may_be_removed(device):
            return False
        return not any(state.membership.is_active(_record(each, space).log_id) for each in here)

    @staticmethod
    def _syncs_with(device: Device, space: SpaceRecord, url: str) -> bool:
        return url in (space.relay_url, *(former.url for former in read_formers(device.replica.storage, space.space_id)))

    def check(self, members: dict[SpaceId, list[Device]]) -> None:
        """All who are in a space are at one relay, and the other one forgot it, if nothing keeps it from that."""
        if self.world.elsewhere is None:
            return
        for space, devices in members.items():
            if any(read_belonging(device.replica.storage, space).over for device in devices):
                continue  # nothing is said there any more, not even where somebody is: both relays go on having it
            records = {device.name: _record(device, space) for device in devices}
            urls = {records[device.name].relay_url for device in devices if not self._was_told_that_it_is_out(device)}
            if len(urls) > 1:
                self.world.broke(f"{', '.join(records)} are at different relays with one space")
            for device in devices:
                url = due(device.replica.storage, records[device.name])
                if url and not self._removed_each_other(device, space, url, devices):
                    self.world.broke(f"{device.name} did not go after its person")
            left = [former.url for device in devices for former in read_formers(device.replica.storage, space)]
            self.world.deeds["a relay that was left still holds a space at rest"] += bool(left)


def _record(device: Device, space: SpaceId) -> SpaceRecord:
    return next(each for each in device.replica.spaces() if each.space_id == space)


def begin(device: Device, deed: Callable[[], Awaitable[object]]) -> None:
    """Let a person do something that takes its time, while no sync of this home runs."""
    loop = device.loop
    spaces = {space.space_id for space in device.replica.spaces()}

    async def do() -> None:
        try:
            await deed()
        except BideError as error:
            device.told(error.code)
        finally:
            if device.loop is loop and loop.alive:
                device.syncing -= spaces
        device.promise()

    device.syncing |= spaces
    loop.create_task(do())


def _free(device: Device) -> bool:
    if device.live:
        device.stop_live()
    return not device.live and not device.syncing


def move_relay(world: World, device: Device, chance: random.Random) -> bool:
    """Move everything to the other relay, or what is shared with one person."""
    replica = device.replica
    people = replica.people()
    space = replica.reader.pair_space(chance.choice(people)) if people and chance.random() < 0.3 else None
    url = world.first_url if (space.relay_url if space else replica.relay()) == URL_ELSEWHERE else URL_ELSEWHERE
    without_old = chance.random() < 0.15
    world.relay_at(url)
    if not _free(device):
        return False
    world.moving.times[device] += 1
    begin(device, lambda: move_alone(replica, url, space=space, without_old=without_old))
    return True


def follow_relay(world: World, device: Device, chance: random.Random) -> bool:
    """Follow somebody who moved."""
    spaces = [space for space in device.replica.spaces() if offered(device.replica.storage, space)]
    if not spaces or not _free(device):
        return False
    space = chance.choice(spaces)
    begin(device, lambda: follow_alone(device.replica, offered(device.replica.storage, space), space))
    return True


# Faults of the second relay


def harm_elsewhere(world: World, chance: random.Random) -> None:
    """What befalls the relay befalls the other one as well: it ends, at once or at a write, or loses its disk."""
    relay = world.elsewhere
    if relay is None or not relay.alive:
        return
    how = chance.choice(("kill", "kill", "crash", "crash", "wipe"))
    if how == "kill":
        relay.die(quietly=chance.random() < 0.4)
        world.fired("kill_elsewhere")
    elif how == "crash":
        relay.crash_in = chance.choice((1, 2, 3, 4, 5, 6))
    else:
        world.repair_relay(lambda disk: disk.wipe(), relay)
        world.fired("wipe_elsewhere")


def make_disk(world: World) -> RelayMemoryDisk | RelaySqliteDisk:
    """Of the second relay."""
    folder = world.folder
    return RelaySqliteDisk(folder / ELSEWHERE) if folder is not None else RelayMemoryDisk()


FIRES = ("kill_elsewhere", "wipe_elsewhere", "a relay forgets")
"""As what is counted."""
