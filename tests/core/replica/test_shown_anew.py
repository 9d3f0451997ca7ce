"""What is shown is what a rebuild would show, however it came about: also where somebody cheats."""

from __future__ import annotations

import copy

import pytest
from forging import forge
from replicas import raw, sync_all

from bide.crdt.change import read_change
from bide.crdt.document import Fields, amend_change, create_change
from bide.crypto.keys import seal_grant
from bide.entries.question import CLOSED
from bide.ids import SystemRandomness, new_entry_id
from bide.replica import Replica
from bide.replica.own_devices.devices import find_device, revoke
from bide.testing import FakeClock
from bide.testing_replicas import MemoryRelay, add_device, copied, exchange, give, pair_space, sync

RANDOM = SystemRandomness()


def follows_from_the_log(replica: Replica) -> None:
    """Doctor finds nothing, and a rebuild changes nothing, not even in what is kept aside."""
    assert [str(finding.words) for finding in replica.doctor() if finding.level == "damage"] == []
    before = replica.digest(), [replica.storage.quarantine(space.space_id) for space in replica.spaces()]
    replica.rebuild()
    assert (replica.digest(), [replica.storage.quarantine(space.space_id) for space in replica.spaces()]) == before


def test_a_key_that_is_not_what_it_is_called_is_named_and_no_damage(
    couple: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    sam, robin = couple
    add_device(sam, "phone")
    monkeypatch.setattr("bide.replica.authoring.admitting.seal_grant", lambda _, **to: seal_grant(bytes(32), **to))
    revoke(sam, find_device(sam.storage, "phone"))
    give(sam, robin)
    assert robin.storage.quarantine(pair_space(robin).space_id)
    follows_from_the_log(robin)


def test_a_conversation_is_alone_again_once_a_later_key_tells_what_was_known(couple: tuple[Replica, Replica]) -> None:
    """The phone had Robin's invitation, says so where the desktop can't read it yet, and then claims to have forgotten."""
    sam, robin = couple
    relay = MemoryRelay()
    phone, tablet = add_device(sam, "phone"), add_device(sam, "tablet")
    sync_all(relay, sam, phone, tablet, robin)
    old = pair_space(phone).epoch_id
    desktop = add_device(sam, "desktop")
    sync_all(relay, sam, desktop)
    robin.invite_to_repair({"topic": "the dishes"})
    for replica in (phone, desktop):
        give(robin, replica)
    revoke(phone, find_device(phone.storage, "tablet"))  # has not heard of the desktop
    phone.write("appreciation", {"noticed": "Not for the desktop yet."})
    topic = create_change({"topic": "the bins", "calm": True}, texts={"agreement": ""}, slot=0, randomness=RANDOM)
    forge(phone, "repair.invited", new_entry_id(FakeClock(), RANDOM, slot=0), topic, epoch_id=old)
    phone.rebuild()
    give(phone, desktop)
    assert [entry["kind"] for entry in desktop.timeline()].count("repair") == 1
    give(phone, sam)
    sync_all(relay, sam, desktop)
    assert not desktop.storage.quarantine(pair_space(desktop).space_id)
    assert [entry["kind"] for entry in desktop.timeline()].count("repair") == 2
    follows_from_the_log(desktop)


@pytest.mark.parametrize(
    ("becomes", "fields", "texts"),
    [("checkin.written", {"hard": "x"}, {}), ("repair.invited", {"topic": "x", "calm": True}, {"agreement": ""})],
)
def test_answers_close_when_what_they_answer_turns_out_to_be_no_question(
    couple: tuple[Replica, Replica], becomes: str, fields: Fields, texts: dict[str, str]
) -> None:
    """Two devices of Robin begin the same entry as two things; the one with the lower hash counts, whichever comes first."""
    sam, robin = couple
    phone, tablet = add_device(robin, "phone"), add_device(sam, "tablet")
    exchange(robin, sam)
    give(sam, tablet)
    give(robin, phone)
    entry = new_entry_id(FakeClock(), RANDOM, slot=1)
    asked = create_change({"question": "What was good?", "reveal": "at_once"}, slot=1, randomness=RANDOM)
    forge(robin, "question.asked", entry, asked)
    give(robin, sam)
    sam.reply("answer", sam.timeline()[0]["id"], {"answer": "The bread."})
    other = asked
    while read_change(other).hash >= read_change(asked).hash:
        fields, texts = (
            ({"topic": "x", "calm": True}, {"agreement": ""}) if becomes == "repair.invited" else ({"hard": "x"}, {})
        )
        other = create_change(fields, texts=texts, slot=1, randomness=RANDOM)
    forge(phone, becomes, entry, other)
    for source, target in ((phone, sam), (phone, tablet), (robin, tablet), (sam, tablet)):
        give(source, target)
    for replica in (sam, tablet):
        [answer] = replica.storage.replies([entry])
        assert (answer.state, answer.search_text) == (CLOSED, "")
        follows_from_the_log(replica)
    assert sam.digest()[1]["digest"] == tablet.digest()[1]["digest"]


def test_words_left_over_of_an_answer_are_found_once_it_is_open_and_not_before(couple: tuple[Replica, Replica]) -> None:
    """Robin's phone said the answer again, as a copy does, and an edit on an edit that Robin erased without knowing of it."""
    sam, robin = couple
    phone = add_device(robin, "phone")
    asked = sam.write("question", {"question": "What was good?"})
    for source, target in ((robin, sam), (sam, robin), (robin, phone)):
        give(source, target)
    answer = robin.reply("answer", asked.id, {"answer": "The bread."})
    robin.edit(answer.id, {"answer": "The rye bread."})
    given, edited = (event for event in robin.storage.events(pair_space(robin).space_id, raw(answer.id)))
    later = amend_change([given.change, edited.change], {"answer": "The plum cake."}, slot=1, randomness=RANDOM)
    forge(phone, "answer.given", raw(answer.id), given.change)
    forge(phone, "answer.edited", raw(answer.id), later)
    robin.erase([answer.id])
    give(robin, sam)
    give(phone, sam)
    assert sam.timeline(search="plum") == []
    follows_from_the_log(sam)
    sam.reply("answer", asked.id, {"answer": "The tea."})
    assert len(sam.timeline(search="plum")) == 1
    follows_from_the_log(sam)


def test_a_home_that_takes_back_what_it_had_taken_out_keeps_no_device_that_nobody_knows(
    couple: tuple[Replica, Replica],
) -> None:
    """Sam's copy writes in the place where Sam added a phone, Sam goes on in a new log, and then the relay has it as it was."""
    sam, robin = couple
    relay = MemoryRelay()
    sync_all(relay, sam, robin)
    twin, earlier = copied(sam, "twin"), copy.deepcopy(relay.spaces)
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone)
    watch = add_device(phone, "watch")
    sync_all(relay, phone, watch, sam)
    later, relay.spaces = relay.spaces, earlier
    twin.write("appreciation", {"noticed": "By the twin."})
    sync(twin, relay)
    log = pair_space(sam).log_id
    sync(sam, relay, frames_max=8)
    assert pair_space(sam).log_id != log  # and the relay has not heard of it
    relay.spaces = later
    for frames in range(4, 16):
        home = copied(sam, "again")
        sync(home, copy.deepcopy(relay), frames_max=frames)
        follows_from_the_log(home)


def test_what_a_device_said_is_shown_again_when_its_addition_is_said_again(couple: tuple[Replica, Replica]) -> None:
    """Sam's copy writes where Sam had added a phone; the sync breaks off before that is said again, and Sam rebuilds."""
    sam, robin = couple
    relay = MemoryRelay()
    sync_all(relay, sam, robin)
    twin, earlier = copied(sam, "twin"), copy.deepcopy(relay.spaces)
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone)
    phone.write("appreciation", {"noticed": "By the phone."})
    sync_all(relay, phone, sam)
    relay.spaces = earlier
    twin.write("appreciation", {"noticed": "By the twin."})
    sync(twin, relay)
    for frames in range(2, 12):
        home, rest = copied(sam, "again"), copy.deepcopy(relay)
        sync(home, rest, frames_max=frames)
        home.rebuild()
        assert len(home.timeline(search="phone")) == 1
        sync(home, rest)
        assert len(home.timeline(search="phone")) == 1
        follows_from_the_log(home)
