"""What was built apart, used together by people: real homes, real relays."""

from __future__ import annotations

import shutil
from pathlib import Path

from bide.storage.opening import open_database

from .conftest import Person, Relay
from .test_erasing import SECRET, key_of, unlocked
from .test_leaving import words
from .test_recovery import make_words, use


def sound(*people: Person) -> None:
    for person in people:
        assert person.json("doctor")["sound"] is True, person.run("doctor").out


def test_a_phrase_finds_what_was_moved_to_another_relay_after_it_was_made(
    two: tuple[Person, Person], relays: tuple[Relay, Relay], tmp_path: Path
) -> None:
    """Only what the two share is moved. The old relay forgets it though both have a phrase, which never says that it moved."""
    (sam, robin), (old, new) = two, relays
    phrase = make_words(sam)
    make_words(robin)
    for person in (sam, robin):
        person.ok("sync")
    sam.ok("relay", "move", new.url, "--with", "Robin")
    robin.ok("sync")
    robin.ok("relay", "follow", "--yes")
    for person in (sam, robin, sam, robin, sam):
        person.ok("sync")
    assert [person.json("relay", "show")["former"] for person in (sam, robin)] == [[], []]
    back = Person(tmp_path / "back")
    result = use(back, phrase, "--relay", old.url)
    assert (result["recovered"], result["missing"], result["private"]) == (True, 0, True)
    assert words(back) == words(robin)
    robin.ok("sync")
    back.ok("thank", "--noticed", "Here again.")
    back.ok("sync")
    robin.ok("sync")
    assert words(back) == words(robin)
    sound(back, robin)


def test_recovery_after_leaving_quietly_says_nothing(
    two: tuple[Person, Person], relays: tuple[Relay, Relay], tmp_path: Path
) -> None:
    """What was shared comes back to be read; the other hears nothing of it, ever."""
    (sam, robin), (old, _) = two, relays
    phrase = make_words(sam)
    robin.ok("sync")
    robin.ok("sync")
    sam.ok("leave", "--quietly", "--yes")
    sam.ok("sync")
    before = robin.json("device", "list")
    back = Person(tmp_path / "back")
    use(back, phrase, "--relay", old.url)
    back.ok("sync")
    assert robin.ok("sync").err == ""
    assert robin.json("device", "list") == before
    assert words(back) == words(robin)
    assert back.run("thank", "--noticed", "no").code != 0
    sound(back, robin)


def test_a_backup_from_before_a_move_finds_its_way(
    two: tuple[Person, Person], relays: tuple[Relay, Relay], tmp_path: Path
) -> None:
    """The old relay has forgotten everything by the time the backup is put back."""
    (sam, robin), (_, new) = two, relays
    shutil.copytree(sam.home, tmp_path / "backup" / "sam")
    sam.ok("relay", "move", new.url)
    robin.ok("sync")
    robin.ok("relay", "follow", "--yes")
    sam.ok("thank", "--noticed", "After the move.")
    for person in (sam, robin, sam, robin, sam):
        person.ok("sync")
    shutil.rmtree(sam.home)
    shutil.copytree(tmp_path / "backup" / "sam", sam.home)
    sam.ok("thank", "--noticed", "On the backup.")
    told = sam.run("sync")
    assert told.code != 0
    assert "Traceback" not in told.err
    sam.ok("relay", "move", new.url, "--without-old")
    for person in (sam, robin, sam, robin):
        person.ok("sync")
    assert words(sam) == words(robin)
    assert "After the move." in str(words(sam))
    assert "On the backup." in str(words(robin))
    sound(sam, robin)


def test_what_was_moved_out_of_a_log_leaves_nothing_behind_when_it_is_erased(
    two: tuple[Person, Person], tmp_path: Path
) -> None:
    """A copied home, a damaged one: no page of any database has the words, and what a repair kept is named."""
    sam, robin = two
    shutil.copytree(sam.home, tmp_path / "twin" / "sam")
    twin = Person(tmp_path / "twin" / "sam")
    shutil.copyfile(tmp_path / "Sam.key", tmp_path / "twin" / "Sam.key")
    twin.ok("thank", "--noticed", "By the twin.")
    sam.ok("thank", "--noticed", SECRET)
    for person in (twin, sam, robin, twin, sam):
        person.ok("sync")
    assert SECRET.encode() in unlocked(sam)
    database = open_database(sam.home / "bide.db", key_of(sam))
    database.execute("UPDATE entry SET body = '{}'")
    database.close()
    sam.ok("doctor", "--repair")
    sam.ok("sync")
    entry = next(each["id"] for each in sam.entries() if each["fields"].get("noticed") == SECRET)
    told = sam.ok("erase", entry, "--yes")
    assert "damaged-" in told.err
    for person in (sam, robin, twin, sam):
        person.ok("sync")
    for person in (sam, robin, twin):
        assert SECRET.encode() not in unlocked(person)
        sound(person)


def test_a_backup_from_before_leaving_quietly_sends_nothing(
    two: tuple[Person, Person], relays: tuple[Relay, Relay], tmp_path: Path
) -> None:
    """Whoever has one device alone hears of it from the relay as well, before anything goes out."""
    (sam, robin), _ = two, relays
    sam.ok("thank", "--noticed", "Not sent yet.")
    shutil.copytree(sam.home, tmp_path / "backup" / "sam")
    sam.ok("sync")
    robin.ok("sync")
    before = robin.json("digest")["spaces"]
    sam.ok("leave", "--quietly", "--yes")
    sam.ok("sync")
    shutil.rmtree(sam.home)
    shutil.copytree(tmp_path / "backup" / "sam", sam.home)
    sam.ok("thank", "--noticed", "On the backup.")
    sam.ok("sync")
    robin.ok("sync")
    assert robin.json("digest")["spaces"] == before
    assert sam.run("thank", "--noticed", "no").code != 0
    sound(sam, robin)
