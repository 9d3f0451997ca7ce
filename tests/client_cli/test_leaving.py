"""`bide pause` and `bide leave`, with real homes and a real relay."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from .conftest import Person, Relay, end, make_person, pair, wait_for
from .test_devices import add


def words(person: Person, *args: str) -> list[str]:
    return [str(entry["fields"].get("noticed", "")) for entry in person.entries(*args)]


def on_the_relay(relay: Relay) -> bytes:
    """Everything that the relay has on its disk."""
    return b"".join(path.read_bytes() for path in sorted(relay.data.iterdir()) if path.is_file())


def both(tmp_path: Path, relay: Relay) -> tuple[Person, Person]:
    sam, robin = make_person(tmp_path, "Sam", relay), make_person(tmp_path, "Robin")
    pair(sam, robin)
    sam.ok("sync")
    return sam, robin


@pytest.fixture
def two(tmp_path: Path, relay: Relay) -> tuple[Person, Person]:
    """Sam and Robin, in step."""
    return both(tmp_path, relay)


def state(person: Person, name: str) -> str:
    return next(str(space["state"]) for space in person.json("status")["spaces"] if space["with"] == [name])


def test_what_is_written_while_paused_waits_and_goes_when_the_pause_ends(two: tuple[Person, Person]) -> None:
    sam, robin = two
    assert "Paused with Robin" in sam.ok("pause").out
    sam.ok("thank", "--noticed", "The tea.")
    robin.ok("thank", "--noticed", "The walk.")
    robin.ok("sync")
    synced = sam.ok("sync")
    assert "Paused with Robin" in synced.err
    assert sam.json("sync")["resting"] == [{"space": _pair(sam), "with": ["Robin"], "state": "paused"}]
    robin.ok("sync")
    assert (words(sam), words(robin)) == (["The tea."], ["The walk."])
    assert "Paused with Robin" in sam.ok("status").out
    assert state(sam, "Robin") == "paused"
    assert state(robin, "Sam") == "active"  # nobody tells Robin
    assert sam.run("pause").code == 8
    sam.ok("pause", "--end")
    sam.ok("sync")
    robin.ok("sync")
    assert sorted(words(sam)) == sorted(words(robin)) == ["The tea.", "The walk."]
    assert sam.run("pause", "--end").code == 8


def _pair(person: Person) -> str:
    return next(str(space["id"]) for space in person.json("status")["spaces"] if space["kind"] == "pair")


def test_another_device_pauses_when_it_hears_of_it_and_before_it_sends(tmp_path: Path, relay: Relay) -> None:
    sam, robin = both(tmp_path, relay)
    phone = Person(tmp_path / "phone")
    add(sam, phone, "phone", "--key-file", str(tmp_path / "phone.key"))
    assert "Each of your other devices" in sam.ok("pause").err
    phone.ok("thank", "--noticed", "Written on the phone.")
    assert "Paused with Robin" in phone.ok("sync").err
    robin.ok("sync")
    assert words(robin) == []
    phone.ok("pause", "--end")
    for person in (phone, sam, robin):
        person.ok("sync")
    assert words(robin) == ["Written on the phone."]


def test_a_watch_that_runs_pauses_and_goes_on(two: tuple[Person, Person]) -> None:
    sam, robin = two
    watch = sam.start("sync", "--watch")
    try:
        wait_for(lambda: (sam.home / "watch.sock").exists())
        sam.env["BIDE_AUTO_SYNC"] = "1"
        sam.ok("pause")
        sam.ok("thank", "--noticed", "The tea.")
        time.sleep(1)
        robin.ok("sync")
        assert words(robin) == []
        sam.ok("pause", "--end")
        wait_for(lambda: bool(robin.ok("sync") and words(robin)))
    finally:
        watch.terminate()
        watch.communicate(timeout=15)


def test_both_see_that_it_has_ended_and_nothing_can_be_written_any_more(two: tuple[Person, Person]) -> None:
    sam, robin = two
    sam.ok("thank", "--noticed", "The tea.")
    left = sam.json("leave", "--yes")
    assert (left["quietly"], left["told"]) == (False, True)
    assert "Sam ended what you shared" in robin.ok("sync").err
    assert "Sam ended what you shared" in robin.ok("status").out
    assert "Sam ended what you shared" in robin.ok("timeline").out
    assert "You ended what you shared with Robin" in sam.ok("status").out
    for person, other in ((sam, "Robin"), (robin, "Sam")):
        refused = person.run("thank", "--noticed", "Another.", "--json")
        assert refused.code == 3
        assert refused.error["message"] == f"What you shared with {other} has ended."
        refused = person.run("hear", person.entries()[0]["code"], "--mirrored", "Tea.")
        assert refused.code != 0
        assert words(person) == words(person, "--with", other) == ["The tea."]
    hearing = robin.run("hear", robin.entries()[0]["code"], "--mirrored", "Tea.")
    assert "has ended" in hearing.err
    assert robin.run("leave", "--yes").code == 3


def test_what_the_other_wrote_without_knowing_of_the_end_still_counts(two: tuple[Person, Person]) -> None:
    sam, robin = two
    sam.ok("leave", "--yes")
    robin.ok("thank", "--noticed", "I did not know yet.")
    robin.ok("sync")
    sam.ok("sync")
    assert words(sam) == words(robin) == ["I did not know yet."]
    assert [space["digest"] for space in sam.json("digest")["spaces"] if space["kind"] == "pair"] == [
        space["digest"] for space in robin.json("digest")["spaces"] if space["kind"] == "pair"
    ]


def test_two_ends_at_once_are_one(two: tuple[Person, Person], relay: Relay) -> None:
    sam, robin = two
    for person in (sam, robin):
        person.ok("relay", "unset")
        person.ok("leave", "--yes")
    for person in (sam, robin):
        person.ok("relay", "set", relay.url)
    for person in (sam, robin, sam):
        person.ok("sync")
    for person in (sam, robin):
        assert state(person, "Robin" if person is sam else "Sam") == "ended"
        assert "both ended" in person.ok("status").out
        assert not [finding for finding in person.json("doctor")["findings"] if finding["level"] == "damage"]


def test_an_ended_space_can_be_exported_offline_and_another_one_begun(two: tuple[Person, Person], relay: Relay) -> None:
    sam, robin = two
    sam.ok("thank", "--noticed", "The tea.")
    sam.ok("leave", "--yes")
    robin.ok("sync")
    robin.ok("relay", "unset")
    assert "The tea." in robin.ok("export", "--with", "Sam").out
    assert "The tea." in sam.ok("export", "--mine").out
    robin.ok("relay", "set", relay.url)
    pair(robin, sam)
    robin.ok("thank", "--noticed", "Once more.")
    for person in (robin, sam):
        person.ok("sync")
    assert sorted(words(sam)) == ["Once more.", "The tea."]
    assert words(sam, "--with", "Robin") == ["Once more."]
    assert "ended what you shared" not in sam.ok("timeline").out  # one shares with Robin again


def test_a_new_device_can_read_what_has_ended(tmp_path: Path, relay: Relay) -> None:
    sam, _ = both(tmp_path, relay)
    sam.ok("thank", "--noticed", "The tea.")
    sam.ok("leave", "--yes")
    phone = Person(tmp_path / "phone")
    _, joined = add(sam, phone, "phone", "--key-file", str(tmp_path / "phone.key"))
    assert joined["joined"] is True
    phone.ok("sync")
    assert words(phone) == ["The tea."]
    assert state(phone, "Robin") == "ended"
    assert phone.run("thank", "--noticed", "More.").code == 3
    assert not [finding for finding in phone.json("doctor")["findings"] if finding["level"] == "damage"]


def test_after_leaving_quietly_nothing_goes_to_the_relay_from_any_device(tmp_path: Path, relay: Relay) -> None:
    sam, robin = both(tmp_path, relay)
    phone = Person(tmp_path / "phone")
    add(sam, phone, "phone", "--key-file", str(tmp_path / "phone.key"))
    for person in (sam, robin, phone):
        person.ok("sync")
    phone.ok("thank", "--noticed", "Not sent yet.")
    robin.ok("thank", "--noticed", "The walk.")
    robin.ok("sync")
    before = robin.json("digest")["spaces"]
    assert sam.json("leave", "--quietly", "--yes")["told"] is False
    for person in (sam, phone, robin):
        person.ok("sync")
    assert robin.json("digest")["spaces"] == before  # nothing came
    assert state(robin, "Sam") == "active"
    for person in (sam, phone):
        assert state(person, "Robin") == "left"
        refused = person.run("thank", "--noticed", "More.")
        assert refused.code == 3
        assert "You left what you shared with Robin." in refused.err
        assert person.run("pause", "--end").code == 3
    assert words(phone) == ["Not sent yet."]  # one's own copy stays
    tablet = Person(tmp_path / "tablet")
    add(sam, tablet, "tablet", "--key-file", str(tmp_path / "tablet.key"))
    assert [space["kind"] for space in tablet.json("status")["spaces"]] == ["own"]


def test_leaving_asks_first_and_says_what_stays(two: tuple[Person, Person]) -> None:
    sam, _ = two
    assert sam.run("leave", "--no-input").code == 2
    child = sam.terminal("leave")
    child.expect("can't be unread")
    child.expect("bide export --mine")
    child.expect("bide safety")
    child.expect("Choice")
    child.sendline("1")
    child.expect("Nothing changed")
    assert end(child) == 0
    assert state(sam, "Robin") == "active"
    child = sam.terminal("leave", "--quietly")
    child.expect("Choice")
    child.sendline("2")
    child.expect("Left.")
    assert end(child) == 0
    assert state(sam, "Robin") == "left"


def test_what_is_written_in_a_pause_says_when_it_goes(two: tuple[Person, Person]) -> None:
    """Not that the relay has to be reachable; and a comparison says that it was not brought up to date."""
    sam, _ = two
    sam.ok("pause")
    assert "goes when the pause ends" in sam.ok("thank", "--noticed", "You waited.").out
    shown = sam.run("verify", "--no-input", "--json")
    assert shown.json["synced"] is False
    assert "Paused with Robin, so what is here is compared as it is." in sam.run("verify", "--no-input").err


def test_an_end_is_told_once_by_syncing(two: tuple[Person, Person]) -> None:
    """After that `bide status` and the timeline say it, and no sync does."""
    sam, robin = two
    sam.ok("leave", "--yes")
    assert "Sam ended what you shared" in robin.ok("sync").err
    assert "ended" not in robin.ok("sync").err
    refused = robin.run("erase", "--all", "--yes")
    assert "name" not in refused.err
