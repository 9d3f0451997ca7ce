"""Removing devices, one rule at a time; all together are in test_membership_model."""

from __future__ import annotations

import pytest

from bide.errors import MembershipRejected
from bide.ids import DeviceId
from bide.log.chain import head_of
from bide.log.control import DeviceRevoked, EpochMinted, write_control
from bide.log.envelope import Envelope
from bide.log.membership import DEVICES_EVER_MAX, DEVICES_PER_PERSON_MAX, Membership
from bide.testing import Member, SpaceBuilder, control_envelope, device_record, make_grant


def revocation(space: SpaceBuilder, by: Member, target: Member, *, cut: int | None = None) -> Envelope:
    """A device.revoked, neither admitted nor kept, but `by` goes on after it."""
    seq = target.head.seq if cut is None else cut
    digest = target.head.hash if cut is None else (bytes([9]) * 32 if cut else bytes(32))
    statement = DeviceRevoked("device.revoked", 1, space.parents(), target.device_id, seq, digest, [])
    envelope = control_envelope(space.id, by, write_control(statement))
    by.head = head_of(envelope)
    return envelope


def in_both_orders(space: SpaceBuilder, *envelopes: Envelope) -> Membership:
    """What concurrent entries come to; whichever arrives first."""
    found = []
    for order in (envelopes, envelopes[::-1]):
        membership = Membership.replay(space.id, space.controls)
        for envelope in order:
            membership.admit(envelope)
        found.append(membership)
    assert found[0] == found[1] == Membership.replay(space.id, [*envelopes, *space.controls])
    return found[0]


@pytest.fixture
def space() -> SpaceBuilder:
    """Sam with laptop, phone and tablet, and Robin."""
    space = SpaceBuilder.found()
    space.join()
    space.add_device(space.founder)
    space.add_device(space.founder)
    return space


def test_a_device_is_removed_by_another_of_its_person(space: SpaceBuilder) -> None:
    laptop, robin, phone, tablet = space.members
    space.revoke(laptop, phone)
    assert space.membership.active == {laptop.log_id, robin.log_id, tablet.log_id}
    assert space.membership.ends == {phone.log_id: 0}
    assert space.membership.devices[phone.log_id].slot == 0  # it is still known whose it was


def test_partners_cannot_remove_each_others_devices(space: SpaceBuilder) -> None:
    laptop, robin, phone, _ = space.members
    for by, target in ((robin, phone), (robin, laptop), (laptop, robin)):
        with pytest.raises(MembershipRejected, match="same person"):
            space.revoke(by, target)


def test_a_removed_device_says_nothing_more(space: SpaceBuilder) -> None:
    laptop, _, phone, tablet = space.members
    space.revoke(laptop, phone)
    record = device_record(space.id, 0, phone.keys)
    for statement in (
        DeviceRevoked("device.revoked", 1, space.parents(), tablet.device_id, 0, bytes(32), []),
        EpochMinted("epoch.minted", 1, space.parents(), [make_grant(b"s" * 32, record, parent=phone.head.hash)]),
    ):
        with pytest.raises(MembershipRejected, match="not a member"):
            space.write_control(phone, statement)


def test_a_removed_device_is_neither_removed_again_nor_added_again(space: SpaceBuilder) -> None:
    laptop, _, phone, _ = space.members
    space.revoke(laptop, phone)
    with pytest.raises(MembershipRejected, match="only once"):
        space.revoke(laptop, phone)
    with pytest.raises(MembershipRejected, match="already"):
        space.add_device(laptop, phone.keys)


def test_two_that_remove_each_other_are_both_out(space: SpaceBuilder) -> None:
    laptop, robin, phone, tablet = space.members
    membership = in_both_orders(space, revocation(space, phone, tablet, cut=0), revocation(space, tablet, phone, cut=0))
    assert membership.active == {laptop.log_id, robin.log_id}
    # Each must be passed on as far as its revocation, though nothing it wrote counts.
    assert membership.ends == {phone.log_id: 0, tablet.log_id: 0}
    assert membership.needed() == {phone.log_id: 1, tablet.log_id: 1}


def test_what_a_removed_device_added_meanwhile_is_void(space: SpaceBuilder) -> None:
    laptop, robin, phone, tablet = space.members
    known = Membership.replay(space.id, space.controls)
    removal = revocation(space, laptop, phone)
    stranger = space.add_device(phone)
    addition = space.envelopes.pop()
    accomplice = space.add_device(stranger)  # and so on
    further = space.envelopes.pop()
    membership = Membership.replay(space.id, [*space.controls, addition, further])
    assert accomplice.log_id in membership.active
    membership.admit(removal)
    assert membership.active == {laptop.log_id, robin.log_id, tablet.log_id}
    assert (membership.ends[stranger.log_id], membership.ends[accomplice.log_id]) == (0, 0)
    known.admit(removal)
    known.admit(addition)
    known.admit(further)
    assert known == membership


