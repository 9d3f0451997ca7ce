"""Taking in what others wrote: genuine and in order, or not at all; and what a cheating partner can and can't do."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from forging import altered, body_of, forge, seal_plaintext, with_body
from replicas import raw

from bide.crdt.change import read_change
from bide.crdt.document import EntryDocument, amend_change, create_change
from bide.entries import kinds
from bide.entries.kinds import By, EventType
from bide.entries.records import Standing
from bide.errors import BideError, ChangeRejected, EnvelopeRejected, MembershipRejected, SequenceGap
from bide.ids import EntryId, SystemRandomness, new_entry_id, person_entry_id
from bide.log.envelope import EnvelopeClass, authenticated_prefix, parse_envelope, write_envelope
from bide.log.head import Head
from bide.log.packing import pack
from bide.replica import Replica
from bide.replica.sync.receiving import Receiver
from bide.testing import FakeClock, SpaceBuilder
from bide.testing_replicas import exchange, give, missing, new_replica, pair_space, pair_up, receive

RANDOM = SystemRandomness()
SAM, ROBIN = 0, 1


def new_id(slot: int) -> EntryId:
    return new_entry_id(FakeClock(), RANDOM, slot=slot)


def change(fields: dict[str, Any]) -> bytes:
    return create_change(fields, slot=1, randomness=RANDOM)


def changes_of(replica: Replica, entry: EntryId) -> list[bytes]:
    return [e.change for e in replica.storage.events(pair_space(replica).space_id, entry) if e.standing is Standing.APPLIED]


def state(replica: Replica) -> tuple[Any, ...]:
    space = pair_space(replica).space_id
    return (
        replica.digest(),
        replica.storage.standing_counts(space),
        replica.storage.quarantine(space),
        replica.storage.members(space),
    )


def refused(target: Replica, batch: list[bytes], error: type[BideError]) -> BideError:
    """The batch is refused as a whole, and nothing has changed."""
    before = state(target)
    with pytest.raises(error) as caught:
        receive(target, batch)
    assert state(target) == before
    return caught.value


def news(source: Replica, target: Replica) -> list[bytes]:
    [log] = missing(source, target)
    return [envelope.data for envelope in log]


def sealed(replica: Replica, seq: int, prev_hash: bytes, *, seed: bytes = b"", space: bytes = b"") -> bytes:
    """An envelope at any place of the replica's log; its body is no sealed event."""
    record = pair_space(replica)
    prefix = authenticated_prefix(
        klass=EnvelopeClass.DATA,
        log_id=record.log_id,
        seq=seq,
        prev_hash=prev_hash,
        epoch_id=record.epoch_id,
        nonce=os.urandom(24),
    )
    signed_for = record.space_id if not space else type(record.space_id)(space)
    return write_envelope(prefix, b"x" * 272, space=signed_for, signing_seed=seed or record.signing_seed).data


# Genuine, or not at all


def test_every_altered_byte_is_refused(couple: tuple[Replica, Replica]) -> None:
    """Flipping a byte anywhere in an envelope, header or body, gets the batch refused."""
    sam, robin = couple
    sam.write("appreciation", {"noticed": "you"})
    [data] = news(sam, robin)
    for at in [*range(0, 204, 3), 204, 300, len(data) - 1]:
        refused(robin, [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]], EnvelopeRejected)
    for other in (b"", b"BD", data[:-1], data + b"x", os.urandom(400)):
        refused(robin, [other], EnvelopeRejected)
    assert receive(robin, [data]) == 1
    assert [entry["fields"]["noticed"] for entry in robin.timeline()] == ["you"]


def test_a_forged_signature_is_refused_also_behind_genuine_ones(couple: tuple[Replica, Replica]) -> None:
    """Signed by another key, alone or at the end of a genuine run: nothing of the batch is kept."""
    sam, robin = couple
    sam.write("appreciation", {"noticed": "one"})
    sam.write("appreciation", {"noticed": "two"})
    batch = news(sam, robin)
    last = parse_envelope(batch[-1])
    forged = sealed(sam, last.seq + 1, last.hash, seed=os.urandom(32))
    refused(robin, [*batch, forged], EnvelopeRejected)
    assert receive(robin, batch) == 2


