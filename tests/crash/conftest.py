"""What the campaigns share: a couple, a relay, and processes that start in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import Home, pair

from crash.campaign import memory_folder
from crash.forking import Forge, QuickHome, QuickRelay


@pytest.fixture
def ram() -> Iterator[Path]:
    """A folder in memory: what a process leaves when it is killed is the same there, and its syncs cost nothing."""
    with memory_folder() as folder:
        yield folder


@pytest.fixture
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
def couple(ram: Path, forge: Forge, relay: QuickRelay) -> tuple[QuickHome, QuickHome]:
    """Sam and Robin, paired."""
    sam, robin = Home(ram / "sam", "Sam"), Home(ram / "robin", "Robin")
    pair(sam, robin, relay.url)
    return QuickHome.of(sam, forge), QuickHome.of(robin, forge)
