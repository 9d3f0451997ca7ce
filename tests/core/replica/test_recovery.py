"""A recovery phrase: what it brings back, what it covers, who wins, and what an old one is worth."""

from __future__ import annotations

import copy

import pytest
from replicas import sync_all

from bide.crypto.recovery import RecoveryPhrase
from bide.errors import EnvelopeRejected, InputError, MembershipRejected, NotAllowed, NotFound, NotPaired, VerificationFailed
from bide.ids import LogId, SpaceId
from bide.log.control import DeviceRecord, RecoveryAdded, write_control
from bide.replica import Replica
from bide.replica.derivation.rebuilding import load_membership
from bide.replica.own_devices.devices import find_device, rename, revoke
from bide.replica.own_devices.phrases import (
    anchor_for,
    blank_of,
    covers,
    create,
    destroy,
    is_ungiven,
    note_given,
    own_logs,
    prepared,
    ungiven,
)
from bide.replica.spaces.personal import my_devices
from bide.testing import SeededRandomness
from bide.testing_replicas import (
    RELAY_URL,
    MemoryRelay,
    add_device,
    exchange,
    new_replica,
    pair_space,
    pair_up,
    sync,
    use_phrase,
)

from .test_devices import lost, texts


@pytest.fixture
def relay() -> MemoryRelay:
    return MemoryRelay()


@pytest.fixture
def couple(relay: MemoryRelay) -> tuple[Replica, Replica]:
    """Ada and Robin; both have written, Ada for herself too, and everything is on the relay."""
    ada, robin = new_replica("Ada"), new_replica("Robin")
    for replica in (ada, robin):
        replica.set_relay(RELAY_URL)
    pair_up(ada, robin)
    ada.write("appreciation", {"noticed": "You drove my mother."})
    ada.write("checkin", {"worry": "Only mine."}, private=True)
    robin.write("appreciation", {"noticed": "You waited up."})
    sync_all(relay, ada, robin)
    return ada, robin


def made(replica: Replica, seed: str = "paper") -> RecoveryPhrase:
    phrase = RecoveryPhrase.new(anchor_for(replica.storage).space_id, SeededRandomness(seed))
    create(replica, phrase)
    return phrase


def copied(replica: Replica) -> Replica:
    """A thief's copy of a device."""
    return Replica(copy.deepcopy(replica.storage), clock=replica.clock, randomness=SeededRandomness("thief"))


def opens_what_is_shared(phrase: RecoveryPhrase, replica: Replica) -> bool:
    """Whether a phrase is enrolled in what two people share, as far as somebody knows."""
    space = pair_space(replica).space_id
    membership = load_membership(replica.storage, space)
    return any(membership.is_active(log) for log in own_logs(phrase, space))


def on_paper(replica: Replica) -> list[bool]:
    return [each.active for each in my_devices(replica.storage) if each.on_paper]


def mine_active(replica: Replica, space: SpaceId | None = None) -> set[LogId]:
    found = pair_space(replica) if space is None else next(each for each in replica.spaces() if each.space_id == space)
    membership = load_membership(replica.storage, found.space_id)
    return {each.log_id for each in membership.active_devices() if each.slot == found.slot and not each.recovery}


