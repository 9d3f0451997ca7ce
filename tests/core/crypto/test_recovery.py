"""The words of a recovery phrase: what they say, how they may be typed, and what is told of a slip."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.crypto.keys import GrantBroken
from bide.crypto.pairing_code import words
from bide.crypto.recovery import KEYS_MAX, PREFIX_CHARS, RecoveryPhrase, seal_to_phrase
from bide.errors import InputError
from bide.ids import SpaceId

PHRASE = RecoveryPhrase(bytes(range(16)), SpaceId(bytes(range(16, 32))))


def spelled(*, between: str = " ") -> str:
    return between.join(PHRASE.words())


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16))
def test_words_say_again_what_they_were_made_of(secret: bytes, anchor: bytes) -> None:
    phrase = RecoveryPhrase(secret, SpaceId(anchor))
    assert len(phrase.words()) == 24
    assert RecoveryPhrase.parse(" ".join(phrase.words())) == phrase


@pytest.mark.parametrize(
    "typed",
    [
        spelled().upper(),
        spelled(between="-"),
        spelled(between="\n"),
        spelled(between=",  "),
        "\n".join(f"{number}. {word}" for number, word in enumerate(PHRASE.words(), 1)),
        "  ".join(f"{number:>2}) {word}" for number, word in enumerate(PHRASE.words(), 1)),
        " ".join(word[:PREFIX_CHARS] for word in PHRASE.words()),
        spelled().translate({ord("a"): "\uff41"}),
    ],
)
def test_typing_is_forgiving(typed: str) -> None:
    assert RecoveryPhrase.parse(typed) == PHRASE


def test_four_letters_are_enough_for_every_word() -> None:
    assert len({word[:PREFIX_CHARS] for word in words()}) == len(words())


def test_a_wrong_word_is_named_by_its_place_alone() -> None:
    typed = [*PHRASE.words()]
    typed[6] = "xylophonist"
    with pytest.raises(InputError, match="number 7") as raised:
        RecoveryPhrase.parse(" ".join(typed))
    told = f"{raised.value} {raised.value.hint}"
    assert not any(word in told.split() for word in [*PHRASE.words(), "xylophonist"])


@pytest.mark.parametrize("count", [0, 1, 23, 25, 48])
def test_another_number_of_words_is_refused(count: int) -> None:
    with pytest.raises(InputError, match=f"24 words; these are {count}"):
        RecoveryPhrase.parse(" ".join((PHRASE.words() * 2)[:count]))


def test_most_slips_are_noticed() -> None:
    """Two neighbours swapped: 8 bits let one in 256 through, and what follows from such words is found nowhere."""
    noticed = 0
    for at in range(23):
        typed = [*PHRASE.words()]
        typed[at], typed[at + 1] = typed[at + 1], typed[at]
        try:
            assert RecoveryPhrase.parse(" ".join(typed)) != PHRASE
        except InputError:
            noticed += 1
    assert noticed >= 21


def test_what_is_far_too_long_is_not_looked_at() -> None:
    with pytest.raises(InputError, match="too long"):
        RecoveryPhrase.parse(spelled() * 20)


def test_the_words_are_in_no_repr() -> None:
    assert PHRASE.secret.hex() not in repr(PHRASE)
    assert str(PHRASE.secret) not in repr(PHRASE)


def test_every_key_differs_and_depends_on_secret_and_anchor() -> None:
    found = {PHRASE.keys(index) for index in range(KEYS_MAX)}
    found |= {RecoveryPhrase(PHRASE.secret, SpaceId(bytes(16))).keys(index) for index in range(KEYS_MAX)}
    found |= {RecoveryPhrase(bytes(16), PHRASE.anchor).keys(index) for index in range(KEYS_MAX)}
    secrets = {secret for keys in found for secret in keys}
    assert len(secrets) == 2 * 3 * KEYS_MAX
    with pytest.raises(ValueError, match="no such key"):
        PHRASE.keys(KEYS_MAX)


def test_a_box_opens_with_its_words_alone() -> None:
    box = seal_to_phrase(b"there is a space", sealing_key=PHRASE.keys(0).sealing_key)
    assert PHRASE.open(box) == b"there is a space"
    with pytest.raises(GrantBroken):
        RecoveryPhrase(bytes(16), PHRASE.anchor).open(box)
    with pytest.raises(GrantBroken):
        PHRASE.open(b"")
