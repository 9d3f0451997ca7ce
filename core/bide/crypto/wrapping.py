"""The key of a home's database at rest: made at random, kept wrapped under a passphrase, alone or with a second half.

::

     0  magic "BDWK"    4  version 1    5  kdf: 1 Argon2id 1.3, 2 the same with a second half    6..7  zero
     8  memory_kib u32be    12  iterations u32be    16  salt 16    32  nonce 24
    56  wrapped key 32 ‖ tag 16 (XChaCha20-Poly1305, bytes 0..55 authenticated)
   104  checksum 16 (BLAKE2b-128 of bytes 0..103, person "bide.wrap")

The wrapping key is Argon2id(passphrase, salt), 32 bytes; with a second half, of 32 random bytes that are kept elsewhere, it is
BLAKE2b-256(that, key = second half, person "bide.both"). So neither opens anything without the other.

The checksum is no secret and no proof. It tells a damaged file from a wrong passphrase, which the AEAD alone can't, and
it does so before any memory is spent on the derivation.
"""

from __future__ import annotations

import hashlib
import struct
import unicodedata

import nacl.bindings as sodium
from nacl.exceptions import CryptoError

from bide.errors import InputError, Locked, NewerFormat, StorageError
from bide.ids import Randomness

DATABASE_KEY_BYTES = 32
PASSPHRASE_CHARS_MAX = 1024
MEMORY_BYTES_DEFAULT = 256 * 1024 * 1024
MEMORY_BYTES_MIN = 64 * 1024
"""Far too little for a person's passphrase; only what the derivation still works with, for tests."""
MEMORY_BYTES_MAX = 1024 * 1024 * 1024
"""A blob from elsewhere can't make this machine spend more."""
ITERATIONS_DEFAULT = 3
ITERATIONS_MAX = 16
WRAPPED_BYTES = 120
HALF_BYTES = 32

_MAGIC = b"BDWK"
_VERSION = 1
_KDF_ARGON2ID = 1
_KDF_BOTH = 2
_KIB = 1024
_HEADER = struct.Struct(">4sBB2sII16s24s")
_SEALED_END = _HEADER.size + DATABASE_KEY_BYTES + 16
_CHECKSUM_BYTES = 16
_DAMAGED = "The file that holds this home's key is damaged."
_DAMAGED_HINT = "Put it back from a backup. Without it the database can't be opened."


def new_database_key(randomness: Randomness) -> bytes:
    """32 fresh random bytes for a database."""
    return randomness.token(DATABASE_KEY_BYTES)