def test_what_it_had_added_before_stands(space: SpaceBuilder) -> None:
    laptop, _, phone, _ = space.members
    desktop = space.add_device(phone)
    space.revoke(laptop, phone)
    assert desktop.log_id in space.membership.active


def test_of_concurrent_cuts_the_higher_holds(space: SpaceBuilder) -> None:
    laptop, _, phone, tablet = space.members
    one, two = revocation(space, laptop, phone, cut=3), revocation(space, tablet, phone, cut=7)
    assert in_both_orders(space, one, two).ends == {phone.log_id: 7}


def test_nobody_lifts_the_cut_that_is_held_against_them(space: SpaceBuilder) -> None:
    """Neither a device by removing itself, nor one that it added meanwhile, nor one that was removed with it."""
    laptop, _, phone, tablet = space.members
    held = revocation(space, laptop, phone, cut=3)
    itself = revocation(space, phone, phone, cut=900)
    assert in_both_orders(space, held, itself).ends == {phone.log_id: 3}
    accomplice = revocation(space, tablet, phone, cut=900)
    removed = revocation(space, laptop, tablet, cut=0)
    membership = Membership.replay(space.id, [*space.controls, held, removed, accomplice])
    assert membership.ends == {phone.log_id: 3, tablet.log_id: 0}


def test_devices_that_were_removed_make_room_up_to_a_number(space: SpaceBuilder) -> None:
    laptop = space.founder
    while len(space.membership.devices) - 1 < DEVICES_EVER_MAX:
        mine = [m for m in space.members if m.slot == 0 and space.membership.is_active(m.log_id)]
        if len(mine) == DEVICES_PER_PERSON_MAX:
            with pytest.raises(MembershipRejected, match="16 devices"):
                space.add_device(laptop)
            space.revoke(laptop, mine[-1])
        space.add_device(laptop)
    space.revoke(laptop, space.members[-1])
    with pytest.raises(MembershipRejected, match="32 devices in all"):
        space.add_device(laptop)
    space.add_device(space.members[1])  # each person for themselves


def test_a_removed_device_leaves_no_epoch_to_seal_under(space: SpaceBuilder) -> None:
    laptop, _, phone, _ = space.members
    [epoch] = space.membership.recipients
    assert space.membership.eligible_epochs() == [epoch]
    space.revoke(laptop, phone)
    assert space.membership.eligible_epochs() == []
    secret = b"s" * 32
    left = [m for m in space.members if m is not phone]
    grants = [make_grant(secret, device_record(space.id, m.slot, m.keys), parent=laptop.head.hash) for m in left]
    space.write_control(laptop, EpochMinted("epoch.minted", 1, space.parents(), grants))
    [fresh] = space.membership.eligible_epochs()
    assert fresh != epoch


def test_who_was_left_out_of_an_epoch_makes_it_unfit(space: SpaceBuilder) -> None:
    """What an active device could not read is never sealed under, and nor is what somebody else could."""
    laptop = space.founder
    space.add_device(laptop)
    assert len(space.membership.eligible_epochs()) == 1
    newcomer = space.members[-1]
    grants = [
        make_grant(b"t" * 32, device_record(space.id, m.slot, m.keys), parent=laptop.head.hash) for m in space.members[:-1]
    ]
    space.write_control(laptop, EpochMinted("epoch.minted", 1, space.parents(), grants))
    assert len(space.membership.eligible_epochs()) == 1
    late = make_grant(b"t" * 32, device_record(space.id, 0, newcomer.keys), parent=laptop.head.hash)
    space.write_control(laptop, EpochMinted("epoch.minted", 1, space.parents(), [late]))
    eligible = space.membership.eligible_epochs()
    assert len(eligible) == 2
    assert eligible == sorted(eligible)
    assert all(DeviceId(m.device_id) in space.membership.recipients[epoch] for epoch in eligible for m in space.members)


def test_a_cut_is_a_place_or_none(space: SpaceBuilder) -> None:
    laptop, _, phone, _ = space.members
    for seq, digest in ((0, b"\x01" * 32), (3, bytes(32))):
        with pytest.raises(MembershipRejected):
            space.write_control(laptop, DeviceRevoked("device.revoked", 1, space.parents(), phone.device_id, seq, digest, []))
