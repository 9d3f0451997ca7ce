"""What was built apart, used together: recovery, copies, leaving, erasing, moving, bundles, each across the others."""

from __future__ import annotations

import copy
from contextlib import suppress

import pytest

from bide.crypto.recovery import RecoveryPhrase
from bide.errors import NotAllowed, NotPaired, RelayUnreachable
from bide.log.envelope import HEADER_BYTES, parse_envelope
from bide.replica import Replica
from bide.replica.authoring.holding import Deed, Do
from bide.replica.derivation.deriving import open_event
from bide.replica.examining.comparing import _places
from bide.replica.letting_go.leaving import leave_quietly, leave_with_notice, pause
from bide.replica.own_devices.devices import find_device, revoke
from bide.replica.own_devices.moving import Visit, settle
from bide.replica.own_devices.phrases import anchor_for, create, destroy, spaces_for
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.relays import nobody_needs
from bide.replica.spaces.stance import LEFT, PAUSED, read_stances
from bide.replica.sync.incidents import NEW_STORAGE, incidents
from bide.replica.sync.refusals import Stance
from bide.storage.memory import MemoryStorage
from bide.testing import FakeClock, SeededRandomness
from bide.testing_replicas import (
    RELAY_HOST,
    RELAY_URL,
    MemoryRelay,
    add_device,
    carry,
    copied,
    exchange,
    give,
    new_replica,
    pair_space,
    pair_up,
    receive,
    sync,
    use_phrase,
    wipe,
)

from .test_bundles import take, written


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


