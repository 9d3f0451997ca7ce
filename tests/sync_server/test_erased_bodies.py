"""What the relay does with envelopes without a body, and with statements that bodies are erased or a space has ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from bide.log.control import BodiesErased, SpaceEnded, Span, write_control
from bide.log.envelope import HEADER_BYTES, Envelope
from bide.testing import Member, SpaceBuilder
from bide_relay.settings import Settings
from bide_relay.storage.base import Batch, Storage, Stretch
from bide_relay.storage.memory import MemoryStorage
from bide_relay.storage.sqlite import SqliteStorage

from .test_service_rules import Desk, code


def erase(space: SpaceBuilder, by: Member, log: Member, first: int, last: int) -> Envelope:
    statement = BodiesErased("bodies.erased", 1, space.parents(), [Span(log.log_id, first, last)])
    return space.write_control(by, statement)


@pytest.fixture
def desk() -> Desk:
    """Sam and Robin, and two entries of Robin's."""
    space = SpaceBuilder.found()
    robin = space.join()
    for _ in range(2):
        space.write(robin)
    return Desk(space)


def stored(desk: Desk, member: Member) -> list[int]:
    """The length of each envelope of a log."""
    return [len(envelope.data) for envelope in desk.storage._spaces[desk.space.id].get(member.log_id, [])]


def test_bodies_go_with_the_statement_and_no_longer_count(desk: Desk) -> None:
    space, robin = desk.space, desk.space.members[1]
    desk.store(space.envelopes)
    before = desk.state.bytes
    statement = erase(space, robin, robin, 1, 2)
    assert code(desk.store([statement])) is None
    assert stored(desk, robin)[:2] == [HEADER_BYTES, HEADER_BYTES]
    assert desk.state.bytes == before + len(statement.data) - sum(len(e.body) for e in space.log(robin)[:2])
    # And whatever comes after it comes without a body.
    assert code(desk.store(space.log(robin)[:2])) is None
    assert stored(desk, robin)[:2] == [HEADER_BYTES, HEADER_BYTES]


def test_a_body_that_comes_after_the_statement_is_not_stored() -> None:
    space = SpaceBuilder.found()
    space.join()
    phone = space.add_device(space.founder)
    late = space.write(phone)
    desk = Desk(space)
    statement = erase(space, space.founder, phone, 1, 1)
    assert code(desk.store([e for e in space.envelopes if e is not late])) is None
    assert statement.hash in desk.state.membership.seen
    admission = desk.store([late])
    assert [envelope.data for envelope in admission.envelopes] == [late.header]
    assert stored(desk, phone) == [HEADER_BYTES]


def test_the_other_persons_bodies_stay(desk: Desk) -> None:
    space, (sam, robin) = desk.space, desk.space.members
    desk.store(space.envelopes)
    body = write_control(BodiesErased("bodies.erased", 1, space.parents(), [Span(robin.log_id, 1, 2)]))
    from bide.testing import control_envelope

    assert code(desk.admit([control_envelope(space.id, sam, body)])) == "membership_rejected"
    assert HEADER_BYTES not in stored(desk, robin)


def test_what_somebody_kept_back_is_filled_in_by_who_has_it(desk: Desk) -> None:
    space, robin = desk.space, desk.space.members[1]
    stripped = [e.header if e.log_id == robin.log_id else e.data for e in space.envelopes]
    assert code(desk.store(stripped)) is None
    assert stored(desk, robin) == [HEADER_BYTES, HEADER_BYTES]
    whole = space.log(robin)
    other = whole[0].header + whole[1].body
    assert code(desk.admit([other])) is not None  # no other body than the one that was signed
    assert code(desk.store(whole)) is None
    assert stored(desk, robin) == [len(envelope.data) for envelope in whole]
    assert code(desk.store(stripped)) is None  # and it can't be taken away again
    assert stored(desk, robin) == [len(envelope.data) for envelope in whole]


def test_filling_in_counts_against_the_quota(desk: Desk) -> None:
    space, robin = desk.space, desk.space.members[1]
    desk.store([e.header if e.log_id == robin.log_id else e.data for e in space.envelopes])
    desk.settings = Settings(registration="open", space_bytes_max=desk.state.bytes + 10)
    assert code(desk.admit(space.log(robin))) == "quota"


def test_an_end_is_taken_and_passed_on_like_any_statement(desk: Desk) -> None:
    space, robin = desk.space, desk.space.members[1]
    desk.store(space.envelopes)
    ended = space.write_control(robin, SpaceEnded("space.ended", 1, space.parents(), "2026-11-23"))
    admission = desk.store([ended])
    assert code(admission) is None
    assert admission.membership_changed
    # What the others wrote without knowing of it is taken: nothing of it may be lost.
    assert code(desk.store([space.write(space.founder)])) is None


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_storages_drop_and_fill_in_bodies_alike(kind: str, tmp_path: Path) -> None:
    space = SpaceBuilder.found()
    robin = space.join()
    whole = [space.write(robin) for _ in range(3)]
    storage: Storage = MemoryStorage() if kind == "memory" else SqliteStorage(tmp_path)
    storage.found(space.id, space.envelopes[0], invite=None)
    storage.append([Batch(space.id, space.envelopes[1:])])
    before = storage.usage(space.id).bytes
    (result,) = storage.append([Batch(space.id, [], erased=[Stretch(robin.log_id, 2, 9), Stretch(space.founder.log_id, 1, 9)])])
    gone = sum(len(envelope.body) for envelope in whole[1:])
    assert (result.bodies, storage.usage(space.id).bytes) == (-gone, before - gone)
    assert list(storage.bare(space.id)) == [(robin.log_id, 2), (robin.log_id, 3)]
    assert [storage.is_bare(space.id, robin.log_id, seq) for seq in (1, 2, 3, 4)] == [False, True, True, False]
    assert storage.header(space.id, robin.log_id, 2) == whole[1].header
    (result,) = storage.append([Batch(space.id, [], fills=[whole[0], whole[1]])])
    assert (result.bodies, list(storage.bare(space.id))) == (len(whole[1].body), [(robin.log_id, 3)])
    assert len(storage.controls(space.id)) == 2
    storage.close()
