"""`bide relay move` and `follow`: two real relays, Sam with a laptop and a phone, and Robin."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bide.replica.own_devices.moving import Visit, settle
from bide.replica.spaces.relays import GIVEN_UP, IN_USE, Former, read_formers
from bide.replica.sync.refusals import Stance
from bide.testing import FakeClock
from bide.testing_replicas import new_replica
from bide_cli.syncing.moving import tend

from .conftest import RELAY, Person, Relay, wait_for
from .test_devices import add


def with_phone(sam: Person, tmp_path: Path) -> Person:
    phone = Person(tmp_path / "phone")
    add(sam, phone, "phone", "--key-file", str(tmp_path / "phone.key"))
    return phone


def words(person: Person) -> list[str]:
    return sorted(str(entry["fields"]) for entry in person.entries())


def held(data: Path) -> tuple[int, bytes]:
    """How many spaces a relay that is stopped holds, and its file."""
    with sqlite3.connect(data / "relay.db") as db:
        return db.execute("SELECT count(*) FROM spaces").fetchone()[0], (data / "relay.db").read_bytes()


def rounds(*people: Person, times: int = 3) -> None:
    for _ in range(times):
        for person in people:
            person.ok("sync")


def relay_of(person: Person, kind: str = "pair") -> str:
    return next(str(space["relay"]) for space in person.json("status")["spaces"] if space["kind"] == kind)


def formers(person: Person) -> list[dict[str, Any]]:
    return list(person.json("relay", "show")["former"])


def test_everybody_moves_and_the_old_relay_holds_nothing(
    two: tuple[Person, Person], relays: tuple[Relay, Relay], tmp_path: Path
) -> None:
    """Robin is away while Sam moves; both write meanwhile; the phone goes along by itself; then the old relay forgets."""
    (sam, robin), (old, new) = two, relays
    phone = with_phone(sam, tmp_path)
    rounds(sam, robin, phone, times=2)
    moved = sam.ok("relay", "move", new.url)
    assert f"Moved to {new.url}" in moved.out
    assert "Robin can follow" in moved.err
    assert (relay_of(sam), relay_of(sam, "own"), sam.json("relay")["relay"]) == (new.url,) * 3
    robin.ok("thank", "--noticed", "You came early.")
    sam.ok("thank", "--noticed", "You waited for me.")
    sam.ok("sync")
    told = robin.ok("sync").err
    assert f"Sam now uses another relay for what you share: {new.url}" in told
    assert "bide relay follow" in told
    assert "another relay" not in robin.ok("sync").err  # once
    sam.ok("sync")
    assert words(sam) == words(robin)
    assert len(words(sam)) == 3
    assert (relay_of(robin), relay_of(robin, "own")) == (old.url, old.url)
    assert "as you chose on another device" in phone.ok("sync").err
    assert (relay_of(phone), relay_of(phone, "own"), phone.json("relay")["relay"]) == (new.url,) * 3
    assert formers(sam)
    shown = robin.ok("relay", "follow", "--yes")
    assert f"What you share with Sam now goes through {new.url}" in shown.out
    assert relay_of(robin, "own") == old.url
    rounds(sam, phone, robin)
    assert [formers(person) for person in (sam, phone, robin)] == [[], [], []]
    assert words(sam) == words(robin) == words(phone)
    pair_id = bytes.fromhex(next(s["id"] for s in sam.json("status")["spaces"] if s["kind"] == "pair"))
    own_id = bytes.fromhex(next(s["id"] for s in sam.json("status")["spaces"] if s["kind"] == "own"))
    old.stop()
    spaces, file = held(tmp_path / "old")
    assert spaces == 1  # Robin's own
    # All that is left is that they were here.
    assert (file.count(pair_id), file.count(own_id)) == (1, 1)
    # The old relay is of no use to anybody who moved, and nobody notices that it is gone.
    sam.ok("thank", "--noticed", "After the move.")
    sam.ok("sync")
    assert "After the move." in str(words(phone) if phone.ok("sync") else "")


def test_a_paper_keeps_nobody_on_the_old_relay(two: tuple[Person, Person], relays: tuple[Relay, Relay], tmp_path: Path) -> None:
    """A recovery phrase is a device that never moves: both have moved all the same, and the old relay forgets."""
    (sam, robin), (old, new) = two, relays
    sam.json("recovery", "create", "--words-noted", "--no-input")
    rounds(sam, robin, times=1)
    sam.ok("relay", "move", new.url)
    robin.ok("sync")
    robin.ok("relay", "follow", "--yes")
    rounds(sam, robin)
    assert [formers(person) for person in (sam, robin)] == [[], []]
    old.stop()
    assert held(tmp_path / "old")[0] == 1  # Robin's own


def test_what_has_ended_goes_along_and_what_is_paused_stays(two: tuple[Person, Person], relays: tuple[Relay, Relay]) -> None:
    """Nothing is sent of what is paused, to no relay; an end is no reason why the rest can't move."""
    (sam, _robin), (old, new) = two, relays
    sam.ok("pause")
    moved = sam.ok("relay", "move", new.url)
    assert f"stays on {old.url}" in moved.err
    assert (relay_of(sam), relay_of(sam, "own")) == (old.url, new.url)
    refused = sam.run("relay", "move", new.url, "--with", "Robin")
    assert (refused.code, "paused" in refused.err) == (8, True)
    sam.ok("pause", "--end")
    sam.ok("leave", "--yes")
    sam.ok("relay", "move", old.url)
    sam.ok("relay", "move", new.url)
    assert relay_of(sam) == new.url
    sam.ok("sync")


