"""Envelopes: the fixed layout, what is checked without a key, and what a signature binds."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.crypto.sealing import SealBroken
from bide.errors import EnvelopeRejected
from bide.ids import DeviceId, LogId, SpaceId
from bide.log.envelope import (
    BODY_BYTES_MAX,
    ENVELOPE_BYTES_MAX,
    HEADER_BYTES,
    SEQ_MAX,
    ZERO_EPOCH,
    ZERO_HASH,
    Envelope,
    EnvelopeClass,
    authenticated_prefix,
    body_hash,
    parse_envelope,
    verify_signature,
    write_envelope,
)
from bide.testing import SeededRandomness, SpaceBuilder

SPACE = SpaceBuilder.found()
ROBIN = SPACE.join()
FIRST = SPACE.write(ROBIN)
SECOND = SPACE.write(ROBIN)


def verify(envelope: Envelope, *, space: SpaceId = SPACE.id, device: DeviceId = ROBIN.device_id) -> None:
    verify_signature(envelope, space=space, device=device)


def resigned(data: bytes) -> bytes:
    """The same bytes with a body hash and length that fit, signed by Robin for the space."""
    body = data[HEADER_BYTES:]
    return write_envelope(data[:104], body, space=SPACE.id, signing_seed=ROBIN.keys.signing_seed).data


@given(
    st.sampled_from(EnvelopeClass),
    st.binary(min_size=16, max_size=16),
    st.integers(1, SEQ_MAX),
    st.binary(min_size=32, max_size=32).filter(any),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=24, max_size=24),
    st.binary(max_size=300),
)
def test_what_is_written_is_read(
    klass: EnvelopeClass, log: bytes, seq: int, prev: bytes, epoch: bytes, nonce: bytes, body: bytes
) -> None:
    if seq == 1:
        prev = ZERO_HASH
    if klass is EnvelopeClass.CONTROL:
        epoch, nonce = ZERO_EPOCH, bytes(24)
    prefix = authenticated_prefix(klass=klass, log_id=LogId(log), seq=seq, prev_hash=prev, epoch_id=epoch, nonce=nonce)
    written = write_envelope(prefix, body, space=SPACE.id, signing_seed=ROBIN.keys.signing_seed)
    read = parse_envelope(written.data)
    assert read == written
    assert (read.klass, read.log_id, read.seq, read.prev_hash) == (klass, log, seq, prev)
    assert (read.epoch_id, read.nonce, read.body) == (epoch, nonce, body)
    assert read.header == read.data[:HEADER_BYTES]
    verify(read)


@given(st.binary(max_size=600))
def test_any_bytes_are_refused_as_an_envelope(data: bytes) -> None:
    with pytest.raises(EnvelopeRejected):
        parse_envelope(data)


@given(st.binary(max_size=300), st.integers(0, 203))
def test_a_valid_beginning_with_any_end_is_an_envelope_or_refused(tail: bytes, keep: int) -> None:
    with contextlib.suppress(EnvelopeRejected):
        verify(parse_envelope(FIRST.data[:keep] + tail))


@pytest.mark.parametrize("offset", range(HEADER_BYTES))
def test_every_flipped_header_byte_is_refused(offset: int) -> None:
    """Each of the 204 bytes is either of a fixed value or under the signature."""
    for envelope in (FIRST, SECOND):
        altered = bytearray(envelope.data)
        altered[offset] ^= 0x01
        with pytest.raises(EnvelopeRejected):
            verify(parse_envelope(bytes(altered)))


def test_every_altered_body_byte_is_refused() -> None:
    for offset in range(HEADER_BYTES, len(FIRST.data)):
        altered = bytearray(FIRST.data)
        altered[offset] ^= 0x80
        with pytest.raises(EnvelopeRejected):
            parse_envelope(bytes(altered))


def test_every_cut_but_that_of_the_whole_body_is_refused() -> None:
    for size in set(range(len(FIRST.data))) - {HEADER_BYTES}:
        with pytest.raises(EnvelopeRejected):
            parse_envelope(FIRST.data[:size])
    with pytest.raises(EnvelopeRejected):
        parse_envelope(FIRST.data + b"\0")


def test_a_data_envelope_without_its_body_is_the_same_and_says_so() -> None:
    space = SpaceBuilder.found()
    whole = space.write(space.founder)
    bare = parse_envelope(whole.data[:HEADER_BYTES])
    assert (bare.is_bare, whole.is_bare) == (True, False)
    assert bare == whole.bare()
    assert (bare.hash, bare.signature, bare.body) == (whole.hash, whole.signature, b"")
    verify_signature(bare, space=space.id, device=space.founder.device_id)
    with pytest.raises(EnvelopeRejected):
        parse_envelope(space.envelopes[0].data[:HEADER_BYTES])  # a statement is never without its body


def test_an_envelope_in_another_space_is_refused() -> None:
    other = SpaceBuilder.found(randomness=SeededRandomness("other"))
    with pytest.raises(EnvelopeRejected):
        verify(FIRST, space=other.id)


def test_an_envelope_of_another_device_is_refused() -> None:
    with pytest.raises(EnvelopeRejected):
        verify(FIRST, device=SPACE.founder.device_id)


def test_a_signature_from_another_entry_is_refused() -> None:
    forged = FIRST.data[:140] + SECOND.signature + FIRST.body
    with pytest.raises(EnvelopeRejected):
        verify(parse_envelope(forged))


@pytest.mark.parametrize(
    ("field", "start", "stop"), [("log", 8, 24), ("seq", 31, 32), ("previous", 32, 64), ("epoch", 64, 80), ("nonce", 80, 104)]
)
def test_a_member_cannot_move_a_sealed_body_to_another_place(field: str, start: int, stop: int) -> None:
    """Even signed afresh, the body opens only under the header that it was sealed with."""
    altered = bytearray(SECOND.data)
    altered[start:stop] = bytes((b ^ 0x55) for b in altered[start:stop])
    moved = parse_envelope(resigned(bytes(altered)))
    verify(moved)
    with pytest.raises(SealBroken):
        SPACE.unseal(moved)


def test_a_sealed_body_opens_only_in_its_space() -> None:
    other = SpaceBuilder.found(randomness=SeededRandomness("other"))
    other.epoch_secret = SPACE.epoch_secret
    with pytest.raises(SealBroken):
        other.unseal(FIRST)


def test_lengths_at_the_limit_pass_and_beyond_are_refused() -> None:
    prefix = FIRST.data[:104]
    seed = ROBIN.keys.signing_seed
    longest = write_envelope(prefix, bytes(BODY_BYTES_MAX), space=SPACE.id, signing_seed=seed)
    assert len(longest.data) == ENVELOPE_BYTES_MAX
    with pytest.raises(EnvelopeRejected, match="too much"):
        write_envelope(prefix, bytes(BODY_BYTES_MAX + 1), space=SPACE.id, signing_seed=seed)
    with pytest.raises(EnvelopeRejected):
        parse_envelope(longest.data + b"\0")


@pytest.mark.parametrize("seq", [0, SEQ_MAX + 1, 2**64 - 1])
def test_a_number_out_of_range_is_refused(seq: int) -> None:
    data = SECOND.data[:24] + struct.pack(">Q", seq) + SECOND.data[32:]
    with pytest.raises(EnvelopeRejected):
        parse_envelope(data)


def test_only_the_first_entry_has_no_predecessor() -> None:
    with pytest.raises(EnvelopeRejected):
        parse_envelope(SECOND.data[:32] + ZERO_HASH + SECOND.data[64:])
    with pytest.raises(EnvelopeRejected):
        parse_envelope(FIRST.data[:32] + b"\x01" * 32 + FIRST.data[64:])


def test_a_control_envelope_has_neither_epoch_nor_nonce() -> None:
    genesis = SPACE.controls[0].data
    for offset in (64, 80):
        altered = bytearray(genesis)
        altered[offset] = 1
        with pytest.raises(EnvelopeRejected):
            parse_envelope(bytes(altered))


def test_erasing_a_body_leaves_the_signature_whole() -> None:
    """The header alone still proves who signed what."""
    header = FIRST.header
    erased = FIRST._replace(data=header)
    verify(erased)
    assert erased.body == b""
    assert body_hash(FIRST.body) == header[108:140]
