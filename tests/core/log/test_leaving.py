"""Ending a space and erasing bodies, one rule at a time, in every order of delivery."""

from __future__ import annotations

from itertools import permutations

import pytest

from bide.errors import MembershipRejected
from bide.ids import LogId
from bide.log.chain import head_of
from bide.log.control import BodiesErased, SpaceEnded, Span, Statement, read_control, write_control
from bide.log.envelope import Envelope
from bide.log.leaving import Ending, is_erased, joined, knows_of
from bide.log.membership import SPANS_PER_LOG_MAX, Membership, fold
from bide.log.packing import pack
from bide.testing import Member, SpaceBuilder, control_envelope

DAY = "2026-11-23"


def said(space: SpaceBuilder, by: Member, statement: Statement) -> Envelope:
    """A control entry, neither admitted nor kept, but `by` goes on after it."""
    envelope = control_envelope(space.id, by, write_control(statement))
    by.head = head_of(envelope)
    return envelope


def end(space: SpaceBuilder, by: Member, day: str = DAY) -> Envelope:
    return said(space, by, SpaceEnded("space.ended", 1, space.parents(), day))


def erasure(space: SpaceBuilder, by: Member, *spans: tuple[LogId, int, int]) -> Envelope:
    return said(space, by, BodiesErased("bodies.erased", 1, space.parents(), [Span(*span) for span in spans]))


def in_every_order(space: SpaceBuilder, *envelopes: Envelope) -> Membership:
    """What concurrent entries come to, whichever arrives first; and folded from scratch."""
    whole = fold(space.id, [*space.controls, *envelopes])[0]
    for order in permutations(envelopes):
        membership = Membership.replay(space.id, space.controls)
        for envelope in order:
            membership.admit(envelope)
        assert membership == whole
        assert membership.endings() == whole.endings()
        assert membership.erased() == whole.erased()
    return whole


def three_devices() -> SpaceBuilder:
    """Sam with laptop and phone, and Robin."""
    space = SpaceBuilder.found()
    space.join()
    space.add_device(space.founder)
    return space


@pytest.fixture
def space() -> SpaceBuilder:
    return three_devices()


@pytest.mark.parametrize("who", [0, 1, 2])
def test_any_device_of_either_ends_it(who: int) -> None:
    space = three_devices()
    by = space.members[who]
    envelope = end(space, by)
    assert in_every_order(space, envelope).endings() == (Ending(DAY, by.log_id, envelope.seq, by.slot),)


def test_two_ends_at_once_are_one(space: SpaceBuilder) -> None:
    laptop, robin, _ = space.members
    whole = in_every_order(space, end(space, laptop), end(space, robin, "2026-11-22"))
    assert [(each.day, each.slot) for each in whole.endings()] == [("2026-11-22", 1), (DAY, 0)]


def test_what_a_removed_device_says_beyond_its_cut_ends_and_erases_nothing(space: SpaceBuilder) -> None:
    laptop, _, phone = space.members
    removal = space.revoke(laptop, phone)
    space.envelopes.remove(removal)
    before = Membership.replay(space.id, space.controls)
    space.membership = before  # the phone doesn't know of it
    stolen = end(space, phone)
    wiped = erasure(space, phone, (laptop.log_id, 1, 9))
    for order in permutations((removal, stolen, wiped)):
        if order.index(stolen) < order.index(wiped):
            membership = Membership.replay(space.id, space.controls)
            for envelope in order:
                membership.admit(envelope)
            assert membership.endings() == ()
            assert membership.erased() == {}


def test_an_end_before_the_cut_of_a_removed_device_stays_one(space: SpaceBuilder) -> None:
    laptop, _, phone = space.members
    ended = end(space, phone)
    space.membership.admit(ended)
    space.envelopes.append(ended)
    space.revoke(laptop, phone)
    assert space.membership.endings()
    assert fold(space.id, space.controls)[0].endings() == space.membership.endings()


def test_an_own_space_can_not_be_ended() -> None:
    space = SpaceBuilder.found("own")
    with pytest.raises(MembershipRejected, match="two people"):
        space.membership.admit(end(space, space.founder))


