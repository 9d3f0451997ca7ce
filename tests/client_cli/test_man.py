"""The manual: a page a command, which the programs that show a manual can read."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bide_cli.cli import SUMMARIES

MANUAL = Path(__file__).parents[2] / "docs" / "man"
PAGES = sorted(MANUAL.glob("*.1"))


def test_every_command_has_a_page() -> None:
    """And there is none of a command that is gone."""
    assert {page.name for page in PAGES} == {"bide.1", *(f"bide-{name}.1" for name in SUMMARIES)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_set_without_a_warning(page: Path) -> None:
    """By groff, with every warning on."""
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed here")
    done = subprocess.run(
        ["groff", "-ww", "-man", "-Tutf8", "-P-cbou", str(page)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    name = page.stem.removeprefix("bide-")
    assert "NAME" in done.stdout
    assert "SYNOPSIS" in done.stdout
    text = " ".join(done.stdout.replace("\u2010", "-").split())
    if name != "bide":
        assert SUMMARIES[name].rstrip(".") in text
        assert "EXAMPLES" in text
        assert f"bide {name}" in text
    else:
        assert "EXIT STATUS" in text
        assert "BIDE_HOME" in text


def test_man_shows_a_page() -> None:
    """The page of the program, as a person would look at it."""
    if shutil.which("man") is None:
        pytest.skip("man is not installed here")
    done = subprocess.run(
        ["man", "--warnings", "-l", str(MANUAL / "bide-config.1")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "PAGER": "cat"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "bide config set KEY VALUE" in " ".join(done.stdout.split()).replace("[OPTIONS] ", "")


def test_a_page_names_no_place_of_one_machine() -> None:
    """Neither a home nor a folder of whoever built it."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert "/home/" not in text
        assert str(MANUAL.parent.parent) not in text
        assert text.isascii(), page.name
