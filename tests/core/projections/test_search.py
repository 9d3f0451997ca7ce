"""Folding: what looks different and means the same is found."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.projections.search import WORD_CHARS_MAX, WORDS_MAX, fold, words


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Straße", "STRASSE"),
        ("Café", "cafe"),
        ("CAFE\u0301", "café"),
        ("İstanbul", "istanbul"),
        ("ﬁne", "fine"),
        ("ｗｉｄｅ", "wide"),
        ("Ελλάδα", "ελλαδα"),
        ("شُكْرًا", "شكرا"),
        ("ค่ำ", "ค่ำ"),
        ("한국어", "한국어"),
        ("Ⅷ", "viii"),
    ],
)
def test_a_text_is_found_by_another_spelling(text: str, query: str) -> None:
    """Case, accents, vowel marks, widths and ligatures make no difference."""
    assert fold(query) in fold(text)
    assert words(query) == (fold(text),)


@given(st.text(max_size=100))
def test_what_was_folded_is_found_by_its_own_words(text: str) -> None:
    """Every word of a text finds the text."""
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        return
    assert all(word in fold(text) for word in words(text))


def test_a_query_is_bounded() -> None:
    """So many words, and so many characters of each."""
    assert len(words("a " * 100)) == WORDS_MAX
    assert words("x" * 1000) == ("x" * WORD_CHARS_MAX,)
    assert words("") == words(" \n\t") == ()
