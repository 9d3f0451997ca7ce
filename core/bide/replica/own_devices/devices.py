"""My own devices: adding, naming and revoking them in every space.

A device has other keys in every space, so that a relay can't link spaces. Which of them are one device is known from the own
space, where it is said, sealed, for the person's own devices alone.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from bide.entries.fields import clean_text
from bide.errors import InputError, NotAllowed, NotFound
from bide.ids import LogId, SpaceId
from bide.log.control import DeviceRecord
from bide.log.membership import DEVICES_EVER_MAX, DEVICES_PER_PERSON_MAX
from bide.replica.authoring.admitting import admit, revoke_in
from bide.replica.derivation.rebuilding import load_sayable
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.people import folded
from bide.replica.spaces.personal import DEVICE_NAME_CHARS_MAX, DeviceName, device_key, device_names, my_devices, place_key
from bide.replica.spaces.stance import may_write
from bide.storage.base import SpaceRecord, Storage

if TYPE_CHECKING:
    from bide.replica.authoring.replica_like import ReplicaLike

_REMOVE_ONE = "Remove one that you don't use: bide device revoke NAME"


class Enrolment(NamedTuple):
    """A new device's record for one space."""

    space: SpaceRecord
    record: DeviceRecord


def clean_device_name(text: str) -> str:
    """A device's name as it was typed.

    Raises:
        InputError: it is empty, too long, or can't be shown.
    """
    cleaned = clean_text(text, what="name", chars_max=DEVICE_NAME_CHARS_MAX, one_line=True)
    if not cleaned:
        raise InputError("The name of the device is empty.", hint="For example: laptop, phone")
    return cleaned


def require_free_name(storage: Storage, name: str, *, but: LogId | None = None) -> None:
    """See to it that no device of mine that belongs is called that.

    Raises:
        InputError: one is.
    """
    if any(folded(each.name) == folded(name) and each.log_id != but for each in my_devices(storage) if each.active):
        raise InputError(
            "You have a device of that name already.",
            hint="Another name will do. If you don't have that one any more: bide device revoke {name}",
            name=quote(name),
        )


def require_room(storage: Storage, space: SpaceRecord) -> None:
    """See to it, before anybody is asked to do anything, that this person can have a further device.

    Raises:
        NotAllowed: they have as many as there can be.
    """
    membership = load_sayable(storage, space.space_id)
    mine = [device for device in membership.devices.values() if device.slot == space.slot]
    if sum(membership.is_active(device.log_id) for device in mine) >= DEVICES_PER_PERSON_MAX:
        raise NotAllowed("A person can have {most} devices.", hint=_REMOVE_ONE, most=DEVICES_PER_PERSON_MAX)
    if len(mine) >= DEVICES_EVER_MAX:
        raise NotAllowed("A person can have {most} devices in all, removed ones too.", most=DEVICES_EVER_MAX)


# What is said in a space


def enrol(replica: ReplicaLike, enrolments: Sequence[Enrolment], name: str) -> None:
    """Let a new device of mine into spaces, with every epoch secret of each. One transaction.

    Raises:
        MembershipRejected: a person can't have more devices, or the record is not genuine.
    """
    storage, writer, appender = replica.storage, replica.writer, replica.writer.appender
    own = replica.reader.own_space()
    with storage.transaction():
        places: dict[str, str] = {}
        new_own: LogId | None = None
        for space, record in enrolments:
            log = admit(storage, appender, space, record)
            new_own = log if space.space_id == own.space_id else new_own
            places[space.space_id.hex()] = log.hex()
        if new_own is None:
            raise NotAllowed("A device belongs to its person's own space first.")
        for space, _ in enrolments:
            log = LogId(bytes.fromhex(places[space.space_id.hex()]))
            if not may_write(storage, space):
                continue  # what has ended can still be read there, and nothing is said in it any more
            fields = {device_key(log): name}
            if space.space_id == own.space_id:
                fields |= {place_key(log, SpaceId(bytes.fromhex(each))): place for each, place in places.items()}
                for mine in storage.spaces():
                    fields[place_key(own.log_id, mine.space_id)] = mine.log_id.hex()
            writer.say_of_person(fields, space=space)


def require_device(target: DeviceName) -> None:
    """See to it that something is a device, and not a recovery phrase.

    Raises:
        NotAllowed: it is a phrase.
    """
    if target.on_paper:
        raise NotAllowed("That is a recovery phrase, not a device.", hint="To end it: bide recovery destroy")


