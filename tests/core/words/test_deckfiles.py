"""Deck files of one's own: read with care, and an error says where."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.errors import InputError
from bide.words import load_deck_file, load_deck_folder
from bide.words.deckfiles import FILE_BYTES_MAX, FOLDER_FILES_MAX, ITEM_CHARS_MAX, ITEMS_MAX, KINDS, PARTS_MAX, parse_deck
from bide.words.decks import Deck, Item, deck_names, file_of, languages
from bide.words.lines import line_of

WHOLE = """\
# Our summer
title = "Our summer"
kind = "questions"
about = "For long train rides."
depth = 2

[parts]
sea = "By the sea"

[[items]]
text = "What would you like to do once more?"
note = "Something small counts."
part = "sea"
id = "once-more"

[[items]]
text = "Which photograph is missing?"
"""


def _parse(text: str | bytes) -> Deck:
    return parse_deck(text.encode() if isinstance(text, str) else text, name="ours", file="ours.toml")


def _error(text: str | bytes) -> InputError:
    with pytest.raises(InputError) as caught:
        _parse(text)
    assert caught.value.message.startswith("ours.toml, line ")
    assert caught.value.message.endswith(".")
    assert "\n" not in caught.value.message
    assert caught.value.hint
    return caught.value


def _line(error: InputError) -> int:
    found = re.match(r"ours\.toml, line (\d+): ", error.message)
    assert found is not None
    return int(found[1])


def test_a_whole_file_is_read_as_written() -> None:
    deck = _parse(WHOLE)
    assert (deck.name, deck.title, deck.kind, deck.about, deck.depth) == (
        "ours",
        "Our summer",
        "questions",
        "For long train rides.",
        2,
    )
    assert deck.own
    assert deck.heading("sea") == "By the sea"
    assert deck.items[0] == Item("once-more", "What would you like to do once more?", "Something small counts.", "sea")


def test_the_least_that_a_file_needs_is_its_items() -> None:
    deck = _parse('items = ["A?", "B?"]')
    assert (deck.title, deck.kind, deck.depth) == ("ours", "questions", None)
    assert [item.text for item in deck] == ["A?", "B?"]


def test_an_id_comes_from_the_text_so_that_the_order_can_change() -> None:
    first, second = _parse('items = ["A?", "B?"]'), _parse('items = ["New?", "B?", "A?"]')
    assert {item.id for item in first} < {item.id for item in second}


@pytest.mark.parametrize("data", [b"\xef\xbb\xbf" + WHOLE.encode(), WHOLE.replace("\n", "\r\n").encode()])
def test_what_editors_on_windows_add_does_no_harm(data: bytes) -> None:
    assert _parse(data) == _parse(WHOLE)


def _deck_or_refusal(data: bytes) -> None:
    """Whatever the bytes are: a deck, or an error that names a line of theirs and steers no terminal."""
    try:
        deck = _parse(data)
    except InputError as caught:
        error = caught
    else:
        assert deck.items
        return
    assert 1 <= _line(error) <= data.count(b"\n") + 1
    assert error.message.isprintable()
    assert error.hint.isprintable()


def _with(old: str, new: str) -> str:
    assert old in WHOLE
    return WHOLE.replace(old, new)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        # The reader's own complaints.
        (_with('title = "Our summer"', 'title = "Our summer'), 2, "not TOML"),
        (_with("depth = 2", "depth = "), 5, "not TOML"),
        (_with("[parts]", "[parts"), 7, "not TOML"),
        (_with('id = "once-more"', 'text = "Twice"'), 14, "not TOML"),
        (WHOLE + 'note = """no end\n', 18, "not TOML"),
        # Top level.
        (_with("title =", "titel ="), 2, "'titel'"),
        (_with('kind = "questions"', 'kind = "qestions"'), 3, "'qestions'"),
        (_with('kind = "questions"', 'kind = "safety"'), 3, "'safety'"),
        (_with('kind = "questions"', "kind = 3"), 3, "text"),
        (_with("depth = 2", "depth = 4"), 5, "1, 2 or 3"),
        (_with("depth = 2", "depth = true"), 5, "1, 2 or 3"),
        (_with("depth = 2", "depth = 1.0"), 5, "1, 2 or 3"),
        (_with('about = "For long train rides."', 'about = "a\\u001b[31m"'), 4, "U+001B"),
        (_with('about = "For long train rides."', f'about = "{"x" * 501}"'), 4, "501"),
        (_with("[parts]\nsea =", "[parts]\nSea ="), 8, "'Sea'"),
        (_with('sea = "By the sea"', 'sea = ""'), 8, "empty"),
        (_with('sea = "By the sea"', "sea = 1"), 8, "text"),
        ('parts = "sea"\nitems = ["A?"]', 1, "'parts'"),
        # Items.
        (_with('\n[[items]]\ntext = "Which', '\n[[item]]\ntext = "Which'), 16, "'item'"),
        (_with('text = "Which photograph is missing?"', 'txet = "Which?"'), 17, "'txet'"),
        (_with('text = "Which photograph is missing?"', ""), 16, "no text"),
        (_with('text = "Which photograph is missing?"', 'text = "  "'), 17, "no text"),
        (_with('text = "Which photograph is missing?"', "text = 7"), 17, "text"),
        (_with('text = "Which photograph is missing?"', 'text = "a\\nb"'), 17, "one line"),
        (_with('text = "Which photograph is missing?"', f'text = "{"x" * (ITEM_CHARS_MAX + 1)}"'), 17, "501"),
        (_with('text = "Which photograph is missing?"', 'text = "What would you like to do once more?"'), 17, "line 11"),
        (WHOLE + 'id = "once-more"\n', 18, "line 14"),
        (WHOLE + 'id = "Once more"\n', 18, "can't be an id"),
        (WHOLE + 'part = "see"\n', 18, "'see'"),
        (WHOLE + "[items.deep]\nx = 1\n", 18, "'deep'"),
        (WHOLE + 'text.deep = "x"\n', 18, "not TOML"),
        (_with('note = "Something small counts."', 'note.deep = "x"'), 12, "text"),
        ('title = "x"\n', 1, "no items"),
        ("", 1, "no items"),
        ('title = "x"\nitems = []', 2, "no items"),
        ('title = "x"\nitems = "A?"', 2, "a list"),
        ('title = "x"\n[items]\ntext = "A?"', 2, "a list"),
        # A list of texts.
        ('items = [\n  "A?",  # first, [not] "this"\n\n  "B?",\n  7,\n]', 5, "an item is"),
        ('items = [\n  "A?", "B?",\n  "A?"\n]', 3, "line 2"),
        ('items = [\n  {text = "A?"},\n  {text = "B?", nte = "x"},\n]', 3, "'nte'"),
        ('items = [\n  "A?",\n  [\n"B?"]]', 3, "an item is"),
        ('items = [["A?"]]', 1, "an item is"),
        # Texts that look like structure don't lead the count astray.
        (_with('note = "Something small counts."', 'note = """\\\n  [[items]] \\\n  x"""') + "id = 7\n", 20, "text"),
        (_with('note = "Something small counts."', "note = '[[items]] # \"'") + "id = 7\n", 18, "text"),
        (_with("# Our summer", '# "Our\' summer """') + "id = 7\n", 18, "text"),
        (_with("[[items]]", "[[ 'items' ]] # x ]] \"") + "id = 7\n", 18, "text"),
    ],
)
def test_an_error_names_the_line(text: str, line: int, says: str) -> None:
    error = _error(text)
    assert (_line(error), says in error.message) == (line, True), error.message


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (_with("title =", "titel ="), "title"),
        (_with("note =", "note_ ="), "note"),
        (_with('kind = "questions"', 'kind = "question"'), "questions"),
        (_with('part = "sea"', 'part = "see"'), "sea"),
        (_with("[[items]]", "[[item]]"), "items"),
    ],
)
def test_a_slip_is_answered_with_what_was_meant(text: str, meant: str) -> None:
    assert _error(text).hint == f"Did you mean: {meant}"


