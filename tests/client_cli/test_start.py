"""The first evening, and one small thing for this week: step by step, every step skippable, and nothing noted."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from bide_cli.cli import SUMMARIES
from bide_cli.prompting.proposing import ALONE, FAMILY, FRIEND, PARTNER, PRACTICES, Situation, propose

MONDAY = date(2026, 11, 23)
COUNTING = ("streak", "score", "every day", "brain", "proven", "studies", "research", "should", "must", "!")


def end(child: Any) -> int:
    import pexpect

    child.expect(pexpect.EOF)
    child.close()
    return int(child.exitstatus if child.exitstatus is not None else -child.signalstatus)


def tree(folder: Path) -> dict[str, int]:
    """Every file beneath a folder, with its size."""
    return {str(path): path.stat().st_size for path in folder.rglob("*")}


def test_without_a_journal_and_a_person_it_says_what_to_do(nobody: Any) -> None:
    """Three lines, the command, exit 0, and nothing made."""
    result = nobody.ok("start")
    assert result.out == "bide init\n"
    assert len(result.err.strip().splitlines()) == 3
    told = nobody.json("start")
    assert told["schema"] == "bide.start/1"
    assert (told["journal"], told["run"]) == (False, ["bide", "init"])
    assert not nobody.home.exists()


def test_not_now_makes_nothing(nobody: Any) -> None:
    """The first step can be skipped, too."""
    child = nobody.terminal("start")
    child.expect("two people keep together")
    child.expect("Choice")
    child.sendline("q")
    child.expect("Come back whenever you like")
    assert end(child) == 0
    assert not nobody.home.exists()


@pytest.mark.parametrize("args", [(), ("--accessible",)])
def test_the_first_evening_alone(nobody: Any, args: tuple[str, ...]) -> None:
    """Init in place, just for me for now, then one thing that fits somebody alone; it can be done at once."""
    child = nobody.terminal("start", *args)
    child.expect("Choice")
    child.sendline("1")
    child.expect("call you")
    child.sendline("Sam")
    for _ in range(2):
        child.expect("passphrase|Once more")
        child.sendline("a plain phrase")
    child.expect("journal is ready, Sam")
    child.expect("Who is the journal for")
    child.expect("Choice")
    child.sendline("alone")
    child.expect("You can share later")
    assert child.expect(["Passphrase:", "One thing for this week"]) == 1, "asked once more for what was just chosen"
    child.expect("Choice")
    child.sendline("leave")
    child.expect("Come back whenever you like")
    assert end(child) == 0
    assert (nobody.home / "bide.db").exists()


def test_pairing_needs_a_relay_and_can_wait(sam: Any) -> None:
    """A relay's address can be typed wrongly, and left out; the journal is as it was."""
    child = sam.terminal("start")
    child.expect("Choice")
    child.sendline("share")
    child.expect("Who is the journal for")
    child.expect("Choice")
    child.sendline("pair")
    child.expect("Its address")
    child.sendline("not an address")
    child.expect("Its address")
    child.sendline("")
    child.expect("Later, then")
    assert end(child) == 0
    assert sam.json("relay")["relay"] == ""


def test_what_is_proposed_can_be_done_in_place(couple: Any) -> None:
    """The command that is named runs, asks its own questions, and writes; new pairs get easy ones."""
    sam, _ = couple
    child = sam.terminal("start")
    child.expect("One thing for this week")
    seen: list[str] = []
    for _ in range(12):
        child.expect("do it now \\(bide ([a-z0-9 -]+)\\)")
        seen.append(child.match[1])
        if seen[-1] == "thank":
            break
        child.expect("Choice")
        child.sendline("another")
    child.expect("Choice")
    child.sendline("now")
    for question, said in (("notice", "You sang."), ("feel", ""), ("show", "")):
        child.expect(question)
        child.sendline(said)
    child.expect("Shared with Robin · th-")
    assert end(child) == 0
    assert [entry["fields"] for entry in sam.entries()] == [{"noticed": "You sang."}]
    easy = {" ".join(each.command) for each in PRACTICES if each.easy and PARTNER in each.fits}
    assert set(seen) <= easy


