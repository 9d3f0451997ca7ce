"""Every error has a sentence to show and a stable code."""

from __future__ import annotations

import pytest

from bide import errors
from bide.crypto.keys import GrantBroken
from bide.crypto.sealing import SealBroken
from bide.errors import BideError, ForkDetected, NotPaired
from bide.log.event import MalformedEvent
from bide.log.packing import MalformedPacking

EVERY = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, BideError)]
EVERY += [GrantBroken, SealBroken, MalformedEvent, MalformedPacking]


@pytest.mark.parametrize("kind", EVERY)
def test_an_error_shows_a_whole_sentence_by_itself(kind: type[BideError]) -> None:
    error = kind()
    assert error.message
    assert error.message[0].isupper()
    assert error.message.endswith(".")
    assert "\n" not in error.message


def test_codes_are_unique() -> None:
    """Scripts tell errors apart by them."""
    codes = [kind.code for kind in EVERY]
    assert len(set(codes)) == len(codes)


def test_the_tree_in_the_docstring_is_complete() -> None:
    for kind in EVERY[:-4]:
        assert kind.__name__ in (errors.__doc__ or "")


def test_a_message_and_a_hint_can_be_given() -> None:
    assert NotPaired().hint
    error = NotPaired("Not yet.", hint="Soon.")
    assert (error.message, error.hint, str(error)) == ("Not yet.", "Soon.", "Not yet.")
    assert NotPaired(hint="").hint == ""


def test_a_fork_carries_its_evidence() -> None:
    assert ForkDetected(evidence=b"header").evidence == b"header"
    assert ForkDetected().evidence == b""