def test_too_much_of_anything_is_refused_where_it_begins() -> None:
    items = "\n".join(f'  "Question {n}?",' for n in range(ITEMS_MAX + 1))
    assert _line(_error(f"items = [\n{items}\n]")) == ITEMS_MAX + 2
    parts = "\n".join(f'p{n} = "Part {n}"' for n in range(PARTS_MAX + 1))
    assert _line(_error(f'items = ["A?"]\n[parts]\n{parts}')) == PARTS_MAX + 3
    assert len(_parse("items = [" + ",".join(f'"{n}?"' for n in range(ITEMS_MAX)) + "]")) == ITEMS_MAX
    assert "256 KiB" in _error(b"#" * (FILE_BYTES_MAX + 1)).message
    assert _line(_error(b'items = ["A?"]\n' + b"#" * FILE_BYTES_MAX)) == 2


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b'title = "x"\nabout = "\xff"', 2),
        (b'\xef\xbb\xbftitle = "x"\n\n\xc3', 3),
        (WHOLE.encode("utf-16"), 1),
        (b"title = '\x00'", 1),
        (b"\n\n" + b"a=" + b"[" * 200_000, 3),
        (b"\n" + b"a={b=" * 50_000, 2),
        (b"\n" + b"a." * 130_000 + b"a=1", 2),
        (b"\n[" + b'"a" . ' * 40_000 + b"a]", 2),
        (b"\n" + b"a=" + b"1" * 200_000, 2),
        (b"\n" + b"a=" + b"1_" * 100_000 + b"1", 2),
        (b"a=1\n" * 60_000, 2),
        (b'"\\u001b[31m" = 1', 1),
        (b'"' + b"a" * 100_000 + b'" = 1', 1),
    ],
)
def test_hostile_files_are_refused_and_shown_harmlessly(data: bytes, line: int) -> None:
    error = _error(data)
    assert _line(error) == line
    assert error.message.isprintable()
    assert len(error.message) < 300
    assert error.hint.isprintable()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_deck_or_a_clear_refusal(data: bytes) -> None:
    _deck_or_refusal(data)


