"""What was built apart, used together: recovery, copies, leaving, erasing, moving, bundles, each across the others."""

from __future__ import annotations

import pytest

from bide.crypto.recovery import RecoveryPhrase
from bide.errors import NotAllowed, NotPaired
from bide.log.envelope import HEADER_BYTES, parse_envelope
from bide.replica import Replica
from bide.replica.belonging import read_belonging
from bide.replica.deriving import open_event
from bide.replica.devices import find_device, revoke
from bide.replica.leaving import leave_quietly, leave_with_notice, pause
from bide.replica.phrases import anchor_for, create, destroy
from bide.replica.stance import LEFT, PAUSED, read_stances
from bide.storage.memory import MemoryStorage
from bide.testing import SeededRandomness
from bide.testing_replicas import (
    RELAY_URL,
    MemoryRelay,
    add_device,
    copied,
    give,
    new_replica,
    pair_space,
    pair_up,
    receive,
    sync,
    use_phrase,
    wipe,
)


def sync_home(replica: Replica, relay: MemoryRelay) -> list[str]:
    """Every space that doesn't rest, the own one first, as `bide sync` does; what its person is told."""
    told = []
    for space in replica.spaces():
        if space.space_id not in replica.resting():
            told += [str(notice) for notice in sync(replica, relay, space=space.space_id).notices]
    return told


def sync_all(relay: MemoryRelay, *replicas: Replica, rounds: int = 3) -> None:
    for _ in range(rounds):
        for replica in replicas:
            sync_home(replica, relay)


def thank(replica: Replica, text: str) -> str:
    return replica.write("appreciation", {"noticed": text}).id


def shared(replica: Replica) -> set[str]:
    return {entry["fields"]["noticed"] for entry in replica.timeline() if "noticed" in entry["fields"]}


def made(replica: Replica) -> RecoveryPhrase:
    phrase = RecoveryPhrase.new(anchor_for(replica.storage).space_id, SeededRandomness("paper"))
    create(replica, phrase)
    return phrase


def assert_sound(*replicas: Replica) -> None:
    for replica in replicas:
        assert not [finding for finding in replica.doctor() if finding.level == "damage"], replica.doctor()
        before = replica.digest()
        replica.rebuild()
        assert replica.digest() == before


def everything_kept(replica: Replica) -> str:
    """All that a home could still open of its spaces, in whichever table: what somebody with the database would read."""
    storage = replica.storage
    assert isinstance(storage, MemoryStorage)
    found = [repr(storage._t.entries), repr(storage._t.events)]
    for space in storage.spaces():
        kept = [e for log in storage.heads(space.space_id) for e in storage._t.logs[space.space_id, log]]
        kept += [item.envelope for item in storage.displaced(space.space_id)]
        kept += storage.beside(space.space_id)
        for each in kept:
            if not each.control and len(each.data) > HEADER_BYTES:
                event = open_event(parse_envelope(each.data), space=space.space_id, epochs=storage.epochs(space.space_id))
                found.append(repr(event.change))
    return "".join(found)


@pytest.fixture
def relay() -> MemoryRelay:
    return MemoryRelay()


@pytest.fixture
def couple(relay: MemoryRelay) -> tuple[Replica, Replica]:
    sam, robin = new_replica("Sam"), new_replica("Robin")
    for replica in (sam, robin):
        replica.set_relay(RELAY_URL)
    pair_up(sam, robin)
    thank(sam, "before")
    thank(robin, "also before")
    sync_all(relay, sam, robin)
    return sam, robin


# Recovery across leaving


