"""Whole systems: real homes, real commands, a real relay process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import Home, pair

from bide_relay.testing import RelayProcess


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayProcess]:
    with RelayProcess(tmp_path / "relay", "--registration", "open") as process:
        yield process


@pytest.fixture
def couple(tmp_path: Path, relay: RelayProcess) -> tuple[Home, Home]:
    """Sam and Robin, paired."""
    sam, robin = Home(tmp_path / "sam", "Sam"), Home(tmp_path / "robin", "Robin")
    pair(sam, robin, relay.url)
    return sam, robin
