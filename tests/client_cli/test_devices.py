"""`bide device`: a second device of one's own, with real homes and a real relay."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from bide.ids import SpaceId
from bide.storage.sqlite import SqliteStorage

from .conftest import Person, Relay, end, make_person, pair, wait_for


def add(first: Person, new: Person, name: str, *args: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Add a device by code; gives both last lines."""
    process = first.start("device", "add", "--json", "--words-verified")
    assert process.stdout is not None
    code = json.loads(process.stdout.readline())["code"]
    joined = new.json(
        "device", "join", "--code", "-", "--name", name, "--words-verified", "--no-input", *args, stdin=code + "\n"
    )
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return json.loads(out), joined


@pytest.fixture
def three(tmp_path: Path, relay: Relay) -> tuple[Person, Person, Person]:
    """Sam with a laptop and a phone, and Robin; all in step."""
    sam, robin = make_person(tmp_path, "Sam", relay), make_person(tmp_path, "Robin")
    pair(sam, robin)
    sam.ok("thank", "--noticed", "You drove my mother.")
    sam.ok("checkin", "--private", "--worry", "Only mine.")
    sam.ok("sync")
    phone = Person(tmp_path / "phone")
    add(sam, phone, "phone", "--key-file", str(tmp_path / "phone.key"))
    robin.ok("sync")
    return sam, phone, robin


def shown(person: Person) -> list[str]:
    return sorted(str(entry["fields"]) for entry in person.entries())


def test_a_new_device_has_everything_at_once(three: tuple[Person, Person, Person]) -> None:
    sam, phone, _ = three
    assert shown(phone) == shown(sam)
    assert len(shown(phone)) == 2
    assert phone.json("status")["name"] == "Sam"


def test_both_sides_are_told_the_same_words(tmp_path: Path, relay: Relay) -> None:
    sam = make_person(tmp_path, "Sam", relay)
    added, joined = add(sam, Person(tmp_path / "phone"), "phone", "--key-file", str(tmp_path / "phone.key"))
    assert added["safety_words"] == joined["safety_words"]
    assert (added["added"], added["name"], joined["joined"], joined["name"]) == (True, "phone", True, "phone")


def test_everybody_sees_the_devices(three: tuple[Person, Person, Person]) -> None:
    sam, phone, robin = three
    sam.ok("device", "rename", "device 1", "laptop")
    for person in (sam, phone, robin, phone):
        person.ok("sync")
    mine = [(each["name"], each["this"]) for each in phone.json("device", "list")["devices"] if each["by"]["me"]]
    assert mine == [("laptop", False), ("phone", True)]
    theirs = [each["name"] for each in robin.json("device")["devices"] if each["by"]["name"] == "Sam"]
    assert theirs == ["laptop", "phone"]
    assert "phone · yours · this one" in phone.ok("device").out


def test_the_other_person_is_told_once_that_a_device_came_and_went(three: tuple[Person, Person, Person]) -> None:
    sam, _, robin = three
    assert "Sam has another device now: phone" not in robin.ok("sync").err  # the fixture's sync has told it
    sam.ok("device", "revoke", "phone", "--yes")
    assert "Sam has removed a device: phone" in robin.ok("sync").err
    assert "phone" not in robin.ok("sync").err


def test_the_other_person_is_told_of_a_new_device(tmp_path: Path, relay: Relay) -> None:
    sam, robin = make_person(tmp_path, "Sam", relay), make_person(tmp_path, "Robin")
    pair(sam, robin)
    robin.ok("sync")
    add(sam, Person(tmp_path / "phone"), "phone", "--key-file", str(tmp_path / "phone.key"))
    told = robin.ok("sync").err
    assert "Sam has another device now: phone" in told
    assert "another device" not in robin.ok("sync").err + robin.ok("status").err


