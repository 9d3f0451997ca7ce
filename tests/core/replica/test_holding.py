"""Holding before sending: what waits is in no log, goes once or not at all, and can be taken back with its words."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from bide.errors import BideError, InputError, NotAllowed, NotFound, NotPaired
from bide.ids import EntryId, new_entry_id, parse_entry_id
from bide.replica import Replica
from bide.replica.authoring.holding import HELD_MAX, Deed, Do, Held
from bide.storage.base import HeldRecord
from bide.storage.sqlite import SqliteStorage
from bide.testing import FakeClock, SeededRandomness
from bide.testing_replicas import exchange, new_replica, pair_space, pair_up

MINUTE_MS = 60_000
INVITE = Deed(Do.INVITE, "repair", {"topic": "the dishes"})
THANK = Deed(Do.WRITE, "appreciation", {"noticed": "you drove my mother"})


@pytest.fixture
def clocks() -> tuple[FakeClock, FakeClock]:
    """Sam's and Robin's clock."""
    return FakeClock(tick_ms=1), FakeClock(tick_ms=1)


@pytest.fixture
def pair(clocks: tuple[FakeClock, FakeClock]) -> tuple[Replica, Replica]:
    """Two paired replicas, Sam the founder and Robin."""
    sam, robin = new_replica("Sam", clock=clocks[0]), new_replica("Robin", clock=clocks[1])
    pair_up(sam, robin)
    exchange(sam, robin)
    return sam, robin


def hold(replica: Replica, deed: Deed, minutes: int = 30) -> Held:
    held = replica.holding.put(deed, minutes=minutes, space=pair_space(replica))
    assert isinstance(held, Held)
    return held


def id_of(text: str) -> EntryId:
    entry = parse_entry_id(text)
    assert entry is not None
    return entry


def invited(sam: Replica, robin: Replica) -> str:
    """A conversation that Robin has accepted, on both devices."""
    conversation = sam.invite_to_repair({"topic": "the dishes"}).id
    exchange(sam, robin)
    robin.repair_step(conversation, "accept")
    exchange(sam, robin)
    return conversation


def test_what_is_held_is_in_no_log_and_reaches_nobody(pair: tuple[Replica, Replica]) -> None:
    """Holding changes neither log nor timeline nor digest, and exchanging everything brings the other nothing."""
    sam, robin = pair
    before = sam.digest()
    held = hold(sam, INVITE)
    exchange(sam, robin)
    assert sam.digest() == before
    assert sam.timeline() == robin.timeline() == []
    assert sam.holding.send_due() == []
    assert [item["id"] for item in sam.holding.shown()] == [held.id]


def test_it_goes_when_its_time_has_come(pair: tuple[Replica, Replica], clocks: tuple[FakeClock, FakeClock]) -> None:
    """After the minutes are over it is written under the id it was held by, dated when it went, and the outbox is empty."""
    sam, robin = pair
    held = hold(sam, INVITE, minutes=30)
    clocks[0].advance(29 * MINUTE_MS)
    assert sam.holding.send_due() == []
    clocks[0].advance(2 * MINUTE_MS)
    went = clocks[0].now_ms()
    assert [written.id for written in sam.holding.send_due()] == [held.id]
    assert sam.holding.shown() == []
    assert sam.holding.send_due() == []
    exchange(sam, robin)
    entry = robin.show(held.id)
    assert entry["fields"]["topic"] == "the dishes"
    record = robin.reader.find(held.id)
    assert went <= record.at_ms <= went + 1000


def test_the_id_tells_nobody_when_it_was_written(pair: tuple[Replica, Replica], clocks: tuple[FakeClock, FakeClock]) -> None:
    """The time inside of the id is the day on which it is due: neither the minute of writing, nor one to reckon it from."""
    sam, _ = pair
    clocks[0].advance(9 * 60 * MINUTE_MS + 1234)
    held = hold(sam, INVITE, minutes=30)
    now, inside = clocks[0].now_ms(), int.from_bytes(id_of(held.id)[:6], "big")
    assert inside % (24 * 60 * MINUTE_MS) == 0
    assert 0 < now - inside < 24 * 60 * MINUTE_MS


def test_what_is_taken_back_gives_its_words_and_is_gone(pair: tuple[Replica, Replica]) -> None:
    """Taking back returns the text once; afterwards there is nothing to send, and nothing to take back again."""
    sam, robin = pair
    held = hold(sam, THANK)
    taken = sam.holding.take_back(id_of(held.id))
    assert taken is not None
    assert taken["fields"] == {"noticed": "you drove my mother"}
    assert sam.holding.take_back(id_of(held.id)) is None
    assert sam.holding.send(id_of(held.id)) is None
    exchange(sam, robin)
    assert robin.timeline() == []


@pytest.mark.parametrize(
    ("deed", "error"),
    [
        (Deed(Do.WRITE, "appreciation", {"felt": "warm"}), InputError),
        (Deed(Do.WRITE, "checkin", {"feelings": "blorgy"}), InputError),
        (Deed(Do.WRITE, "hearing", {"mirrored": "x"}), InputError),
        (Deed(Do.INVITE, "repair", {"topic": "x", "calm": False}), NotAllowed),
        (Deed(Do.STEP, "repair", {"own_part": "x", "felt": "y"}, about="rp-0000", step="tell"), NotFound),
        (Deed(Do.REPLY, "hearing", {"mirrored": "x"}, about="0000"), NotFound),
    ],
)
def test_what_could_not_be_written_is_not_held(pair: tuple[Replica, Replica], deed: Deed, error: type[BideError]) -> None:
    """A mistake is told at once, not when it is too late to mend it."""
    sam, _ = pair
    before = sam.digest()
    with pytest.raises(error):
        hold(sam, deed)
    assert sam.holding.shown() == []
    assert sam.digest() == before


def test_nobody_to_share_with_is_told_at_once() -> None:
    """Without a pair there is nothing to hold it for."""
    with pytest.raises(NotPaired):
        new_replica("Sam").holding.put(INVITE, minutes=30)


@pytest.mark.parametrize("minutes", [-1, 10_081])
def test_holding_has_a_limit_in_time(pair: tuple[Replica, Replica], minutes: int) -> None:
    """From nothing to a week."""
    with pytest.raises(InputError):
        pair[0].holding.put(INVITE, minutes=minutes, space=pair_space(pair[0]))


def test_holding_has_a_limit_in_number(pair: tuple[Replica, Replica]) -> None:
    """A full outbox says so, and takes again what fits once something has left it."""
    sam, _ = pair
    space = pair_space(sam).space_id
    with sam.storage.transaction():
        for number in range(HELD_MAX):
            held = new_entry_id(sam.clock, sam.randomness, slot=0)
            deed = json.dumps({"do": "write", "kind": "checkin", "values": {"hard": str(number)}})
            sam.storage.put_held(HeldRecord(held, space, deed, 1, 2**50))
    with pytest.raises(NotAllowed, match="1000"):
        hold(sam, THANK)
    sam.storage.remove_held(sam.storage.outbox()[0].held_id)
    hold(sam, THANK)


def test_a_step_is_held_and_taken_when_due(pair: tuple[Replica, Replica], clocks: tuple[FakeClock, FakeClock]) -> None:
    """What one tells waits; the conversation stands where it was until it goes."""
    sam, robin = pair
    conversation = invited(sam, robin)
    deed = Deed(Do.STEP, "repair", {"own_part": "I was short", "felt": "ashamed"}, about=conversation, step="tell")
    held = hold(sam, deed)
    assert sam.show(conversation)["state"] == "open"
    assert [record.held_id for record in sam.holding.find(conversation)] == [id_of(held.id)]
    clocks[0].advance(31 * MINUTE_MS)
    assert len(sam.holding.send_due()) == 1
    exchange(sam, robin)
    assert robin.show(conversation)["state"] == "told"


def test_what_the_state_no_longer_allows_stays_with_its_words(
    pair: tuple[Replica, Replica], clocks: tuple[FakeClock, FakeClock]
) -> None:
    """The other withdrew meanwhile: it isn't sent, isn't lost, is marked, and doesn't keep anything else from going."""
    sam, robin = pair
    conversation = invited(sam, robin)
    deed = Deed(Do.STEP, "repair", {"own_part": "I was short", "felt": "ashamed"}, about=conversation, step="tell")
    held, other = hold(sam, deed), hold(sam, THANK)
    robin.repair_step(conversation, "withdraw")
    exchange(sam, robin)
    clocks[0].advance(31 * MINUTE_MS)
    assert [written.id for written in sam.holding.send_due()] == [other.id]
    [left] = sam.holding.shown()
    assert (left["id"], left["hindrance"]) == (held.id, "withdrawn")
    assert left["fields"] == {"own_part": "I was short", "felt": "ashamed"}
    with pytest.raises(NotAllowed):
        sam.holding.send(id_of(held.id))
    assert sam.storage.outbox_due() is None


