"""``bide verify``: two people side by side, each typing what the other's screen says."""

from __future__ import annotations

import re
from typing import Any

import pytest
from client_cli.conftest import Person, end


def words_and_numbers(said: Any) -> str:
    return " ".join([*said["words"], *(str(count["entries"]) for count in said["counts"])])


@pytest.fixture(scope="module")
def settled(couple: tuple[Person, Person]) -> tuple[Person, Person]:
    """Both have written and synced."""
    sam, robin = couple
    sam.ok("thank", "--noticed", "You drove my mother home.")
    for person in (sam, robin, sam):
        person.ok("sync")
    return couple


def test_both_screens_side_by_side(settled: tuple[Person, Person]) -> None:
    """Each asks for the other's words, which are not its own; the numbers stand in one order on both."""
    sam, robin = settled
    here, there = sam.terminal("verify"), robin.terminal("verify")
    shown = []
    for screen, name in ((here, "Robin"), (there, "Sam")):
        screen.expect(rf"Say to {name}:  ([a-z ]+)\r\nLog entries:  ([^\r]+)\r\n")
        shown.append((screen.match[1], screen.match[2]))
        screen.expect(rf"The six words on {name}'s screen\?")
    (words_here, numbers_here), (words_there, numbers_there) = shown
    assert words_here != words_there
    assert re.findall(r"\d+", numbers_here) == re.findall(r"\d+", numbers_there)
    assert numbers_here.startswith("you ")
    assert numbers_there.startswith("Sam ")
    here.sendline("yes")
    here.expect("That is not six words")
    here.sendline(words_here)  # its own: copied from the wrong screen
    here.expect("Once more, letter by letter")
    here.sendline(words_there.upper().replace(" ", "-"))
    here.expect("You and Robin hold the same journal")
    there.sendline(words_here)
    there.expect("You and Sam hold the same journal")
    assert (end(here), end(there)) == (0, 0)


def test_wrong_words_lead_to_the_numbers(settled: tuple[Person, Person]) -> None:
    """Other numbers: who syncs first. The same ones: calm and plain, kept for doctor, and nothing is changed."""
    sam, _ = settled
    before = sam.json("digest")
    for more, code, words in ((1, 8, "Robin runs bide sync first"), (0, 6, "hold different histories")):
        mine, theirs = (count["entries"] for count in sam.json("verify")["counts"])
        screen = sam.terminal("verify")
        for _ in range(2):
            screen.expect(r"screen\?")
            screen.sendline("maple river harbor otter cedar plum")
        screen.expect("show for you")
        screen.sendline("what?")
        screen.expect("not a number")
        screen.sendline(str(mine))
        screen.expect("how many for Robin")
        screen.sendline(str(theirs + more))
        screen.expect(words)
        assert end(screen) == code
    assert "it was not the same (1×" in sam.run("doctor").out
    assert sam.json("digest") == before


def test_scripts(settled: tuple[Person, Person]) -> None:
    """One object with words, numbers and the outcome; the exit code says the same."""
    sam, robin = settled
    mine, theirs = sam.json("verify"), robin.json("verify", "--with", "Sam")
    assert (mine["schema"], mine["with"], mine["synced"], mine["matched"]) == ("bide.verify/1", "Robin", True, None)
    assert [count["you"] for count in mine["counts"]] == [True, False]
    assert mine["counts"][0]["entries"] == theirs["counts"][0]["entries"]
    matched = sam.json("verify", "--words", "-", stdin=words_and_numbers(theirs))
    assert matched["matched"] is True
    assert robin.json("verify", "--words", " ".join(mine["words"]))["matched"] is True
    wrong = sam.run("verify", "--json", "--words", " ".join(mine["words"]))
    assert (wrong.code, wrong.json["matched"], wrong.error["code"]) == (6, False, "verification_failed")
    ahead = sam.run("verify", "--json", "--words", " ".join(mine["words"]) + " 1 900")
    assert (ahead.code, ahead.json["matched"], ahead.error["code"]) == (8, None, "not_allowed")


@pytest.mark.parametrize("text", ["", "yes", "maple", "maple river harbor otter cedar plum 3"])
def test_what_is_not_six_words_is_refused(settled: tuple[Person, Person], text: str) -> None:
    """Before anything is synced or worked out."""
    result = settled[0].run("verify", "--words", text)
    assert result.code == 2
    assert "six words" in result.err
    assert result.out == ""


def test_it_works_without_a_relay(settled: tuple[Person, Person]) -> None:
    """It says that what is here is compared; what is written and not sent yet shows in the numbers."""
    sam, robin = settled
    url = sam.json("relay", "show")["relay"]
    for person in settled:
        person.ok("relay", "unset")
    said = robin.json("verify")
    result = sam.ok("verify", "--words", words_and_numbers(said))
    assert "compared as it is" in result.err
    assert "hold the same journal" in result.out
    sam.ok("thank", "--noticed", "The coffee.")
    ahead = sam.run("verify", "--words", words_and_numbers(said))
    assert ahead.code == 8
    assert "You run bide sync first, then Robin" in ahead.err
    for person in settled:
        person.ok("relay", "set", url)
    sam.ok("sync")
    robin.ok("sync")


def test_nobody_to_compare_with(sam: Person, nobody: Person) -> None:
    """Alone there is nothing to compare, and without a home nothing at all."""
    assert sam.run("verify").code == 3
    assert nobody.run("verify").code != 0
