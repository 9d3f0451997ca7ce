"""`bide bundle`: files between real homes, with a relay and without."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Person, Relay, make_person, pair
from .test_devices import add, shown


@pytest.fixture
def apart(tmp_path: Path) -> tuple[Person, Person]:
    """Sam and Robin, who never see a relay again after pairing."""
    relay = Relay(tmp_path / "gone")
    sam, robin = make_person(tmp_path, "Sam", relay), make_person(tmp_path, "Robin")
    pair(sam, robin)
    relay.stop()
    return sam, robin


def test_two_who_have_no_relay_go_back_and_forth(tmp_path: Path, apart: tuple[Person, Person]) -> None:
    sam, robin = apart
    file = str(tmp_path / "stick.bide")
    for number in range(2):
        sam.ok("thank", "--noticed", f"Sam {number}.")
        sam.ok("checkin", "--private", "--worry", f"Only Sam {number}.")
        written = sam.json("bundle", "export", file, "--with", "Robin", "--force")["written"]
        assert (written["spaces"], written["file"]) == (1, file)
        assert robin.json("bundle", "import", file)["failed"] == 0
        robin.ok("thank", "--noticed", f"Robin {number}.")
        robin.ok("bundle", "export", file, "--force")  # both of Robin's, of which one is not for Sam
        taken = sam.json("bundle", "import", file)
        assert (taken["spaces"], taken["unknown"], taken["failed"]) == (1, 1, 0)
        assert taken["received"] > 0
        assert sam.json("bundle", "import", file)["received"] == 0
    words = shown(robin)
    assert len(words) == 4
    assert "Only Sam" not in str(words)
    digests = {space["digest"] for one in apart for space in one.json("digest")["spaces"] if space["kind"] == "pair"}
    assert len(digests) == 1
    for one in apart:
        assert not [f for f in one.json("doctor")["findings"] if f["level"] == "damage"]


def test_three_ways_with_a_relay(tmp_path: Path, relay: Relay) -> None:
    """Laptop and phone by file, phone and partner by relay: all come together, and the relay gets everything."""
    sam, robin = make_person(tmp_path, "Sam", relay), make_person(tmp_path, "Robin")
    pair(sam, robin)
    phone = Person(tmp_path / "phone")
    add(sam, phone, "phone", "--key-file", str(tmp_path / "phone.key"))
    sam.ok("thank", "--noticed", "Written on the laptop.")
    file = str(tmp_path / "stick.bide")
    sam.ok("bundle", "export", file)
    phone.ok("bundle", "import", file)
    assert "Written on the laptop." in str(shown(phone))
    assert [entry["delivery"] for entry in phone.entries()] == ["here"]
    phone.ok("sync")
    robin.ok("sync")
    assert "Written on the laptop." in str(shown(robin))
    assert [entry["delivery"] for entry in phone.entries()] == ["on the relay"]
    sam.ok("sync")
    assert len({json.dumps(shown(person)) for person in (sam, phone, robin)}) == 1


def test_a_file_is_private_and_never_written_over(tmp_path: Path, apart: tuple[Person, Person]) -> None:
    sam, _ = apart
    file = tmp_path / "stick.bide"
    sam.ok("bundle", "export", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    assert sam.run("bundle", "export", str(file)).code == 2
    assert file.read_bytes() == before
    sam.ok("bundle", "export", str(file), "--force")
    link = tmp_path / "link"
    link.symlink_to(file)
    for place in (str(link), str(tmp_path), str(tmp_path / "no" / "folder"), "-", ""):
        assert sam.run("bundle", "export", place, "--force").code == 2
    assert b"Robin" not in file.read_bytes()
    assert not list(tmp_path.glob(".bide-export-*"))


def test_what_is_wrong_with_a_file_is_told_in_a_sentence(tmp_path: Path, apart: tuple[Person, Person]) -> None:
    sam, robin = apart
    file = tmp_path / "stick.bide"
    sam.ok("thank", "--noticed", "Whole.")
    sam.ok("bundle", "export", str(file), "--with", "Robin")
    whole = file.read_bytes()
    for name, data, code, words in (
        ("cut", whole[:-50], 6, "ends too early"),
        ("empty", b"", 2, "not a bundle"),
        ("other", b"PK\x03\x04" * 100, 2, "not a bundle"),
        ("newer", whole[:8] + b"\x09" + whole[9:], 1, "newer version"),
        ("flipped", whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:], 6, "damaged"),
    ):
        other = tmp_path / name
        other.write_bytes(data)
        result = robin.run("bundle", "import", str(other))
        assert (result.code, words in result.err) == (code, True), (name, result)
    assert robin.run("bundle", "import", str(tmp_path / "nowhere")).code == 2
    assert robin.run("bundle", "import", str(tmp_path)).code == 2
    assert "Whole." in str(shown(robin))  # of a file that is cut, what came before counts
    assert sam.run("bundle", "export", str(tmp_path / "x"), "--with", "Nobody").code == 4
