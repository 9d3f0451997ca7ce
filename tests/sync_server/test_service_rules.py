"""The rules of admission, without thread or socket."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import pytest

from bide.errors import EnvelopeRejected, ForkDetected, MembershipRejected, StorageError
from bide.ids import LogId, SystemRandomness
from bide.log.chain import head_of
from bide.log.envelope import HEADER_BYTES, Envelope, body_hash
from bide.log.membership import CONTROLS_PER_LOG_MAX
from bide.log.packing import pack
from bide.testing import SpaceBuilder, control_envelope
from bide_relay.connection import error_frame
from bide_relay.errors import InviteRequired, InviteSpent
from bide_relay.rooms import Cursor, Room
from bide_relay.service import Admission, SpaceState, admit, batch_of, found_space, invite_digest, load_state, replay
from bide_relay.settings import Settings
from bide_relay.storage.base import Span
from bide_relay.storage.memory import MemoryStorage

OPEN = Settings(registration="open")


class Desk:
    """A space on a relay's storage: admit, then store what was admitted."""

    def __init__(self, space: SpaceBuilder, settings: Settings = OPEN) -> None:
        self.space = space
        self.settings = settings
        self.storage = MemoryStorage()
        found_space(self.storage, OPEN, space=space.id, genesis=space.envelopes[0].data, invite="")
        state = load_state(self.storage, space.id)
        assert state is not None
        self.state: SpaceState = state

    def admit(self, envelopes: Sequence[Envelope | bytes]) -> Admission:
        """Judge only."""
        batch = [e.data if isinstance(e, Envelope) else e for e in envelopes]
        return admit(
            self.state,
            batch,
            settings=self.settings,
            header=lambda log, seq: self.storage.header(self.space.id, log, seq),
            is_bare=lambda log, seq: self.storage.is_bare(self.space.id, log, seq),
        )

    def store(self, envelopes: Sequence[Envelope | bytes]) -> Admission:
        """Judge, and store what was admitted. The storage must agree."""
        admission = self.admit(envelopes)
        (result,) = self.storage.append([batch_of(self.state, admission)])
        assert result.conflict is None
        assert result.stored == len(admission.envelopes)
        self.state.pending.clear()
        self.state.bytes += result.bodies
        self.agrees()
        return admission

    def agrees(self) -> None:
        """The state is exactly what would be loaded from storage."""
        loaded = load_state(self.storage, self.space.id)
        assert loaded is not None
        assert self.state.heads == loaded.heads
        assert (self.state.entries, self.state.bytes) == (loaded.entries, loaded.bytes)
        assert self.state.roster().members == loaded.roster().members
        assert set(self.state.milestones) == set(loaded.milestones)


@pytest.fixture
def desk(space: SpaceBuilder) -> Desk:
    return Desk(space)


def code(admission: Admission) -> str | None:
    return None if admission.refusal is None else admission.refusal.code


def altered(envelope: Envelope, at: int) -> bytes:
    data = bytearray(envelope.data)
    data[at] ^= 1
    return bytes(data)


def test_a_whole_space_in_one_batch(desk: Desk) -> None:
    """Admissions count for what follows them, and the acknowledgement names the end of each log."""
    space = desk.space
    sam, robin = space.members
    two = space.add_device(robin)
    for member in (sam, robin, two):
        space.write(member)
    admission = desk.store(space.envelopes)
    assert admission.refusal is None
    assert [e.data for e in admission.envelopes] == [e.data for e in space.envelopes[1:]]
    assert set(admission.stored.values()) == set(space.heads())
    assert admission.membership_changed
    assert desk.state.roster().order == (sam.log_id, robin.log_id, two.log_id)


def test_someone_who_is_no_member_is_refused(desk: Desk) -> None:
    """Before their admission came, and for ever if it never does; what came before stays."""
    space = desk.space
    robin = space.members[1]
    early = space.write(robin)
    assert code(desk.store([early])) == "not_a_member"
    admission = desk.store([space.envelopes[1], early])
    assert admission.refusal is None
    stranger = SpaceBuilder.found("pair", randomness=SystemRandomness())
    ours = space.write(space.founder)
    admission = desk.store([ours, stranger.write(stranger.founder)])
    assert code(admission) == "not_a_member"
    assert list(admission.envelopes) == [ours]


def test_a_gap_is_refused(desk: Desk) -> None:
    """A number too high; what came before it in the batch is admitted."""
    space = desk.space
    first, _, third = (space.write(space.founder) for _ in range(3))
    admission = desk.store([space.envelopes[1], first, third])
    assert code(admission) == "gap"
    assert admission.envelopes[-1] == first


def test_a_fork_is_refused_with_evidence(desk: Desk) -> None:
    """Stored long ago, admitted a moment ago, or in the same batch: the first one stands."""
    space = desk.space
    sam = space.founder
    other = space.seal(sam, b"other")
    mine = space.write(sam)
    for admission in (desk.admit([space.envelopes[1], mine, other]), desk.admit([other]), desk.admit([mine, other])):
        assert isinstance(admission.refusal, ForkDetected)
        assert admission.refusal.evidence == mine.header
        assert len(mine.header) == HEADER_BYTES
        assert other not in admission.envelopes


