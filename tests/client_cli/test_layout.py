"""Columns, days and times, and text that must not take over the terminal."""

from __future__ import annotations

import datetime
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide_cli.reading.render import ACCENTS, draw_timeline
from bide_cli.reading.saying import as_text
from bide_cli.terminal.dates import clock, days_since_1970, epoch_seconds, heading, iso_day
from bide_cli.terminal.directions import isolated, isolated_lines
from bide_cli.terminal.layout import labelled, text_columns, wrap
from bide_cli.terminal.shell import Shell, clean, clean_line, name_list, shown, write_talk


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


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("👨‍👩‍👧‍👦", 2),
        ("👍🏽", 2),
        ("🇩🇪", 2),
        ("❤️", 2),
        ("1️⃣", 2),
        ("한국", 4),
        ("ที่นี่", 2),
        ("क्षि", 2),
        ("“quoted” – and …", 16),
        ("שלום", 4),
        (isolated("שלום"), 4),
    ],
)
def test_what_a_reader_takes_for_one_character_is_measured_as_one(text: str, columns: int) -> None:
    assert text_columns(text) == columns


@given(st.text(st.sampled_from("aé 日。「」ท่เำาक्ष‍👩👦🏽🇩🇪ש́️❤ 각"), max_size=80), st.integers(8, 40))
def test_wrapping_never_splits_a_cluster(text: str, columns: int) -> None:
    from wcwidth import iter_graphemes

    whole = [cluster for cluster in iter_graphemes(text) if cluster != " "]
    lines = wrap(text, columns)
    assert [cluster for line in lines for cluster in iter_graphemes(line) if cluster != " "] == whole
    assert all(text_columns(line) <= columns for line in lines if len(list(iter_graphemes(line))) > 1)


@pytest.mark.parametrize("columns", range(8, 40))
def test_no_line_begins_with_what_closes_or_ends_with_what_opens(columns: int) -> None:
    for line in wrap("雨の中、母を「自分の家族のように」送ってくれて、ありがとう。ほんとうに嬉しかったです。" * 2, columns):
        assert line[0] not in "、。」"
        assert line[-1] != "「"


@pytest.mark.parametrize("columns", range(8, 40))
def test_thai_vowels_stay_with_their_consonants(columns: int) -> None:
    text = "วันนี้ฉันรู้สึกดีใจมากที่เธอรอฉันกลับบ้านและทำแกงเขียวหวานที่ฉันชอบให้กินตอนดึก"
    lines = wrap(text, columns)
    assert "".join(lines) == text
    assert all(line[-1] not in "เแโใไ" for line in lines)
    assert all(line[0] not in "ะาำ" for line in lines)


def test_each_line_runs_as_its_paragraph_does() -> None:
    paragraph = "שלום לך and then English, שוב"
    first, second, plain = isolated_lines(["שלום לך", "and then English, שוב", ""], paragraph)
    assert shown(first, directed=True) == "\u2068שלום לך\u2069"
    assert shown(second, directed=True) == "\u2068\u200fand then English, שוב\u2069"
    assert plain == ""
    assert isolated_lines(["so", "said שלום"], "so said שלום")[0] == "so"
    assert isolated_lines(["café"], "café") == ["café"]
    assert shown(first) == "שלום לך"
    # Somebody's own marks are no marks.
    assert "\u2068" not in shown(clean(first + "\u2068"), directed=True)


def test_labels_stand_in_a_column() -> None:
    lines = labelled("Hard", ["one two three four", "five six"], indent="  ", label_columns=9)
    assert lines == ["  Hard       one two three four", "             five six"]


@given(st.dates(datetime.date(1, 1, 1), datetime.date(9999, 12, 31)))
def test_days_are_counted_as_the_calendar_does(day: datetime.date) -> None:
    assert days_since_1970(day.year, day.month, day.day) == (day - datetime.date(1970, 1, 1)).days


def test_a_heading_names_the_weekday() -> None:
    assert heading("2026-11-22") == "Sunday, 22 November 2026"
    assert heading("not-a-day") == "not-a-day"
    day = days_since_1970(2026, 11, 22)
    assert heading("2026-11-22", today=day) == "Today · Sunday, 22 November 2026"
    assert heading("2026-11-22", today=day + 1) == "Yesterday · Sunday, 22 November 2026"
    # Somebody further east is a day ahead.
    assert heading("2026-11-22", today=day - 1) == heading("2026-11-22", today=day + 2) == "Sunday, 22 November 2026"
    assert iso_day(day) == "2026-11-22"


def test_a_time_is_shown_where_it_was_written() -> None:
    at = "2026-11-22T20:14:48.123Z"
    assert epoch_seconds(at) == int(datetime.datetime(2026, 11, 22, 20, 14, 48, tzinfo=datetime.UTC).timestamp())
    assert clock(at, "Asia/Tokyo", "Europe/Berlin") == "05:14 (Tokyo)"
    assert clock(at, "Nowhere/At_All", "Europe/Berlin")[2] == ":"


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\x07", "a\x9bb", "x\u202ey", "\u2066z", "a\rb", "a\x00"])
def test_what_could_take_over_a_terminal_is_taken_out(text: str) -> None:
    assert clean(text).isprintable()


class Styled(Shell):
    """A shell on a terminal with colours."""

    @property
    def coloured(self) -> bool:
        return True


EVIL = "\x1b[8m\x1b]0;x\x07\u202eSam\nYou\n\U0000db01"


