"""Upcasting: a chain of steps, each written once."""

from __future__ import annotations

import pytest

from bide.entries.kinds import EVENT_TYPES
from bide.entries.records import DocumentFields
from bide.entries.upcasting import UPCASTERS, Upcaster, upcast

CHAIN: dict[tuple[str, int], Upcaster] = {
    ("note.written", 1): lambda fields: {"text": fields["words"]},
    ("note.written", 2): lambda fields: {**fields, "mood": "unsaid"},
    ("note.written", 4): lambda fields: {"never": "reached"},
    ("other.written", 3): lambda fields: {"another": "type"},
}


@pytest.mark.parametrize(
    ("version", "fields", "expected"),
    [
        (1, {"words": "tea"}, {"text": "tea", "mood": "unsaid"}),
        (2, {"text": "tea"}, {"text": "tea", "mood": "unsaid"}),
        (3, {"text": "tea", "mood": "calm"}, {"text": "tea", "mood": "calm"}),
    ],
)
def test_each_version_goes_through_the_steps_that_follow(
    version: int, fields: DocumentFields, expected: DocumentFields
) -> None:
    """Older fields end up as today's, and the newest stay as they are."""
    given = dict(fields)
    assert upcast("note.written", version, given, upcasters=CHAIN) == expected
    assert given == fields


def test_without_a_step_nothing_changes() -> None:
    """Another type's steps are not ours."""
    assert upcast("thing.done", 1, {"a": "b"}, upcasters=CHAIN) == {"a": "b"}
    assert upcast("checkin.written", 1, {"hard": "x"}) == {"hard": "x"}


def test_the_real_table_leads_to_todays_versions() -> None:
    """Every older version of a known type has a step, and none leads beyond."""
    for name, version in UPCASTERS:
        assert version < EVENT_TYPES[name][1].version
    for name, (_, event) in EVENT_TYPES.items():
        assert all((name, version) in UPCASTERS for version in range(1, event.version))