def test_what_nobody_signed_is_no_fork(desk: Desk) -> None:
    """A contradiction proves something only with a signature; without one it is just wrong."""
    space = desk.space
    other = space.seal(space.founder, b"other")
    mine = space.write(space.founder)
    desk.store([space.envelopes[1], mine])
    admission = desk.store([altered(other, 150)])
    assert type(admission.refusal) is EnvelopeRejected


def test_what_was_altered_on_its_way_accuses_nobody(desk: Desk) -> None:
    """An entry that nobody signed as it is, and after it in the batch an honest one that doesn't fit it."""
    space = desk.space
    first, second = space.write(space.founder), space.write(space.founder)
    admission = desk.store([space.envelopes[1], altered(first, 80), second])
    assert type(admission.refusal) is EnvelopeRejected
    assert code(desk.store([first, second])) is None


@pytest.mark.parametrize("at", [0, 2, 3, 4, 5, 30, 64, 80, 104, 110, 145, 210], ids=lambda at: f"byte {at}")
def test_an_altered_envelope_is_refused(desk: Desk, at: int) -> None:
    """Whichever byte: header, hash of the body, signature, body."""
    space = desk.space
    envelope = space.write(space.founder)
    admission = desk.store([space.envelopes[1], altered(envelope, at)])
    assert code(admission) in {"envelope_rejected", "gap", "fork"}
    assert list(admission.envelopes) == [space.envelopes[1]]
    assert desk.store([envelope]).refusal is None


def test_a_body_is_bound_to_its_header(desk: Desk) -> None:
    """Another body under the same header, with a fitting body hash, breaks the signature."""
    space = desk.space
    envelope = space.write(space.founder)
    body = bytes(len(envelope.body))
    forged = envelope.data[:108] + body_hash(body) + envelope.data[140:204] + body
    assert code(desk.store([space.envelopes[1], forged])) == "envelope_rejected"


def test_a_forged_end_takes_the_unvouched_run_with_it(desk: Desk) -> None:
    """The last signature of a log vouches for the run: without it none of the run is admitted, but the other log is."""
    space = desk.space
    sam, robin = space.members
    run = [space.write(sam) for _ in range(3)]
    theirs = space.write(robin)
    admission = desk.store([space.envelopes[1], *run[:2], theirs, altered(run[2], 150)])
    assert code(admission) == "envelope_rejected"
    assert list(admission.envelopes) == [space.envelopes[1], theirs]
    assert admission.stored[sam.log_id].seq == 2
    assert desk.store(run).refusal is None


def test_a_forged_middle_is_vouched_for_by_the_end(desk: Desk) -> None:
    """Only the hash counts beneath a verified signature: the altered copy has the same hash, so it is the same entry."""
    space = desk.space
    first, second = space.write(space.founder), space.write(space.founder)
    admission = desk.store([space.envelopes[1], altered(first, 150), second])
    assert admission.refusal is None


def test_a_control_envelope_is_verified_even_beneath_a_good_end(desk: Desk) -> None:
    """A change of membership needs its own signature, whoever signs after it."""
    space = desk.space
    joined = space.envelopes[1]
    after = space.write(space.founder)
    admission = desk.store([altered(joined, 150), after])
    assert code(admission) == "envelope_rejected"
    assert admission.envelopes == []
    assert len(desk.state.membership.devices) == 1


def test_a_control_envelope_that_breaks_the_rules_is_refused(desk: Desk) -> None:
    """A third person, or a statement that builds on one that is missing."""
    space = desk.space
    desk.store([space.envelopes[1]])
    robin = space.members[1]
    unseen = space.add_device(robin)
    assert unseen
    builds_on_it = space.add_device(space.founder)
    assert builds_on_it
    admission = desk.store([space.envelopes[-1]])
    assert isinstance(admission.refusal, MembershipRejected)
    assert desk.store(space.envelopes[-2:]).refusal is None


def test_the_quota_counts_entries_and_bytes(space: SpaceBuilder) -> None:
    """What fits is admitted; the rest is refused for now, not for ever, and known entries cost nothing."""
    desk = Desk(space, Settings(registration="open", space_entries_max=4))
    envelopes = [space.write(space.founder) for _ in range(3)]
    admission = desk.store([space.envelopes[1], *envelopes])
    assert code(admission) == "quota"
    assert admission.stored[space.founder.log_id].seq == 4
    assert code(desk.store(space.envelopes[:4])) is None
    assert code(desk.store([envelopes[2]])) == "quota"

    size = sum(len(e.data) for e in space.envelopes[:3])
    desk = Desk(space, Settings(registration="open", space_bytes_max=size))
    assert code(desk.store(space.envelopes[1:3])) is None
    assert code(desk.store(space.envelopes[3:])) == "quota"