# fmt: off
_PIECES = st.sampled_from([
    "[[items]]", "[parts]", "items", "text", "id", "part", "note", "title", "=", "=", '"A?"', "'b'", "[",
    "]", "{", "}", ",", ".", "#", "1", "true", "1979-05-27", "\\", "é", '"\\u0007"', '"""',
    "'''", "\n", "\n", "\n", " ", "\r\n",
])
# fmt: on


@given(st.lists(_PIECES, max_size=40).map("".join))
def test_any_near_miss_of_a_deck_is_a_deck_or_a_clear_refusal(text: str) -> None:
    _deck_or_refusal(text.encode())


@given(st.integers(0, len(WHOLE.encode())), st.integers(0, len(WHOLE.encode())), st.binary(max_size=4))
def test_a_damaged_file_is_a_deck_or_a_clear_refusal(start: int, end: int, instead: bytes) -> None:
    data = WHOLE.encode()
    data = data[: min(start, end)] + instead + data[max(start, end) :]
    _deck_or_refusal(data)


_QUOTED = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


def _toml_text(text: str, form: int) -> str:
    """A TOML string that holds `text`, in one of four spellings."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if form == 1 and "'" not in text:
        return f"'{text}'"
    if form == 2:
        return f'"""\n{escaped}"""'
    if form == 3 and "'" not in text:
        return f"'''\n{text}'''"
    return f'"{escaped}"'


@given(
    st.lists(st.tuples(_QUOTED, st.integers(0, 3), st.integers(0, 2), _QUOTED, st.booleans()), min_size=1, max_size=8),
    st.data(),
)
def test_the_line_of_an_item_is_right_whatever_its_texts_hold(
    items: list[tuple[str, int, int, str, bool]], data: st.DataObject
) -> None:
    """Against a count made while the file is written."""
    text = 'title = "x"\n'
    expected: dict[tuple[str | int, ...], int] = {}
    inline = data.draw(st.booleans())
    if inline:
        text += "items = [ # [ ' \"\n"
    for place, (value, form, blanks, comment, spread) in enumerate(items):
        text += "\n" * blanks + f"# {comment}\n".replace("\r", " ")
        expected["items", place] = text.count("\n") + 1
        if inline:
            text += "  " + _toml_text(value, form) + ("\n," if spread else ", \n")
            continue
        text += "[[items]]\n"
        expected["items", place, "text"] = text.count("\n") + 1
        text += f"text = {_toml_text(value, form)}  # {comment}\n"
        expected["items", place, "note"] = text.count("\n") + 1
        text += f"note = {_toml_text(comment, form)}\n"
    if inline:
        text += "]\n"
    for path, line in expected.items():
        assert line_of(text, path) == line


def test_the_line_of_what_is_not_there_is_that_of_what_is_around_it() -> None:
    assert line_of(WHOLE, ("items", 1, "note")) == 16
    assert line_of(WHOLE, ("items", 9)) == 10
    assert line_of(WHOLE, ("parts", "none")) == 7
    assert line_of("", ()) == 1


def test_a_file_is_named_by_its_stem(tmp_path: Path) -> None:
    path = tmp_path / "Unser Sommer.toml"
    path.write_text(WHOLE, encoding="utf-8")
    assert load_deck_file(path).name == "Unser Sommer"
    assert load_deck_file(str(path)) == load_deck_file(path)


@pytest.mark.parametrize("name", ["checkin", "Safety", "feelings", "-x", "x" * 61, "a\x1b[31mb", "a\nb"])
def test_a_name_that_can_not_be_a_decks_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.toml"
    path.write_text(WHOLE, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        load_deck_file(path)
    assert "line 1" in caught.value.message
    assert caught.value.message.isprintable()


def test_a_file_with_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.toml"))
    try:
        path.write_text(WHOLE, encoding="utf-8")
    except OSError:
        pytest.skip("this file system takes no such name")
    with pytest.raises(InputError) as caught:
        load_deck_file(path)
    caught.value.message.encode()


def test_what_can_not_be_read_is_said_and_nothing_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    for name in ("none.toml", "pipe.toml", ".", "a\0b.toml"):
        with pytest.raises(InputError) as caught:
            load_deck_file(tmp_path / name)
        assert caught.value.message.isprintable()
    with pytest.raises(InputError):
        load_deck_file("/dev/zero")


def test_one_bad_file_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_text(WHOLE, encoding="utf-8")
    (tmp_path / "a.toml").write_text('items = ["A?"]', encoding="utf-8")
    (tmp_path / "bad.toml").write_text("items = [\n", encoding="utf-8")
    (tmp_path / ".hidden.toml").write_text("", encoding="utf-8")
    (tmp_path / "readme.txt").write_text("", encoding="utf-8")
    decks, errors = load_deck_folder(tmp_path)
    assert [deck.name for deck in decks] == ["a", "b"]
    assert [error.message.split(":")[0] for error in errors] == ["bad.toml, line 1"]


def test_a_folder_that_is_not_there_holds_no_decks(tmp_path: Path) -> None:
    assert load_deck_folder(tmp_path / "none") == ([], [])
    (tmp_path / "file").write_text("")
    decks, errors = load_deck_folder(tmp_path / "file")
    assert not decks
    assert len(errors) == 1


def test_a_folder_of_very_many_says_that_it_stopped(tmp_path: Path) -> None:
    for number in range(FOLDER_FILES_MAX + 1):
        (tmp_path / f"deck-{number:04}.toml").write_text('items = ["A?"]')
    decks, errors = load_deck_folder(tmp_path)
    assert len(decks) == FOLDER_FILES_MAX
    assert len(errors) == 1


def test_our_own_decks_can_serve_as_models(tmp_path: Path) -> None:
    """Copied under another name, each of them loads, but for the safety text."""
    assert "safety" in KINDS
    for language in languages():
        for name in deck_names():
            path = tmp_path / f"my-{name}.toml"
            path.write_bytes(file_of(name, language).read_bytes())
            if name == "safety":
                with pytest.raises(InputError):
                    load_deck_file(path)
            else:
                assert load_deck_file(path).own
