"""Pairing two replicas: it works, or it leaves nothing behind, or the next sync completes it."""

from __future__ import annotations

import pytest

from bide.errors import BideError, CodeMismatch, InputError, NotAllowed, NotFound, NotPaired, RemoteProtocolError
from bide.log.packing import pack
from bide.protocol.frames import MailboxClosed
from bide.replica import Replica
from bide.replica.joining.pairing import PairingSession, WordsReady
from bide.testing_replicas import (
    RELAY_URL,
    MemoryRelay,
    PairingRun,
    exchange,
    give,
    new_replica,
    pair_space,
    pair_up,
    receive,
    sync,
)


def couple() -> tuple[Replica, Replica]:
    return new_replica("Sam"), new_replica("Robin")


def nothing_shared(*replicas: Replica) -> None:
    for replica in replicas:
        assert [space.kind for space in replica.spaces()] == ["own"]
        assert replica.people() == []


def until_words(run: PairingRun) -> None:
    while not (run.words(0) and run.words(1)) and run.step():
        pass


def test_both_have_the_space_and_each_others_names() -> None:
    """The same words on both screens, one active space on each, names on both, and writing works at once."""
    sam, robin = couple()
    run = PairingRun(sam, robin).finish()
    assert run.paired == (True, True)
    assert run.errors == [None, None]
    assert run.words(0) == run.words(1)
    assert len(run.words(0)) == 6
    assert [event.name for side in run.events for event in side if isinstance(event, WordsReady)] == ["Robin", "Sam"]
    assert (sam.people(), robin.people()) == (["Robin"], ["Sam"])
    for replica in (sam, robin):
        assert [space.kind for space in replica.spaces()] == ["own", "pair"]
        assert not pair_space(replica).pending
        assert pair_space(replica).relay_url == RELAY_URL
    assert (pair_space(sam).slot, pair_space(robin).slot) == (0, 1)
    written = robin.write("appreciation", {"noticed": "you asked"})
    exchange(sam, robin)
    assert sam.show(written.id)["by"] == {"name": "Robin", "me": False}
    assert sam.digest()[1]["digest"] == robin.digest()[1]["digest"]


def test_a_wrong_code_shares_nothing() -> None:
    """Both sides learn that the code didn't match, nobody sees words, and nothing is stored."""
    sam, robin = couple()
    run = PairingRun(sam, robin)
    while len(run.clients) == 1:
        run.step()
        if any(run.events[0]):
            words = run.code.split("@")[0].split("-")
            run._typed = "-".join([*words[:-1], "acid" if words[-1] != "acid" else "able"]) + "@127.0.0.1:8765"
    run.finish()
    assert all(isinstance(error, CodeMismatch) for error in run.errors), run.errors
    assert (run.words(0), run.words(1), run.paired) == ((), (), (False, False))
    nothing_shared(sam, robin)


@pytest.mark.parametrize("side", [0, 1])
def test_refusing_the_words_shares_nothing(side: int) -> None:
    """Whoever says that the words differ, the other learns of it, and nothing is stored."""
    sam, robin = couple()
    run = PairingRun(sam, robin)
    until_words(run)
    run._confirmed = [True, True]  # nobody confirms by itself
    run.clients[side].refuse()
    run.finish()
    assert isinstance(run.errors[1 - side], NotAllowed | RemoteProtocolError)
    assert run.paired == (False, False)
    nothing_shared(sam, robin)


def test_refusing_after_the_other_has_confirmed_leaves_at_most_something_pending() -> None:
    """A joiner who confirmed keeps a pending space that nobody will complete; it is in no timeline and in no one's way."""
    sam, robin = couple()
    run = PairingRun(sam, robin)
    until_words(run)
    run._confirmed = [True, True]
    run.clients[1].confirm_words()
    run.clients[0].refuse()
    run.finish()
    nothing_shared(sam)
    assert robin.people() == []
    with pytest.raises(NotPaired):
        robin.write("checkin", {"hard": "x"})
    assert robin.status()["spaces"][1]["state"] == "pending"
    assert any("not finished the pairing" in str(finding.words) for finding in robin.doctor())
    robin.rebuild()
    pair_up(sam, robin)
    assert [space.pending for space in robin.spaces()] == [False, False]


def steps_of_a_pairing() -> int:
    run = PairingRun(*couple())
    count = 0
    while run.step():
        count += 1
    return count


@pytest.mark.parametrize("boundary", range(steps_of_a_pairing() + 1))
def test_breaking_off_anywhere_shares_nothing_or_is_completed_by_a_sync(boundary: int) -> None:
    """After any number of messages the connection breaks: either nobody has the space, or syncing gives it to both."""
    for through_relay in (False, True):
        sam, robin = couple()
        run = PairingRun(sam, robin)
        for _ in range(boundary):
            run.step()
        has_sam = any(space.kind == "pair" for space in sam.spaces())
        has_robin = any(space.kind == "pair" for space in robin.spaces())
        if not has_sam:
            # At most a pending space that nobody admits; pairing again replaces it.
            assert not has_robin or pair_space(robin).pending
            assert (sam.people(), robin.people()) == ([], [])
            pair_up(sam, robin)
        else:
            assert has_robin, "the initiator must never be left with a space of which the joiner has no keys"
            assert sam.people() == ["Robin"]
            written = sam.write("appreciation", {"noticed": "you tried"})
            if through_relay:
                relay = MemoryRelay()
                for replica in (robin, sam, robin, sam):
                    sync(replica, relay)
            else:
                give(sam, robin)
                assert robin.show(written.id)["fields"] == {"noticed": "you tried"}
            assert robin.people() == ["Sam"]
        robin.write("appreciation", {"noticed": "we are paired"})
        exchange(sam, robin)
        assert not pair_space(robin).pending
        assert sam.digest()[1]["digest"] == robin.digest()[1]["digest"]
        assert {finding.level for replica in (sam, robin) for finding in replica.doctor()} <= {"ok", "note"}


