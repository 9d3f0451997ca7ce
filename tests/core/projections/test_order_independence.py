"""Whatever arrived first: the same events make the same records."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replicas import new_couple, raw

from bide.entries.kinds import REPAIR
from bide.entries.records import EntryRecord, EventRecord, Standing
from bide.ids import EntryId
from bide.projections.entry import project_entry
from bide.projections.order import judge
from bide.projections.repair import affected_groups, project_group
from bide.replica import Replica
from bide.testing_replicas import exchange, pair_space


def stored(replica: Replica, entry: EntryId) -> EntryRecord | None:
    return replica.storage.entry(pair_space(replica).space_id, entry)


TELL = {"own_part": "I left them", "felt": "tired"}


@functools.cache
def story() -> tuple[Replica, dict[str, EntryId]]:
    """A replica with edits at the same time, hearings, and two conversations that crossed, in which much went on."""
    sam, robin = new_couple()
    ids = {"checkin": sam.write("checkin", {"hard": "work", "went_well": "lunch"}).id}
    sam.edit(ids["checkin"], {"hard": "the work"})
    exchange(sam, robin)
    ids["hearing"] = robin.hear(ids["checkin"], {"mirrored": "work"}).id
    exchange(sam, robin)
    sam.answer_hearing(ids["hearing"], verdict="not_quite", clarification="it was long")
    robin.edit(ids["hearing"], {"mirrored": "long work"})
    ids["one"] = sam.invite_to_repair({"topic": "dishes"}).id
    ids["two"] = robin.invite_to_repair({"topic": "the dishes on Sunday"}).id
    sam.repair_step(ids["one"], "tell", TELL)
    robin.repair_step(ids["two"], "tell", {"own_part": "I shouted", "felt": "alone"})
    exchange(sam, robin)
    robin.repair_step(ids["one"], "hear", {"mirrored": "tired"})
    sam.repair_step(ids["one"], "later")
    exchange(sam, robin)
    sam.repair_step(ids["one"], "answer", {"verdict": "not_quite", "clarification": "and sad"})
    robin.repair_step(ids["one"], "hear", {"mirrored": "tired and sad"})
    exchange(sam, robin)
    sam.repair_step(ids["one"], "hear", {"mirrored": "alone"})
    exchange(sam, robin)
    robin.repair_step(ids["one"], "agree", {"agreement": "We wash together."})
    sam.repair_step(ids["one"], "agree", {"agreement": "We both wash."})
    exchange(sam, robin)
    return sam, {name: raw(entry) for name, entry in ids.items()}


def events_of(replica: Replica, *entries: EntryId) -> list[EventRecord]:
    space = pair_space(replica).space_id
    return [event for entry in entries for event in replica.storage.events(space, entry)]


@pytest.mark.parametrize("name", ["checkin", "hearing"])
@given(data=st.data())
def test_any_order_of_events_makes_the_same_entry(name: str, data: Any) -> None:
    """Judging and projecting a permutation comes to what is stored; every event counts."""
    replica, ids = story()
    events = events_of(replica, ids[name])
    judged = judge(data.draw(st.permutations(events)))
    assert set(judged.standings.values()) == {Standing.APPLIED}
    assert project_entry(judged) == stored(replica, ids[name])


@given(data=st.data())
def test_any_order_of_events_makes_the_same_conversation(data: Any) -> None:
    """So does a group of two conversations, folded."""
    replica, ids = story()
    one, two = sorted([ids["one"], ids["two"]])
    members = [judge(data.draw(st.permutations(events_of(replica, entry)))) for entry in (one, two)]
    assert project_group(members) == [stored(replica, entry) for entry in (one, two)]


@given(data=st.data())
def test_a_part_of_the_events_never_counts_more_than_they_do_together(data: Any) -> None:
    """With any events missing, the rest applies or waits; none is called forbidden because of what is not there."""
    replica, ids = story()
    for entry in ids.values():
        events = events_of(replica, entry)
        part = data.draw(st.lists(st.sampled_from(events), unique=True))
        judged = judge(part)
        assert set(judged.standings.values()) <= {Standing.APPLIED, Standing.WAITING}
        hashes = {item.change.hash for item in judged.applied}
        assert all(set(item.change.deps) <= hashes for item in judged.applied)


@given(data=st.data())
def test_groups_do_not_depend_on_what_was_touched_first(data: Any) -> None:
    """Whichever of two crossed invitations is touched, and in whatever order invitations are listed: one group."""
    replica, ids = story()
    invitations = replica.storage.events_of_type(pair_space(replica).space_id, REPAIR.created_by.name)
    touched = data.draw(st.sampled_from([["one"], ["two"], ["two", "one"]]))
    groups = affected_groups([ids[name] for name in touched], data.draw(st.permutations(invitations)))
    assert groups == [sorted([ids["one"], ids["two"]])]


def body(record: EntryRecord | None) -> dict[str, Any]:
    assert record is not None
    made: dict[str, Any] = json.loads(record.body)
    return made


def test_crossed_invitations_fold_into_the_lower_id() -> None:
    """One conversation with both topics; tells under either stand; either id leads to it; it is open without accepting."""
    sam, robin = new_couple()
    one, two = sam.invite_to_repair({"topic": "dishes"}), robin.invite_to_repair({"topic": "Sunday"})
    sam.repair_step(one.id, "tell", TELL)
    robin.repair_step(two.id, "tell", {"own_part": "I shouted", "felt": "alone"})
    exchange(sam, robin)
    lower, higher = sorted([one.id, two.id])
    for replica in (sam, robin):
        [conversation] = replica.conversations()
        assert conversation["id"] == lower
        assert replica.show(higher)["id"] == lower
        assert {(t["by"]["name"], t["topic"]) for t in conversation["fields"]["topics"]} == {
            ("Sam", "dishes"),
            ("Robin", "Sunday"),
        }
        assert {t["own_part"] for t in conversation["fields"]["tells"]} == {"I left them", "I shouted"}
        assert conversation["state"] == "told"
        assert [e["id"] for e in replica.timeline(search="sunday")] == [lower]
        assert [e["id"] for e in replica.timeline(search="shouted")] == [lower]
        assert body(stored(replica, raw(higher)))["into"] == raw(lower).hex()
        replica.rebuild()
        assert [c["id"] for c in replica.conversations()] == [lower]
    robin.repair_step(higher, "hear", {"mirrored": "tired"})
    exchange(sam, robin)
    assert sam.show(one.id)["state"] == "heard"


def test_invitations_that_knew_of_each_other_stay_two() -> None:
    """Who has seen an invitation and writes another means another; so do two by the same person."""
    sam, robin = new_couple()
    sam.invite_to_repair({"topic": "dishes"})
    exchange(sam, robin)
    robin.invite_to_repair({"topic": "money"})
    exchange(sam, robin)
    sam.invite_to_repair({"topic": "time"})
    exchange(sam, robin)
    for replica in (sam, robin):
        assert {c["fields"]["topic"] for c in replica.conversations()} == {"dishes", "money", "time"}


@pytest.mark.parametrize("first", [0, 1])
def test_three_crossing_invitations_fold_alike_whoever_hears_first(first: int) -> None:
    """Two by Sam and one by Robin, all at once: the same pair folds on both sides, and live equals rebuilt."""
    replicas = new_couple()
    sam, robin = replicas
    for topic in ("dishes", "money"):
        sam.invite_to_repair({"topic": topic})
    robin.invite_to_repair({"topic": "Sunday"})
    exchange(replicas[first], replicas[1 - first])
    assert len(sam.conversations()) == 2
    assert sam.digest()[1]["digest"] == robin.digest()[1]["digest"]
    for replica in replicas:
        before = replica.digest()
        replica.rebuild()
        assert replica.digest() == before


@pytest.mark.parametrize("step", ["tell", "later", "agree", "settle"])
def test_withdrawal_wins_whatever_was_said_meanwhile(step: str) -> None:
    """One withdraws, the other goes on not knowing: withdrawn on both sides, and what doesn't count is counted."""
    sam, robin = new_couple()
    talk = sam.invite_to_repair({"topic": "dishes"}).id
    exchange(sam, robin)
    robin.repair_step(talk, "tell", TELL)
    exchange(sam, robin)
    sam.repair_step(talk, "hear", {"mirrored": "x"})
    sam.repair_step(talk, "reconnect", {"gesture": "tea"})
    exchange(sam, robin)
    sam.repair_step(talk, "withdraw")
    content: dict[str, Any] = {"tell": TELL | {"felt": "sad"}, "agree": {"agreement": "we"}}.get(step, {})
    robin.repair_step(talk, step, content)
    exchange(sam, robin)
    for replica in (sam, robin):
        assert replica.show(talk)["state"] == "withdrawn"
        assert replica.show(talk)["next"] == []
        assert replica.conversations() == []
        assert body(stored(replica, raw(talk)))["ignored"] in (0, 1)
    assert body(stored(sam, raw(talk))) == body(stored(robin, raw(talk)))