def test_a_removed_device_gets_nothing_more(three: tuple[Person, Person, Person]) -> None:
    sam, phone, robin = three
    phone.ok("thank", "--noticed", "From the phone.")
    phone.ok("sync")
    revoked = sam.json("device", "revoke", "phone", "--yes")
    assert (revoked["revoked"], revoked["spaces"], revoked["synced"]) == ("phone", 2, True)
    sam.ok("thank", "--noticed", "After it was lost.")
    sam.ok("sync")
    robin.ok("sync")
    assert "After it was lost." in str(shown(robin))
    assert "From the phone." in str(shown(robin))  # it was sent before, and counts
    refused = phone.run("sync", "--json")
    assert refused.code == 8
    assert "removed" in refused.err
    assert "After it was lost." not in str(shown(phone))
    devices = sam.json("device", "list")["devices"]
    assert [each["state"] for each in devices if each["name"] == "phone"] == ["removed"]


REMOVED = "This device was removed from your devices, so nothing that it writes goes anywhere."


def test_a_removed_device_is_told_so_before_anything_else(three: tuple[Person, Person, Person]) -> None:
    """The relay lets it in no more, so all that it has of its removal is that it was turned away."""
    sam, phone, _ = three
    phone.ok("thank", "--noticed", "From the phone.")
    phone.ok("sync")
    mine = next(each["id"] for each in phone.entries() if "From the phone." in str(each["fields"]))
    sam.ok("device", "revoke", "phone", "--yes")
    assert phone.run("sync").code == 8
    before = shown(phone)
    for args in (
        ("device", "add", "--words-verified"),
        ("device", "rename", "phone", "lap"),
        ("device", "revoke", "device 1", "--yes"),
        ("recovery", "create", "--json", "--words-noted"),
        ("pair", "--words-verified"),
        ("join", "7-lantern-otter-cedar", "--words-verified"),
    ):
        refused = phone.run(*args)
        assert (refused.code, REMOVED in refused.err, "bide export" in refused.err, refused.out) == (8, True, True, ""), args
    assert shown(phone) == before
    # It is the relay's word alone: whoever runs it can't stop a person from writing.
    assert "stays on this device, which was removed, as the relay says" in phone.ok("thank", "--noticed", "For nobody.").out
    phone.ok("checkin", "--private", "--worry", "Mine alone.")
    status = phone.ok("status").out.splitlines()
    assert status[1] == REMOVED
    assert "your devices:" not in "\n".join(status)
    assert {space["state"] for space in phone.json("status")["spaces"]} == {"removed"}
    assert phone.json("doctor")["findings"][0] == {"level": "note", "words": REMOVED}
    assert [each["state"] for each in phone.json("device")["devices"] if each["this"]] == ["removed"]
    assert "From the phone." in phone.ok("show", mine).out


def test_removing_asks_first(three: tuple[Person, Person, Person]) -> None:
    sam, _, _ = three
    refused = sam.run("device", "revoke", "phone", "--no-input")
    assert refused.code == 2
    assert "--yes" in refused.err
    terminal = sam.terminal("device", "revoke", "phone")
    terminal.expect("Remove phone from your devices")
    terminal.sendline("1")
    terminal.expect("Fine. Nothing changed.")
    assert end(terminal) == 0  # somebody who thinks better of it made no mistake
    assert all(each["state"] == "active" for each in sam.json("device")["devices"])


def test_a_person_at_two_screens(tmp_path: Path, relay: Relay) -> None:
    """The code, the six words and the progress, at two terminals."""
    sam = make_person(tmp_path, "Sam", relay)
    phone = Person(tmp_path / "phone")
    adding = sam.terminal("device", "add")
    adding.expect(r"Then type there:  ([^\r\n]*)\r\n")
    code = adding.match.group(1)
    joining = phone.terminal("device", "join", "--key-file", str(tmp_path / "phone.key"))
    joining.expect("What is this device to be called")
    joining.sendline("phone")
    joining.expect("Code:")
    joining.sendline(code)
    words: list[list[str]] = []
    for child in (adding, joining):
        child.expect(r"Here:  ([^\r\n]*)\r\n")
        words.append(child.match.group(1).split())
    whole = [one if one.isalpha() else other for one, other in zip(*words, strict=True)]
    numbers = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "sixth": 5}
    for child in (adding, joining):
        child.expect(r"Which word is the (\w*) one on ([^\r\n]*)'s screen")
        child.sendline(whole[numbers[child.match.group(1)]])
    adding.expect("Added: phone")
    assert end(adding) == 0
    joining.expect("This is phone now, a device of Sam")
    assert end(joining) == 0


