"""What is said is true, also after an edit, in the middle of a pairing and without a relay; and lines break between words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from bide.replica import Replica
from bide.storage.sqlite import SqliteStorage

from .conftest import BIDE, Person, Relay, end, make_person, pair, press_ctrl_c
from .test_together import HIDDEN, words_shown

ON_THIS_DEVICE = "It is on this device only"
EARLIER_SENT = "what was there before has been sent"


@pytest.fixture
def own_relay(tmp_path: Path) -> Iterator[Relay]:
    """A relay that a test may end."""
    relay = Relay(tmp_path / "relay")
    yield relay
    relay.stop()


def opened(person: Person) -> Replica:
    """Somebody's home, opened here. Close its storage afterwards."""
    key = (person.home.parent / f"{person.home.name.capitalize()}.key").read_bytes()
    return Replica(SqliteStorage(person.home / "bide.db", key))


def screen_of(person: Person, columns: int, *args: str) -> list[str]:
    """The lines that a command shows on a screen of that width."""
    child = pexpect.spawn(BIDE, list(args), env=person.env, encoding="utf-8", timeout=20, dimensions=(60, columns))
    child.expect(pexpect.EOF)
    child.close()
    return str(child.before).replace("\r", "").splitlines()


def test_an_edit_of_what_was_sent_is_not_said_to_be_private(couple: tuple[Person, Person]) -> None:
    sam, _ = couple
    code = sam.json("thank", "--noticed", "First text")["code"]
    shown = sam.ok("show", code).out
    assert ON_THIS_DEVICE in shown
    assert "not sent yet" in shown
    sam.ok("edit", code, "--noticed", "Still here")
    assert ON_THIS_DEVICE in sam.ok("show", code).out  # nothing of it has gone
    sam.ok("sync")
    sam.ok("edit", code, "--noticed", "Second text")
    shown = sam.ok("show", code).out
    assert EARLIER_SENT in shown
    assert ON_THIS_DEVICE not in shown
    assert "not all sent yet" in shown
    assert sam.json("show", code)["entry"]["delivery"] == "here"
    sam.ok("undo", code)
    assert EARLIER_SENT in sam.ok("show", code).out
    sam.ok("sync")
    assert "It has reached the relay." in sam.ok("show", code).out


def test_a_further_step_of_a_conversation_is_not_said_to_be_all_of_it(couple: tuple[Person, Person]) -> None:
    sam, _ = couple
    code = sam.json("repair", "--topic", "The bicycles", "--now")["code"]
    sam.ok("sync")
    sam.ok("repair", code, "tell", "--own-part", "I took it.", "--felt", "sorry", "--now")
    shown = sam.ok("show", code).out
    assert EARLIER_SENT in shown
    assert ON_THIS_DEVICE not in shown


@pytest.mark.parametrize("columns", [40, 80])
def test_no_line_is_wider_than_the_screen(couple: tuple[Person, Person], columns: int) -> None:
    """Which would break it in the middle of a word. Only what has no space in it, such as a path, may be."""
    sam, _ = couple
    sam.home.chmod(0o755)  # a note of bide doctor
    try:
        for command in ("status", "doctor", "people", "device"):
            wide = [line for line in screen_of(sam, columns, command) if len(line) > columns and " " in line.strip()]
            assert not wide, (command, wide)
        piped = sam.ok("doctor").out
        assert re.search(r"^ok .{60,}$", piped, re.MULTILINE), "what is piped is broken as well"
        assert screen_of(sam, columns, "doctor", "--plain") == piped.splitlines()
    finally:
        sam.home.chmod(0o700)


def test_what_is_said_at_the_end_of_pairing_and_leaving_fits_the_screen(own_relay: Relay, tmp_path: Path) -> None:
    ann, ben = make_person(tmp_path, "Ann", own_relay), make_person(tmp_path, "Ben")
    waiting = ann.start("pair", "--json", "--words-verified")
    assert waiting.stdout is not None
    code = waiting.stdout.readline().split('"code": "')[1].split('"')[0]
    joined = screen_of(ben, 80, "join", code, "--words-verified")
    waiting.communicate(timeout=30)
    left = screen_of(ben, 80, "leave", "--yes")
    assert any("bide leave" in line for line in joined), joined
    assert any("It has ended." in line for line in left)
    assert all(len(line) <= 80 for line in (*joined, *left))