def test_a_sitting_can_be_done_in_place(sam: Any) -> None:
    """And left at once."""
    child = sam.terminal("start")
    for _ in range(12):
        child.expect("do it now \\(bide ([a-z0-9 -]+)\\)")
        if child.match[1] == "sit breathe":
            break
        child.expect("Choice")
        child.sendline("n")
    child.expect("Choice")
    child.sendline("y")
    child.expect("breathe in")
    child.send("q")
    child.expect("enough for now")
    assert end(child) == 0


def test_the_same_week_proposes_the_same(sam: Any) -> None:
    """And asking changes nothing in the home."""
    before = tree(sam.home)
    told = [sam.json("start") for _ in range(3)]
    assert told[0] == told[1] == told[2]
    assert told[0]["run"][0] == "bide"
    assert told[0]["run"][1] in SUMMARIES
    assert tree(sam.home) == before
    assert sam.ok("start").out.splitlines() == [told[0]["words"], " ".join(told[0]["run"])]


def test_a_home_that_is_locked_says_so(sam: Any, tmp_path: Path) -> None:
    """Exit 7, as everywhere."""
    sam.env["BIDE_KEY_FILE"] = str(tmp_path / "none")
    assert sam.run("start").code == 7


def test_two_people_get_what_fits_two(couple: Any) -> None:
    """By what they are to each other; all of it runs with the name they gave."""
    sam, _ = couple
    told = sam.json("start", "--with", "Robin")
    found = next(each for each in PRACTICES if list(each.command) == told["run"][1 : 1 + len(each.command)])
    assert PARTNER in found.fits
    assert sam.run("start", "--with", "Kim").code == 4


def pair(fits: str, *, old: bool, space_id: bytes = b"s") -> Situation:
    return Situation(fits, "" if fits == ALONE else "Robin", space_id, new=not old)


@pytest.mark.parametrize("relation", [ALONE, PARTNER, FRIEND, FAMILY])
def test_another_one_goes_through_all_that_fit(relation: str) -> None:
    """Each fits, each comes, and new pairs get easier ones only."""
    known = frozenset(SUMMARIES)
    for old in (False, True):
        fitting = [each for each in PRACTICES if relation in each.fits and (each.easy or old) and each.command[0] in known]
        assert len(fitting) >= 3
        said = [propose(pair(relation, old=old), known, today=MONDAY, another=n) for n in range(len(fitting))]
        assert {tuple(each.command[1:]) for each in said} == {each.command for each in fitting}


def test_a_week_is_one_week_and_people_differ() -> None:
    """Monday to Sunday the same; over a year and over people it varies; also at a turn of the year."""
    two = pair(PARTNER, old=True)
    known = frozenset(SUMMARIES)
    week = {propose(two, known, today=MONDAY + timedelta(days=n)).words for n in range(7)}
    assert len(week) == 1
    assert len({propose(two, known, today=MONDAY + timedelta(weeks=n)).words for n in range(52)}) > 5
    turn = date(2026, 12, 28)
    assert len({propose(two, known, today=turn + timedelta(days=n)).words for n in range(7)}) == 1
    others = [pair(PARTNER, old=True, space_id=bytes([n])) for n in range(40)]
    assert len({propose(other, known, today=MONDAY).words for other in others}) > 5
    assert propose(two, known, today=date(1, 1, 1)).words


def test_what_is_proposed_is_plain_and_counts_nothing() -> None:
    """One line each, no claims, no counting, and every command is one that there is."""
    for practice in PRACTICES:
        assert practice.command[0] in SUMMARIES
        text = f"{practice.words} {practice.why}".casefold()
        assert not [word for word in COUNTING if word in text]
        assert "\n" not in text
        assert len(practice.why) < 90
