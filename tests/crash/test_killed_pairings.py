"""Two who meet, two people or two devices of one, and one of them or both are killed at any step of it.

Whatever was agreed and is kept is finished at the next contact. What was not is begun again as the sentence says that either is
told, and leaves nothing behind: no device that is listed and that nobody holds, nobody twice among the people.
"""

from __future__ import annotations

import itertools
import json
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from homes import KILLS, Home
from seeds import SEED

from crash.forking import Forge, Forked, QuickHome, QuickRelay
from crash.test_kills import Killing

STEPS = range(2, 36)
"""About as many has either side of a pairing, the first without a code; who is to die later than that lives."""
MEETINGS = KILLS if KILLS > 1_000 else KILLS // 16
"""Of each kind; make soak raises it."""
OF_ONE_HOME = 12
"""Devices of a home, at most; then another one is filled."""
CONTROL_STEPS = {"device": range(7, 10), "person": range(10, 13)}
"""Around where it is lost, with the safety taken out."""
GIVES_UP_S = 1.0
"""How long who lives is let wait for who has died before there was a code."""


_looked = itertools.count()


class Dying(NamedTuple):
    """Who is killed, and at which step; 0: not."""

    inviting: int
    joining: int


def deaths(name: str, count: int) -> Iterator[Dying]:
    """One side, the other, or both; each step before any comes twice."""
    chance = random.Random(f"{SEED} {name}")
    steps: list[int] = []
    for number in range(count):
        steps = steps or chance.sample(STEPS, len(STEPS))
        step = steps.pop()
        yield (Dying(step, 0), Dying(0, step), Dying(step, chance.choice(STEPS)))[number % 3]


def meet(inviting: QuickHome, invite: str, joining: QuickHome, join: tuple[str, ...], dying: Dying) -> int:
    """Let two meet; how many of them were killed. Where nobody is to die, both have to come through."""
    one = inviting.dying(dying.inviting).start(*invite.split(), "--json", "--words-verified")
    while not (line := one.first_line()):
        assert one.poll() is None, one.communicate()
        time.sleep(0.001)
    code = json.loads(line)["code"] + "\n"
    two = joining.dying(dying.joining).start(*join, "--code", "-", "--words-verified", "--no-input", stdin=code)
    two.wait()
    ended = waited_for(one)
    said = (one.communicate(), two.communicate())
    if dying == (0, 0):
        assert (one.returncode, two.returncode) == (0, 0), said
    for process, (_out, err) in zip((one, two), said, strict=True):
        assert process.returncode in (-9, 0, 5, 8, 11) or not ended, err
        assert "Traceback" not in err, err
    return [one.returncode, two.returncode].count(-9)


def waited_for(process: Forked) -> bool:
    """Whether it ended by itself: who has shown a code to nobody waits for ten minutes."""
    until = time.monotonic() + GIVES_UP_S
    while process.poll() is None:
        if time.monotonic() > until:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return False
        time.sleep(0.002)
    return True


# A further device


class Devices:
    """Sam, who shares with Robin, and as many phones as there are tries."""

    def __init__(self, ram: Path, forge: Forge, relay: QuickRelay, number: int, *, switch: str = "") -> None:
        folder = ram / f"couple-{number}"
        folder.mkdir()
        self.folder, self.forge, self.switch = folder, forge, switch
        self.sam, robin = QuickHome.make(folder / "sam", "Sam", forge), QuickHome.make(folder / "robin", "Robin", forge)
        self.sam.run("relay", "set", relay.url)
        meet(self.sam, "pair", robin, ("join",), Dying(0, 0))
        self.written = {self.sam.write("shared"), self.sam.write_privately("private")}
        self.sam.run("sync")
        self.before = ["device 1"]

    def phone(self, number: int) -> QuickHome:
        """A device without a home yet."""
        phone = QuickHome.__new__(QuickHome)
        phone.folder, phone.name, phone.forge = self.folder / f"phone-{number}", "phone", self.forge
        phone.switch = self.switch
        return phone

    def add(self, number: int, dying: Dying) -> int:
        """Add it; how many were killed."""
        phone = self.phone(number)
        name = ("--name", f"phone {number}", "--key-file", str(phone.folder.with_suffix(".key")))
        return meet(self.sam, "device add", phone, ("device", "join", *name), dying)

    def let_in_and_die(self, number: int) -> None:
        """Kill the one that adds right after it let the other one in, before anybody heard of it."""
        step = 8
        while f"phone {number}" not in self.names():
            self.add(number, Dying(step, 0))
            step += 1

    def names(self) -> list[str]:
        """What those are called that count."""
        return [each["name"] for each in self.sam.json("device")["devices"] if each["by"]["me"] and each["state"] == "active"]

    def assert_finished(self, number: int) -> None:
        """After a kill: one more contact of both, and it is in whole, or not at all and can be added."""
        phone = self.phone(number)
        self.sam.run("sync")
        there = (phone.folder / "bide.db").exists()
        said = phone.call("sync")[2] if there else ""
        names = self.names()
        if f"phone {number}" not in names:
            assert not there or "bide device join" in said, f"it is not told how to begin again: {said!r}"
            self.add(number, Dying(0, 0))
            names = self.names()
        assert names == [*self.before, f"phone {number}"]
        self.before = names
        assert (phone.folder / "bide.db").exists(), "a device counts that nobody holds"
        assert {space["state"] for space in phone.json("status")["spaces"]} == {"active"}
        assert self.written <= phone.ids(), "a device that was let in lacks something"
        if next(_looked) % 4 == 0:
            for home in (self.sam, phone):
                assert_no_damage(home)


