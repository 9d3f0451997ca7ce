"""Saying who belongs to a space: letting a device of mine in, removing one, and the epochs whose keys they are given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bide.crypto import sealing
from bide.crypto.keys import seal_grant
from bide.ids import DeviceId, LogId, Randomness
from bide.log.control import (
    DeviceAdded,
    DeviceRecord,
    DeviceRevoked,
    EpochMinted,
    Grant,
    RecoveryAdded,
    Statement,
    write_control,
)
from bide.log.envelope import ZERO_HASH
from bide.log.membership import Device, Membership
from bide.replica.derivation.rebuilding import lacking_keys, load_sayable, rebuild_members
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.stance import LEFT, read_stances
from bide.storage.base import SpaceRecord, Storage

if TYPE_CHECKING:
    from bide.replica.authoring.appending import Appender

_GRANTS_MAX = 200
"""In one statement: it stays well below what a control payload may hold."""


def spaces_to_share(storage: Storage) -> list[SpaceRecord]:
    """The spaces that a new device is let into: all in which this one belongs.

    One that has ended too, since its history can be read for good; but not one that was left quietly: of that nothing is sent.
    """
    left = {space for space, stance in read_stances(storage).items() if stance == LEFT}
    return [
        space
        for space in storage.spaces()
        if not space.pending
        and space.space_id not in left
        and space.log_id not in read_belonging(storage, space.space_id).ended
    ]


def admit(storage: Storage, appender: Appender, space: SpaceRecord, record: DeviceRecord, *, recovery: bool = False) -> LogId:
    """Let a new device of mine into one space, with every epoch secret. Inside a transaction.

    Args:
        storage: the replica.
        appender: its.
        space: which.
        record: the device's keys.
        recovery: it is a recovery phrase.
    """
    membership = load_sayable(storage, space.space_id)
    parent = _head_hash(storage, space)
    device = Device(DeviceId(record.signing_key), record.sealing_key, space.slot, LogId(b""), b"")
    # Whoever hands an epoch on counts as holding it. One that only a statement gave that was taken out of the log since, no
    # other copy of this home has.
    epochs = sorted(each for each in storage.epochs(space.space_id).items() if each[0] in membership.recipients)
    grants = _grants(((secret, device) for _, secret in epochs[:_GRANTS_MAX]), parent)
    before = set(membership.devices)
    statement: Statement = DeviceAdded("device.added", 1, sorted(membership.heads), record, grants)
    if recovery:
        statement = RecoveryAdded("recovery.added", *statement[1:])
    membership = _say(storage, appender, space, statement, membership)
    added = next(log for log in membership.devices if log not in before)
    if len(epochs) > _GRANTS_MAX:
        hand_on_keys(storage, appender, space)
    return added


def revoke_in(
    storage: Storage,
    appender: Appender,
    space: SpaceRecord,
    device: Device,
    membership: Membership,
    randomness: Randomness,
    *,
    cut: tuple[int, bytes] | None = None,
) -> None:
    """Remove a device of mine from one space. Its log counts up to `cut`, or as far as it is here. Inside a transaction."""
    head = storage.heads(space.space_id).get(device.log_id)
    cut_seq, cut_hash = cut or ((head.seq, head.hash) if head is not None else (0, ZERO_HASH))
    secret = randomness.token(sealing.EPOCH_SECRET_BYTES)
    left = [each for each in membership.active_devices() if each.log_id != device.log_id]
    grants = _grants(((secret, each) for each in left), _head_hash(storage, space))
    statement = DeviceRevoked("device.revoked", 1, sorted(membership.heads), device.id, cut_seq, cut_hash, grants)
    storage.put_epoch(space.space_id, sealing.epoch_id(secret), secret)
    _say(storage, appender, space, statement, membership)


def mint_epoch(storage: Storage, appender: Appender, space: SpaceRecord, *, randomness: Randomness) -> None:
    """Have an epoch whose secret goes to exactly the devices that belong. Inside a transaction.

    One that reached only some of them, and nobody else, is handed on to the rest; otherwise a fresh one is made.
    """
    membership = load_sayable(storage, space.space_id)
    active = membership.active_devices()
    everyone = {device.id for device in active}
    held = storage.epochs(space.space_id)
    fitting = sorted(epoch for epoch in held if membership.recipients.get(epoch, everyone) < everyone)
    if fitting:
        secret = held[fitting[0]]
        receiving = [device for device in active if device.id not in membership.recipients[fitting[0]]]
    else:
        secret, receiving = randomness.token(sealing.EPOCH_SECRET_BYTES), active
        storage.put_epoch(space.space_id, sealing.epoch_id(secret), secret)
    grants = _grants(((secret, device) for device in receiving), _head_hash(storage, space))
    _say(storage, appender, space, EpochMinted("epoch.minted", 1, sorted(membership.heads), grants), membership)


def hand_on_keys(storage: Storage, appender: Appender, space: SpaceRecord) -> None:
    """Give every device that belongs the epoch secrets that it lacks and that are here. Inside a transaction."""
    while True:
        membership = load_sayable(storage, space.space_id)
        held = storage.epochs(space.space_id)
        lacking = lacking_keys(membership, held)[:_GRANTS_MAX]
        if not lacking:
            return
        parent = _head_hash(storage, space)
        grants = _grants(((held[epoch], membership.devices[log]) for epoch, log in lacking), parent)
        _say(storage, appender, space, EpochMinted("epoch.minted", 1, sorted(membership.heads), grants), membership)


def _grants(sealed: Iterable[tuple[bytes, Device]], parent: bytes) -> list[Grant]:
    return [
        Grant(
            sealing.epoch_id(secret),
            device.id,
            seal_grant(secret, recipient=device.id, sealing_key=device.sealing_key, parent=parent),
        )
        for secret, device in sealed
    ]


def _head_hash(storage: Storage, space: SpaceRecord) -> bytes:
    return storage.heads(space.space_id)[space.log_id].hash if space.log_id in storage.heads(space.space_id) else ZERO_HASH


def _say(storage: Storage, appender: Appender, space: SpaceRecord, statement: Statement, membership: Membership) -> Membership:
    """Write a statement into this device's log, and bring what follows from it up to date."""
    envelope = appender.control(write_control(statement), space=space)
    membership.admit(envelope)
    rebuild_members(storage, space.space_id)
    return membership
