"""Erased, stripped and forged: what a replica does with envelopes without a body, and what the other's words become."""

from __future__ import annotations

import pytest
from forging import forge

from bide.errors import MembershipRejected, NotAllowed
from bide.log.control import BodiesErased, Span, write_control
from bide.log.envelope import HEADER_BYTES, parse_envelope
from bide.replica import Replica
from bide.replica.derivation.deriving import AFTER_THE_END
from bide.replica.own_devices.devices import find_device, revoke
from bide.testing_replicas import (
    MemoryRelay,
    add_device,
    exchange,
    give,
    missing,
    new_replica,
    pair_space,
    pair_up,
    receive,
    sync,
)


def couple() -> tuple[Replica, Replica]:
    sam, robin = new_replica("Sam"), new_replica("Robin")
    pair_up(sam, robin)
    for replica in (sam, robin):
        replica.set_relay("ws://127.0.0.1:8765")
    exchange(sam, robin)
    return sam, robin


def digest(replica: Replica) -> str:
    return str(replica.digest()[1]["digest"])


def texts(replica: Replica) -> list[str]:
    return sorted(str(entry["fields"].get("noticed", "")) for entry in replica.timeline())


def agree(*replicas: Replica) -> None:
    """All hold and show the same, and would again."""
    for replica in replicas:
        before = replica.digest()
        replica.rebuild()
        assert replica.digest() == before
        assert digest(replica) == digest(replicas[0])
        assert not [finding for finding in replica.doctor() if finding.level == "damage"]


def test_the_order_in_which_an_erasure_and_what_builds_on_it_arrive_makes_no_difference() -> None:
    sam, robin = couple()
    question = sam.write("question", {"question": "What was good today?", "reveal": "at_once"})
    exchange(sam, robin)
    robin.reply("answer", question.id, {"answer": "The bread."})
    sam.erase([question.id])
    third = add_device(sam, "phone")
    give(sam, third, space=sam.reader.own_space().space_id)
    give(robin, sam)
    give(sam, third)
    give(sam, robin)
    [shown] = robin.timeline()
    assert (shown["kind"], shown["fields"], shown["by"]["name"]) == ("erased", {}, "Sam")
    assert [reply["fields"] for reply in shown["replies"]] == [{"answer": "The bread."}]
    agree(sam, robin)
    with pytest.raises(NotAllowed, match="erased"):
        robin.reply("reception", shown["id"], {"words": "Thank you."})


def test_words_that_build_on_something_erased_are_left_and_found() -> None:
    sam, robin = couple()
    hers = sam.write("share", {"text": "I was afraid."})
    exchange(sam, robin)
    robin.hear(hers.id, {"mirrored": "You were afraid."})
    exchange(sam, robin)
    [hearing] = sam.show(hers.id)["replies"]
    sam.answer_hearing(hearing["id"], verdict="not_quite", clarification="More sad than afraid.")
    exchange(sam, robin)
    robin.erase([hearing["id"]])
    exchange(sam, robin)
    agree(sam, robin)
    found = sam.timeline(search="more sad")
    assert [said["fields"]["clarification"] for said in found[0]["words"]] == ["More sad than afraid."]
    assert sam.timeline(search="you were afraid") == []
    assert "I was afraid." in str(sam.timeline())


def test_a_conversation_goes_back_to_before_what_was_erased_and_goes_on() -> None:
    sam, robin = couple()
    talk = sam.invite_to_repair({"topic": "the dishes"})
    exchange(sam, robin)
    robin.repair_step(talk.id, "accept")
    robin.repair_step(talk.id, "tell", {"own_part": "I left early.", "felt": "tired"})
    exchange(sam, robin)
    sam.repair_step(talk.id, "hear", {"mirrored": "You were tired."})
    sam.repair_step(talk.id, "tell", {"own_part": "I was loud.", "felt": "sad"})
    exchange(sam, robin)
    robin.erase([talk.id])
    exchange(sam, robin)
    agree(sam, robin)
    [shown] = sam.timeline()
    assert shown["kind"] == "repair"
    assert "I left early." not in str(shown)
    assert "I was loud." in str(shown["words"])
    robin.repair_step(talk.id, "accept")
    exchange(sam, robin)
    agree(sam, robin)
    assert sam.show(talk.id)["next"]


