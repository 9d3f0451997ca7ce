"""What no Bide would write: events and changes made by hand, properly sealed and signed by a member who cheats."""

from __future__ import annotations

import hashlib
import os

from bide.crypto import sealing
from bide.ids import EntryId
from bide.log.envelope import ZERO_HASH, EnvelopeClass, authenticated_prefix, write_envelope
from bide.log.event import Event, write_event
from bide.log.head import Head
from bide.replica import Replica
from bide.replica.derivation.deriving import stored
from bide.testing_replicas import pair_space


def forge(
    replica: Replica,
    event_type: str,
    entry: EntryId,
    change: bytes,
    *,
    version: int = 1,
    least_version: int = 1,
    frontier: tuple[Head, ...] = (),
    epoch_id: bytes = b"",
) -> bytes:
    """An envelope with this event at the end of the replica's log in its pair space, kept there and not derived."""
    space = pair_space(replica)
    event = Event(event_type, version, least_version, entry, 1_767_225_600_000, "UTC", "2026-01-01", change, frontier)
    return seal_plaintext(replica, write_event(event), space_id=space.space_id, epoch_id=epoch_id)


def seal_plaintext(replica: Replica, plaintext: bytes, *, space_id: bytes, epoch_id: bytes = b"") -> bytes:
    """As `forge`, with any plaintext."""
    space = next(space for space in replica.spaces() if space.space_id == space_id)
    head = replica.storage.heads(space.space_id).get(space.log_id)
    epoch_id = epoch_id or space.epoch_id
    prefix = authenticated_prefix(
        klass=EnvelopeClass.DATA,
        log_id=space.log_id,
        seq=head.seq + 1 if head else 1,
        prev_hash=head.hash if head else ZERO_HASH,
        epoch_id=epoch_id,
        nonce=os.urandom(24),
    )
    secret = replica.storage.epochs(space.space_id)[epoch_id]
    body = sealing.seal(plaintext, secret=secret, log=space.log_id, nonce=prefix[80:], associated=prefix + space.space_id)
    envelope = write_envelope(prefix, body, space=space.space_id, signing_seed=space.signing_seed)
    with replica.storage.transaction():
        replica.storage.append(space.space_id, stored(envelope))
    return envelope.data


def body_of(change: bytes) -> bytes:
    """The body of a plain change."""
    assert change[8] == 1, "deflated"
    at = 9
    while change[at] & 0x80:
        at += 1
    return change[at + 1 :]


def with_body(body: bytes) -> bytes:
    """A plain change around `body`, with the right checksum."""
    size, length = bytearray(), len(body)
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    digest = hashlib.sha256(b"\x01" + size + body).digest()
    return b"\x85\x6f\x4a\x83" + digest[:4] + b"\x01" + bytes(size) + body


def altered(change: bytes, old: bytes, new: bytes) -> bytes:
    """A change with some bytes of its body replaced, and the right checksum."""
    body = body_of(change)
    assert old in body
    return with_body(body.replace(old, new))