def test_an_empty_journal_becomes_a_device_and_another_stays(tmp_path: Path, relay: Relay) -> None:
    sam = make_person(tmp_path, "Sam", relay)
    sam.ok("checkin", "--private", "--worry", "Mine.")
    empty = make_person(tmp_path, "Tablet")
    add(sam, empty, "tablet")
    assert shown(empty) == shown(sam)
    used = make_person(tmp_path, "Used")
    used.ok("checkin", "--private", "--lift", "Something.")
    refused = used.run("device", "join", "--code", "7-a-b-c@127.0.0.1:1", "--name", "x", "--words-verified", "--no-input")
    assert refused.code == 8
    assert "left as it is" in refused.err
    assert "Something." in str(shown(used))


def test_bad_input_says_what_to_do(tmp_path: Path, sam: Person, nobody: Person) -> None:
    cases = [
        (sam, ("device", "add", "--words-verified"), 2, "bide relay set"),
        (sam, ("device", "revoke", "toaster", "--yes"), 4, "no device of that name"),
        (sam, ("device", "revoke", "device 1", "--yes"), 8, "this device"),
        (sam, ("device", "rename", "device 1", " "), 2, "empty"),
        (nobody, ("device", "list"), 4, "bide init"),
        (nobody, ("device", "join", "--words-verified", "--no-input"), 2, "name"),
    ]
    for person, args, code, words in cases:
        result = person.run(*args)
        assert (result.code, words in result.err) == (code, True), (args, result)
    assert not (nobody.home / "bide.db").exists()


def test_a_person_s_code_makes_no_device_and_the_other_way_round(tmp_path: Path, relay: Relay) -> None:
    sam, robin = make_person(tmp_path, "Sam", relay), make_person(tmp_path, "Robin")
    for command, other in (
        (("pair",), ("device", "join", "--name", "x", "--key-file", str(tmp_path / "k"))),
        (("device", "add"), ("join",)),
    ):
        process = sam.start(*command, "--json", "--words-verified")
        assert process.stdout is not None
        code = json.loads(process.stdout.readline())["code"]
        new = Person(tmp_path / "new") if command == ("pair",) else robin
        result = new.run(*other, "--code", "-", "--words-verified", stdin=code)
        assert result.code != 0
        process.communicate(timeout=30)
        assert process.returncode != 0
    assert not (tmp_path / "new" / "bide.db").exists()
    assert len(sam.json("status")["spaces"]) == 1


def test_a_script_is_told_of_devices_as_well(tmp_path: Path, relay: Relay) -> None:
    """Once, in what `bide sync --json` prints: that is how a stranger's device shows itself."""
    sam, robin = make_person(tmp_path, "Sam", relay), make_person(tmp_path, "Robin")
    pair(sam, robin)
    for person in (sam, robin, sam):
        person.ok("sync")
    add(sam, Person(tmp_path / "phone"), "phone", "--key-file", str(tmp_path / "phone.key"))
    assert robin.json("sync")["devices"] == [{"with": ["Sam"], "device": "phone", "added": True, "on_paper": False}]
    assert robin.json("sync")["devices"] == []
    sam.ok("device", "revoke", "phone", "--yes")
    assert robin.json("sync")["devices"] == [{"with": ["Sam"], "device": "phone", "added": False, "on_paper": False}]


