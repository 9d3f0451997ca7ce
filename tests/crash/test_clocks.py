"""The clock goes ten years forth and back between commands: nothing is lost, both come to the same, what waits goes."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from homes import Home
from seeds import SEED

from bide_relay.testing import RelayProcess
from crash import tally
from crash.forking import QuickHome
from crash.tracing import program

TEN_YEARS_S = 10 * 365 * 86_400
YEARS = ("+10y", "-10y", "+10y", "-1d", "-10y", "+1d")
_REQUIRED = os.environ.get("BIDE_REQUIRE_STRACE") == "1"
_LIBRARY = next((str(path) for path in Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), "")
pytestmark = pytest.mark.skipif(not _LIBRARY and not _REQUIRED, reason="needs libfaketime")


def shifted(by: str) -> dict[str, str]:
    """Environment of processes whose clock is wrong. Time that only passes, passes as ever: so it is on a machine."""
    return {"LD_PRELOAD": _LIBRARY, "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}


class Astray(Home):
    """A home whose processes have a clock that is wrong."""

    by: str

    @classmethod
    def of(cls, home: Home, by: str) -> Astray:
        astray = cls.__new__(cls)
        astray.folder, astray.name, astray.by = home.folder, home.name, by
        return astray

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | shifted(self.by)


def test_a_clock_that_jumps_loses_nothing(couple: tuple[QuickHome, QuickHome]) -> None:
    """Written, synced and taken in under any clock, everything is there for both, and in the same order."""
    sam, robin = couple
    begun = time.monotonic()
    written = set()
    for by in YEARS:
        astray = Astray.of(sam, by)
        written.add(astray.write(f"at {by}"))
        astray.run("sync")
        written.add(robin.write(f"while the other's clock is at {by}"))
        robin.run("sync")
    for person in (sam, robin, sam):
        person.run("sync")
    assert written <= sam.ids()
    assert written <= robin.ids()
    assert sam.pair_digest() == robin.pair_digest()
    for person in (sam, robin):
        person.assert_sound()
    tally.note("clock jumps", tried=len(YEARS), hit=len(YEARS), seconds=time.monotonic() - begun, seed=SEED)


def test_what_is_held_is_neither_lost_nor_stuck_when_the_clock_jumps(couple: tuple[QuickHome, QuickHome]) -> None:
    """Ten years on it is due, and goes; ten years back it waits, can be seen, and can be sent."""
    sam, _ = couple
    sam.run("config", "set", "hold.appreciation", "30")
    first = sam.write("goes when it is due")
    Astray.of(sam, "+10y").run("sync")
    assert first in sam.ids()
    second = Astray.of(sam, "+10y").write("held by a clock that is ahead")
    assert [item["id"] for item in sam.json("outbox")["held"]] == [second]
    Astray.of(sam, "-10y").run("send", "--all")
    assert second in sam.ids()
    assert sam.json("outbox")["held"] == []
    sam.assert_sound()


def test_a_relay_whose_clock_jumps_serves_as_before(couple: tuple[QuickHome, QuickHome], ram: Path) -> None:
    """Restarted ten years on and ten years back, it takes and gives as before."""
    sam, robin = couple
    listen = "127.0.0.1:0"
    written: set[str] = set()
    for by in (0, TEN_YEARS_S, -TEN_YEARS_S, 0):
        command = program("bide-relay", switch=f"clock{by}")
        with RelayProcess(ram / "jumping", "--registration", "open", listen=listen, program=command) as relay:
            listen = relay.host
            for person in (sam, robin):
                if not written:
                    robin.run("relay", "set", relay.url)
                    sam.run("relay", "set", relay.url)
                written.add(person.write(f"{person.name} at {by}"))
                assert person.call("sync")[0] == 0, relay.log
            sam.run("sync")
            assert written <= sam.ids()
            assert written <= robin.ids()
            assert sam.pending() == 0
    tally.note("clock jumps, relay", tried=3, hit=3, seconds=1, seed=SEED)
