"""What people do in a world: real operations through the `Replica` facade. A new one is a function and a line in the table."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bide.crdt.document import NothingChanged
from bide.errors import BideError
from bide.replica.authoring.holding import Deed, Do
from bide.replica.joining.enrolling import DeviceAdded
from bide.replica.own_devices.devices import rename, revoke
from bide.replica.spaces.personal import my_devices
from bide.testing_replicas import AddingRun
from simulation.clockwork import Crashed
from simulation.files import BUNDLES, export_bundle, import_bundle
from simulation.moving import MOVES, follow_relay, move_relay
from simulation.quiet import QUIET, leave_quietly
from simulation.recovery import RECOVERY, end_phrase, make_phrase, use_phrase

if TYPE_CHECKING:
    from simulation.processes import Device
    from simulation.world import World

Operation = Callable[["World", "Device", random.Random], bool]
"""Does it, and says whether anything came of it."""
DEVICES_A_PERSON_MAX = 4
_TEXTS = ("tea", "a long walk", "กาแฟ", "🦉", "the dishes, again", "x" * 300, "sorry\nfor the noise")
_STEPS = ("accept", "tell", "hear", "answer", "reconnect", "agree", "settle", "later", "rest", "return", "withdraw")


def _text(chance: random.Random) -> str:
    return f"{chance.choice(_TEXTS)} {chance.randrange(1000)}"


def _with(device: Device, chance: random.Random) -> str:
    people = device.replica.people()
    return chance.choice(people) if people else ""


def _values(kind: str, chance: random.Random) -> dict[str, Any]:
    text = _text(chance)
    return {
        "checkin": {"went_well": text, "hard": "work"},
        "appreciation": {"noticed": text},
        "question": {"question": text},
        "activity": {"what": text},
        "reflection": {"text": text},
    }[kind]


def write(world: World, device: Device, chance: random.Random) -> bool:
    kind = chance.choice(("checkin", "appreciation", "appreciation"))
    private = chance.random() < 0.2
    with_ = "" if private else _with(device, chance)
    return device.do(
        lambda: world.wrote(device, device.replica.write(kind, _values(kind, chance), private=private, with_=with_))
    )


def _entry(device: Device, chance: random.Random, *, mine: bool | None = None, kinds: tuple[str, ...] = ()) -> Any:
    entries = device.replica.timeline(kinds=kinds, limit=12)
    if mine is not None:
        entries = [entry for entry in entries if (entry["by"] == "me" or entry.get("me")) is mine] or entries
    return chance.choice(entries) if entries else None


def reply(world: World, device: Device, chance: random.Random) -> bool:
    entry = _entry(device, chance, mine=False)
    if entry is None:
        return False
    kind = chance.choice(("hearing", "reception", "answer"))
    values = {"hearing": {"mirrored": _text(chance)}, "reception": {}, "answer": {"answer": _text(chance)}}[kind]
    return device.do(lambda: world.wrote(device, device.replica.reply(kind, entry["id"], values)))


def ask(world: World, device: Device, chance: random.Random) -> bool:
    values = {"question": _text(chance)}
    return device.do(lambda: world.wrote(device, device.replica.write("question", values, with_=_with(device, chance))))


def edit(world: World, device: Device, chance: random.Random) -> bool:
    entry = _entry(device, chance, mine=True, kinds=("checkin", "appreciation"))
    if entry is None:
        return False
    field = "noticed" if entry["kind"] == "appreciation" else "hard"
    return device.do(lambda: device.replica.edit(entry["id"], {field: _text(chance)}))


def retract(world: World, device: Device, chance: random.Random) -> bool:
    entry = _entry(device, chance, mine=True, kinds=("checkin", "appreciation"))
    return entry is not None and device.do(lambda: device.replica.retract(entry["id"]))


def postpone(world: World, device: Device, chance: random.Random) -> bool:
    entry = _entry(device, chance, mine=False)
    return entry is not None and device.do(lambda: device.replica.postpone(entry["id"], back=chance.random() < 0.3))


def release(world: World, device: Device, chance: random.Random) -> bool:
    entries = [entry for entry in device.replica.timeline(limit=20) if entry["visibility"] != "shared"]
    if not entries:
        return False
    entry = chance.choice(entries)
    return device.do(lambda: world.wrote(device, device.replica.release(entry["id"], with_=_with(device, chance))))


def invite(world: World, device: Device, chance: random.Random) -> bool:
    values = {"topic": _text(chance).replace("\n", " ")[:60]}
    return device.do(lambda: world.wrote(device, device.replica.invite_to_repair(values, with_=_with(device, chance))))


def step(world: World, device: Device, chance: random.Random) -> bool:
    conversations = device.replica.conversations()
    if not conversations:
        return False
    conversation = chance.choice(conversations)
    open_now = [step for step in conversation.get("next", ()) if step in _STEPS and step != "withdraw"]
    name = chance.choice(open_now or _STEPS)
    text = _text(chance)
    values = {
        "tell": {"own_part": text, "felt": "tired"},
        "hear": {"mirrored": text},
        "answer": {"verdict": "not_quite", "clarification": text} if len(text) % 2 else {"verdict": "heard"},
        "reconnect": {"gesture": text},
        "agree": {"agreement": text},
    }.get(name, {})
    return device.do(lambda: device.replica.repair_step(conversation["id"], name, values))


def hold(world: World, device: Device, chance: random.Random) -> bool:
    with_ = _with(device, chance)
    deed = Deed(Do.WRITE, "appreciation", _values("appreciation", chance))
    space = device.replica.reader.pair_space(with_) if with_ else None

    def put() -> None:
        held = device.replica.holding.put(deed, minutes=chance.randrange(1, 8), space=space)
        world.held(device, held.id)

    return device.do(put)


def call(world: World, device: Device, chance: random.Random) -> bool:
    with_ = _with(device, chance)
    return device.do(lambda: device.replica.set_relation(with_, chance.choice(("partner", "friend", "family"))))


def rebuild(world: World, device: Device, chance: random.Random) -> bool:
    return device.do(device.replica.rebuild)


def name_device(world: World, device: Device, chance: random.Random) -> bool:
    def give_name() -> None:
        mine = next((each for each in my_devices(device.replica.storage) if each.this), None)
        if mine is not None:  # one that is not let in yet has no place in the list
            rename(device.replica, mine, f"laptop {chance.randrange(1000)}")

    return device.do(give_name)


def add_device(world: World, device: Device, chance: random.Random) -> bool:
    """The whole ceremony between two devices in one room; its mailbox is one of memory."""
    if sum(other.person == device.person for other in world.devices) >= DEVICES_A_PERSON_MAX:
        return False
    new = world.make_device(device.person)
    name = f"device {new.name}"  # its keys are made from this: no other device is called so, not even one that was given up
    storage = new.open_empty()

    def add() -> None:
        run = AddingRun(device.replica, name, storage)
        run.finish()
        if not all(any(isinstance(event, DeviceAdded) for event in events) for events in run.events):
            raise next((error for error in run.errors if error is not None), BideError("The device was not added."))

    if not device.do(add):
        new.abandon()
        return False
    new.settle_in(storage)
    new.added_by = device
    world.devices.append(new)
    return True


def revoke_device(world: World, device: Device, chance: random.Random) -> bool:
    others = [each for each in my_devices(device.replica.storage) if each.active and not each.this]
    if not others:
        return False
    target = chance.choice(others)
    world.tries_to_remove(device, target)

    def remove() -> None:
        linked = world.invariants.linked_with(device, target)
        spaces = revoke(device.replica, target)
        world.removed(device, target, spaces)
        world.invariants.out_with_all(device, {(space, log) for space, log in linked if space in spaces})

    return device.do(remove)


def erase(world: World, device: Device, chance: random.Random) -> bool:
    entry = _entry(device, chance, mine=True)
    if entry is None:
        return False

    def do() -> None:
        before = world.invariants.words_of_mine(device)
        try:
            device.replica.erase([entry["id"]])
        except Crashed:  # nobody can tell whether it was done
            world.invariants.erased_said |= before
            raise
        world.invariants.erased(device, before)

    return device.do(do)


def pause(world: World, device: Device, chance: random.Random) -> bool:
    with_, end = _with(device, chance), chance.random() < 0.6
    return bool(with_) and device.do(lambda: device.replica.pause(with_, end=end))


def leave(world: World, device: Device, chance: random.Random) -> bool:
    with_ = _with(device, chance)
    return bool(with_) and device.do(lambda: device.replica.leave(with_))


def sync(world: World, device: Device, chance: random.Random) -> bool:
    device.sync()
    return True


def watch(world: World, device: Device, chance: random.Random) -> bool:
    if device.live:
        device.stop_live()
    else:
        device.sync(live=True)
    return True


def tolerant(operation: Operation) -> Operation:
    """What is not possible just now is refused with a sentence; that is no matter of the simulation's."""

    def do(world: World, device: Device, chance: random.Random) -> bool:
        try:
            return operation(world, device, chance)
        except (BideError, NothingChanged):
            return False

    return do