def test_a_joining_that_broke_off_is_finished_or_begun_again_by_the_same_command(tmp_path: Path, relay: Relay) -> None:
    """The first device is killed as soon as the second has a home. Other commands say in plain words what to do."""
    sam = make_person(tmp_path, "Sam", relay)
    sam.ok("checkin", "--private", "--worry", "Only mine.")
    phone = Person(tmp_path / "phone")
    adding = sam.start("device", "add", "--json", "--words-verified")
    assert adding.stdout is not None
    code = json.loads(adding.stdout.readline())["code"]
    args = ("--name", "phone", "--words-verified", "--no-input", "--key-file", str(tmp_path / "phone.key"))
    joining = phone.start("device", "join", "--code", "-", *args)
    assert joining.stdin is not None
    joining.stdin.write(code + "\n")
    joining.stdin.close()
    joining.stdin = None
    wait_for(lambda: (phone.home / "bide.db").exists())
    adding.kill()
    adding.communicate()
    joining.communicate(timeout=60)
    written = phone.run("checkin", "--private", "--worry", "On the phone.")
    if written.code:
        assert "Traceback" not in written.err
        assert "bide device join" in written.err
        again = sam.start("device", "add", "--json", "--words-verified")
        assert again.stdout is not None
        code = json.loads(again.stdout.readline())["code"]
        joined = phone.json("device", "join", "--code", "-", "--name", "phone", "--words-verified", stdin=code + "\n")
        assert joined["joined"] is True
        if not joined["safety_words"]:  # the other had let it in before it was killed: the new code was not needed
            again.kill()
        again.communicate(timeout=60)
    rounds = (sam, phone, sam)
    for person in rounds:
        person.ok("sync")
    assert shown(phone) == shown(sam)
    assert len(phone.entries()) == (1 if written.code else 2)


def not_let_in(tmp_path: Path, sam: Person) -> Person:
    """A device that was killed off the other one's screen right after the words: it has a home, and nobody knows it."""
    for attempt in range(10):  # the other one may have been faster
        phone = Person(tmp_path / f"phone{attempt}")
        adding = sam.start("device", "add", "--json", "--words-verified")
        assert adding.stdout is not None
        code = json.loads(adding.stdout.readline())["code"]
        key_file = str(tmp_path / f"phone{attempt}.key")
        args = ("--name", f"phone{attempt}", "--words-verified", "--no-input", "--key-file", key_file)
        joining = phone.start("device", "join", "--code", code, *args)
        while not (phone.home / "bide.db").exists():
            assert joining.poll() is None
            time.sleep(0.001)
        adding.kill()
        adding.communicate()
        joining.communicate(timeout=60)
        if phone.json("status")["spaces"][0]["state"] == "pending":
            return phone
    raise AssertionError("The other one was always faster.")


def test_a_device_that_was_not_let_in_begins_nothing_that_could_be_lost(tmp_path: Path, relay: Relay) -> None:
    sam = make_person(tmp_path, "Sam", relay)
    phone = not_let_in(tmp_path, sam)
    for args in (
        ("pair", "--words-verified"),
        ("join", "7-lantern-otter-cedar", "--words-verified"),
        ("device", "add", "--words-verified"),
        ("device", "rename", "phone", "lap"),
        ("recovery", "create", "--json", "--words-noted"),
        ("thank", "--noticed", "For nobody."),
        ("ask", "--question", "Anybody there?"),
        ("checkin", "--private", "--worry", "Only mine."),
    ):
        refused = phone.run(*args)
        expected = (8, True, True, "")
        assert (refused.code, "not been let in" in refused.err, "device join" in refused.err, refused.out) == expected, args
    assert len(phone.json("status")["spaces"]) == 1


@pytest.mark.parametrize("let_in", [False, True])
def test_joining_again_replaces_nothing_but_the_try_that_broke_off(tmp_path: Path, relay: Relay, *, let_in: bool) -> None:
    """An earlier Bide let a device pair that had not been let in. What it shares since then is nowhere else."""
    sam = make_person(tmp_path, "Sam", relay)
    phone = not_let_in(tmp_path, sam)
    key = (tmp_path / f"{phone.home.name}.key").read_bytes()
    with contextlib.closing(SqliteStorage(phone.home / "bide.db", key)) as storage, storage.transaction():
        [own] = storage.spaces()
        storage.put_space(own._replace(space_id=SpaceId(bytes(32)), kind="pair", pending=not let_in))
    args = ("--code", "7-lantern-otter-cedar", "--name", "phone", "--words-verified", "--no-input")
    refused = phone.run("device", "join", *args)
    assert (refused.code, "was left as it is" in refused.err, "bide --home DIR" in refused.err) == (8, True, True), refused
    assert len(phone.json("status")["spaces"]) == 2