def test_a_relay_that_dies_during_a_pairing_shares_nothing_and_that_is_said(own_relay: Relay, tmp_path: Path) -> None:
    ann, ben = make_person(tmp_path, "Ann", own_relay), make_person(tmp_path, "Ben")
    first = ann.terminal("pair")
    first.expect(r"Say to the other:  (\S+)")
    second = ben.terminal("join", first.match.group(1))
    assert HIDDEN in words_shown(first)
    words_shown(second)
    own_relay.stop()
    for child, again in ((first, "For a new code: bide pair"), (second, "Ask Ann to run: bide pair")):
        assert end(child) == 5
        said = re.sub(r"\s+", " ", child.before)
        assert f"Nothing was shared. {again}" in said
        assert "Everything you wrote" not in said
    for person in (ann, ben):
        assert len(person.json("status")["spaces"]) == 1


def test_joining_on_a_relay_that_is_not_there_says_that_nothing_was_shared(sam: Person) -> None:
    failed = sam.run("join", "7-lantern-otter-cedar@127.0.0.1:1", "--words-verified")
    assert failed.code == 5
    assert "Nothing was shared. Ask the other person to run: bide pair" in failed.err


def test_the_end_of_a_pause_says_when_what_waited_goes(own_relay: Relay, tmp_path: Path) -> None:
    sam, robin = make_person(tmp_path, "Sam", own_relay), make_person(tmp_path, "Robin")
    pair(sam, robin)
    sam.ok("sync")
    own_relay.stop()
    sam.ok("pause")
    assert sam.ok("pause", "--end").out == "Going on with Robin.\n"
    for auto, words in (("0", "goes with the next bide sync."), ("1", "goes as soon as the relay can be reached.")):
        sam.ok("pause")
        sam.ok("thank", "--noticed", "You waited.")
        assert sam.run("pause", "--end", env={"BIDE_AUTO_SYNC": auto}).out.endswith(f"What waited here {words}\n")
    sam.ok("pause")
    without_relay(sam)
    assert "when a relay is set: bide relay set URL" in sam.ok("pause", "--end").out


def without_relay(person: Person, *, unfinished: bool = False) -> None:
    """Take the relay out of a home that has one; and let what it shares be as it is until a pairing is finished."""
    replica = opened(person)
    with replica.storage.transaction():
        own, *pairs = replica.spaces()
        replica.storage.put_space(own._replace(relay_url=""))
        for space in pairs if unfinished else ():
            replica.storage.remove_space(space.space_id)
            replica.storage.put_space(space._replace(pending=True, epoch_id=b""))
        replica.storage.put_meta("relay_url", "")
    replica.storage.close()


def test_an_unfinished_pairing_is_asked_for_where_it_was_begun(own_relay: Relay, tmp_path: Path) -> None:
    """Whoever joined has no relay of their own until it is finished. What is said to do is right either way."""
    sam, robin = make_person(tmp_path, "Sam", own_relay), make_person(tmp_path, "Robin")
    pair(sam, robin)
    without_relay(robin, unfinished=True)
    told = robin.ok("status").out
    assert f"bide sync asks {own_relay.url}" in told
    assert "everything stays on this device" not in told
    assert "If bide people shows you there, bide sync there and then here finishes it. If not, begin again" in told
    assert robin.run("sync").code == 0
    alone = make_person(tmp_path, "Kim")
    assert alone.run("sync").code == 8
    assert "No relay is set; everything stays on this device." in alone.ok("status").out


def test_pairing_has_tried_the_relay(own_relay: Relay, tmp_path: Path) -> None:
    ann = make_person(tmp_path, "Ann", own_relay)
    waiting = ann.terminal("pair")
    waiting.expect("Say to the other")
    assert "last reached" in ann.ok("status").out
    press_ctrl_c(waiting)
    assert end(waiting) == 130


def test_an_editor_that_wrote_nothing_is_taken_at_its_word(sam: Person) -> None:
    sam.env["EDITOR"] = "true"
    result = sam.run("thank", "--private", "--edit")
    assert (result.code, result.err) == (2, "Nothing was written.\n")
    assert sam.entries() == []
