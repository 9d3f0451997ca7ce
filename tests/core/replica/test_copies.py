"""A home that exists twice, or came back from a backup: nothing is lost, no log is written by two, and nobody is stuck."""

from __future__ import annotations

import copy
import io
from contextlib import suppress
from typing import Any

import pytest

from bide.errors import NotAllowed, RelayUnreachable
from bide.ids import SpaceId
from bide.log.membership import DEVICES_PER_PERSON_MAX
from bide.replica import Replica
from bide.replica.derivation.rebuilding import load_membership
from bide.replica.own_devices.devices import rename, revoke
from bide.replica.single_writer.succession import succeed
from bide.replica.spaces.personal import device_names, my_devices
from bide.replica.spaces.removal import is_removed
from bide.replica.spaces.waiting import short_key
from bide.replica.sync.bundles import HOST, read_bundle, write_bundle
from bide.replica.sync.incidents import LOST, incidents
from bide.replica.sync.syncing import SpaceSync
from bide.storage.base import Storage
from bide.testing import SeededRandomness
from bide.testing_replicas import (
    MemoryRelay,
    add_device,
    carry,
    copied,
    give,
    new_replica,
    pair_space,
    pair_up,
    sync,
    wipe,
)


def sync_home(replica: Replica, relay: MemoryRelay) -> list[str]:
    """Every space of a home, once; what its person is told meanwhile."""
    return [str(n) for space in replica.spaces() for n in sync(replica, relay, space=space.space_id).notices]


def sync_all(relay: MemoryRelay, *replicas: Replica, rounds: int = 3) -> None:
    for _ in range(rounds):
        for replica in replicas:
            sync_home(replica, relay)


def words(replica: Replica) -> list[str]:
    return sorted(str(entry["fields"]) for entry in replica.timeline())


def thank(replica: Replica, text: str) -> str:
    return replica.write("appreciation", {"noticed": text}).id


def shared(replica: Replica) -> set[str]:
    return {entry["fields"]["noticed"] for entry in replica.timeline() if "noticed" in entry["fields"]}


def digests(*replicas: Replica) -> set[Any]:
    return {replica.digest()[1]["digest"] for replica in replicas}


def devices(replica: Replica, kind: str = "pair") -> int:
    space = next(space for space in replica.spaces() if space.kind == kind)
    return len([each for each in device_names(replica.storage, space) if each.mine])


def assert_sound(*replicas: Replica) -> None:
    for replica in replicas:
        assert not [finding for finding in replica.doctor() if finding.level == "damage"], replica.doctor()
        before = replica.digest()
        replica.rebuild()
        assert replica.digest() == before
        for space in replica.spaces():
            assert not replica.storage.displaced(space.space_id, waiting=True)


@pytest.fixture
def relay() -> MemoryRelay:
    return MemoryRelay()


@pytest.fixture
def couple(relay: MemoryRelay) -> tuple[Replica, Replica]:
    sam, robin = new_replica("Sam"), new_replica("Robin")
    pair_up(sam, robin)
    thank(sam, "before")
    sam.write("checkin", {"worry": "mine"}, private=True)
    sync_all(relay, sam, robin)
    return sam, robin


@pytest.mark.parametrize("first", [0, 1])
def test_two_copies_that_both_write_end_as_two_devices(couple: tuple[Replica, Replica], relay: MemoryRelay, first: int) -> None:
    """In both orders, in the own space too: every word arrives everywhere, and there are two devices, not three."""
    sam, robin = couple
    twins = (sam, copied(sam, "twin"))
    for number, twin in enumerate(twins):
        thank(twin, f"one by {number}")
        thank(twin, f"two by {number}")
        twin.write("checkin", {"worry": f"own {number}"}, private=True)
    sync_home(twins[first], relay)
    sync_home(twins[1 - first], relay)
    assert pair_space(twins[0]).log_id != pair_space(twins[1]).log_id
    thank(twins[first], "meanwhile")
    sync_all(relay, twins[first], robin, twins[1 - first])
    assert shared(robin) == {"before", "meanwhile", *(f"{n} by {k}" for n in ("one", "two") for k in (0, 1))}
    assert len(digests(*twins, robin)) == 1
    assert words(twins[0]) == words(twins[1])
    assert [devices(twin, kind) for twin in twins for kind in ("own", "pair")] == [2, 2, 2, 2]
    assert_sound(*twins, robin)