def test_the_words_bring_back_all_spaces_with_their_whole_history(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    ada, robin = couple
    phone = add_device(ada, "phone")
    sync_all(relay, ada, phone, robin)
    phrase = made(ada)
    sync_all(relay, ada, phone, robin)
    before = texts(ada)
    again, taken = use_phrase(RecoveryPhrase.parse(" ".join(phrase.words())), relay, "new laptop")
    assert texts(again) == before
    assert len(before) == 3
    assert (again.name, taken.removed, taken.own_lost) == ("Ada", 2, False)
    sync_all(relay, again, robin)
    again.write("appreciation", {"noticed": "Written after."})
    again.write("checkin", {"lift": "For myself, after."}, private=True)
    sync_all(relay, again, robin)
    assert "Written after." in str(texts(robin))
    assert "For myself, after." not in str(texts(robin))
    robin.write("appreciation", {"noticed": "Good to have you back."})
    sync_all(relay, robin, again)
    assert "Good to have you back." in str(texts(again))
    for space in again.spaces():
        assert mine_active(again, space.space_id) == {space.log_id}
    assert [(each.name, each.active, each.recovered) for each in my_devices(again.storage)] == [
        ("device 1", False, False),
        ("phone", False, False),
        ("recovery phrase (on paper)", True, False),
        ("new laptop", True, True),
    ]
    # What the paper wrote is no sign of life: nothing counts as being on a device because of it.
    assert all(each["delivery"] != "on_theirs" or each["by"]["name"] == "Ada" for each in robin.timeline())


def test_the_lost_devices_read_nothing_that_is_written_later(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    ada, robin = couple
    phrase = made(ada)
    sync_all(relay, ada, robin)
    stolen = copied(ada)
    space = pair_space(ada).space_id
    readable = lost(stolen.storage, relay, space)
    again, _ = use_phrase(phrase, relay, "new")
    sync_all(relay, again, robin)
    again.write("appreciation", {"noticed": "After."})
    robin.write("appreciation", {"noticed": "After, too."})
    sync_all(relay, again, robin)
    assert lost(stolen.storage, relay, space) == readable
    with pytest.raises(NotAllowed, match="removed"):
        sync(stolen, relay)


def test_what_is_founded_later_is_covered(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """By whichever device: here by one that never knew the words."""
    ada, robin = couple
    phone = add_device(ada, "phone")
    sync_all(relay, ada, phone, robin)
    phrase = made(ada)
    sync_all(relay, ada, phone)
    kim = new_replica("Kim")
    kim.set_relay(RELAY_URL)
    space = pair_up(kim, phone)
    sync_all(relay, phone, kim, rounds=3)
    phone.write("appreciation", {"noticed": "For Kim alone."}, with_="Kim")
    sync_all(relay, phone, kim)
    again, _ = use_phrase(phrase, relay, "new")
    assert "For Kim alone." in str(texts(again))
    assert {each.space_id for each in again.spaces()} == {each.space_id for each in phone.spaces()}
    assert mine_active(again, space) == {next(each.log_id for each in again.spaces() if each.space_id == space)}


def test_the_keys_of_no_two_spaces_are_the_same(couple: tuple[Replica, Replica]) -> None:
    ada, _ = couple
    made(ada)
    keys = [{device.id for device in load_membership(ada.storage, space.space_id).devices.values()} for space in ada.spaces()]
    assert keys[0].isdisjoint(keys[1])


def test_a_thief_cannot_undo_a_recovery_by_claiming_to_have_been_first(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    ada, robin = couple
    phrase = made(ada)
    sync_all(relay, ada, robin)
    thief = copied(ada)
    destroy(thief)  # offline, before hearing of anything
    helper = add_device(thief, "helper")
    again, _ = use_phrase(phrase, relay, "new")
    sync_all(relay, again, robin)
    # Somebody who belongs brings the thief's entries in: Robin here, by hand, where no relay is asked.
    exchange(thief, robin)
    exchange(helper, robin)
    exchange(robin, again)
    space = pair_space(again)
    for replica in (again, robin):
        membership = load_membership(replica.storage, space.space_id)
        mine = {each.log_id for each in membership.active_devices() if each.slot == space.slot}
        assert mine == {space.log_id, *[log for log in mine if membership.devices[log].recovery]}
        assert any(membership.devices[log].recovery for log in mine)
    again.write("appreciation", {"noticed": "Still here."})
    exchange(again, robin)
    assert "Still here." in str(texts(robin))


def test_a_destroyed_phrase_counts_no_more(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    ada, robin = couple
    phrase = made(ada)
    sync_all(relay, ada, robin)
    assert destroy(ada) == 2
    sync_all(relay, ada, robin)
    assert prepared(ada.storage) == []
    with pytest.raises(NotAllowed, match="count no more"):
        covers(ada.storage, phrase)
    with pytest.raises((NotAllowed, NotFound)):
        use_phrase(phrase, relay, "new")
    assert on_paper(ada) == [False]


def test_rotating_ends_the_old_words_and_begins_new_ones(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    ada, robin = couple
    old = made(ada, "old")
    sync_all(relay, ada, robin)
    new = made(ada, "new")
    sync_all(relay, ada, robin)
    with pytest.raises(NotAllowed, match="count no more"):
        covers(ada.storage, old)
    assert all(each.covered for each in covers(ada.storage, new))
    again, _ = use_phrase(new, relay, "new laptop")
    assert texts(again) == texts(ada)


def test_words_of_somebody_else_are_told_apart(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    ada, robin = couple
    made(ada)
    theirs = made(robin, "robin")
    with pytest.raises(InputError, match="not of this journal"):
        covers(ada.storage, theirs)
    unknown = RecoveryPhrase.new(SpaceId(bytes(16)), SeededRandomness("nobody"))
    with pytest.raises(NotFound):
        use_phrase(unknown, relay, "new")


def test_two_phrases_made_at_once_both_count_and_both_are_ended(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    ada, robin = couple
    phone = add_device(ada, "phone")
    sync_all(relay, ada, phone, robin)
    made(ada, "one")
    made(phone, "two")
    sync_all(relay, ada, phone, ada, phone)
    assert len(prepared(ada.storage)) == len(prepared(phone.storage)) == 2
    destroy(ada)
    sync_all(relay, ada, phone, robin)
    assert prepared(phone.storage) == []


def test_a_phrase_ended_on_one_device_is_ended_where_another_has_just_enrolled_it(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    ada, robin = couple
    phone = add_device(ada, "phone")
    sync_all(relay, ada, phone, robin)
    made(ada)
    sync_all(relay, ada, phone)
    kim = new_replica("Kim")
    kim.set_relay(RELAY_URL)
    space = pair_up(kim, phone)
    sync(phone, relay, space=space)  # the phone enrols the phrase there, not knowing what comes
    destroy(ada)
    sync_all(relay, ada, phone, ada, phone)
    devices = load_membership(phone.storage, space).active_devices()
    assert not [each for each in devices if each.recovery]


def test_words_that_only_the_shared_space_still_knows_are_ended_by_the_home_that_was_put_back(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    """It had said them in its own space, too, but that was on its disk alone: they would open what is shared for good."""
    ada, robin = couple
    backup = copied(ada)
    words = made(ada)
    sync(ada, relay, space=pair_space(ada).space_id)
    sync(robin, relay)
    assert opens_what_is_shared(words, robin)
    sync_all(relay, backup, robin)
    assert not on_paper(backup)
    assert not opens_what_is_shared(words, backup)
    assert not opens_what_is_shared(words, robin)


def test_words_that_a_home_said_in_its_own_space_count_after_it_was_put_back(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    """What the relay has of them comes back before anything is judged, whichever space comes first."""
    ada, robin = couple
    backup = copied(ada)
    words = made(ada)
    sync_all(relay, ada)
    sync(backup, relay, space=pair_space(backup).space_id)
    sync_all(relay, backup, robin)
    assert on_paper(backup) == [True]
    assert opens_what_is_shared(words, robin)


def test_who_has_no_place_on_the_relay_for_private_entries_gets_back_the_rest(relay: MemoryRelay) -> None:
    """The own space is on no relay, so the words lead to the first pair space, and others are named there."""
    ada, robin, kim = new_replica("Ada"), new_replica("Robin"), new_replica("Kim")
    for replica in (robin, kim):
        replica.set_relay(RELAY_URL)
    pair_up(robin, ada)
    pair_up(kim, ada)
    ada.write("appreciation", {"noticed": "To Robin."}, with_="Robin")
    ada.write("appreciation", {"noticed": "To Kim."}, with_="Kim")
    ada.write("checkin", {"worry": "On this device only."}, private=True)
    pairs = [space.space_id for space in ada.spaces() if space.kind == "pair"]
    for _ in range(2):
        for replica in (ada, robin, kim):
            for space in replica.spaces():
                if space.space_id in pairs:
                    sync(replica, relay, space=space.space_id)
    phrase = made(ada)
    assert phrase.anchor == pairs[0]
    for space_id in pairs:
        sync(ada, relay, space=space_id)
    again, taken = use_phrase(phrase, relay, "new")
    assert taken.own_lost
    shown = str(texts(again))
    assert "To Robin." in shown
    assert "To Kim." in shown
    assert "On this device only." not in shown
    assert [space.kind for space in again.spaces()] == ["own", "pair", "pair"]
    again.write("checkin", {"worry": "Anew."}, private=True)
    assert all(each.covered for each in covers(again.storage, phrase))


def test_who_was_killed_before_anything_was_sent_begins_anew(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    ada, robin = couple
    phrase = made(ada)
    sync_all(relay, ada, robin)
    use_phrase(phrase, relay, "never came to be", unsent=True)
    again, _ = use_phrase(phrase, relay, "new")
    sync_all(relay, again, robin)
    assert texts(again) == texts(ada)
    assert mine_active(robin) == {pair_space(robin).log_id}


def test_who_was_killed_after_everything_was_sent_begins_anew(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    ada, robin = couple
    phrase = made(ada)
    sync_all(relay, ada, robin)
    use_phrase(phrase, relay, "was lost at once")
    again, taken = use_phrase(phrase, relay, "new")
    sync_all(relay, again, robin)
    assert texts(again) == texts(ada)
    assert taken.removed == 1
    assert mine_active(again) == {pair_space(again).log_id}


def test_a_phrase_is_no_device_to_rename_or_revoke(couple: tuple[Replica, Replica]) -> None:
    ada, _ = couple
    made(ada)
    paper = find_device(ada.storage, "recovery phrase (on paper)")
    with pytest.raises(NotAllowed, match="not a device"):
        rename(ada, paper, "sheet")
    with pytest.raises(NotAllowed, match="not a device") as raised:
        revoke(ada, paper)
    assert "bide recovery destroy" in str(raised.value.hint)


def test_the_other_person_cannot_enrol_my_phrase_as_theirs(couple: tuple[Replica, Replica]) -> None:
    """Its proof names no space, but it names the slot."""
    ada, robin = couple
    phrase = made(ada)
    exchange(ada, robin)
    space = pair_space(robin)
    blank = blank_of(phrase, 5)
    stolen: DeviceRecord = blank.record(1 - space.slot)
    membership = load_membership(robin.storage, space.space_id)
    with robin.storage.transaction():
        statement = RecoveryAdded("recovery.added", 1, sorted(membership.heads), stolen, [])
        envelope = robin.writer.appender.control(write_control(statement), space=space)
        with pytest.raises(MembershipRejected, match="don't belong together"):
            membership.admit(envelope)


def test_every_step_is_the_same_on_the_relay_and_after_a_rebuild(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    ada, robin = couple
    phrase = made(ada)
    sync_all(relay, ada, robin)
    again, _ = use_phrase(phrase, relay, "new")
    sync_all(relay, again, robin)
    for replica in (again, robin):
        before = replica.digest()
        replica.rebuild()
        assert replica.digest() == before
    fresh = MemoryRelay()
    sync_all(fresh, robin, again)  # a relay that lost everything is filled again, the paper's log too
    assert sync(again, fresh).finished


def test_without_the_right_words_nothing_opens(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """The id of a space is no secret: other words that lead there find nothing."""
    ada, _ = couple
    made(ada)
    sync_all(relay, ada)
    guessed = RecoveryPhrase.new(ada.spaces()[0].space_id, SeededRandomness("guess"))
    with pytest.raises((NotFound, VerificationFailed, EnvelopeRejected)):
        use_phrase(guessed, relay, "thief")


def test_what_has_ended_comes_back_to_be_read(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """An end is no reason why somebody who lost every device should stay out of all the rest."""
    ada, robin = couple
    phrase = made(ada)
    sync_all(relay, ada, robin)
    robin.leave("Ada")
    sync_all(relay, robin, ada)
    before = texts(ada)
    again, taken = use_phrase(phrase, relay, "new laptop")
    assert texts(again) == before
    assert taken.removed == 1
    again.write("checkin", {"lift": "For myself, after."}, private=True)
    sync_all(relay, again, robin)
    with pytest.raises(NotPaired, match="has ended"):
        again.reader.pair_space("Robin")
    assert [each.name for each in my_devices(again.storage) if each.active] == ["recovery phrase (on paper)", "new laptop"]


def test_what_has_ended_is_covered_by_words_that_were_made_before_their_device_was_let_in(relay: MemoryRelay) -> None:
    """Ada shares something, the other person ends it, and meanwhile her phone makes a phrase, not being in it yet."""
    ada, robin = new_replica("Ada"), new_replica("Robin")
    for replica in (ada, robin):
        replica.set_relay(RELAY_URL)
    phone = add_device(ada, "phone")
    sync_all(relay, ada, phone)
    pair_up(ada, robin)
    sync_all(relay, ada, robin, ada)
    robin.leave()
    sync_all(relay, robin, ada)
    phrase = made(phone)
    assert [cover.space.kind for cover in covers(phone.storage, phrase)] == ["own"]
    sync_all(relay, phone, ada, phone, ada)
    assert all(cover.covered for cover in covers(ada.storage, phrase))
    new, _ = use_phrase(phrase, relay, "new")
    assert [space.kind for space in new.spaces()] == ["own", "pair"]


def test_words_that_nobody_was_given_are_known_for_it(couple: tuple[Replica, Replica]) -> None:
    """Until they are given, or there are others."""
    ada, _ = couple
    anchor = anchor_for(ada.storage).space_id
    lost_words, others = (RecoveryPhrase.new(anchor, SeededRandomness(seed)) for seed in ("lost", "others"))
    create(ada, lost_words, given=False)
    assert ungiven(ada.storage)
    assert is_ungiven(ada.storage, lost_words)
    assert not is_ungiven(ada.storage, others)
    assert [str(finding.words) for finding in ada.doctor() if "Perhaps nobody" in str(finding.words)]
    note_given(ada.storage)
    assert not ungiven(ada.storage)
    create(ada, others, given=False)
    assert ungiven(ada.storage)
    destroy(ada)
    assert not ungiven(ada.storage)
