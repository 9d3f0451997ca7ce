"""Bundle files in a world: written at one time, taken in at another, by whomever, twice, or damaged.

What must hold: whoever took in a whole file has all that its writer had of what both are in; and a file that is torn, cut or
altered is never taken for a whole one, whatever of it was taken in.
"""

from __future__ import annotations

import io
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bide.errors import BideError
from bide.ids import LogId, SpaceId
from bide.log.head import Head
from bide.log.packing import unpack
from bide.replica.spaces.belonging import read_belonging
from bide.replica.sync.bundles import HOST, MAGIC, read_bundle, write_bundle
from bide.replica.sync.heads import forked_logs
from bide.replica.sync.syncing import SpaceSync
from bide.storage.base import Storage

if TYPE_CHECKING:
    from simulation.processes import Device
    from simulation.world import World

BUNDLES = "bundles"
"""The switch."""
_KEPT_MAX = 30


@dataclass(eq=False)
class Bundle:
    """A file on somebody's stick."""

    person: int
    data: bytes
    heads: dict[SpaceId, dict[LogId, Head]]
    """What its writer had."""


def export_bundle(world: World, device: Device, chance: random.Random) -> bool:
    """Write all that is here into a file, or what is shared with one person."""
    people = device.replica.people()
    with_ = chance.choice(people) if people and chance.random() < 0.4 else ""

    def do() -> None:
        replica = device.replica
        replica.holding.send_due()
        spaces = [replica.reader.pair_space(with_)] if with_ else [each for each in replica.spaces() if not each.pending]
        data = b"".join(write_bundle(replica.storage, spaces, randomness=replica.randomness))
        heads = {space.space_id: announced(data, space.space_id) for space in spaces}
        for of, log, head in ((of, log, head) for of, logs in heads.items() for log, head in logs.items()):
            world.filed[of, log] = max(head.seq, world.filed.get((of, log), 0))
        for space in spaces:
            lacking = replica.storage.heads(space.space_id).keys() - heads[space.space_id].keys()
            if lacking - read_belonging(replica.storage, space.space_id).ended.keys():
                world.clockwork.note(device.name, "keeps back", len(lacking), "logs in a file")
        world.bundles.append(Bundle(device.person, data, heads))
        del world.bundles[:-_KEPT_MAX]

    return device.do(do)


def import_bundle(world: World, device: Device, chance: random.Random) -> bool:
    """Take in some file, as it is or damaged; mostly one that says something here."""
    here = {space.space_id for space in device.replica.spaces()}
    bundles = [each for each in world.bundles if not here.isdisjoint(each.heads)] or world.bundles
    if not bundles:
        return False
    bundle, damage = chance.choice(bundles), chance.choice(("", "", "", *_DAMAGES))
    data = _DAMAGES[damage](bundle.data, chance) if damage else bundle.data
    return device.do(lambda: take_in(world, device, bundle, data, damage=damage))


def take_in(world: World, device: Device, bundle: Bundle, data: bytes, *, damage: str = "") -> None:
    """What ``bide bundle import`` does."""
    replica = device.replica
    here = {space.space_id for space in replica.spaces()}

    def session_for(space: SpaceId, beside: Storage) -> SpaceSync | None:
        return replica.sync_session(space, host=HOST, storage=beside) if space in here else None

    errors = []
    try:
        for taken in read_bundle(io.BytesIO(data).read, replica.storage, session_for):
            device.promise()
            if taken is not None and taken.error is not None:
                errors.append((taken.space, taken.error.code))
                if not damage and taken.error.code == "verification_failed":
                    world.broke(f"{device.name} takes a bundle that is whole for a deceiver's: {taken.error.template}")
    except BideError as error:
        errors.append((SpaceId(b""), error.code))
        if not damage:
            world.broke(f"{device.name} can't read a bundle that is whole: {error.template}")
    for space, code in errors:
        world.clockwork.note(device.name, "took in a part only", space.hex()[:4], code)
    if damage:
        world.fired(damage)
        if not any(space == b"" for space, _ in errors):
            world.broke(f"{device.name} took a bundle that was {damage} for a whole one")
        return
    failed = {space for space, _ in errors} | replica.resting()
    for space in here & bundle.heads.keys() - failed:
        _has_all(world, device, space, bundle.heads[space])


def announced(data: bytes, space: SpaceId) -> dict[LogId, Head]:
    """What a file says that it has of a space."""
    at = len(MAGIC) + 1
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        record = unpack(data[at + 4 : at + 4 + size], bytes_max=size)
        if isinstance(record, list) and record[0] == "space" and record[1] == space:
            heads: Any = record[2]
            return {LogId(log): Head(LogId(log), seq, digest) for log, seq, digest in heads}
        at += 4 + size
    return {}


def _has_all(world: World, device: Device, space: SpaceId, heads: dict[LogId, Head]) -> None:
    storage = device.replica.storage
    needed = read_belonging(storage, space).needed
    disputed = forked_logs(storage, next(each for each in device.replica.spaces() if each.space_id == space))
    for log, head in heads.items():
        seq = min(head.seq, needed.get(log, head.seq))
        there = storage.envelope(space, log, seq) if seq else None
        if seq and log not in disputed and (there is None or (seq == head.seq and there.hash != head.hash)):
            world.broke(f"{device.name} took in a bundle and lacks something of it")
    world.deeds["took in a whole bundle"] += 1


def _torn(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def _cut(data: bytes, chance: random.Random) -> bytes:
    """A piece is missing in the middle."""
    at = chance.randrange(len(data))
    return data[:at] + data[at + 1 + chance.randrange(len(data) - at) :]


def _flipped(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]


_DAMAGES = {"bundle torn": _torn, "bundle cut": _cut, "bundle flipped": _flipped}
FIRES = tuple(_DAMAGES)
"""As what damage is counted."""
