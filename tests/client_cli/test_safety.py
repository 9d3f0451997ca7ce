"""The safety text: there at once, offline, without a journal, and without a trace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bide.words import deck
from bide_cli.cli import SUMMARIES

BIDE = str(Path(sys.executable).with_name("bide"))
STRACE = shutil.which("strace")


def end(child: Any) -> int:
    import pexpect

    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus if child.exitstatus is not None else -child.signalstatus)


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file beneath a folder, with its size and when it was changed."""
    found = [path for path in folder.rglob("*") if path.exists()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


def test_it_needs_no_home_and_leaves_none(nobody: Any, tmp_path: Path) -> None:
    """The whole text on stdout; the home and the folder of the person are as they were."""
    nobody.env |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "c"), "XDG_STATE_HOME": str(tmp_path / "s")}
    before = tree(tmp_path)
    result = nobody.ok("safety")
    assert tree(tmp_path) == before
    for item in deck("safety"):
        assert item.text in result.out
    assert result.err == ""


def test_a_home_stays_as_it_is(sam: Any) -> None:
    """No log, no note, not even a new time on a file; also where the config is damaged."""
    (sam.home / "config.toml").write_text("not [ toml")
    before = tree(sam.home)
    assert "Finding help" in sam.ok("safety").out
    assert tree(sam.home) == before


@pytest.mark.skipif(STRACE is None, reason="strace is not here")
def test_no_file_is_written_and_no_network_is_touched(sam: Any, tmp_path: Path) -> None:
    """What the system was asked for: no socket, and nothing opened for writing but the terminal's like."""
    assert STRACE is not None
    log = tmp_path / "calls"
    subprocess.run([BIDE, "safety"], env=sam.env, capture_output=True, check=True)  # compiles what was not compiled yet
    words = [STRACE, "-f", "-o", str(log), "-e", "trace=%network,openat,open,creat,mkdir,unlink,rename", BIDE, "safety"]
    done = subprocess.run(words, env=sam.env, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("strace may not trace here")
    calls = log.read_text().splitlines()
    assert any("safety.toml" in call for call in calls)
    assert not [call for call in calls if "socket(" in call or "connect(" in call]
    writing = [call for call in calls if any(flag in call for flag in ("O_WRONLY", "O_RDWR", "O_CREAT", "mkdir(", "rename("))]
    assert [call for call in writing if "/dev/" not in call] == []
    assert not [call for call in calls if "bide.db" in call]


def test_a_pager_is_never_asked(nobody: Any, tmp_path: Path) -> None:
    """A pager may keep a history, and is one more program that knows."""
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ntouch {tmp_path}/paged\n")
    pager.chmod(0o700)
    child = nobody.terminal("safety", PAGER=str(pager), BIDE_PAGER=str(pager))
    for _ in range(3):
        child.expect("Enter: go on")
        child.sendline("")
    child.expect("Enter: go on")
    child.sendline("")
    child.expect("Finding help")
    child.expect("leave it standing")
    child.sendline("")
    assert end(child) == 0
    assert not (tmp_path / "paged").exists()


def test_one_key_clears_the_screen_and_leaves(nobody: Any) -> None:
    """q leaves nothing on the screen, nor scrolled off it."""
    child = nobody.terminal("safety")
    child.expect("Enter: go on")
    child.sendline("q")
    child.expect("\x1b\\[H\x1b\\[2J\x1b\\[3J")
    assert end(child) == 0
    assert child.before == ""


@pytest.mark.parametrize("args", [("--accessible",), ("--plain",), ("--no-input",)])
def test_it_can_be_read_without_a_key(nobody: Any, args: tuple[str, ...]) -> None:
    """For a screen reader it comes in one piece."""
    child = nobody.terminal("safety", *args)
    child.expect("Finding help")
    assert end(child) == 0


def test_a_script_gets_the_parts(nobody: Any) -> None:
    """One object with everything."""
    told = nobody.json("safety")
    assert told["schema"] == "bide.safety/1"
    assert [part["heading"] for part in told["parts"]][-1] == "Finding help"
    assert sum(len(part["texts"]) for part in told["parts"]) == len(deck("safety"))


@pytest.mark.parametrize("language", ["en", "de"])
def test_it_names_only_commands_that_there_are(language: str) -> None:
    """Somebody in need must not be sent to a command that does not exist."""
    text = " ".join(item.text for item in deck("safety", language))
    words = text.replace(":", " ").replace(",", " ").replace(".", " ").split()
    named = [after for word, after in pairwise(words) if word == "bide"]
    assert named
    assert set(named) <= set(SUMMARIES)


@pytest.mark.parametrize(("language", "words"), [("en", ("don't pair", "history")), ("de", ("verbinde dich nicht", "Verlauf"))])
def test_it_says_what_it_has_to(language: str, words: tuple[str, ...]) -> None:
    """Not to pair where that is unsafe, and how to leave no trace in the shell."""
    text = " ".join(item.text for item in deck("safety", language))
    assert all(each in text for each in words)


def test_it_goes_with_a_closed_stdin_and_an_unreadable_home(nobody: Any, tmp_path: Path) -> None:
    """Whatever is wrong elsewhere, the text is there."""
    nobody.home.write_text("a file, no folder")
    assert "Finding help" in nobody.ok("safety").out
    assert os.path.isfile(nobody.home)  # noqa: PTH113
