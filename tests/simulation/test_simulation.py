"""The simulation itself: it holds, it replays, everything that is to go wrong went wrong, and without a safety it breaks."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from simulation import faults
from simulation.controls import FORKS
from simulation.operations import ON_SWITCH, OPERATIONS
from simulation.planning import Plan, read_plan
from simulation.running import ALWAYS, SOME, USUAL, Result, WorkerDied, kind_of, plan_of, run, run_many, usual
from simulation.shrinking import shrink

HERE = Path(__file__).parent
STORIES = sorted((HERE / "regressions").glob("*.json"))
STANDARD = [f"standard.{number}" for number in range(16)]
"""Enough for every fault to have an effect; a few of them keep everything in SQLite."""
SHARES = 4
"""The standard run is done in so many parts, which may run beside each other."""
CONTROL_SEEDS = 12
"""Within so many worlds, of a few thousand steps each, a simulation without a safety breaks."""


def replay(result: Result) -> str:
    return f"{result.breach}\n  make simulate SEED={result.seed}"


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_what_once_broke_holds(story: Path) -> None:
    """Every story that the simulation was shrunk to stays mended."""
    assert run(read_plan(story)).breach == ""


@pytest.mark.parametrize("share", range(SHARES))
def test_the_standard_worlds_hold(share: int, record_property: object) -> None:
    """In every one of them, nothing is lost, all come to the same, and everybody comes to rest. Every fault had an effect."""
    counts: Counter[str] = Counter()
    deeds: Counter[str] = Counter()
    for seed in STANDARD[share::SHARES]:
        result = run(plan_of(seed))
        assert not result.breach, replay(result)
        counts += result.counts
        deeds += result.deeds
    # The rarest need all the shares; what is common is in each.
    assert sum(counts.values()) > 50
    assert {"write", "sync", "add_device", "step"} <= deeds.keys()


def test_every_usual_kind_is_in_some_worlds_and_what_somebody_asks_for_in_each() -> None:
    """The others are in all; and what is left out is in none."""
    worlds = [usual(f"kinds.{number}") for number in range(60)]
    assert frozenset[str]().union(*worlds) == USUAL
    assert frozenset(USUAL).intersection(*worlds) == ALWAYS
    kind = next(iter(SOME))
    assert all(kind in usual(f"kinds.{number}", also=frozenset({kind})) for number in range(60))
    assert not any(kind in usual(f"kinds.{number}", without=frozenset({kind})) for number in range(60))


def test_a_world_of_today_holds() -> None:
    """One that nobody has seen before: its seed is in the message if it breaks."""
    result = run(plan_of(f"today.{time.time_ns()}"))
    assert not result.breach, replay(result)


def test_every_fault_can_have_an_effect() -> None:
    """Worlds in which one fault strikes all the time show that it fires: one that never does would count for nothing.

    What belongs to the kinds that are drawn is looked at in `test_ways`.
    """
    counts: Counter[str] = Counter()
    for name in faults.drawn(ALWAYS):
        if name in faults.SILENT:
            continue
        needed = {"roll_back_relay": ("back_up_relay",), "restore_home": ("back_up_home",)}
        only = (*needed.get(name, ()), name)
        plan = plan_of("only.1", switches=ALWAYS, only=only)
        result = run(plan._replace(people=2, sqlite=False, storms=plan.storms[:1]))
        assert not result.breach, f"{name}: {result.breach}"
        counts += result.counts
    missing = [name for name in faults.counted(ALWAYS) if not counts[name]]
    assert not missing


def test_every_operation_can_come_to_something() -> None:
    """As for the faults: an operation that is always refused tests nothing. What has come to nothing yet is done more often."""
    wanted = OPERATIONS.keys() | {name for switch in ALWAYS & ON_SWITCH.keys() for name in ON_SWITCH[switch]}
    deeds: Counter[str] = Counter()
    for number in range(40):
        missing = tuple(sorted(wanted - deeds.keys())) if number else ()
        deeds += run(plan_of(f"calm.{number}", switches=ALWAYS, often=missing)._replace(sqlite=False)).deeds
        if wanted <= deeds.keys():
            return
    assert not wanted - deeds.keys()


@pytest.mark.parametrize("sqlite", [False, True])
def test_the_same_seed_gives_the_same_run(sqlite: bool) -> None:
    """To the last byte of the last message, in another process, and whatever order that keeps its sets in."""
    plan = plan_of("replay.1")._replace(sqlite=sqlite)
    here = run(plan)
    code = (
        f"import sys; sys.path.insert(0, {str(HERE.parent)!r})\n"
        "from simulation.running import plan_of, run\n"
        f"print(run(plan_of('replay.1')._replace(sqlite={sqlite})).trace)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "2" if sqlite else "1"}
    there = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert there.stdout.strip() == here.trace


def broken(control: str) -> tuple[Plan, Result]:
    """The first world that breaks without a safety."""
    for number in range(CONTROL_SEEDS):
        only: tuple[str, ...] = ("flip",) if "signature" in control else ()
        if control == FORKS:
            only = ("back_up_home", "restore_home", "clone_home")
        often = ("add_device", "revoke_device") if "removal" in control else ()
        switches = ALWAYS if control == FORKS else frozenset[str]()
        plan = plan_of(f"control.{number}", controls=(control,), switches=switches, only=only, often=often)._replace(
            sqlite=False
        )
        result = run(plan)
        if result.breach:
            return plan, result
    pytest.fail(f"nothing broke without it: {control}")


WHAT_BREAKS = {
    "device acknowledges before commit": "lost what it had acknowledged",
    "relay acknowledges before commit": "the relay lost what it had acknowledged",
    "relay verifies no signature": "",
    "device verifies no signature": "",
    "relay remembers what it sent": "",
    "removal mints no epoch": "can read what came later",
    FORKS: "",
}


@pytest.mark.parametrize("control", WHAT_BREAKS)
def test_without_a_safety_the_simulation_breaks(control: str) -> None:
    """Within a few seeds, and by what the safety is for. With it, the same world holds."""
    plan, result = broken(control)
    assert WHAT_BREAKS[control] in result.breach
    assert run(plan._replace(controls=())).breach == ""


def test_a_story_is_shrunk_to_what_matters() -> None:
    """A whole world that breaks becomes a handful of stimuli that break in the same way, and can be written down and read."""
    plan, result = broken("relay acknowledges before commit")
    short = shrink(plan, tries_max=120)
    assert short.size <= plan.size // 8
    assert kind_of(run(short).breach) == kind_of(result.breach)


def test_a_story_survives_being_written_down(tmp_path: Path) -> None:
    """A plan read from its file gives the same run."""
    plan = plan_of("written.1")._replace(sqlite=False)
    plan = plan._replace(storms=[[s._replace(at_ms=round(s.at_ms, 1)) for s in storm[:20]] for storm in plan.storms[:1]])
    path = tmp_path / "story.json"
    path.write_text(plan.as_json(), encoding="utf-8")
    assert read_plan(path) == plan
    assert run(read_plan(path)).trace == run(plan).trace


def test_a_process_that_dies_over_a_world_is_told_with_its_seed() -> None:
    """Killed from outside, as by a machine without memory: the run ends, and says which world it was."""

    def kill_one() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        children[0].kill()

    threading.Thread(target=kill_one, daemon=True).start()
    with pytest.raises(WorkerDied, match=r"dies\.[01] ended with"):
        list(run_many("dies", steps=1_000_000, workers=2))
