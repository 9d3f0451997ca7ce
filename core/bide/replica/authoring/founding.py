"""Founding spaces and admitting people: the control envelopes that a device writes."""

from __future__ import annotations

from typing import NamedTuple

from bide.crypto import sealing, signing
from bide.crypto.keys import DeviceKeys, new_device_keys, seal_grant
from bide.ids import DeviceId, Randomness, SpaceId, log_id, space_id
from bide.log.control import DeviceRecord, Grant, PersonJoined, SpaceCreated, write_control
from bide.log.envelope import (
    ZERO_EPOCH,
    ZERO_HASH,
    Envelope,
    EnvelopeClass,
    authenticated_prefix,
    write_envelope,
)
from bide.log.membership import device_proof_message
from bide.storage.base import SpaceRecord

_SALT_BYTES = 16
_NO_NONCE = bytes(sealing.NONCE_BYTES)


class Founded(NamedTuple):
    """A new space, not yet stored."""

    space: SpaceRecord
    genesis: Envelope
    epoch_secret: bytes


def found_space(kind: str, *, relay_url: str, randomness: Randomness) -> Founded:
    """Make a space with fresh keys, its founding envelope and its first epoch. Stores nothing."""
    keys = new_device_keys(randomness)
    salt = randomness.token(_SALT_BYTES)
    secret = randomness.token(sealing.EPOCH_SECRET_BYTES)
    space = space_id(keys.device_id, salt)
    epoch = sealing.epoch_id(secret)
    box = seal_grant(secret, recipient=keys.device_id, sealing_key=keys.sealing_key, parent=ZERO_HASH)
    record = device_record(keys, space=space, slot=0)
    statement = SpaceCreated("space.created", 1, [], kind, salt, record, [Grant(epoch, keys.device_id, box)])  # type: ignore[arg-type]
    log = log_id(space, keys.device_id)
    prefix = authenticated_prefix(
        klass=EnvelopeClass.CONTROL, log_id=log, seq=1, prev_hash=ZERO_HASH, epoch_id=ZERO_EPOCH, nonce=_NO_NONCE
    )
    genesis = write_envelope(prefix, write_control(statement), space=space, signing_seed=keys.signing_seed)
    row = SpaceRecord(space, kind, 0, log, keys.signing_seed, keys.sealing_secret, epoch, relay_url, False)
    return Founded(row, genesis, secret)


def device_record(keys: DeviceKeys, *, space: SpaceId, slot: int) -> DeviceRecord:
    """A device's public keys with its own proof that it holds them."""
    signing_key, sealing_key = keys.device_id, keys.sealing_key
    proof = signing.sign(device_proof_message(space, slot, signing_key, sealing_key), keys.signing_seed)
    return DeviceRecord(signing_key, sealing_key, proof)


def admission(record: DeviceRecord, *, parents: list[bytes], epochs: dict[bytes, bytes], prev_hash: bytes) -> bytes:
    """The payload by which the founding device admits the second person, with all epoch secrets sealed to it."""
    recipient = DeviceId(record.signing_key)
    grants = [
        Grant(epoch, recipient, seal_grant(secret, recipient=recipient, sealing_key=record.sealing_key, parent=prev_hash))
        for epoch, secret in sorted(epochs.items())
    ]
    return write_control(PersonJoined("person.joined", 1, sorted(parents), record, grants))