def test_an_agreement_merges_with_what_the_other_wrote_meanwhile(
    pair: tuple[Replica, Replica], clocks: tuple[FakeClock, FakeClock]
) -> None:
    """A held agreement is an edit of what stood there when it was written: it never takes the other's words away."""
    sam, robin = pair
    conversation = invited(sam, robin)
    for replica in (sam, robin):
        replica.repair_step(conversation, "tell", {"own_part": "mine", "felt": "sad"})
        exchange(sam, robin)
    for replica in (sam, robin):
        replica.repair_step(conversation, "hear", {"mirrored": "yours"})
        exchange(sam, robin)
    robin.repair_step(conversation, "agree", {"agreement": "We cook on Sundays."})
    exchange(sam, robin)
    deed = Deed(Do.STEP, "repair", {"agreement": "We cook together on Sundays."}, about=conversation, step="agree")
    hold(sam, deed)
    robin.repair_step(conversation, "agree", {"agreement": "We cook on Sundays. You choose."})
    exchange(sam, robin)
    clocks[0].advance(31 * MINUTE_MS)
    assert len(sam.holding.send_due()) == 1
    exchange(sam, robin)
    agreement = "We cook together on Sundays. You choose."
    assert sam.show(conversation)["fields"]["agreement"] == robin.show(conversation)["fields"]["agreement"] == agreement


