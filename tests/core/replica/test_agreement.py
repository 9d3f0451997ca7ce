"""The agreement is written by two: edits made offline come together word by word, and where they clash both stay visible."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bide.crdt.document import NothingChanged
from bide.entries.records import Standing
from bide.entries.repair import Step
from bide.errors import NotAllowed
from bide.replica import Replica
from bide.storage.sqlite import SqliteStorage
from bide.testing_replicas import exchange, give, new_replica, pair_space, pair_up

TELL = {"own_part": "I left them", "felt": "tired"}
BASE = ["we", "wash", "the", "dishes", "on", "Sunday", "evening"]
KEY = bytes(32)


@functools.cache
def couple() -> tuple[Replica, Replica]:
    """Sam and Robin, paired; each test has a conversation of its own."""
    sam, robin = new_replica("Sam"), new_replica("Robin")
    pair_up(sam, robin)
    exchange(sam, robin)
    return sam, robin


def open_talk(sam: Replica, robin: Replica, agreement: str = "") -> str:
    """A conversation in which there can be an agreement, known to both."""
    talk = sam.invite_to_repair({"topic": "dishes"}).id
    exchange(sam, robin)
    robin.repair_step(talk, "tell", TELL)
    exchange(sam, robin)
    sam.repair_step(talk, "hear", {"mirrored": "x"})
    if agreement:
        sam.repair_step(talk, "agree", {"agreement": agreement})
    exchange(sam, robin)
    return talk


def agree(replica: Replica, talk: str, text: str) -> None:
    replica.repair_step(talk, "agree", {"agreement": text})


def shown(replica: Replica, talk: str) -> tuple[str, list[str]]:
    """The agreement, and each wording where two clash."""
    entry = replica.show(talk)
    return entry["fields"]["agreement"], entry["alternatives"].get("agreement", [])


def both_shown(sam: Replica, robin: Replica, talk: str) -> tuple[str, list[str]]:
    """What both see, which is the same."""
    assert shown(sam, talk) == shown(robin, talk)
    return shown(sam, talk)


@st.composite
def edited(draw: st.DrawFn, who: str) -> list[str]:
    """One or two texts that somebody makes of the base, one after the other; every new word names its writer."""
    words, texts, count = list(BASE), [], itertools.count()
    for _ in range(draw(st.integers(1, 2))):
        for _ in range(draw(st.integers(1, 3))):
            place = draw(st.integers(0, len(words)))
            what = draw(st.sampled_from(["insert", "replace", "delete"]))
            if what != "insert" and place < len(words):
                del words[place]
            if what != "delete" or not words:
                words.insert(place, f"{who}{next(count)}")
        texts.append(" ".join(words))
    return texts


@settings(max_examples=40)
@given(edited("s"), edited("r"), st.booleans(), st.integers(0, 3))
def test_two_edits_offline_come_to_the_same_and_lose_no_word(
    sams: list[str], robins: list[str], sam_first: bool, settling: int
) -> None:
    """In either order; words are whole; what somebody added is in the text or in a wording; whoever has both settles it."""
    sam, robin = couple()
    talk = open_talk(sam, robin, " ".join(BASE))
    for replica, texts in ((sam, sams), (robin, robins)):
        for text in texts:
            try:
                agree(replica, talk, text)
            except NothingChanged:  # by the very first edit of the second person too: their word was given
                assert text == shown(replica, talk)[0]
    exchange(sam, robin) if sam_first else exchange(robin, sam)
    text, wordings = both_shown(sam, robin, talk)
    added = {word for version in (sams[-1], robins[-1]) for word in version.split()} - set(BASE)
    assert added <= {word for version in (text, *wordings) for word in version.split()}
    assert set(text.split()) <= added | set(BASE) | {"/"}
    assert wordings in ([], [sams[-1], robins[-1]])
    if not wordings:
        for replica in (sam, robin):
            replica.rebuild()
        assert both_shown(sam, robin, talk) == (text, [])
    # Keeping the wording as it stands, or one's own, or the other's, or a new one.
    last = (text, sams[-1], robins[-1], "something else")[settling]
    if wordings or last != text:
        agree(robin if sam_first else sam, talk, last)
        exchange(sam, robin)
    assert both_shown(sam, robin, talk) == (last, [])


def test_different_words_of_one_sentence_merge() -> None:
    """Nothing is marked, and nobody has to do anything."""
    sam, robin = couple()
    talk = open_talk(sam, robin, "We wash the dishes on Sunday.")
    agree(sam, talk, "We dry the dishes on Sunday.")
    agree(robin, talk, "We wash the dishes on Monday.")
    exchange(sam, robin)
    assert both_shown(sam, robin, talk) == ("We dry the dishes on Monday.", [])


def test_the_same_word_is_a_clash_until_who_had_both_settles_it() -> None:
    """Each whole wording, Sam's first; an edit that knew only one of them settles nothing."""
    sam, robin = couple()
    talk = open_talk(sam, robin, "We wash the dishes.")
    agree(sam, talk, "We dry the dishes.")
    agree(robin, talk, "We clean the dishes.")
    give(robin, sam)
    agree(robin, talk, "We clean the dishes, both.")
    exchange(sam, robin)
    text, wordings = both_shown(sam, robin, talk)
    assert text == "We dry / clean the dishes, both."
    assert wordings == ["We dry the dishes.", "We clean the dishes, both."]
    assert [e["id"] for e in sam.timeline(search="clean")][-1] == talk
    agree(sam, talk, "We clean the dishes, both.")
    exchange(sam, robin)
    assert both_shown(sam, robin, talk) == ("We clean the dishes, both.", [])
    before = [item["fields"]["agreement"] for item in robin.show(talk)["history"] if "agreement" in item["fields"]]
    assert before[-1] == "We dry / clean the dishes, both."


