"""What every benchmark needs: tables, the line about the machine, and what the system says of a process."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

CACHE = Path(__file__).parent / ".cache"
MS = 1000.0
MIB = 1024 * 1024
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Report(NamedTuple):
    """What one benchmark found."""

    name: str
    title: str
    rows: list[dict[str, Any]]
    """Column title to value; every row has the same columns. None: it doesn't apply."""
    notes: list[str]


class Spread(NamedTuple):
    """Repeated measurements of one thing."""

    median: float
    least: float
    p90: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))])


def verdict(value: float, budget: float) -> str:
    """Whether a budget holds, in words."""
    return "holds" if value <= budget else "DOES NOT HOLD"


def show(report: Report) -> str:
    """A report as a plain aligned table."""
    lines = ["", report.title]
    if report.rows:
        titles = list(report.rows[0])
        cells = [titles] + [[_cell(row[title]) for title in titles] for row in report.rows]
        widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
        numeric = [any(isinstance(row[title], int | float) for row in report.rows) for title in titles]
        for row in cells:
            padded = (c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True))
            lines.append("  " + "  ".join(padded).rstrip())
    lines += [f"  {note}" for note in report.notes]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def machine() -> dict[str, Any]:
    """What the figures were measured on, and how busy it was."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {
        "cores": os.cpu_count(),
        "cpu": _cpu_name(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "load_1min_at_start": round(load, 2),
    }


def machine_line(facts: dict[str, Any]) -> str:
    """`machine` as one line."""
    return (
        f"{facts['cores']} cores ({facts['cpu']}), Python {facts['python']}, {facts['system']}, "
        f"load {facts['load_1min_at_start']} at the start"
    )


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


# Processes


def run_worker(module: str, *arguments: str, timeout_s: float = 600) -> str:
    """Run one of our modules as a process of its own and return its last line.

    Raises:
        RuntimeError: it failed.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, check=False, cwd=Path(__file__).parent.parent
    )
    if done.returncode != 0:
        raise RuntimeError(f"{module} {' '.join(arguments[:2])} failed:\n{done.stderr[-2000:]}")
    return done.stdout.strip().splitlines()[-1]


def cpu_s(pid: int) -> float:
    """Processor seconds of a process so far, all threads, user and system. Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def memory_bytes(pid: int | str = "self", *, peak: bool = False) -> int:
    """Resident memory of a process, now or at its peak. Linux.

    Not ``ru_maxrss``: across fork and exec that starts from the parent's memory, which may be larger than ours.
    """
    wanted = "VmHWM:" if peak else "VmRSS:"
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(wanted):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"the system doesn't say {wanted}")


def pin(pid: int, core: int) -> None:
    """Keep every thread of a process on one core, so that server and load generator don't take turns on both."""
    if not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2:
        return
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})
