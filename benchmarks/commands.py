"""What a person waits for: whole ``bide`` processes, beside a Python that only imports sqlite3."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import history, words
from benchmarks.measuring import CACHE, MS, Report, Spread, show, verdict

ROUNDS = 15
GROWTH_BUDGET = 1.2
"""How much longer a command may take with a hundred times the history."""
_YARDSTICK = [sys.executable, "-c", "import sqlite3"]
_BIDE = str(Path(sys.executable).parent / "bide")
_TIMEOUT_S = 60


class Command(NamedTuple):
    """A command and how much longer than the yardstick it may take."""

    name: str
    arguments: tuple[str, ...]
    budget: float | None
    same_amount: bool = True
    """Whether it reads as much of a large history as of a small one. If not, its growth has no budget."""


COMMANDS = (
    Command("bide timeline --limit 20", ("timeline", "--limit", "20"), 2.5),
    Command("bide review --weeks 12", ("review", "--weeks", "12"), None, same_amount=False),
    Command("bide thank --noticed … --now", ("thank", "--noticed", "You carried the shopping up in the rain", "--now"), 4.0),
    Command("bide search RARE", ("search", words.RARE_WORD), None),
    Command("bide search COMMON --limit 20", ("search", words.COMMON_WORD, "--limit", "20"), None),
)


def measure(*, rounds: int = ROUNDS, many: int = history.ENTRIES, few: int = history.FEW) -> Report:
    """Run every command on both histories, yardstick in between, so that a busy moment hits all alike."""
    with tempfile.TemporaryDirectory(dir=_cache()) as folder:
        homes = {n: history.copy_home(history.cached(n).sam, Path(folder) / str(n) / "sam") for n in (many, few)}
        times: dict[tuple[str, int], list[float]] = {(c.name, n): [] for c in COMMANDS for n in homes}
        yardstick: list[float] = []
        for number in range(rounds + 1):
            for command in COMMANDS:
                base_s = _time(_YARDSTICK, {})
                taken = {n: _time([_BIDE, *command.arguments], _environment(home)) for n, home in homes.items()}
                if number:  # the first round only warms the caches
                    yardstick.append(base_s)
                    for n, seconds in taken.items():
                        times[command.name, n].append(seconds)
    return _report(times, Spread.of(yardstick), many=many, few=few, rounds=rounds)


def _cache() -> Path:
    CACHE.mkdir(exist_ok=True)
    return CACHE


def _environment(home: Path) -> dict[str, str]:
    return {"BIDE_HOME": str(home), "BIDE_KEY_FILE": str(history.key_file(home)), "BIDE_AUTO_SYNC": "0"}


def _time(command: list[str], environment: dict[str, str]) -> float:
    began_s = time.perf_counter()
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **environment},
        timeout=_TIMEOUT_S,
        check=False,
    )
    seconds = time.perf_counter() - began_s
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:3])} failed: {done.stderr.decode()[-500:]}")
    return seconds


def _report(times: dict[tuple[str, int], list[float]], base: Spread, *, many: int, few: int, rounds: int) -> Report:
    rows: list[dict[str, Any]] = [_row('python -c "import sqlite3"', None, base, base, None, None)]
    for command in COMMANDS:
        large, small = Spread.of(times[command.name, many]), Spread.of(times[command.name, few])
        rows.append(_row(command.name, many, large, base, command.budget, None))
        growth = large.median / small.median if command.same_amount else None
        rows.append(_row(command.name, few, small, base, None, growth))
    return Report(
        "commands",
        f"Commands: wall-clock milliseconds of whole processes, {rounds} rounds, interleaved",
        rows,
        [
            "ratio: median over the yardstick's median. growth: median with the large history over that with the small one.",
            f"Found by RARE: about {many // 1_500} entries of {many:,}, and of {few} perhaps none.",
        ],
    )


def _row(
    name: str, entries: int | None, spread: Spread, base: Spread, budget: float | None, growth: float | None
) -> dict[str, Any]:
    ratio = spread.median / base.median
    words_: list[str] = []
    if budget is not None:
        words_.append(f"≤ {budget:g}× {verdict(ratio, budget)}")
    if growth is not None:
        words_.append(f"≤ {GROWTH_BUDGET:g}× growth {verdict(growth, GROWTH_BUDGET)}")
    return {
        "command": name,
        "entries": entries,
        "median ms": spread.median * MS,
        "min ms": spread.least * MS,
        "p90 ms": spread.p90 * MS,
        "ratio": None if entries is None else ratio,
        "ratio of minima": None if entries is None else spread.least / base.least,
        "growth": growth,
        "budget": ", ".join(words_),
    }


if __name__ == "__main__":
    print(show(measure()))
