"""The decks that Bide brings: complete in every language, alike in their ids, and fit to show."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import bide.words
from bide.entries import appreciation, checkin, hearing, repair
from bide.entries.fields import Field, FieldKind, clean_text
from bide.errors import NotFound
from bide.words import decks
from bide.words.deckfiles import KINDS, parse_deck
from bide.words.decks import Deck, Item, deck, deck_names, language_for, languages, translated

EVERY = [(name, language) for language in languages() for name in deck_names()]
NAMES = {
    "appreciation",
    "checkin",
    "family",
    "friends",
    "invitations",
    "listening",
    "new-things",
    "questions-1",
    "questions-2",
    "questions-3",
    "reflection",
    "repair",
    "safety",
    "sitting",
}
SETS = ("questions-1", "questions-2", "questions-3")


def _raw(name: str, language: str) -> Deck:
    """A deck without the fallback to English."""
    path = decks.file_of(name, language)
    return parse_deck(path.read_bytes(), name=name, file=path.name, own=False)


def test_the_decks_and_languages_are_those_promised() -> None:
    assert set(deck_names()) == NAMES
    assert languages() == ("en", "de")


def test_importing_the_package_reads_nothing() -> None:
    """A command that shows no words doesn't pay for them."""
    code = "import sys, bide.words; print('tomllib' in sys.modules, 'bide.words.decks' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # the path is our own
    assert answer.stdout.split() == ["False", "False"]


def test_every_public_name_is_there() -> None:
    for name in bide.words.__all__:
        assert getattr(bide.words, name) is not None
    with pytest.raises(AttributeError):
        bide.words.nothing_of_the_kind  # noqa: B018


@pytest.mark.parametrize(("name", "language"), EVERY)
def test_a_deck_is_whole_in_every_language(name: str, language: str) -> None:
    """Same ids in the same order, same parts, same depth; nothing falls back to English by oversight."""
    english, other = _raw(name, "en"), _raw(name, language)
    assert [(item.id, item.part, bool(item.note)) for item in other] == [
        (item.id, item.part, bool(item.note)) for item in english
    ]
    assert [part.id for part in other.parts] == [part.id for part in english.parts]
    assert (other.kind, other.depth) == (english.kind, english.depth)
    assert other.about
    assert not other.own


@pytest.mark.parametrize(("name", "language"), EVERY)
def test_every_text_is_fit_to_store_and_stands_as_written(name: str, language: str) -> None:
    for text in _texts(_raw(name, language)):
        assert clean_text(text, what=name, chars_max=500, one_line=True) == text
        assert "  " not in text
    source = decks.file_of(name, language).read_text(encoding="utf-8")
    assert source.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", deck_names())
def test_no_text_was_left_untranslated(name: str) -> None:
    for language in languages()[1:]:
        english = {item.id: item for item in _raw(name, "en")}
        for item in _raw(name, language):
            assert item.text != english[item.id].text
            assert not item.note or item.note != english[item.id].note
        assert not {part.heading for part in _raw(name, language).parts} & {part.heading for part in _raw(name, "en").parts}
        assert _raw(name, language).title != _raw(name, "en").title
        assert _raw(name, language).about != _raw(name, "en").about


@pytest.mark.parametrize("language", languages())
def test_no_text_stands_in_two_decks_or_twice_in_one(language: str) -> None:
    texts = [item.text for name in deck_names() for item in deck(name, language)]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("language", languages())
def test_three_sets_of_twelve_rise_in_depth(language: str) -> None:
    sets = [deck(name, language) for name in SETS]
    assert [len(each) for each in sets] == [12, 12, 12]
    assert [each.depth for each in sets] == [1, 2, 3]
    assert all(item.text.endswith("?") for each in sets for item in each)


