"""Ed25519: the one part of the cryptography that the relay may import."""

from __future__ import annotations

import nacl.bindings as sodium
from nacl.exceptions import BadSignatureError

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64


def public_key(seed: bytes) -> bytes:
    """The 32-byte public key of a 32-byte seed."""
    return sodium.crypto_sign_seed_keypair(seed)[0]


def sign(message: bytes, seed: bytes) -> bytes:
    """A 64-byte signature of `message`."""
    _, secret = sodium.crypto_sign_seed_keypair(seed)
    return sodium.crypto_sign(message, secret)[:SIGNATURE_BYTES]


def verify(message: bytes, signature: bytes, key: bytes) -> bool:
    """Whether `signature` is `key`'s over `message`. Small-order keys never verify (libsodium refuses them)."""
    if len(signature) != SIGNATURE_BYTES or len(key) != PUBLIC_KEY_BYTES:
        return False
    try:
        sodium.crypto_sign_open(signature + message, key)
    except BadSignatureError:
        return False
    return True