def test_a_third_and_a_fourth_copy(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """Each ends as a device of its own."""
    sam, robin = couple
    homes = [sam, *(copied(sam, str(number)) for number in range(3))]
    for number, home in enumerate(homes):
        thank(home, f"by {number}")
    sync_all(relay, *homes, robin, rounds=4)
    assert shared(robin) == {"before", *(f"by {number}" for number in range(4))}
    assert len({pair_space(home).log_id for home in homes}) == 4
    assert len(digests(*homes, robin)) == 1
    assert devices(robin and sam) == 4
    assert_sound(*homes, robin)


def test_both_change_the_same_entry(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """Both edits count, as those of any two devices; the one from before stands beneath."""
    sam, robin = couple
    entry = thank(sam, "to be changed")
    sync_all(relay, sam, robin)
    twin = copied(sam, "twin")
    sam.edit(entry, {"noticed": "by Sam"})
    twin.edit(entry, {"noticed": "by the twin"})
    twin.edit(entry, {"noticed": "by the twin again"})
    sync_all(relay, sam, twin, robin)
    assert len(digests(sam, twin, robin)) == 1
    assert robin.show(entry)["fields"]["noticed"] in ("by Sam", "by the twin again")
    assert_sound(sam, twin, robin)


def test_a_home_that_parts_in_a_pair_parts_in_its_own_space(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """Whoever goes on as a device of its own does so for its person too, with a name and its places; the other one stays."""
    sam, robin = couple
    rename(sam, my_devices(sam.storage)[0], "laptop")
    sync_all(relay, sam, robin)
    twin = copied(sam, "twin")
    thank(sam, "one")
    thank(twin, "two")
    sync_all(relay, sam, twin, robin)
    for home in (sam, twin):
        assert [(device.name, device.this) for device in my_devices(home.storage)] == [
            ("laptop", home is sam),
            ("laptop (2)", home is twin),
        ]
        places = [device.places[pair_space(home).space_id] for device in my_devices(home.storage)]
        assert places == [pair_space(sam).log_id, pair_space(twin).log_id]
    named = [device.name for device in device_names(robin.storage, pair_space(robin)) if not device.mine]
    assert named == ["laptop", "laptop (2)"]
    revoke(twin, my_devices(twin.storage)[0])
    sync_all(relay, twin, robin)
    thank(twin, "three")
    sync_all(relay, twin, robin)
    assert shared(robin) == shared(twin) == {"before", "one", "two", "three"}
    with pytest.raises(NotAllowed, match="removed"):
        sync(sam, relay)


def test_another_copy_is_first_while_this_one_moves(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """What would bring in the new device has no place any more: it falls back and begins anew. No third device comes of it."""
    sam, robin = couple
    base, space = copied(sam, "twin"), pair_space(sam).space_id
    thank(sam, "one")
    thank(base, "two")
    sync(sam, relay)
    for frames in range(1, 50):
        twin = copied(base, f"breaks off after {frames}")
        sync(twin, relay, frames_max=frames)
        if twin.storage.former_devices(space):
            break
    abandoned = pair_space(twin).log_id
    assert abandoned not in relay.spaces[space].membership.devices
    thank(twin, "into the log that never was")
    thank(sam, "three")
    sync(sam, relay)
    sync_all(relay, twin, sam, robin)
    assert shared(robin) == {"before", "one", "two", "into the log that never was", "three"}
    assert pair_space(twin).log_id != abandoned
    assert devices(sam) == devices(twin) == 2
    assert len(digests(sam, twin, robin)) == 1
    assert_sound(sam, twin, robin)


def test_both_write_at_the_same_moment(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """Neither knew of the other when it began to send: the second is told to try again, and the next sync mends it."""
    sam, robin = couple
    twin, space = copied(sam, "twin"), pair_space(sam).space_id
    thank(sam, "one")
    thank(twin, "two")
    session, connection = twin.sync_session(space, host=relay.host), relay.connect()
    for _ in range(2):
        for message in connection.data_to_send():
            session.receive_data(message)
        outgoing = session.data_to_send()
        if any(b"BD" in message for message in outgoing):
            break
        for message in outgoing:
            connection.receive_data(message)
    sync(sam, relay)
    for message in outgoing:
        connection.receive_data(message)
    answers = connection.data_to_send()
    for message in answers[:-1]:
        session.receive_data(message)
    with pytest.raises(RelayUnreachable, match="Another copy"):
        session.receive_data(answers[-1])
    sync_all(relay, twin, sam, robin)
    assert shared(robin) == {"before", "one", "two"}
    assert_sound(sam, twin, robin)


def test_a_copy_that_was_removed_moves_nowhere(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """It is told that it was removed; what it wrote stays kept in it."""
    sam, robin = couple
    other = add_device(sam, "phone")
    sync_all(relay, sam, other, robin)
    twin = copied(sam, "twin")
    thank(sam, "one")
    sync_all(relay, sam, other)
    revoke(other, next(device for device in my_devices(other.storage) if device.name != "phone"))
    sync_all(relay, other, robin)
    thank(twin, "two")
    with pytest.raises(NotAllowed, match="removed"):
        sync(twin, relay)
    assert not twin.storage.former_devices(pair_space(twin).space_id)
    assert "two" in shared(twin)


@pytest.mark.parametrize("heard", [False, True])
def test_a_removed_copy_that_had_gone_on_in_another_log_comes_to_rest(
    couple: tuple[Replica, Replica], relay: MemoryRelay, *, heard: bool
) -> None:
    """The relay can't take what it goes on by, and is not said to have lost something again and again; the person hears why."""
    sam, robin = couple
    other = add_device(sam, "phone")
    sync_all(relay, sam, other, robin)
    twin = copied(sam, "twin")
    before = pair_space(twin)
    with twin.storage.transaction():  # and ended before it could say so
        after = succeed(twin.storage, twin.writer.appender, before, randomness=twin.randomness)
    thank(twin, "two")
    thank(sam, "one")
    sync_all(relay, sam, other, robin)
    revoke(other, next(device for device in my_devices(other.storage) if device.name != "phone"))
    sync_all(relay, other, robin)
    if heard:  # of the removal, in a file
        give(other, twin, space=before.space_id)
    else:
        with pytest.raises(RelayUnreachable, match="was before as removed"):
            sync(twin, relay)
    was = None
    for _ in range(4):
        session = twin.sync_session(before.space_id, host=relay.host)
        with pytest.raises(NotAllowed, match="removed"):
            carry(session, relay)
        there = twin.storage.heads(before.space_id), twin.storage.relay_heads(before.space_id)
        assert was is None or there == was
        was = there
    assert session.sent == session.to_send == 0
    assert is_removed(twin.storage, after)
    assert twin.storage.heads(before.space_id)[after.log_id].seq == 1
    assert not [each for each in incidents(twin.storage, before.space_id) if each.kind == LOST]
    assert {"two", "one"} & shared(twin) == (set() if heard else {"two"})  # it knows now that this counts no more


def test_where_no_more_devices_can_be_nothing_is_lost_and_nothing_sent(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    """One sentence says what to do; once there is room, it goes on by itself."""
    sam, robin = couple
    phone = add_device(sam, "phone")
    for number in range(DEVICES_PER_PERSON_MAX - 2):
        add_device(sam, f"number {number}")
    sync_all(relay, sam, phone, robin)
    twin = copied(sam, "twin")
    thank(sam, "one")
    thank(twin, "two")
    sync_all(relay, sam, phone, robin, rounds=1)
    for _ in range(2):
        assert any("can't have" in notice for notice in map(str, sync(twin, relay).notices))
    thank(twin, "three")
    sync(twin, relay)
    sync_all(relay, robin)
    assert shared(robin) == {"before", "one"}
    assert any("wait to be moved" in str(finding.words) for finding in twin.doctor())
    revoke(phone, next(device for device in my_devices(phone.storage) if device.name == "number 0"))
    sync_all(relay, phone, twin, robin, sam)
    assert shared(robin) == shared(twin) == {"before", "one", "two", "three"}
    assert_sound(sam, twin, robin)


def test_devices_that_a_copy_added_and_removed_are_added_and_removed(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    """What a home said of who belongs, and was displaced, is said again from its new log."""
    sam, robin = couple
    lost_phone = add_device(sam, "lost phone")
    sync_all(relay, sam, lost_phone, robin)
    twin = copied(sam, "twin")
    thank(sam, "one")
    tablet = add_device(twin, "tablet")
    revoke(twin, next(device for device in my_devices(twin.storage) if device.name == "lost phone"))
    thank(twin, "two")
    sync_all(relay, sam, twin, tablet, robin)
    thank(tablet, "by the tablet")
    sync_all(relay, tablet, sam, twin, robin)
    assert shared(robin) == {"before", "one", "two", "by the tablet"}
    with pytest.raises(NotAllowed, match="removed"):
        sync(lost_phone, relay)
    assert len(digests(sam, twin, tablet, robin)) == 1
    assert_sound(sam, twin, tablet, robin)


def test_a_removal_leaves_the_copy_that_is_listed_as_another_device(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    """It says that it goes on from the log that the removed one writes, since it knew of no copy then."""
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    twin = copied(sam, "twin")
    twin.write("checkin", {"worry": "of the twin"}, private=True)
    sync_all(relay, twin)
    thank(twin, "by the twin")
    wipe(relay)
    sync_all(relay, twin)
    sync_all(relay, sam, twin, phone, robin)
    log, space = pair_space(sam).log_id, pair_space(twin)
    assert [each.was for each in device_names(twin.storage, space) if each.log_id == space.log_id] == [log]
    listed = {each.log_id: each for each in my_devices(phone.storage)}
    assert listed.keys() >= {sam.reader.own_space().log_id, twin.reader.own_space().log_id}
    revoke(phone, listed[sam.reader.own_space().log_id])
    sync_all(relay, phone, twin, robin)
    assert {each.log_id for each in device_names(robin.storage, pair_space(robin)) if not each.active} == {log}
    assert len(digests(phone, twin, robin)) == 1


@pytest.mark.parametrize("writes", [False, True])
def test_an_old_backup_is_put_back(couple: tuple[Replica, Replica], relay: MemoryRelay, *, writes: bool) -> None:
    """The home that was is gone; what it had sent comes back, and what was written in the restored one arrives."""
    sam, robin = couple
    backup = copied(sam, "backup")
    thank(sam, "after the backup")
    sync_all(relay, sam, robin)
    if writes:
        thank(backup, "in the restored one")
    sync_all(relay, backup, robin)
    assert shared(backup) == shared(robin) == {"before", "after the backup", *(["in the restored one"] if writes else [])}
    assert len(digests(backup, robin)) == 1
    thank(backup, "and on")
    sync_all(relay, backup, robin)
    assert "and on" in shared(robin)
    assert_sound(backup, robin)


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("original", [True, False])
def test_the_relay_is_wiped_in_between(
    couple: tuple[Replica, Replica], relay: MemoryRelay, first: int, *, original: bool
) -> None:
    """Whoever comes first to the new relay: nothing is lost."""
    sam, robin = couple
    backup = copied(sam, "backup")
    thank(sam, "after the backup")
    sync_all(relay, sam, robin)
    thank(backup, "in the restored one")
    thank(sam, "unsent")
    wipe(relay)
    homes = [robin, backup, *([sam] if original else [])]
    homes = homes[first % len(homes) :] + homes[: first % len(homes)]
    sync_all(relay, *homes, rounds=4)
    everything = {"before", "after the backup", "in the restored one", *(["unsent"] if original else [])}
    assert shared(robin) == everything
    if original or homes[0] is robin:
        assert shared(backup) == everything


@pytest.mark.parametrize("copy_comes", [False, True])
def test_a_log_with_two_pasts_is_left_out_and_all_else_goes_on(
    couple: tuple[Replica, Replica], relay: MemoryRelay, *, copy_comes: bool
) -> None:
    """Robin has one past by another way, the relay the other. Nobody is stuck, and Robin's proof of it is told by doctor."""
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    twin = copied(sam, "twin")
    thank(twin, "by another way")
    give(twin, robin)
    thank(sam, "through the relay")
    thank(phone, "by the phone")
    sync_all(relay, sam, phone)
    assert any("another past" in notice for notice in sync_home(robin, relay))
    thank(robin, "by Robin")
    sync_all(relay, robin, phone, sam)
    assert shared(robin) == {"before", "by another way", "by the phone", "by Robin"}
    assert shared(sam) == shared(phone) == {"before", "through the relay", "by the phone", "by Robin"}
    assert robin.storage.evidence(pair_space(robin).space_id)
    assert any("two pasts" in str(finding.words) for finding in robin.doctor())
    if copy_comes:  # and goes on in another log, where it says again what only Robin has: the past that is not here admits it
        sync_all(relay, twin, robin)
        thank(twin, "from its own log")
        sync_all(relay, twin, robin, phone)
        assert shared(robin) == shared(phone) == {*shared(sam), "by another way", "from its own log"}
        robin.rebuild()
        assert "from its own log" in shared(robin)
    # A removal names the last entry that counts by number and hash: where Robin has the other past, another one stands there.
    revoke(phone, next(device for device in my_devices(phone.storage) if device.log_id == sam.spaces()[0].log_id))
    sync_all(relay, phone, robin)
    assert any("not the one here" in str(finding.words) for finding in robin.doctor()) is not copy_comes
    thank(phone, "at last")
    thank(robin, "at last too")
    sync_all(relay, phone, robin, *([twin] if copy_comes else []))
    for home in (robin, phone, *([twin] if copy_comes else [])):
        assert {"at last", "at last too"} <= shared(home)


@pytest.mark.parametrize("from_first", [False, True])
def test_who_has_the_lost_past_comes_to_the_same_once_all_of_it_was_said_again(relay: MemoryRelay, *, from_first: bool) -> None:
    """The relay is put back, and the other copy is first: of somebody else's log the past that only they had makes room."""
    sam, robin = new_replica("Sam"), new_replica("Robin")
    pair_up(sam, robin)
    sync_all(relay, sam, robin)
    if from_first:  # in the log of a device that has written nothing yet
        founder, sam = sam, add_device(sam, "laptop")
        sync_all(relay, founder, sam)
        assert pair_space(sam).log_id not in sam.storage.heads(pair_space(sam).space_id)
    twin, stored = copied(sam, "twin"), copy.deepcopy(relay.spaces)
    thank(sam, "by one")
    sync_all(relay, sam, robin, rounds=2)
    relay.spaces = stored
    thank(twin, "by the other")
    sync_all(relay, twin, sam, robin, rounds=4)
    for home in (sam, twin, robin):
        assert shared(home) >= {"by one", "by the other"}
    assert len(digests(sam, twin, robin)) == 1


@pytest.mark.parametrize("frames", range(5, 16, 2))
def test_a_relay_that_is_lost_again_and_again(couple: tuple[Replica, Replica], relay: MemoryRelay, frames: int) -> None:
    """Before it had everything: what was acknowledged once counts, and what others build on is never taken out of a log."""
    sam, robin = couple
    for home in (sam, robin, sam):
        wipe(relay)
        sync(home, relay, frames_max=frames)
    thank(sam, "unsent")
    wipe(relay)
    sync_all(relay, sam, robin)
    assert shared(robin) == shared(sam) == {"before", "unsent"}
    assert len(digests(sam, robin)) == 1
    assert_sound(sam, robin)


@pytest.mark.parametrize("mended", [True, False])
def test_a_mended_home_gets_its_own_log_back_and_stays_in_it(
    couple: tuple[Replica, Replica], relay: MemoryRelay, *, mended: bool
) -> None:
    """What a repair cut off comes back from the relay, and no copy wrote it. One that was not mended can't know that."""
    sam, robin = couple
    thank(sam, "cut off")
    sync_all(relay, sam, robin)
    space = pair_space(sam)
    storage = sam.storage
    head = storage.heads(space.space_id)[space.log_id]
    with storage.transaction():
        storage.displace(space.space_id, space.log_id, head.seq - 1)
        storage.settle_displaced(space.space_id)
        storage.put_meta(short_key(space.space_id), "1" if mended else "")
    sam.rebuild()
    sync_all(relay, sam, robin)
    thank(sam, "afterwards")
    sync_all(relay, sam, robin)
    assert bool(storage.former_devices(space.space_id)) is not mended
    assert shared(robin) == shared(sam) == {"before", "cut off", "afterwards"}
    assert len(digests(sam, robin)) == 1


@pytest.mark.parametrize("by_file", [True, False])
def test_what_has_left_a_home_stays_where_it_stands_when_the_relay_is_lost(
    couple: tuple[Replica, Replica], relay: MemoryRelay, *, by_file: bool
) -> None:
    """Somebody has it, though no relay that is left ever said so: lifted into another log, it would stand in two places."""
    sam, robin = couple
    space = pair_space(sam)
    acknowledged = sam.storage.relay_heads(space.space_id)[space.log_id]
    thank(sam, "on its way")
    if by_file:
        file = io.BytesIO(b"".join(write_bundle(sam.storage, sam.spaces(), randomness=SeededRandomness("file"))))
        for taken in read_bundle(file.read, robin.storage, lambda of, beside: session(robin, of, beside)):
            assert taken is None or taken.error is None
    else:
        sync_all(relay, sam, robin)
        with sam.storage.transaction():  # the relay's word for it never came
            sam.storage.put_relay_head(space.space_id, acknowledged)
    assert "on its way" in shared(robin)
    thank(sam, "never sent")
    wipe(relay)
    sync_all(relay, sam, robin)
    assert shared(robin) == shared(sam) == {"before", "on its way", "never sent"}
    assert len(digests(sam, robin)) == 1
    assert not robin.storage.evidence(space.space_id)
    assert_sound(sam, robin)


def session(replica: Replica, space: SpaceId, storage: Storage) -> SpaceSync | None:
    """As `bide bundle import` makes it: of a space that is here."""
    known = any(each.space_id == space for each in replica.spaces())
    return replica.sync_session(space, host=HOST, storage=storage) if known else None


def test_a_removal_that_is_said_again_lets_nobody_stay(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """The removed device went on in another log meanwhile: the removal did not know of that, and said again it would."""
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    copy_of_phone, twin = copied(phone, "other phone"), copied(sam, "twin")
    revoke(twin, next(each for each in my_devices(twin.storage) if each.name == "phone"))
    for number, home in enumerate((sam, phone, copy_of_phone)):
        thank(home, f"by {number}")
        sync_all(relay, home, rounds=2)
    sync_all(relay, phone, copy_of_phone, sam, robin, rounds=1)
    assert pair_space(phone).log_id != pair_space(copy_of_phone).log_id
    sync_all(relay, twin, sam, robin)
    left = {each.log_id for each in device_names(robin.storage, pair_space(robin)) if not each.mine and each.active}
    assert left == {pair_space(sam).log_id, pair_space(twin).log_id}


def test_removals_that_are_said_again_leave_whom_they_knew(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """Two removals on a copy: whom a removed device had brought in before stays, the other person above all."""
    sam, robin = couple
    phone, tablet, watch = (add_device(sam, name) for name in ("phone", "tablet", "watch"))
    sync_all(relay, sam, phone, tablet, watch, robin)
    twin = copied(phone, "twin")
    founding = sam.reader.own_space().log_id
    for name in ("watch", next(each.name for each in my_devices(twin.storage) if each.log_id == founding)):
        revoke(twin, next(each for each in my_devices(twin.storage) if each.name == name))
    thank(phone, "by the phone")
    sync_all(relay, phone, robin)
    sync_all(relay, twin, tablet, robin, phone)
    active = {each.log_id for each in device_names(robin.storage, pair_space(robin)) if each.active}
    assert {pair_space(each).log_id for each in (robin, phone, tablet, twin)} == active
    assert_sound(phone, tablet, twin, robin)


def test_a_key_that_only_a_copy_had_closes_nothing(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """A copy removes a device, which makes a key, and has to go on in another log: the other copy never gets that key."""
    sam, robin = couple
    add_device(sam, "laptop")
    sync_all(relay, sam, robin)
    twin = copied(sam, "twin")
    revoke(twin, next(each for each in my_devices(twin.storage) if not each.this))
    thank(sam, "meanwhile")
    sync_all(relay, sam, twin, robin, rounds=4)
    for home in (sam, twin, robin):
        space = pair_space(home).space_id
        assert set(load_membership(home.storage, space).eligible_epochs()) <= home.storage.epochs(space).keys()
    thank(twin, "later")
    sync_all(relay, twin, sam, robin)
    assert "later" in shared(sam) & shared(robin)
    assert_sound(sam, twin, robin)


@pytest.mark.parametrize("comes_first", ["twin", "sam", "robin"])
def test_what_builds_on_a_statement_that_was_taken_out_is_said_again(
    couple: tuple[Replica, Replica], relay: MemoryRelay, comes_first: str
) -> None:
    """Sam adds a device, Robin builds on it, the relay is put back, and Sam's other copy writes in its place."""
    sam, robin = couple
    twin, stored = copied(sam, "twin"), copy.deepcopy(relay.spaces)
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    tablet = add_device(robin, "tablet")
    thank(robin, "by Robin")
    sync_all(relay, robin, tablet, sam)
    relay.spaces = stored
    thank(twin, "by the twin")
    homes = {"twin": twin, "sam": sam, "robin": robin}
    order = [homes.pop(comes_first), *homes.values(), phone, tablet]
    for home in order:
        with suppress(RelayUnreachable):  # "run it again", and that is done
            sync_home(home, relay)
        # What was taken out of a log, and others build on, is no damage either.
        assert not [f for f in home.doctor() if "not what its log says" in str(f.words)]
    for home in order * 5:
        with suppress(RelayUnreachable):
            sync_home(home, relay)
    everybody = (sam, twin, phone, robin, tablet)
    for number, home in enumerate(everybody):
        thank(home, f"at last {number}")
    sync_all(relay, *everybody, rounds=4)
    for home in everybody:
        assert shared(home) >= {"by Robin", "by the twin", *(f"at last {number}" for number in range(5))}
    assert len(digests(*everybody)) == 1
    for home in everybody:
        assert not [f for f in home.doctor() if f.level == "damage" and not _tells_of_two_pasts(str(f.words))]


def test_words_that_nobody_else_has_stay_where_their_device_was_let_in_by_a_statement_that_is_gone(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    """A home that had gone on in another log is put back, and the relay too: only Robin has what was said in that log."""
    sam, robin = couple
    twin = copied(sam, "twin")
    thank(twin, "by the twin")
    sync_all(relay, twin, robin)
    backup, stored = copied(sam, "backup"), copy.deepcopy(relay.spaces)
    thank(sam, "by Sam")
    sync_all(relay, sam, robin)
    relay.spaces = stored
    thank(backup, "by the backup")
    sync_all(relay, backup, twin, robin)
    stray = sam.storage.spaces()[1].log_id
    assert stray in robin.storage.heads(pair_space(robin).space_id)
    add_device(robin, "phone")
    revoke(robin, next(each for each in my_devices(robin.storage) if each.name == "phone"))
    statements = []
    for number in range(2):  # a sync that went on waiting for what no relay takes would be at its end without being done
        thank(robin, f"by Robin {number}")
        assert sync(robin, relay, space=pair_space(robin).space_id).finished
        statements.append(len(robin.storage.controls(pair_space(robin).space_id)))
    assert len(set(statements)) == 1  # a device that nobody can go on as needs no key: who remains has one
    assert shared(robin) == {"before", "by the twin", "by Sam", "by the backup", "by Robin 0", "by Robin 1"}
    assert not [f for f in robin.doctor() if f.level == "damage" and not _tells_of_two_pasts(str(f.words))]
    before = robin.digest()
    robin.rebuild()
    assert robin.digest() == before
    sync_all(relay, twin, backup)
    assert shared(twin) == shared(backup) == shared(robin) - {"by Sam"}


def test_a_key_for_what_a_home_was_before_opens_here_as_well(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """The phone removes the tablet, not having heard that the twin went on as a device of its own, and is never seen again."""
    sam, robin = couple
    phone, tablet = add_device(sam, "phone"), add_device(sam, "tablet")
    sync_all(relay, sam, phone, tablet, robin)
    twin = copied(sam, "twin")
    thank(sam, "by Sam")
    thank(twin, "by the twin")
    sync_all(relay, sam, twin, robin)
    revoke(phone, next(each for each in my_devices(phone.storage) if each.name == "tablet"))
    thank(phone, "by the phone, at last")
    give(phone, twin)
    assert "by the phone, at last" in shared(twin)
    sync_all(relay, twin, sam, robin)
    assert "by the phone, at last" in shared(sam) & shared(robin)


def _tells_of_two_pasts(words: str) -> bool:
    return "two pasts" in words or "or a device was copied" in words
