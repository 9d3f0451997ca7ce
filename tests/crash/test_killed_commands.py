"""Commands that change what belongs, what counts or where things are, killed at any step: the next run finishes them.

At each step of `crash.dying`, and each time the same is asked: does the home open, is what was said as done still so, does the
same command finish it, and does the other person come to the same?
"""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from homes import KILLS, Home
from seeds import SEED

from crash.forking import Forge, QuickHome, QuickRelay
from crash.test_kills import Killing

TRIES = max(KILLS // 80, 1)
"""Of each command; make soak raises it."""
OF_ONE_COUPLE = 6
"""Then there is a new one: there is an end to how many devices somebody can have had."""
NewCouple = Callable[[int], tuple[QuickHome, QuickHome]]


def kill(home: QuickHome, step: int, *args: str, stdin: str | None = None) -> tuple[bool, str]:
    """Run a command that dies at a step. Whether it did, and what it had said."""
    process = home.dying(step).start(*args, stdin=stdin)
    process.wait()
    out, err = process.communicate()
    assert process.returncode in (-signal.SIGKILL, 0), err
    return process.returncode != 0, out


def steps(name: str, count: int) -> Iterator[int]:
    """Where to kill: each step before any comes twice."""
    chance = random.Random(f"{SEED} {name}")
    while True:
        yield from chance.sample(range(1, count + 1), count)


class Trying(Killing):
    """Tries a command again and again, with a couple for each few."""

    def __init__(self, name: str, new_couple: NewCouple, steps: int) -> None:
        """Prepare; `steps` is about how many the command has."""
        super().__init__(name, TRIES)
        self._new_couple = new_couple
        self._steps = steps

    def tries_with_couples(self, of_one: int = OF_ONE_COUPLE) -> Iterator[tuple[int, int, QuickHome, QuickHome]]:
        """Number, step, and the two."""
        for number, step in zip(range(self.tries), steps(self.name, self._steps), strict=False):
            if number % of_one == 0:
                couple = self._new_couple(number)
            print(f"SEED={SEED}, {self.name}, try {number}, step {step}")
            yield number, step, *couple


def bring_together(sam: Home, robin: Home) -> set[str]:
    """Sync until both have the same; the ids."""
    for home in (sam, robin, sam):
        home.run("sync")
    assert sam.ids() == robin.ids()
    return sam.ids()


def phrases(home: Home) -> int:
    """How many recovery phrases count."""
    return int(home.json("recovery")["phrases"])


NOTED = ("--words-noted", "--no-input")


def test_words_that_were_shown_count_wherever_making_or_changing_them_is_killed(new_couple: NewCouple) -> None:
    """There is one phrase or none, and the next command makes one that counts."""
    with Trying("recovery create, rotate and destroy", new_couple, 54) as killing:
        for number, step, sam, robin in killing.tries_with_couples():
            verb = ("create", "rotate", "destroy")[number % 3]
            before = phrases(sam)
            if (verb == "create") is bool(before):
                sam.run("recovery", "destroy", "--yes") if before else sam.json("recovery", "create", *NOTED)
            flags = ("--yes",) if verb == "destroy" else ("--json", *NOTED)
            killed, out = kill(sam, step, "recovery", verb, *flags)
            killing.hit += killed
            if verb != "destroy" and out.endswith("}\n"):
                words = " ".join(json.loads(out)["words"])
                assert sam.json("recovery", "check", "--words", "-", stdin=words)["right"] is True
            count = phrases(sam)
            assert count <= 1
            if verb == "create" and count and not out.endswith("}\n"):
                assert not sam.json("recovery")["given"], "nobody has the words, and nothing says so"
            assert count or verb != "rotate", "the old words count no more, and there are no new ones"
            again = "destroy" if verb == "destroy" else "rotate" if count else "create"
            if again != "destroy" or count:
                sam.run("recovery", again, *flags)
            assert phrases(sam) == (verb != "destroy")
            robin.run("sync")
            sam.assert_sound()


def test_a_journal_comes_back_wherever_bringing_it_back_is_killed(new_couple: NewCouple, ram: Path, forge: Forge) -> None:
    """With the same words again; nothing is left of the first try, neither here nor among the devices."""
    with Trying("recovery use", new_couple, 86) as killing:
        for number, step, sam, robin in killing.tries_with_couples(of_one=1):
            written = {sam.write("shared"), sam.write_privately("private")}
            words = " ".join(sam.json("recovery", "create", *NOTED)["words"])
            sam.run("sync")
            new = QuickHome.__new__(QuickHome)
            new.folder, new.name, new.forge = ram / f"back-{number}", "Sam", forge
            key = ("--key-file", str(new.folder.with_suffix(".key")), "--no-input")
            use = ("recovery", "use", "--words", "-", "--relay", sam.json("status")["relay"], "--name", "new", *key)
            killed, _ = kill(new, step, *use, stdin=words)
            killing.hit += killed
            if not (new.folder / "bide.db").exists():
                new.run(*use, stdin=words)
            new.run("sync")
            assert written == new.ids()
            assert not list(new.folder.glob(".init-*"))
            robin.run("sync")
            for home in (new, robin):
                active = [d for d in home.json("device")["devices"] if d["state"] == "active" and not d["recovery"]]
                assert len(active) == 2, "a device counts that nobody holds"
            assert bring_together_pair(new, robin)
            assert "removed" in sam.call("sync")[2]


def bring_together_pair(sam: Home, robin: Home) -> bool:
    """Whether what one writes reaches the other, both ways."""
    one, two = sam.write("from one"), robin.write("from the other")
    for home in (sam, robin, sam):
        home.run("sync")
    return {one, two} <= sam.ids() & robin.ids()


def test_what_was_erased_is_gone_wherever_erasing_is_killed(new_couple: NewCouple) -> None:
    """What was said to be erased is, here at once and there with the next sync; what was not can be."""
    with Trying("erase", new_couple, 20) as killing:
        for _number, step, sam, robin in killing.tries_with_couples():
            entry, other = sam.write("to go"), sam.write("to stay")
            robin.run("sync") if sam.run("sync") else None
            killed, out = kill(sam, step, "erase", entry, "--yes")
            killing.hit += killed
            here = entry in sam.ids()
            assert not (here and "Erased" in out), "what was said to be erased is there"
            if here:
                sam.run("erase", entry, "--yes")
            left = bring_together(sam, robin)
            assert entry not in left
            assert other in left
            sam.assert_sound()


def test_a_bundle_is_taken_in_whole_by_the_next_wherever_taking_it_in_is_killed(new_couple: NewCouple, ram: Path) -> None:
    """Nothing is missing then, and nothing comes twice."""
    with Trying("bundle import", new_couple, 15) as killing:
        for number, step, sam, robin in killing.tries_with_couples():
            written = {robin.write(f"{number} {each}") for each in range(3)}
            bundle = str(ram / f"bundle-{number}")
            killed, _ = kill(robin, step, "bundle", "export", bundle)
            killing.hit += killed
            robin.run("bundle", "export", bundle, "--force")
            assert [path.name for path in ram.glob(f"*bundle-{number}*")] == [f"bundle-{number}"], "a part of a file was left"
            killing.hit += kill(sam, step, "bundle", "import", bundle)[0]
            sam.run("bundle", "import", bundle)
            assert written <= sam.ids()
            sam.assert_sound()
            bring_together(sam, robin)
        killing.tries *= 2


def test_nobody_misses_anything_wherever_a_move_to_another_relay_is_killed(
    new_couple: NewCouple, ram: Path, forge: Forge, relay: QuickRelay
) -> None:
    """It is done by the next try, and the other person follows."""
    with QuickRelay(forge, ram / "other", "--registration", "open") as other, Trying("relay move", new_couple, 94) as killing:
        for number, step, sam, robin in killing.tries_with_couples():
            url = (other, relay)[number % OF_ONE_COUPLE % 2].url
            written = {sam.write("before"), robin.write("before too")}
            killed, _ = kill(sam, step, "relay", "move", url)
            killing.hit += killed
            written |= {sam.write("in between"), robin.write("in between too")}
            assert written <= bring_together(sam, robin)
            if any(space["relay"] != url for space in sam.json("status")["spaces"]) or sam.json("status")["relay"] != url:
                sam.run("relay", "move", url)
            robin.run("sync")
            robin.run("relay", "follow", "--yes")
            bring_together(sam, robin)
            assert {space["relay"] for space in sam.json("status")["spaces"]} == {url}
            sam.assert_sound()
            robin.run("relay", "set", url)


@pytest.mark.parametrize("quietly", [False, True])
def test_what_was_left_is_left_wherever_leaving_is_killed(new_couple: NewCouple, quietly: bool) -> None:
    """What was said to have ended has; what has not, can be left. Who left quietly sends nothing, whatever happened."""
    flags = ("--yes", "--quietly") if quietly else ("--yes",)
    state = "left" if quietly else "ended"
    with Trying("leave quietly" if quietly else "leave", new_couple, 3 if quietly else 20) as killing:
        for _number, step, sam, robin in killing.tries_with_couples(of_one=1):
            written = sam.write("before")
            sam.run("sync")
            killed, out = kill(sam, step, "leave", *flags)
            killing.hit += killed
            states = [space["state"] for space in sam.json("status")["spaces"] if space["kind"] == "pair"]
            assert states == [state] or not out.strip(), "what was said to have ended goes on"
            if states != [state]:
                sam.run("leave", *flags)
            sam.run("sync")
            robin.run("sync")
            theirs = [space["state"] for space in robin.json("status")["spaces"] if space["kind"] == "pair"]
            assert theirs == (["active"] if quietly else ["ended"])
            assert written in sam.ids() & robin.ids()
            sam.assert_sound()


def test_a_name_of_a_device_is_the_old_or_the_new_one(new_couple: NewCouple) -> None:
    """For both people."""
    with Trying("device rename", new_couple, 3) as killing:
        for number, step, sam, robin in killing.tries_with_couples():
            [before] = [d["name"] for d in sam.json("device")["devices"] if d["by"]["me"]]
            killed, _ = kill(sam, step, "device", "rename", before, f"name {number}")
            killing.hit += killed
            [now] = [d["name"] for d in sam.json("device")["devices"] if d["by"]["me"]]
            assert now in (before, f"name {number}")
            bring_together(sam, robin)
            assert now in [d["name"] for d in robin.json("device")["devices"]]
