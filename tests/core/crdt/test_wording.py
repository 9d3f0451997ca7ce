"""Texts are compared by their words, and two edits of one text come together word by word."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.crdt.wording import DISTANCE_MAX, merge, stretches, tokens

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
SENTENCE = st.lists(
    st.sampled_from(["we", "wash", "the", "dishes", " ", ", ", "\n", "東京", "👩‍👧", "don't"]), max_size=25
).map("".join)
BASE = "We wash the dishes on Sundays."


def rebuilt(old: str, new: str) -> str:
    """`old` with every stretch replaced, as whoever edits it does."""
    before = tokens(old)
    for stretch in reversed(stretches(before, tokens(new))):
        before[stretch.start : stretch.end] = stretch.new
    return "".join(before)


@given(TEXT | SENTENCE)
def test_tokens_are_the_text(text: str) -> None:
    """Nothing is lost, nothing is empty."""
    assert "".join(tokens(text)) == text
    assert all(tokens(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We don't wash.", ["We", " ", "don't", " ", "wash", "."]),
        ("say 'yes',  then", ["say", " ", "'yes'", ",", "  ", "then"]),
        ("caf\u0065\u0301 naïve", ["caf\u0065\u0301", " ", "naïve"]),
        ("東京へ", ["東", "京", "へ"]),
        ("ที่นี่", ["ที่", "นี่"]),
        ("👩‍👩‍👧👍🏽", ["👩‍👩‍👧", "👍🏽"]),
        ("हिन्दी में", ["हिन्दी", " ", "में"]),
    ],
)
def test_a_word_stays_whole(text: str, expected: list[str]) -> None:
    """In any script, with its marks; where there are no spaces a character is the nearest thing to a word."""
    assert tokens(text) == expected


@given(TEXT | SENTENCE, TEXT | SENTENCE)
def test_stretches_turn_one_text_into_the_other(old: str, new: str) -> None:
    """Any text into any other, and equal texts have none."""
    assert rebuilt(old, new) == new
    assert stretches(tokens(old), tokens(old)) == []


def test_very_different_texts_are_one_stretch() -> None:
    """Beyond the limit nothing is compared any further, and the result is right all the same."""
    old = " ".join(f"a{number}" for number in range(DISTANCE_MAX))
    new = " ".join(f"b{number}" for number in range(DISTANCE_MAX))
    assert len(stretches(tokens(old), tokens(new))) == 1
    assert rebuilt(old, new) == new


@pytest.mark.parametrize(
    ("versions", "text"),
    [
        (["We dry the dishes on Sundays.", "We wash the plates on Sundays."], "We dry the plates on Sundays."),
        (["We wash the dishes on Sundays, together.", "Both wash the dishes on Sundays."],
         "Both wash the dishes on Sundays, together."),
        (["We wash dishes on Sundays.", "We wash the dishes on Mondays."], "We wash dishes on Mondays."),
        (["We wash the cups on Sundays.", "We wash the cups on Sundays."], "We wash the cups on Sundays."),
        ([BASE, "We rest."], "We rest."),
    ],
)  # fmt: skip
def test_edits_of_different_words_fit_together(versions: list[str], text: str) -> None:
    """Both are taken, in either order; what both did alike is taken once."""
    for order in (versions, versions[::-1]):
        assert merge(BASE, order) == (text, False)


@pytest.mark.parametrize(
    ("versions", "text"),
    [
        (["We dry the dishes on Sundays.", "We clean the dishes on Sundays."], "We dry / clean the dishes on Sundays."),
        (["We wash the dishes on Sundays together.", "We wash the dishes on Sundays and rest."],
         "We wash the dishes on Sundays together / and rest."),
        (["We wash cups on Sundays.", "We wash the plates on Sundays."],
         "We wash cups / the plates on Sundays."),
        (["One\ntwo", "Three\nfour"], "One\ntwo\nThree\nfour"),
    ],
)  # fmt: skip
def test_edits_that_meet_clash(versions: list[str], text: str) -> None:
    """Each wording is shown where they met, and the rest is merged."""
    assert merge(BASE, versions) == (text, True)


@given(SENTENCE, st.lists(SENTENCE, min_size=2, max_size=4))
def test_no_word_is_lost_and_none_is_made_up(base: str, versions: list[str]) -> None:
    """Whatever the edits: a word of the result stood in one of the texts, and a word that somebody added is in it."""
    old = set(tokens(base))
    merged = set(tokens(merge(base, versions).text))
    said = set(itertools.chain.from_iterable(tokens(version) for version in versions))
    assert {token for token in merged if token.isalnum()} <= old | said
    assert {token for token in said - old if token.isalnum()} <= merged
