"""What two people do with it beyond telling: questions that open together, later, receiving, taking back, releasing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import pytest

from bide.entries.kinds import KINDS
from bide.errors import InputError, NotAllowed, NotPaired
from bide.ids import new_entry_id
from bide.replica import Replica
from bide.replica.authoring.appending import Moment
from bide.testing_replicas import exchange, give, new_replica, pair_space

VALUES: Mapping[str, Mapping[str, Any]] = {
    "checkin": {"went_well": "The walk.", "feelings": ["tired", "close"], "wants": "listening", "later": ["Bins"]},
    "appreciation": {"noticed": "You drove.", "felt": "held", "shows": "Care."},
    "share": {"text": "I was scared.", "depth": "2", "feelings": ["afraid"], "wants": "nothing"},
    "question": {"question": "What do you miss?", "reveal": "at_once"},
    "feeling": {"feelings": ["calm/floaty"], "note": "After the bath."},
    "activity": {"what": "Night train", "idea": "mine", "memory": "The sea."},
    "reflection": {"text": "Hm.", "feelings": ["sad"]},
    "keepsake": {"title": "Old", "text": "From before", "tags": ["a", "b"], "source": "jrnl"},
}


@pytest.mark.parametrize("kind", sorted(VALUES))
def test_each_kind_reaches_the_other_as_it_was_written(couple: tuple[Replica, Replica], kind: str) -> None:
    """With every field, the same on both sides; alone it can be kept private, edited and searched."""
    sam, robin = couple
    written = sam.write(kind, VALUES[kind])
    assert written.code.startswith(KINDS[kind].prefix + "-")
    give(sam, robin)
    mine, theirs = sam.show(written.id), robin.show(written.id)
    swapped = {"mine": "theirs", "theirs": "mine"}
    expected = {name: swapped.get(str(value), value) if name == "idea" else value for name, value in VALUES[kind].items()}
    assert mine["fields"] == VALUES[kind]
    assert theirs["fields"] == expected
    assert (mine["visibility"], theirs["shared_with"]) == ("shared", ["Sam"])
    private = sam.write(kind, VALUES[kind], private=True)
    assert sam.show(private.id)["visibility"] == "private"
    exchange(sam, robin)
    assert [entry["id"] for entry in robin.timeline()] == [written.id]


def test_feelings_are_kept_as_slugs_and_found_by_their_words(couple: tuple[Replica, Replica]) -> None:
    """In any language; an unknown one is refused with those that were perhaps meant."""
    sam, _ = couple
    written = sam.write("feeling", {"feelings": ["At home", "erleichtert"]})
    assert sam.show(written.id)["fields"]["feelings"] == ["at-home", "relieved"]
    for words in ("at home", "relieved", "erleichtert"):
        assert [entry["id"] for entry in sam.timeline(search=words)] == [written.id]
    with pytest.raises(InputError, match="'hapy' is not among") as caught:
        sam.write("feeling", {"feelings": ["hapy"]})
    assert "/hapy" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "values"), [("share", {"text": "x", "depth": "4"}), ("activity", {"what": "x", "idea": "his"})]
)
def test_a_choice_is_one_of_a_few(couple: tuple[Replica, Replica], kind: str, values: dict[str, str]) -> None:
    """Anything else is refused with what there is, and nothing is written."""
    sam, _ = couple
    with pytest.raises(InputError, match="is one of"):
        sam.write(kind, values)
    assert sam.timeline() == []


def answers(replica: Replica, question: str) -> list[tuple[bool, bool, str]]:
    """Mine or not, hidden or not, and the words of each answer."""
    replies = replica.show(question)["replies"]
    return sorted((r["by"]["me"], r["hidden"], r["fields"].get("answer", "")) for r in replies)


@pytest.mark.parametrize("first_asker", [True, False])
def test_answers_open_when_both_have_answered(couple: tuple[Replica, Replica], first_asker: bool) -> None:
    """Until then neither the screen, a script nor the search tells what the other wrote; then both see both."""
    sam, robin = couple
    question = sam.write("question", {"question": "What do you miss?"}).id
    exchange(sam, robin)
    first, second = (sam, robin) if first_asker else (robin, sam)
    written = first.reply("answer", question, {"answer": "secret lake"})
    exchange(sam, robin)
    assert answers(second, question) == [(False, True, "")]
    assert "secret" not in json.dumps(second.timeline()) + json.dumps(second.show(written.id))
    assert second.timeline(search="secret") == []
    assert answers(first, question) == [(True, False, "secret lake")]
    second.reply("answer", question, {"answer": "the forest"})
    exchange(sam, robin)
    for replica in (sam, robin):
        assert {words for _, _, words in answers(replica, question)} == {"secret lake", "the forest"}
        assert [entry["id"] for entry in replica.timeline(search="lake")] == [question]
    before = [replica.digest() for replica in couple]
    for replica in couple:
        replica.rebuild()
    assert [replica.digest() for replica in couple] == before


def test_who_asked_cannot_open_an_answer_by_changing_the_question(couple: tuple[Replica, Replica]) -> None:
    """When answers open is settled with the question; editing or taking back the question opens nothing."""
    sam, robin = couple
    question = sam.write("question", {"question": "What do you miss?"}).id
    exchange(sam, robin)
    robin.reply("answer", question, {"answer": "secret lake"})
    exchange(sam, robin)
    with pytest.raises(InputError, match="stays as it was"):
        sam.edit(question, {"reveal": "at_once"})
    sam.edit(question, {"question": "Really?"})
    assert answers(sam, question) == [(False, True, "")]
    sam.retract(question)
    assert answers(sam, question) == [(False, True, "")]


def test_a_question_is_answered_once_by_each(couple: tuple[Replica, Replica]) -> None:
    """Another answer is refused with what to do instead; what is no question has no answer."""
    sam, robin = couple
    question = sam.write("question", {"question": "?", "reveal": "at_once"}).id
    exchange(sam, robin)
    written = robin.reply("answer", question, {"answer": "a"})
    with pytest.raises(NotAllowed, match="have answered"):
        robin.reply("answer", question, {"answer": "b"})
    robin.edit(written.id, {"answer": "b"})
    assert answers(robin, question) == [(True, False, "b")]
    thanks = sam.write("appreciation", {"noticed": "x"})
    exchange(sam, robin)
    with pytest.raises(NotAllowed, match="no question"):
        robin.reply("answer", thanks.id, {"answer": "b"})


def test_receiving_by_choice_and_beneath_what_was_told(couple: tuple[Replica, Replica]) -> None:
    """With or without words, of an entry or an answer; never one's own."""
    sam, robin = couple
    share = sam.write("share", {"text": "I was scared."}).id
    question = sam.write("question", {"question": "?", "reveal": "at_once"}).id
    answer = sam.reply("answer", question, {"answer": "lake"}).id
    exchange(sam, robin)
    robin.reply("reception", share, {})
    robin.reply("reception", answer, {"words": "Thank you."})
    with pytest.raises(NotAllowed, match="yours"):
        sam.reply("reception", share, {})
    exchange(sam, robin)
    assert [reply["kind"] for reply in sam.show(share)["replies"]] == ["reception"]
    [answered] = sam.show(question)["replies"]
    assert [reply["fields"] for reply in answered["replies"]] == [{"words": "Thank you."}]