def test_nobody_erases_the_others_words() -> None:
    sam, robin = couple()
    sam.write("appreciation", {"noticed": "The tea."})
    exchange(sam, robin)
    space = pair_space(robin)
    heads = sorted(robin.storage.controls(space.space_id)[-1:], key=lambda each: each.seq)
    mine = pair_space(sam).log_id
    body = write_control(BodiesErased("bodies.erased", 1, [each.hash for each in heads], [Span(mine, 1, 9)]))
    with robin.storage.transaction():
        robin.writer.appender.control(body, space=space)
    with pytest.raises(MembershipRejected, match="same person"):
        give(robin, sam)
    assert texts(sam) == ["The tea."]


def test_a_body_that_somebody_kept_back_is_told_asked_for_and_filled_in() -> None:
    sam, robin = couple()
    sam.write("appreciation", {"noticed": "The tea."})
    sam.write("appreciation", {"noticed": "The bread."})
    whole = [envelope.data for log in missing(sam, robin) for envelope in log]
    receive(robin, [data if parse_envelope(data).klass else data[:HEADER_BYTES] for data in whole])
    assert texts(robin) == []
    assert any("keeps them back" in str(finding.words) for finding in robin.doctor())
    relay = MemoryRelay()
    sync(sam, relay)
    sync(robin, relay)  # asks for it again, since it is missing here
    assert texts(robin) == ["The bread.", "The tea."]
    assert not any("keeps them back" in str(finding.words) for finding in robin.doctor())
    agree(sam, robin)


def test_a_new_storage_that_was_filled_without_bodies_is_given_them_by_the_one_who_wrote_them() -> None:
    sam, robin = couple()
    sam.write("appreciation", {"noticed": "The tea."})
    relay = MemoryRelay()
    sync(sam, relay)
    sync(robin, relay)
    other = MemoryRelay(store_id=bytes([7]) * 16)
    sync(robin, other)
    log = other.spaces[pair_space(sam).space_id].logs[pair_space(sam).log_id]
    log[:] = [envelope if envelope.klass else envelope.bare() for envelope in log]
    sync(sam, other)
    assert not any(envelope.is_bare for envelope in log)


def test_what_arrives_after_its_erasure_is_kept_without_its_body() -> None:
    sam, robin = couple()
    tea = sam.write("appreciation", {"noticed": "The tea."})
    before = [envelope.data for log in missing(sam, robin) for envelope in log]
    sam.erase([tea.id])
    give(sam, robin)
    assert receive(robin, before) == 0
    assert robin.timeline() == []
    assert len(robin.storage.bare(pair_space(robin).space_id)) == 1
    agree(sam, robin)


@pytest.mark.parametrize("first", ["erased", "removed"])
def test_what_is_erased_beyond_the_end_of_a_removed_device_is_not_kept_aside_in_whichever_order(first: str) -> None:
    """One device of Sam's erases what the phone said; another one, that never had it, removes the phone before it."""
    sam, robin = couple()
    phone, tablet = add_device(sam, "phone"), add_device(sam, "tablet")
    everybody = (phone, tablet, robin)
    for replica in everybody:
        give(sam, replica)
    tea = phone.write("appreciation", {"noticed": "The tea."})
    phone.write("appreciation", {"noticed": "The bread."})
    give(phone, robin)
    give(phone, tablet)
    tablet.erase([tea.id])
    revoke(sam, find_device(sam.storage, "phone"))
    for source in (tablet, sam) if first == "erased" else (sam, tablet):
        give(source, robin)
    give(robin, sam)
    give(robin, tablet)
    for replica in (robin, sam, tablet):
        assert len(replica.storage.quarantine(pair_space(replica).space_id)) == 1  # the bread
        assert texts(replica) == []
    agree(robin, sam, tablet)


def test_what_a_cheat_writes_knowing_of_the_end_is_set_aside_in_whichever_order() -> None:
    sam, robin = couple()
    robin.write("appreciation", {"noticed": "Before I knew."})
    sam.leave()
    give(sam, robin)
    with pytest.raises(NotAllowed, match="has ended"):
        robin.writer.write("appreciation", {"noticed": "After."}, space=pair_space(robin))
    entry = robin.reader.find(robin.timeline()[0]["id"]).entry_id
    frontier = tuple(
        h for h in robin.storage.heads(pair_space(robin).space_id).values() if h.log_id != pair_space(robin).log_id
    )
    forge(robin, "appreciation.edited", entry, b"x", frontier=frontier)
    robin.rebuild()
    give(robin, sam)
    agree(sam, robin)
    for replica in (sam, robin):
        assert [item.reason for item in replica.storage.quarantine(pair_space(replica).space_id)] == [AFTER_THE_END]
        assert texts(replica) == ["Before I knew."]
