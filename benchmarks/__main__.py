"""``python -m benchmarks [NAME …]``: measure and print; see README.md."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import catch_up, commands, history, relay
from benchmarks.measuring import Report, machine, machine_line, show

NAMES = ("commands", "catch_up", "relay")


def _history_report(entries: int) -> Report:
    made = history.cached(entries)
    size = sum(file.stat().st_size for file in made.sam.glob("bide.db*")) / 2**20
    row = {"entries": entries, "seconds to make": made.seconds or None, "MiB of one home": size, "folder": str(made.folder)}
    return Report("history", "History: two homes, written and exchanged through the library (cached: -)", [row], [])


def main() -> int:
    """Run what the arguments name; everything by default."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"any of {', '.join(NAMES)}; or: history DIR")
    parser.add_argument("--rounds", type=int, help="how often each is measured")
    parser.add_argument("--entries", type=int, default=history.ENTRIES, help="size of the large history")
    parser.add_argument("--seconds", type=float, default=relay.SECONDS, help="length of each window of the relay's loads")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    given = parser.parse_args()
    if given.names[:1] == ["history"] and len(given.names) == 2:
        made = history.make(Path(given.names[1]).absolute(), given.entries)
        print(f"{given.entries:,} entries in {made.seconds:.1f} s. To play: BIDE_HOME={made.sam} bide timeline --limit 20")
        return 0
    unknown = set(given.names) - {*NAMES, "history"}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    facts = machine()
    print(machine_line(facts), flush=True)
    works: dict[str, Callable[[], Report]] = {
        "history": lambda: _history_report(given.entries),
        "commands": lambda: commands.measure(rounds=given.rounds or commands.ROUNDS, many=given.entries),
        "catch_up": lambda: catch_up.measure(rounds=given.rounds or catch_up.ROUNDS, entries=given.entries),
        "relay": lambda: relay.measure(rounds=given.rounds or relay.ROUNDS, seconds=given.seconds),
    }
    reports = []
    for name, work in works.items():
        if not given.names or name in given.names or (name == "history" and "relay" not in given.names):
            reports.append(work())
            print(show(reports[-1]), flush=True)
    if given.json:
        result = {"schema": "bide.benchmarks/1", "machine": facts, "reports": [report._asdict() for report in reports]}
        given.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
