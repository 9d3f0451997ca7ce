"""The practice with somebody who cheats: answers stay closed until both stand, and nothing is put under what was answered."""

from __future__ import annotations

import json
from typing import Any

import pytest
from forging import forge
from replicas import raw

from bide.crdt.change import read_change
from bide.crdt.document import create_change
from bide.entries.records import Standing
from bide.errors import NotAllowed
from bide.ids import SystemRandomness, format_entry_id, new_entry_id
from bide.replica import Replica
from bide.testing import FakeClock
from bide.testing_replicas import exchange, give, pair_space

RANDOM = SystemRandomness()
SECRET = "the lake at night"
SAM, ROBIN = 0, 1


def made(slot: int, **fields: str) -> bytes:
    return create_change(fields, slot=slot, randomness=RANDOM)


def made_before(other: bytes, slot: int, **fields: str) -> bytes:
    """A change that comes before another one, where the order of their hashes decides."""
    while True:
        change = made(slot, **fields)
        if read_change(change).hash < read_change(other).hash:
            return change


def forge_new(replica: Replica, kind: str, slot: int, **fields: str) -> str:
    entry = new_entry_id(FakeClock(), RANDOM, slot=slot)
    forge(replica, kind, entry, made(slot, **fields))
    replica.rebuild()
    return format_entry_id(entry)


def sees(replica: Replica, question: str) -> bool:
    """Whether Sam's secret can be read there in any way."""
    replies = replica.show(question)["replies"]
    return SECRET in json.dumps([replica.timeline(), replies, [replica.show(r["id"]) for r in replies]]) or bool(
        replica.timeline(search="lake")
    )


def digests(*replicas: Replica) -> set[str]:
    """Of the pair space, live and after a rebuild: one if all is well."""
    found = {str(replica.digest()[1]["digest"]) for replica in replicas}
    for replica in replicas:
        replica.rebuild()
        found.add(str(replica.digest()[1]["digest"]))
    return found


def test_an_answer_that_was_taken_back_opens_nothing(couple: tuple[Replica, Replica]) -> None:
    """Who answers and takes it back does not read what the other writes after it; who answers anew does."""
    sam, robin = couple
    question = sam.write("question", {"question": "?"}).id
    exchange(sam, robin)
    robin.retract(robin.reply("answer", question, {"answer": "bait"}).id)
    exchange(sam, robin)
    sam.reply("answer", question, {"answer": SECRET})
    exchange(sam, robin)
    assert not sees(robin, question)
    robin.reply("answer", question, {"answer": "the forest"})
    with pytest.raises(NotAllowed, match="have answered"):
        robin.reply("answer", question, {"answer": "again"})
    exchange(sam, robin)
    assert sees(robin, question)
    assert sam.timeline(search="forest")
    assert len(digests(sam, robin)) == 1


def test_who_takes_an_answer_back_closes_the_other_one(couple: tuple[Replica, Replica]) -> None:
    """It works in both directions: both answers stand, or neither is read by the other."""
    sam, robin = couple
    question = sam.write("question", {"question": "?"}).id
    exchange(sam, robin)
    sam.reply("answer", question, {"answer": SECRET})
    answer = robin.reply("answer", question, {"answer": "bait"}).id
    exchange(sam, robin)
    assert sees(robin, question)
    robin.retract(answer)
    exchange(sam, robin)
    assert not sees(robin, question)
    assert len(digests(sam, robin)) == 1


def test_an_answer_without_a_word_opens_nothing(couple: tuple[Replica, Replica]) -> None:
    """Neither an empty one nor one to another question, to an answer or to itself."""
    sam, robin = couple
    question = sam.write("question", {"question": "?"}).id
    other = sam.write("question", {"question": "!"}).id
    exchange(sam, robin)
    answer = sam.reply("answer", question, {"answer": SECRET}).id
    exchange(sam, robin)
    forge_new(robin, "answer.given", ROBIN, about=raw(question).hex(), answer="")
    forge_new(robin, "answer.given", ROBIN, about=raw(question).hex())
    for about in (raw(other).hex(), raw(answer).hex(), "", "zz", "00" * 16):
        forge_new(robin, "answer.given", ROBIN, about=about, answer="open up")
    forge_new(robin, "answer.given", SAM, about=raw(question).hex(), answer="not mine to begin")
    exchange(sam, robin)
    assert not sees(robin, question)
    assert len(digests(sam, robin)) == 1


