"""Events: round trips, limits, and nothing but `MalformedEvent` for anything else."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.log.event import CHANGE_BYTES_MAX, FRONTIER_LOGS_MAX, TIME_MS_MAX, Event, MalformedEvent, read_event, write_event
from bide.log.packing import pack, unpack
from bide.testing import SpaceBuilder, events

SPACE = SpaceBuilder.found()
EVENT = SPACE.event(SPACE.join())
FIELDS: list[Any] = list(unpack(write_event(EVENT), bytes_max=10_000))  # type: ignore[arg-type]
FORMAT, FRONTIER, TYPE, VERSION, LEAST, ENTRY, TIME, ZONE, DAY, CHANGE = range(10)

BAD_FIELDS: list[tuple[int, Any]] = [
    (FORMAT, 2),
    (FORMAT, "1"),
    (FRONTIER, None),
    (FRONTIER, [[bytes(16), 1]]),
    (FRONTIER, [[bytes(15), 1, bytes(32)]]),
    (FRONTIER, [[bytes(16), 0, bytes(32)]]),
    (FRONTIER, [[bytes(16), 1, bytes(31)]]),
    (FRONTIER, [[bytes(16), True, bytes(32)]]),
    (FRONTIER, ["abc"]),
    (FRONTIER, [[bytes(16), 1, bytes(32)]] * (FRONTIER_LOGS_MAX + 1)),
    (TYPE, "Note.written"),
    (TYPE, "note"),
    (TYPE, b"note.written"),
    (TYPE, "note.written\n"),
    (TYPE, "a" * 32 + ".b"),
    (VERSION, 0),
    (VERSION, 10_001),
    (VERSION, True),
    (LEAST, 0),
    (LEAST, 2),
    (ENTRY, bytes(15)),
    (ENTRY, "0" * 16),
    (TIME, -1),
    (TIME, TIME_MS_MAX + 1),
    (TIME, None),
    (ZONE, ""),
    (ZONE, "a" * 65),
    (ZONE, "../zone"),
    (ZONE, 1),
    (DAY, "2026-1-1"),
    (DAY, "2026-02-30"),
    (DAY, "2026-13-01"),
    (DAY, "0000-01-01"),
    (DAY, "٢٠٢٦-01-01"),
    (DAY, None),
    (CHANGE, "text"),
    (CHANGE, bytes(CHANGE_BYTES_MAX + 1)),
]


@given(events())
def test_what_is_written_is_read(event: Event) -> None:
    assert read_event(write_event(event)) == event


@given(st.binary(max_size=300))
def test_any_bytes_are_an_event_or_malformed(data: bytes) -> None:
    with pytest.raises(MalformedEvent):
        read_event(data)


@given(st.integers(0, 9), st.one_of(st.none(), st.integers(0, 2**64 - 1), st.binary(max_size=40), st.text("ab.é", max_size=9)))
def test_any_value_in_any_field_is_an_event_or_malformed(index: int, value: Any) -> None:
    with contextlib.suppress(MalformedEvent):
        read_event(pack([*FIELDS[:index], value, *FIELDS[index + 1 :]]))


@pytest.mark.parametrize(("index", "value"), BAD_FIELDS)
def test_a_field_out_of_its_limits_is_malformed(index: int, value: Any) -> None:
    with pytest.raises(MalformedEvent):
        read_event(pack([*FIELDS[:index], value, *FIELDS[index + 1 :]]))


def test_a_missing_field_is_malformed() -> None:
    with pytest.raises(MalformedEvent):
        read_event(pack(FIELDS[:9]))
    with pytest.raises(MalformedEvent):
        read_event(pack("event"))


def test_further_fields_of_a_newer_version_are_passed_over() -> None:
    assert read_event(pack([*FIELDS, "new"])) == EVENT


def test_what_could_not_be_read_again_is_never_written() -> None:
    for bad in (EVENT._replace(day="2026-02-30"), EVENT._replace(change=bytes(CHANGE_BYTES_MAX + 1))):
        with pytest.raises(MalformedEvent):
            write_event(bad)


def test_the_largest_event_fits_into_an_envelope() -> None:
    heads = tuple(EVENT.frontier[0] for _ in range(FRONTIER_LOGS_MAX))
    largest = EVENT._replace(type="a" * 31 + "." + "b" * 31, zone="Z" * 64, change=bytes(CHANGE_BYTES_MAX), frontier=heads)
    envelope = SPACE.write(SPACE.members[1], largest)
    assert SPACE.read(envelope) == largest
