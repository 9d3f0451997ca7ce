"""What a partner who cheats can do to a conversation and to a device: nothing that lasts, and nothing that takes long."""

from __future__ import annotations

import os
from typing import Any

import pytest
from automerge.core import ROOT, Document, ObjType, ScalarType
from forging import body_of, forge, with_body
from replicas import raw

from bide.crdt.change import read_change
from bide.crdt.document import EntryDocument, amend_change, create_change
from bide.entries.records import Standing
from bide.errors import ChangeRejected, StorageError
from bide.ids import EntryId, SystemRandomness, new_entry_id
from bide.projections import order
from bide.replica import Replica
from bide.replica.derivation import deriving
from bide.storage.memory import MemoryStorage
from bide.testing import FakeClock
from bide.testing_replicas import exchange, give, pair_space

RANDOM = SystemRandomness()
TELL = {"own_part": "I left them", "felt": "tired"}


def robins_id() -> EntryId:
    return new_entry_id(FakeClock(), RANDOM, slot=1)


def oldest_id() -> EntryId:
    """An id by Robin that comes before every honest one."""
    made = bytearray(os.urandom(16))
    made[:6], made[6], made[8], made[15] = bytes(6), 0x70, 0x80, made[15] & 0xFE | 1
    return EntryId(bytes(made))


def invitation(topic: Any = "x", **texts: str) -> bytes:
    return create_change({"topic": topic, "calm": True}, texts=texts or {"agreement": ""}, slot=1, randomness=RANDOM)


def unloadable_root() -> bytes:
    """An invitation that is well formed, and that Automerge refuses."""
    good = create_change({"topic": "aaaa", "calm": True}, texts={"agreement": "we"}, slot=1, randomness=RANDOM)
    for at in range(60, len(good)):
        for byte in (0x7F, 0x63, 0x01, 0x00):
            candidate = _with_byte(good, at, byte)
            if candidate is not None:
                return candidate
    raise AssertionError


def _with_byte(good: bytes, at: int, byte: int) -> bytes | None:
    body = bytearray(body_of(good))
    if at >= len(body):
        return None
    body[at] = byte
    made = with_body(bytes(body))
    try:
        change = read_change(made)
    except ChangeRejected:
        return None
    if change.deps or change.start_op != 1 or not change.keys <= {"topic", "calm", "agreement"}:
        return None
    try:
        EntryDocument([made]).fields()
    except ChangeRejected:
        return made
    return None


def digests(*replicas: Replica) -> set[str]:
    """Of the pair space, live and after a rebuild: one if all is well."""
    found = {str(replica.digest()[1]["digest"]) for replica in replicas}
    for replica in replicas:
        replica.rebuild()
        found.add(str(replica.digest()[1]["digest"]))
    return found


def robins_actor() -> bytes:
    """Robin may use those whose last bit is hers."""
    return os.urandom(15) + b"\x01"


def chain(replica: Replica, kind: str, entry: EntryId, start: list[bytes], count: int, *keys: str) -> None:
    document = Document.load(b"".join(start))
    with replica.storage.transaction():
        for number in range(count):
            heads = document.get_heads()
            document.set_actor(robins_actor())
            with document.transaction() as transaction:
                for key in keys:
                    transaction.put(ROOT, key, ScalarType.Str, f"x{number}")
            forge(replica, kind, entry, bytes(document.get_changes(heads)[0].bytes))


def test_an_invitation_that_automerge_refuses_stops_nothing(couple: tuple[Replica, Replica]) -> None:
    """It is ignored, what comes after it arrives, and a rebuild comes to the same."""
    sam, robin = couple
    forge(robin, "repair.invited", robins_id(), unloadable_root())
    robin.write("appreciation", {"noticed": "you waited"})
    give(robin, sam)
    assert sam.timeline(search="waited")
    assert sam.conversations() == []
    assert sam.status()["spaces"][1]["ignored"] == 1
    robin.rebuild()
    assert len(digests(sam, robin)) == 1


def test_what_does_not_load_takes_no_part_in_grouping(couple: tuple[Replica, Replica]) -> None:
    """Live and rebuilt, here and there: the same conversations, though a refused invitation would cross the others."""
    sam, robin = couple
    sam.invite_to_repair({"topic": "X1"})
    sam.invite_to_repair({"topic": "X2"})
    forge(robin, "repair.invited", oldest_id(), unloadable_root())
    late, root = robins_id(), invitation("Z")
    forge(robin, "repair.invited", late, root)
    robin.rebuild()
    exchange(sam, robin)
    forge(robin, "repair.edited", late, amend_change([root], {"topic": "Z edited"}, slot=1, randomness=RANDOM))
    robin.rebuild()
    exchange(sam, robin)
    assert len(digests(sam, robin)) == 1


