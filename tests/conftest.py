"""What every test shares.

Hypothesis runs without deadlines, since a slow machine is no failure, and with the same examples each time: whether a change
passes is no matter of luck. `make soak` looks further, at random, and prints what replays a failure.

What is covered is counted in the tests of the covered packages alone, in a run of their own. To count takes as long again as to
run, and a line that a simulation happens to pass through is not one that something looks at.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("bide", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", settings.get_profile("bide"), derandomize=False, max_examples=5_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "bide"))

HERE = Path(__file__).parent
LONG = ("simulation", "network", "system", "docs")
"""Where single tests take many seconds."""
COUNTED = tuple(HERE / "core" / name for name in ("crypto", "log", "protocol", "test_vectors.py"))
"""The tests that `make test` counts by, of what they cover of bide.crypto, bide.log and bide.protocol."""

NOT_COUNTED = HERE / "core" / "log" / "test_membership_model.py"
"""Goes through every history of some length: far too many lines to count them all."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Tell those that are counted by."""
    if item.path != NOT_COUNTED and any(item.path.is_relative_to(place) for place in COUNTED):
        item.add_marker(pytest.mark.counted)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that at the end no worker waits for another's last test."""
    items.sort(key=lambda item: not any(item.path.is_relative_to(HERE / name) for name in LONG))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Show what the processes of a failed test logged: of one that ended the test itself sees only a cut connection."""
    report: Any = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and isinstance(folder, Path):
        for log in sorted(folder.rglob("*.log")):
            report.sections.append((f"{log.relative_to(folder)}", log.read_text(errors="replace")[-10_000:]))
    return report
