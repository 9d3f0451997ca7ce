"""A campaign of ``kill -9`` on real processes: what was acknowledged is never lost, and nothing is left half-written.

Replay: ``SEED=… KILLS=… .venv/bin/pytest tests/system/test_kills.py``; the seed is printed with every failure.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import time
from collections.abc import Callable

import pytest
from homes import KILLS, SEED, Home, kill_after

from bide_relay.testing import RelayProcess

WRITE_KILLS, SYNC_KILLS, RELAY_KILLS, SEND_KILLS = KILLS // 2, KILLS // 4, KILLS // 4, KILLS // 10


def duration_of(run: Callable[[], object]) -> float:
    """How long a command takes here and now, in seconds: kills are spread over that, so that most hit it running."""
    begun = time.monotonic()
    run()
    return time.monotonic() - begun


@pytest.fixture(autouse=True)
def _print_seed() -> None:
    print(f"SEED={SEED} KILLS={KILLS}")


def test_a_killed_write_is_there_whole_or_not_at_all(couple: tuple[Home, Home]) -> None:
    """Every write that printed its id is in the timeline afterwards, and the log has neither gap nor fork."""
    sam, _ = couple
    chance = random.Random(SEED)
    acknowledged: set[str] = set()
    killed = 0
    takes_s = duration_of(lambda: sam.write("first"))
    for number in range(WRITE_KILLS):
        body = json.dumps({"noticed": f"number {number}"})
        process = sam.start("thank", "--json", "--from-json", "-", stdin=body)
        running, out = kill_after(process, chance.uniform(0.1, 1.3) * takes_s)
        killed += running
        if out.endswith("}\n"):
            acknowledged.add(json.loads(out)["id"])
    assert killed > WRITE_KILLS // 10, "too few kills hit a running process to prove anything"
    assert acknowledged, "no write got through, so nothing was proved"
    assert acknowledged <= sam.ids()
    sam.assert_sound()
    assert sam.write("afterwards") in sam.ids()


def test_a_killed_send_leaves_it_in_one_place(couple: tuple[Home, Home]) -> None:
    """Whenever letting go is killed, what was held is either held still or in the log, never in both and never in none."""
    sam, _ = couple
    chance = random.Random(SEED + 3)
    with (sam.folder / "config.toml").open("a", encoding="utf-8") as file:
        file.write("hold.appreciation = 30\n")
    held = {sam.write("first")}
    takes_s = duration_of(lambda: sam.run("send", "--all"))
    killed = 0
    for number in range(SEND_KILLS):
        held.add(sam.write(f"number {number}"))
        running, _ = kill_after(sam.start("send", "--all"), chance.uniform(0.1, 1.3) * takes_s)
        killed += running
        waiting = {item["id"] for item in sam.json("outbox")["held"]}
        assert waiting | sam.ids() == held
        assert not waiting & sam.ids()
    assert killed > SEND_KILLS // 10
    sam.run("send", "--all")
    assert sam.ids() == held
    sam.assert_sound()


def test_a_killed_sync_goes_on_where_it_was(couple: tuple[Home, Home]) -> None:
    """Whenever sync is killed, a later one brings both people to the same timeline, with everything in it."""
    sam, robin = couple
    chance = random.Random(SEED + 1)
    written: set[str] = set()
    killed = 0
    takes_s = duration_of(lambda: sam.run("sync"))
    for number in range(SYNC_KILLS):
        home = chance.choice((sam, robin))
        written.add(home.write(f"number {number}"))
        running, _ = kill_after(home.start("sync"), chance.uniform(0.1, 1.3) * takes_s)
        killed += running
    assert killed > SYNC_KILLS // 10
    for home in (sam, robin, sam):
        home.run("sync")
    assert written <= sam.ids()
    assert written <= robin.ids()
    assert sam.pair_digest() == robin.pair_digest()
    for home in (sam, robin):
        home.assert_sound()


def test_a_killed_relay_keeps_what_it_acknowledged(couple: tuple[Home, Home], relay: RelayProcess) -> None:
    """What a device was told is on the relay is there after the relay was killed at any moment: its partner gets it."""
    sam, robin = couple
    chance = random.Random(SEED + 2)
    written: set[str] = set()
    takes_s = duration_of(lambda: sam.run("sync"))
    for number in range(RELAY_KILLS):
        written.add(sam.write(f"number {number}"))
        process = sam.start("sync")
        with contextlib.suppress(subprocess.TimeoutExpired):  # still running: the relay dies under it
            process.wait(chance.uniform(0.1, 1.2) * takes_s)
        relay.kill()
        process.communicate(timeout=60)
        relay.start()
        if sam.pending() == 0:
            robin.run("sync")
            assert written <= robin.ids(), "the relay lost what it had acknowledged"
    for home in (sam, robin, sam):
        home.run("sync")
    assert written <= robin.ids()
    assert sam.pair_digest() == robin.pair_digest()
    sam.assert_sound()
