"""``kill -9`` at random moments: what was acknowledged is never lost, and nothing is left half-written.

Replay: ``SEED=… KILLS=… .venv/bin/pytest tests/crash/test_kills.py``; the seed is printed with every failure.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
from homes import KILLS, Home, kill_after, pair
from seeds import SEED

from crash import tally
from crash.forking import Forge, QuickHome, QuickRelay

SYNC_KILLS = RELAY_KILLS = KILLS if KILLS > 1_000 else KILLS // 2
SEND_KILLS = KILLS // 5
CONTROL_KILLS = 60
MEANINGFUL = 20
WRITES_OF_ONE = 1_000
"""Into one home; then it is looked at, and another one is filled."""
SYNCS_OF_ONE = 200
"""Of one couple: what looks at all of it each time takes longer the more there is."""


def duration_of(run: Callable[[], object]) -> float:
    """How long a command takes here and now, in seconds: kills are spread over that, so that most hit it running."""
    run()  # the first is slower than all others
    begun = time.monotonic()
    run()
    return time.monotonic() - begun


class Killing:
    """Counts, and chooses the moments."""

    def __init__(self, name: str, tries: int) -> None:
        self.name, self.tries, self.hit = name, tries, 0
        self.chance = random.Random(f"{SEED} {name}")

    def moment(self, takes_s: float) -> float:
        """How long to wait before a kill."""
        return self.chance.uniform(0.0, 1.0) * takes_s

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        print(f"SEED={SEED} KILLS={KILLS}")
        return self

    def __exit__(self, *error: object) -> None:
        tally.note(f"kill, {self.name}", tried=self.tries, hit=self.hit, seconds=time.monotonic() - self._begun, seed=SEED)
        # Of a handful none may hit; the table of make soak counts what did.
        if error[0] is None and "control" not in self.name and self.tries >= MEANINGFUL:
            assert self.hit > self.tries // 10, "too few kills hit a running process to prove anything"


@pytest.fixture
def alone(ram: Path, forge: Forge) -> Callable[[int], QuickHome]:
    """Makes a home of somebody who writes privately."""

    def make(number: int, forge: Forge = forge) -> QuickHome:
        return QuickHome.of(Home(ram / f"home-{number}", "Sam"), forge)

    return make


def write_and_kill(sam: QuickHome, killing: Killing, tries: int) -> set[str]:
    """Kill writes at random moments; what they had acknowledged and is not there."""
    acknowledged: set[str] = set()
    takes_s = duration_of(lambda: sam.run("thank", "--private", "--json", "--from-json", "-", stdin='{"noticed": "first"}'))
    for number in range(tries):
        body = json.dumps({"noticed": f"number {number}"})
        process = sam.start("thank", "--private", "--json", "--from-json", "-", stdin=body)
        running, out = kill_after(process, killing.moment(takes_s))
        killing.hit += running
        if out.endswith("}\n"):
            acknowledged.add(json.loads(out)["id"])
    assert acknowledged, "no write got through, so nothing was proved"
    return acknowledged - sam.ids()


def test_a_killed_write_is_there_whole_or_not_at_all(alone: Callable[[int], QuickHome]) -> None:
    """Every write that printed its id is in the timeline afterwards, and the log has neither gap nor fork."""
    with Killing("writing", KILLS) as killing:
        for number in range(0, KILLS, WRITES_OF_ONE):
            sam = alone(number)
            assert not write_and_kill(sam, killing, min(WRITES_OF_ONE, KILLS - number))
            sam.assert_sound()


def test_a_write_that_is_told_before_the_commit_is_seen_to_be_lost(ram: Path) -> None:
    """The control: `bide` that prints an id before it commits loses some, and the campaign says so."""
    forge = Forge("early-word")
    try:
        sam = QuickHome.of(Home(ram / "sam", "Sam"), forge)
        with Killing("control: told before the commit", CONTROL_KILLS) as killing:
            assert write_and_kill(sam, killing, CONTROL_KILLS)
    finally:
        forge.close()


def test_a_killed_send_leaves_it_in_one_place(couple: tuple[QuickHome, QuickHome]) -> None:
    """Whenever letting go is killed, what was held is either held still or in the log, never in both and never in none."""
    sam, _ = couple
    with (sam.folder / "config.toml").open("a", encoding="utf-8") as file:
        file.write("hold.appreciation = 30\n")
    held = {sam.write("first")}
    takes_s = duration_of(lambda: sam.run("send", "--all"))
    with Killing("letting go", SEND_KILLS) as killing:
        for number in range(SEND_KILLS):
            held.add(sam.write(f"number {number}"))
            running, _ = kill_after(sam.start("send", "--all"), killing.moment(takes_s))
            killing.hit += running
            waiting = {item["id"] for item in sam.json("outbox")["held"]}
            assert waiting | sam.ids() == held
            assert not waiting & sam.ids()
    sam.run("send", "--all")
    assert sam.ids() == held
    sam.assert_sound()


def test_a_killed_sync_goes_on_where_it_was(new_couple: Callable[[int], tuple[QuickHome, QuickHome]]) -> None:
    """Whenever sync is killed, a later one brings both people to the same timeline, with everything in it."""
    with Killing("sync", SYNC_KILLS) as killing:
        for begun in range(0, SYNC_KILLS, SYNCS_OF_ONE):
            sam, robin = new_couple(begun)
            written: set[str] = set()
            takes_s = duration_of(lambda home=sam: home.run("sync"))  # type: ignore[misc]
            for number in range(begun, min(SYNC_KILLS, begun + SYNCS_OF_ONE)):
                home = killing.chance.choice((sam, robin))
                written.add(home.write(f"number {number}"))
                running, _ = kill_after(home.start("sync"), killing.moment(takes_s))
                killing.hit += running
            for home in (sam, robin, sam):
                home.run("sync")
            assert written <= sam.ids()
            assert written <= robin.ids()
            assert sam.pair_digest() == robin.pair_digest()
            for home in (sam, robin):
                home.assert_sound()


def sync_and_kill_relay(couple: tuple[QuickHome, QuickHome], relay: QuickRelay, killing: Killing, tries: int) -> None:
    """Kill the relay while a device syncs; it gives to the partner what it had acknowledged."""
    sam, robin = couple
    written: set[str] = set()
    takes_s = duration_of(lambda: sam.run("sync"))
    for number in range(tries):
        written.add(sam.write(f"number {number}"))
        process = sam.start("sync")
        with contextlib.suppress(subprocess.TimeoutExpired):  # still running: the relay dies under it
            # Each fourth time right after everything was acknowledged.
            process.wait(60 if number % 4 == 3 else killing.moment(takes_s))
        killing.hit += process.poll() is None
        relay.kill()
        process.communicate(timeout=60)
        relay.start()
        if process.returncode == 0 or sam.pending() == 0:
            robin.run("sync")
            assert written <= robin.ids(), "the relay lost what it had acknowledged"


def test_a_killed_relay_keeps_what_it_acknowledged(
    new_couple: Callable[[int], tuple[QuickHome, QuickHome]], relay: QuickRelay
) -> None:
    """What a device was told is on the relay is there after the relay was killed at any moment: its partner gets it."""
    with Killing("relay", RELAY_KILLS) as killing:
        for begun in range(0, RELAY_KILLS, SYNCS_OF_ONE):
            sam, robin = new_couple(begun)
            sync_and_kill_relay((sam, robin), relay, killing, min(SYNCS_OF_ONE, RELAY_KILLS - begun))
            for home in (sam, robin, sam):
                home.run("sync")
            assert sam.ids() == robin.ids()
            assert sam.pair_digest() == robin.pair_digest()
            sam.assert_sound()


def test_a_relay_that_acknowledges_before_the_commit_is_seen_to_lose(ram: Path, forge: Forge) -> None:
    """The control: what it said is stored was not yet, and the partner never gets it."""
    unsafe = Forge("early-ack")
    try:
        with QuickRelay(unsafe, ram / "relay", "--registration", "open") as relay:
            sam, robin = Home(ram / "sam", "Sam"), Home(ram / "robin", "Robin")
            pair(sam, robin, relay.url)
            couple = (QuickHome.of(sam, forge), QuickHome.of(robin, forge))
            with (
                Killing("control: acknowledged before the commit", CONTROL_KILLS // 3) as killing,
                pytest.raises(AssertionError),
            ):
                sync_and_kill_relay(couple, relay, killing, killing.tries)
    finally:
        unsafe.close()
