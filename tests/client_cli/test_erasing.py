"""`bide erase`, with real homes and a real relay: what was erased is found nowhere any more."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from bide.ids import LogId, SpaceId
from bide.storage.opening import open_database
from bide.storage.sqlite import SqliteStorage

from .conftest import RELAY, Person, Relay, end, make_person, pair, wait_for
from .test_devices import add
from .test_leaving import on_the_relay, words

SECRET = "The heron by the weir."


@pytest.fixture
def own_relay(tmp_path: Path) -> Iterator[Relay]:
    relay = Relay(tmp_path / "relay")
    yield relay
    relay.stop()


def key_of(person: Person) -> bytes:
    names = {"sam": "Sam.key", "robin": "Robin.key", "phone": "phone.key"}
    return (person.home.parent / names[person.home.name]).read_bytes()


def unlocked(person: Person) -> bytes:
    """Everything that is in a home's database, as who has the key finds it: every page, decrypted."""
    plain = person.home.parent / "plain.db"
    plain.unlink(missing_ok=True)
    connection = open_database(person.home / "bide.db", key_of(person))
    pages = connection.pragma("page_count")
    found = [bytes(row[0]) for row in connection.execute("SELECT data FROM sqlite_dbpage")] if _has_dbpage(connection) else []
    if not found:
        for (table,) in list(connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")):
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                found += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    connection.close()
    assert pages
    return b"\0".join(found)


def _has_dbpage(connection: apsw.Connection) -> bool:
    try:
        connection.execute("SELECT 1 FROM sqlite_dbpage LIMIT 1").get  # noqa: B018 asks whether the table is there
    except apsw.SQLError:
        return False
    return True


def newest_body(person: Person) -> bytes:
    """The ciphertext of the last entry of this device's log in the pair."""
    storage = SqliteStorage(person.home / "bide.db", key_of(person))
    try:
        space = next(space for space in storage.spaces() if space.kind == "pair")
        head = storage.heads(SpaceId(space.space_id))[LogId(space.log_id)]
        envelope = storage.envelope(space.space_id, space.log_id, head.seq)
        assert envelope is not None
        return bytes(envelope.data[204:])
    finally:
        storage.close()


def digest(person: Person) -> str:
    return next(str(space["digest"]) for space in person.json("digest")["spaces"] if space["kind"] == "pair")


def assert_sound(person: Person) -> None:
    findings = person.json("doctor")["findings"]
    assert not [finding for finding in findings if finding["level"] == "damage"], findings


def test_what_was_erased_is_nowhere_any_more(tmp_path: Path, own_relay: Relay) -> None:
    sam, robin = make_person(tmp_path, "Sam", own_relay), make_person(tmp_path, "Robin")
    pair(sam, robin)
    secret = sam.json("thank", "--noticed", SECRET)["id"]
    body = newest_body(sam)
    sam.ok("thank", "--noticed", "The tea.")
    sam.ok("sync")
    robin.ok("sync")
    robin.ok("receive", secret, "--words", "That was good to read.")
    robin.ok("sync")
    sam.ok("sync")
    assert body in on_the_relay(own_relay)
    for person in (sam, robin):
        assert body in unlocked(person)
        assert SECRET.encode() in unlocked(person)
    before = tmp_path / "before"
    shutil.copytree(robin.home, before)

    assert sam.json("erase", secret, "--yes")["told"] is True
    wait_for(lambda: body not in on_the_relay(own_relay))
    robin.ok("sync")
    for person in (sam, robin):
        assert body not in unlocked(person)
        assert SECRET.encode() not in unlocked(person)
        assert SECRET.encode().lower() not in unlocked(person)
        assert sorted(words(person)) == ["", "The tea."]
        assert "That was good to read." in person.ok("timeline").out
        assert_sound(person)
    assert "words that Sam erased" in robin.ok("timeline").out
    assert "words that you erased" in sam.ok("timeline").out
    assert "That was good to read." in robin.ok("export", "--mine").out
    assert sam.json("search", "heron")["entries"] == []
    assert digest(sam) == digest(robin)
    assert sam.run("edit", secret, "--noticed", "Again.").code == 8
    assert sam.run("erase", secret, "--yes").code == 8

    # An old backup that is put back erases again.
    shutil.rmtree(robin.home)
    shutil.copytree(before, robin.home)
    assert SECRET.encode() in unlocked(robin)
    robin.ok("sync")
    assert body not in unlocked(robin)
    assert SECRET.encode() not in unlocked(robin)
    assert digest(sam) == digest(robin)

    # A new device syncs past it, and a relay that lost everything is refilled.
    phone = Person(tmp_path / "phone")
    add(sam, phone, "phone", "--key-file", str(tmp_path / "phone.key"))
    for person in (sam, robin, phone):
        person.ok("sync")
    assert digest(phone) == digest(sam) == digest(robin)
    own_relay.stop()
    shutil.rmtree(own_relay.data)
    own_relay.start()
    for person in (robin, sam, phone, robin):
        person.ok("sync")
    assert body not in on_the_relay(own_relay)
    assert digest(phone) == digest(sam) == digest(robin)
    for person in (sam, robin, phone):
        assert_sound(person)
    own_relay.stop()
    checked = subprocess.run([RELAY, "check", "--data", str(own_relay.data)], capture_output=True, text=True, check=True)
    assert "All is well" in checked.stdout
    assert "no body" not in checked.stdout


def test_everything_of_ones_own_is_erased_and_nothing_of_the_other(tmp_path: Path, relay: Relay) -> None:
    sam, robin = make_person(tmp_path, "Sam", relay), make_person(tmp_path, "Robin")
    pair(sam, robin)
    for number in range(3):
        sam.ok("thank", "--noticed", f"Mine {number}.")
        robin.ok("thank", "--noticed", f"Theirs {number}.")
    conversation = sam.json("repair", "--topic", "the dishes", "--now")["id"]
    for person in (sam, robin, sam):
        person.ok("sync")
    robin.ok("repair", conversation, "accept", "--now")
    robin.ok("repair", conversation, "tell", "--own-part", "I left early.", "--felt", "tired", "--now")
    for person in (robin, sam):
        person.ok("sync")
    sam.ok("checkin", "--private", "--worry", "Only mine.")
    assert sam.run("erase", "--all", "--no-input").code == 2
    child = sam.terminal("erase", "--all")
    child.expect("can't be taken back")
    child.expect("Choice")
    child.sendline("2")
    child.expect("Erased")
    assert end(child) == 0
    robin.ok("sync")
    for person in (sam, robin):
        text = person.ok("timeline").out
        assert "Mine" not in text
        assert "dishes" not in text
        assert "I left early." in text
        assert [f"Theirs {number}." in text for number in range(3)] == [True] * 3
        assert person.ok("show", conversation).out
        assert_sound(person)
    assert digest(sam) == digest(robin)
    assert "Only mine." in sam.ok("timeline").out
    assert robin.run("repair", conversation, "settle").code == 8  # nothing sticks, and nothing crashes
    assert robin.run("erase", robin.entries("--by", "Robin")[0]["code"], "--yes").code == 0
    # It goes on: both can write as before.
    sam.ok("thank", "--noticed", "And again.")
    for person in (robin, sam, robin):
        person.ok("sync")
    assert digest(sam) == digest(robin)
    assert "And again." in words(robin)
