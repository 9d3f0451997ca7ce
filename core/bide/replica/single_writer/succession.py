"""Going on in a new log: this home becomes another device of the same person, brought in by the one that it was.

A log is never written by two. Where another copy of this home writes it too, or whoever holds its keys shall not write on, what
this home says from now on goes into a log of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bide.crypto.keys import new_device_keys
from bide.errors import MembershipRejected
from bide.ids import DeviceId, LogId, Randomness, SpaceId, log_id
from bide.log.control import Control, DeviceAdded, read_control
from bide.log.envelope import Envelope, parse_envelope
from bide.replica.authoring.admitting import admit
from bide.replica.authoring.founding import device_record
from bide.replica.derivation.rebuilding import rebuild_members
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.removal import is_removed, note_let_in, note_turned_away
from bide.storage.base import FormerDevice, SpaceRecord, Storage, StoredEnvelope, find_space

if TYPE_CHECKING:
    from bide.replica.authoring.appending import Appender


def succeed(
    storage: Storage, appender: Appender, space: SpaceRecord, *, randomness: Randomness, keep_former: bool = True
) -> SpaceRecord:
    """Have the device that this home is in a space bring in a new one, and be that one from here on. Inside a transaction.

    The old log says ``device.added`` at its head, with every epoch secret that is here; nothing is written into the new log.
    The relay knows the new device only once that statement has come there: until it has acknowledged it, syncing proves itself
    with the keys of the former device. Names and places are not said here.

    Args:
        storage: the replica.
        appender: its.
        space: in which; its log is here as far as it goes anywhere.
        randomness: for the new keys.
        keep_former: keep the keys of the device that it was. Without them a relay that loses the statement and gets something
            else in its place can't be told of the new device by this home.

    Returns:
        The space as it is now: another log, other keys.

    Raises:
        MembershipRejected: the person can't have more devices, or the old device belongs no more.
    """
    keys = new_device_keys(randomness)
    log = admit(storage, appender, space, device_record(keys, space=space.space_id, slot=space.slot))
    if keep_former:
        storage.put_former_device(FormerDevice(space.space_id, space.log_id, space.signing_seed, space.sealing_secret))
    storage.replace_device(space._replace(log_id=log, signing_seed=keys.signing_seed, sealing_secret=keys.sealing_secret))
    rebuild_members(storage, space.space_id)
    return find_space(storage, space.space_id)


# What this home was before


def own_logs(storage: Storage, space: SpaceRecord) -> list[LogId]:
    """The logs that this home has written in a space, the first one first."""
    return [*(former.log_id for former in storage.former_devices(space.space_id)), space.log_id]


def face(storage: Storage, space: SpaceRecord) -> bytes:
    """The signing seed to prove oneself to the relay with: of the device that it knows, as far as it has acknowledged."""
    formers = storage.former_devices(space.space_id)
    if not formers:
        return space.signing_seed
    ended = read_belonging(storage, space.space_id).ended
    # Who is out, and can't become known as what it is now, proves itself as what it was, and hears whether that still holds.
    out = is_removed(storage, space)
    for former, after in zip(formers, own_logs(storage, space)[1:], strict=True):
        if not out and (former.log_id in ended or _is_refused(storage, space.space_id, former.log_id)):
            continue
        if _is_unknown(storage, space, after):
            return former.signing_seed
    return space.signing_seed


def is_new_there(storage: Storage, space: SpaceRecord, seed: bytes) -> bool:
    """Whether the relay has yet to hear of the device with this seed: that it doesn't know it tells of no loss."""
    seeds = [*(former.signing_seed for former in storage.former_devices(space.space_id)), space.signing_seed]
    pairs = zip(seeds[1:], own_logs(storage, space)[1:], strict=True)
    return any(each == seed and _is_unknown(storage, space, log) for each, log in pairs)


def _is_unknown(storage: Storage, space: SpaceRecord, log: LogId) -> bool:
    """Whether the statement that brought in a later device of this home is here, and the relay has not acknowledged it."""
    admitting = next((each for each in storage.controls(space.space_id) if admitted(space, each) == log), None)
    known = storage.relay_heads(space.space_id)
    return admitting is not None and (admitting.log_id not in known or known[admitting.log_id].seq < admitting.seq)


def note_welcomed(storage: Storage, space: SpaceRecord, seed: bytes) -> None:
    """The relay let in the device with this seed. In a transaction."""
    note_let_in(storage, space)
    for former in storage.former_devices(space.space_id):
        if former.signing_seed == seed and storage.meta(_refused_key(space.space_id, former.log_id)):
            storage.put_meta(_refused_key(space.space_id, former.log_id), "")


def note_other_past(storage: Storage, space: SpaceRecord, log: LogId) -> bool:
    """The relay has another past of a log of this home. One transaction.

    Returns:
        Whether this home is out: the device of that log was removed, and the relay can't take any more what was said last in it
        here, that this home goes on as another device.
    """
    logs, ended = own_logs(storage, space), read_belonging(storage, space.space_id).ended
    if log == space.log_id or not _is_unknown(storage, space, logs[logs.index(log) + 1]):
        return False
    if log not in ended and not _is_refused(storage, space.space_id, log):
        return False
    with storage.transaction():
        note_turned_away(storage, space)
    return True


def note_refused(storage: Storage, space: SpaceRecord, seed: bytes) -> bool:
    """The relay knows the device with this seed as removed. One transaction.

    Returns:
        Whether it is one that this home was before: then the next contact is as a later one, which may belong all the same.
    """
    with storage.transaction():
        if seed == space.signing_seed or is_removed(storage, space):
            note_turned_away(storage, space)
            return False
        for former in storage.former_devices(space.space_id):
            if former.signing_seed == seed:
                storage.put_meta(_refused_key(space.space_id, former.log_id), _store(storage, space.space_id))
                return True
    return False


def _is_refused(storage: Storage, space: SpaceId, log: LogId) -> bool:
    """Whether this relay refused a device; one whose storage is new may know nothing of that."""
    refused = storage.meta(_refused_key(space, log))
    return bool(refused) and refused == _store(storage, space)


def _store(storage: Storage, space: SpaceId) -> str:
    return storage.meta(f"relay_store.{space.hex()}")


# Statements by which a device follows another


def admitted(space: SpaceRecord, stored: StoredEnvelope) -> LogId | None:
    """The log of the device that an envelope adds, if it adds one."""
    statement = read_statement(parse_envelope(stored.data)) if stored.control else None
    return log_id(space.space_id, DeviceId(statement.device.signing_key)) if isinstance(statement, DeviceAdded) else None


def read_statement(envelope: Envelope) -> Control | None:
    """What a control envelope says; nothing, if this version can't read it."""
    try:
        return read_control(envelope.body)
    except MembershipRejected:
        return None


def _refused_key(space: SpaceId, log: LogId) -> str:
    return f"face_refused.{space.hex()}.{log.hex()}"
