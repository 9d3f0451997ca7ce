"""How the demo names the programs: so that they can be called from the shell it was started in."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bide_cli.story import program


def test_a_program_that_is_not_on_the_path_is_named_by_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    beside = Path(sys.executable).with_name("bide")
    monkeypatch.setenv("PATH", str(beside.parent))
    assert program("bide") == "bide"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program("bide") == str(beside)
    (other := tmp_path / "bide").write_text("#!/bin/sh\n")
    other.chmod(0o700)
    assert program("bide") == str(beside)
