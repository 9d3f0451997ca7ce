"""Reading: filters, finding one entry, how far a word has come, status, digests."""

from __future__ import annotations

import pytest

from bide.errors import InputError, NotFound
from bide.replica import Replica
from bide.testing import FakeClock
from bide.testing_replicas import RELAY_URL, MemoryRelay, exchange, give, new_replica, pair_space, pair_up, sync

DAY_MS = 86_400_000


def said(replica: Replica, **filters: object) -> list[str]:
    return [next(iter(entry["fields"].values())) for entry in replica.timeline(**filters)]  # type: ignore[arg-type]


def test_filters_restrict_alone_and_together(couple: tuple[Replica, Replica]) -> None:
    """Days, kinds, people, words and the limit; the timeline is oldest first."""
    sam, robin = couple
    assert isinstance(sam.clock, FakeClock)
    assert isinstance(robin.clock, FakeClock)
    sam.write("checkin", {"went_well": "Coffee in BED"})
    sam.clock.advance(DAY_MS)
    robin.clock.advance(DAY_MS)
    robin.write("appreciation", {"noticed": "Kaffee und Küche"})
    sam.write("checkin", {"went_well": "กาแฟตอนเช้า"}, private=True)
    sam.clock.advance(DAY_MS)
    sam.write("appreciation", {"noticed": "ﬁne coffee 🦉"})
    exchange(sam, robin)
    everything = ["Coffee in BED", "Kaffee und Küche", "กาแฟตอนเช้า", "ﬁne coffee 🦉"]
    days = [entry["day"] for entry in sam.timeline()]
    assert said(sam) == everything
    assert said(robin) == [everything[0], everything[1], everything[3]]
    assert said(sam, since=days[1]) == everything[1:]
    assert said(sam, until=days[0]) == everything[:1]
    assert said(sam, kinds=["checkin"]) == [everything[0], everything[2]]
    assert said(sam, by="ME") == [everything[0], everything[2], everything[3]]
    assert said(sam, by="robin") == said(robin, by="me") == [everything[1]]
    assert said(sam, search="coffee") == [everything[0], everything[3]]
    assert said(sam, search="bed COFFEE") == [everything[0]]
    assert said(sam, search="kuche") == [everything[1]]
    assert said(sam, search="กาแฟ") == [everything[2]]
    assert said(sam, search="fine") == [everything[3]]
    assert said(sam, search="🦉") == [everything[3]]
    assert said(sam, search="  ") == everything
    assert said(sam, search="\0\ud800") == []
    assert said(sam, limit=2) == everything[2:]
    assert said(sam, with_="Robin", kinds=["checkin"], by="me", search="coffee", limit=3) == [everything[0]]
    for wrong in ({"kinds": ["person"]}, {"kinds": ["hearing"]}, {"kinds": ["x"]}):
        with pytest.raises(InputError):
            said(sam, **wrong)
    for unknown in ({"by": "Kim"}, {"with_": "Kim"}):
        with pytest.raises(NotFound):
            said(sam, **unknown)


def test_one_entry_is_found_by_id_code_and_beginning(couple: tuple[Replica, Replica]) -> None:
    """UUID with and without dashes, short code in any case, look-alikes, a beginning of four; else it isn't found."""
    sam, _ = couple
    written = sam.write("appreciation", {"noticed": "you"})
    code = written.code.removeprefix("th-")
    spoken = code.replace("0", "o").replace("1", "l")
    for text in (
        written.id,
        written.id.replace("-", "").upper(),
        written.code,
        written.code.lower(),
        f" {code} ",
        code[:4],
        spoken,
    ):
        assert sam.show(text)["id"] == written.id, text
    person = sam.storage.hidden_entries(pair_space(sam).space_id, "person")[0].entry_id
    for text in ("", code[:3], "UUUU", "ZZZZZZ", code + "Z" * 8, "0" * 32, written.id[:-1], person.hex(), "\ud800", "é" * 6):
        with pytest.raises(NotFound):
            sam.show(text)


def test_an_ambiguous_code_asks_for_more(couple: tuple[Replica, Replica]) -> None:
    """Two entries that begin alike are never taken for one another."""
    sam, _ = couple
    written = sam.write("appreciation", {"noticed": "you"})
    record = sam.reader.find(written.id)
    twin = record._replace(entry_id=type(record.entry_id)(record.entry_id[:15] + bytes([record.entry_id[15] ^ 2])))
    with sam.storage.transaction():
        sam.storage.put_entry(twin)
    with pytest.raises(InputError):
        sam.show(written.code)
    assert sam.show(written.id)["id"] == written.id


