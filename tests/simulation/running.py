"""Running worlds: one, or as many as fit into a number of steps, on as many processors as there are."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import random
import re
import time
import traceback
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import cast

from simulation import faults
from simulation.files import BUNDLES
from simulation.operations import LEAVING, ON_SWITCH, OPERATIONS
from simulation.planning import Plan, draw_plan
from simulation.quiet import QUIET
from simulation.recovery import RECOVERY
from simulation.world import Broken, World

ALWAYS = frozenset({faults.COPIES, LEAVING})
"""The kinds of faults and deeds that are in every world unless somebody leaves them out."""
SOME = {BUNDLES: 0.3, QUIET: 0.15, RECOVERY: 0.15}
"""Kinds that are in some worlds, and in how many of them: in each they would take it away from all the rest."""
USUAL = ALWAYS | SOME.keys()
"""All that is drawn unless somebody leaves it out."""


@dataclass
class Result:
    """What came of a world, or of many."""

    seed: str
    worlds: int = 0
    steps: int = 0
    messages: int = 0
    cpu_s: float = 0.0
    checks: int = 0
    """Times at which everybody had come to rest."""
    rounds: int = 0
    sqlite: int = 0
    """Of the worlds, how many kept everything in SQLite."""
    counts: Counter[str] = field(default_factory=Counter)
    deeds: Counter[str] = field(default_factory=Counter)
    trace: str = ""
    breach: str = ""
    """What did not hold; empty: everything held."""

    def add(self, other: Result) -> None:
        """Count another one in."""
        for name in ("worlds", "steps", "messages", "cpu_s", "checks", "rounds", "sqlite"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.counts += other.counts
        self.deeds += other.deeds


def usual(seed: str, *, also: frozenset[str] = frozenset(), without: frozenset[str] = frozenset()) -> frozenset[str]:
    """The kinds that are in a world: what is in every one, what is drawn for it, and what somebody asked for."""
    chance = random.Random(f"{seed} kinds")
    drawn = {kind for kind in sorted(SOME) if chance.random() < SOME[kind]}
    return (ALWAYS | drawn | also) - without


def plan_of(
    seed: str,
    *,
    controls: tuple[str, ...] = (),
    switches: frozenset[str] | None = None,
    only: tuple[str, ...] = (),
    often: tuple[str, ...] = (),
) -> Plan:
    """The plan of one world.

    Args:
        seed: its.
        controls: safeties to take out.
        switches: the kinds that are in it; left out, what is `usual`.
        only: no other faults are in it than these.
        often: what people do ten times as often.
    """
    switches = usual(seed) if switches is None else switches
    operations = OPERATIONS | {
        name: each for switch in sorted(switches & ON_SWITCH.keys()) for name, each in ON_SWITCH[switch].items()
    }
    weights = {name: weight * (10 if name in often else 1) for name, (weight, _) in operations.items()}
    drawn = faults.drawn(switches | {faults.FAULTS[name].switch for name in only})
    return draw_plan(seed, weights, {name: drawn[name] for name in only or drawn}, controls=controls)


def run(plan: Plan, *, story: list[str] | None = None) -> Result:
    """Live through one world.

    Args:
        plan: its story.
        story: filled with every step in words.
    """
    result = Result(plan.seed, worlds=1, sqlite=int(plan.sqlite))
    began = time.process_time()
    with World(plan, story=story is not None) as world:
        try:
            world.run()
        except Broken as error:
            result.breach = str(error)
        except Exception as error:  # whatever nobody caught is a breach, too
            where = traceback.extract_tb(error.__traceback__)[-1]
            result.breach = f"{type(error).__name__} from {Path(where.filename).name}:{where.lineno}: {error}"
        finally:
            if story is not None and world.clockwork.story is not None:
                story.extend(world.clockwork.story)
    result.cpu_s = time.process_time() - began
    result.steps, result.messages, result.trace = world.clockwork.steps, world.network.messages, world.clockwork.trace
    result.checks, result.rounds = world.invariants.checks, world.rounds
    result.counts, result.deeds = world.counts, world.deeds
    return result


def kind_of(breach: str) -> str:
    """What did not hold, without who and where."""
    return re.sub(r"\b[A-Z][a-z]+-\d+\b,? ?|\[.*|\(.*|\d+", "", breach).strip()


Task = tuple[str, tuple[str, ...], frozenset[str]]
"""The seed of a world, controls, the kinds that are in it."""


def _run_seed(task: Task) -> Result:
    seed, controls, switches = task
    return run(plan_of(seed, controls=controls, switches=switches))


def run_many(
    seed: str,
    *,
    steps: int = 0,
    seconds: float = 0.0,
    workers: int = 1,
    controls: tuple[str, ...] = (),
    also: frozenset[str] = frozenset(),
    without: frozenset[str] = frozenset(),
) -> Iterator[Result]:
    """The worlds ``SEED.0``, ``SEED.1`` and so on, as they come to their ends.

    Args:
        seed: any text without a dot; with one it is that world alone.
        steps: go on until there were so many in all.
        seconds: or until so much time has gone by.
        workers: processes.
        controls: safeties to take out.
        also: kinds of faults and deeds that are in each of them.
        without: kinds that are in none.

    Raises:
        WorkerDied: a process ended without a word.
    """
    if "." in seed:
        yield _run_seed((seed, controls, usual(seed, also=also, without=without)))
        return
    until = time.monotonic() + seconds if seconds else float("inf")
    names = (f"{seed}.{number}" for number in itertools.count())
    tasks = ((name, controls, usual(name, also=also, without=without)) for name in names)
    done = 0
    with contextlib.ExitStack() as stack:
        results: Iterator[Result] = map(_run_seed, tasks)
        if workers > 1:
            results = stack.enter_context(contextlib.closing(_side_by_side(tasks, workers)))
        for result in results:
            yield result
            done += result.steps
            if (steps and done >= steps) or time.monotonic() >= until:
                return


class WorkerDied(Exception):
    """A process that lived through a world is gone."""

    def __init__(self, seed: str, exitcode: int | None) -> None:
        super().__init__(f"the process that lived through {seed} ended with {exitcode}")
        self.seed = seed


def _side_by_side(tasks: Iterator[Task], workers: int) -> Generator[Result, None, None]:
    """What comes of the tasks, as they are done. Each process is told its next one when it has said what came of the last.

    Raises:
        WorkerDied: a process ended without a word.
    """
    context = multiprocessing.get_context("spawn")
    busy: dict[connection.Connection, tuple[SpawnProcess, str]] = {}
    try:
        for task in itertools.islice(tasks, workers):
            mine, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            busy[mine] = process, task[0]
            mine.send(task)
        while True:
            for mine in cast("list[connection.Connection]", connection.wait(list(busy))):
                process, seed = busy[mine]
                try:
                    result: Result = mine.recv()
                    task = next(tasks)
                    mine.send(task)
                except (EOFError, OSError):
                    process.join(1)
                    raise WorkerDied(seed, process.exitcode) from None
                busy[mine] = process, task[0]
                yield result
    finally:
        for process, _ in busy.values():
            process.terminate()
            process.join()


def _work(mine: connection.Connection) -> None:
    with contextlib.suppress(EOFError):
        while True:
            mine.send(_run_seed(mine.recv()))
