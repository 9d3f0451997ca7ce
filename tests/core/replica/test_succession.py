"""A home that goes on in a new log: what the others see of it, and what it keeps."""

from __future__ import annotations

import pytest

from bide.errors import MembershipRejected
from bide.log.membership import DEVICES_PER_PERSON_MAX
from bide.replica import Replica
from bide.replica.derivation.rebuilding import load_membership
from bide.replica.single_writer.succession import succeed
from bide.storage.base import SpaceRecord
from bide.testing_replicas import exchange, new_replica, pair_space, pair_up


@pytest.fixture
def couple() -> tuple[Replica, Replica]:
    sam, robin = new_replica("Sam"), new_replica("Robin")
    pair_up(sam, robin)
    sam.write("appreciation", {"noticed": "You drove my mother."})
    exchange(sam, robin)
    return sam, robin


def go_on(replica: Replica, *, keep_former: bool = True) -> SpaceRecord:
    with replica.storage.transaction():
        return succeed(
            replica.storage,
            replica.writer.appender,
            pair_space(replica),
            randomness=replica.randomness,
            keep_former=keep_former,
        )


def test_what_comes_after_is_in_the_new_log(couple: tuple[Replica, Replica]) -> None:
    """The other person reads on, sees one more device of the same person, and nothing was minted anew for it."""
    sam, robin = couple
    before = pair_space(sam)
    after = go_on(sam)
    assert after == pair_space(sam)
    assert after[:3] == before[:3]
    assert (after.epoch_id, after.relay_url, after.pending) == (before.epoch_id, before.relay_url, False)
    assert {after.log_id, after.signing_seed, after.sealing_secret}.isdisjoint(before)
    heads = sam.storage.heads(before.space_id)
    assert after.log_id not in heads
    sam.write("appreciation", {"noticed": "You waited up."})
    robin.write("appreciation", {"noticed": "You sang."})
    exchange(sam, robin)
    assert sam.storage.heads(before.space_id)[before.log_id] == heads[before.log_id]
    assert sam.storage.heads(before.space_id)[after.log_id].seq == 1
    assert len(robin.timeline()) == len(sam.timeline()) == 3
    membership = load_membership(robin.storage, before.space_id)
    assert membership.devices[after.log_id].slot == before.slot
    assert [membership.is_active(log) for log in (before.log_id, after.log_id)] == [True, True]
    assert robin.digest()[1]["digest"] == sam.digest()[1]["digest"]


@pytest.mark.parametrize("kept", [True, False])
def test_the_keys_of_the_former_device_are_kept_if_asked_for(couple: tuple[Replica, Replica], *, kept: bool) -> None:
    """A relay that lost the statement can then still be told."""
    sam, _ = couple
    before = pair_space(sam)
    go_on(sam, keep_former=kept)
    formers = [(before.space_id, before.log_id, before.signing_seed, before.sealing_secret)] if kept else []
    assert [tuple(former) for former in sam.storage.former_devices(before.space_id)] == formers


def test_where_no_device_can_be_added_nothing_changes(couple: tuple[Replica, Replica]) -> None:
    """The sixteenth is the last one."""
    sam, _ = couple
    for _ in range(DEVICES_PER_PERSON_MAX - 1):
        go_on(sam)
    before = pair_space(sam), sam.storage.heads(pair_space(sam).space_id)
    with pytest.raises(MembershipRejected):
        go_on(sam)
    assert (pair_space(sam), sam.storage.heads(pair_space(sam).space_id)) == before
    assert sam.write("appreciation", {"noticed": "Still here."})