@pytest.mark.parametrize(
    ("name", "fields", "also"),
    [
        ("checkin", checkin.FIELDS, set()),
        ("appreciation", appreciation.FIELDS, set()),
        ("listening", hearing.FIELDS, {"before"}),
        (
            "repair",
            (*repair.INVITE_FIELDS, *repair.TELL_FIELDS, repair.GESTURE_FIELD, repair.AGREEMENT_FIELD),
            {"hear", "pause"},
        ),
    ],
)
def test_there_is_something_for_every_field(name: str, fields: tuple[Field, ...], also: set[str]) -> None:
    """Parts are called as the fields are, so that a prompt finds its stems."""
    found = deck(name)
    assert {part.id for part in found.parts} == {field.name for field in fields if field.kind is not FieldKind.CHOICE} | also
    for part in found.parts:
        assert len(found.in_part(part.id)) >= 3
        assert found.heading(part.id) == part.heading


@pytest.mark.parametrize("language", languages())
def test_the_safety_text_says_what_it_has_to_and_names_no_number(language: str) -> None:
    safety = deck("safety", language)
    assert [part.id for part in safety.parts] == ["control", "pairing", "limits", "help"]
    assert all(safety.in_part(part.id) for part in safety.parts)
    text = " ".join(_texts(safety))
    assert not any(character.isdigit() for character in text)
    assert "http" not in text
    assert "www" not in text


@pytest.mark.parametrize(("name", "language"), EVERY)
def test_nothing_claims_to_be_science_or_counts_anybody(name: str, language: str) -> None:
    text = " ".join(_texts(deck(name, language))).casefold()
    for banned in (
        "brain",
        "gehirn",
        "study",
        "studie",
        "research",
        "forscher",
        "proven",
        "bewiesen",
        "hormon",
        "streak",
        "score",
    ):
        assert banned not in text, banned


def test_kinds_are_all_in_use() -> None:
    assert {deck(name).kind for name in deck_names()} == set(KINDS)


def test_what_a_translation_lacks_is_taken_from_english_item_by_item() -> None:
    english = Deck("x", "Title", "questions", (Item("a", "A?", "Note."), Item("b", "B?")), about="About.")
    other = Deck("x", "Titel", "questions", (Item("b", "Be?"), Item("z", "Zett?")))
    mixed = translated(english, other)
    assert mixed.title == "Titel"
    assert mixed.about == "About."
    assert mixed.items == (Item("a", "A?", "Note."), Item("b", "Be?"))


def test_a_missing_file_falls_back_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        decks, "file_of", lambda name, language: tmp_path / "none" if language == "de" else _file(name, language)
    )
    decks.deck.cache_clear()
    assert deck("checkin", "de") == deck("checkin", "en")
    decks.deck.cache_clear()


_file = decks.file_of


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("de", "de"),
        ("de_AT.UTF-8", "de"),
        ("DE-ch", "de"),
        ("de_DE@euro", "de"),
        ("C", "en"),
        ("", "en"),
        ("fr_FR", "en"),
        ("../de", "en"),
        ("\0", "en"),
    ],
)
def test_a_locale_finds_its_language(tag: str, language: str) -> None:
    assert language_for(tag) == language
    assert deck("checkin", tag) == deck("checkin", language)


@pytest.mark.parametrize("name", ["question-1", "feelings", "../en/checkin", "", "\0", "x" * 10_000])
def test_an_unknown_deck_is_not_found(name: str) -> None:
    with pytest.raises(NotFound) as caught:
        deck(name)
    assert caught.value.hint
    assert len(caught.value.hint) < 300


def test_a_slip_in_the_name_is_answered_with_the_right_one() -> None:
    with pytest.raises(NotFound) as caught:
        deck("new-thing")
    assert "new-things" in caught.value.hint


def test_a_deck_is_a_value() -> None:
    """It can be kept, compared and hashed, and nobody can change it for another."""
    found = deck("checkin")
    assert hash(found) == hash(replace(found))
    assert len(found) == len(list(found)) == len(found.items)
    assert found.item("hard-1") is not None
    assert found.item("none") is None
    assert found.heading("none") == ""
    with pytest.raises(AttributeError):
        found.name = "other"  # type: ignore[misc]


def _texts(found: Deck) -> list[str]:
    texts = [found.title, found.about, *(part.heading for part in found.parts)]
    return texts + [text for item in found for text in (item.text, item.note) if text]
