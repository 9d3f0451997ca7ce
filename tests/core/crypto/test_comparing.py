"""The words of two people who compare: they commit to everything, differ between the two, and are typed forgivingly."""

from __future__ import annotations

import contextlib
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bide.crypto import comparing
from bide.crypto.comparing import COUNT_MAX, Said, comparison_words, parse_count, parse_said
from bide.crypto.pairing_code import words
from bide.errors import InputError

SPACE = bytes(16)
PLACES = [(b"a" * 16, 3, b"h" * 32), (b"b" * 16, 9, b"i" * 32)]
TYPED = "maple river harbor otter cedar plum"


def test_the_words_are_what_they_have_always_been() -> None:
    """Two versions of Bide compare with each other, so these never change. The order of logs is no matter."""
    first = ("thunder", "valley", "zero", "egret", "chalk", "absorb")
    found = comparison_words(SPACE, PLACES)
    assert found == comparison_words(SPACE, reversed(PLACES))
    assert len(found[0]) == len(found[1]) == 6
    assert found[0] != found[1]
    assert found[0] == first


@pytest.mark.parametrize(
    "places",
    [
        PLACES[:1],
        [(b"c" * 16, 3, b"h" * 32), PLACES[1]],
        [(b"a" * 16, 4, b"h" * 32), PLACES[1]],
        [(b"a" * 16, 3, b"H" * 32), PLACES[1]],
        [*PLACES, (b"c" * 16, 1, b"j" * 32)],
    ],
    ids=["a log less", "another log", "another number", "another hash", "a log more"],
)
def test_every_part_of_every_head_is_in_them(places: list[tuple[bytes, int, bytes]]) -> None:
    """One bit elsewhere, and both sides' words are others; in another space as well."""
    mine, theirs = comparison_words(SPACE, PLACES)
    assert not {mine, theirs} & set(comparison_words(SPACE, places))
    assert mine not in comparison_words(b"s" * 16, PLACES)


def test_a_try_costs_memory_and_time() -> None:
    """Who looks for two histories with the same 66 bits pays for each: what OWASP asks of a password hash, and more."""
    assert comparing.MEMORY_BYTES >= 64 * 1024 * 1024
    assert comparing.ITERATIONS >= 3


@pytest.mark.parametrize(
    "text",
    [
        TYPED,
        "MAPLE, River;harbor - otter\tcedar\nplum.",
        "mapl rive harb otte ceda plum",
        "1. maple 2. river 3. harbor 4. otter 5. cedar 6. plum".translate({ord(c): None for c in "123456"}),
        "ｍａｐｌｅ river harbor otter cedar plum",
        "maplee river harbour otter cedar plum",
    ],
)
def test_words_are_taken_as_people_type_them(text: str) -> None:
    """Any case, any marks between, four letters of each, a slip after them."""
    assert parse_said(text) == Said(("maple", "river", "harbor", "otter", "cedar", "plum"))


def test_the_numbers_may_follow() -> None:
    """Two of them, or none."""
    assert parse_said(f"{TYPED} 14 9").counts == (14, 9)


@pytest.mark.parametrize(
    "text", ["", "yes", "maple river", TYPED + " robin", TYPED + " 14", TYPED + " 1 2 3", "x" * 401, "mxple " * 6, "map " * 6]
)
def test_what_is_not_six_words_is_asked_for_again(text: str) -> None:
    """One sentence and what to do; what was typed is not repeated."""
    with pytest.raises(InputError) as caught:
        parse_said(text)
    assert caught.value.hint


@settings(deadline=None)
@given(st.lists(st.sampled_from(words()), min_size=6, max_size=6), st.booleans())
def test_every_word_of_the_list_is_known_whole_and_by_its_beginning(chosen: list[str], short: bool) -> None:
    """So nobody who copies what the screen says is told that it's no word."""
    assert parse_said(" ".join(word[:4] if short else word for word in chosen)).words == tuple(chosen)


@given(st.text(max_size=500))
def test_any_text_is_six_words_or_refused(text: str) -> None:
    """Nothing else happens."""
    with contextlib.suppress(InputError):
        assert len(parse_said(text).words) == 6


def test_numbers_are_taken_as_people_type_them() -> None:
    """Grouped in any way; nothing else."""
    assert [parse_count(text) for text in ("14", " 1,400 ", "1.400", "1 400", "1'400")] == [14, 1400, 1400, 1400, 1400]
    for text in ("", "many", "-1", "1e3", str(COUNT_MAX + 1), "9" * 40):
        with pytest.raises(InputError):
            parse_count(text)


def test_the_words_say_nothing_of_what_is_compared() -> None:
    """Fresh histories give fresh words: 66 bits of them."""
    seen = {comparison_words(SPACE, [(os.urandom(16), 1, os.urandom(32))])[0] for _ in range(5)}
    assert len(seen) == 5
