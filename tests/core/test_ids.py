"""Identifiers: derived ones are bound to what they come from, and shown ones are read back."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from bide.ids import (
    CODE_CHARS_MIN,
    DeviceId,
    EntryId,
    SpaceId,
    SystemClock,
    SystemRandomness,
    entry_code,
    entry_slot,
    format_entry_id,
    log_id,
    new_entry_id,
    normalize_code,
    parse_entry_id,
    person_entry_id,
    space_id,
)
from bide.testing import START_MS, FakeClock, SeededRandomness

ENTRIES = st.builds(
    lambda seed, ms, slot: new_entry_id(FakeClock(ms), SeededRandomness(seed), slot=slot),
    st.integers(),
    st.integers(0, 2**48 - 1),
    st.integers(0, 1),
)


@given(ENTRIES)
def test_an_entry_id_is_a_uuid_that_can_be_read_back(entry: EntryId) -> None:
    text = format_entry_id(entry)
    assert text[14] == "7"
    assert text[19] in "89ab"
    assert parse_entry_id(text) == parse_entry_id(f"  {text.upper()} ") == entry


@given(st.integers(0, 2**48 - 1), st.integers(0, 1))
def test_an_entry_id_holds_its_time_and_its_author(ms: int, slot: int) -> None:
    entry = new_entry_id(FakeClock(ms), SeededRandomness(), slot=slot)
    assert int.from_bytes(entry[:6], "big") == ms
    assert entry_slot(entry) == slot


@given(ENTRIES, st.integers(CODE_CHARS_MIN, 12))
def test_the_beginning_of_a_code_is_read_however_it_is_typed(entry: EntryId, chars: int) -> None:
    code = entry_code(entry)[:chars]
    assert normalize_code(f" th-{code.lower()} ") == code
    assert normalize_code(code.replace("0", "O").replace("1", "l")) == code


@given(st.text(max_size=40))
def test_any_text_is_an_id_or_none(text: str) -> None:
    entry, code = parse_entry_id(text), normalize_code(text)
    assert entry is None or len(entry) == 16
    assert code is None or 4 <= len(code) <= 12


def test_what_is_no_code_is_none() -> None:
    for text in ("", "th-", "7KQ", "7KQ2MX7KQ2MX7", "7KQU", "7K Q2"):
        assert normalize_code(text) is None


def test_derived_ids_differ_by_what_they_come_from() -> None:
    sam, robin = DeviceId(b"s" * 32), DeviceId(b"r" * 32)
    one, two = space_id(sam, bytes(16)), space_id(robin, bytes(16))
    assert len({one, two, space_id(sam, b"\x01" * 16)}) == 3
    assert len({log_id(one, sam), log_id(one, robin), log_id(two, sam)}) == 3
    assert {len(one), len(log_id(one, sam))} == {16}


def test_each_person_has_one_entry_that_names_them() -> None:
    space = SpaceId(bytes(16))
    names = [person_entry_id(space, slot) for slot in (0, 1)]
    assert [entry_slot(entry) for entry in names] == [0, 1]
    assert names[0] != names[1] != person_entry_id(SpaceId(b"\x01" * 16), 1)


def test_the_real_clock_and_randomness_are_real() -> None:
    assert abs(SystemClock().now_ms() - time.time() * 1000) < 60_000
    assert SystemClock().now_ms() > START_MS - 10**12
    source = SystemRandomness()
    assert len(source.token(32)) == 32
    assert source.token(32) != source.token(32)
