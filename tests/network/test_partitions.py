"""Hundreds of broken connections: whatever a network does, each sync goes on from the heads; in the end all have everything.

Replay: ``SEED=… PARTITIONS=… .venv/bin/pytest tests/network``; the seed is printed with every failure.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
from homes import Home, pair
from seeds import SEED

from bide_relay.testing import RelayProcess
from network.proxy import Fault, Plan, Proxy

PARTITIONS = int(os.environ.get("PARTITIONS", "24"))
"""Broken connections of the whole campaign; make soak raises it."""
FAULTS = (Fault.CUT, Fault.STALL, Fault.HALF_OPEN, Fault.SLOW, Fault.LATE, Fault.REFUSE)
CLIENT = Path(__file__).with_name("client.py")


class Client:
    """A home and the process that works on it."""

    def __init__(self, home: Home, *flags: str) -> None:
        command = [sys.executable, str(CLIENT), str(home.folder), str(home.folder.with_suffix(".key")), *flags]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=home.environment
        )

    def ask(self, line: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.communicate(timeout=20)


class Weather:
    """Which connection meets what. Half of them nothing at all."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.calm = False

    def __call__(self) -> Plan:
        fault = self._chance.choice(FAULTS)
        # After about 900 bytes up and 700 down a connection has said hello; a batch has 6,000.
        at = int(self._chance.triangular(0, 30_000, 2_000))
        plan = Plan(fault, at, self._chance.random() < 0.5)
        return Plan() if self.calm else plan


@pytest.fixture(autouse=True)
def _print_seed() -> None:
    print(f"SEED={SEED} PARTITIONS={PARTITIONS}")


def made_pair(tmp_path: Path, relay: RelayProcess, proxy: Proxy) -> tuple[Home, Home]:
    sam, robin = Home(tmp_path / "sam", "Sam"), Home(tmp_path / "robin", "Robin")
    pair(sam, robin, proxy.url)
    return sam, robin


def campaign(sam: Client, robin: Client, weather: Weather, proxy: Proxy, chance: random.Random, *, count: int) -> set[str]:
    """Write and sync while connections break, each way at least once; every sync is held to the heads.

    Returns:
        What was written.
    """
    written: set[str] = set()
    while (broken := sum(proxy.fired.values())) < count or (broken < 5 * count and not all(proxy.fired[f] for f in FAULTS)):
        client = chance.choice((sam, robin))
        if chance.random() < 0.4:
            written.update(client.ask(f"write {chance.randrange(1, 25)}"))
        told = client.ask("sync")
        assert told["sent"] <= told["pending"], "what the relay had acknowledged was sent again"
    weather.calm = True
    for client in (sam, robin, sam):
        told = client.ask("sync")
        assert told["errors"] == []
        assert told["left"] == 0
    return written


def test_every_partition_is_gone_through_from_where_it_was(tmp_path: Path) -> None:
    """Cut anywhere, stalled, half-open, slow, late, refused: nothing acknowledged goes again, and both end with the same."""
    chance = random.Random(SEED)
    weather = Weather(chance)
    weather.calm = True
    with (
        RelayProcess(tmp_path / "relay", "--registration", "open", "--batch-envelopes-max", "8") as relay,
        Proxy(relay.host, weather) as proxy,
    ):
        homes = made_pair(tmp_path, relay, proxy)
        weather.calm = False
        with Client(homes[0]) as sam, Client(homes[1]) as robin:
            written = campaign(sam, robin, weather, proxy, chance, count=PARTITIONS)
            assert written
            assert set(sam.ask("ids")) == set(robin.ask("ids")) == written
            assert sam.ask("digest") == robin.ask("digest")
        print({fault.value: count for fault, count in sorted(proxy.fired.items(), key=lambda each: each[0].value)})
        assert all(proxy.fired[fault] for fault in FAULTS), "a fault that never fired proves nothing"
    for home in homes:
        home.assert_sound()


def test_a_client_that_forgets_the_heads_is_caught(tmp_path: Path) -> None:
    """The control: a client that takes every relay for an empty one fails the campaign."""
    chance = random.Random(SEED + 1)
    weather = Weather(chance)
    weather.calm = True
    with (
        RelayProcess(tmp_path / "relay", "--registration", "open") as relay,
        Proxy(relay.host, weather) as proxy,
    ):
        homes = made_pair(tmp_path, relay, proxy)
        weather.calm = False
        with (
            Client(homes[0], "forgetful") as sam,
            Client(homes[1], "forgetful") as robin,
            pytest.raises(AssertionError, match="sent again"),
        ):
            campaign(sam, robin, weather, proxy, chance, count=PARTITIONS)


def test_a_history_comes_through_a_network_that_always_breaks(tmp_path: Path) -> None:
    """Each connection carries a little and is cut: what came stays, and no more goes down than once, but for what was cut."""
    entries, cut_after = 150, 22_000
    plan = Plan()
    with (
        RelayProcess(tmp_path / "relay", "--registration", "open", "--batch-envelopes-max", "8") as relay,
        Proxy(relay.host, lambda: plan) as proxy,
    ):
        homes = made_pair(tmp_path, relay, proxy)
        with Client(homes[0]) as sam, Client(homes[1]) as robin:
            sam.ask(f"write {entries}")
            assert sam.ask("sync")["errors"] == []
            before = proxy.down_bytes
            plan = Plan(Fault.CUT, cut_after, upwards=False)
            received = tries = 0
            while received < entries and tries < 60:
                tries += 1
                received += robin.ask("sync")["received"]
            assert received >= entries
            assert tries > 3, "nothing was cut"
            whole = proxy.down_bytes - before
            envelopes = entries * 740
            # For each connection at most a batch that was cut, and what every connection begins with, of two spaces.
            assert whole < envelopes + tries * (8 * 740 + 4_000)
