"""msgpack behind limits: what `bide.log.packing` lets through and what it refuses."""

from __future__ import annotations

import contextlib
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.log.packing import DEPTH_MAX, MAP_ITEMS_MAX, STR_BYTES_MAX, MalformedPacking, pack, unpack

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.binary(max_size=50),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
)
VALUES = st.one_of(LEAVES, st.lists(LEAVES, max_size=5), st.lists(st.lists(LEAVES, max_size=3), max_size=3))

BOMBS: dict[str, bytes] = {
    "nothing": b"",
    "trailing bytes": b"\x00\x00",
    "a cut array": b"\x92\x00",
    "an unused type byte": b"\xc1",
    "deep nesting": b"\x91" * 20 + b"\x00",
    "nesting that would exhaust a stack": b"\x91" * 5000 + b"\x00",
    "a declared array of four billion": b"\xdd\xff\xff\xff\xff",
    "a declared map of four billion": b"\xdf\xff\xff\xff\xff",
    "declared bytes of four billion": b"\xc6\xff\xff\xff\xff",
    "declared text of four billion": b"\xdb\xff\xff\xff\xff",
    "a long array": b"\xdc\x02\x01" + b"\x00" * 513,
    "long text": b"\xda\x01\x01" + b"a" * 257,
    "an extension": b"\xd4\x05\x00",
    "an empty extension": b"\xc7\x00\x05",
    "an empty timestamp": b"\xc7\x00\xff",
    "a timestamp": b"\xd6\xff\x00\x00\x00\x00",
    "a float": b"\xca\x00\x00\x00\x00",
    "a double in an array": b"\x91\xcb" + bytes(8),
    "not a number": b"\xcb\x7f\xf8" + bytes(6),
    "text that is not UTF-8": b"\xa1\xff",
    "text with a surrogate": b"\xa3\xed\xa0\x80",
    "a map": b"\x81\xa1a\x00",
}
MAP_BOMBS: dict[str, bytes] = {
    "a number as key": b"\x81\x01\x00",
    "bytes as key": b"\x81\xc4\x01a\x00",
    "nothing as key": b"\x81\xc0\x00",
    "an array as key": b"\x81\x91\x01\x00",
    "a float in a map": b"\x81\xa1a\xca\x00\x00\x00\x00",
    "a long map": b"\xde\x00\x41" + b"".join(b"\xa2" + f"{n:02d}".encode() + b"\x00" for n in range(65)),
    "maps in maps": b"\x81\xa1a" * 5 + b"\x00",
}


@given(VALUES)
def test_what_is_packed_comes_back(value: Any) -> None:
    assert unpack(pack(value), bytes_max=10_000) == value


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_a_value_or_refused(data: bytes, maps: bool) -> None:
    with contextlib.suppress(MalformedPacking):
        unpack(data, bytes_max=200, maps=maps)


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused(name: str) -> None:
    with pytest.raises(MalformedPacking):
        unpack(BOMBS[name], bytes_max=10_000)


@pytest.mark.parametrize("name", MAP_BOMBS)
def test_maps_are_held_to_text_keys_and_limits_where_they_are_allowed(name: str) -> None:
    with pytest.raises(MalformedPacking):
        unpack(MAP_BOMBS[name], bytes_max=10_000, maps=True)


def test_maps_pass_only_where_they_are_allowed() -> None:
    assert unpack(b"\x81\xa1a\x00", bytes_max=10, maps=True) == {"a": 0}


def test_length_is_checked_before_parsing() -> None:
    with pytest.raises(MalformedPacking):
        unpack(pack(b"abc"), bytes_max=4)
    assert unpack(pack(b"abc"), bytes_max=5) == b"abc"


def test_limits_themselves_are_allowed() -> None:
    """The longest text, the deepest nesting and the largest map that the limits name are fine."""
    deepest: Any = 0
    for _ in range(DEPTH_MAX):
        deepest = [deepest]
    largest = {f"{n:02d}": n for n in range(MAP_ITEMS_MAX)}
    for value in ("a" * STR_BYTES_MAX, deepest, largest):
        assert unpack(msgpack.packb(value), bytes_max=10_000, maps=True) == value
    with pytest.raises(MalformedPacking):
        unpack(msgpack.packb([deepest]), bytes_max=10_000)


def test_a_caller_can_ask_for_shorter_arrays() -> None:
    with pytest.raises(MalformedPacking):
        unpack(pack([1, 2, 3]), bytes_max=100, array_items_max=2)
