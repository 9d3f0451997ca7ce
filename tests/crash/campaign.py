"""Cutting the power of a recording, again and again, and looking at what is found then."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bide.errors import BideError
from crash import tally
from crash.disk import Disk, Image, Op, put

CUTS = int(os.environ.get("CUTS", "400"))
"""Of each campaign on a VFS; make soak raises it."""
Check = Callable[[Path, list[object]], None]
"""Looks at a folder, given all that was acknowledged before the cut; AssertionError or BideError: something is lost."""


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder in memory where there is one: nothing here needs a real sync."""
    shm = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="bide-crash-", dir=shm if os.access(shm, os.W_OK) else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def cut_power(
    name: str,
    ops: Sequence[Op],
    check: Check,
    *,
    cuts: int,
    seed: int,
    start: Image | None = None,
    source: str,
    since: int = 0,
    upto: int | None = None,
) -> list[str]:
    """Cut the power at random places of a recording, and check what is found.

    Args:
        name: of the campaign.
        ops: the recording.
        check: looks at what is found.
        cuts: how many.
        seed: of the places and of what is lost.
        start: the files that were there before.
        source: the folder that was recorded.
        since: cut nowhere before this step.
        upto: cut nowhere after this one.

    Returns:
        What was lost, a sentence for each cut that lost something.
    """
    chance = random.Random(f"{seed} {name}")
    places = Counter(chance.choices(range(since, len(ops) if upto is None else upto), k=cuts))
    disk = Disk(start or {})
    lost: list[str] = []
    hit = 0
    begun = time.monotonic()
    with memory_folder() as folder:
        for number, op in enumerate(ops):
            disk.do(op)
            for _ in range(places[number]):
                hit += disk.uncertain
                found = folder / "found"
                put(disk.after_cut(chance), found, source=source, chance=chance)
                try:
                    check(found, disk.said)
                except (AssertionError, BideError) as error:
                    lost.append(f"SEED={seed}, {name}, step {number} of {len(ops)}: {error}")
                shutil.rmtree(found, ignore_errors=True)
    tally.note(name, tried=cuts, hit=hit, seconds=time.monotonic() - begun, seed=seed)
    return lost