def test_a_stranger_and_another_space_are_refused(couple: tuple[Replica, Replica]) -> None:
    """A log of no member, and an envelope that was signed for another space."""
    sam, robin = couple
    stranger = SpaceBuilder.found("pair", randomness=RANDOM)
    refused(robin, [stranger.write(stranger.founder).data], EnvelopeRejected)
    refused(robin, [stranger.envelopes[0].data], EnvelopeRejected)
    head = robin.storage.heads(pair_space(robin).space_id)[pair_space(sam).log_id]
    refused(robin, [sealed(sam, head.seq + 1, head.hash, space=b"another space ..")], EnvelopeRejected)
    own = sam.write("checkin", {"hard": "alone"}, private=True)
    private = sam.storage.envelopes_after(sam.spaces()[0].space_id, sam.spaces()[0].log_id, 0, bytes_max=1 << 20, count_max=9)
    for envelope in private:
        refused(robin, [envelope.data], EnvelopeRejected)
    assert sam.show(own.id)["visibility"] == "private"


def test_a_gap_is_refused_and_what_was_missing_mends_it(couple: tuple[Replica, Replica]) -> None:
    """The later one alone doesn't enter; with the earlier one before it, both do."""
    sam, robin = couple
    for text in ("one", "two", "three"):
        sam.write("appreciation", {"noticed": text})
    one, two, three = news(sam, robin)
    refused(robin, [two], SequenceGap)
    refused(robin, [one, three], SequenceGap)
    assert receive(robin, [one, one, two]) == 2
    assert receive(robin, [two, three, one]) == 1
    assert sam.digest()[1]["digest"] == robin.digest()[1]["digest"]


def test_a_fork_is_refused_and_what_was_first_stays(couple: tuple[Replica, Replica]) -> None:
    """Another envelope in a taken place, or one that continues another past: what was first stays, with proof of the other."""
    sam, robin = couple
    space = pair_space(sam)
    sam.write("appreciation", {"noticed": "one"})
    [one] = news(sam, robin)
    head = parse_envelope(one)
    twin = sealed(sam, head.seq, head.prev_hash)
    forged = bytearray(twin)
    forged[150] ^= 1
    refused(robin, [one, bytes(forged)], EnvelopeRejected)
    assert receive(robin, [one, twin]) == 1
    before = state(robin)
    for other in (twin, sealed(sam, head.seq + 1, os.urandom(32))):
        receiver = Receiver(robin.storage, pair_space(robin))
        assert receiver.receive([other]) == 0
        assert list(receiver.left_out) == [space.log_id]
        assert receiver.receive([other]) == 0
    assert robin.storage.evidence(space.space_id) == [twin[:204]]
    assert [beside.data for beside in robin.storage.beside(space.space_id)] == [twin[:204]]  # no words of it
    assert state(robin) == before
    assert robin.storage.heads(space.space_id)[space.log_id].hash == head.hash
    assert not robin.storage.displaced(space.space_id)


@pytest.mark.parametrize("at", [64, 80, 103], ids=["epoch", "nonce", "end of the nonce"])
def test_what_was_altered_on_its_way_accuses_nobody(couple: tuple[Replica, Replica], at: int) -> None:
    """An entry that nobody signed as it is, and after it an honest one: no second past, though the two don't fit."""
    sam, robin = couple
    sam.write("appreciation", {"noticed": "one"})
    sam.write("appreciation", {"noticed": "two"})
    one, two = news(sam, robin)
    other = one[:at] + bytes([one[at] ^ 1]) + one[at + 1 :]
    assert type(refused(robin, [other, two], EnvelopeRejected)) is EnvelopeRejected
    assert receive(robin, [one, two]) == 2


def test_membership_cannot_be_changed_by_who_may_not(couple: tuple[Replica, Replica]) -> None:
    """The second person can admit nobody as a second person, and nothing of the try is kept."""
    sam, robin = couple
    space = pair_space(robin)
    head = robin.storage.heads(space.space_id)[space.log_id]
    genesis = robin.storage.controls(space.space_id)
    joined = next(e for e in genesis if e.seq == 2)
    for body in (parse_envelope(joined.data).body, b"", pack(["person.joined", 1, []])):
        prefix = authenticated_prefix(
            klass=EnvelopeClass.CONTROL,
            log_id=space.log_id,
            seq=head.seq + 1,
            prev_hash=head.hash,
            epoch_id=bytes(16),
            nonce=bytes(24),
        )
        bad = write_envelope(prefix, body, space=space.space_id, signing_seed=space.signing_seed)
        refused(sam, [bad.data], MembershipRejected)


