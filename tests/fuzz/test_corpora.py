"""What fuzzing began from and what it found: every reader takes it or answers with its declared error."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fuzz import targets

CORPUS = Path(__file__).with_name("corpus")


@pytest.mark.parametrize("name", targets.TARGETS)
def test_the_corpus_of_every_target_is_read(name: str) -> None:
    """A result or a declared error, in bounded time; and there is a corpus."""
    files = sorted((CORPUS / name).iterdir())
    assert files
    for file in files:
        begun = time.monotonic()
        targets.run(name, file.read_bytes())
        assert time.monotonic() - begun < targets.RUN_S_MAX, file.name


@pytest.mark.parametrize("name", targets.TARGETS)
def test_every_prefix_of_the_smallest_seed_is_read(name: str) -> None:
    """Cut off anywhere, or with a byte flipped: a result or a declared error."""
    data = min((file.read_bytes() for file in (CORPUS / name).iterdir()), key=len)
    for at in range(0, len(data), 1 + len(data) // 200):
        targets.run(name, data[:at])
        targets.run(name, data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