def test_only_our_own_styles_reach_the_terminal() -> None:
    shell = Styled(Path())
    assert shown(shell.style("You", "1")) == "\x1b[1mYou\x1b[0m"
    assert shown(shell.style(EVIL, "1")).count("\x1b") == 2
    assert "\x1b" not in shown("\x1b[1mYou\x1b[0m \x1b]0;title\x07")
    # What passes for a style inside is none once it was cleaned.
    assert "\x1b" not in shown(clean(shell.style("x", "1")))
    assert shown(shell.style("You", "1"), styled=False) == "You"


def test_a_name_stays_on_its_line() -> None:
    assert "\n" not in clean_line(EVIL)
    assert name_list(["Ann", 7, "a\nb"]) == "Ann, 7 and a b"
    assert (name_list([]), name_list(["Ann"]), name_list(["Ann", "Bo"])) == ("", "Ann", "Ann and Bo")


@pytest.mark.parametrize("value", [5, True, None, 1.5, b"\x1b"])
def test_what_is_no_text_is_shown_all_the_same(value: object) -> None:
    assert clean(value) == str(value)
    assert as_text([value]) == str(value)


def evil_entry(**changes: Any) -> dict[str, Any]:
    """An entry as another device may make it."""
    return {
        "kind": "appreciation",
        "code": "th-7KQ2MX",
        "at": "2026-11-22T20:14:48.123Z",
        "tz": "Europe/Berlin",
        "day": "2026-11-22",
        "by": {"me": False, "name": EVIL},
        "visibility": "shared",
        "shared_with": [EVIL],
        "fields": {"noticed": EVIL, "felt": 5},
        "alternatives": {"noticed": [EVIL, 6, ["\x1b[2J"]], "felt\x1b[1m\n": [True]},
        "replies": [],
        "history": [],
        **changes,
    }


@pytest.mark.parametrize("kind", ["appreciation", "no such \x1b[2J\nkind"])
def test_nothing_of_an_entry_takes_over_the_terminal(kind: str) -> None:
    lines = draw_timeline(Styled(Path()), [evil_entry(kind=kind)])
    codes = {part.partition("m")[0] for part in shown("\n".join(lines)).split("\x1b[")[1:]}
    assert codes <= {"0", "1", "2", *ACCENTS.values()}
    assert all("\n" not in line for line in lines)
    for plain in draw_timeline(Shell(Path()), [evil_entry(kind=kind)]):
        assert not any(character in plain for character in "\x1b\x07\u202e\U0000db01")


def test_what_was_released_later_says_when_it_was_written() -> None:
    assert any(
        "written on 2 November 2026" in line for line in draw_timeline(Shell(Path()), [evil_entry(written_on="2026-11-02")])
    )
    assert not any("written on" in line for line in draw_timeline(Shell(Path()), [evil_entry(written_on="2026-11-22")]))


def test_what_was_taken_back_says_no_more() -> None:
    lines = draw_timeline(Shell(Path()), [evil_entry(retracted=True)])
    assert len(lines) == 3
    assert lines[-1].endswith("taken back")


def test_a_topic_that_is_no_text_is_shown() -> None:
    said = {"topics": [{"topic": 5, "by": {"me": False, "name": 7}}], "agreement": None}
    entry = evil_entry(
        kind="repair", state="in\x1b[2Jvited", fields={**said, "tells": [], "hearings": [], "answers": [], "gestures": []}
    )
    assert any(line.endswith("5") for line in draw_timeline(Shell(Path()), [entry]))


@pytest.mark.parametrize(
    "zone",
    [
        "Pacific/Kiritimati",
        "Europe",
        "Etc",
        "/",
        "//etc/passwd",
        "../../etc",
        "posixrules",
        "-" * 64,
        "",
        "\0",
        "\ud800",
        "zone.tab",
    ],
)
@pytest.mark.parametrize("at", ["9999-12-31T23:59:59.000Z", "0001-01-01T00:00:00.000Z", "1970-01-01T00:00:00.000Z"])
def test_no_time_or_zone_is_too_odd_to_be_shown(at: str, zone: str) -> None:
    assert clock(at, zone, "Europe/Berlin")[2] == ":"


@pytest.mark.parametrize("day", ["2026-00-10", "2026-13-01", "x\x1b[2J\ny", "9" * 5000 + "-01-01", ""])
def test_no_day_is_too_odd_to_be_shown(day: str) -> None:
    assert clean_line(day) == heading(day)


def test_json_escapes_what_could_take_over_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", out)
    Shell(Path(), as_json=True).emit("x", text="é\x9b2J\u202e\x1b\udc80")
    written = out.buffer.getvalue().decode()
    assert written.isprintable() is False  # only for its newline
    assert written.rstrip("\n").isprintable()
    assert "é" in written
    assert json.loads(written)["text"] == "é\x9b2J\u202e\x1b\udc80"


class Screen(io.StringIO):
    """A terminal of 80 columns, as far as anybody can tell."""

    def isatty(self) -> bool:
        return True


def test_talk_is_set_to_the_screen_and_left_alone_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "wss://" + "a" * 100
    text = "  " + "a few words " * 20 + address
    for stream, lines in ((Screen(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        write_talk(text)
        written = stream.getvalue()
        assert address in written
        assert (written.count("\n") > 1) is lines
        if lines:
            assert all(len(line) <= 80 and line.startswith("  ") for line in written.splitlines() if address not in line)
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    write_talk(text, plain=True)
    assert screen.getvalue().count("\n") == 1
