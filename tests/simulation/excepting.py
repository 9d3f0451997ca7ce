"""Where less is promised, and why; docs/reliability.md says it in words. As narrow as what can be seen of a world allows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bide.ids import LogId, SpaceId
from bide.log.envelope import SIGNED_BYTES, entry_hash
from bide.replica.derivation.rebuilding import load_membership
from bide.replica.single_writer.succession import own_logs
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.personal import device_names
from bide.replica.sync.healing import is_said_again
from bide.storage.base import SpaceRecord, Storage, StoredEnvelope
from bide_relay.service import load_state

if TYPE_CHECKING:
    from simulation.processes import Device
    from simulation.world import World


_LOSSES = ("wipe_relay", "roll_back_relay", "rot", "wipe_elsewhere")
"""As what it is counted that a relay lost something."""


def is_torn(world: World, space: SpaceId) -> bool:
    """A home was put back, and the relay lost something: what others have of that home's log nobody can go on with.

    It stays with them where it stands, if it is words that were said nowhere else, or statements.
    """
    if not world.counts["restore_home"] or not sum(world.counts[name] for name in _LOSSES):
        return False
    relay = _relay(world, space)
    for device in world.devices:
        storage = device.replica.storage
        for log, head in storage.heads(space).items():
            mine = (storage.envelope(space, log, seq) for seq in range(1, head.seq + 1))
            gone = [each for each in mine if each is not None and not _is_at_relay(relay, space, each)]
            parted = any(relay.header(space, log, each.seq) is not None for each in gone)
            # Or the whole of it: it begins with a statement in whose place its home says something else now.
            parted = parted or (bool(gone) and _began_with_what_was_taken_out(storage, space, log))
            if parted and any(each.control or not is_said_again(storage, space, each) for each in gone):
                return True
    return False


def _began_with_what_was_taken_out(storage: Storage, space: SpaceId, log: LogId) -> bool:
    out = {each.envelope.hash for each in storage.displaced(space)}
    device = load_membership(storage, space).devices.get(log) if out else None
    return device is not None and device.admitted_by in out


def _relay(world: World, space: SpaceId) -> Any:
    """What is kept at the relay that counts for a space."""
    record = next(each for device in world.devices for each in device.replica.spaces() if each.space_id == space)
    return world.invariants.where_the_others_are(record).storage


def _is_at_relay(relay: Any, space: SpaceId, envelope: StoredEnvelope) -> bool:
    header = relay.header(space, envelope.log_id, envelope.seq)
    return header is not None and entry_hash(header[:SIGNED_BYTES]) == envelope.hash


def removed_and_still_in(world: World, members: Mapping[SpaceId, Sequence[Device]]) -> Iterator[tuple[Device, Device]]:
    """Who was removed from a person's devices, and is in something with one of those that knows which log is whose.

    Not if one that stays writes in that log as well: a copy that went on as a device of its own.
    """
    for device, other in itertools.permutations(world.devices, 2):
        own, storage = other.replica.reader.own_space(), other.replica.storage
        if device.person != other.person or other not in members.get(own.space_id, []):
            continue
        names, mine = device_names(storage, own), device.replica.reader.own_space().log_id
        for space in device.replica.spaces():
            staying = [each.places.get(space.space_id) for each in names if each.active]
            out = [each.places.get(space.space_id) for each in names if not each.active and each.log_id == mine]
            there = space.space_id not in world.invariants.torn and {device, other} <= {*members.get(space.space_id, [])}
            if there and space.log_id in out and space.log_id not in staying:
                yield device, other


def cannot_end_a_pause(world: World, device: Device, space: SpaceRecord) -> bool:
    """It was removed from its person's devices while it rested here: that it went on in another log here nobody knew."""
    if space.space_id not in device.replica.resting():
        return False
    own = device.replica.reader.own_space()
    state = load_state(world.relay_of(own).storage, own.space_id)
    return state is not None and not state.membership.is_active(own.log_id) and not own.pending


def was_left_by_all(world: World, space: SpaceId) -> bool:
    """A relay lost a space, and nobody brings it back: they left it quietly, were removed, or have not been there yet."""
    if not sum(world.counts[name] for name in _LOSSES):
        return False
    left = False
    for device in world.devices:
        record = next((each for each in device.replica.spaces() if each.space_id == space), None)
        if record is None:
            continue
        if world.quiet.rests(device, space):
            left = True
        elif not record.pending and record.log_id not in read_belonging(device.replica.storage, space).ended:
            return False
    return left


def went_on_unheard(world: World, device: Device) -> bool:
    """It wrote in a log that somebody removed with a home, and went on from there in one of which they had not heard."""
    wanted = world.invariants.tried_to_remove | world.invariants.out_with_removed
    for space in device.replica.spaces():
        state = load_state(world.relay_of(space).storage, space.space_id)
        if state is None:
            continue
        members, ends = state.membership.devices, state.membership.ends
        counted = [log for log in own_logs(device.replica.storage, space) if log in members and ends.get(log, 1)]
        if counted and counted[-1] != space.log_id and counted[-1] in wanted and counted[-1] in ends:
            return True
    return False
