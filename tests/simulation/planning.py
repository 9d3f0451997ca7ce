"""What happens in a world, drawn from its seed before anything happens: a list, so that it can be kept, cut down and replayed.

Each stimulus draws its own details from its own number, so what is left out changes nothing in what stays.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, NamedTuple

STORM_MS = 20 * 60_000
STIMULI_A_STORM = 90
STORMS = 2
OPERATION, SYNC, FAULT = "operation", "sync", "fault"
_MIX = {OPERATION: 45, SYNC: 33, FAULT: 22}


class Stimulus(NamedTuple):
    """Something that somebody does, or that befalls something."""

    at_ms: float
    """Since its storm began."""
    do: str
    """A name in `operations.OPERATIONS` or `faults.FAULTS`."""
    n: int
    """Its own seed."""


class Plan(NamedTuple):
    """A whole world's story."""

    seed: str
    people: int
    sqlite: bool
    """Whether devices and relay keep everything in SQLite files; else in memory."""
    storms: list[list[Stimulus]]
    """After each everybody comes to rest, and everything is looked at."""
    controls: tuple[str, ...] = ()
    """Safeties that are taken out; see `controls`."""

    def as_json(self) -> str:
        storms = [[[round(s.at_ms, 1), s.do, s.n] for s in storm] for storm in self.storms]
        head = {"seed": self.seed, "people": self.people, "sqlite": self.sqlite, "controls": list(self.controls)}
        lines = ",\n ".join("[" + ",\n  ".join(json.dumps(s) for s in storm) + "]" for storm in storms)
        return json.dumps(head)[:-1] + ',\n"storms": [\n ' + lines + "]}\n"

    @property
    def size(self) -> int:
        return sum(map(len, self.storms))


def read_plan(path: Path) -> Plan:
    """A story that was kept."""
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    storms = [[Stimulus(*stimulus) for stimulus in storm] for storm in told["storms"]]
    return Plan(told["seed"], told["people"], told["sqlite"], storms, tuple(told["controls"]))


def draw_plan(seed: str, operations: dict[str, int], faults: dict[str, int], *, controls: tuple[str, ...] = ()) -> Plan:
    """The story of a seed.

    Args:
        seed: any text.
        operations: name to weight.
        faults: name to weight; empty for a world in which nothing goes wrong.
        controls: safeties to take out.
    """
    chance = random.Random(f"{seed} plan")
    people = chance.choices((2, 3, 4), (70, 20, 10))[0]
    sqlite = chance.random() < 0.1
    storms = []
    for _ in range(STORMS):
        storm = []
        for _ in range(STIMULI_A_STORM):
            at, n, sort = (
                chance.uniform(0, STORM_MS),
                chance.getrandbits(32),
                chance.choices(list(_MIX), list(_MIX.values()))[0],
            )
            table = {OPERATION: operations, FAULT: faults, SYNC: {"sync": 4, "watch": 1}}[sort] or {"sync": 1}
            storm.append(Stimulus(at, chance.choices(list(table), list(table.values()))[0], n))
        storms.append(sorted(storm))
    return Plan(seed, people, sqlite, storms, controls)