def test_devices_erase_what_their_own_person_wrote_on_any_device(space: SpaceBuilder) -> None:
    laptop, robin, phone = space.members
    whole = in_every_order(
        space,
        erasure(space, laptop, (phone.log_id, 2, 5), (phone.log_id, 6, 6), (laptop.log_id, 3, 3)),
        end(space, robin),
        erasure(space, phone, (laptop.log_id, 1, 2)),
    )
    assert whole.erased()[phone.log_id] == ((2, 6),)
    assert whole.erased()[laptop.log_id] == ((1, 3),)
    assert is_erased(whole.erased(), phone.log_id, 4)
    assert not is_erased(whole.erased(), phone.log_id, 7)
    assert not is_erased(whole.erased(), robin.log_id, 1)


def test_nobody_erases_what_the_other_wrote_what_is_not_written_yet_or_backwards(space: SpaceBuilder) -> None:
    laptop, robin, phone = space.members
    wrong = (
        (robin, (laptop.log_id, 1, 2)),
        (laptop, (robin.log_id, 1, 1)),
        (laptop, (LogId(bytes(16)), 1, 1)),
        (laptop, (laptop.log_id, 1, laptop.head.seq + 1)),
        (phone, (laptop.log_id, 3, 2)),
    )
    for by, span in wrong:
        head = by.head
        with pytest.raises(MembershipRejected, match="same person"):
            space.membership.admit(erasure(space, by, span))
        by.head = head


def test_a_device_that_was_added_unknown_to_the_one_who_erases_is_nobodys(space: SpaceBuilder) -> None:
    laptop, _, phone = space.members
    parents = space.parents()
    tablet = space.add_device(laptop)
    statement = BodiesErased("bodies.erased", 1, parents, [Span(tablet.log_id, 1, 1)])
    with pytest.raises(MembershipRejected, match="same person"):
        space.membership.admit(said(space, phone, statement))


def test_one_device_erases_so_many_stretches_and_no_more(space: SpaceBuilder) -> None:
    laptop, _, phone = space.members
    for at in range(SPANS_PER_LOG_MAX // 256):
        spans = [(phone.log_id, 2 * (256 * at + n) + 1, 2 * (256 * at + n) + 1) for n in range(256)]
        space.membership.admit(erasure(space, laptop, *spans))
    with pytest.raises(MembershipRejected, match="too often"):
        space.membership.admit(erasure(space, laptop, (phone.log_id, 1, 1)))


@pytest.mark.parametrize(
    "statement",
    [
        ["space.ended", 1, []],
        ["space.ended", 1, [], "2026-02-31"],
        ["space.ended", 1, [], "20261123"],
        ["space.ended", 1, [], 20261123],
        ["bodies.erased", 1, []],
        ["bodies.erased", 1, [], []],
        ["bodies.erased", 1, [], [[bytes(16), 0, 1]]],
        ["bodies.erased", 1, [], [[bytes(15), 1, 1]]],
        ["bodies.erased", 1, [], [[bytes(16), 1]]],
        ["bodies.erased", 1, [], [[bytes(16), 1, 1]] * 257],
    ],
)
def test_what_is_no_such_statement_is_refused(statement: list[object]) -> None:
    with pytest.raises(MembershipRejected):
        read_control(pack(statement))


def test_stretches_that_touch_are_one() -> None:
    assert joined([(5, 6), (1, 2), (3, 3), (9, 12), (10, 11)]) == ((1, 3), (5, 6), (9, 12))


def test_who_follows_on_an_end_or_cites_it_knows_of_it() -> None:
    ender, other = LogId(b"e" * 16), LogId(b"o" * 16)
    endings = (Ending(DAY, ender, 5, 0),)
    assert knows_of(endings, ender, 6, {})
    assert not knows_of(endings, ender, 4, {})
    assert knows_of(endings, other, 1, {ender: 5})
    assert not knows_of(endings, other, 9, {ender: 4})
