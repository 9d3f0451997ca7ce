"""The tools that we give to others do what they say."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide import testing
from bide.crypto.keys import open_grant
from bide.errors import MembershipRejected, RemoteProtocolError
from bide.ids import DeviceId
from bide.log.chain import Head, Place, empty_head, head_of, place
from bide.log.control import DeviceAdded, PersonJoined, SpaceCreated, read_control
from bide.log.envelope import ZERO_HASH, verify_signature
from bide.log.event import Event
from bide.log.membership import Membership
from bide.protocol.frames import FRAME_NAMES, CaughtUp, Hello
from bide.protocol.states import Side, State
from bide.testing import (
    START_MS,
    FakeClock,
    HypothesisMissing,
    SeededRandomness,
    SessionPair,
    SpaceBuilder,
    events,
    frames,
    frames_of,
    heads,
)


def test_a_fake_clock_stands_ticks_and_is_set() -> None:
    clock = FakeClock()
    assert clock.now_ms() == clock.now_ms() == START_MS
    clock.advance(5)
    assert clock.now_ms() == START_MS + 5
    clock.tick_ms = 10
    assert [clock.now_ms(), clock.now_ms()] == [START_MS + 5, START_MS + 15]
    clock.set(7)
    assert clock.now_ms() == 7


def test_seeded_randomness_is_the_same_for_the_same_seed() -> None:
    one, two, other = SeededRandomness("a"), SeededRandomness("a"), SeededRandomness("b")
    first = one.token(16)
    assert first == two.token(16) != other.token(16)
    assert one.token(16) != first
    assert len(one.token(1000)) == 1000


def test_seeded_randomness_does_not_shift_with_sizes() -> None:
    one, two = SeededRandomness(1), SeededRandomness(1)
    one.token(1)
    two.token(100)
    assert one.token(32) == two.token(32)


@pytest.mark.parametrize("kind", ["own", "pair"])
def test_a_built_space_is_a_real_one(kind: testing.SpaceKind) -> None:
    """Every envelope verifies, every chain holds, every grant opens, and the membership replays."""
    space = SpaceBuilder.found(kind)
    if kind == "pair":
        space.join()
    phone = space.add_device(space.members[-1])
    for member in space.members:
        space.write(member)
        space.write(member)
    devices = space.membership.devices
    for member in space.members:
        head = empty_head(member.log_id)
        for envelope in space.log(member):
            verify_signature(envelope, space=space.id, device=devices[member.log_id].id)
            assert place(head, envelope) is Place.NEXT
            head = head_of(envelope)
        assert head == member.head
    assert phone.log_id in devices
    assert Membership.replay(space.id, space.controls[::-1]) == space.membership
    keys = {member.device_id: member.keys for member in space.members}
    for envelope in space.controls:
        statement = read_control(envelope.body)
        assert isinstance(statement, (SpaceCreated, PersonJoined, DeviceAdded))
        for grant in statement.grants:
            parent = envelope.prev_hash or ZERO_HASH
            opened = open_grant(grant.box, keys=keys[DeviceId(grant.recipient)], parent=parent)
            assert opened == space.epoch_secret


def test_built_events_cite_what_their_author_could_see() -> None:
    space = SpaceBuilder.found()
    robin = space.join()
    event = space.event(robin, change=b"mine")
    assert event.frontier == (space.founder.head,)
    assert event.change == b"mine"
    assert space.read(space.write(robin, event)) == event
    assert space.heads() == [space.founder.head, robin.head]


def test_a_built_space_keeps_nothing_that_is_refused() -> None:
    space = SpaceBuilder.found("own")
    with pytest.raises(MembershipRejected):
        space.join()
    assert len(space.envelopes) == 1
    assert space.founder.head.seq == 1


def test_a_session_pair_delivers_and_passes_refusals_on() -> None:
    pair = SessionPair()
    [(side, hello)] = pair.flush()
    assert side is Side.RELAY
    assert isinstance(hello, Hello)
    assert pair.flush() == []
    pair.client.state = State.SYNCING
    pair.relay.state = State.SYNCING
    assert pair.send(Side.RELAY, CaughtUp()) == [(Side.RELAY, CaughtUp())]
    pair.client.state = State.GREETED
    with pytest.raises(RemoteProtocolError):
        pair.send(Side.RELAY, CaughtUp())


@given(heads(), events(), frames(), st.data())
def test_strategies_make_what_they_promise(head: Head, event: object, frame: object, data: st.DataObject) -> None:
    assert head.seq >= 1
    assert isinstance(event, Event)
    assert type(frame) in FRAME_NAMES
    assert isinstance(data.draw(frames_of(CaughtUp)), CaughtUp)


def test_strategies_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(HypothesisMissing) as caught:
        events()
    assert caught.value.hint == "pip install hypothesis"
