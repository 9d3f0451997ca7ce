"""The membership rules one by one, and that the order of arrival doesn't matter."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bide.crypto.keys import DeviceKeys, new_device_keys
from bide.errors import EnvelopeRejected, MembershipRejected
from bide.log import membership as membership_module
from bide.log.chain import head_of
from bide.log.control import DeviceAdded, PersonJoined, SpaceCreated, UnknownControl, read_control, write_control
from bide.log.envelope import Envelope, EnvelopeClass, authenticated_prefix, write_envelope
from bide.log.membership import CONTROLS_PER_LOG_MAX, DEVICES_PER_PERSON_MAX, Membership, fold
from bide.log.packing import pack
from bide.testing import Member, SeededRandomness, SpaceBuilder, control_envelope, device_record, make_grant


def added(
    space: SpaceBuilder,
    by: Member,
    *,
    parents: list[bytes] | None = None,
    keys: DeviceKeys | None = None,
    slot: int | None = None,
) -> Envelope:
    """A device.added by `by`, neither admitted nor kept."""
    keys = keys or new_device_keys(space.randomness)
    record = device_record(space.id, by.slot if slot is None else slot, keys)
    statement = DeviceAdded("device.added", 1, space.parents() if parents is None else parents, record, [])
    return control_envelope(space.id, by, write_control(statement))


def joined(space: SpaceBuilder, by: Member) -> Envelope:
    """A person.joined by `by`, neither admitted nor kept."""
    record = device_record(space.id, 1, new_device_keys(space.randomness))
    grant = make_grant(space.epoch_secret, record, parent=by.head.hash)
    return control_envelope(space.id, by, write_control(PersonJoined("person.joined", 1, space.parents(), record, [grant])))


def refused(space: SpaceBuilder, envelope: Envelope, error: type[Exception] = MembershipRejected) -> None:
    """Admitting raises, and nothing has changed."""
    before = (dict(space.membership.devices), set(space.membership.seen), set(space.membership.heads))
    with pytest.raises(error):
        space.membership.admit(envelope)
    assert before == (space.membership.devices, space.membership.seen, space.membership.heads)


# The beginning


def test_the_founder_is_the_first_device() -> None:
    space = SpaceBuilder.found("own")
    membership = Membership.found(space.id, space.controls[0])
    [device] = membership.devices.values()
    assert (device.id, device.slot, device.admitted_by) == (space.founder.device_id, 0, space.controls[0].hash)
    assert (membership.kind, membership.founder, membership.heads) == ("own", space.founder.log_id, {space.controls[0].hash})


def test_a_genesis_founds_only_its_own_space() -> None:
    space, other = SpaceBuilder.found(), SpaceBuilder.found(randomness=SeededRandomness("other"))
    with pytest.raises(MembershipRejected, match="another space"):
        Membership.found(other.id, space.controls[0])


def test_a_genesis_with_another_salt_is_of_another_space() -> None:
    space = SpaceBuilder.found()
    statement = read_control(space.controls[0].body)
    assert isinstance(statement, SpaceCreated)
    member = Member(space.founder.keys, 0, space.founder.log_id, space.founder.head._replace(seq=0, hash=bytes(32)))
    forged = control_envelope(space.id, member, write_control(statement._replace(salt=bytes(16))))
    with pytest.raises(MembershipRejected, match="another space"):
        Membership.found(space.id, forged)


def test_only_a_first_control_entry_that_says_so_founds() -> None:
    space = SpaceBuilder.found()
    robin = space.join()
    data = space.write(robin)
    unsaid = added(space, space.add_device(robin))
    second = space.controls[1]
    for envelope in (data, unsaid, second):
        with pytest.raises(MembershipRejected, match="not the beginning"):
            Membership.found(space.id, envelope)


def test_a_genesis_with_a_wrong_signature_is_refused() -> None:
    space = SpaceBuilder.found()
    genesis = space.controls[0]
    altered = bytearray(genesis.data)
    altered[140] ^= 1
    with pytest.raises(EnvelopeRejected):
        Membership.found(space.id, genesis._replace(data=bytes(altered)))


def test_the_founder_proves_possession_too() -> None:
    space = SpaceBuilder.found()
    statement = read_control(space.controls[0].body)
    assert isinstance(statement, SpaceCreated)
    forged = statement._replace(device=statement.device._replace(sealing_key=bytes(32)))
    member = Member(space.founder.keys, 0, space.founder.log_id, space.founder.head._replace(seq=0, hash=bytes(32)))
    with pytest.raises(MembershipRejected, match="belong together"):
        Membership.found(space.id, control_envelope(space.id, member, write_control(forged)))


def test_a_space_begins_once() -> None:
    space = SpaceBuilder.found()
    statement = read_control(space.controls[0].body)
    assert isinstance(statement, SpaceCreated)
    refused(space, control_envelope(space.id, space.founder, write_control(statement)))


# The second person


def test_the_second_person_joins_by_the_founders_second_entry() -> None:
    space = SpaceBuilder.found()
    robin = space.join()
    assert space.membership.devices[robin.log_id].slot == 1


def test_nobody_joins_a_space_of_ones_own() -> None:
    space = SpaceBuilder.found("own")
    refused(space, joined(space, space.founder))


def test_a_second_joiner_is_refused() -> None:
    space = SpaceBuilder.found()
    space.join()
    refused(space, joined(space, space.founder))


def test_nobody_joins_after_the_founder_wrote_something_else() -> None:
    space = SpaceBuilder.found()
    space.write(space.founder)
    refused(space, joined(space, space.founder))


def test_only_the_founding_device_lets_a_person_join() -> None:
    space = SpaceBuilder.found()
    robin = space.join()
    space.write(robin)
    assert robin.head.seq == 1
    refused(space, joined(space, robin))


# Further devices


def test_a_device_is_added_to_the_person_of_who_adds_it() -> None:
    space = SpaceBuilder.found()
    robin = space.join()
    assert space.membership.devices[space.add_device(robin).log_id].slot == 1
    assert space.membership.devices[space.add_device(space.founder).log_id].slot == 0


def test_partners_cannot_add_to_each_others_devices() -> None:
    """A device that signed for slot 0 is not admitted by a device of slot 1."""
    space = SpaceBuilder.found()
    refused(space, added(space, space.join(), slot=0))


def test_a_stranger_changes_nothing() -> None:
    space = SpaceBuilder.found()
    other = SpaceBuilder.found(randomness=SeededRandomness("other"))
    refused(space, added(space, other.founder))


def test_a_signature_of_another_device_is_refused() -> None:
    space = SpaceBuilder.found()
    robin = space.join()
    impostor = Member(robin.keys, 0, space.founder.log_id, space.founder.head)
    refused(space, added(space, impostor), EnvelopeRejected)


def test_a_control_entry_of_another_space_is_refused() -> None:
    space = SpaceBuilder.found()
    statement = DeviceAdded(
        "device.added", 1, space.parents(), device_record(space.id, 0, new_device_keys(space.randomness)), []
    )
    other = SpaceBuilder.found(randomness=SeededRandomness("other"))
    refused(space, control_envelope(other.id, space.founder, write_control(statement)), EnvelopeRejected)


def test_a_device_proves_that_it_holds_its_keys() -> None:
    space = SpaceBuilder.found()
    record = device_record(space.id, 0, new_device_keys(space.randomness))
    stolen = device_record(space.id, 0, new_device_keys(space.randomness))
    for forged in (
        record._replace(sealing_key=stolen.sealing_key),
        record._replace(signing_key=stolen.signing_key),
        record._replace(proof=stolen.proof),
    ):
        statement = DeviceAdded("device.added", 1, space.parents(), forged, [])
        refused(space, control_envelope(space.id, space.founder, write_control(statement)))


def test_a_device_is_added_once() -> None:
    space = SpaceBuilder.found()
    robin = space.join()
    refused(space, added(space, robin, keys=robin.keys))


def test_a_person_has_at_most_sixteen_devices() -> None:
    space = SpaceBuilder.found()
    robin = space.join()
    for _ in range(DEVICES_PER_PERSON_MAX - 1):
        space.add_device(space.founder)
    refused(space, added(space, space.founder))
    space.add_device(robin)  # each person for themselves


def test_two_concurrent_sixteenth_devices_both_stand() -> None:
    """What an entry builds on decides, and never what arrived first: so it is the same everywhere."""
    space = SpaceBuilder.found()
    laptop = space.add_device(space.founder)
    for _ in range(DEVICES_PER_PERSON_MAX - 3):
        space.add_device(space.founder)
    rivals = [added(space, space.founder), added(space, laptop)]
    one, two = (Membership.replay(space.id, [*space.controls, *order]) for order in (rivals, rivals[::-1]))
    assert one == two
    assert len(one.active) == DEVICES_PER_PERSON_MAX + 1


# Parents


def test_a_change_on_a_missing_parent_waits() -> None:
    space = SpaceBuilder.found()
    robin = space.join()
    orphan = added(space, robin, parents=[b"\x09" * 32])
    refused(space, orphan)
    with pytest.raises(MembershipRejected, match="part of a space's membership is missing"):
        Membership.replay(space.id, [*space.controls, orphan])


def test_a_change_by_an_unknown_device_waits() -> None:
    space = SpaceBuilder.found()
    genesis_only = Membership.found(space.id, space.controls[0])
    robin = space.join()
    envelope = added(space, robin)
    with pytest.raises(MembershipRejected):
        genesis_only.admit(envelope)
    assert fold(space.id, [envelope, *space.controls])[1] == [*space.controls, envelope]
    with pytest.raises(MembershipRejected, match="part of a space's membership is missing"):
        Membership.replay(space.id, [envelope, space.controls[0]])


def test_a_change_that_does_not_build_on_its_authors_admission_is_refused() -> None:
    space = SpaceBuilder.found()
    refused(space, added(space, space.join(), parents=[space.controls[0].hash]))


def test_a_repeated_change_changes_nothing() -> None:
    space = SpaceBuilder.found()
    space.join()
    before = set(space.membership.heads)
    space.membership.admit(space.controls[1])
    assert space.membership.heads == before
    assert len(space.membership.devices) == 2


def test_a_statement_of_a_newer_version_becomes_a_head_and_nothing_else() -> None:
    space = SpaceBuilder.found()
    robin = space.join()
    envelope = control_envelope(space.id, robin, pack(["relay.sung_to", 1, space.parents(), "why"]))
    assert isinstance(space.membership.admit(envelope), UnknownControl)
    assert space.membership.heads == {envelope.hash}
    assert len(space.membership.devices) == 2


def test_a_data_entry_changes_no_membership_whatever_its_body_says() -> None:
    space = SpaceBuilder.found()
    body = added(space, space.founder).body
    prefix = authenticated_prefix(
        klass=EnvelopeClass.DATA,
        log_id=space.founder.log_id,
        seq=2,
        prev_hash=space.founder.head.hash,
        epoch_id=bytes(16),
        nonce=bytes(24),
    )
    refused(space, write_envelope(prefix, body, space=space.id, signing_seed=space.founder.keys.signing_seed))


def test_a_body_that_says_nothing_is_refused() -> None:
    space = SpaceBuilder.found()
    refused(space, control_envelope(space.id, space.founder, b"\xc1"))


# Replay


def test_replay_needs_the_beginning() -> None:
    space = SpaceBuilder.found()
    space.join()
    strange = control_envelope(space.id, space.members[1], b"\xc1")
    for controls in ([], space.controls[1:], [strange]):
        with pytest.raises(MembershipRejected, match="beginning of a space is missing"):
            Membership.replay(space.id, controls)


def test_replay_needs_every_part() -> None:
    space = SpaceBuilder.found()
    space.add_device(space.join())
    with pytest.raises(MembershipRejected, match="part of a space's membership is missing"):
        Membership.replay(space.id, [space.controls[0], space.controls[2]])


def statements(space: SpaceBuilder, by: Member, count: int) -> list[Envelope]:
    """Control entries of a newer version by `by`, each naming the one before, neither admitted nor kept."""
    made: list[Envelope] = []
    for _ in range(count):
        parents = [made[-1].hash] if made else space.parents()
        made.append(control_envelope(space.id, by, pack(["future.thing", 1, parents])))
        by.head = head_of(made[-1])
    return made


def test_a_log_holds_so_many_changes_and_no_more() -> None:
    """Nobody can make everybody else fold without end; the same entries are refused everywhere."""
    space = SpaceBuilder.found()
    robin = space.join()
    *allowed, one_more = statements(space, robin, CONTROLS_PER_LOG_MAX + 1)
    for envelope in allowed:
        space.membership.admit(envelope)
    refused(space, one_more)
    space.membership.admit(allowed[-1])  # what is known stays known
    controls = [*space.controls, *allowed]
    assert Membership.replay(space.id, controls) == space.membership
    with pytest.raises(MembershipRejected, match="too often"):
        Membership.replay(space.id, [*controls, one_more])
    space.add_device(space.founder)  # each log for itself


def test_replay_parses_and_verifies_each_change_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the chain of parents is, and from whichever end it is given."""
    space = SpaceBuilder.found()
    controls = [*space.controls, *statements(space, space.founder, 300)]
    calls: Counter[str] = Counter()

    def counted(name: str) -> None:
        original = getattr(membership_module, name)

        def call(*args: object, **kwargs: object) -> object:
            calls[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(membership_module, name, call)

    counted("read_control")
    counted("verify_signature")
    assert len(Membership.replay(space.id, controls[::-1]).seen) == 301
    assert calls["verify_signature"] == 301
    assert calls["read_control"] <= 301 + 1  # the first one once more, to find it


def test_each_change_is_folded_after_what_comes_before_it_in_its_log() -> None:
    """Even where it doesn't name it: what is sent in the order of folding must follow on in each log."""
    space = SpaceBuilder.found()
    robin = space.join()
    tablet = space.add_device(space.founder)
    (first,) = statements(space, tablet, 1)
    space.membership.admit(first)
    (second,) = statements(space, robin, 1)
    third = control_envelope(space.id, robin, pack(["future.thing", 1, []]))
    controls = [*space.controls, first, second, third]
    for given_so in (controls, controls[::-1]):
        _, order = fold(space.id, given_so)
        assert [e.seq for e in order if e.log_id == robin.log_id] == [1, 2]
        assert order.index(second) > order.index(first)


def test_a_copy_of_the_beginning_in_another_log_is_no_beginning() -> None:
    space = SpaceBuilder.found()
    robin = space.join()
    copy = control_envelope(space.id, robin, space.controls[0].body)
    refused(space, copy)
    for controls in ([copy, *space.controls], [*space.controls, copy]):
        with pytest.raises(MembershipRejected, match="can't begin twice"):
            Membership.replay(space.id, controls)
    assert Membership.replay(space.id, [*space.controls, *space.controls]) == space.membership


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=14), st.randoms())
def test_the_order_of_arrival_does_not_matter(steps: list[tuple[int, int, bool]], chance: random.Random) -> None:
    """Devices with partial views add devices at the same time; any order of the result gives the same membership.

    A step is (who, whom, add): `who` adds a device on what it has seen, or first takes over all that `whom` has seen.
    """
    space = SpaceBuilder.found()
    space.join()
    views = {member.log_id: Membership.replay(space.id, space.controls) for member in space.members}
    controls = space.controls
    for who, whom, add in steps:
        member = space.members[who % len(space.members)]
        view = views[member.log_id]
        if not add:
            theirs = views[space.members[whom % len(space.members)].log_id]
            for envelope in controls:
                if envelope.hash in theirs.seen:
                    view.admit(envelope)
            continue
        keys = new_device_keys(space.randomness)
        envelope = added(space, member, parents=sorted(view.heads), keys=keys)
        view.admit(envelope)
        controls.append(envelope)
        member.head = member.head._replace(seq=envelope.seq, hash=envelope.hash)
        newcomer = space._enter(keys, slot=member.slot)
        views[newcomer.log_id] = Membership.replay(space.id, [c for c in controls if c.hash in view.seen])
    expected = Membership.replay(space.id, controls)
    shuffled = chance.sample(controls, len(controls))
    assert Membership.replay(space.id, shuffled) == expected
    assert expected.seen == {envelope.hash for envelope in controls}
    assert len(expected.devices) == len(space.members)