def test_a_question_cannot_begin_anew_beneath_its_answer(couple: tuple[Replica, Replica]) -> None:
    """A second beginning of the same entry changes neither its words nor when the answers open, however it is sorted."""
    sam, robin = couple
    entry = new_entry_id(FakeClock(), RANDOM, slot=ROBIN)
    first = made(ROBIN, question="What do you miss?", reveal="both")
    forge(robin, "question.asked", entry, first)
    robin.rebuild()
    exchange(sam, robin)
    question = format_entry_id(entry)
    sam.reply("answer", question, {"answer": SECRET})
    exchange(sam, robin)
    forge(robin, "question.asked", entry, made_before(first, ROBIN, question="Whom do you hate?", reveal="at_once"))
    robin.rebuild()
    exchange(sam, robin)
    for replica in couple:
        assert replica.show(question)["fields"] == {"question": "What do you miss?", "reveal": "both"}
    assert not sees(robin, question)
    assert sam.storage.standing_counts(pair_space(sam).space_id)[Standing.IGNORED] == 1
    assert len(digests(sam, robin)) == 1


def test_an_answer_cannot_move_on_to_another_question(couple: tuple[Replica, Replica]) -> None:
    """One answer opens one question, and both devices agree on which, live and rebuilt."""
    sam, robin = couple
    one, two = (sam.write("question", {"question": "?"}).id for _ in range(2))
    exchange(sam, robin)
    sam.reply("answer", two, {"answer": SECRET})
    exchange(sam, robin)
    entry = new_entry_id(FakeClock(), RANDOM, slot=ROBIN)
    first = made(ROBIN, answer="x", about=raw(one).hex())
    forge(robin, "answer.given", entry, first)
    robin.rebuild()
    exchange(sam, robin)
    forge(robin, "answer.given", entry, made_before(first, ROBIN, answer="y", about=raw(two).hex()))
    give(robin, sam)
    robin.rebuild()
    assert not sees(robin, two)
    assert len(digests(sam, robin)) == 1


def test_a_hidden_answer_does_not_tell_that_it_was_changed(couple: tuple[Replica, Replica]) -> None:
    """Neither as a mark nor as a history; its writer sees both."""
    sam, robin = couple
    question = sam.write("question", {"question": "?"}).id
    answer = sam.reply("answer", question, {"answer": "first thoughts"}).id
    sam.edit(answer, {"answer": SECRET})
    exchange(sam, robin)
    [theirs], [mine] = robin.show(question)["replies"], sam.show(question)["replies"]
    assert (theirs["edited"], theirs["history"], theirs["alternatives"]) == (False, [], {})
    assert (mine["edited"], len(mine["history"])) == (True, 1)


def test_replies_in_circles_and_endless_ones_stop_nothing(couple: tuple[Replica, Replica]) -> None:
    """Two that reply to each other, one to itself, and a thousand in a row beneath one entry."""
    sam, robin = couple
    share = sam.write("share", {"text": "hello"}).id
    give(sam, robin)
    one, two, three = (new_entry_id(FakeClock(), RANDOM, slot=ROBIN) for _ in range(3))
    for made_up, about in ((one, two), (two, one), (three, three)):
        forge(robin, "reception.given", made_up, made(ROBIN, about=about.hex(), words="round"))
    above = raw(share)
    with robin.storage.transaction():
        for _ in range(1000):
            below = new_entry_id(FakeClock(), RANDOM, slot=ROBIN)
            forge(robin, "reception.given", below, made(ROBIN, about=above.hex(), words="deep"))
            above = below
    robin.rebuild()
    exchange(sam, robin)
    [entry] = sam.timeline()
    assert [len(reply["replies"]) for reply in entry["replies"]] == [1]
    assert sam.show(format_entry_id(one))["kind"] == "reception"
    assert len(digests(sam, robin)) == 1


@pytest.mark.parametrize("day", ["2026-11-0x", "2026-02-30", "2026-W46-1", "20261101", "\x1b[31m\n22:14  Sam", "x" * 60_000])
def test_a_day_that_is_none_is_not_told(couple: tuple[Replica, Replica], day: str) -> None:
    """The words stand without it, under the day of their entry, and looking back goes on."""
    sam, robin = couple
    forge_new(robin, "activity.written", ROBIN, what="Night train", written_on=day)
    give(robin, sam)
    [entry] = sam.timeline()
    assert (entry["fields"], entry["written_on"]) == ({"what": "Night train"}, "")
    assert isinstance(sam.clock, FakeClock)
    sam.clock.advance(2 * 24 * 60 * 60 * 1000)  # the entry is of the day after the one on which its clock began
    look: dict[str, Any] = sam.review(weeks=12)
    assert [item["day"] for item in look["together"]] == [entry["day"]]