def test_later_has_no_reason_and_ends_with_a_reply(couple: tuple[Replica, Replica]) -> None:
    """It can be taken up again, is nobody's own to say, and leaves no trace in the history."""
    sam, robin = couple
    question = sam.write("question", {"question": "?", "reveal": "at_once"}).id
    exchange(sam, robin)
    robin.postpone(question)
    exchange(sam, robin)
    assert sam.show(question)["later"]
    assert robin.show(question)["later"]
    with pytest.raises(NotAllowed, match="already"):
        robin.postpone(question)
    with pytest.raises(NotAllowed, match="yours"):
        sam.postpone(question)
    robin.postpone(question, back=True)
    assert not robin.show(question)["later"]
    robin.postpone(question)
    robin.reply("answer", question, {"answer": "lake"})
    exchange(sam, robin)
    assert not sam.show(question)["later"]
    assert sam.show(question)["history"] == []
    assert not sam.show(question)["edited"]


def test_taking_back_is_seen_and_takes_the_words_away(couple: tuple[Replica, Replica]) -> None:
    """On both sides, in every way of reading; and nothing more happens to it."""
    sam, robin = couple
    written = sam.write("share", {"text": "regretted"}).id
    sam.edit(written, {"text": "regretted more"})
    exchange(sam, robin)
    with pytest.raises(NotAllowed, match="Only the one who wrote"):
        robin.retract(written)
    sam.retract(written)
    exchange(sam, robin)
    for replica in couple:
        [entry] = replica.timeline()
        assert entry["retracted"]
        assert "regretted" not in json.dumps(entry)
        assert replica.timeline(search="regretted") == []
    with pytest.raises(NotAllowed, match="taken back"):
        sam.edit(written, {"text": "again"})
    with pytest.raises(NotAllowed, match="taken back"):
        sam.retract(written)
    with pytest.raises(NotAllowed, match="taken back"):
        robin.reply("hearing", written, {"mirrored": "x"})


