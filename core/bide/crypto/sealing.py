"""Sealing the bodies of data envelopes: padding, message keys and XChaCha20-Poly1305.

An *epoch secret* is 32 random bytes that every device of a space holds. Its *epoch id* is a hash of it, because the AEAD
does not commit to its key: with the id in the authenticated header, one ciphertext can't be opened to two meanings.
Nonces are random, since a counter would repeat after a restored backup.
"""

from __future__ import annotations

import hashlib
import struct

import nacl.bindings as sodium
from nacl.exceptions import CryptoError

from bide.errors import EnvelopeRejected

EPOCH_SECRET_BYTES = 32
EPOCH_ID_BYTES = 16
NONCE_BYTES = 24
_BUCKET_BYTES_MIN = 256
_PADME_ABOVE_BYTES = 64 * 1024
_LENGTH = struct.Struct(">I")


class SealBroken(EnvelopeRejected):
    """A sealed body can't be opened with the key that it names."""

    code = "seal_broken"


def epoch_id(secret: bytes) -> bytes:
    """The 16-byte name of an epoch, which commits to its secret."""
    return hashlib.blake2b(key=secret, digest_size=EPOCH_ID_BYTES, person=b"bide.epoch").digest()


def message_key(secret: bytes, log: bytes) -> bytes:
    """The key under which one log's bodies are sealed in one epoch."""
    return hashlib.blake2b(key=secret, salt=log, digest_size=32, person=b"bide.msg").digest()


def padded_size(size: int) -> int:
    """The size of the bucket for `size` bytes: powers of two from 256 B, and Padmé above 64 KiB (at most 12% more)."""
    if size <= _PADME_ABOVE_BYTES:
        return max(_BUCKET_BYTES_MIN, 1 << (size - 1).bit_length())
    exponent = size.bit_length() - 1
    low_bits = exponent - exponent.bit_length()
    mask = (1 << low_bits) - 1
    return (size + mask) & ~mask


def pad(plaintext: bytes) -> bytes:
    """Length, `plaintext`, zeros up to the bucket."""
    framed = _LENGTH.pack(len(plaintext)) + plaintext
    return framed.ljust(padded_size(len(framed)), b"\0")


def unpad(padded: bytes) -> bytes:
    """What `pad` was given.

    Raises:
        SealBroken: wrong length, or padding that is not zeros.
    """
    if len(padded) < _LENGTH.size:
        raise SealBroken
    (size,) = _LENGTH.unpack_from(padded)
    end = _LENGTH.size + size
    if end > len(padded) or padded_size(end) != len(padded) or any(padded[end:]):
        raise SealBroken
    return padded[_LENGTH.size : end]


def seal(plaintext: bytes, *, secret: bytes, log: bytes, nonce: bytes, associated: bytes) -> bytes:
    """Pad and encrypt: ciphertext and 16-byte tag."""
    return sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(pad(plaintext), associated, nonce, message_key(secret, log))


def unseal(body: bytes, *, secret: bytes, log: bytes, nonce: bytes, associated: bytes) -> bytes:
    """Decrypt and remove the padding.

    Raises:
        SealBroken: wrong key, or altered bytes.
    """
    try:
        padded = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(body, associated, nonce, message_key(secret, log))
    except (CryptoError, ValueError) as error:
        raise SealBroken from error
    return unpad(padded)