def test_what_was_said_on_a_past_that_no_relay_has_any_more_is_said_again(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    """Robin was shown what a copy of Sam's home had erased, and erases something on top; then the relay has Sam's past."""
    sam, robin = couple
    erased = thank(sam, "to be erased"), thank(robin, "to be erased by Robin")
    sync_all(relay, sam, robin)
    twin = copied(sam, "twin")
    thank(sam, "by Sam")
    give(sam, robin)
    upto = twin.storage.heads(pair_space(twin).space_id)[pair_space(twin).log_id].seq
    twin.erase([erased[0]])
    datas = twin.storage.envelopes_after(
        pair_space(twin).space_id, pair_space(twin).log_id, upto, bytes_max=1 << 20, count_max=9
    )
    receive(robin, [each.data for each in datas])
    assert any(each.control for each in robin.storage.beside(pair_space(robin).space_id))
    robin.erase([erased[1]])
    thank(robin, "and goes on")
    sync_all(relay, sam, robin)
    assert "and goes on" in shared(sam)
    assert "to be erased by Robin" not in shared(sam) | shared(robin)
    sync_all(relay, twin, sam, robin)
    assert shared(sam) == shared(robin) == shared(twin) == {"before", "also before", "by Sam", "and goes on"}


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
        assert len(read_belonging(replica.storage, pair_space(replica).space_id).ended) == 1
    assert_sound(sam, robin, backup)


@pytest.mark.parametrize("by_twin", [True, False])
def test_what_a_copy_wrote_before_it_knew_of_the_end_is_not_lost(
    couple: tuple[Replica, Replica], relay: MemoryRelay, by_twin: bool
) -> None:
    """It was written at the same time as the end, and counts like what any other device had written."""
    sam, robin = couple
    twin = copied(sam, "twin")
    thank(twin, "by the twin")
    if by_twin:
        leave_with_notice(twin, pair_space(twin))
    else:
        leave_with_notice(robin, pair_space(robin))
        sync_home(robin, relay)
    sync_home(twin, relay)
    thank(sam, "meanwhile")
    sync_all(relay, sam, robin, twin)
    for replica in (sam, robin, twin):
        assert shared(replica) == {"before", "also before", "by the twin", "meanwhile"}
        assert not replica.storage.displaced(pair_space(replica).space_id, waiting=True)
    assert_sound(sam, robin, twin)


# Moving across the rest


def test_a_phrase_finds_what_was_moved_after_it_was_made(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phrase = made(sam)
    sync_all(relay, sam, robin)
    new = "wss://new.example.org"
    settle(sam, [Visit(sam, pair_space(sam), new, Stance.MOVING, host=RELAY_HOST)], new_home=False)
    own = sam.reader.own_space()
    [found] = spaces_for(sam.storage, phrase, own)
    assert found.relay_url == new
    settle(sam, [Visit(sam, own, new, Stance.MOVING, host=RELAY_HOST)], new_home=True)
    [found] = spaces_for(sam.storage, phrase, sam.reader.own_space())
    assert found.relay_url in ("", new)


def test_a_phrase_on_paper_keeps_no_relay_from_forgetting(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    made(sam)
    made(robin)
    sync_all(relay, sam, robin)
    new = "wss://new.example.org"
    for replica in (sam, robin):
        settle(replica, [Visit(replica, pair_space(replica), new, Stance.MOVING, host=RELAY_HOST)], new_home=False)
    exchange(sam, robin)
    assert nobody_needs(sam.storage, pair_space(sam), RELAY_URL)
    assert nobody_needs(robin.storage, pair_space(robin), RELAY_URL)


def test_a_phrase_that_led_to_what_has_ended_stops_no_sync(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    create(sam, RecoveryPhrase.new(pair_space(sam).space_id, SeededRandomness("paper")))
    sync_all(relay, sam, robin)
    robin.leave()
    sync_all(relay, robin, sam)
    kim = new_replica("Kim")
    kim.set_relay(RELAY_URL)
    pair_up(sam, kim)
    sync_all(relay, sam, kim)
    assert not [finding for finding in sam.doctor() if finding.level == "damage"]


# Bundles across the rest


def test_an_old_bundle_brings_nothing_erased_back(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    entry = thank(sam, "secret-word")
    sync_all(relay, sam, robin)
    old = [written(sam), written(robin)]
    sam.erase([entry])
    sync_all(relay, sam, robin)
    for replica in (sam, robin):
        for bundle in old:
            for taken in take(replica, bundle):
                assert taken is None or taken.error is None, taken
        assert "secret-word" not in everything_kept(replica)
    assert_sound(sam, robin)


def test_a_bundle_of_a_removed_device(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    thank(phone, "in time")
    sync_all(relay, phone, sam, robin)
    revoke(sam, find_device(sam.storage, "phone"))
    sync_all(relay, sam)
    thank(phone, "too late")
    for replica in (robin, sam):
        for taken in take(replica, written(phone)):
            assert taken is None or taken.error is None, taken
    sync_all(relay, sam, robin)
    for replica in (sam, robin):
        assert shared(replica) == {"before", "also before", "in time"}
    assert_sound(sam, robin)


@pytest.mark.parametrize("to_relay_first", [True, False])
def test_what_went_out_by_file_is_not_taken_back_after_a_loss(
    couple: tuple[Replica, Replica], relay: MemoryRelay, to_relay_first: bool
) -> None:
    """Robin has it from the file: the log goes on from there, not from what the relay last acknowledged."""
    sam, robin = couple
    thank(sam, "by file")
    for taken in take(robin, written(sam)):
        assert taken is None or taken.error is None, taken
    wipe(relay)
    if to_relay_first:
        sync_home(robin, relay)
    sync_all(relay, sam, robin)
    thank(sam, "after")
    sync_all(relay, sam, robin)
    for replica in (sam, robin):
        assert shared(replica) == {"before", "also before", "by file", "after"}
        assert not replica.storage.evidence(pair_space(replica).space_id)
        assert not replica.storage.beside(pair_space(replica).space_id)
    assert_sound(sam, robin)


def test_a_bundle_for_a_copied_home(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    twin = copied(sam, "twin")
    thank(twin, "by the twin")
    thank(sam, "by Sam")
    for taken in take(sam, written(twin)):
        assert taken is None or taken.error is None, taken
    sync_all(relay, sam, twin, robin)
    for replica in (sam, robin, twin):
        assert shared(replica) == {"before", "also before", "by the twin", "by Sam"}
    assert_sound(sam, robin, twin)


def test_what_waits_when_all_ends_stops_no_sync(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    sam.holding.put(Deed(Do.WRITE, "appreciation", {"noticed": "later"}), minutes=1, space=pair_space(sam))
    robin.leave()
    sync_all(relay, robin, sam)
    assert isinstance(sam.clock, FakeClock)
    sam.clock.advance(10 * 60_000)
    assert sam.holding.send_due() == []
    [waiting] = sam.holding.shown()
    assert waiting["fields"] == {"noticed": "later"}
    assert sam.holding.take_back(sam.holding.find(waiting["id"])[0].held_id)
    assert_sound(sam, robin)


def test_both_compare_the_same_words_after_all_this(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    entry = thank(sam, "secret-word")
    twin = copied(robin, "twin")
    thank(twin, "by the twin")
    thank(robin, "by Robin")
    sync_all(relay, twin, robin, sam, phone)
    revoke(sam, find_device(sam.storage, "phone"))
    sam.erase([entry])
    phrase = made(sam)
    sync_all(relay, sam, robin, twin)
    again, _ = use_phrase(phrase, relay, "new")
    leave_with_notice(again, pair_space(again))
    sync_all(relay, again, robin, twin)
    shown = {tuple(_places(replica.storage, pair_space(replica))) for replica in (again, robin, twin)}
    assert len(shown) == 1
    assert_sound(again, robin, twin)


def test_a_body_kept_back_makes_nobody_download_the_rest_at_every_sync(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    """It is asked for once a day: whoever keeps it back could else have the other fetch everything after it for ever."""
    sam, robin = couple
    for number in range(30):
        thank(sam, f"{number}")
    sync_all(relay, sam)
    log = relay.spaces[pair_space(sam).space_id].logs[pair_space(sam).log_id]
    log[5] = log[5].bare()
    sync(robin, relay)

    def carried_again() -> int:
        session = robin.sync_session(pair_space(robin).space_id, host=relay.host)
        known, taken = session.receive_data, 0

        def counted(message: bytes) -> None:
            nonlocal taken
            taken += len(message)
            known(message)

        session.receive_data = counted  # type: ignore[method-assign]
        carry(session, relay)
        return taken

    assert carried_again() > 10_000
    assert carried_again() < 2_000
    assert isinstance(robin.clock, FakeClock)
    robin.clock.advance(26 * 3_600_000)
    assert carried_again() > 10_000


@pytest.mark.parametrize("between", ["a bundle", "a visit"])
def test_a_loss_at_the_relay_is_kept_for_doctor_whatever_was_talked_to_meanwhile(
    couple: tuple[Replica, Replica], relay: MemoryRelay, between: str
) -> None:
    """A file, or a relay that was left, is not the relay: it is still the same one that lost something."""
    sam, robin = couple
    thank(sam, "later")
    sync_all(relay, sam, robin)
    if between == "a bundle":
        take(sam, written(robin))
    else:
        carry(
            Visit(sam, pair_space(sam), "ws://127.0.0.1:1", Stance.LEAVING, host="127.0.0.1:1").sync,
            MemoryRelay(host="127.0.0.1:1"),
        )
    wipe(relay)
    sync_home(sam, relay)
    assert [each for each in incidents(sam.storage, pair_space(sam).space_id) if each.kind == NEW_STORAGE]


def test_a_device_that_the_relay_cannot_know_of_holds_nobody_up(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """The relay went back to before a copy became a device, and got another past there: who has both goes on without it."""
    sam, robin = couple
    before = copy.deepcopy(relay.spaces)
    twin = copied(sam, "twin")
    thank(sam, "by Sam")
    earlier = copied(sam, "earlier")
    thank(twin, "by the twin")
    sync_all(relay, twin, sam, robin)  # Sam's home goes on as another device
    sync_all(relay, robin)
    assert len(sam.storage.former_devices(pair_space(sam).space_id)) == 1
    relay.spaces = before
    sync_home(earlier, relay)  # the same place in the old log, with something else
    thank(robin, "by Robin")
    sync_all(relay, robin)
    sync_all(relay, earlier, rounds=1)
    assert "by Robin" in shared(earlier)
    for replica in (sam, twin, robin, earlier) * 4:
        with suppress(RelayUnreachable):  # it says what the relay lost once, and goes on at the next sync
            sync_home(replica, relay)
    assert {*shared(robin)} >= {"before", "by Sam", "by the twin", "by Robin"}