def test_releasing_shares_the_words_with_their_day(couple: tuple[Replica, Replica]) -> None:
    """Once; the private one leaves the timeline and says where it went."""
    sam, robin = couple
    at = Moment(1_700_000_000_000, "UTC", "2023-11-14")
    private = sam.write("reflection", {"text": "for me", "feelings": ["sad"]}, private=True, at=at)
    released = sam.release(private.id)
    exchange(sam, robin)
    [entry] = robin.timeline()
    assert entry["id"] == released.id
    assert entry["written_on"] == "2023-11-14"
    assert entry["day"] != "2023-11-14"
    assert entry["fields"] == {"text": "for me", "feelings": ["sad"]}
    assert [e["id"] for e in sam.timeline()] == [released.id]
    assert sam.show(private.id)["released_to"] == released.id
    for wrong in (private.id, released.id):
        with pytest.raises(NotAllowed, match="shared"):
            sam.release(wrong)


def test_releasing_needs_somebody(couple: tuple[Replica, Replica]) -> None:
    """Without a pair nothing changes."""
    alone = new_replica("Kim")
    private = alone.write("reflection", {"text": "for me"}, private=True)
    with pytest.raises(NotPaired):
        alone.release(private.id)
    assert alone.show(private.id)["released_to"] == ""


def test_an_entry_with_a_given_id_is_begun_once(couple: tuple[Replica, Replica]) -> None:
    """A second time is refused and changes nothing, so that an import can be run again."""
    sam, _ = couple
    entry_id = new_entry_id(sam.clock, sam.randomness, slot=0)
    at = Moment(946_684_800_000, "Asia/Tokyo", "2000-01-01")
    sam.write("keepsake", {"text": "old"}, private=True, entry_id=entry_id, at=at)
    with pytest.raises(NotAllowed, match="here already"):
        sam.write("keepsake", {"text": "new"}, private=True, entry_id=entry_id)
    [entry] = sam.timeline()
    assert (entry["at"], entry["tz"], entry["day"]) == ("2000-01-01T00:00:00.000Z", "Asia/Tokyo", "2000-01-01")
    assert entry["fields"]["text"] == "old"


def test_every_order_of_arrival_leads_to_the_same(couple: tuple[Replica, Replica]) -> None:
    """Questions, answers, later, receptions and retractions, in both directions and in pieces."""
    sam, robin = couple
    question = sam.write("question", {"question": "?"}).id
    exchange(sam, robin)
    robin.postpone(question)
    sam.reply("answer", question, {"answer": "mine"})
    robin.reply("answer", question, {"answer": "theirs"})
    share = robin.write("share", {"text": "scared"}).id
    for one, two in itertools.permutations(couple):
        give(one, two)
    sam.reply("reception", share, {"words": "thanks"})
    robin.retract(share)
    exchange(sam, robin)
    space = pair_space(sam).space_id
    digests = [d["digest"] for replica in couple for d in replica.digest() if d["space"] == space.hex()]
    assert digests[0] == digests[1]
    for replica in couple:
        replica.rebuild()
    rebuilt = [d["digest"] for replica in couple for d in replica.digest() if d["space"] == space.hex()]
    assert rebuilt == digests