def wrap_with_passphrase(
    key: bytes,
    passphrase: str,
    randomness: Randomness,
    *,
    half: bytes = b"",
    memory_bytes: int = MEMORY_BYTES_DEFAULT,
    iterations: int = ITERATIONS_DEFAULT,
) -> bytes:
    """Wrap a database key. Takes about a second and `memory_bytes` of memory.

    Args:
        key: 32 bytes.
        passphrase: 1 to 1,024 characters; the same text typed on another keyboard gives the same key (NFKC).
        randomness: 40 bytes are taken, for salt and nonce.
        half: 32 random bytes that are needed beside the passphrase; empty: the passphrase is enough.
        memory_bytes: for Argon2id; a multiple of 1,024 from `MEMORY_BYTES_MIN` to `MEMORY_BYTES_MAX`.
        iterations: passes over that memory, 1 to `ITERATIONS_MAX`.

    Returns:
        120 bytes that describe themselves; see the module.

    Raises:
        InputError: the passphrase is empty, too long or no valid text.
        StorageError: not enough memory for the derivation.
    """
    fits = len(key) == DATABASE_KEY_BYTES and len(half) in (0, HALF_BYTES)
    if not fits or memory_bytes % _KIB or not _allowed(memory_bytes, iterations):
        raise StorageError("A key can't be wrapped with these settings.")
    password = _normalized(passphrase)
    salt, nonce = randomness.token(16), randomness.token(24)
    kdf = _KDF_BOTH if half else _KDF_ARGON2ID
    header = _HEADER.pack(_MAGIC, _VERSION, kdf, b"\0\0", memory_bytes // _KIB, iterations, salt, nonce)
    wrapping_key = _joined(_derive(password, salt=salt, memory_bytes=memory_bytes, iterations=iterations), half)
    blob = header + sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(key, header, nonce, wrapping_key)
    return blob + _checksum(blob)


def unwrap_with_passphrase(blob: bytes, passphrase: str, *, half: bytes = b"") -> bytes:
    """The 32-byte database key in a blob of `wrap_with_passphrase`.

    Args:
        blob: what was wrapped.
        passphrase: as it was typed.
        half: the second half, if it was wrapped with one.

    Raises:
        Locked: another passphrase or another half wrapped it.
        InputError: the passphrase is empty, too long or no valid text.
        NewerFormat: a newer Bide wrote it.
        StorageError: the blob is damaged, or there is not enough memory for the derivation.
    """
    if blob[:4] == _MAGIC and len(blob) > 4 and blob[4] > _VERSION:
        raise NewerFormat("This home's key was wrapped by a newer Bide.")
    if len(blob) != WRAPPED_BYTES or _checksum(blob[:_SEALED_END]) != blob[_SEALED_END:]:
        raise StorageError(_DAMAGED, hint=_DAMAGED_HINT)
    magic, version, kdf, zero, memory_kib, iterations, salt, nonce = _HEADER.unpack_from(blob)
    memory_bytes = memory_kib * _KIB
    fixed = (magic, version, zero) == (_MAGIC, _VERSION, b"\0\0") and kdf in (_KDF_ARGON2ID, _KDF_BOTH)
    if not fixed or not _allowed(memory_bytes, iterations):
        raise StorageError(_DAMAGED, hint=_DAMAGED_HINT)
    if (kdf == _KDF_BOTH) != (len(half) == HALF_BYTES):
        raise Locked("This home's key is wrapped in another way than its config says.")
    password = _normalized(passphrase)
    wrapping_key = _joined(_derive(password, salt=salt, memory_bytes=memory_bytes, iterations=iterations), half)
    header, sealed = blob[: _HEADER.size], blob[_HEADER.size : _SEALED_END]
    try:
        return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, header, nonce, wrapping_key)
    except CryptoError:
        raise Locked("That passphrase doesn't open this home.") from None


def _joined(derived: bytes, half: bytes) -> bytes:
    return hashlib.blake2b(derived, digest_size=32, key=half, person=b"bide.both").digest() if half else derived


def _allowed(memory_bytes: int, iterations: int) -> bool:
    return MEMORY_BYTES_MIN <= memory_bytes <= MEMORY_BYTES_MAX and 1 <= iterations <= ITERATIONS_MAX


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECKSUM_BYTES, person=b"bide.wrap").digest()


def _normalized(passphrase: str) -> bytes:
    # The limit is on what was typed: NFKC can lengthen a text eighteenfold, which is still harmless.
    if len(passphrase) > PASSPHRASE_CHARS_MAX:
        raise InputError("A passphrase can have at most {most} characters.", most=f"{PASSPHRASE_CHARS_MAX:,}")
    if not passphrase.strip():
        raise InputError("A passphrase can't be empty.")
    try:
        return unicodedata.normalize("NFKC", passphrase).encode()
    except UnicodeEncodeError:
        # The original would carry the passphrase into a traceback.
        raise InputError("That passphrase is not valid text.") from None


def _derive(password: bytes, *, salt: bytes, memory_bytes: int, iterations: int) -> bytes:
    try:
        return sodium.crypto_pwhash_alg(32, password, salt, iterations, memory_bytes, sodium.crypto_pwhash_ALG_ARGON2ID13)
    except (CryptoError, MemoryError):
        raise StorageError(
            "Opening this home takes {amount} MiB of memory, and that much is not free.",
            hint="Close another program and try again.",
            amount=memory_bytes // (1024 * 1024),
        ) from None
