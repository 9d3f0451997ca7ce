"""Leaving quietly in a world: from some moment on nothing of a space is sent by any device of a person that has heard of it.

Said in the own space alone; the other person is told nothing, and goes on alone without noticing.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bide.ids import LogId, SpaceId
from bide.log.envelope import HEADER_BYTES
from bide.replica.single_writer.outgoing import furthest
from bide.replica.single_writer.succession import own_logs
from bide.replica.spaces.stance import LEFT, read_stances

if TYPE_CHECKING:
    from simulation.processes import Device, RelayProcess
    from simulation.world import World

QUIET = "quiet"
"""The switch."""


@dataclass(eq=False)
class Quiet:
    """Who left what in a world, and how far their logs had gone out when they heard of it."""

    world: World
    begun: bool = False
    """Somebody left something: from here on devices are looked at."""
    upto: dict[tuple[Device, SpaceId], dict[LogId, int]] = field(default_factory=dict)

    def look(self, device: Device) -> None:
        """See whether a device has heard of a leaving; nothing of that goes out from here on."""
        if not self.begun:
            return
        storage = device.replica.storage
        for space, stance in read_stances(storage).items():
            if stance != LEFT or (device, space) in self.upto:
                continue
            record = next((each for each in device.replica.spaces() if each.space_id == space), None)
            if record is None:
                continue
            logs = own_logs(storage, record)
            self.upto[device, space] = {
                log: max(furthest(storage, space, log), self._handed(space, log, device)) for log in logs
            }
            if carrier := device.live.pop(space, None):
                carrier._connection.link.sever()  # type: ignore[attr-defined]

    def put_back(self, device: Device) -> None:
        """Its home is an old copy: what it had heard since it hears anew, or never, if it was said there and nowhere else."""
        for key in [key for key in self.upto if key[0] is device]:
            del self.upto[key]

    def _handed(self, space: SpaceId, log: LogId, device: Device) -> int:
        """How far somebody else has a log: pairing hands over how it begins."""
        others = (other.replica.storage.heads(space).get(log) for other in self.world.devices if other is not device)
        return max((head.seq for head in others if head is not None), default=0)

    def rests(self, device: Device, space: SpaceId) -> bool:
        """Whether a device has heard that its person left a space."""
        return (device, space) in self.upto

    @staticmethod
    def _is_of(device: Device, relay: RelayProcess, space: SpaceId, log: LogId, seq: int) -> bool:
        here, there = device.replica.storage.envelope(space, log, seq), relay.storage.header(space, log, seq)
        return here is not None and there == here.data[:HEADER_BYTES]

    def check(self) -> None:
        """No relay has more of anybody's log than had gone out when they heard of it."""
        for (device, space), upto in self.upto.items():
            for relay in self.world.relays:
                heads = relay.storage.heads(space)
                for log, seq in upto.items():
                    # A file goes wherever its writer takes it, and whoever takes it in brings it to the relay.
                    after = max(seq, self.world.filed.get((space, log), 0)) + 1
                    # What stands there may be a copy's that has not heard of it, and writes the same log.
                    if log in heads and heads[log].seq >= after and self._is_of(device, relay, space, log, after):
                        self.world.broke(f"{device.name} left a space quietly and sent something of it afterwards")
        self.world.deeds["looked at what was left quietly"] += len(self.upto)


def leave_quietly(world: World, device: Device, chance: random.Random) -> bool:
    """Never send anything of what is shared with somebody again."""
    people = device.replica.people()
    if not people:
        return False
    world.quiet.begun = True
    return device.do(lambda: device.replica.leave(chance.choice(people), quietly=True))
