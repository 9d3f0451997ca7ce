"""The envelope: one sealed, signed, chained entry of a log, in a fixed binary layout.

::

      0  magic "BD"      2  version 1      3  suite 1      4  class (0 data, 1 control)      5..7  zero
      8  log_id 16      24  seq u64be     32  prev_hash 32      64  epoch_id 16      80  nonce 24
    104  body_len u32be    108  body_hash 32    140  signature 64    204  body

The signature covers the hash of bytes 0..139, which covers `body_hash` and not the body: a body can be erased later and
the chain still verifies. Nothing here is ever re-encoded: what was signed is what is stored and sent.
"""

from __future__ import annotations

import hashlib
import struct
from enum import IntEnum
from typing import NamedTuple

from bide.crypto import signing
from bide.errors import EnvelopeRejected
from bide.ids import DeviceId, LogId, SpaceId

MAGIC = b"BD"
VERSION = 1
SUITE = 1
SIGNED_BYTES = 140
AUTHENTICATED_BYTES = 104
"""The part of the header that the AEAD of a data body authenticates."""
HEADER_BYTES = 204
LOG_ID_AT = slice(8, 24)
ENVELOPE_BYTES_MAX = 256 * 1024
BODY_BYTES_MAX = ENVELOPE_BYTES_MAX - HEADER_BYTES
SEQ_MAX = 2**62
ZERO_HASH = bytes(32)
ZERO_EPOCH = bytes(16)

_HEADER = struct.Struct(">2sBBB3s16sQ32s16s24sI32s64s")
_SIGNATURE_CONTEXT = b"bide.sig\0"


class EnvelopeClass(IntEnum):
    """What the body holds."""

    DATA = 0
    """An event, sealed under an epoch secret."""
    CONTROL = 1
    """A change of membership, in the clear and signed."""


class Envelope(NamedTuple):
    """One parsed envelope. Build with `write_envelope`, read with `parse_envelope`."""

    data: bytes
    """All bytes, as stored and sent."""
    klass: EnvelopeClass
    log_id: LogId
    seq: int
    """From 1, without gaps."""
    prev_hash: bytes
    """Hash of the entry before in this log, 32 zero bytes for the first."""
    epoch_id: bytes
    nonce: bytes
    hash: bytes
    """BLAKE2b-256 of bytes 0..139: the name of this entry."""

    @property
    def signature(self) -> bytes:
        """64 bytes of Ed25519."""
        return self.data[SIGNED_BYTES:HEADER_BYTES]

    @property
    def body(self) -> bytes:
        """Ciphertext and tag, or the clear control payload."""
        return self.data[HEADER_BYTES:]

    @property
    def header(self) -> bytes:
        """The first 204 bytes: enough to prove who signed what, without the body."""
        return self.data[:HEADER_BYTES]


def entry_hash(signed: bytes) -> bytes:
    """The hash that names an entry, over the 140 signed bytes of its header."""
    return hashlib.blake2b(signed, digest_size=32, person=b"bide.entry").digest()


def body_hash(body: bytes) -> bytes:
    """The hash of a body, which the header carries."""
    return hashlib.blake2b(body, digest_size=32, person=b"bide.body").digest()


def authenticated_prefix(
    *, klass: EnvelopeClass, log_id: LogId, seq: int, prev_hash: bytes, epoch_id: bytes, nonce: bytes
) -> bytes:
    """Bytes 0..103 of an envelope: everything that is known before the body is sealed."""
    return _HEADER.pack(MAGIC, VERSION, SUITE, klass, b"\0\0\0", log_id, seq, prev_hash, epoch_id, nonce, 0, b"", b"")[
        :AUTHENTICATED_BYTES
    ]


def write_envelope(prefix: bytes, body: bytes, *, space: SpaceId, signing_seed: bytes) -> Envelope:
    """Complete and sign an envelope.

    Args:
        prefix: what `authenticated_prefix` returned.
        body: ciphertext or control payload, at most `BODY_BYTES_MAX`.
        space: bound into the signature, so an entry can't be moved to another space.
        signing_seed: the device's 32-byte Ed25519 seed for this space.

    Raises:
        EnvelopeRejected: the body is too long.
    """
    if len(body) > BODY_BYTES_MAX:
        raise EnvelopeRejected("That is too much for one entry.", hint="Split it in two.")
    signed = prefix + struct.pack(">I", len(body)) + body_hash(body)
    signature = signing.sign(_SIGNATURE_CONTEXT + space + entry_hash(signed), signing_seed)
    return parse_envelope(signed + signature + body)


def parse_envelope(data: bytes) -> Envelope:
    """Read an envelope and check everything that needs no key and no neighbour.

    Raises:
        EnvelopeRejected: wrong magic, version, suite, class, lengths or body hash.
    """
    if not HEADER_BYTES <= len(data) <= ENVELOPE_BYTES_MAX:
        raise EnvelopeRejected
    magic, version, suite, klass, zero, log, seq, prev_hash, epoch, nonce, body_len, claimed, _ = _HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION or suite != SUITE or zero != b"\0\0\0" or klass not in (0, 1):
        raise EnvelopeRejected("A log entry is of a form that this version doesn't know.")
    if not 1 <= seq <= SEQ_MAX or body_len != len(data) - HEADER_BYTES or (seq == 1) != (prev_hash == ZERO_HASH):
        raise EnvelopeRejected
    if klass == EnvelopeClass.CONTROL and (epoch != ZERO_EPOCH or any(nonce)):
        raise EnvelopeRejected
    if body_hash(data[HEADER_BYTES:]) != claimed:
        raise EnvelopeRejected
    return Envelope(
        bytes(data), EnvelopeClass(klass), LogId(log), seq, prev_hash, epoch, nonce, entry_hash(data[:SIGNED_BYTES])
    )


def verify_signature(envelope: Envelope, *, space: SpaceId, device: DeviceId) -> None:
    """Check that `device` signed `envelope` for `space`. 42 µs.

    Raises:
        EnvelopeRejected: it did not.
    """
    if not signing.verify(_SIGNATURE_CONTEXT + space + envelope.hash, envelope.signature, device):
        raise EnvelopeRejected("A log entry carries a wrong signature and was refused.")


def is_signed_header(header: bytes, *, space: SpaceId, device: DeviceId) -> bool:
    """Whether `device` signed what stands in `header` for `space`: proof by itself, without the body."""
    if len(header) != HEADER_BYTES:
        return False
    return signing.verify(_SIGNATURE_CONTEXT + space + entry_hash(header[:SIGNED_BYTES]), header[SIGNED_BYTES:], device)
