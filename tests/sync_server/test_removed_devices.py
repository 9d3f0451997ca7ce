"""What the relay takes of a device that was removed, and of those who bring what it wrote."""

from __future__ import annotations

import random

from bide.ids import SystemRandomness
from bide.log.control import EpochMinted, write_control
from bide.log.packing import pack
from bide.protocol.frames import CaughtUp, Envelopes, Error, Stored
from bide.testing import SpaceBuilder, control_envelope, device_record, make_grant
from bide_relay.service import load_state, replay
from bide_relay.testing import WireClient

from .test_relay_wire import Connect, data
from .test_service_rules import Desk, code


def lost_phone(randomness: SystemRandomness | None = None) -> tuple[SpaceBuilder, int]:
    """Sam's phone wrote twice and was removed; Sam's laptop knew of the first. Gives the space, and how many came before."""
    space = SpaceBuilder.found(randomness=randomness)
    space.join()
    phone = space.add_device(space.founder)
    space.write(phone)
    space.revoke(space.founder, phone)
    return space, len(space.envelopes)


def test_nothing_is_taken_beyond_the_cut() -> None:
    space, _ = lost_phone()
    phone = space.members[2]
    desk = Desk(space)
    assert code(desk.store(space.envelopes)) is None
    late = space.write(phone)
    admission = desk.admit([late])
    assert (code(admission), admission.envelopes) == ("revoked_log", [])
    assert admission.refusal is not None
    assert desk.state.heads[phone.log_id].seq == 1
    # What is up to the cut is known, and stays acknowledged.
    assert code(desk.store([space.log(phone)[0]])) is None


def test_a_revocation_beyond_the_cut_is_taken_with_what_comes_before_it() -> None:
    """Two devices that removed each other are both out, on the relay too, whoever was there first."""
    space = SpaceBuilder.found()
    space.join()
    phone, tablet = space.add_device(space.founder), space.add_device(space.founder)
    desk = Desk(space)
    desk.store(space.envelopes)
    before = space.parents()
    here = len(space.envelopes)
    space.write(tablet)
    membership = replay(space.controls, space.id)[0]
    first = space.revoke(phone, tablet)
    space.membership = membership  # the tablet has not heard of it
    assert space.parents() == before
    second = space.revoke(tablet, phone)
    assert code(desk.store([first])) is None
    assert code(desk.admit([e for e in space.envelopes[here:] if e.log_id == tablet.log_id][:1])) is None  # up to the cut
    desk.state = load_state(desk.storage, space.id) or desk.state
    admission = desk.store([*(e for e in space.log(tablet) if e is not second), second])
    assert code(admission) is None
    assert desk.state.roster().members == {space.founder.device_id, space.members[1].device_id}
    assert desk.state.roster().revoked == {phone.device_id, tablet.device_id}


def test_any_order_of_admission_gives_the_same_roster() -> None:
    space, _ = lost_phone()
    tablet = space.add_device(space.founder)
    space.write(tablet)
    expected = replay(space.controls, space.id)[0]
    chance = random.Random(4)
    for _ in range(20):
        shuffled = chance.sample(space.controls, len(space.controls))
        assert replay(shuffled, space.id)[0] == expected


def test_a_minted_epoch_is_a_change_of_membership_like_any_other() -> None:
    space, _ = lost_phone()
    sam = space.founder
    record = device_record(space.id, 0, sam.keys)
    statement = EpochMinted("epoch.minted", 1, space.parents(), [make_grant(b"s" * 32, record, parent=sam.head.hash)])
    space.write_control(sam, statement)
    desk = Desk(space)
    assert code(desk.store(space.envelopes)) is None
    phone = space.members[2]
    by_the_phone = control_envelope(space.id, phone, write_control(statement._replace(parents=space.parents())))
    assert code(desk.admit([by_the_phone])) == "membership_rejected"
    unknown = control_envelope(space.id, phone, pack(["future.thing", 1, space.parents()]))
    assert code(desk.admit([unknown])) == "membership_rejected"


async def test_a_removed_device_is_sent_away(connect: Connect) -> None:
    """At the door, and from the room: the moment that the relay hears of it."""
    space = SpaceBuilder.found(randomness=SystemRandomness())
    space.join()
    phone = space.add_device(space.founder)
    sam = await connect(space, space.founder, have={space.founder.log_id: 3})
    await sam.expect(CaughtUp)
    await sam.upload([e.data for e in space.envelopes[1:]])
    await sam.expect(Stored)
    there = await connect(space, phone)
    assert (await there.expect(Envelopes)).envelopes == data(space)
    await there.expect(CaughtUp)
    await sam.upload([space.revoke(space.founder, phone).data])
    assert (await there.expect(Error)).code == "revoked"
    late = space.write(phone)
    await sam.upload([late.data])
    await sam.expect(Stored)
    refused = await sam.expect(Error)
    assert (refused.code, refused.fatal) == ("revoked_log", False)
    await sam.upload([space.write(space.founder).data])  # the connection goes on
    await sam.expect(Stored)
    again = await WireClient.connect(f"ws://{sam.host}")
    await again.prove(space=space.id, device=phone.device_id, signing_seed=phone.keys.signing_seed)
    assert (await again.expect_error("revoked")).fatal
    await again.close()
