"""What befalls a world. A new fault is a function and a line in the table; it says itself, through `World.fired`, when it had
an effect: one that only was tried counts for nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from simulation import moving
from simulation.recovery import RECOVERY, lose_device

if TYPE_CHECKING:
    from simulation.network import Link
    from simulation.world import World

YEAR_MS = 365 * 86_400_000


class Fault(NamedTuple):
    """One way in which things go wrong."""

    weight: int
    strike: Callable[[World, random.Random], None]
    fires: tuple[str, ...] = ()
    """Under which names it is counted; by default its own."""
    switch: str = ""
    """It is only drawn in worlds in which this is switched on."""


_WITHIN_MESSAGES = 40
"""A fault of a connection strikes one that is in use: that which carries one of the next so many messages."""


# Of the network


def drop(world: World, chance: random.Random) -> None:
    """A connection dies."""

    def strike(link: Link) -> None:
        link.sever()
        world.fired("drop")

    world.network.befall(chance.randrange(_WITHIN_MESSAGES), strike)


def cut(world: World, chance: random.Random) -> None:
    """Of the next message a beginning arrives, and then the connection is dead."""

    def strike(link: Link) -> None:
        def change(message: bytes) -> bytes:
            world.fired("cut")
            link.cut_after = True
            return message[: chance.randrange(len(message))]

        link.next_message = change

    world.network.befall(chance.randrange(_WITHIN_MESSAGES), strike)


def flip(world: World, chance: random.Random) -> None:
    """A bit of the next message is another when it arrives; mostly of one with envelopes."""
    envelopes = chance.random() < 0.7

    def strike(link: Link) -> None:
        def change(message: bytes) -> bytes:
            if envelopes and b"envelopes" not in message[:12]:
                link.next_message = change
                return message
            world.fired("flip")
            at = chance.randrange(len(message))
            return message[:at] + bytes([message[at] ^ (1 << chance.randrange(8))]) + message[at + 1 :]

        link.next_message = change

    world.network.befall(chance.randrange(_WITHIN_MESSAGES), strike)


def half_open(world: World, chance: random.Random) -> None:
    """Everything on a connection is lost without a word, until the keepalive notices."""
    world.network.befall(chance.randrange(_WITHIN_MESSAGES), lambda link: link.go_silent())


def stall(world: World, chance: random.Random) -> None:
    """Nothing moves on a connection for a while."""

    def strike(link: Link) -> None:
        link.hold("stall")
        world.clockwork.after(chance.uniform(1_000, 90_000), link.release)

    world.network.befall(chance.randrange(_WITHIN_MESSAGES), strike)


def partition(world: World, chance: random.Random) -> None:
    """Somebody reaches nobody for a while; at times it is the relay."""
    names = [process.name for process in (*world.devices, world.relay)]
    name = chance.choice(names)
    world.network.part(name)
    world.clockwork.after(chance.uniform(5_000, 300_000), lambda: world.network.join(name))


# Of processes


def kill_device(world: World, chance: random.Random) -> None:
    """A device's process ends between two of its awaits; at times the machine with it, so that nobody is told."""
    device = chance.choice(world.devices)
    if device.alive:
        device.die(quietly=chance.random() < 0.4)
        world.fired("kill_device")


def kill_relay(world: World, chance: random.Random) -> None:
    """The same with the relay."""
    if world.relay.alive:
        world.relay.die(quietly=chance.random() < 0.4)
        world.fired("kill_relay")


def crash_device(world: World, chance: random.Random) -> None:
    """A device's process ends at one of its next writes."""
    device = chance.choice(world.devices)
    if device.alive:
        device.crash_in = chance.choice((1, 2, 3, 5, 8, 13, 21))


def crash_relay(world: World, chance: random.Random) -> None:
    """The same with the relay."""
    if world.relay.alive:
        world.relay.crash_in = chance.choice((1, 2, 3, 4, 5, 6))


# Of clocks


def jump(world: World, chance: random.Random) -> None:
    """A device's clock jumps by up to a day."""
    device = chance.choice(world.devices)
    device.clock.off_ms += int(chance.uniform(-86_400_000, 86_400_000))
    world.fired("jump")


def decade(world: World, chance: random.Random) -> None:
    """A device's clock is wrong by up to ten years from now on."""
    device = chance.choice(world.devices)
    device.clock.off_ms = int(chance.uniform(-10, 10) * YEAR_MS)
    world.fired("decade")