def test_one_person_alone_deletes_nothing(two: tuple[Person, Person], relays: tuple[Relay, Relay], tmp_path: Path) -> None:
    """Who never follows goes on as before, and both miss nothing; the old relay keeps the space."""
    (sam, robin), (old, new) = two, relays
    sam.ok("relay", "move", new.url)
    for text in ("One.", "Two."):
        robin.ok("thank", "--noticed", f"{text} by Robin")
        sam.ok("thank", "--noticed", f"{text} by Sam")
        rounds(robin, sam, robin, times=1)
    assert words(sam) == words(robin)
    assert len(words(sam)) == 5
    assert (relay_of(robin), relay_of(sam)) == (old.url, new.url)
    assert [(each["with"], each["relay"], each["state"]) for each in formers(sam)] == [(["Robin"], old.url, "in_use")]
    assert f"also through {old.url}" in sam.ok("status").out
    old.stop()
    assert held(tmp_path / "old")[0] == 2  # the pair, and Robin's own


def test_an_old_relay_that_dies_in_the_middle_is_no_error(two: tuple[Person, Person], relays: tuple[Relay, Relay]) -> None:
    """A quiet note in status; who is told the address can follow all the same."""
    (sam, robin), (old, new) = two, relays
    sam.ok("relay", "move", new.url)
    old.stop()
    sam.ok("thank", "--noticed", "On the new one.")
    assert sam.ok("sync").code == 0
    assert f"also through {old.url}, until everybody has moved; it could not be had lately" in sam.ok("status").out
    assert robin.run("sync").code == 5
    assert robin.run("relay", "follow", "--yes").code == 2  # nobody could tell this device
    robin.ok("relay", "follow", new.url, "--yes")
    sam.ok("sync")
    assert words(robin) == words(sam)
    old.start()
    rounds(sam, robin, times=2)
    assert (formers(sam), formers(robin)) == ([], [])


def test_a_relay_that_is_gone_for_good_is_left_behind(two: tuple[Person, Person], relays: tuple[Relay, Relay]) -> None:
    """Not by mistake: without the word for it nothing changes."""
    (sam, _), (old, new) = two, relays
    old.stop()
    sam.ok("thank", "--noticed", "Never sent.")
    refused = sam.run("relay", "move", new.url)
    assert refused.code == 5
    assert "--without-old" in refused.err
    assert relay_of(sam) == old.url
    sam.ok("relay", "move", new.url, "--without-old")
    assert relay_of(sam) == new.url
    assert all(space["pending"] == 0 for space in sam.json("status")["spaces"])


