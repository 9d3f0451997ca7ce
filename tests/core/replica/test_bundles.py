"""Bundle files: what one device writes another takes in, and what is wrong with a file is noticed."""

from __future__ import annotations

import copy
import io

import pytest
from replicas import sync_all

from bide.errors import BideError, ForkDetected, InputError, NewerFormat, VerificationFailed
from bide.ids import SpaceId
from bide.replica import Replica
from bide.replica.single_writer.outgoing import note_loss
from bide.replica.sync.bundles import HOST, MAGIC, Taken, read_bundle, write_bundle
from bide.replica.sync.syncing import SpaceSync
from bide.storage.base import Storage
from bide.testing import SeededRandomness
from bide.testing_replicas import MemoryRelay, add_device, new_replica, pair_space, pair_up, sync

from .test_devices import texts


@pytest.fixture
def couple() -> tuple[Replica, Replica]:
    sam, robin = new_replica("Sam"), new_replica("Robin")
    pair_up(sam, robin)
    return sam, robin


def written(replica: Replica) -> bytes:
    return b"".join(write_bundle(replica.storage, replica.spaces(), randomness=SeededRandomness("bundle")))


def take(replica: Replica, data: bytes) -> list[Taken | None]:
    here = {space.space_id for space in replica.spaces()}

    def session_for(space: SpaceId, beside: Storage) -> SpaceSync | None:
        return replica.sync_session(space, host=HOST, storage=beside) if space in here else None

    return list(read_bundle(io.BytesIO(data).read, replica.storage, session_for))


def carried(source: Replica, target: Replica) -> None:
    for taken in take(target, written(source)):
        assert taken is None or taken.error is None, taken


def test_two_who_never_see_a_relay_come_together_by_files(couple: tuple[Replica, Replica]) -> None:
    sam, robin = couple
    for number in range(4):
        sam.write("appreciation", {"noticed": f"Sam {number}"})
        robin.write("appreciation", {"noticed": f"Robin {number}"})
        carried(sam, robin)
        carried(robin, sam)
    assert len(texts(sam)) == 8
    space = pair_space(sam).space_id
    digests = [next(each["digest"] for each in one.digest() if each["space"] == space.hex()) for one in couple]
    assert digests[0] == digests[1]


def test_a_bundle_says_nothing_about_the_relay(couple: tuple[Replica, Replica]) -> None:
    """Nothing counts as being on the relay because a file had it, and the relay still gets everything."""
    sam, robin = couple
    relay = MemoryRelay()
    sam.write("appreciation", {"noticed": "By file."})
    carried(sam, robin)
    assert robin.storage.relay_heads(pair_space(robin).space_id) == {}
    sync_all(relay, robin)  # who has it by file brings it to the relay
    kim = copy.deepcopy(sam.storage)
    assert Replica(kim).timeline()[0]["delivery"] == "here"
    robin.write("appreciation", {"noticed": "By relay."})
    sync_all(relay, robin, sam)
    assert texts(sam) == texts(robin)
    assert sync(sam, relay).finished


def test_own_devices_exchange_private_entries_and_others_get_none(couple: tuple[Replica, Replica]) -> None:
    sam, robin = couple
    relay = MemoryRelay()
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone)
    sam.write("checkin", {"worry": "Only mine."}, private=True)
    bundle = written(sam)
    assert b"Only mine." not in bundle
    assert None in take(robin, bundle)  # an own space of somebody else is not for here
    assert "Only mine." not in str(texts(robin))
    carried(sam, phone)
    assert "Only mine." in str(texts(phone))


def test_a_file_that_was_cut_is_noticed_and_what_came_before_is_kept(couple: tuple[Replica, Replica]) -> None:
    sam, robin = couple
    sam.write("appreciation", {"noticed": "Whole."})
    bundle = written(sam)
    noticed = 0
    for cut in range(len(MAGIC) + 1, len(bundle), 101):
        with pytest.raises(VerificationFailed):
            take(robin, bundle[:cut])
        noticed += 1
    assert noticed > 10
    with pytest.raises(VerificationFailed, match="ends too early"):
        take(robin, bundle[:-1])
    assert "Whole." in str(texts(robin))
    carried(sam, robin)


