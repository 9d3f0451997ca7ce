"""Sitting together: a timer that can be left, that keeps nothing, and that gives the terminal back as it was."""

from __future__ import annotations

import signal
import termios
from pathlib import Path
from typing import Any

import pytest

from bide_cli.prompting.sitting import DOTS, Sitting, describe

SHOW = "\x1b[?25h"


def end(child: Any) -> int:
    import pexpect

    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus if child.exitstatus is not None else -child.signalstatus)


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file beneath a folder, with its size and when it was changed."""
    found = [path for path in folder.rglob("*") if path.exists()]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in found}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("talk", "--minutes", "0.01"), ("doesn't interrupt", "Half of the time", "That is the time")),
        (("gaze", "--minutes", "0.01"), ("say nothing", "Half of it", "That is it")),
        (("breathe", "--breaths", "1", "--pace", "1"), ("feet on the floor", "Halfway", "breathe as you like")),
    ],
)
def test_plain_words_come_at_the_beginning_the_middle_and_the_end(nobody: Any, args: Any, words: Any) -> None:
    """Without a home and without a terminal: a few lines in their order, no escapes, and nothing made."""
    result = nobody.ok("sit", *args)
    places = [result.out.index(each) for each in words]
    assert places == sorted(places)
    assert "\x1b" not in result.out
    assert "\a" not in result.out
    assert not nobody.home.exists()


def test_the_bell_rings_only_if_asked_for(nobody: Any) -> None:
    """One soft sign at the end."""
    result = nobody.ok("sit", "gaze", "--minutes", "0.01", "--bell")
    assert result.out.count("\a") == 1


def test_a_script_is_told_how_it_went(nobody: Any) -> None:
    """One object, and no other word on stdout."""
    result = nobody.ok("sit", "breathe", "--breaths", "1", "--pace", "1", "--json")
    assert result.json == {"schema": "bide.sit/1", "practice": "breathe", "seconds": 1.0, "whole": True}


@pytest.mark.parametrize(
    "args",
    [
        ("talk", "--minutes", "0"),
        ("talk", "--minutes", "181"),
        ("talk", "--minutes", "nan"),
        ("breathe", "--breaths", "0"),
        ("breathe", "--pace", "inf"),
        ("breathe", "--minutes", "3"),
        ("gaze", "--breaths", "3"),
        ("dance",),
        (),
    ],
)
def test_what_makes_no_sense_is_refused(nobody: Any, args: tuple[str, ...]) -> None:
    """A sentence and exit code 2, before any time passes."""
    result = nobody.run("sit", *args)
    assert result.code == 2
    assert result.err
    assert not result.out


def test_ctrl_c_without_a_terminal_is_no_failure(nobody: Any) -> None:
    """Whoever stops early gets a kind word and exit code 0."""
    process = nobody.start("sit", "talk", "--minutes", "5")
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "enough for now" in out
    assert err == ""


@pytest.mark.parametrize("key", ["\r", "q", "\x03", "\x04", "\x1b"])
def test_a_key_stops_early_and_the_terminal_is_as_before(nobody: Any, key: str) -> None:
    """The line breathes until a key is pressed; then the cursor is back and the keyboard echoes."""
    child = nobody.terminal("sit", "talk", "--minutes", "5")
    before = termios.tcgetattr(child.child_fd)
    child.expect("whenever you like")
    child.expect("about 5 minutes left")
    assert not termios.tcgetattr(child.child_fd)[3] & termios.ECHO
    child.send("x\x1b[A" if key == "q" else "x")  # other keys, arrows among them, do nothing
    child.expect("•")
    child.send(key)
    child.expect("enough for now")
    assert SHOW in child.before
    after = termios.tcgetattr(child.child_fd)
    assert after[3] == before[3]
    assert end(child) == 0


def test_the_breath_is_paced_and_the_cursor_hidden_meanwhile(nobody: Any) -> None:
    """In and out, one after the other, to the end."""
    child = nobody.terminal("sit", "breathe", "--breaths", "2", "--pace", "1")
    child.expect("\x1b\\[\\?25l")
    for words in ("breathe in +[ •]+ +1 of 2", "breathe out[ •]+ +1 of 2", "breathe in +[ •]+ +2 of 2"):
        child.expect(words)
    child.expect("\x1b\\[\\?25h")
    child.expect("breathe as you like")
    assert end(child) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_being_ended_from_outside_gives_the_cursor_back(nobody: Any, number: signal.Signals) -> None:
    """SIGTERM ends it at once, after everything is as it was."""
    child = nobody.terminal("sit", "gaze", "--minutes", "5")
    child.expect("minutes left")
    child.kill(number)
    child.expect("\x1b\\[\\?25h")
    assert end(child) == 128 + number
    assert "Traceback" not in child.before


def test_ctrl_z_gives_the_terminal_back_and_takes_it_again(nobody: Any) -> None:
    """Who stops the process for a while finds an ordinary terminal, and the line again afterwards."""
    child = nobody.terminal("sit", "gaze", "--minutes", "5")
    child.expect("minutes left")
    child.kill(signal.SIGTSTP)
    child.expect("\x1b\\[\\?25h")
    child.kill(signal.SIGCONT)
    child.expect("\x1b\\[\\?25l")
    child.expect("minutes left")
    child.send("q")
    child.expect("enough for now")
    assert end(child) == 0


def test_the_line_stays_one_line_when_the_window_is_resized(nobody: Any) -> None:
    """However narrow the window gets, the line is shorter than it."""
    child = nobody.terminal("sit", "talk", "--minutes", "5")
    child.expect("about 5 minutes left")
    child.setwinsize(20, 24)
    child.expect("\x1b\\[J  [ •]{12}  about 5\x1b\\[K\r")
    child.send("q")
    assert end(child) == 0


@pytest.mark.parametrize(("args", "env"), [(("--accessible",), {}), (("--plain",), {}), ((), {"TERM": "dumb"})])
def test_nothing_moves_for_who_does_not_want_it(nobody: Any, args: Any, env: Any) -> None:
    """Lines only; Enter stops here, too."""
    child = nobody.terminal("sit", "talk", "--minutes", "5", *args, **env)
    child.expect("whenever you like")
    child.sendline("")
    child.expect("enough for now")
    assert "\x1b" not in child.before
    assert "minutes left" not in child.before
    assert end(child) == 0


def test_a_home_stays_as_it_is(sam: Any) -> None:
    """Nothing is stored: no file is made or changed."""
    before = tree(sam.home)
    sam.ok("sit", "gaze", "--minutes", "0.01")
    assert tree(sam.home) == before


def test_the_words_are_said_in_the_language_of_the_person(nobody: Any) -> None:
    """The deck of this is whole in German, too."""
    from bide.words import deck

    parts = {f"{name}-{when}" for name in ("talk", "gaze", "breathe") for when in ("before", "half", "after")} | {"early"}
    for tag in ("en", "de"):
        assert {part.id for part in deck("sitting", tag).parts} == parts
        assert all(deck("sitting", tag).in_part(part) for part in parts)


def test_a_breath_fills_and_empties() -> None:
    """Full at the end of the way in, empty at the end of the way out, and never wider than it says."""
    sitting = Sitting(20.0, breaths=2)
    assert describe(sitting, 0.0).count("•") == 0
    assert describe(sitting, 3.99).count("•") == DOTS
    assert describe(sitting, 9.99).count("•") == 0
    assert describe(sitting, 10.1).endswith("2 of 2")
    assert describe(sitting, 20.5).endswith("2 of 2")
    assert describe(Sitting(61.0), 0.5).endswith("about 2 minutes left")
    assert describe(Sitting(61.0), 60.9).endswith("about 1 minute left")
    assert len({len(describe(sitting, at / 10)) for at in range(200)}) == 1