def test_nobody_can_claim_to_have_forgotten_a_conversation(couple: tuple[Replica, Replica]) -> None:
    """An invitation with an old id and an empty frontier doesn't take over a conversation that its author took part in."""
    sam, robin = couple
    talk = sam.invite_to_repair({"topic": "dishes"}).id
    exchange(sam, robin)
    robin.repair_step(talk, "tell", TELL)
    exchange(sam, robin)
    old, root = oldest_id(), invitation("attack")
    forge(robin, "repair.invited", old, root)
    forge(robin, "repair.withdrawn", old, amend_change([root], {"withdraw.1": True}, slot=1, randomness=RANDOM))
    robin.rebuild()
    exchange(sam, robin)
    assert sam.show(talk)["state"] == "told"
    assert sam.show(talk)["id"] == talk
    assert len(digests(sam, robin)) == 1


def test_a_step_in_a_conversation_shows_that_it_was_known(couple: tuple[Replica, Replica]) -> None:
    """Also if no event ever cited it."""
    sam, robin = couple
    talk = sam.invite_to_repair({"topic": "dishes"}).id
    give(sam, robin)
    [first] = robin.storage.events(pair_space(robin).space_id, raw(talk))
    step = amend_change([first.change], {"accept.1": True}, slot=1, randomness=RANDOM)
    forge(robin, "repair.accepted", raw(talk), step)
    forge(robin, "repair.invited", oldest_id(), invitation("attack"))
    robin.rebuild()
    exchange(sam, robin)
    assert {c["id"] for c in sam.conversations()} >= {talk}
    assert len(sam.conversations()) == 2
    assert len(digests(sam, robin)) == 1


@pytest.mark.parametrize(
    ("kind", "fields", "texts"),
    [
        ("repair.invited", {"topic": 5, "calm": True}, {"agreement": ""}),
        ("repair.invited", {"topic": True, "calm": True}, {"agreement": ""}),
        ("repair.invited", {"topic": "x", "calm": "yes"}, {"agreement": ""}),
        ("repair.invited", {"topic": "x", "calm": True, "agreement": "no text"}, {}),
        ("repair.invited", {"calm": True}, {"topic": "a text", "agreement": ""}),
        ("appreciation.given", {"noticed": 5}, {}),
        ("checkin.written", {"hard": False}, {}),
    ],
)
def test_values_of_the_wrong_kind_are_ignored(
    couple: tuple[Replica, Replica], kind: str, fields: dict[str, Any], texts: dict[str, str]
) -> None:
    """Nothing but words stands where words belong."""
    sam, robin = couple
    forge(robin, kind, robins_id(), create_change(fields, texts=texts, slot=1, randomness=RANDOM))
    give(robin, sam)
    assert sam.timeline() == []
    assert sam.status()["spaces"][1]["ignored"] == 1


def test_alternatives_of_the_wrong_kind_are_ignored(couple: tuple[Replica, Replica]) -> None:
    """An edit to a number, or one that deletes, leaves what was said."""
    sam, robin = couple
    entry, root = robins_id(), create_change({"noticed": "x", "felt": "y"}, slot=1, randomness=RANDOM)
    forge(robin, "appreciation.given", entry, root)
    for value in (5, 6, True):
        forge(robin, "appreciation.edited", entry, amend_change([root], {"noticed": value}, slot=1, randomness=RANDOM))
    document = Document.load(root)
    heads = document.get_heads()
    document.set_actor(robins_actor())
    with document.transaction() as transaction:
        transaction.delete(ROOT, "felt")
    forge(robin, "appreciation.edited", entry, bytes(document.get_changes(heads)[0].bytes))
    give(robin, sam)
    [shown] = sam.timeline()
    assert (shown["fields"], shown["alternatives"], shown["history"]) == ({"noticed": "x", "felt": "y"}, {}, [])
    assert sam.status()["spaces"][1]["ignored"] == 4


def test_a_long_chain_of_edits_counts_up_to_a_limit(couple: tuple[Replica, Replica]) -> None:
    """What is beyond is ignored, in the order of the log; the last versions are kept."""
    sam, robin = couple
    entry, root = robins_id(), create_change({"noticed": "x"}, slot=1, randomness=RANDOM)
    forge(robin, "appreciation.given", entry, root)
    chain(robin, "appreciation.edited", entry, [root], 2000, "noticed")
    give(robin, sam)
    [shown] = sam.timeline()
    assert shown["fields"] == {"noticed": "x498"}
    assert len(shown["history"]) == 50
    assert sam.status()["spaces"][1]["ignored"] == 2001 - order.CHANGES_MAX // 2


def test_many_steps_are_put_in_order(couple: tuple[Replica, Replica]) -> None:
    """Two thousand tells that cite nothing."""
    sam, robin = couple
    talk = sam.invite_to_repair({"topic": "dishes"}).id
    give(sam, robin)
    [first] = robin.storage.events(pair_space(robin).space_id, raw(talk))
    chain(robin, "repair.told", raw(talk), [first.change], 2000, "tell.1.own_part", "tell.1.felt")
    give(robin, sam)
    assert sam.show(talk)["state"] == "told"
    sam.repair_step(talk, "hear", {"mirrored": "that I was not silenced"})


