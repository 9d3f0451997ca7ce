"""What tests of a replica share."""

from __future__ import annotations

import pytest
from replicas import new_couple

from bide.replica import Replica


@pytest.fixture
def couple() -> tuple[Replica, Replica]:
    """Sam and Robin, paired, with all of each other's; a module whose couple is another one has a fixture of its own."""
    return new_couple()
