"""A device's keys in one space, and epoch secrets sealed from device to device."""

from __future__ import annotations

from typing import NamedTuple

import nacl.bindings as sodium
from nacl.exceptions import CryptoError

from bide.crypto import signing
from bide.crypto.sealing import EPOCH_ID_BYTES, EPOCH_SECRET_BYTES, epoch_id
from bide.errors import VerificationFailed
from bide.ids import DeviceId, Randomness

_GRANT_PARENT_BYTES = 32


class DeviceKeys(NamedTuple):
    """The two secrets of a device in one space, 32 bytes each. Made new for every space, so spaces can't be linked."""

    signing_seed: bytes
    sealing_secret: bytes

    @property
    def device_id(self) -> DeviceId:
        """The Ed25519 public key."""
        return DeviceId(signing.public_key(self.signing_seed))

    @property
    def sealing_key(self) -> bytes:
        """The X25519 public key."""
        return sodium.crypto_scalarmult_base(self.sealing_secret)


def new_device_keys(randomness: Randomness) -> DeviceKeys:
    """Fresh keys."""
    return DeviceKeys(randomness.token(signing.SEED_BYTES), randomness.token(sodium.crypto_box_SECRETKEYBYTES))


class GrantBroken(VerificationFailed):
    """A key that was sent to this device can't be opened."""

    code = "grant_broken"


def seal_grant(secret: bytes, *, recipient: DeviceId, sealing_key: bytes, parent: bytes) -> bytes:
    """Seal an epoch secret to one device: a sealed box over secret ‖ epoch id ‖ recipient ‖ parent.

    `parent` is the hash of the control entry before this one in the author's log (zeros for the first): a box can't be
    moved into another statement.
    """
    return sodium.crypto_box_seal(secret + epoch_id(secret) + recipient + parent, sealing_key)


def open_grant(box: bytes, *, keys: DeviceKeys, parent: bytes) -> bytes:
    """The epoch secret in a box sealed to these keys.

    Raises:
        GrantBroken: it is not for this device, not from this statement, or altered.
    """
    public = sodium.crypto_scalarmult_base(keys.sealing_secret)
    try:
        plain = sodium.crypto_box_seal_open(box, public, keys.sealing_secret)
    except (CryptoError, ValueError, TypeError) as error:
        raise GrantBroken from error
    secret = plain[:EPOCH_SECRET_BYTES]
    expected = secret + epoch_id(secret) + keys.device_id + parent if len(secret) == EPOCH_SECRET_BYTES else b""
    if plain != expected or len(plain) != EPOCH_SECRET_BYTES + EPOCH_ID_BYTES + 32 + _GRANT_PARENT_BYTES:
        raise GrantBroken
    return secret