def revoke(replica: ReplicaLike, target: DeviceName) -> list[SpaceId]:
    """Remove a device of mine from every space that it is in, with a fresh epoch for who remains. One transaction.

    Its log counts as far as it is here. What the same home wrote before it went on in that log is removed with it, since its
    keys are there as well, and so is what it went on in; but not what another device of mine says that it writes, which went on
    from the same log as a copy.

    Returns:
        The spaces.

    Raises:
        NotAllowed: it is this one, or was removed before.
    """
    storage, appender = replica.storage, replica.writer.appender
    own = replica.reader.own_space()
    if target.log_id == own.log_id:
        raise NotAllowed("That is this device.", hint="Remove it from another one of yours.")
    require_device(target)
    if not target.active:
        raise NotAllowed("That device was removed already.")
    done = []
    others = [each for each in my_devices(storage) if each.active and each.log_id != target.log_id]
    with storage.transaction():
        for space in storage.spaces():
            log = _log_in(storage, space, target)
            if log is None or space.pending:
                continue
            apart = {each.places.get(space.space_id) for each in others if space.space_id != own.space_id}
            for each in _of_one_home(storage, space, log, apart):
                membership = load_sayable(storage, space.space_id)
                if membership.is_active(each) and membership.devices[each].slot == space.slot and each != space.log_id:
                    revoke_in(storage, appender, space, membership.devices[each], membership, replica.randomness)
                    done.append(space.space_id)
    return list(dict.fromkeys(done))


def finish_removals(replica: ReplicaLike, space: SpaceRecord) -> None:
    """Remove from a space what was removed from my devices, where that was not done: by one that was not let in there yet.

    As long as none of my devices writes in its log there: a copy that went on as a device of its own may.
    """
    storage, own = replica.storage, replica.reader.own_space()
    ended = read_belonging(storage, own.space_id).ended
    if own.pending or own.log_id in ended or not ended or space.kind == "own":
        return
    mine = device_names(storage, own)
    staying = {each.places[space.space_id] for each in mine if each.active and space.space_id in each.places}
    gone = {each.places[space.space_id] for each in mine if not each.active and space.space_id in each.places}
    gone -= {space.log_id, *staying, *read_belonging(storage, space.space_id).ended}
    if not gone:
        return
    with storage.transaction():
        for log in sorted(gone):
            membership = load_sayable(storage, space.space_id)
            if membership.is_active(log) and membership.devices[log].slot == space.slot:
                revoke_in(storage, replica.writer.appender, space, membership.devices[log], membership, replica.randomness)


def _of_one_home(storage: Storage, space: SpaceRecord, log: LogId, apart: Container[LogId | None]) -> list[LogId]:
    """The logs that the home of a device wrote in a space, before and after, as far as it says so and brought them in.

    Args:
        storage: the replica.
        space: which.
        log: of the device.
        apart: what other devices write there: none of these is what this home went on in.
    """
    membership = load_sayable(storage, space.space_id)
    authors = {control.hash: control.log_id for control in storage.controls(space.space_id)}
    pairs = [(each.log_id, each.was) for each in device_names(storage, space) if each.mine and each.was is not None]
    linked = [(after, was) for after, was in pairs if authors.get(membership.devices[after].admitted_by) == was]
    found = [log]
    for each in found:  # grows meanwhile
        before = {was for after, was in linked if after == each}
        since = {after for after, was in linked if was == each and after not in apart}
        found += sorted((before | since).difference(found))
    return found


def _log_in(storage: Storage, space: SpaceRecord, target: DeviceName) -> LogId | None:
    """The log of a device of mine in a space: as was said when it was added, else by its name there."""
    if space.space_id in target.places:
        return target.places[space.space_id]
    named = (each for each in device_names(storage, space) if each.mine and each.active and each.named)
    return next((each.log_id for each in named if folded(each.name) == folded(target.name)), None)


def rename(replica: ReplicaLike, target: DeviceName, name: str) -> None:
    """Call a device of mine something else, in every space that it is in. One transaction.

    Raises:
        InputError: the name is taken, empty, or can't be shown.
    """
    storage = replica.storage
    require_device(target)
    cleaned = clean_device_name(name)
    require_free_name(storage, cleaned, but=target.log_id)
    with storage.transaction():
        for space in storage.spaces():
            log = target.log_id if space.kind == "own" else _log_in(storage, space, target)
            if log is None and target.this:
                log = space.log_id
            if log is not None and not space.pending and may_write(storage, space):
                fields: dict[str, str] = {device_key(log): cleaned}
                if space.kind == "own" and target.this:
                    fields |= {place_key(log, each.space_id): each.log_id.hex() for each in storage.spaces()}
                replica.writer.say_of_person(fields, space=space)


def find_device(storage: Storage, typed: str) -> DeviceName:
    """The device of mine that a name, or the beginning of one, means; one that belongs before one that was removed.

    Raises:
        NotFound: none.
        InputError: several.
    """
    wanted = folded(typed)
    mine = my_devices(storage)
    exact = [each for each in mine if folded(each.name) == wanted]
    fitting = exact or [each for each in mine if wanted and folded(each.name).startswith(wanted)]
    fitting = [each for each in fitting if each.active] or fitting
    names = ", ".join(each.name for each in mine if each.active)
    if len({each.log_id for each in fitting}) > 1:
        raise InputError("{name!r} fits more than one device.", hint="They are: {names}", name=typed[:40], names=names)
    if not fitting:
        raise NotFound("You have no device of that name.", hint="They are: {names}", names=names)
    return fitting[0]