def test_many_crossing_invitations_are_grouped(couple: tuple[Replica, Replica]) -> None:
    """One folds, the rest stand alone."""
    sam, robin = couple
    sam.invite_to_repair({"topic": "dishes"})
    with robin.storage.transaction():
        for number in range(300):
            forge(robin, "repair.invited", robins_id(), invitation(f"t{number}"))
    give(robin, sam)
    sam.invite_to_repair({"topic": "money"})
    assert len(sam.conversations()) == 301


def test_long_texts_count_up_to_a_limit(couple: tuple[Replica, Replica]) -> None:
    """Run-length bombs cost little, and a change that edits no text may write but a few keys."""
    sam, robin = couple
    document = Document(robins_actor())
    entry = robins_id()
    with document.transaction() as transaction:
        transaction.put(ROOT, "topic", ScalarType.Str, "t")
        transaction.put(ROOT, "calm", ScalarType.Boolean, True)
        agreement = transaction.put_object(ROOT, "agreement", ObjType.Text)
    forge(robin, "repair.invited", entry, bytes(document.get_changes([])[0].bytes))
    for _ in range(5):
        heads = document.get_heads()
        document.set_actor(robins_actor())
        with document.transaction() as transaction:
            transaction.put(ROOT, "agree.1", ScalarType.Boolean, True)
            for _ in range(12_000):
                transaction.insert(agreement, 0, ScalarType.Str, "b")
        forge(robin, "repair.agreed", entry, bytes(document.get_changes(heads)[0].bytes))
    give(robin, sam)
    standings = sam.storage.standing_counts(pair_space(sam).space_id)
    assert standings[Standing.IGNORED] == 3
    assert len(sam.conversations()[0]["fields"]["agreement"]) == 24_000


def test_a_change_writes_a_few_keys_at_most(couple: tuple[Replica, Replica]) -> None:
    """The same key, sixty-five times."""
    sam, robin = couple
    document = Document(robins_actor())
    with document.transaction() as transaction:
        for number in range(65):
            transaction.put(ROOT, "noticed", ScalarType.Str, str(number))
    forge(robin, "appreciation.given", robins_id(), bytes(document.get_changes([])[0].bytes))
    give(robin, sam)
    assert sam.timeline() == []


@pytest.mark.parametrize("what", ["judge", "project_entry"])
def test_the_unexpected_is_set_aside_and_the_rest_goes_on(
    couple: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Without a word of its content; what the storage raises is not caught."""
    sam, robin = couple
    bad = raw(robin.write("appreciation", {"noticed": "poison"}).id)
    robin.write("appreciation", {"noticed": "fine"})
    genuine = getattr(deriving, what)

    def failing(given: Any, **how: Any) -> Any:
        events = given if what == "judge" else [item.event for item in given.applied]
        if any(event.entry_id == bad for event in events):
            raise IndexError("poison")
        return genuine(given, **how)

    monkeypatch.setattr(deriving, what, failing)
    give(robin, sam)
    assert [entry["fields"]["noticed"] for entry in sam.timeline()] == ["fine"]
    [item] = sam.storage.quarantine(pair_space(sam).space_id)
    assert "poison" not in item.reason
    sam.rebuild()
    assert len(sam.timeline()) == 1

    def broken(self: MemoryStorage, entry: Any) -> None:
        raise StorageError

    monkeypatch.setattr(MemoryStorage, "put_entry", broken)
    with pytest.raises(StorageError):
        sam.rebuild()


def test_nobody_uses_the_actor_of_another(couple: tuple[Replica, Replica]) -> None:
    """A change under Sam's actor bit counts nothing, so Sam's own can't be refused for it."""
    sam, robin = couple
    talk = sam.invite_to_repair({"topic": "dishes"}).id
    give(sam, robin)
    [first] = robin.storage.events(pair_space(robin).space_id, raw(talk))
    forge(robin, "repair.told", raw(talk), amend_change([first.change], {"tell.1.felt": "x"}, slot=0, randomness=RANDOM))
    give(robin, sam)
    assert sam.show(talk)["state"] == "invited"
    assert sam.status()["spaces"][1]["ignored"] == 1


def test_an_actor_counts_once(couple: tuple[Replica, Replica]) -> None:
    """Of two changes under one actor the first of the log counts, and the rest of the entry goes on."""
    sam, robin = couple
    talk = sam.invite_to_repair({"topic": "dishes"}).id
    give(sam, robin)
    [first] = robin.storage.events(pair_space(robin).space_id, raw(talk))
    actor = robins_actor()
    for felt in ("sad", "mad"):
        document = Document.load(first.change)
        heads = document.get_heads()
        document.set_actor(actor)
        with document.transaction() as transaction:
            transaction.put(ROOT, "tell.1.felt", ScalarType.Str, felt)
        forge(robin, "repair.told", raw(talk), bytes(document.get_changes(heads)[0].bytes))
    give(robin, sam)
    assert [tell["felt"] for tell in sam.show(talk)["fields"]["tells"]] == ["sad"]
    assert sam.status()["spaces"][1]["ignored"] == 1
