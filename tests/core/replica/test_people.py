"""Several people: what they are called here, whom a name means, and what each is to the other."""

from __future__ import annotations

import pytest

from bide.errors import InputError, NotFound, NotPaired
from bide.ids import SpaceId
from bide.replica import Replica
from bide.replica.joining.pairing import PairingSession
from bide.testing_replicas import RELAY_URL, PairingRun, give, new_replica


def pair(one: Replica, two: Replica, *, relation: str = "partner") -> SpaceId:
    run = PairingRun(one, two)
    run.clients[0] = PairingSession.initiate(one, RELAY_URL, relation=relation)
    run.finish()
    assert run.paired == (True, True)
    space = one.reader.people()[-1].space.space_id
    meet(one, two, space)
    return space


def meet(one: Replica, two: Replica, space: SpaceId) -> None:
    give(one, two, space=space)
    give(two, one, space=space)


def another(name: str, seed: str) -> Replica:
    """Somebody of that name with keys of their own."""
    replica = new_replica(seed)
    replica.storage.put_meta("name", name)
    return Replica(replica.storage, clock=replica.clock, randomness=replica.randomness)


def test_what_the_founder_calls_it_holds_for_both_until_the_other_says_otherwise() -> None:
    """Own word first, else the other's; each changes it for themselves."""
    sam, kim = new_replica("Sam"), new_replica("Kim")
    space = pair(sam, kim, relation="friend")
    assert (sam.relation(), kim.relation()) == ("friend", "friend")

    sam.set_relation("Kim", "Family")
    meet(sam, kim, space)
    assert (sam.relation(), kim.relation()) == ("family", "family")

    kim.set_relation("sam", "friend")
    meet(sam, kim, space)
    assert (sam.relation(), kim.relation()) == ("family", "friend")
    assert sam.people() == ["Kim"]
    assert kim.people() == ["Sam"]


def test_an_unknown_relation_is_refused_before_anything_happens() -> None:
    """With a suggestion, and nothing is written."""
    sam, kim = new_replica("Sam"), new_replica("Kim")
    pair(sam, kim)
    before = sam.digest()
    with pytest.raises(InputError) as caught:
        sam.set_relation("Kim", "freind")
    assert "friend" in caught.value.message
    with pytest.raises(InputError):
        PairingSession.initiate(sam, RELAY_URL, relation="boss")
    assert sam.digest() == before


def test_a_relation_that_only_a_newer_bide_knows_is_not_shown() -> None:
    """What a partner's device says is data: a word that is not known here leaves what is known."""
    sam, kim = new_replica("Sam"), new_replica("Kim")
    space = pair(sam, kim)
    record = next(each for each in kim.spaces() if each.space_id == space)
    with kim.storage.transaction():
        kim.writer.name_person("Kim", relation="\x1b[31mowner", space=record)
    meet(sam, kim, space)
    assert kim.relation() == "partner"
    assert sam.relation() == "partner"


def test_two_people_of_one_name_are_told_apart_by_the_order_of_pairing() -> None:
    """The first keeps the name, the next has a number; in entries and filters too."""
    sam = new_replica("Sam")
    robins = [another("Robin", "Robin"), another("robin", "Robin B"), another("Robin (2)", "Robin C")]
    spaces = [pair(sam, robin) for robin in robins]
    assert sam.people() == ["Robin", "robin (2)", "Robin (2) (2)"]

    for number, name in enumerate(sam.people()):
        written = sam.write("checkin", {"lift": f"number {number}"}, with_=name)
        assert written.shared_with == [name]
        assert sam.reader.pair_space(name).space_id == spaces[number]
        assert [entry["fields"]["lift"] for entry in sam.timeline(with_=name)] == [f"number {number}"]
    for robin, space in zip(robins, spaces, strict=True):
        meet(sam, robin, space)
        assert len(robin.timeline()) == 1
        assert robin.people() == ["Sam"]