def test_delivery_is_told_honestly(couple: tuple[Replica, Replica]) -> None:
    """Here; on the relay once acknowledged; on a device of theirs once they cite it; an edit begins anew; of others: none."""
    sam, robin = couple
    for replica in couple:
        replica.set_relay(RELAY_URL)
    relay = MemoryRelay()
    mine = sam.write("appreciation", {"noticed": "you"})
    private = sam.write("checkin", {"hard": "alone"}, private=True)
    assert sam.show(mine.id)["delivery"] == "here"
    cut = sync(sam, relay, frames_max=5)
    assert (cut.sent, cut.to_send > 0) == (0, True), "on the wire is not sent"
    assert sam.show(mine.id)["delivery"] == "here"
    session = sync(sam, relay)
    assert session.sent == session.to_send > 0
    assert sam.show(mine.id)["delivery"] == "on the relay"
    sync(robin, relay)
    sync(sam, relay)
    assert sam.show(mine.id)["delivery"] == "on the relay"
    theirs = robin.write("appreciation", {"noticed": "you too"})
    sync(robin, relay)
    sync(sam, relay)
    assert sam.show(mine.id)["delivery"] == "on a device of theirs"
    assert sam.show(theirs.id)["delivery"] == ""
    assert sam.show(private.id)["delivery"] == ""
    sam.edit(mine.id, {"felt": "warm"})
    assert sam.show(mine.id)["delivery"] == "here"
    before = sam.timeline()
    sam.rebuild()
    assert sam.timeline() == before


def test_a_relay_that_lost_its_disk_gets_everything_again(couple: tuple[Replica, Replica]) -> None:
    """It says so, delivery goes back to what is true, and a new relay ends up with all logs from either side."""
    sam, robin = couple
    mine = sam.write("appreciation", {"noticed": "you"})
    sync(sam, MemoryRelay())
    new = MemoryRelay(store_id=b"new storage here")
    session = sync(robin, new)
    assert session.finished
    session = sync(sam, new)
    assert session.finished
    assert any("storage is new" in str(notice) for notice in session.notices)
    assert sam.show(mine.id)["delivery"] == "on the relay"
    third = sync(robin, new)
    assert third.received == 1
    assert sam.digest()[1]["digest"] == robin.digest()[1]["digest"]


@pytest.mark.parametrize("frames", range(1, 14))
def test_a_sync_that_breaks_after_any_frame_is_completed_by_the_next(couple: tuple[Replica, Replica], frames: int) -> None:
    """Nothing is lost and nothing doubled, wherever the connection broke."""
    sam, robin = couple
    relay = MemoryRelay()
    for number in range(3):
        sam.write("appreciation", {"noticed": f"{number}"})
        robin.write("checkin", {"hard": f"{number}"})
    sync(sam, relay, frames_max=frames)
    sync(robin, relay, frames_max=frames)
    for replica in (sam, robin, sam):
        assert sync(replica, relay).finished
    assert sam.digest()[1]["digest"] == robin.digest()[1]["digest"]
    assert len(sam.timeline()) == 6
    assert sam.reader.pending(pair_space(sam)) == 0


def test_status_counts_what_is_there(couple: tuple[Replica, Replica]) -> None:
    """Names, devices, entries and what waits for the relay, per space."""
    sam, _ = couple
    sam.set_relay(RELAY_URL)
    sam.write("appreciation", {"noticed": "you"})
    own, shared = sam.status()["spaces"]
    assert (own["kind"], own["with"], own["entries"], own["state"]) == ("own", [], 0, "active")
    assert (shared["kind"], shared["with"], shared["entries"], shared["relay"]) == ("pair", ["Robin"], 1, RELAY_URL)
    assert [(d["by"]["name"], d["this"]) for d in shared["devices"]] == [("Sam", True), ("Robin", False)]
    assert shared["pending"] == 4  # genesis, admission, name, appreciation
    sync(sam, MemoryRelay())
    assert sam.status()["spaces"][1]["pending"] == 0


def test_digests_are_equal_if_and_only_if_the_logs_are(couple: tuple[Replica, Replica]) -> None:
    """Any event that only one side has shows, a private one only in the own space."""
    sam, robin = couple

    def digests() -> tuple[str, str]:
        return sam.digest()[1]["digest"], robin.digest()[1]["digest"]

    assert len(set(digests())) == 1
    sam.write("checkin", {"hard": "alone"}, private=True)
    assert len(set(digests())) == 1
    before = digests()
    written = sam.write("appreciation", {"noticed": "you"})
    assert len(set(digests())) == 2
    give(sam, robin)
    assert len(set(digests())) == 1
    assert digests()[0] != before[0]
    robin.hear(written.id, {"mirrored": "me"})
    assert len(set(digests())) == 2
    give(robin, sam)
    assert len(set(digests())) == 1


def test_changing_the_relay_keeps_a_space_that_was_joined_elsewhere() -> None:
    """Only spaces without a relay, or with the old one, follow."""
    sam, robin = new_replica("Sam"), new_replica("Robin")
    sam.set_relay("wss://home.example")
    pair_up(robin, sam)
    sam.set_relay("wss://other.example")
    assert [space.relay_url for space in sam.spaces()] == ["wss://other.example", RELAY_URL]
    assert sam.relay() == "wss://other.example"