def assert_no_damage(home: Home) -> None:
    """The log is whole."""
    findings = home.json("doctor")["findings"]
    assert not [finding for finding in findings if finding["level"] == "damage"], findings


def test_a_device_whose_adding_is_killed_anywhere_is_in_or_can_be_added(ram: Path, forge: Forge, relay: QuickRelay) -> None:
    """The one that adds, the one that joins, or both."""
    with Killing("device add and join", MEETINGS) as killing:
        for number, dying in enumerate(deaths(killing.name, killing.tries)):
            if number % OF_ONE_HOME == 0:
                devices = Devices(ram, forge, relay, number)
            killing.hit += devices.add(number, dying) > 0
            try:
                devices.assert_finished(number)
            except AssertionError as error:
                raise AssertionError(f"SEED={SEED}, try {number}, {dying}: {error}") from error


def test_a_device_that_names_its_keys_too_early_is_seen_to_be_lost(ram: Path, forge: Forge, relay: QuickRelay) -> None:
    """The control: without a home that is kept first, a device is listed that nobody holds."""
    devices = Devices(ram, forge, relay, 0, switch="early-keys")

    def kill() -> None:
        for step in CONTROL_STEPS["device"]:
            devices.add(step, Dying(0, step))
            devices.assert_finished(step)

    with pytest.raises(AssertionError, match="nobody holds"):
        kill()


def test_one_that_was_let_in_just_before_a_kill_is_told_of_and_not_added_twice(
    ram: Path, forge: Forge, relay: QuickRelay
) -> None:
    """Who adds is told of it by the next code, and the other finds that it is in: of those from before it hears nothing."""
    devices = Devices(ram, forge, relay, 0)
    devices.add(1, Dying(0, 0))
    devices.sam.run("device", "revoke", "phone 1", "--yes")
    devices.let_in_and_die(2)
    phone = devices.phone(2)
    assert {space["state"] for space in phone.json("status")["spaces"]} == {"pending"}
    again = devices.sam.start("device", "add", "--words-verified")
    while not again.first_line():
        assert again.poll() is None, again.communicate()
    again.send_signal(signal.SIGKILL)
    assert "You have another device now: phone 2" in again.communicate()[1]
    code, out, err = phone.call("device", "join", "--name", "phone 2", "--words-verified", "--no-input")
    assert code == 0
    assert "had let this one in" in out
    assert "device" not in err
    assert devices.names() == ["device 1", "phone 2"]


# Two people


class Couple:
    """Two who have not met."""

    def __init__(self, ram: Path, forge: Forge, relay: QuickRelay, number: int) -> None:
        self.sam = QuickHome.make(ram / f"sam-{number}", "Sam", forge)
        self.robin = QuickHome.make(ram / f"robin-{number}", "Robin", forge)
        self.sam.run("relay", "set", relay.url)
        self.relay = relay

    def pair(self, dying: Dying) -> int:
        """Pair them; how many were killed."""
        return meet(self.sam, "pair", self.robin, ("join",), dying)

    def states(self) -> tuple[list[str], list[str]]:
        """Of all that either shares."""
        return tuple(  # type: ignore[return-value]
            [space["state"] for space in home.json("status")["spaces"] if space["kind"] == "pair"]
            for home in (self.sam, self.robin)
        )

    def assert_finished(self) -> None:
        """After a kill: one more contact of both, and they are paired, or not and can be."""
        self.sam.run("sync")
        said = self.robin.call("sync")[2]
        ours, theirs = self.states()
        if "active" not in ours:
            assert ours == []
            assert theirs in ([], ["pending"])
            assert not theirs or "bide pair" in said, f"it is not told how to begin again: {said!r}"
            self.pair(Dying(0, 0))
            ours, theirs = self.states()
        assert (ours, theirs) == (["active"], ["active"]), "one of them shares with nobody"
        assert self.robin.json("status")["relay"] == self.relay.url, "who joined has no relay for the rest"
        written = {self.robin.write("from Robin")}
        self.robin.run("sync")
        self.sam.run("sync")
        assert self.sam.ids() == written
        if next(_looked) % 4 == 0:
            for home in (self.sam, self.robin):
                assert_no_damage(home)


def test_a_pairing_that_is_killed_anywhere_is_done_or_can_be_begun_again(ram: Path, forge: Forge, relay: QuickRelay) -> None:
    """The one who invites, the one who joins, or both."""
    with Killing("pair and join", MEETINGS) as killing:
        for number, dying in enumerate(deaths(killing.name, killing.tries)):
            couple = Couple(ram, forge, relay, number)
            killing.hit += couple.pair(dying) > 0
            try:
                couple.assert_finished()
            except AssertionError as error:
                raise AssertionError(f"SEED={SEED}, try {number}, {dying}: {error}") from error


def test_one_who_joins_and_keeps_nothing_before_is_seen_to_be_lost(ram: Path, forge: Forge, relay: QuickRelay) -> None:
    """The control: the other one shares with somebody who knows nothing of it."""

    def kill() -> None:
        for step in CONTROL_STEPS["person"]:
            couple = Couple(ram, forge, relay, step)
            couple.robin.switch = "late-space"
            couple.pair(Dying(0, step))
            couple.assert_finished()

    with pytest.raises(AssertionError, match="shares with nobody"):
        kill()