def test_a_wording_can_be_kept_as_it_stands() -> None:
    """Saying the same is a word in itself while there is a choice, and none once there isn't."""
    sam, robin = couple()
    talk = open_talk(sam, robin, "tea")
    agree(sam, talk, "green tea")
    agree(robin, talk, "black tea")
    exchange(sam, robin)
    text, wordings = both_shown(sam, robin, talk)
    assert (text, len(wordings)) == ("green / black tea", 2)
    agree(robin, talk, text)
    exchange(sam, robin)
    assert both_shown(sam, robin, talk) == (text, [])
    with pytest.raises(NothingChanged):
        agree(robin, talk, text)


def test_what_was_said_once_can_be_said_again_when_it_counts_again() -> None:
    """Settled, then a new agreement, then settled; heard, then heard anew; later, back by a step, and later again."""
    sam, robin = couple()
    talk = open_talk(sam, robin, "tea")
    robin.repair_step(talk, "answer", {"verdict": "heard"})
    robin.repair_step(talk, "settle")
    exchange(sam, robin)
    sam.repair_step(talk, "hear", {"mirrored": "more of it"})
    agree(sam, talk, "green tea")
    exchange(sam, robin)
    robin.repair_step(talk, "answer", {"verdict": "heard"})
    robin.repair_step(talk, "later")
    agree(robin, talk, "green tea, daily")
    robin.repair_step(talk, "later")
    assert robin.show(talk)["state"] == "later"
    robin.repair_step(talk, "return")
    robin.repair_step(talk, "settle")
    exchange(sam, robin)
    sam.repair_step(talk, "settle")
    assert sam.show(talk)["state"] == "settled"
    assert sam.show(talk)["ignored"] == 0


def crossed() -> tuple[Replica, Replica, str, str]:
    """Two who invited each other, each with an agreement already; and the ids of the main and the folded conversation."""
    sam, robin = new_replica("Sam"), new_replica("Robin")
    pair_up(sam, robin)
    exchange(sam, robin)
    ids = {}
    for replica, topic, text in ((sam, "dishes", "We wash."), (robin, "Sunday", "Sundays off.")):
        ids[topic] = replica.invite_to_repair({"topic": topic}).id
        replica.repair_step(ids[topic], "later")
        agree(replica, ids[topic], text)
    main, folded = sorted(ids.values())
    return sam, robin, main, folded


