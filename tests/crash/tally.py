"""How many of each fault really hit. ``python -m crash.tally FILE`` prints the table of what ran with ``BIDE_TALLY=FILE``."""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from pathlib import Path

_FILE = "BIDE_TALLY"


def note(campaign: str, *, tried: int, hit: int, seconds: float, seed: int) -> None:
    """Say how a campaign went; also on stdout, which pytest shows with a failure and with ``-rA``.

    Args:
        campaign: its name.
        tried: how many faults were set off.
        hit: how many of these met something: a process that still ran, data that was not synced, a call that failed.
        seconds: what it took.
        seed: that replays it.
    """
    print(f"{campaign}: {hit} of {tried} hit, {tried / max(seconds, 1e-9):.0f} a second, SEED={seed}")
    if _FILE in os.environ:
        line = {"campaign": campaign, "tried": tried, "hit": hit, "seconds": seconds, "seed": seed}
        with Path(os.environ[_FILE]).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def table(text: str) -> str:
    """What was noted in a file, as a table."""
    rows: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0.0])
    seeds: dict[str, int] = {}
    for line in map(json.loads, text.splitlines()):
        row = rows[line["campaign"]]
        row[0] += line["tried"]
        row[1] += line["hit"]
        row[2] += line["seconds"]
        seeds[line["campaign"]] = line["seed"]
    lines = [f"{'campaign':<44} {'tried':>9} {'hit':>9} {'a second':>9}  seed"]
    for name, (tried, hit, seconds) in sorted(rows.items()):
        lines.append(f"{name:<44} {tried:>9.0f} {hit:>9.0f} {tried / max(seconds, 1e-9):>9.1f}  {seeds[name]}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1]).read_text(encoding="utf-8")))