def test_recovery_after_an_end(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phrase = made(sam)
    sync_all(relay, sam, robin)
    robin.leave()
    sync_all(relay, robin, sam)
    again, _ = use_phrase(phrase, relay, "new")
    assert shared(again) == {"before", "also before"}
    sync_all(relay, again, robin)
    assert read_belonging(again.storage, pair_space(again).space_id).over
    assert_sound(again, robin)


def test_recovery_of_a_pair_anchor_after_an_end(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phrase = RecoveryPhrase.new(pair_space(sam).space_id, SeededRandomness("paper"))
    create(sam, phrase)
    sync_all(relay, sam, robin)
    robin.leave()
    sync_all(relay, robin, sam)
    again, taken = use_phrase(phrase, relay, "new")
    assert shared(again) == {"before", "also before"}
    assert not taken.own_lost
    assert_sound(again, robin)


def test_recovery_says_nothing_in_what_was_left_quietly(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phrase = made(sam)
    sync_all(relay, sam, robin)
    space = pair_space(sam)
    leave_quietly(sam, space)
    sync_all(relay, sam)
    before = {log: len(entries) for log, entries in relay.spaces[space.space_id].logs.items()}
    again, _ = use_phrase(phrase, relay, "new")
    assert read_stances(again.storage).get(space.space_id) == LEFT
    assert shared(again) == {"before", "also before"}
    sync_all(relay, again)
    assert {log: len(entries) for log, entries in relay.spaces[space.space_id].logs.items()} == before
    with pytest.raises(NotPaired):
        thank(again, "no")
    assert_sound(again)


def test_recovery_while_paused(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phrase = made(sam)
    sync_all(relay, sam, robin)
    space = pair_space(sam)
    pause(sam, space, end=False)
    sync_all(relay, sam)
    again, _ = use_phrase(phrase, relay, "new")
    assert read_stances(again.storage).get(space.space_id) == PAUSED
    assert shared(again) == {"before", "also before"}
    assert_sound(again)


def test_recovery_after_erasing(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phrase = made(sam)
    entry = thank(sam, "secret-word")
    sync_all(relay, sam, robin)
    sam.erase([entry])
    sync_all(relay, sam, robin)
    again, _ = use_phrase(phrase, relay, "new")
    sync_all(relay, again, robin)
    for replica in (sam, robin, again):
        assert "secret-word" not in everything_kept(replica)
    assert_sound(again, robin)
    thank(again, "later")
    sync_all(relay, again, robin)
    assert shared(robin) == {"before", "also before", "later"}


# Copies across the rest


def test_a_copy_that_erased_erases_again_when_it_goes_on_in_a_new_log(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    sam, robin = couple
    entry = thank(sam, "secret-word")
    sync_all(relay, sam, robin)
    twin = copied(sam, "twin")
    thank(twin, "by the twin")
    sync_home(twin, relay)
    sam.erase([entry])
    sync_all(relay, sam, robin, twin)
    for replica in (sam, robin, twin):
        assert "secret-word" not in everything_kept(replica)
    assert_sound(sam, robin, twin)


def test_a_copy_that_left_has_left_when_it_goes_on_in_a_new_log(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    twin = copied(sam, "twin")
    thank(twin, "by the twin")
    sync_home(twin, relay)
    leave_with_notice(sam, pair_space(sam))
    sync_all(relay, sam, robin, twin)
    for replica in (sam, robin, twin):
        assert read_belonging(replica.storage, pair_space(replica).space_id).over
    assert_sound(sam, robin, twin)


def test_a_phrase_made_on_a_copy_brings_everything_back(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    twin = copied(sam, "twin")
    thank(twin, "by the twin")
    twin.write("checkin", {"worry": "mine"}, private=True)
    sync_home(twin, relay)
    phrase = made(sam)
    sync_all(relay, sam, robin, twin)
    again, _ = use_phrase(phrase, relay, "new")
    assert shared(again) == {"before", "also before", "by the twin"}
    assert_sound(sam, robin, twin, again)


def test_a_phrase_destroyed_on_a_copy_is_worth_nothing(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phrase = made(sam)
    sync_all(relay, sam, robin)
    twin = copied(sam, "twin")
    thank(twin, "by the twin")
    twin.write("checkin", {"worry": "mine"}, private=True)
    sync_home(twin, relay)
    destroy(sam)
    sync_all(relay, sam, robin, twin)
    with pytest.raises(NotAllowed):
        use_phrase(phrase, relay, "new")


def test_a_backup_from_before_an_erasure_keeps_nothing_of_it(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    entry = thank(sam, "secret-word")
    sync_all(relay, sam, robin)
    backup, others = copied(sam, "backup"), copied(robin, "backup")
    thank(backup, "written on the backup")
    thank(others, "written on the other's backup")
    sam.erase([entry])
    sync_all(relay, sam, robin)
    sync_all(relay, backup, others, sam, robin)
    for replica in (sam, robin, backup, others):
        assert "secret-word" not in everything_kept(replica)
    assert_sound(sam, robin, backup, others)


def test_what_was_displaced_and_said_again_goes_with_its_erasure(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    twin = copied(sam, "twin")
    thank(twin, "by the twin")
    entry = thank(sam, "secret-word")
    sync_home(twin, relay)
    sync_all(relay, sam, robin, twin)
    assert "secret-word" in everything_kept(robin)
    sam.erase([entry])
    sync_all(relay, sam, robin, twin)
    for replica in (sam, robin, twin):
        assert "secret-word" not in everything_kept(replica)
    assert_sound(sam, robin, twin)


def test_another_past_that_is_kept_beside_keeps_no_words(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """Robin has one past of Sam's log, and is shown another one: it proves the fork, and outlasts no erasure."""
    sam, robin = couple
    twin = copied(sam, "twin")
    thank(twin, "by the twin")
    give(twin, robin)
    thank(sam, "secret-word")
    upto = twin.storage.heads(pair_space(sam).space_id)[pair_space(sam).log_id].seq - 1
    datas = sam.storage.envelopes_after(pair_space(sam).space_id, pair_space(sam).log_id, upto, bytes_max=1 << 20, count_max=9)
    receive(robin, [each.data for each in datas])
    assert robin.storage.beside(pair_space(robin).space_id)
    assert "secret-word" not in everything_kept(robin)


def test_a_backup_from_before_leaving_quietly_rests_again(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, _ = couple
    space = pair_space(sam)
    sam.write("checkin", {"worry": "mine"}, private=True)
    sync_home(sam, relay)
    backup = copied(sam, "backup")
    thank(backup, "never sent")
    leave_quietly(sam, space)
    sync_all(relay, sam)
    before = {log: len(entries) for log, entries in relay.spaces[space.space_id].logs.items()}
    sync_all(relay, backup)
    assert {log: len(entries) for log, entries in relay.spaces[space.space_id].logs.items()} == before
    assert read_stances(backup.storage)[space.space_id] == LEFT
    assert_sound(backup)


def test_a_backup_from_before_a_removal(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    backup = copied(sam, "backup")
    thank(backup, "on the backup")
    revoke(sam, find_device(sam.storage, "phone"))
    thank(sam, "after")
    sync_all(relay, sam, robin)
    sync_all(relay, backup, sam, robin)
    thank(backup, "later")
    sync_all(relay, backup, sam, robin)
    assert shared(robin) >= {"before", "also before", "after", "on the backup", "later"}
    for replica in (sam, robin, backup):
        [gone] = [each for each in read_belonging(replica.storage, pair_space(replica).space_id).ended]
    assert_sound(sam, robin, backup)