def test_a_joiner_who_was_cut_off_says_its_name_with_the_next_sync() -> None:
    """The name reaches the log though the pairing's last messages were lost, once and no more."""
    sam, robin = couple()
    run = PairingRun(sam, robin)
    while not any(space.kind == "pair" for space in sam.spaces()):
        run.step()
    relay = MemoryRelay()
    assert pair_space(robin).pending
    waiting = sync(robin, relay)
    assert waiting.notices
    assert not waiting.finished
    sync(sam, relay)
    assert sync(robin, relay).finished
    assert sync(sam, relay).received == 1
    space = pair_space(sam).space_id
    assert [record.slot for record in sam.storage.hidden_entries(space, "person")].count(1) == 1
    assert sync(robin, relay).sent == 0
    assert sam.digest()[1]["digest"] == robin.digest()[1]["digest"]


def test_an_admission_by_hand_completes_a_pending_space() -> None:
    """The two control envelopes of the founder are enough: the space is active, its key is here."""
    sam, robin = couple()
    run = PairingRun(sam, robin)
    while not any(space.kind == "pair" for space in sam.spaces()):
        run.step()
    space = pair_space(sam)
    controls = sam.storage.controls(space.space_id)
    assert receive(robin, [control.data for control in controls]) == 1
    assert not pair_space(robin).pending
    assert robin.storage.epochs(space.space_id) == sam.storage.epochs(space.space_id)


def test_three_people_are_kept_apart() -> None:
    """With two partners one says with whom; each sees only what was shared with them."""
    sam, robin = couple()
    alex = new_replica("Alex")
    first, second = pair_up(sam, robin), pair_up(alex, sam)
    with pytest.raises(InputError):
        sam.write("checkin", {"hard": "x"})
    with pytest.raises(NotFound):
        sam.write("checkin", {"hard": "x"}, with_="Kim")
    sam.write("checkin", {"hard": "for Robin"}, with_="robin ")
    sam.write("checkin", {"hard": "for Alex"}, with_="Alex")
    sam.write("checkin", {"hard": "for me"}, private=True)
    give(sam, robin, space=first)
    give(sam, alex, space=second)
    assert [e["fields"]["hard"] for e in robin.timeline()] == ["for Robin"]
    assert [e["fields"]["hard"] for e in alex.timeline()] == ["for Alex"]
    assert [e["fields"]["hard"] for e in sam.timeline()] == ["for Robin", "for Alex", "for me"]
    assert [e["fields"]["hard"] for e in sam.timeline(with_="Alex")] == ["for Alex"]
    assert [e["fields"]["hard"] for e in sam.timeline(by="me")] == ["for Robin", "for Alex", "for me"]


def test_saying_done_before_anything_was_done_is_refused() -> None:
    """A joiner who skips the proof of its keys gets an error of the protocol, and nothing is stored."""
    sam, robin = couple()
    run = PairingRun(sam, robin)
    until_words(run)
    run._confirmed = [True, True]
    run.clients[0].confirm_words()
    machine = run.clients[1]._machine
    assert machine is not None
    machine.accept()
    while run.step():
        pass
    machine.send(b"done")
    run.finish()
    assert isinstance(run.errors[0], RemoteProtocolError)
    nothing_shared(sam, robin)


@pytest.mark.parametrize(
    "payload", [b"", b"\x00", b"nonsense", pack([]), pack([b"k" * 32, b"s" * 32, b"p" * 64]), pack({"a": 1})]
)
def test_a_nonsense_proof_is_refused(payload: bytes) -> None:
    """Whatever the joiner sends in place of its keys ends the pairing with an error of ours, and nothing is stored."""
    sam, robin = couple()
    run = PairingRun(sam, robin)
    until_words(run)
    run._confirmed = [True, True]
    run.clients[0].confirm_words()
    machine = run.clients[1]._machine
    assert machine is not None
    machine.accept()
    run.finish()
    machine.send(payload)
    run.finish()
    assert isinstance(run.errors[0], BideError)
    nothing_shared(sam, robin)


@pytest.mark.parametrize("reason", ["done", "gone", "failed", "expired", "unknown", "whatever"])
def test_a_mailbox_that_closes_early_is_no_success(reason: str) -> None:
    """Whatever word the relay gives, a pairing that isn't complete says that it was broken off."""
    sam, robin = couple()
    run = PairingRun(sam, robin)
    until_words(run)
    for side in (0, 1):
        run._relays[side].send(MailboxClosed(reason))
        [message] = run._relays[side].data_to_send()
        with pytest.raises(NotAllowed):
            run.clients[side].receive_data(message)
        assert run.clients[side].closed
    nothing_shared(sam, robin)


def test_confirming_before_there_is_anything_to_confirm_is_refused() -> None:
    """Without an answer from the other device there are no words."""
    session = PairingSession.initiate(new_replica("Sam"), RELAY_URL)
    with pytest.raises(NotAllowed):
        session.confirm_words()
    session.refuse()


@pytest.mark.parametrize("code", ["", "7", "7-lantern", "x-lantern-otter-cedar@localhost", "7-zzzz-zzzz-zzzz@localhost"])
def test_what_is_no_code_is_refused_before_anything_is_sent(code: str) -> None:
    """A clear sentence, and no connection."""
    with pytest.raises(InputError):
        PairingSession.join(new_replica("Robin"), code)