OPERATIONS: dict[str, tuple[int, Operation]] = {
    "write": (40, write),
    "reply": (14, reply),
    "ask": (4, ask),
    "edit": (8, edit),
    "retract": (3, retract),
    "postpone": (3, postpone),
    "release": (3, release),
    "invite": (4, invite),
    "step": (14, step),
    "hold": (4, hold),
    "call": (2, call),
    "rebuild": (1, rebuild),
    "name_device": (2, name_device),
    "add_device": (5, add_device),
    "revoke_device": (2, revoke_device),
}
"""Name to weight and deed."""
LEAVING = "leaving"
ON_SWITCH: dict[str, dict[str, tuple[int, Operation]]] = {
    LEAVING: {"erase": (6, erase), "pause": (3, pause), "leave": (1, leave)},
    BUNDLES: {"export_bundle": (6, export_bundle), "import_bundle": (10, import_bundle)},
    MOVES: {"move_relay": (4, move_relay), "follow_relay": (4, follow_relay)},
    QUIET: {"leave_quietly": (2, leave_quietly)},
    RECOVERY: {"make_phrase": (6, make_phrase), "end_phrase": (1, end_phrase), "use_phrase": (4, use_phrase)},
}
"""What is only done where it is switched on: else it would take worlds away from all the rest."""
MEETINGS: dict[str, Operation] = {"sync": sync, "watch": watch}
EVERYTHING = {name: deed for table in (OPERATIONS, *ON_SWITCH.values()) for name, (_, deed) in table.items()} | MEETINGS
"""Name to deed."""
