"""Columns, days and times, and text that must not take over the terminal."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide_cli.dates import clock, days_since_1970, epoch_seconds, heading
from bide_cli.layout import labelled, text_columns, wrap
from bide_cli.shell import clean, clean_styled


@given(st.text(max_size=300), st.integers(20, 80))
def test_wrapping_keeps_every_word_and_the_width(text: str, columns: int) -> None:
    lines = wrap(text, columns)
    assert all(text_columns(line) <= columns for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_wide_and_combining_characters_are_measured() -> None:
    assert text_columns("abc") == 3
    assert text_columns("日本語") == 6
    assert text_columns("e\u0301") == 1
    assert wrap("日本語日本語", 4) == ["日本", "語日", "本語"]


def test_labels_stand_in_a_column() -> None:
    lines = labelled("Hard", "one two three four five six", indent="  ", label_columns=9, width=34)
    assert lines == ["  Hard       one two three four", "             five six"]


@given(st.dates(datetime.date(1, 1, 1), datetime.date(9999, 12, 31)))
def test_days_are_counted_as_the_calendar_does(day: datetime.date) -> None:
    assert days_since_1970(day.year, day.month, day.day) == (day - datetime.date(1970, 1, 1)).days


def test_a_heading_names_the_weekday() -> None:
    assert heading("2026-11-22") == "Sunday, 22 November 2026"
    assert heading("not-a-day") == "not-a-day"


def test_a_time_is_shown_where_it_was_written() -> None:
    at = "2026-11-22T20:14:48.123Z"
    assert epoch_seconds(at) == int(datetime.datetime(2026, 11, 22, 20, 14, 48, tzinfo=datetime.UTC).timestamp())
    assert clock(at, "Asia/Tokyo", "Europe/Berlin") == "05:14 (Tokyo)"
    assert clock(at, "Nowhere/At_All", "Europe/Berlin")[2] == ":"


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\x07", "a\x9bb", "x\u202ey", "\u2066z", "a\rb", "a\x00"])
def test_what_could_take_over_a_terminal_is_taken_out(text: str) -> None:
    assert clean(text).isprintable()


def test_our_own_styles_stay() -> None:
    assert clean_styled("\x1b[1mYou\x1b[0m \x1b]0;title\x07") == "\x1b[1mYou\x1b[0m \ufffd]0;title\ufffd"