def test_two_agreements_of_folded_conversations_become_one() -> None:
    """One after another, until somebody who knew both writes the main one anew."""
    sam, robin, main, folded = crossed()
    exchange(sam, robin)
    text, wordings = both_shown(sam, robin, main)
    assert sorted(text.split("\n\n")) == ["Sundays off.", "We wash."]
    assert wordings == []
    agree(robin, folded, "We wash, and Sundays off.")
    exchange(sam, robin)
    assert both_shown(sam, robin, folded) == ("We wash, and Sundays off.", [])
    for replica in (sam, robin):
        replica.rebuild()
        assert replica.timeline(search="sundays off")
    assert both_shown(sam, robin, main) == ("We wash, and Sundays off.", [])


def test_who_knew_only_one_agreement_rewrites_only_that() -> None:
    """The other one stays beside it."""
    sam, robin, main, _ = crossed()
    sams = any(entry["id"] == main for entry in sam.conversations())
    owner, text = (sam, "We wash.") if sams else (robin, "Sundays off.")
    other = "Sundays off." if text == "We wash." else "We wash."
    agree(owner, main, f"{text} Always.")
    exchange(sam, robin)
    assert both_shown(sam, robin, main) == (f"{text} Always.\n\n{other}", [])


@pytest.mark.parametrize("kept", [0, 1])
def test_of_two_agreements_one_can_be_kept_as_it_is(kept: int) -> None:
    """Even the main one, whose text does not change by it."""
    sam, robin, main, _ = crossed()
    exchange(sam, robin)
    text = shown(sam, main)[0].split("\n\n")[kept]
    agree(sam, main, text)
    exchange(sam, robin)
    assert both_shown(sam, robin, main) == (text, [])


def test_the_topic_of_a_folded_invitation_is_its_authors_to_change() -> None:
    """By either id each changes their own; both read it, marked as edited."""
    sam, robin, main, folded = crossed()
    exchange(sam, robin)
    sam.edit(folded, {"topic": "the dishes"})
    robin.edit(main, {"topic": "that Sunday"})
    exchange(sam, robin)
    for replica in (sam, robin):
        entry = replica.show(folded)
        assert {(t["by"]["name"], t["topic"]) for t in entry["fields"]["topics"]} == {
            ("Sam", "the dishes"),
            ("Robin", "that Sunday"),
        }
        assert entry["id"] == main
        assert entry["edited"]
        assert replica.timeline(search="that sunday")[-1]["id"] == main


def ignored(replica: Replica) -> int:
    return replica.storage.standing_counts(pair_space(replica).space_id).get(Standing.IGNORED, 0)


@pytest.mark.parametrize("step", ["tell", "later", "accept"])
def test_a_step_is_checked_where_it_is_written(tmp_path: Path, step: str) -> None:
    """Of two processes on one home the one that comes too late is refused, and writes nothing that would not count."""
    sam, robin = new_replica("Sam"), new_replica("Robin", SqliteStorage(tmp_path / "bide.db", KEY, create=True))
    pair_up(sam, robin)
    exchange(sam, robin)
    talk = sam.invite_to_repair({"topic": "dishes"}).id
    exchange(sam, robin)
    other = Replica(SqliteStorage(tmp_path / "bide.db", KEY))
    stale = robin.reader.find(talk)
    other.repair_step(talk, "withdraw")
    heads = robin.storage.heads(stale.space_id)
    with pytest.raises(NotAllowed):
        robin.writer.repair_step(stale, Step[step.upper()], TELL if step == "tell" else {})
    assert robin.storage.heads(stale.space_id) == heads
    entry: dict[str, Any] = robin.show(talk)
    assert (entry["state"], entry["ignored"], ignored(robin)) == ("withdrawn", 0, 0)
    for replica in (other, robin):
        replica.storage.close()
