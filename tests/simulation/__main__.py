"""``make simulate SEED=… STEPS=…``: runs worlds, and prints what happened in them and how to see again what broke."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from simulation import faults, files
from simulation.controls import SAFETIES
from simulation.operations import ON_SWITCH
from simulation.planning import Plan, read_plan
from simulation.running import USUAL, Result, WorkerDied, plan_of, run, run_many, usual
from simulation.shrinking import shrink


def damage(switches: frozenset[str]) -> tuple[str, ...]:
    """As what damage to files is counted, if there are any."""
    return files.FIRES if files.BUNDLES in switches else ()


STORIES = Path(__file__).parent / "regressions"


def main(arguments: list[str] | None = None) -> int:
    """Run; 1 if something broke."""
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seed", default="", help="any text; SEED.N is one world of it")
    parser.add_argument("--steps", type=int, default=200_000, help="in all; 0: no limit")
    parser.add_argument("--seconds", type=float, default=0, help="or until so much time has gone by")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--story", type=Path, help="replay a story file instead")
    parser.add_argument("--aloud", action="store_true", help="print every step of the one world")
    parser.add_argument("--shrink", type=Path, metavar="FILE", help="write a short story of the one world that breaks")
    parser.add_argument("--without", action="append", default=[], choices=sorted(SAFETIES), help="take a safety out")
    kinds = sorted(USUAL | ON_SWITCH.keys())
    parser.add_argument("--switch", action="append", default=[], choices=kinds, help="have a kind of faults or deeds in each")
    parser.add_argument("--no", action="append", default=[], choices=kinds, help="leave a kind of faults or deeds out")
    asked = parser.parse_args(arguments)
    controls, also, without = tuple(asked.without), frozenset(asked.switch), frozenset(asked.no)
    seed = asked.seed or str(time.time_ns() // 1_000_000)
    if asked.story or asked.aloud or asked.shrink:
        switches = usual(seed, also=also, without=without)
        plan = read_plan(asked.story) if asked.story else plan_of(seed, controls=controls, switches=switches)
        return _one(plan, aloud=asked.aloud, short=asked.shrink)
    print(f"seed {seed}, {asked.workers} workers", flush=True)
    total, broken = Result(seed), []
    began = time.monotonic()
    results = run_many(
        seed, steps=asked.steps, seconds=asked.seconds, workers=asked.workers, controls=controls, also=also, without=without
    )
    more = "".join(f" WITHOUT='{name}'" for name in controls) + _as_words(also, without)
    died = False
    try:
        for result in results:
            total.add(result)
            if result.breach:
                broken.append(result)
                print(f"BROKEN: {result.breach}\n  make simulate SEED={result.seed}{more}", flush=True)
    except KeyboardInterrupt:
        pass  # what came of it so far is told all the same
    except WorkerDied as error:
        died = True
        print(f"BROKEN: {error}\n  make simulate SEED={error.seed}{more}", flush=True)
    print(table(total, time.monotonic() - began))
    switches = (USUAL | also) - without
    missing = [name for name in (*faults.counted(switches), *damage(switches)) if not total.counts[name]]
    if missing and total.worlds > 1:
        print(f"never fired: {', '.join(missing)}")
    return 1 if broken or died else 0


def _as_words(also: frozenset[str], without: frozenset[str]) -> str:
    return "".join(f" {how}='{' '.join(sorted(kinds))}'" for how, kinds in (("NO", without), ("SWITCH", also)) if kinds)


def _one(plan: Plan, *, aloud: bool, short: Path | None) -> int:
    story: list[str] = []
    result = run(plan, story=story if aloud else None)
    print("\n".join(story), end="\n" if story else "")
    print(f"{result.steps} steps, trace {result.trace}: {result.breach or 'everything held'}")
    if short is not None and result.breach:
        plan = shrink(plan, told=lambda size, tries: print(f"  {size} stimuli after {tries} tries", flush=True))
        short.write_text(plan.as_json(), encoding="utf-8")
        print(f"{plan.size} stimuli in {short}")
    return 1 if result.breach else 0


def table(total: Result, elapsed_s: float) -> str:
    """What happened, for people."""
    rate = total.steps / total.cpu_s if total.cpu_s else 0
    lines = [
        f"{total.worlds} worlds ({total.sqlite} in SQLite), {total.steps:,} steps, {total.messages:,} messages, "
        f"{total.checks} times at rest ({total.rounds} rounds)",
        f"{rate:,.0f} steps/s of one core; {total.steps / elapsed_s if elapsed_s else 0:,.0f} steps/s in all",
        "faults that had an effect:",
        *(f"  {count:>8,}  {name}" for name, count in sorted(total.counts.items())),
        "what people did:",
        *(f"  {count:>8,}  {name}" for name, count in sorted(total.deeds.items())),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