def test_an_agreement_that_both_edit_at_once_keeps_both() -> None:
    """Neither sentence is lost, and both see the same."""
    sam, robin = new_couple()
    talk = sam.invite_to_repair({"topic": "dishes"}).id
    exchange(sam, robin)
    robin.repair_step(talk, "tell", TELL)
    exchange(sam, robin)
    sam.repair_step(talk, "hear", {"mirrored": "x"})
    exchange(sam, robin)
    sam.repair_step(talk, "agree", {"agreement": "We wash."})
    robin.repair_step(talk, "agree", {"agreement": "Sundays off."})
    exchange(sam, robin)
    agreement = sam.show(talk)["fields"]["agreement"]
    assert agreement == robin.show(talk)["fields"]["agreement"]
    assert "We wash." in agreement
    assert "Sundays off." in agreement


def test_history_keeps_each_earlier_text() -> None:
    """Oldest first, with who and when, and only what was replaced."""
    sam, _ = new_couple()
    written = sam.write("checkin", {"hard": "one", "worry": "w"})
    sam.edit(written.id, {"hard": "two"})
    sam.edit(written.id, {"hard": "three", "lift": "new"})
    sam.edit(written.id, {"worry": ""})
    shown = sam.show(written.id)
    assert [item["fields"] for item in shown["history"]] == [{"hard": "one"}, {"hard": "two"}, {"worry": "w"}]
    assert all(item["by"]["name"] == "Sam" for item in shown["history"])
    assert shown["fields"] == {"hard": "three", "lift": "new"}
    assert shown["edited"]
    assert sam.timeline(search="three")
    assert sam.timeline(search="one") == []


def test_search_looks_through_words_and_nothing_else() -> None:
    """A pause and a verdict are no words that anybody wrote."""
    sam, robin = new_couple()
    talk = sam.invite_to_repair({"topic": "dishes"}).id
    exchange(sam, robin)
    robin.repair_step(talk, "tell", TELL)
    exchange(sam, robin)
    sam.repair_step(talk, "hear", {"mirrored": "tired"})
    exchange(sam, robin)
    robin.repair_step(talk, "answer", {"verdict": "not_quite", "clarification": "sad"})
    robin.repair_step(talk, "later")
    assert [len(robin.timeline(search=word)) for word in ("dishes", "sad", "left", "later", "not_quite")] == [1, 1, 1, 0, 0]
