"""Every lie that a relay can tell, in memory: powerless, or noticed and explained. With the check taken out it is neither.

The real replica, the real protocol, and `tests/dishonest.py` in between. The same on real processes: tests/system.
"""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable
from typing import Any

import pytest
from dishonest import (
    ALTERATIONS,
    FORGERIES,
    Alters,
    Archive,
    CatchesUpEarly,
    Claims,
    Disowns,
    FalselyStores,
    Forges,
    Injects,
    Lie,
    Records,
    Repeats,
    RepeatsConnection,
    Shuffles,
    StoresUnsent,
    Withholds,
    talk,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bide.crypto.comparing import comparison_words
from bide.errors import BideError, CodeMismatch
from bide.ids import LogId, SpaceId
from bide.log.envelope import is_signed_header, parse_envelope
from bide.protocol.codec import encode_frame
from bide.protocol.frames import LogHead, MailboxMessage, MailboxReady
from bide.replica import Replica
from bide.replica.examining.comparing import compare
from bide.replica.own_devices.devices import find_device, revoke
from bide.storage.memory import MemoryStorage
from bide.testing import FakeClock, SeededRandomness
from bide.testing_replicas import RELAY_HOST, MemoryRelay, PairingRun, add_device, new_replica, pair_space, pair_up

LIES = int(os.environ.get("LIES") or (500 if os.environ.get("HYPOTHESIS_PROFILE") == "soak" else 12))
"""How many histories with lies in them; make soak raises it."""


class World:
    """Sam and Robin, paired and in touch, and the relay between them."""

    def __init__(self) -> None:
        self.relay = MemoryRelay()
        self.archive = Archive()
        self.sam, self.robin = new_replica("Sam"), new_replica("Robin")
        pair_up(self.sam, self.robin)
        self.said: set[tuple[str, str]] = set()
        self.settle()

    def sync(self, who: Replica, lie: Lie | None = None) -> BideError | None:
        session, error = talk(who, self.relay, self.archive, lie)
        self.notices = [str(notice) for notice in session.notices]
        self.finished = session.finished
        return error

    def write(self, who: Replica, text: str) -> str:
        self.said.add((who.name, text))
        return who.write("appreciation", {"noticed": text}).id

    def shown(self, who: Replica) -> set[tuple[str, str]]:
        return {(entry["by"]["name"], entry["fields"]["noticed"]) for entry in who.timeline()}

    def settle(self, *others: Replica) -> None:
        """Everybody syncs with an honest relay; nobody is stuck, nothing is lost, and all hold the same."""
        everybody = (self.sam, self.robin, *others)
        for _ in range(2):
            for who in everybody:
                assert self.sync(who) is None
                assert self.finished
        for who in everybody:
            assert self.shown(who) == self.said
            assert who.reader.pending(pair_space(who)) == 0
        assert len({who.digest()[1]["digest"] for who in everybody}) == 1
        one, two = (compare(who.storage, pair_space(who)) for who in (self.sam, self.robin))
        assert (one.words, one.counts) == (two.expected, two.counts)


def log_of(who: Replica) -> LogId:
    return pair_space(who).log_id


def told(who: Replica) -> str:
    """What doctor has to say beyond what is well."""
    found = [str(finding.words) for finding in who.doctor() if finding.level != "ok"]
    return "\n".join(words for words in found if not words.startswith("No relay is set"))


def copied(who: Replica) -> Replica:
    """Another device with the same home: a copy, or a thief's."""
    storage = copy.deepcopy(who.storage)
    return Replica(storage, clock=FakeClock(tick_ms=1000), randomness=SeededRandomness("a copy"))


@functools.cache
def _paired() -> World:
    return World()


def new_world() -> World:
    """One of its own for each test; pairing is the same each time, and is done once."""
    return copy.deepcopy(_paired())


@pytest.fixture
def world() -> World:
    return new_world()


# What is withheld


def withheld_is_cited(world: World) -> bool:
    """Robin's laptop is withheld from Sam; Robin's phone has it and says so."""
    phone = add_device(world.robin, "phone")
    world.settle(phone)
    world.write(world.robin, "from the laptop")
    world.sync(world.robin)
    world.sync(phone)
    world.write(phone, "from the phone")
    world.sync(phone)
    upto = world.sam.storage.heads(pair_space(world.sam).space_id)[log_of(world.robin)].seq
    assert world.sync(world.sam, Withholds({log_of(world.robin): upto})) is None
    assert ("Robin", "from the phone") in world.shown(world.sam)
    noticed = "1 log entries of Robin in the space with Robin have not come" in told(world.sam)
    world.settle(phone)
    assert "have not come" not in told(world.sam)
    return noticed


def test_what_is_withheld_and_cited_is_told_with_whose_it_is_and_since_when(world: World) -> None:
    """Doctor says how many entries of whom, since which day, and what to do. Once they come, it says no more of it."""
    assert withheld_is_cited(world)


def test_without_the_citations_it_goes_unnoticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: doctor that doesn't look at citations."""
    monkeypatch.setattr("bide.replica.examining.honesty.withheld", lambda *_: [])
    assert not withheld_is_cited(world)


def announced_and_not_sent(world: World) -> bool:
    world.write(world.robin, "never comes")
    world.sync(world.robin)
    error = world.sync(world.sam, CatchesUpEarly())
    noticed = error is not None and "announced log entries" in told(world.sam)
    world.settle()
    return noticed


def test_what_is_announced_and_not_sent_is_told_then_and_later(world: World) -> None:
    """A false "that was all" ends the sync with an error, and doctor tells of it afterwards."""
    assert announced_and_not_sent(world)


def test_a_client_that_believes_that_this_was_all_notices_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: nothing was announced, as far as it remembers."""
    from bide.replica.sync.syncing import SpaceSync

    whole = SpaceSync._compare

    def forgetting(self: SpaceSync, welcome: Any) -> None:
        whole(self, welcome)
        self._announced.clear()

    monkeypatch.setattr(SpaceSync, "_compare", forgetting)
    assert not announced_and_not_sent(world)


@pytest.mark.parametrize("what", ["a whole log", "only the newest"])
def test_what_nothing_refers_to_is_withheld_unnoticed_and_found_face_to_face(world: World, what: str) -> None:
    """This can't be told by who is alone: the words that each says don't fit, and the counts say who lacks something."""
    world.write(world.robin, "one")
    world.write(world.robin, "two")
    world.sync(world.robin)
    here = world.sam.storage.heads(pair_space(world.sam).space_id)[log_of(world.robin)].seq
    assert world.sync(world.sam, Withholds({log_of(world.robin): here + (what == "only the newest")})) is None
    assert world.finished
    assert told(world.sam) == ""
    one, two = (compare(who.storage, pair_space(who)) for who in (world.sam, world.robin))
    assert one.words != two.expected
    assert one.is_behind(two.counts) == (True, False)
    assert two.is_behind(one.counts) == (False, True)
    world.settle()


def test_a_removal_that_is_withheld_takes_all_that_follows_with_it(world: World) -> None:
    """The relay can't pass on what the laptop writes after removing the phone: it says so itself, and it is sealed anew."""
    phone = add_device(world.robin, "phone")
    world.settle(phone)
    before = world.robin.storage.heads(pair_space(world.robin).space_id)[log_of(world.robin)].seq
    revoke(world.robin, find_device(world.robin.storage, "phone"))
    world.write(world.robin, "after the removal")
    world.sync(world.robin)
    assert world.sync(world.sam, Withholds({log_of(world.robin): before})) is None
    assert ("Robin", "after the removal") not in world.shown(world.sam)
    one, two = (compare(who.storage, pair_space(who)) for who in (world.sam, world.robin))
    assert one.words != two.expected
    assert one.is_behind(two.counts) == (True, False)
    world.settle()
    assert len(world.sam.reader.members_now(pair_space(world.sam).space_id)) == 2


# Two histories


def shown_two_histories(world: World) -> bool:
    """Robin's home was copied, and the relay shows each branch to one of Sam's devices. Sam's devices hear of each other."""
    phone = add_device(world.sam, "phone")
    world.settle(phone)
    copy_of_robin, branch = copied(world.robin), copy.deepcopy(world.relay)
    world.robin.write("appreciation", {"noticed": "one past"})
    copy_of_robin.write("appreciation", {"noticed": "another past"})
    talk(world.robin, world.relay, world.archive)
    talk(world.sam, world.relay, world.archive)
    other_archive = Archive()
    talk(copy_of_robin, branch, other_archive)
    talk(phone, branch, other_archive)
    # Neither has noticed anything, and both go on.
    assert told(world.sam) == ""
    assert "other log entries" not in told(phone)
    phone.write("appreciation", {"noticed": "from the phone"})
    talk(phone, branch, other_archive)
    session, error = talk(world.sam, world.relay, world.archive, Injects(other_archive.log(log_of(phone))))
    assert error is None
    assert "different histories" in "".join(str(notice) for notice in session.notices) or not told(world.sam)
    return "Another device of yours was shown other log entries" in told(world.sam)


def test_whoever_was_shown_another_history_is_found_out_by_what_they_cite(world: World) -> None:
    """The hash in a citation fits only one past. Said while syncing, kept, and damage in doctor's eyes; nothing overwritten."""
    assert shown_two_histories(world)
    kept = world.sam.storage.contradictions(pair_space(world.sam).space_id)
    assert [(each.log_id, each.slot) for each in kept] == [(log_of(world.robin), 0)]
    assert ("Robin", "one past") in world.shown(world.sam)
    assert ("Robin", "another past") not in world.shown(world.sam)
    world.sam.rebuild()
    assert world.sam.storage.contradictions(pair_space(world.sam).space_id) == kept


def test_numbers_alone_would_not_find_it_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the hash of a citation is not looked at."""
    monkeypatch.setattr("bide.replica.sync.witnessing.holds", lambda *_: True)
    assert not shown_two_histories(world)


def test_a_contradiction_is_noticed_also_when_the_entry_comes_after_the_citation(world: World) -> None:
    """What is cited and not here yet is compared when it comes."""
    phone = add_device(world.sam, "phone")
    world.settle(phone)
    copy_of_robin, branch = copied(world.robin), copy.deepcopy(world.relay)
    world.robin.write("appreciation", {"noticed": "one past"})
    copy_of_robin.write("appreciation", {"noticed": "another past"})
    other_archive = Archive()
    talk(copy_of_robin, branch, other_archive)
    talk(phone, branch, other_archive)
    phone.write("appreciation", {"noticed": "from the phone"})
    talk(phone, branch, other_archive)
    world.sync(world.sam, Injects(other_archive.log(log_of(phone))))
    assert "Another device of yours was" not in told(world.sam)
    world.sync(world.robin)
    world.sync(world.sam)
    assert "Another device of yours was shown other log entries" in told(world.sam)


def test_the_other_person_finds_it_out_too(world: World) -> None:
    """Sam was shown the copy's past; Robin hears of it from Sam's own words, and the six words of both don't fit."""
    copy_of_robin, branch = copied(world.robin), copy.deepcopy(world.relay)
    world.robin.write("appreciation", {"noticed": "one past"})
    copy_of_robin.write("appreciation", {"noticed": "another past"})
    other_archive = Archive()
    talk(copy_of_robin, branch, other_archive)
    talk(world.sam, branch, other_archive)
    world.sam.write("appreciation", {"noticed": "from Sam"})
    talk(world.sam, branch, other_archive)
    world.sync(world.robin)
    world.sync(world.robin, Injects(other_archive.log(log_of(world.sam))))
    assert "A device of Sam says that it was shown other log entries" in told(world.robin)
    one, two = (compare(who.storage, pair_space(who)) for who in (world.sam, world.robin))
    assert one.counts == two.counts
    assert one.words != two.expected


def test_words_over_numbers_alone_would_fit_two_histories(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control of the six words: without the hashes they are the same over two histories of one length."""
    without = lambda space, places: comparison_words(space, [(log, seq, bytes(32)) for log, seq, _ in places])  # noqa: E731
    monkeypatch.setattr("bide.replica.examining.comparing.comparison_words", without)
    copy_of_robin = copied(world.robin)
    world.robin.write("appreciation", {"noticed": "one past"})
    copy_of_robin.write("appreciation", {"noticed": "another past"})
    one, two = (compare(who.storage, pair_space(who)) for who in (world.robin, copy_of_robin))
    assert one.words == two.words


def test_a_partner_who_cites_nonsense_is_told_once_and_fills_nothing(world: World) -> None:
    """A claim is not a proof: doctor says that their device says so."""
    from forging import forge

    from bide.log.head import Head

    end = world.sam.storage.heads(pair_space(world.sam).space_id)[log_of(world.sam)]
    change = next(iter(world.robin.storage.events_of_type(pair_space(world.robin).space_id, "person.named"))).change
    for number in range(20):
        forge(world.robin, "person.named", os.urandom(16), change, frontier=(Head(end.log_id, end.seq, bytes([number]) * 32),))  # type: ignore[arg-type]
    world.sync(world.robin)
    assert world.sync(world.sam) is None
    assert len(world.sam.storage.contradictions(pair_space(world.sam).space_id)) == 1
    assert "A device of Robin says that it was shown other log entries" in told(world.sam)


# What is old, out of order, altered or made up


def lost_what_it_had(world: World) -> bool:
    older = copy.deepcopy(world.relay)
    world.write(world.sam, "written later")
    world.sync(world.sam)
    world.relay = older
    assert world.sync(world.sam) is None
    noticed = "lacked log entries" in told(world.sam) and "The relay has lost something" in " ".join(world.notices)
    world.settle()
    return noticed


def test_an_older_state_is_noticed_and_mended(world: World) -> None:
    """Each device remembers how far the relay had come. What it lost it gets again, and doctor tells how often."""
    assert lost_what_it_had(world)
    assert "(1×, last on" in told(world.sam)
    older = copy.deepcopy(world.relay)
    world.write(world.sam, "and once more")
    world.sync(world.sam)
    world.relay = older
    world.sync(world.sam)
    assert "(2×, last on" in told(world.sam)


def test_without_its_memory_an_older_state_goes_unnoticed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: nothing is known of what the relay had."""
    monkeypatch.setattr(MemoryStorage, "relay_heads", lambda *_: {})
    with pytest.raises(AssertionError):  # what was confirmed counts as waiting, too
        assert lost_what_it_had(world)


def test_an_empty_storage_is_told_and_refilled_and_another_relay_by_choice_is_not(world: World) -> None:
    """A relay that was wiped gets everything again. Who chose another relay did it knowingly, and is told nothing."""
    world.relay = MemoryRelay(store_id=b"another".ljust(16))
    world.settle()
    assert "storage was new when the space with Robin was synced" in told(world.sam)
    assert "got everything" not in told(world.sam), "it is noted before anything goes there"
    other = new_world()
    other.relay = MemoryRelay(host="127.0.0.1:9999", store_id=b"elsewhere".ljust(16))
    other.settle()
    assert "storage was new" not in told(other.sam)


def test_repeating_changes_nothing(world: World) -> None:
    """Everything twice, and at the end all that ever was: idempotent."""
    world.write(world.robin, "one")
    world.sync(world.robin)
    assert world.sync(world.sam, Repeats()) is None
    assert world.shown(world.sam) == world.said
    assert told(world.sam) == ""
    world.settle()


def test_an_old_connection_said_again_is_refused(world: World) -> None:
    """The relay proves its key over fresh numbers: who recorded a connection can't be a relay with it."""
    record = Records()
    assert world.sync(world.sam, record) is None
    world.write(world.sam, "stays here")
    error = world.sync(world.sam, RepeatsConnection(record.frames))
    assert error is not None
    assert error.code == "remote_protocol"
    assert "did not keep to the protocol" in told(world.sam)
    world.settle()


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_logs_changes_nothing(world: World, seed: int) -> None:
    """Logs among each other in any order come to the same."""
    phone = add_device(world.robin, "phone")
    world.settle(phone)
    for number in range(4):
        for who in (world.robin, phone):
            world.write(who, f"{number} of {log_of(who).hex()[:4]}")
            world.sync(who)
    assert world.sync(world.sam, Shuffles(seed, within=False)) is None
    assert world.shown(world.sam) == world.said
    assert "have not come" not in told(world.sam)
    world.settle(phone)


def test_the_order_within_a_log_is_kept_to(world: World) -> None:
    """A hole or another order is refused, told, and kept for doctor."""
    for number in range(5):
        world.write(world.robin, f"number {number}")
    world.sync(world.robin)
    error = world.sync(world.sam, Shuffles(1, within=True))
    assert error is not None
    assert error.code == "gap"
    assert "left out something in the middle" in told(world.sam)
    assert world.shown(world.sam) <= world.said
    world.settle()


def taken_over(world: World, how: str) -> bool:
    world.write(world.robin, "genuine one")
    world.write(world.robin, "genuine two")
    world.sync(world.robin)
    error = world.sync(world.sam, Alters(how))
    assert world.shown(world.sam) <= world.said, "something was shown that nobody wrote"
    return error is None


@pytest.mark.parametrize("how", ALTERATIONS)
def test_nothing_altered_is_taken_over(world: World, how: str) -> None:
    """Another ciphertext under the same header, a body of another entry, a shorter one, another place: refused and told."""
    assert not taken_over(world, how)
    assert any(words in told(world.sam) for words in ("did not sign", "left out something", "another past"))
    world.settle()


@pytest.mark.parametrize("how", ["body and hash", "swapped", "truncated and its length", "epoch"])
def test_without_signatures_what_was_altered_would_come_in(world: World, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the device's signature is not looked at. What is sealed then fails to open, which is all that is left."""
    for module in ("bide.replica.sync.receiving", "bide.log.membership"):
        monkeypatch.setattr(f"{module}.verify_signature", lambda *_, **__: None)
    assert taken_over(world, how)


@pytest.mark.parametrize("what", FORGERIES)
def test_nobody_is_let_in_or_out_by_the_relay(world: World, what: str) -> None:
    """A device, a person or a beginning that the relay made itself: refused, told, and the membership is as it was."""
    space = pair_space(world.sam).space_id
    before = world.sam.storage.members(space)
    error = world.sync(world.sam, Forges(what, space, log_of(world.robin)))
    assert error is not None
    assert "did not sign, or that nobody may write" in told(world.sam)
    assert world.sam.storage.members(space) == before
    world.write(world.robin, "afterwards")
    world.settle()


@pytest.mark.parametrize("what", ["device.added", "into their log"])
def test_without_signatures_a_forged_membership_would_come_in(world: World, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: into Robin's log, only the signature keeps a device of the relay out; a log of its own is no member's."""
    space = pair_space(world.sam).space_id
    monkeypatch.setattr("bide.log.membership.verify_signature", lambda *_, **__: None)
    world.sync(world.sam, Forges(what, space, log_of(world.robin)))
    assert (len(world.sam.storage.members(space)) == 3) == (what == "into their log")


# What it says of itself


def false_receipt(world: World) -> bool:
    written = world.sam.write("appreciation", {"noticed": "not there"}).id
    world.said.add(("Sam", "not there"))
    here = world.sam.storage.heads(pair_space(world.sam).space_id)[log_of(world.sam)]
    error = world.sync(world.sam, StoresUnsent(LogHead(here.log_id, here.seq + 1, os.urandom(32))))
    noticed = error is not None and "had not been sent" in told(world.sam)
    assert world.sam.show(written)["delivery"] == "here"
    world.settle()
    return noticed


def test_a_receipt_for_what_was_not_sent_is_not_believed(world: World) -> None:
    """It is an error, it is kept, and the words stay waiting."""
    assert false_receipt(world)


def test_a_receipt_for_what_was_thrown_away_is_found_out_the_next_time(world: World) -> None:
    """Nothing can tell at once; the next welcome lacks it, so it is sent again and told."""
    world.write(world.sam, "thrown away")
    assert world.sync(world.sam, FalselyStores()) is None
    assert world.finished
    assert world.sync(world.sam) is None
    assert "lacked log entries" in told(world.sam)
    world.settle()


@pytest.mark.parametrize("seq", [1, 5, 2**40, 2**62])
def test_absurd_heads_lead_nowhere(world: World, seq: int) -> None:
    """A log that nobody has, a number beyond all bounds, another hash: told, nothing kept of it, nobody stuck."""
    world.write(world.sam, "meanwhile")
    for log in (LogId(os.urandom(16)), log_of(world.sam), log_of(world.robin)):
        error = world.sync(world.sam, Claims([LogHead(log, seq, os.urandom(32))]))
        assert error is not None
        assert world.shown(world.sam) == world.said
    assert any(words in told(world.sam) for words in ("announced", "another past"))
    world.settle()


def test_a_member_who_is_called_none_brings_what_it_has_and_loses_nothing(world: World) -> None:
    """Provisional: the relay gives nothing. That it lacks everything is told."""
    world.write(world.robin, "from Robin")
    world.sync(world.robin)
    world.sync(world.sam, Disowns())
    assert "lacked log entries" in told(world.sam)
    world.settle()


def test_a_relay_that_guesses_a_code_has_one_guess_whatever_it_says_of_its_mailbox() -> None:
    """It can call a spent nameplate fresh. The device itself ends with the first wrong guess, and takes no second one."""
    sam = new_replica("Sam")
    run = PairingRun(sam, new_replica("the relay"), code=f"7-maple-river-maple@{RELAY_HOST}")
    run.finish()
    assert isinstance(run.errors[0], CodeMismatch)
    assert run.clients[0].closed
    for frame in (MailboxReady(), MailboxMessage(b"\x01" + bytes(34))):
        with pytest.raises(BideError):
            run.clients[0].receive_data(encode_frame(frame))
    assert run.clients[0].data_to_send() == []
    assert [space.kind for space in sam.spaces()] == ["own"]


# All of it at once


def a_lie(number: int, world: World, who: Replica) -> Lie:
    """One of all lies, by a number."""
    other = world.robin if who is world.sam else world.sam
    heads = world.archive.heads()
    kinds: list[Callable[[], Lie]] = [
        Lie,
        lambda: Withholds({log_of(other): heads.get(log_of(other), 1) // 2}),
        lambda: Withholds({log_of(other): 0, log_of(who): 1}),
        lambda: Withholds({log_of(other): heads.get(log_of(other), 1) - 1}, announces=True),
        CatchesUpEarly,
        Repeats,
        lambda: Shuffles(number, within=False),
        lambda: Shuffles(number, within=True),
        lambda: Alters(ALTERATIONS[number % len(ALTERATIONS)]),
        lambda: Forges(FORGERIES[number % len(FORGERIES)], pair_space(who).space_id, log_of(other)),
        FalselyStores,
        lambda: StoresUnsent(LogHead(log_of(who), 1 + number % 9, bytes(32))),
        lambda: Claims([LogHead(log_of(other), number % 50 + 1, bytes(32))]),
        Disowns,
    ]
    return kinds[number % len(kinds)]()


STEPS = st.lists(st.tuples(st.booleans(), st.sampled_from(["write", "lie"]), st.integers(0, 10_000)), max_size=14)


def all_signed(replica: Replica, space: SpaceId) -> bool:
    """Whether the device of each log signed everything in it. Asked of the keys, past what a control takes out."""
    devices = {member.log_id: member.device_id for member in replica.storage.members(space)}
    return all(
        is_signed_header(parse_envelope(envelope.data).header, space=space, device=devices[log])
        for log in replica.storage.heads(space)
        for envelope in replica.storage.envelopes_after(space, log, 0, bytes_max=1 << 30, count_max=10_000)
    )


def lie_and_settle(steps: list[tuple[bool, str, int]]) -> None:
    world = new_world()
    for number, (is_sam, deed, chance) in enumerate(steps):
        who = world.sam if is_sam else world.robin
        if deed == "write":
            world.write(who, f"entry {number}")
        else:
            world.sync(who, a_lie(chance, world, who))
        for each in (world.sam, world.robin):
            assert world.shown(each) <= world.said, "something was shown that nobody wrote"
    world.settle()
    for each in (world.sam, world.robin):
        assert not [finding for finding in each.doctor() if finding.level == "damage"]
        for space in each.spaces():
            assert not each.storage.evidence(space.space_id), "an honest device is said to have written two pasts"
            assert not each.storage.beside(space.space_id), "something of an honest device was left out"
            assert all_signed(each, space.space_id), "something is in a log that its device did not write"


@settings(max_examples=LIES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=LIES < 100)
@given(STEPS)
def test_whatever_lies_are_told_nothing_false_is_shown_and_nothing_is_lost(steps: list[tuple[bool, str, int]]) -> None:
    """Any lies in any order, with writing in between: then an honest relay, and both hold the same, whole."""
    lie_and_settle(steps)


def test_the_campaign_fails_without_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a client that looks at no signature ends with what nobody wrote, or can't be mended."""
    for module in ("bide.replica.sync.receiving", "bide.log.membership"):
        monkeypatch.setattr(f"{module}.verify_signature", lambda *_, **__: None)
    forging = next(n for n in range(1000) if n % 14 == 9 and FORGERIES[n % len(FORGERIES)] == "into their log")
    with pytest.raises((AssertionError, BideError)):
        lie_and_settle([(False, "write", 0), (False, "lie", 0), (True, "lie", forging), (False, "write", 0)])


def test_the_campaign_fails_where_a_receipt_is_believed_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a client that never looks again at what was once confirmed loses what was thrown away."""
    from bide.replica.sync.syncing import SpaceSync

    whole = SpaceSync._compare

    def believing(self: SpaceSync, welcome: Any) -> None:
        known = self._storage.relay_heads(self._space.space_id)
        heads = {head.log_id: head for head in welcome.heads} | {head.log_id: LogHead(*head) for head in known.values()}
        whole(self, welcome._replace(heads=list(heads.values())))

    monkeypatch.setattr(SpaceSync, "_compare", believing)
    with pytest.raises(AssertionError):
        lie_and_settle([(True, "write", 0), (True, "lie", 10), (False, "lie", 0)])