def test_registration_by_invite(space: SpaceBuilder) -> None:
    """No token, a wrong one, a spent one, a good one; coming again costs nothing."""
    storage, settings = MemoryStorage(), Settings()
    storage.add_invite(invite_digest("good"), spaces=1)

    def register(builder: SpaceBuilder, invite: str) -> None:
        found_space(storage, settings, space=builder.id, genesis=builder.envelopes[0].data, invite=invite)

    with pytest.raises(InviteRequired):
        register(space, "")
    with pytest.raises(InviteSpent):
        register(space, "wrong")
    register(space, "good")
    register(space, "good")
    other = SpaceBuilder.found("own", randomness=SystemRandomness())
    with pytest.raises(InviteSpent):
        register(other, "good")
    assert list(storage.spaces()) == [space.id]


def test_a_space_has_one_beginning(space: SpaceBuilder) -> None:
    """Another space's, one with a broken signature, one that is no beginning, one that the founder signed twice."""
    storage = MemoryStorage()
    genesis = space.envelopes[0]
    for bad in (SpaceBuilder.found("pair", randomness=SystemRandomness()).envelopes[0].data, space.envelopes[1].data):
        with pytest.raises(MembershipRejected):
            found_space(storage, OPEN, space=space.id, genesis=bad, invite="")
    with pytest.raises(EnvelopeRejected):
        found_space(storage, OPEN, space=space.id, genesis=altered(genesis, 150), invite="")
    assert list(storage.spaces()) == []
    found_space(storage, OPEN, space=space.id, genesis=genesis.data, invite="")
    found_space(storage, OPEN, space=space.id, genesis=genesis.data, invite="")
    assert storage.usage(space.id).entries == 1


def test_replay_does_not_depend_on_the_order(space: SpaceBuilder) -> None:
    """Control envelopes come from storage in any order; the milestones put each after its parents."""
    sam, robin = space.members
    space.add_device(robin)
    space.add_device(sam)
    expected, milestones = replay(space.controls, space.id)
    assert [(m.log_id, m.seq) for m in milestones] == [(e.log_id, e.seq) for e in space.controls]
    for controls in (space.controls[::-1], space.controls[2:] + space.controls[:2]):
        membership, _ = replay(controls, space.id)
        assert membership.devices == expected.devices
    with pytest.raises(MembershipRejected):
        replay(space.controls[1:], space.id)
    with pytest.raises(MembershipRejected):
        replay([space.controls[0], *space.controls[2:]], space.id)


def test_a_log_that_changes_the_membership_without_end_is_refused(desk: Desk) -> None:
    """Beyond the limit; what is stored can be loaded as fast as ever, and each change is sent after the one before."""
    space = desk.space
    desk.store([space.envelopes[1]])
    robin = space.members[1]
    changes: list[Envelope] = []
    for _ in range(CONTROLS_PER_LOG_MAX + 1):
        parents = [changes[-1].hash] if changes else space.parents()
        changes.append(control_envelope(space.id, robin, pack(["future.thing", 1, parents])))
        robin.head = head_of(changes[-1])
    for start in range(0, len(changes), 400):
        admission = desk.admit(changes[start : start + 400])
        desk.storage.append([batch_of(desk.state, admission)])
        desk.state.pending.clear()
    assert code(admission) == "membership_rejected"
    assert len(admission.envelopes) == CONTROLS_PER_LOG_MAX - 800
    desk.agrees()
    loaded = load_state(desk.storage, space.id)
    assert loaded is not None
    assert loaded.milestones == desk.state.milestones
    assert Room(loaded, OPEN).spans(Cursor({})) == [
        Span(space.founder.log_id, 0, 2),
        Span(robin.log_id, 0, CONTROLS_PER_LOG_MAX),
    ]


def test_storage_that_fails_is_not_the_clients_fault(desk: Desk) -> None:
    """The error goes up, instead of out as a refusal."""
    desk.store([desk.space.envelopes[1]])

    def header(log: LogId, seq: int) -> bytes | None:
        raise StorageError

    with pytest.raises(StorageError):
        admit(desk.state, [desk.space.envelopes[1].data], settings=OPEN, header=header, is_bare=lambda _log, _seq: False)


def test_refusals_name_nobody(desk: Desk) -> None:
    """What goes out in words holds no id, in any spelling: it may end up in somebody's log."""
    space = desk.space
    robin = space.members[1]
    desk.store([space.envelopes[1]])
    other, mine = space.seal(space.founder, b"other"), space.write(space.founder)
    stranger = SpaceBuilder.found("pair", randomness=SystemRandomness())
    begun_again = control_envelope(space.id, robin, space.controls[0].body)
    gap = (space.write(space.founder), space.write(space.founder))[1]
    ids = [space.id, robin.log_id, robin.device_id, space.founder.log_id, space.founder.device_id, stranger.id, mine.hash]
    seen = set()
    for batch in ([mine, other], [gap], [stranger.write(stranger.founder)], [begun_again], [altered(space.write(robin), 150)]):
        refusal = desk.admit(batch).refusal
        assert refusal is not None
        frame = error_frame(refusal)
        seen.add(frame.code)
        for name in ids:
            assert name.hex() not in frame.words.lower()
            assert repr(bytes(name))[2:-1] not in frame.words
            assert base64.b64encode(name).decode().rstrip("=") not in frame.words
    assert seen == {"fork", "gap", "not_a_member", "membership_rejected", "envelope_rejected"}
