"""The database key under a passphrase. Argon2id runs with small settings, except once."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bide.crypto import wrapping
from bide.crypto.wrapping import (
    MEMORY_BYTES_MAX,
    MEMORY_BYTES_MIN,
    PASSPHRASE_CHARS_MAX,
    WRAPPED_BYTES,
    new_database_key,
    unwrap_with_passphrase,
    wrap_with_passphrase,
)
from bide.errors import InputError, Locked, NewerFormat, StorageError
from bide.testing import SeededRandomness

KEY = new_database_key(SeededRandomness("key"))


def wrap(passphrase: str = "correct horse", *, key: bytes = KEY) -> bytes:
    return wrap_with_passphrase(key, passphrase, SeededRandomness("wrap"), memory_bytes=MEMORY_BYTES_MIN, iterations=1)


BLOB = wrap()


def with_checksum(blob: bytes) -> bytes:
    """As a program would write it that damages what it writes."""
    return blob[:104] + wrapping._checksum(blob[:104])


@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50).filter(lambda text: text.strip() != ""))
def test_a_wrapped_key_comes_back(passphrase: str) -> None:
    assert unwrap_with_passphrase(wrap(passphrase), passphrase) == KEY


def test_the_default_settings_work() -> None:
    """256 MiB and three passes, as a home is really made."""
    blob = wrap_with_passphrase(KEY, "correct horse", SeededRandomness())
    assert struct.unpack_from(">II", blob, 8) == (256 * 1024, 3)
    assert unwrap_with_passphrase(blob, "correct horse") == KEY


def test_another_passphrase_does_not_open_it() -> None:
    for wrong in ("correct horse ", "Correct horse", "correct  horse", "x"):
        with pytest.raises(Locked, match="That passphrase doesn't open this home"):
            unwrap_with_passphrase(BLOB, wrong)


def test_a_passphrase_is_the_same_on_every_keyboard() -> None:
    """Composed or not, full width or not."""
    assert unwrap_with_passphrase(wrap("café １"), "cafe\u0301 1") == KEY


@pytest.mark.parametrize("passphrase", ["", " ", "\n", "x" * (PASSPHRASE_CHARS_MAX + 1), "lone \ud800 surrogate"])
def test_what_is_no_passphrase_is_refused(passphrase: str) -> None:
    with pytest.raises(InputError) as caught:
        wrap(passphrase)
    assert caught.value.__cause__ is None
    with pytest.raises(InputError):
        unwrap_with_passphrase(BLOB, passphrase)


def test_the_longest_passphrase_works() -> None:
    longest = "\ufdfa" * PASSPHRASE_CHARS_MAX  # NFKC makes eighteen characters of each
    assert unwrap_with_passphrase(wrap(longest), longest) == KEY


def test_the_same_key_is_wrapped_differently_each_time() -> None:
    source = SeededRandomness()
    blobs = {wrap_with_passphrase(KEY, "same", source, memory_bytes=MEMORY_BYTES_MIN, iterations=1) for _ in range(3)}
    assert len(blobs) == 3
    assert {len(blob) for blob in blobs} == {WRAPPED_BYTES}


def test_every_damaged_byte_is_told_from_a_wrong_passphrase() -> None:
    for offset in range(len(BLOB)):
        damaged = bytearray(BLOB)
        damaged[offset] ^= 0x01
        with pytest.raises(StorageError):
            unwrap_with_passphrase(bytes(damaged), "correct horse")


@given(st.binary(max_size=200))
def test_any_bytes_are_damaged(blob: bytes) -> None:
    with pytest.raises(StorageError):
        unwrap_with_passphrase(blob, "correct horse")


def test_every_cut_is_damaged() -> None:
    for size in range(len(BLOB)):
        with pytest.raises(StorageError):
            unwrap_with_passphrase(BLOB[:size], "correct horse")


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (0, b"XXXX"),
        (4, b"\x00"),
        (5, b"\x03"),
        (6, b"\x00\x01"),
        (8, struct.pack(">I", MEMORY_BYTES_MIN // 1024 - 1)),
        (8, struct.pack(">I", MEMORY_BYTES_MAX // 1024 + 1)),
        (8, b"\xff\xff\xff\xff"),
        (12, struct.pack(">I", 0)),
        (12, struct.pack(">I", 17)),
    ],
)
def test_settings_out_of_their_limits_are_refused_before_any_memory_is_spent(offset: int, value: bytes) -> None:
    with pytest.raises(StorageError):
        unwrap_with_passphrase(with_checksum(BLOB[:offset] + value + BLOB[offset + len(value) :]), "correct horse")


def test_the_header_is_authenticated() -> None:
    """Another nonce or salt with a checksum that fits opens nothing."""
    for offset in (16, 32, 56):
        moved = with_checksum(BLOB[:offset] + bytes([BLOB[offset] ^ 1]) + BLOB[offset + 1 :])
        with pytest.raises(Locked):
            unwrap_with_passphrase(moved, "correct horse")


def test_a_newer_form_is_said_plainly() -> None:
    with pytest.raises(NewerFormat):
        unwrap_with_passphrase(b"BDWK\x02 whatever comes then", "correct horse")


@pytest.mark.parametrize(
    ("key", "memory_bytes", "iterations"),
    [
        (bytes(31), MEMORY_BYTES_MIN, 1),
        (KEY, MEMORY_BYTES_MIN + 1, 1),
        (KEY, 1024, 1),
        (KEY, 2**40, 1),
        (KEY, MEMORY_BYTES_MIN, 0),
    ],
)
def test_settings_that_could_not_be_read_again_are_never_written(key: bytes, memory_bytes: int, iterations: int) -> None:
    with pytest.raises(StorageError):
        wrap_with_passphrase(key, "x", SeededRandomness(), memory_bytes=memory_bytes, iterations=iterations)


def test_too_little_memory_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """The derivation is replaced by its failure: taking the machine's memory away would fail more than this test."""

    def no_memory(*_: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr("nacl.bindings.crypto_pwhash_alg", no_memory)
    with pytest.raises(StorageError, match="memory"):
        unwrap_with_passphrase(BLOB, "correct horse")


def test_database_keys_are_32_random_bytes() -> None:
    source = SeededRandomness()
    first, second = new_database_key(source), new_database_key(source)
    assert len(first) == 32
    assert first != second