def start_by_invite(data: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [RELAY, "serve", "--listen", "127.0.0.1:0", "--data", str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    return process, "ws://127.0.0.1:" + process.stdout.readline().rpartition(":")[2].strip()


def test_a_relay_that_refuses_changes_nothing(two: tuple[Person, Person], tmp_path: Path, relays: tuple[Relay, Relay]) -> None:
    """Without an invite, with a wrong one, with one that is not enough for both spaces, and one that nobody reaches."""
    (sam, robin), (old, _) = two, relays
    process, url = start_by_invite(tmp_path / "strict")
    assert process.stdout is not None

    def invite(spaces: int) -> str:
        made = subprocess.run(
            [RELAY, "invite", "--data", str(tmp_path / "strict"), "--spaces", str(spaces)],
            capture_output=True,
            text=True,
            check=True,
        )
        return made.stdout.strip()

    try:
        for args, words_said in (
            ((url,), "asks for an invite"),
            ((url, "--invite", "wrong"), "used up or is not of this relay"),
            ((url, "--invite", invite(1)), "used up or is not of this relay"),
            (("ws://127.0.0.1:1",), "can't be reached"),
        ):
            refused = sam.run("relay", "move", *args)
            assert refused.code in (5, 8), refused
            assert words_said in refused.err
            assert (relay_of(sam), relay_of(sam, "own"), formers(sam)) == (old.url, old.url, [])
        sam.ok("relay", "move", url, "--invite", invite(2))
        assert relay_of(sam) == url
        rounds(sam, robin, times=1)
        robin.ok("relay", "follow", "--yes")
        assert relay_of(robin) == url
    finally:
        process.terminate()
        process.wait(15)
        process.stdout.close()


def test_a_mover_that_is_killed_moved_whole_or_not_at_all(two: tuple[Person, Person], relays: tuple[Relay, Relay]) -> None:
    """There and back and there again. The same command does the rest each time, and nobody misses anything."""
    sam, robin = two
    began = time.monotonic()
    sam.ok("status")
    start_s = time.monotonic() - began
    here, there = relays
    for number, part in enumerate((0.9, 1.3, 1.7)):
        process = sam.start("relay", "move", there.url)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(part * start_s)
        process.kill()
        process.communicate()
        places = {relay_of(sam), relay_of(sam, "own"), sam.json("relay")["relay"]}
        assert places in ({here.url}, {there.url})
        again = sam.run("relay", "move", there.url)
        assert again.code == (0 if places == {here.url} else 2), again
        robin.ok("thank", "--noticed", f"You came early, {number}.")
        rounds(robin, sam, times=1)
        robin.ok("relay", "follow", "--yes")
        rounds(sam, robin, times=2)
        assert words(sam) == words(robin)
        assert len(words(sam)) == number + 2
        assert (formers(sam), formers(robin)) == ([], [])
        here, there = there, here


def test_an_address_that_could_not_have_been_typed_is_never_shown_nor_dialled(
    two: tuple[Person, Person], relays: tuple[Relay, Relay]
) -> None:
    """Robin's device is changed to say anything; Sam's shows nothing of it, and offers nothing."""
    sam, robin = two
    say(robin, "wss://evil.example/\x1b[2J\x1b]0;owned\x07" + "a" * 5000)
    robin.ok("sync")
    shown = [sam.ok(*args) for args in (("sync",), ("relay",), ("status",), ("doctor",), ("relay", "--json"))]
    every = "".join(result.out + result.err for result in shown)
    assert "evil" not in every
    assert "\x1b" not in every
    assert sam.run("relay", "follow", "--yes").code == 2
    assert relay_of(sam) == relays[0].url


def test_a_sound_address_of_somebody_else_is_dialled_only_when_said_so(
    two: tuple[Person, Person], tmp_path: Path, relays: tuple[Relay, Relay]
) -> None:
    """Nothing connects to it before; and following there needs a relay that has the journal."""
    sam, robin = two
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{trap.getsockname()[1]}"
        say(robin, url)
        robin.ok("sync")  # whose own device looks there, and finds nobody yet
        trap.listen()
        trap.setblocking(False)
        for _ in range(3):
            sam.ok("sync")
            sam.ok("status")
            sam.ok("relay")
        assert sam.json("relay")["offers"] == [{"with": "Robin", "relay": url}]
        assert sam.run("relay", "follow", "--no-input").code == 2
        with pytest.raises(BlockingIOError):
            trap.accept()
    other = Relay(tmp_path / "other")
    try:
        refused = sam.run("relay", "follow", other.url, "--yes")
        assert (refused.code, "doesn't hold this journal" in refused.err) == (8, True), refused
        assert relay_of(sam) == relays[0].url
    finally:
        other.stop()


def say(person: Person, url: str) -> None:
    """What a changed client of that person would say of where they moved to."""
    script = (
        "import sys, json\n"
        "from pathlib import Path\n"
        "from bide_cli.unlocking.opening import open_replica\n"
        "from bide_cli.terminal.shell import Shell\n"
        "replica = open_replica(Shell(Path(sys.argv[1])))\n"
        "space = replica.reader.pair_space('')\n"
        "with replica.storage.transaction():\n"
        "    replica.writer.say_of_person({'device.relay': json.loads(sys.argv[2])}, space=space)\n"
        "replica.storage.close()\n"
    )
    subprocess.run([sys.executable, "-c", script, str(person.home), json.dumps(url)], env=person.env, check=True, timeout=60)


def test_a_device_that_comes_late_does_not_begin_the_journal_anew(
    two: tuple[Person, Person], relays: tuple[Relay, Relay], tmp_path: Path
) -> None:
    """The phone was off during the whole move, and the old relay has forgotten the journal when it comes."""
    (sam, robin), (old, new) = two, relays
    phone = with_phone(sam, tmp_path)
    phone.ok("sync")
    sam.ok("relay", "move", new.url)
    rounds(robin, sam, times=1)
    robin.ok("relay", "follow", "--yes")
    rounds(sam, robin)
    # It is waited for: nothing is deleted while one of Sam's devices has not come.
    assert formers(sam)
    forget_by_hand(old, tmp_path / "old", but=robin.json("status")["spaces"][0]["id"])
    phone.ok("thank", "--noticed", "Written on the phone.")
    late = phone.run("sync")
    assert late.code == 8, late
    assert "moved to another relay" in late.err
    assert "bide relay set URL" in late.err or "bide relay follow URL" in late.err
    # It does what it is told: of its own journal and what is shared, either may have been left behind, or both.
    for _ in range(2):
        if late.code:
            phone.ok("relay", *(("follow", new.url, "--yes") if "bide relay follow URL" in late.err else ("set", new.url)))
            late = phone.run("sync")
    rounds(phone, sam, robin, phone)
    assert words(phone) == words(sam) == words(robin)
    assert len(words(robin)) == 2
    old.stop()
    assert held(tmp_path / "old")[0] == 1  # Robin's own: the phone began nothing anew


def forget_by_hand(old: Relay, data: Path, *, but: str) -> None:
    """As if all had asked for all spaces but one: the relay's file is changed while it is stopped."""
    old.stop()
    with sqlite3.connect(data / "relay.db") as db:
        ours = [row[0] for row in db.execute("SELECT space_id FROM spaces") if row[0].hex() != but]
        for space in ours:
            for table in ("moved_on", "logs", "spaces"):
                db.execute(f"DELETE FROM {table} WHERE space_id = ?", (space,))
            db.execute("INSERT INTO forgotten VALUES (?, ?, 0)", (space, int(time.time() // 86_400)))
    old.start()


def test_a_watch_goes_along(two: tuple[Person, Person], relays: tuple[Relay, Relay]) -> None:
    """It runs while Sam moves in another window; what Robin writes after following arrives at once."""
    (sam, robin), (_, new) = two, relays
    watching = sam.start("sync", "--watch", "--json")
    try:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["event"] == "reached"
        sam.ok("relay", "move", new.url)
        robin.ok("sync")
        robin.ok("relay", "follow", "--yes")
        robin.ok("thank", "--noticed", "You came early.")
        robin.ok("sync")
        wait_for(lambda: len(sam.entries()) == 2, seconds=30)
        assert words(sam) == words(robin)
    finally:
        watching.terminate()
        watching.communicate(timeout=15)


def test_a_relay_is_asked_for_thirty_days_and_then_left_alone() -> None:
    """By this device's clock; doctor says so, and nobody dials it any more."""
    clock = FakeClock(tick_ms=1000)
    sam = new_replica("Sam", clock=clock)
    own = sam.reader.own_space()
    sam.storage.put_space(own._replace(relay_url="ws://127.0.0.1:1"))
    visit = Visit(sam, sam.reader.own_space(), "ws://127.0.0.1:2", Stance.MOVING, host="127.0.0.1:2")
    settle(sam, [visit], new_home=True)

    def tended() -> Former:
        asyncio.run(tend(sam, sam.spaces(), patiently=False))
        return read_formers(sam.storage, own.space_id)[0]

    first = tended()
    assert (first.state, first.failures) == (IN_USE, 1)
    assert first.ready_ms > 0
    clock.advance(29 * 86_400_000)
    assert tended()._replace(tried_ms=0) == first._replace(failures=2, tried_ms=0)
    clock.advance(2 * 86_400_000)
    assert tended().state == GIVEN_UP
    assert tended().failures == 2
    assert any("asked for 30 days" in str(finding.words) for finding in sam.doctor())