def test_every_altered_byte_is_noticed(couple: tuple[Replica, Replica]) -> None:
    sam, robin = couple
    sam.write("appreciation", {"noticed": "Whole."})
    bundle = written(sam)
    for at in range(0, len(bundle), 37):
        broken = bytearray(bundle)
        broken[at] ^= 0x41
        target = Replica(copy.deepcopy(robin.storage))
        try:
            taken = take(target, bytes(broken))
        except BideError:
            continue
        assert any(each is not None and each.error is not None for each in taken), at


def test_what_is_no_bundle_is_told_apart() -> None:
    sam = new_replica("Sam")
    for data in (b"", b"bide", b"SQLite format 3\0" * 10):
        with pytest.raises(InputError, match="not a bundle"):
            take(sam, data)
    with pytest.raises(NewerFormat):
        take(sam, MAGIC + b"\x02")
    with pytest.raises(VerificationFailed, match="damaged"):
        take(sam, MAGIC + b"\x01" + b"\xff" * 64)


def test_copies_that_meet_by_file_and_by_relay_lose_nothing() -> None:
    """What the relay has counts also where a file shows another past: in every order, all comes together."""
    for by_file_first in (True, False):
        sam, robin = new_replica("Sam"), new_replica("Robin")
        relay = MemoryRelay()
        pair_up(sam, robin)
        sync_all(relay, sam, robin)
        twin = Replica(copy.deepcopy(robin.storage), clock=robin.clock, randomness=SeededRandomness("twin"))
        robin.write("appreciation", {"noticed": "One past."})
        twin.write("appreciation", {"noticed": "Another."})
        if by_file_first:
            carried(robin, sam)
            take(twin, written(sam))
        else:
            sync_all(relay, twin)
            take(twin, written(robin))
        sync_all(relay, robin, twin, sam, rounds=4)
        for replica in (sam, robin, twin):
            assert len(texts(replica)) == 2, by_file_first


def test_another_past_of_a_log_is_noticed_as_at_contact_with_a_relay(couple: tuple[Replica, Replica]) -> None:
    sam, robin = couple
    twin = Replica(copy.deepcopy(robin.storage), clock=robin.clock, randomness=SeededRandomness("twin"))
    robin.write("appreciation", {"noticed": "One past."})
    twin.write("appreciation", {"noticed": "Another."})
    carried(robin, sam)
    found = [each for each in take(twin, written(sam)) if each is not None]
    at_relay = MemoryRelay()
    sync_all(at_relay, robin)
    try:
        sync(twin, at_relay)
    except ForkDetected:
        assert [type(each.error) for each in found] == [ForkDetected]
    else:  # the device went on in a new log
        assert [each.error for each in found] == [None]


def test_a_file_announces_no_more_than_it_holds(couple: tuple[Replica, Replica]) -> None:
    """What waits here until a loss at the relay is settled is in no file, and who takes one in misses nothing."""
    sam, robin = couple
    relay = MemoryRelay()
    sam.write("appreciation", {"noticed": "On the relay."})
    sync_all(relay, sam, robin)
    with sam.storage.transaction():
        assert note_loss(sam.storage, pair_space(sam))
    sam.write("appreciation", {"noticed": "Waits."})
    carried(sam, robin)
    assert len(texts(robin)) == 1


def test_a_space_that_rests_keeps_no_other_from_coming(couple: tuple[Replica, Replica]) -> None:
    """What was paused takes nothing from a file, which says so, and the rest of it is taken in."""
    sam, _ = couple
    pair_up(sam, new_replica("Kim"))
    phone = Replica(copy.deepcopy(sam.storage))
    sam.write("appreciation", {"noticed": "For Kim."}, with_="Kim")
    phone.pause("Robin")
    errors = [taken.error.code if taken is not None and taken.error is not None else "" for taken in take(phone, written(sam))]
    assert sorted(errors) == ["", "", "not_allowed"]
    assert len(texts(phone)) == 1
