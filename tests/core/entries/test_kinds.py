"""The kinds of entries: their tables hang together, and nobody may write what is not theirs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.entries.fields import TEXT_CHARS_MAX, Field, FieldKind, clean_field, clean_text, show_field
from bide.entries.kinds import (
    APPRECIATION,
    CHECKIN,
    ERASED,
    EVENT_TYPES,
    HEARING,
    KINDS,
    PERSON,
    REPAIR,
    By,
    clean_entry,
    may_write,
)
from bide.errors import InputError


def test_names_and_prefixes_are_unambiguous() -> None:
    """No two kinds share a name or a prefix, no two events a name; the first event creates, and only it."""
    assert len({kind.prefix for kind in KINDS.values()}) == len(KINDS)
    assert len(EVENT_TYPES) == sum(len(kind.events) for kind in KINDS.values())
    for kind in set(KINDS.values()) - {ERASED}:  # nobody writes that one
        assert kind.created_by.creates
        assert not any(event.creates for event in kind.events[1:])
        assert all(event.name.startswith(kind.name + ".") for event in kind.events)
        assert len({field.name for field in kind.fields}) == len(kind.fields)
    hidden = {"hearing", "answer", "reception", "person"}
    assert {kind.name for kind in KINDS.values() if not kind.shown} == hidden


def test_only_the_writers_own_keys_may_be_written() -> None:
    """Slot by slot, exactly, and a star only at its end."""
    told = EVENT_TYPES["repair.told"][1]
    assert may_write(told, frozenset({"tell.1.felt", "tell.1.own_part"}), slot=1)
    assert not may_write(told, frozenset({"tell.1.felt"}), slot=0)
    assert not may_write(told, frozenset({"tell.1.felt", "tell.0.felt"}), slot=1)
    assert not may_write(told, frozenset({"tell.1.felt.more"}), slot=1)
    assert not may_write(told, frozenset({"topic"}), slot=1)
    assert may_write(told, frozenset(), slot=0)
    named = PERSON.created_by
    assert may_write(named, frozenset({"name", "device.1"}), slot=0)
    assert not may_write(named, frozenset({"name", "devices"}), slot=0)
    assert not may_write(CHECKIN.created_by, frozenset({"noticed"}), slot=0)


def test_who_may_cause_what() -> None:
    """Writing and editing is the author's, answering the other's, a conversation's steps either's."""
    for kind in KINDS.values():
        if kind not in (PERSON, ERASED):
            assert all(event.by is By.AUTHOR for event in kind.events[:2])
            assert kind is REPAIR or kind.event("retracted").by is By.AUTHOR
            assert kind is REPAIR or kind.event("postponed").by is By.OTHER
    assert HEARING.event("answered").by is By.OTHER
    assert all(event.by is By.EITHER for event in REPAIR.events[2:])


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=200))
def test_cleaning_text_twice_changes_nothing(text: str) -> None:
    """Once stored, a text stays what it is when it is given again."""
    try:
        once = clean_text(text, what="x", chars_max=TEXT_CHARS_MAX)
    except InputError:
        return
    assert clean_text(once, what="x", chars_max=TEXT_CHARS_MAX) == once


@given(st.text(max_size=30))
def test_any_text_is_cleaned_or_refused(text: str) -> None:
    """What is stored can be encoded and shown."""
    try:
        cleaned = clean_text(text, what="x", chars_max=20, one_line=True)
    except InputError:
        return
    cleaned.encode()
    assert len(cleaned) <= 20
    assert "\n" not in cleaned


@pytest.mark.parametrize("kind", [FieldKind.LINES, FieldKind.FEELINGS])
@pytest.mark.parametrize("value", [["a", "b"], ["b", "a", "b", ""], "x", "", []])
def test_lists_come_back_as_lists(kind: FieldKind, value: Any) -> None:
    """Stored as one string, shown as a list without doubles and empty lines."""
    field = Field("f", kind, "?", "F")
    shown = show_field(field, clean_field(field, value))
    expected = list(dict.fromkeys(item for item in ([value] if isinstance(value, str) else value) if item))
    assert shown == expected


def test_an_edit_may_empty_a_field_but_not_one_that_is_required() -> None:
    """Partial input leaves out and empties; a required field is never emptied."""
    assert clean_entry(APPRECIATION, {"felt": ""}, partial=True) == {"felt": ""}
    assert clean_entry(APPRECIATION, {"felt": "x", "shows": None}, partial=True) == {"felt": "x"}
    for values in ({"noticed": ""}, {}, {"shows": None}):
        with pytest.raises(InputError):
            clean_entry(APPRECIATION, values, partial=True)
