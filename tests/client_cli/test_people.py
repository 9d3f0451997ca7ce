"""Sharing with several people: kinds, names, and whom a command means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from client_cli.conftest import Person, Relay, make_person, pair

Three = tuple[Person, Person, Person]


def pair_as(first: Person, second: Person, kind: str) -> dict[str, Any]:
    """Pair by code, as this kind; the last line of the one who invites."""
    import json

    process = first.start("pair", "--kind", kind, "--json", "--words-verified")
    assert process.stdout is not None
    code = json.loads(process.stdout.readline())["code"]
    second.ok("join", "--code", "-", "--words-verified", stdin=code + "\n")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    last: dict[str, Any] = json.loads(out)
    return last


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, relay: Relay) -> Three:
    """Sam, who shares with Robin and, as a friend, with another Robin."""
    folder = tmp_path_factory.mktemp("three")
    sam, robin = make_person(folder, "Sam", relay), make_person(folder, "Robin")
    (folder / "other").mkdir()
    other = make_person(folder / "other", "Robin")
    pair(sam, robin)
    assert pair_as(sam, other, "friend")["with"] == "Robin (2)"
    for person in (robin, other, sam):
        person.ok("sync")
    return sam, robin, other


def test_people_lists_names_kinds_devices_and_the_default(three: Three) -> None:
    """And nothing about presence, or how much anybody wrote."""
    sam, robin, other = three
    people = sam.json("people")["people"]
    assert [(each["name"], each["kind"], each["default"]) for each in people] == [
        ("Robin", "partner", False),
        ("Robin (2)", "friend", False),
    ]
    assert people[0]["devices"] == {"mine": 1, "theirs": 1}
    assert {name for each in people for name in each} == {"name", "kind", "devices", "default", "space"}
    assert sam.ok("people").out == (
        "Robin · partner · your devices: 1, theirs: 1\nRobin (2) · friend · your devices: 1, theirs: 1\n"
    )
    assert [(each["name"], each["kind"], each["default"]) for each in other.json("people")["people"]] == [
        ("Sam", "friend", True)
    ]
    assert robin.json("people", "list")["people"][0]["kind"] == "partner"
    assert "With Robin (2) (friend):" in sam.ok("status").out
    assert [space["relation"] for space in sam.json("status")["spaces"]] == ["", "partner", "friend"]


def test_with_several_people_a_write_says_for_whom_or_uses_the_default(three: Three) -> None:
    """Refused without either, in one sentence; what goes to one can't be read by the other."""
    sam, robin, other = three
    refused = sam.run("thank", "--noticed", "the soup")
    assert refused.code == 2
    assert refused.err == (
        "You share with more than one person.\n"
        "Say with whom: --with NAME (Robin, Robin (2)), or once and for all: bide people default NAME\n"
    )
    sam.ok("thank", "--noticed", "the bread", "--with", "robin (2)")
    assert sam.ok("people", "default", "robin").out == "Unasked you write to Robin from now on.\n"
    assert 'with = "Robin"' in (sam.home / "config.toml").read_text()
    assert [each["default"] for each in sam.json("people")["people"]] == [True, False]
    sam.ok("thank", "--noticed", "the soup")
    for person in (sam, robin, other):
        person.ok("sync")
    assert [entry["fields"]["noticed"] for entry in robin.entries()] == ["the soup"]
    assert [entry["fields"]["noticed"] for entry in other.entries()] == ["the bread"]
    assert [entry["shared_with"] for entry in sam.entries()] == [["Robin (2)"], ["Robin"]]
    sam.ok("config", "unset", "with")
    assert sam.run("thank", "--noticed", "the tea").code == 2


def test_a_name_is_found_by_its_beginning_or_suggested(three: Three) -> None:
    """Several that begin so are listed; a slip is answered with who was perhaps meant."""
    sam, _, _ = three
    assert sam.run("people", "kind", "Rob", "friend").err.startswith("'Rob' fits more than one person.\n")
    unknown = sam.run("people", "default", "Robyn", "--json")
    assert (unknown.code, unknown.error["hint"]) == (4, "Did you mean Robin?")
    assert sam.json("people", "default", "Robin (")["name"] == "Robin (2)"
    sam.ok("config", "unset", "with")


def test_either_can_call_it_otherwise_for_themselves(three: Three) -> None:
    """It goes to the other as everything does; their own word stands for them."""
    sam, _, other = three
    assert other.ok("people", "kind", "sam", "family").out == "Sam · family\n"
    other.ok("sync")
    sam.ok("sync")
    assert [each["kind"] for each in sam.json("people")["people"]] == ["partner", "friend"]
    assert sam.json("people", "kind", "Robin (2)", "partner")["kind"] == "partner"
    sam.ok("sync")
    other.ok("sync")
    assert other.json("people")["people"][0]["kind"] == "family"
    refused = sam.run("people", "kind", "Robin", "freind")
    assert refused.code == 2
    assert "Did you mean friend?" in refused.err


def test_the_relay_never_learns_what_they_are_to_each_other(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither the kind nor a name is anywhere in its files."""
    data = tmp_path_factory.mktemp("quiet")
    relay = Relay(data)
    try:
        sam, kim = make_person(tmp_path, "Samantha", relay), make_person(tmp_path, "Kimberley")
        pair_as(sam, kim, "family")
        kim.ok("sync")
        assert kim.json("people")["people"][0]["kind"] == "family"
    finally:
        relay.stop()
    held = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert len(held) > 1000
    assert not any(word in held for word in (b"family", b"partner", b"Samantha", b"Kimberley"))


def test_pairing_says_what_is_different_with_several(three: Three, relay: Relay, tmp_path: Path) -> None:
    """How to write to the new one; and an unknown kind is refused before there is a code."""
    sam, _, _ = three
    refused = sam.run("pair", "--kind", "frend", "--words-verified")
    assert (refused.code, refused.out) == (2, "")
    assert "Did you mean friend?" in refused.err
    kim = make_person(tmp_path, "Kim")
    process = sam.start("pair", "--words-verified")
    assert process.stdout is not None
    code = process.stdout.readline().partition(":")[2].strip()
    kim.ok("join", "--code", "-", "--words-verified", stdin=code + "\n")
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Paired." in out
    assert "To write to Kim: --with 'Kim'." in err


def test_nobody_to_share_with_is_said_plainly(sam: Person, nobody: Person) -> None:
    """An empty list is no error; choosing somebody is."""
    assert sam.json("people")["people"] == []
    assert sam.ok("people").err == "You share with nobody yet. (bide pair, or bide join)\n"
    assert sam.run("people", "default", "Robin").code == 3
    assert nobody.run("people").code == 4