# Of disks


def wipe_relay(world: World, chance: random.Random) -> None:
    """The relay loses its disk and begins with an empty one."""
    world.repair_relay(lambda disk: disk.wipe())
    world.rotten = False
    world.fired("wipe_relay")


def back_up_relay(world: World, chance: random.Random) -> None:
    """Somebody makes a copy of the relay's database."""
    if world.relay.alive:
        world.relay_backups.append((world.relay.disk.image(), world.rotten))


def roll_back_relay(world: World, chance: random.Random) -> None:
    """The relay is put back to a copy; at times as ``bide-relay restore`` does it, at times by copying files."""
    if not world.relay_backups:
        return
    backup, world.rotten = chance.choice(world.relay_backups)
    properly = chance.random() < 0.5

    def put_back(disk: object) -> None:
        disk.put(backup)  # type: ignore[attr-defined]
        if properly:
            disk.renew()  # type: ignore[attr-defined]

    world.repair_relay(put_back)
    world.fired("roll_back_relay")


def rot(world: World, chance: random.Random) -> None:
    """A bit of an envelope that lies at the relay flips. Whoever runs it starts with an empty disk when they notice."""

    def flip_one(disk: object) -> None:
        if disk.rot(chance.getrandbits(30)):  # type: ignore[attr-defined]
            world.rotten = True
            world.fired("rot")

    if world.relay_has_spaces():
        world.repair_relay(flip_one)


# Of homes


def back_up_home(world: World, chance: random.Random) -> None:
    """Somebody makes a copy of a home."""
    device = chance.choice(world.devices)
    if device.alive:
        world.home_backups.append((device, device.disk.image()))


def restore_home(world: World, chance: random.Random) -> None:
    """A home is put back to an old copy of it."""
    if world.home_backups:
        device, image = chance.choice(world.home_backups)
        world.restore_home(device, image)
        world.fired("restore_home")


def clone_home(world: World, chance: random.Random) -> None:
    """A home is copied to another machine, and both go on."""
    device = chance.choice(world.devices)
    if device.alive and len(world.devices) < 12:
        world.clone_home(device)
        world.fired("clone_home")


COPIES = "copies"
FAULTS: dict[str, Fault] = {
    "drop": Fault(14, drop),
    "cut": Fault(8, cut),
    "flip": Fault(8, flip),
    "half_open": Fault(6, half_open),
    "stall": Fault(6, stall),
    "partition": Fault(8, partition),
    "kill_device": Fault(10, kill_device),
    "kill_relay": Fault(6, kill_relay),
    "crash_device": Fault(16, crash_device, ("crash inside a transaction", "crash before a commit", "crash after a commit")),
    "crash_relay": Fault(8, crash_relay, ("relay crash before a commit", "relay crash after a commit")),
    "jump": Fault(4, jump),
    "decade": Fault(3, decade),
    "wipe_relay": Fault(2, wipe_relay),
    "back_up_relay": Fault(3, back_up_relay),
    "roll_back_relay": Fault(3, roll_back_relay),
    "rot": Fault(2, rot),
    "back_up_home": Fault(3, back_up_home, switch=COPIES),
    "restore_home": Fault(2, restore_home, switch=COPIES),
    "clone_home": Fault(1, clone_home, switch=COPIES),
    "harm_elsewhere": Fault(10, moving.harm_elsewhere, moving.FIRES, switch=moving.MOVES),
    "lose_device": Fault(
        10,
        lose_device,
        (
            "lose_device",
            "lose every device",
            "came back at rest",
            "recovery is killed",
            "recovery crash inside a transaction",
            "recovery crash before a commit",
            "recovery crash after a commit",
        ),
        switch=RECOVERY,
    ),
}
"""Name to fault."""
SILENT = ("back_up_relay", "back_up_home")


def drawn(switches: frozenset[str]) -> dict[str, int]:
    """Name to weight, of those that are switched on."""
    return {name: fault.weight for name, fault in FAULTS.items() if not fault.switch or fault.switch in switches}


def counted(switches: frozenset[str]) -> list[str]:
    """Under which names what is switched on is counted."""
    return [name for each in drawn(switches) if each not in SILENT for name in FAULTS[each].fires or (each,)]
