"""Holding before sending, as real commands: what waits, what goes, what is taken back, and what is told."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from client_cli.conftest import Person, Relay, end, make_person, pair, wait_for

from bide.replica import Replica
from bide.replica.authoring.holding import Deed, Do
from bide.storage.sqlite import SqliteStorage
from bide.testing import FakeClock

HOUR_MS = 3_600_000
TOPIC = "The dishes on Sunday"


def configure(person: Person, *lines: str) -> None:
    """Put lines into somebody's config."""
    with (person.home / "config.toml").open("a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


def invite(person: Person, *args: str, topic: str = TOPIC) -> Any:
    return person.json("repair", "--from-json", "-", *args, stdin=f'{{"topic": "{topic}"}}')


def held(person: Person) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = person.json("outbox")["held"]
    return items


@pytest.fixture
def clear(couple: tuple[Person, Person]) -> Iterator[tuple[Person, Person]]:
    """The couple, with nothing held and all exchanged."""
    sam, robin = couple
    yield sam, robin
    for person in couple:
        for item in held(person):
            person.ok("undo", item["id"])


def replica_of(person: Person, *, now_ms: int) -> Replica:
    """Somebody's home, opened here with a clock that shows another time. Close its storage afterwards."""
    key = (person.home.parent / f"{person.home.name.capitalize()}.key").read_bytes()
    return Replica(SqliteStorage(person.home / "bide.db", key), clock=FakeClock(now_ms, tick_ms=1))


def hold_in_the_past(person: Person, deed: Deed) -> str:
    """Hold something an hour ago for half an hour; its id."""
    replica = replica_of(person, now_ms=time.time_ns() // 1_000_000 - HOUR_MS)
    put = replica.holding.put(deed, minutes=30, space=replica.reader.pair_space())
    replica.storage.close()
    return put.id


def test_an_invitation_waits_and_says_until_when(clear: tuple[Person, Person]) -> None:
    """It is held by default; neither a sync nor the timeline knows of it, the outbox and status do."""
    sam, robin = clear
    for person in (sam, robin, sam):
        person.ok("sync")
    before = sam.json("digest")["spaces"]
    told = sam.ok("repair", "--topic", TOPIC)
    assert told.out.startswith("Waits here until ")
    [item] = held(sam)
    code = item["code"]
    assert f"send it now: bide send {code} · take it back: bide undo {code}" in told.out
    assert "afterwards Robin can see it" in told.err
    assert (item["kind"], item["fields"], item["shared_with"]) == ("repair", {"topic": TOPIC}, ["Robin"])
    sam.ok("sync")
    robin.ok("sync")
    assert sam.json("digest")["spaces"] == before
    assert item["id"] not in {entry["id"] for entry in [*sam.entries(), *robin.entries()]}
    assert TOPIC in sam.ok("outbox").out
    assert "1 held until " in sam.ok("status").out
    assert sam.json("status")["held"] == 1
    assert TOPIC in sam.ok("show", code).out
    assert sam.json("show", code[3:7])["held"]["id"] == item["id"]


def test_now_lets_it_go_at_once_and_so_does_send(clear: tuple[Person, Person]) -> None:
    """--now skips the hold; `bide send` ends it; both say how it is taken back or where it goes."""
    sam, robin = clear
    at_once = invite(sam, "--now")
    assert at_once["held"] is False
    later = invite(sam)
    assert later["held"] is True
    assert sam.json("send", later["code"])["sent"][0]["id"] == later["id"]
    sam.ok("sync")
    robin.ok("sync")
    assert {at_once["id"], later["id"]} <= {entry["id"] for entry in robin.entries()}
    assert sam.run("send", later["code"]).code == 4
    assert sam.run("send").code == 2


def test_undo_without_an_id_gives_the_words_back_and_nothing_is_left(clear: tuple[Person, Person]) -> None:
    """The newest held thing goes, its words are shown once, and nobody ever gets it; then there is nothing to undo."""
    sam, robin = clear
    invite(sam, topic="older")
    newest = invite(sam, topic="newer")
    taken = sam.ok("undo")
    assert "newer" in taken.out
    assert newest["code"] in taken.out
    assert sam.json("undo")["held"]["fields"] == {"topic": "older"}
    sam.ok("sync")
    robin.ok("sync")
    assert not {"older", "newer"} & {entry["fields"].get("topic") for entry in robin.entries()}
    nothing = sam.run("undo")
    assert nothing.code == 2
    assert "bide undo ID" in nothing.err


def test_what_is_due_goes_with_the_next_write_or_sync(clear: tuple[Person, Person]) -> None:
    """Nobody has to think of it: a write lets it go, and so does a sync, which carries it to the other as well."""
    sam, robin = clear
    first = hold_in_the_past(sam, Deed(Do.INVITE, "repair", {"topic": "first"}))
    written = sam.ok("checkin", "--lift", "rain")
    assert "What was held goes now" in written.err
    assert first in {entry["id"] for entry in sam.entries()}
    second = hold_in_the_past(sam, Deed(Do.INVITE, "repair", {"topic": "second"}))
    sam.ok("sync")
    robin.ok("sync")
    assert {first, second} <= {entry["id"] for entry in robin.entries()}
    assert held(sam) == []


def test_a_step_with_words_waits_and_one_without_does_not(clear: tuple[Person, Person]) -> None:
    """Telling is held; accepting, coming back and withdrawing go at once. After a withdrawal the words stay, marked."""
    sam, robin = clear
    conversation = invite(sam, "--now")["id"]
    sam.ok("sync")
    robin.ok("sync")
    assert robin.json("repair", conversation, "accept")["held"] is False
    told = robin.json("repair", conversation, "tell", "--from-json", "-", stdin='{"own_part": "late", "felt": "sorry"}')
    assert told["held"] is True
    assert robin.json("show", conversation)["entry"]["state"] == "open"
    robin.ok("repair", conversation, "withdraw")
    refused = robin.run("send", told["code"])
    assert refused.code == 8
    assert "withdrawn" in robin.ok("outbox").out
    assert "can't go" in robin.ok("status").out
    assert "late" in robin.ok("undo", told["code"]).out


def test_config_says_what_is_held_in_either_way_of_writing_it(sam: Person, tmp_path: Path, relay: Relay) -> None:
    """hold.KIND as dotted keys or as a table; a private entry is never held; too much is refused with a sentence."""
    del tmp_path
    robin = make_person(sam.home.parent, "Robin")
    sam.ok("relay", "set", relay.url)
    pair(sam, robin)
    plain = (sam.home / "config.toml").read_text(encoding="utf-8")
    for lines in (("hold.checkin = 5", "hold.repair = 0"), ("[hold]", "checkin = 5", "repair = 0  # at once")):
        (sam.home / "config.toml").write_text(plain, encoding="utf-8")
        configure(sam, *lines)
        assert sam.json("checkin", "--lift", "rain")["held"] is True
        assert sam.json("checkin", "--lift", "rain", "--now")["held"] is False
        assert sam.json("checkin", "--lift", "rain", "--private")["held"] is False
        assert invite(sam)["held"] is False
    (sam.home / "config.toml").write_text(plain, encoding="utf-8")
    configure(sam, "hold.checkin = 10081")
    refused = sam.run("checkin", "--lift", "rain")
    assert refused.code == 2
    assert "hold.checkin" in refused.err


def test_a_reply_to_what_has_not_arrived_waits_for_it(clear: tuple[Person, Person]) -> None:
    """Given a whole id that is not here, hear, answer and receive wait; the sync that brings the entry sends them too."""
    sam, robin = clear
    question = robin.json("ask", "--question", "What then?")["id"]
    share = robin.json("share", "--text", "I was afraid")["id"]
    assert sam.run("hear", "zz-7777", "--mirrored", "x").code == 4
    for args in (("hear", share, "--mirrored", "afraid"), ("receive", share), ("answer", question, "--answer", "this")):
        told = sam.json(*args)
        assert (told["held"], told["waits_for"]) == (True, args[1])
    assert "has arrived" in sam.ok("outbox").out
    robin.ok("sync")
    sam.ok("sync")
    assert held(sam) == []
    robin.ok("sync")
    kinds = [reply["kind"] for entry in robin.entries() if entry["id"] in (question, share) for reply in entry["replies"]]
    assert sorted(kinds) == ["answer", "hearing", "reception"]


def test_a_held_question_takes_its_own_answer_along(clear: tuple[Person, Person]) -> None:
    """One's own answer to a question that waits goes after it, and neither before it."""
    sam, robin = clear
    configure(sam, "hold.question = 5")
    asked = sam.json("ask", "--question", "Where to?", "--answer", "to the sea")
    assert asked["held"] is True
    assert {item["id"] for item in held(sam)} == {asked["id"], asked["answer"]["id"]}
    sam.ok("send", asked["id"])
    sam.ok("sync")
    robin.ok("sync")
    assert held(sam) == []
    [entry] = [entry for entry in robin.entries() if entry["id"] == asked["id"]]
    assert [reply["kind"] for reply in entry["replies"]] == ["answer"]


def test_undo_of_what_was_shared_is_visible_and_plain(clear: tuple[Person, Person]) -> None:
    """It is retracted on both devices; the other's can't be undone; a conversation is withdrawn only with a yes."""
    sam, robin = clear
    mine = sam.json("thank", "--noticed", "You drove")["id"]
    theirs = robin.json("checkin", "--hard", "long")["id"]
    for person in (sam, robin, sam):
        person.ok("sync")
    undone = sam.ok("undo", mine)
    assert "may have been read" in undone.err
    sam.ok("sync")
    robin.ok("sync")
    assert robin.json("show", mine)["entry"]["retracted"] is True
    assert sam.run("undo", theirs).code == 8
    conversation = invite(sam, "--now")["id"]
    assert sam.run("undo", conversation).code == 2
    assert sam.json("undo", conversation, "--yes")["how"] == "withdrawn"
    assert sam.json("show", conversation)["entry"]["state"] == "withdrawn"


def test_a_private_entry_is_released_knowingly(clear: tuple[Person, Person]) -> None:
    """It is shown, and who will see it is said, before a yes; without a terminal --yes is needed; then Robin has it."""
    sam, robin = clear
    private = sam.json("checkin", "--hard", "the quiet", "--private")["id"]
    assert sam.run("release", private).code == 2
    terminal = sam.terminal("release", private)
    terminal.expect("the quiet")
    terminal.expect("Robin will see these words")
    terminal.expect("Share it with Robin")
    terminal.sendline("n")
    assert end(terminal) == 0
    assert sam.json("show", private)["entry"]["visibility"] == "private"
    terminal = sam.terminal("release", private)
    terminal.expect("Share it with Robin")
    terminal.sendline("y")
    terminal.expect("Shared with Robin")
    assert end(terminal) == 0
    assert sam.run("release", private, "--yes").code == 8
    sam.ok("sync")
    robin.ok("sync")
    assert "the quiet" in robin.ok("timeline").out


def test_two_processes_at_once_send_it_once(clear: tuple[Person, Person]) -> None:
    """Several commands that all find it due: one of them sends it, and all of them end well."""
    sam, _ = clear
    due = hold_in_the_past(sam, Deed(Do.WRITE, "appreciation", {"noticed": "once only"}))
    processes = [sam.start("checkin", "--lift", f"number {number}", "--json") for number in range(4)]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, results
    assert [entry["id"] for entry in sam.entries() if entry["fields"].get("noticed") == "once only"] == [due]


def test_the_watch_lets_it_go(clear: tuple[Person, Person]) -> None:
    """A running watch sends what falls due, without any other command."""
    sam, robin = clear
    due = hold_in_the_past(sam, Deed(Do.WRITE, "appreciation", {"noticed": "by the watch"}))
    watch = sam.start("sync", "--watch", "--json")
    try:
        wait_for(lambda: due in {entry["id"] for entry in robin.entries() if robin.ok("sync")})
    finally:
        watch.terminate()
        watch.communicate(timeout=30)


def test_a_process_waits_for_what_is_due_soon_and_ends_when_it_is_gone(clear: tuple[Person, Person]) -> None:
    """What the background waits for goes without another command; taken back, the process has nothing left to wait for."""
    sam, robin = clear
    replica = replica_of(sam, now_ms=time.time_ns() // 1_000_000 - 57_000)
    deed = Deed(Do.WRITE, "appreciation", {"noticed": "in three seconds"})
    due = replica.holding.put(deed, minutes=1, space=replica.reader.pair_space()).id
    replica.storage.close()
    waiting = [sam.start("sync", "--background", "--held", "--no-input") for _ in range(2)]
    for process in waiting:
        process.communicate(timeout=60)
    assert [process.returncode for process in waiting] == [0, 0]
    robin.ok("sync")
    assert due in {entry["id"] for entry in robin.entries()}


def test_a_clock_set_back_is_told_gently_and_refuses_nothing(clear: tuple[Person, Person], tmp_path: Path) -> None:
    """After a write whose day is before one's last entry there is one sentence about the clock; the entry is written."""
    shutil.copytree(clear[0].home, tmp_path / "sam")
    shutil.copy(clear[0].home.parent / "Sam.key", tmp_path / "Sam.key")
    later = Person(tmp_path / "sam")
    assert "clock" not in later.ok("checkin", "--lift", "rain").err
    replica = replica_of(later, now_ms=time.time_ns() // 1_000_000 + 10 * 365 * 24 * HOUR_MS)
    for number in range(3):
        replica.write("checkin", {"lift": f"in ten years {number}"})
    held_then = replica.holding.put(Deed(Do.INVITE, "repair", {"topic": "then"}), minutes=30, space=replica.reader.pair_space())
    replica.storage.close()
    told = later.ok("checkin", "--lift", "rain")
    assert "clock" in told.err
    assert "before your last entry" in told.err
    assert [item["id"] for item in held(later)] == [held_then.id]
    assert later.json("send", held_then.code)["sent"][0]["id"] == held_then.id


def old_home(person: Person, folder: Path) -> Person:
    """A copy of somebody's home as a Bide without outbox would have left it."""
    shutil.copytree(person.home, folder)
    key = (person.home.parent / f"{person.home.name.capitalize()}.key").read_bytes()
    connection = apsw.Connection(str(folder / "bide.db"))
    connection.execute("PRAGMA cipher = 'chacha20'")
    connection.execute(f"PRAGMA key = 'raw:{key.hex()}'")
    connection.execute(
        "DROP TABLE outbox; DROP TABLE suspect; DROP TABLE applying_key; DROP TABLE displaced; DROP TABLE former_device;"
        "DROP TABLE beside; DROP TABLE contradiction; DROP INDEX envelope_bare; DROP TRIGGER space_added;"
        "DROP TRIGGER space_changed; DROP TRIGGER space_removed; DROP TABLE space_copy; PRAGMA user_version = 1;"
        "UPDATE meta SET value = '1' WHERE key = 'derivation';"
        "PRAGMA wal_checkpoint(TRUNCATE)"
    )
    connection.close()
    return Person(folder)


def test_a_home_of_the_first_format_opens_with_all_that_is_in_it(clear: tuple[Person, Person], tmp_path: Path) -> None:
    """The first command brings it up to date; nothing of it is lost, and things can be held in it."""
    sam, _ = clear
    sam.ok("checkin", "--lift", "from before")
    old = old_home(sam, tmp_path / "old")
    a, b = old.entries(), sam.entries()
    for x, y in zip(a, b, strict=True):
        assert x == y, str({k: (x.get(k), y.get(k)) for k in x if x.get(k) != y.get(k)})
    assert invite(old)["held"] is True


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write anywhere")
def test_a_home_of_the_first_format_on_a_read_only_disk_says_what_to_do(clear: tuple[Person, Person], tmp_path: Path) -> None:
    """It can't be brought up to date there: one sentence and a way out, and not a byte changes."""
    sam, _ = clear
    old = old_home(sam, tmp_path / "old")
    before = (old.home / "bide.db").read_bytes()
    old.home.chmod(0o500)
    told = old.run("timeline")
    old.home.chmod(0o700)
    assert told.code == 1
    assert "older Bide" in told.err
    assert "Copy the whole folder" in told.err
    assert (old.home / "bide.db").read_bytes() == before
