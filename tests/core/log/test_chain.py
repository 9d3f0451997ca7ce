"""Where an envelope stands towards a head: next, known, gap or fork."""

from __future__ import annotations

import pytest

from bide.errors import EnvelopeRejected, ForkDetected, SequenceGap
from bide.log.chain import Place, empty_head, head_of, place
from bide.testing import SpaceBuilder

SPACE = SpaceBuilder.found()
ROBIN = SPACE.join()
ONE, TWO, THREE = (SPACE.write(ROBIN) for _ in range(3))


def test_the_first_entry_follows_on_nothing() -> None:
    assert place(empty_head(ROBIN.log_id), ONE) is Place.NEXT


def test_each_entry_follows_on_the_one_before() -> None:
    assert place(head_of(ONE), TWO) is Place.NEXT
    assert place(head_of(TWO), THREE) is Place.NEXT


def test_what_is_not_above_the_head_is_known() -> None:
    assert place(head_of(TWO), ONE) is Place.KNOWN
    assert place(head_of(TWO), TWO) is Place.KNOWN


def test_a_missing_entry_is_a_gap() -> None:
    for head, envelope in ((empty_head(ROBIN.log_id), TWO), (head_of(ONE), THREE)):
        with pytest.raises(SequenceGap):
            place(head, envelope)


def test_another_past_is_a_fork() -> None:
    with pytest.raises(ForkDetected):
        place(head_of(ONE)._replace(hash=b"\x07" * 32), TWO)


def test_an_entry_of_another_log_is_refused() -> None:
    with pytest.raises(EnvelopeRejected):
        place(empty_head(SPACE.founder.log_id), ONE)
