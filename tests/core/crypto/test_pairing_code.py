"""Pairing codes: what a person types, and what they are told when it can't be one."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.crypto.pairing_code import CODE_CHARS_MAX, NAMEPLATE_MAX, PairingCode, words, words_from_bytes
from bide.errors import InputError
from bide.testing import SeededRandomness

CODE = PairingCode(7, ("maple", "river", "harbor"), "relay.example.org")
AUTHORITIES = [
    "",
    "relay.example.org",
    "127.0.0.1:8765",
    "localhost",
    "[::1]:8765",
    "[fe80::1]",
    "a-b.c_d.example:65535",
    "xn--bcher-kva.example",
]
CODES = st.builds(
    PairingCode,
    st.integers(1, NAMEPLATE_MAX),
    st.tuples(*[st.sampled_from(words())] * 3),
    st.sampled_from(AUTHORITIES),
)

TYPED = [
    "7-maple-river-harbor@relay.example.org",
    "7 maple river harbor @ relay.example.org",
    "  7  Maple - RIVER --  harbor@Relay.Example.ORG\n",
    "７ maple river harbor @relay.example.org",
    "7–maple—river‑harbor@relay.example.org",
    "7, maple, river, harbor @relay.example.org",
    "007_maple_river_harbor @\trelay.example.org",
]

BAD = [
    "",
    "   ",
    "7",
    "maple river harbor",
    "7 maple river",
    "7 maple river harbor ocean",
    "0 maple river harbor",
    "1000000 maple river harbor",
    "9999999999999999999 maple river harbor",
    "seven maple river harbor",
    "٧ maple river harbor",
    "7 maple river harbor @",
    "7 maple river harbor @ @",
    "7 maple river harbor @ two words",
    "7 maple river harbor @relay:0",
    "7 maple river harbor @relay:65536",
    "7 maple river harbor @relay:x",
    "7 maple river harbor @ws://relay",
    "7 maple river harbor @user:pw@relay",
    "7 maple river harbor @relay/path",
    "7 maple river harbor @-relay",
    "7 maple river harbor @relay..org",
    "7 maple river harbor @[zz]",
    "7 maple river harbor @" + "a." * 150 + "org",
    "7 maple river harbor @bücher.example",
    "7 maple\x00 river harbor",
    "x" * (CODE_CHARS_MAX + 1),
]


@given(CODES)
def test_a_shown_code_is_understood(code: PairingCode) -> None:
    assert PairingCode.parse(code.format()) == code
    assert PairingCode.parse(code.format().replace("-", "  ", 3).upper()).words == code.words


@pytest.mark.parametrize("text", TYPED)
def test_a_code_is_understood_however_it_is_typed(text: str) -> None:
    assert PairingCode.parse(text) == CODE


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_code_is_refused_with_a_sentence_and_a_hint(text: str) -> None:
    with pytest.raises(InputError) as caught:
        PairingCode.parse(text)
    assert caught.value.message.endswith(".")
    assert caught.value.hint


@given(st.text(max_size=60))
def test_any_text_is_a_code_or_refused(text: str) -> None:
    for typed in (text, f"7 maple {text} harbor", f"{text}-maple-river-harbor", f"7-maple-river-harbor@{text}"):
        with contextlib.suppress(InputError):
            PairingCode.parse(typed)


@pytest.mark.parametrize(("position", "name"), [(0, "first"), (1, "second"), (2, "third")])
def test_a_mistyped_word_is_named_by_its_place_and_near_ones_are_offered(position: int, name: str) -> None:
    """The message, which may get into a log, holds neither what was typed nor the words that were right."""
    typed = ["maple", "river", "harbor"]
    typed[position] = typed[position][:-1] + "q"
    with pytest.raises(InputError) as caught:
        PairingCode.parse("7 " + " ".join(typed))
    assert caught.value.message == f"The {name} word of that code is not one of Bide's words."
    assert ("maple", "river", "harbor")[position] in caught.value.hint
    assert typed[position] not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_word_like_no_other_gets_another_hint() -> None:
    with pytest.raises(InputError) as caught:
        PairingCode.parse("7 zzzzzzzzzz river harbor")
    assert "letter by letter" in caught.value.hint


def test_words_stay_out_of_a_repr() -> None:
    assert "maple" not in repr(CODE)


def test_new_codes_are_random_words_of_the_list() -> None:
    source = SeededRandomness()
    codes = [PairingCode.new(7, source, authority="relay.example.org") for _ in range(50)]
    assert len({code.words for code in codes}) == 50
    assert all(word in words() for code in codes for word in code.words)
    assert codes[0].authority == "relay.example.org"
    assert PairingCode.new(7, source).authority == ""


def test_the_list_is_what_codes_and_safety_words_rely_on() -> None:
    """2,048 different words, each told by its first four letters, in lower case and ASCII."""
    assert len(set(words())) == 2048
    assert len({word[:4] for word in words()}) == 2048
    assert all(word.isascii() and word.isalpha() and word.islower() for word in words())


def test_bits_become_words_from_the_most_significant_on() -> None:
    assert words_from_bytes(bytes(5), count=3) == (words()[0],) * 3
    assert words_from_bytes(b"\xff" * 9, count=6) == (words()[2047],) * 6
    assert words_from_bytes(b"\x00\x20\x00", count=2) == (words()[1], words()[0])


def test_a_code_without_a_relay_is_shown_without() -> None:
    assert PairingCode(7, CODE.words).format() == "7-maple-river-harbor"


def test_the_password_is_the_words_alone() -> None:
    assert CODE.password == b"maple river harbor"