def test_an_agreement_that_clashes_shows_both(pair: tuple[Replica, Replica], clocks: tuple[FakeClock, FakeClock]) -> None:
    """Two who changed the same words, one of them held: both versions stay visible, on both devices."""
    sam, robin = pair
    conversation = invited(sam, robin)
    for replica in (sam, robin):
        replica.repair_step(conversation, "tell", {"own_part": "mine", "felt": "sad"})
        exchange(sam, robin)
    for replica in (sam, robin):
        replica.repair_step(conversation, "hear", {"mirrored": "yours"})
        exchange(sam, robin)
    robin.repair_step(conversation, "agree", {"agreement": "We cook on Sundays."})
    exchange(sam, robin)
    hold(sam, Deed(Do.STEP, "repair", {"agreement": "We cook on Mondays."}, about=conversation, step="agree"))
    robin.repair_step(conversation, "agree", {"agreement": "We cook on Fridays."})
    exchange(sam, robin)
    clocks[0].advance(31 * MINUTE_MS)
    assert len(sam.holding.send_due()) == 1
    exchange(sam, robin)
    for replica in (sam, robin):
        versions = replica.show(conversation)["alternatives"]["agreement"]
        assert sorted(versions) == ["We cook on Fridays.", "We cook on Mondays."]


@pytest.mark.parametrize(
    ("kind", "values"), [("hearing", {"mirrored": "you were tired"}), ("reception", {"words": "thank you"})]
)
def test_a_reply_waits_for_what_it_is_to(pair: tuple[Replica, Replica], kind: str, values: dict[str, str]) -> None:
    """A reply to a whole id that is not here waits, and goes once its entry is here, without any hold."""
    sam, robin = pair
    theirs = robin.write("checkin", {"hard": "a long day"}).id
    held = sam.holding.put(Deed(Do.REPLY, kind, values, about=theirs))
    assert isinstance(held, Held)
    assert held.waits_for == theirs
    assert sam.holding.send_due() == []
    exchange(sam, robin)
    assert [written.kind for written in sam.holding.send_due()] == [kind]
    exchange(sam, robin)
    [reply] = robin.show(theirs)["replies"]
    assert reply["kind"] == kind
    assert reply["code"] == held.code