# What can't be understood is kept


def test_an_unknown_event_type_is_kept_and_comes_to_life_after_an_upgrade(
    couple: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as newer, is passed on, and a rebuild applies it once the type is known."""
    sam, robin = couple
    written = robin.write("checkin", {"went_well": "tea"})
    entry = raw(written.id)
    further = amend_change(changes_of(robin, entry), {"hard": "rain"}, slot=1, randomness=RANDOM)
    forge(robin, "checkin.amended", entry, further)
    builds_on = amend_change([*changes_of(robin, entry), further], {"worry": "wind"}, slot=1, randomness=RANDOM)
    forge(robin, "checkin.edited", entry, builds_on)
    give(robin, sam)
    counts = sam.status()["spaces"][1]
    assert (counts["newer"], counts["waiting"], counts["ignored"]) == (1, 1, 0)
    assert sam.show(written.id)["fields"] == {"went_well": "tea"}
    known = EventType("checkin.amended", By.AUTHOR, ("hard",))
    monkeypatch.setitem(kinds.EVENT_TYPES, known.name, (kinds.CHECKIN, known))
    sam.rebuild()
    counts = sam.status()["spaces"][1]
    assert (counts["newer"], counts["waiting"], counts["ignored"]) == (0, 0, 0)
    assert sam.show(written.id)["fields"] == {"went_well": "tea", "hard": "rain", "worry": "wind"}


def test_a_newer_version_is_kept_unless_an_older_reader_may_read_it(couple: tuple[Replica, Replica]) -> None:
    """`least_version` decides, not `version`."""
    sam, robin = couple
    one, two = new_id(ROBIN), new_id(ROBIN)
    forge(robin, "checkin.written", one, change({"hard": "read me"}), version=2, least_version=1)
    forge(robin, "checkin.written", two, change({"hard": "not me"}), version=2, least_version=2)
    give(robin, sam)
    assert [entry["fields"] for entry in sam.timeline()] == [{"hard": "read me"}]
    assert sam.status()["spaces"][1]["newer"] == 1


def test_an_event_waits_for_what_it_builds_on(couple: tuple[Replica, Replica]) -> None:
    """A reply from another log that came before what it answers is applied when that arrives."""
    sam, robin = couple
    third = new_replica("Third")
    written = sam.write("checkin", {"hard": "work"})
    exchange(sam, robin)
    hearing = robin.hear(written.id, {"mirrored": "work"})
    exchange(sam, robin)
    sam.answer_hearing(hearing.id, verdict="heard")
    assert third.people() == []
    # Robin loses what she wrote since, as a restored home does, and gets Sam's answer before her own hearing.
    lost = new_replica("Robin")
    pair_space_of_robin = pair_space(robin)
    with lost.storage.transaction():
        lost.storage.put_space(pair_space_of_robin._replace(kind="pair"))
        for epoch, secret in robin.storage.epochs(pair_space_of_robin.space_id).items():
            lost.storage.put_epoch(pair_space_of_robin.space_id, epoch, secret)
        lost.storage.append(pair_space_of_robin.space_id, sam.storage.controls(pair_space_of_robin.space_id)[0])
        from bide.replica.derivation.rebuilding import rebuild_members

        rebuild_members(lost.storage, pair_space_of_robin.space_id)
    of_sam, of_robin = missing(sam, lost)
    receive(lost, [e.data for e in of_sam])
    assert lost.status()["spaces"][1]["waiting"] == 1
    assert lost.show(written.id)["replies"] == []
    receive(lost, [e.data for e in of_robin])
    assert lost.status()["spaces"][1]["waiting"] == 0
    assert lost.digest()[1]["digest"] == sam.digest()[1]["digest"]
    assert lost.show(written.id)["replies"][0]["fields"]["answer"] == "heard"


def test_what_cannot_be_opened_is_set_aside_and_the_rest_goes_on(couple: tuple[Replica, Replica]) -> None:
    """A sealed nonsense, a body under no known key: quarantined with a reason, while what follows is shown."""
    sam, robin = couple
    space = pair_space(robin)
    seal_plaintext(robin, b"no event at all", space_id=space.space_id)
    seal_plaintext(robin, pack([1, [], "a.b", 0]), space_id=space.space_id)
    with robin.storage.transaction():
        robin.storage.put_space(space._replace(epoch_id=bytes(16)))
        robin.storage.put_epoch(space.space_id, bytes(16), os.urandom(32))
    forge(robin, "checkin.written", new_id(ROBIN), change({"hard": "no key"}))
    with robin.storage.transaction():
        robin.storage.put_space(space)
    robin.write("checkin", {"hard": "fine"})
    give(robin, sam)
    assert [entry["fields"] for entry in sam.timeline()] == [{"hard": "fine"}]
    assert sam.status()["spaces"][1]["quarantined"] == 3
    told = [finding.words for finding in sam.doctor() if "set aside" in str(finding.words)]
    assert sum(int(str(words.values["count"])) for words in told) == 3
    before = state(sam)
    sam.rebuild()
    assert state(sam) == before


# Poison


def many_ops() -> bytes:
    """A well-formed change with more operations than any of ours has."""
    return create_change({}, texts={"agreement": "x" * 25_001}, slot=1, randomness=RANDOM)


def bomb() -> bytes:
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = squeezed.compress(bytes(50_000_000)) + squeezed.flush()
    size, length = bytearray(), len(body)
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return b"\x85\x6f\x4a\x83" + bytes(4) + b"\x02" + bytes(size) + body


def counter() -> bytes:
    """The number 5 at a key, told to be a counter: reading one makes Automerge panic."""
    plain = change({"hard": 5})
    return altered(plain, b"\x7f\x14", b"\x7f\x18") if b"\x7f\x14" in plain else altered(plain, b"\x01\x14", b"\x01\x18")


POISONS: dict[str, Callable[[], bytes]] = {
    "bomb": bomb,
    "many operations": many_ops,
    "counter": counter,
    "nothing": lambda: b"",
    "no change": lambda: os.urandom(300),
    "cut": lambda: change({"hard": "x"})[:-3],
    "extended": lambda: change({"hard": "x"}) + b"\0",
    "trailing": lambda: with_body(body_of(change({"hard": "x"})) + b"\0"),
    "key that is no text": lambda: altered(change({"hard": "x"}), b"hard", b"\xff\xfe\xfd\xfc"),
    "value that is no text": lambda: altered(change({"hard": "marker"}), b"marker", b"\xff\xfe\xfd\xfc\xfb\xfa"),
}


@pytest.mark.parametrize("poison", POISONS)
def test_poison_is_set_aside_and_harms_nothing(couple: tuple[Replica, Replica], poison: str) -> None:
    """As a new entry or as a change of an old one, it is not shown; what came before and after is."""
    sam, robin = couple
    written = robin.write("checkin", {"went_well": "tea"})
    mine = sam.write("checkin", {"went_well": "coffee"})
    data = POISONS[poison]()
    forge(robin, "checkin.written", new_id(ROBIN), data)
    forge(robin, "checkin.edited", raw(written.id), data)
    robin.write("checkin", {"went_well": "more tea"})
    give(robin, sam)
    assert [entry["fields"] for entry in sam.timeline(by="Robin")] == [{"went_well": "tea"}, {"went_well": "more tea"}]
    counts = sam.status()["spaces"][1]
    assert counts["ignored"] + counts["waiting"] + counts["quarantined"] >= 2
    sam.edit(mine.id, {"hard": "rain"})
    before = state(sam)
    sam.rebuild()
    assert state(sam) == before
    robin.rebuild()
    give(sam, robin)
    assert sam.digest()[1]["digest"] == robin.digest()[1]["digest"]


def test_a_change_that_only_automerge_refuses_does_not_take_the_entry_with_it(couple: tuple[Replica, Replica]) -> None:
    """In a conversation that both write in: it is left out, and both go on talking, rebuilt or not."""
    sam, robin = couple
    talk = raw(sam.invite_to_repair({"topic": "dishes"}).id)
    exchange(sam, robin)
    good = amend_change(changes_of(robin, talk), {"accept.1": True}, slot=1, randomness=RANDOM)
    for at in range(len(body_of(good))):
        body = bytearray(body_of(good))
        body[at] ^= 0x15
        forge(robin, "repair.accepted", talk, with_body(bytes(body)))
    give(robin, sam)
    assert sam.conversations()[0]["fields"]["topic"] == "dishes"
    sam.repair_step(talk.hex(), "tell", {"own_part": "I left them", "felt": "tired"})
    assert sam.show(talk.hex())["state"] == "told"
    before = state(sam)
    sam.rebuild()
    assert state(sam) == before
    robin.rebuild()
    give(sam, robin)
    assert sam.digest()[1]["digest"] == robin.digest()[1]["digest"]
    robin.repair_step(talk.hex(), "tell", {"own_part": "me too", "felt": "sorry"})
    exchange(sam, robin)
    assert len(sam.show(talk.hex())["fields"]["tells"]) == 2


def test_a_partner_cannot_make_a_hearing_vanish(couple: tuple[Replica, Replica]) -> None:
    """An answer whose text is shorter than it claims is left out, and the hearing stands, live, rebuilt, and answered anew."""
    sam, robin = couple
    written = robin.write("checkin", {"hard": "work"})
    exchange(sam, robin)
    hearing = raw(sam.hear(written.id, {"mirrored": "work"}).id)
    exchange(sam, robin)
    body = body_of(amend_change(changes_of(robin, hearing), {"answer": "heard"}, slot=1, randomness=RANDOM))
    at = body.rindex(b"\x56heard")
    poison = with_body(body[:at] + b"\x66heard" + body[at + 6 :])
    read_change(poison)
    with pytest.raises(ChangeRejected):
        EntryDocument([*changes_of(robin, hearing), poison])
    forge(robin, "hearing.answered", hearing, poison)
    give(robin, sam)
    before = state(sam)
    sam.rebuild()
    robin.rebuild()
    assert state(sam) == before
    assert sam.status()["spaces"][1]["ignored"] == 1
    robin.answer_hearing(hearing.hex(), verdict="heard")
    exchange(sam, robin)
    assert [reply["fields"] for reply in sam.show(written.id)["replies"]] == [{"mirrored": "work", "answer": "heard"}]
    assert sam.digest()[1]["digest"] == robin.digest()[1]["digest"]


@pytest.mark.parametrize("start", [0, 1, 3, 2**31, 2**32 - 1, 2**32, 2**63 - 1])
def test_a_change_that_counts_wrongly_is_ignored(couple: tuple[Replica, Replica], start: int) -> None:
    """An operation number out of line neither wins over everything nor uses up the last number there is."""
    sam, robin = couple
    talk = raw(sam.invite_to_repair({"topic": "dishes"}).id)
    exchange(sam, robin)
    head = changes_of(robin, talk)
    good = amend_change(head, {"accept.1": True}, slot=1, randomness=RANDOM)
    body, at = body_of(good), 1 + 32 + 1 + 16 + 1
    right = read_change(good).start_op
    assert body[at] == right != start
    number, rest = bytearray(), start
    while rest > 0x7F:
        number.append(rest & 0x7F | 0x80)
        rest >>= 7
    number.append(rest)
    forge(robin, "repair.accepted", talk, with_body(body[:at] + bytes(number) + body[at + 1 :]))
    give(robin, sam)
    robin.rebuild()
    assert [r.show(talk.hex())["state"] for r in couple] == ["invited", "invited"]
    sam.repair_step(talk.hex(), "tell", {"own_part": "I left them", "felt": "tired"})
    robin.repair_step(talk.hex(), "accept")
    exchange(sam, robin)
    assert sam.digest()[1]["digest"] == robin.digest()[1]["digest"]
    assert sam.show(talk.hex())["state"] == "told"


# A partner who cheats


def test_a_partner_puts_no_words_into_the_others_mouth(couple: tuple[Replica, Replica]) -> None:
    """Keys of the other's slot, edits of the other's entry, entries under the other's ids: kept, ignored, not shown."""
    sam, robin = couple
    mine = sam.write("appreciation", {"noticed": "you"})
    talk = sam.invite_to_repair({"topic": "dishes"})
    exchange(sam, robin)
    sam.repair_step(talk.id, "tell", {"own_part": "I left them", "felt": "tired"})
    exchange(sam, robin)
    before = sam.timeline(), robin.timeline()
    talk_changes, my_changes = changes_of(robin, raw(talk.id)), changes_of(robin, raw(mine.id))
    space = pair_space(sam).space_id

    def amended(changes: list[bytes], fields: dict[str, Any], texts: dict[str, str] | None = None) -> bytes:
        return amend_change(changes, fields, texts=texts, slot=1, randomness=RANDOM)

    tries = [
        ("repair.told", raw(talk.id), amended(talk_changes, {"tell.0.own_part": "everything"})),
        ("repair.told", raw(talk.id), amended(talk_changes, {"tell.1.own_part": "x", "tell.0.felt": "y"})),
        ("repair.settled", raw(talk.id), amended(talk_changes, {"settle.0": True})),
        ("repair.edited", raw(talk.id), amended(talk_changes, {"topic": "your dishes"})),
        ("repair.told", raw(talk.id), amended(talk_changes, {"tell.1.felt": "x"}, {"agreement": "you wash"})),
        ("appreciation.edited", raw(mine.id), amended(my_changes, {"noticed": "nothing"})),
        ("appreciation.given", raw(mine.id), change({"noticed": "nothing"})),
        ("checkin.edited", raw(mine.id), amended(my_changes, {"hard": "x"})),
        ("checkin.written", new_id(SAM), change({"hard": "by Sam"})),
        ("hearing.offered", new_id(SAM), change({"mirrored": "by Sam", "about": mine.id})),
        ("person.named", person_entry_id(space, SAM), change({"name": "Fool"})),
        ("checkin.written", new_id(ROBIN), change({"noticed": "another kind's field"})),
        ("checkin.edited", new_id(ROBIN), change({"hard": "begins with an edit"})),
        ("checkin.written", new_id(ROBIN), create_change({"hard": "x"}, texts={"worry": "a text"}, slot=1, randomness=RANDOM)),
    ]
    for name, entry, data in tries:
        forge(robin, name, entry, data)
    give(robin, sam)
    assert (sam.timeline(), robin.timeline()) == before
    assert (sam.people(), sam.status()["spaces"][1]["ignored"]) == (["Robin"], len(tries))
    sam.rebuild()
    robin.rebuild()
    assert sam.timeline() == before[0]
    assert sam.digest()[1]["digest"] == robin.digest()[1]["digest"]


@pytest.mark.parametrize("attempt", range(4))
def test_copying_the_others_change_does_not_silence_it(attempt: int) -> None:
    """Whichever log comes first by id, the copy is ignored and the original counts."""
    sam, robin = new_replica(f"Sam {attempt}"), new_replica(f"Robin {attempt}")
    pair_up(sam, robin)
    written = sam.write("checkin", {"hard": "work"})
    exchange(sam, robin)
    [copied] = changes_of(robin, raw(written.id))
    forge(robin, "checkin.written", raw(written.id), copied)
    give(robin, sam)
    robin.rebuild()
    for replica in (sam, robin):
        assert [entry["fields"] for entry in replica.timeline()] == [{"hard": "work"}]
        assert replica.status()["spaces"][1]["ignored"] == 1
    sam.edit(written.id, {"hard": "still"})
    assert sam.show(written.id)["fields"] == {"hard": "still"}


def test_a_second_beginning_that_undoes_a_fold_is_projected_as_a_rebuild_would(couple: tuple[Replica, Replica]) -> None:
    """An inviter who begins the same conversation twice may unfold it: live and rebuilt agree, whichever counts."""
    sam, robin = couple
    sam.invite_to_repair({"topic": "dishes"})
    mine = raw(robin.invite_to_repair({"topic": "the dishes"}).id)
    exchange(sam, robin)
    head = robin.storage.heads(pair_space(robin).space_id)[pair_space(sam).log_id]
    for number in range(6):
        forge(robin, "repair.invited", mine, change({"topic": f"again {number}"}), frontier=(Head(*head),))
        give(robin, sam)
        live = sam.digest()
        sam.rebuild()
        assert sam.digest() == live, number


def test_a_reply_stays_in_the_space_where_it_was_written() -> None:
    """Someone who learned the id of an entry in another space can't hang a reply under it there."""
    sam, robin, alex = new_replica("Sam"), new_replica("Robin"), new_replica("Alex")
    first = pair_up(sam, robin)
    second = pair_up(sam, alex)
    written = sam.write("checkin", {"hard": "work"}, with_="Robin")
    forge(alex, "hearing.offered", new_id(ROBIN), change({"mirrored": "I know", "about": raw(written.id).hex()}))
    give(alex, sam, space=second)
    give(robin, sam, space=first)
    assert sam.show(written.id)["replies"] == []
