"""Padding, keys and the sealing of bodies."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.crypto.sealing import SealBroken, epoch_id, message_key, pad, padded_size, seal, unpad, unseal

SECRET, LOG, NONCE, HEADER = b"\x01" * 32, b"\x02" * 16, b"\x03" * 24, b"header"
BODY = seal(b"hello", secret=SECRET, log=LOG, nonce=NONCE, associated=HEADER)


@given(st.binary(max_size=5000))
def test_padding_comes_off_again(plaintext: bytes) -> None:
    assert unpad(pad(plaintext)) == plaintext


@given(st.integers(1, 300_000))
def test_a_bucket_holds_its_content_and_is_not_much_larger(size: int) -> None:
    bucket = padded_size(size)
    assert bucket >= max(size, 256)
    assert padded_size(bucket) == bucket
    if size > 64 * 1024:
        assert bucket <= size * 1.12
    elif size > 256:
        assert bucket < 2 * size


def test_lengths_share_few_buckets() -> None:
    assert {padded_size(size) for size in range(1, 65_537)} == {2**n for n in range(8, 17)}
    assert len({padded_size(size) for size in range(65_537, 262_144)}) < 80


@given(st.binary(max_size=600))
def test_any_bytes_are_padding_or_refused(data: bytes) -> None:
    with contextlib.suppress(SealBroken):
        assert pad(unpad(data)) == data


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\x05hell",
        b"\xff\xff\xff\xff" + bytes(252),
        pad(b"hello") + bytes(256),
        pad(b"hello")[:-1],
        pad(b"hello")[:-1] + b"\x01",
    ],
)
def test_wrong_padding_is_refused(padded: bytes) -> None:
    with pytest.raises(SealBroken):
        unpad(padded)


@given(
    st.binary(max_size=600), st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16), st.binary(max_size=99)
)
def test_what_is_sealed_opens(plaintext: bytes, secret: bytes, log: bytes, associated: bytes) -> None:
    body = seal(plaintext, secret=secret, log=log, nonce=NONCE, associated=associated)
    assert unseal(body, secret=secret, log=log, nonce=NONCE, associated=associated) == plaintext


@pytest.mark.parametrize("argument", ["secret", "log", "nonce", "associated"])
def test_a_body_opens_only_with_everything_right(argument: str) -> None:
    arguments = {"secret": SECRET, "log": LOG, "nonce": NONCE, "associated": HEADER}
    arguments[argument] = bytes(len(arguments[argument]))
    with pytest.raises(SealBroken):
        unseal(BODY, **arguments)


def test_every_altered_byte_is_refused() -> None:
    for offset in range(len(BODY)):
        altered = bytearray(BODY)
        altered[offset] ^= 0x10
        with pytest.raises(SealBroken):
            unseal(bytes(altered), secret=SECRET, log=LOG, nonce=NONCE, associated=HEADER)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17])
def test_a_body_too_short_for_a_tag_is_refused(size: int) -> None:
    with pytest.raises(SealBroken):
        unseal(BODY[:size], secret=SECRET, log=LOG, nonce=NONCE, associated=HEADER)


def test_keys_and_names_differ_by_what_goes_in() -> None:
    assert epoch_id(SECRET) != epoch_id(bytes(32))
    assert message_key(SECRET, LOG) != message_key(SECRET, bytes(16))
    assert message_key(SECRET, LOG) != message_key(bytes(32), LOG)