def test_nothing_goes_to_anybody_while_it_is_unclear_whom_is_meant() -> None:
    """Several people and no default; a default who is not there; a beginning that fits two; a name that fits nobody."""
    sam, robin, ruth = new_replica("Sam"), new_replica("Robin"), new_replica("Ruth")
    with pytest.raises(NotPaired):
        sam.write("checkin", {"lift": "sun"})
    pair(sam, robin)
    pair(sam, ruth)
    before = sam.digest()
    with pytest.raises(InputError) as several:
        sam.write("checkin", {"lift": "sun"})
    assert "bide people default NAME" in several.value.hint
    assert "Robin, Ruth" in several.value.hint
    with pytest.raises(InputError) as unclear:
        sam.write("checkin", {"lift": "sun"}, with_="r")
    assert "Robin, Ruth" in unclear.value.hint
    with pytest.raises(NotFound) as unknown:
        sam.write("checkin", {"lift": "sun"}, with_="Robyn")
    assert unknown.value.hint == "Did you mean Robin?"
    with pytest.raises(NotFound):
        sam.write("checkin", {"lift": "sun"}, with_="Kim")
    sam.reader.with_default = "Kim"
    with pytest.raises(InputError):
        sam.write("checkin", {"lift": "sun"})
    assert sam.digest() == before

    assert sam.write("checkin", {"lift": "sun"}, with_="RU").shared_with == ["Ruth"]
    sam.reader.with_default = "ruth"
    assert sam.write("checkin", {"lift": "sun"}).shared_with == ["Ruth"]
    assert sam.write("checkin", {"lift": "sun"}, with_="rob").shared_with == ["Robin"]


def test_nobody_takes_on_the_name_of_another() -> None:
    """Who is called otherwise later gets a number, and what is meant for the one who had the name goes there."""
    sam, kim, robin = new_replica("Sam"), new_replica("Kim"), new_replica("Robin")
    with_kim, with_robin = pair(sam, kim), pair(sam, robin)
    sam.reader.with_default = "Robin"

    def call(replica: Replica, space: SpaceId, name: str) -> None:
        record = next(each for each in replica.spaces() if each.space_id == space)
        with replica.storage.transaction():
            replica.writer.name_person(name, space=record)
        meet(sam, replica, space)

    call(kim, with_kim, " ROBIN")
    assert sam.people() == [" ROBIN (2)", "Robin"]
    assert sam.reader.pair_space().space_id == sam.reader.pair_space("robin").space_id == with_robin
    call(robin, with_robin, "Rob")
    assert sam.people() == [" ROBIN (2)", "Rob"]
    with pytest.raises(InputError):
        sam.write("checkin", {"lift": "sun"})
    call(kim, with_kim, "Kim")
    assert sam.people() == ["Kim", "Rob"]


def test_names_are_compared_as_people_read_them() -> None:
    """Capitals, spaces around it, and accents composed or not."""
    sam, zoe = new_replica("Sam"), another("Zo\u00eb", "Zoe")
    pair(sam, zoe)
    for typed in ("Zoë", "zoe\u0308", " ZOË ", "zo"):
        assert sam.reader.person(typed).name == "Zoë"


def test_a_pairing_that_broke_off_and_was_done_anew_doesnt_make_two_people() -> None:
    """The founder keeps the space that nobody came to be in, and it is neither asked about nor numbered."""
    sam, robin = new_replica("Sam"), new_replica("Robin")
    run = PairingRun(sam, robin)
    while not any(space.kind == "pair" for space in sam.spaces()):
        assert run.step()
    # The connection ends here: Sam has founded the space, Robin was never let in.
    assert sam.people() == ["Robin"]
    again = new_replica("Robin")
    space = pair(sam, again)
    assert sam.people() == ["Robin"]
    assert sam.reader.pair_space().space_id == sam.reader.pair_space("Robin").space_id == space


def test_status_says_what_each_is_to_me() -> None:
    """In pair spaces; the own space has none."""
    sam, kim = new_replica("Sam"), new_replica("Kim")
    pair(sam, kim, relation="family")
    assert [space["relation"] for space in sam.status()["spaces"]] == ["", "family"]