def test_a_reply_that_turns_out_to_be_to_an_own_entry_stays(pair: tuple[Replica, Replica]) -> None:
    """What arrives may be something that can't be replied to: the words stay in the outbox, with a mark."""
    sam, robin = pair
    question = robin.write("question", {"question": "what then?"}).id
    sam.holding.put(Deed(Do.REPLY, "answer", {"answer": "this"}, about=question))
    robin.retract(question)
    exchange(sam, robin)
    assert sam.holding.send_due() == []
    [left] = sam.holding.shown()
    assert (left["hindrance"], left["fields"]) == ("retracted", {"answer": "this"})


def test_a_hearing_of_a_conversation_is_a_step_of_it(pair: tuple[Replica, Replica]) -> None:
    """`hear` with a conversation's id is held as its step."""
    sam, robin = pair
    conversation = invited(sam, robin)
    robin.repair_step(conversation, "tell", {"own_part": "mine", "felt": "sad"})
    exchange(sam, robin)
    held = hold(sam, Deed(Do.REPLY, "hearing", {"mirrored": "you were sad"}, about=conversation))
    assert (held.kind, sam.holding.shown()[0]["step"]) == ("repair", "hear")
    sam.holding.send(id_of(held.id))
    assert sam.show(conversation)["state"] == "heard"


def test_a_private_entry_can_be_released_after_a_while(pair: tuple[Replica, Replica]) -> None:
    """A release is held like anything else, once; what is taken back leaves the entry private."""
    sam, robin = pair
    private = sam.write("reflection", {"text": "I miss the sea"}, private=True).id
    deed = Deed(Do.RELEASE, "reflection", about=private)
    held = hold(sam, deed)
    assert sam.holding.shown()[0]["fields"] == {"text": "I miss the sea"}
    with pytest.raises(NotAllowed):
        hold(sam, deed)
    sam.holding.take_back(id_of(held.id))
    assert sam.show(private)["visibility"] == "private"
    again = hold(sam, deed)
    sam.holding.send(id_of(again.id))
    exchange(sam, robin)
    assert robin.show(again.id)["fields"]["text"] == "I miss the sea"


def test_a_clock_set_back_counts_from_then(pair: tuple[Replica, Replica], clocks: tuple[FakeClock, FakeClock]) -> None:
    """Ten years back: what is held can be listed and sent, and goes after its minutes on the clock as it is now."""
    sam, _ = pair
    first, second = hold(sam, INVITE), hold(sam, THANK)
    clocks[0].advance(-10 * 365 * 24 * 60 * MINUTE_MS)
    assert sam.holding.send_due() == []
    assert len(sam.holding.shown()) == 2
    assert sam.holding.send(id_of(second.id)) is not None
    clocks[0].advance(31 * MINUTE_MS)
    assert [written.id for written in sam.holding.send_due()] == [first.id]


def test_the_outbox_survives_a_rebuild(pair: tuple[Replica, Replica]) -> None:
    """It is no part of what is derived from the log."""
    sam, _ = pair
    held = hold(sam, THANK)
    sam.rebuild()
    assert [item["id"] for item in sam.holding.shown()] == [held.id]


def test_two_at_once_send_it_once(tmp_path: Path) -> None:
    """However many connections let go of the same thing at the same time, it is written once."""
    key = bytes(32)
    path = tmp_path / "bide.db"
    clock = FakeClock(tick_ms=1)
    sam = new_replica("Sam", SqliteStorage(path, key, create=True), clock=clock)
    robin = new_replica("Robin")
    pair_up(sam, robin)
    exchange(sam, robin)
    ids = {hold(sam, THANK, minutes=1).id for _ in range(5)}
    now = clock.now_ms() + 5 * MINUTE_MS
    sent: list[list[Any]] = []
    start = threading.Barrier(4)

    def send(number: int) -> None:
        storage = SqliteStorage(path, key)
        replica = Replica(storage, clock=FakeClock(now), randomness=SeededRandomness(f"thread {number}"))
        start.wait()
        sent.append(replica.holding.send_due())
        storage.close()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(written.id for batch in sent for written in batch) == sorted(ids)
    assert len(sent) == 4
    assert {entry["id"] for entry in sam.timeline()} == ids
    assert sam.holding.shown() == []
