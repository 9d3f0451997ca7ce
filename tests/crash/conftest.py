"""What the campaigns share: a couple, a relay, and processes that start in milliseconds."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crash.campaign import memory_folder
from crash.forking import Forge, QuickHome, QuickRelay


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Elsewhere than on Linux the campaigns are left out, and say why."""
    if sys.platform == "linux":
        return
    reason = "the crash campaigns need Linux: its /proc, its limits, strace, and a disk that is recorded there"
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def ram() -> Iterator[Path]:
    """A folder in memory: what a process leaves when it is killed is the same there, and its syncs cost nothing."""
    with memory_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    """Starts processes."""
    forge = Forge()
    yield forge
    forge.close()


@pytest.fixture
def relay(ram: Path, forge: Forge) -> Iterator[QuickRelay]:
    """A running relay."""
    with QuickRelay(forge, ram / "relay", "--registration", "open") as relay:
        yield relay


@pytest.fixture
def new_couple(ram: Path, forge: Forge, relay: QuickRelay) -> Callable[[int], tuple[QuickHome, QuickHome]]:
    """Makes Sam and Robin, paired."""

    def make(number: int) -> tuple[QuickHome, QuickHome]:
        folder = ram / f"couple-{number}"
        folder.mkdir()
        sam, robin = QuickHome.make(folder / "sam", "Sam", forge), QuickHome.make(folder / "robin", "Robin", forge)
        sam.run("relay", "set", relay.url)
        waiting = sam.start("pair", "--json", "--words-verified")
        while not (line := waiting.first_line()):
            assert waiting.poll() is None, waiting.communicate()
        joined = robin.json("join", "--code", "-", "--words-verified", stdin=json.loads(line)["code"] + "\n")
        assert joined["paired"] is True
        assert waiting.wait() == 0, waiting.communicate()
        return sam, robin

    return make


@pytest.fixture
def couple(new_couple: Callable[[int], tuple[QuickHome, QuickHome]]) -> tuple[QuickHome, QuickHome]:
    """Sam and Robin, paired."""
    return new_couple(0)
