"""A dishonest relay as a process in front of real homes: what it can't do, what is noticed, and what doctor says of it.

Each test ends with an honest relay, through which both come to the same; the next one goes on with what it left. The lies are
in `tests/dishonest.py`; in memory all of them are told, with the checks taken out too: tests/core/replica/test_lies.py.
"""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from dishonest import (
    Alters,
    CatchesUpEarly,
    DishonestRelay,
    FalselyStores,
    Forges,
    Injects,
    Lie,
    OnlyIn,
    Records,
    Repeats,
    RepeatsConnection,
    Shuffles,
    Withholds,
)
from homes import Home, pair

from bide.ids import SpaceId
from bide_relay.testing import RelayProcess

SLOW_S = 60
CREDULOUS = Path(__file__).parent / "credulous_bide.py"


class Town:
    """Sam and Robin, who paired over a relay that is honest so far."""

    def __init__(self, folder: Path, relay: DishonestRelay, process: RelayProcess) -> None:
        self.folder = folder
        self.relay = relay
        self.process = process
        self.sam, self.robin = Home(folder / "sam", "Sam"), Home(folder / "robin", "Robin")
        pair(self.sam, self.robin, relay.url)
        spaces = self.sam.json("status")["spaces"]
        self.space = SpaceId(bytes.fromhex(next(space["id"] for space in spaces if space["kind"] == "pair")))
        self.settle()
        self.logs = {home.name: self._log_of(home) for home in (self.sam, self.robin)}
        self.settle()

    @contextmanager
    def lying(self, lie: Callable[[], Lie]) -> Iterator[None]:
        self.relay.lie = lambda: OnlyIn(self.space, lie())
        yield
        self.relay.lie = Lie

    def _log_of(self, home: Home) -> bytes:
        """Which log somebody writes to: the one that grows when they do."""
        before = self.relay.archive.heads()
        home.write("to find the log")
        home.run("sync")
        (grown,) = [log for log, seq in self.relay.archive.heads().items() if seq > before.get(log, 0)]
        return grown

    def settle(self) -> None:
        """An honest relay: nobody is stuck, nothing is lost, and both hold and show the same."""
        for home in (self.sam, self.robin, self.sam):
            home.run("sync")
        assert self.sam.pending() == 0
        assert self.sam.pair_digest() == self.robin.pair_digest()

    def compare(self, home: Home, other: Home) -> tuple[int, Any]:
        """Exit code and what is said, with the words and numbers of the other screen."""
        said = other.json("verify")
        numbers = " ".join(str(count["entries"]) for count in said["counts"])
        code, out, err = home.call("verify", "--json", "--words", "-", stdin=f"{' '.join(said['words'])} {numbers}")
        return code, {**json.loads(out), "error": err}


def told(home: Home) -> str:
    _, out, _ = home.call("doctor", "--json")
    return "\n".join(finding["words"] for finding in json.loads(out)["findings"] if finding["level"] != "ok")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    with DishonestRelay("") as relay, honest(folder / "relay", relay) as process:
        relay.upstream = process.url
        yield Town(folder, relay, process)


def honest(store: Path, front: DishonestRelay) -> RelayProcess:
    """A real relay, to be dialled through the dishonest one in front of it."""
    return RelayProcess(store, "--registration", "open", "--host", front.url.partition("://")[2])


def test_what_is_withheld_is_found_face_to_face_and_mended_by_an_honest_relay(town: Town) -> None:
    """Nobody can know alone of what nothing refers to. Side by side the words don't fit, and the numbers say who lacks it."""
    log = town.logs["Robin"]
    here = town.relay.archive.heads()[log]
    withheld = town.robin.write("held back")
    town.robin.run("sync")
    with town.lying(lambda: Withholds({log: here})):
        town.sam.run("sync")
        code, said = town.compare(town.sam, town.robin)
    assert withheld not in town.sam.ids()
    assert (code, said["matched"]) == (8, None)
    assert "Robin has something that has not come here yet" in said["error"]
    with town.lying(CatchesUpEarly):
        code, _, err = town.sam.call("sync")
    assert code == 6
    assert "announced" in err
    words = told(town.sam)
    assert "announced log entries of the space with Robin and did not send them" in words
    # It can be shown to anybody who helps.
    assert town.space.hex() not in words
    assert town.relay.url.partition("://")[2] not in words
    town.settle()
    assert withheld in town.sam.ids()
    assert town.compare(town.robin, town.sam)[1]["matched"] is True


def copied(home: Home, folder: Path) -> Home:
    """The same home somewhere else: a copy, or a thief's."""
    shutil.copytree(home.folder, folder)
    twin = object.__new__(Home)
    twin.folder, twin.name = folder, home.name
    return twin


class Fork:
    """Robin's home was copied, and the relay showed Sam the copy's past and Robin the own one, until Sam's words reach Robin.

    All on copies: a fork is nothing that an honest relay can mend.
    """

    def __init__(self, town: Town, folder: Path) -> None:
        self.sam = copied(town.sam, folder / "sam")
        self.robin, twin = copied(town.robin, folder / "robin"), copied(town.robin, folder / "twin")
        self.said = ""
        self._town = town
        upstream, archive = town.relay.upstream, copy.deepcopy(town.relay.archive.datas)
        town.process.stop()
        for store in ("one", "other"):
            shutil.copytree(town.process.data, folder / store)
        town.process.start()
        with honest(folder / "one", town.relay) as one, honest(folder / "other", town.relay) as other:
            self.robin.write("one past")
            twin.write("another past")
            town.relay.upstream = one.url
            self.robin.run("sync")
            town.relay.upstream = other.url
            twin.run("sync")
            self.sam.run("sync")
            before = town.relay.archive.heads()[town.logs["Sam"]]
            self.sam.write("to whom I take for Robin")
            self.sam.run("sync")
            town.relay.upstream = one.url
            words_of_sam = town.relay.archive.log(town.logs["Sam"], after=before)
            with town.lying(lambda: Injects(words_of_sam)):
                self.passed_on()
        town.relay.upstream, town.relay.archive.datas = upstream, archive

    def passed_on(self) -> None:
        """Robin's next sync."""
        self.said = self.robin.call("sync")[2]


class CredulousFork(Fork):
    """Robin's program looks at the numbers of what is cited only."""

    def passed_on(self) -> None:
        command = [sys.executable, str(CREDULOUS), "sync"]
        run = subprocess.run(command, env=self.robin.environment, capture_output=True, text=True, timeout=SLOW_S, check=True)
        self.said = run.stderr


def doctor(home: Home) -> tuple[int, str]:
    code, out, _ = home.call("doctor")
    return code, out


def test_two_histories_are_found_out_by_what_the_other_cites(town: Town, tmp_path: Path) -> None:
    """Neither was told anything alone. The first words of Sam's that come through say which past Sam was shown."""
    fork = Fork(town, tmp_path)
    assert "Two devices were shown different histories" in fork.said
    code, words = doctor(fork.robin)
    assert code == 1
    assert "A device of Sam says that it was shown other log entries in the space with Sam than this one" in words
    # Face to face, without another sync: equally many, and not the same.
    for home in (fork.sam, fork.robin):
        home.run("relay", "unset")
    code, said = town.compare(fork.sam, fork.robin)
    assert code == 6, said
    assert said["matched"] is False
    assert "You and Robin hold different histories" in said["error"]
    assert "it was not the same" in told(fork.sam)


def test_a_client_that_reads_only_the_numbers_finds_nothing_out(town: Town, tmp_path: Path) -> None:
    """The control: a client whose check is taken out goes on as if nothing were."""
    fork = CredulousFork(town, tmp_path)
    assert "different histories" not in fork.said
    code, words = doctor(fork.robin)
    assert code == 0
    assert "other log entries" not in words


def test_an_older_state_and_an_empty_one_are_noticed_and_refilled(town: Town, tmp_path: Path) -> None:
    """The relay's folder is put back to before, then wiped. Nobody loses anything, and doctor knows of both."""
    town.process.stop()
    shutil.copytree(town.process.data, tmp_path / "before")
    town.process.start()
    town.sam.write("meanwhile")
    town.settle()
    town.process.stop()
    shutil.rmtree(town.process.data)
    shutil.copytree(tmp_path / "before", town.process.data)
    town.process.start()
    code, _, err = town.sam.call("sync")
    assert code == 0
    assert "The relay has lost something that it had" in err
    assert "lacked log entries of the space with Robin" in told(town.sam)
    town.settle()
    town.process.stop()
    shutil.rmtree(town.process.data)
    town.process.start()
    _, _, err = town.robin.call("sync")
    assert err.count("storage is new") == 1  # though both spaces were met by it
    assert "storage was new when the space with Sam was synced" in told(town.robin)
    town.settle()


def test_what_is_repeated_turned_around_altered_or_made_up_is_powerless(town: Town) -> None:
    """One after the other, each told once: nothing of it is taken over, each has its line in doctor, and then all is well."""
    log = town.logs["Robin"]
    texts = {town.robin.write(f"number {number}") for number in range(4)}
    town.robin.run("sync")
    record = Records()
    with town.lying(lambda: record):
        town.robin.run("sync")
    lies: list[tuple[Callable[[], Lie], int, str]] = [
        (lambda: Shuffles(3, within=True), 6, "left out something in the middle"),
        (lambda: Alters("body and hash"), 6, "did not sign, or that nobody may write"),
        (lambda: Alters("swapped"), 6, "did not sign, or that nobody may write"),
        (lambda: Forges("device.added", town.space, log), 6, "did not sign, or that nobody may write"),
        (lambda: Forges("into their log", town.space, log), 6, "did not sign, or that nobody may write"),
        (lambda: RepeatsConnection(record.frames), 1, "did not keep to the protocol"),
        (Repeats, 0, ""),
    ]
    for lie, expected, _ in lies:
        with town.lying(lie):
            code, _, err = town.sam.call("sync")
        assert code == expected, err
    explained = told(town.sam)
    assert all(words in explained for _, _, words in lies)
    assert texts <= town.sam.ids()
    devices = next(space for space in town.sam.json("status")["spaces"] if space["kind"] == "pair")["devices"]
    assert [device["by"]["name"] for device in devices] == ["Sam", "Robin"]
    town.settle()
    town.sam.assert_sound()


def test_a_receipt_for_what_it_threw_away_is_found_out(town: Town) -> None:
    """It says "on the relay" and has nothing: the next sync finds out, sends again, and says so."""
    with town.lying(FalselyStores):
        lost = town.sam.write("thrown away")
        town.sam.run("sync")
    town.robin.run("sync")
    assert lost not in town.robin.ids()
    town.sam.run("sync")
    assert "lacked log entries" in told(town.sam)
    town.settle()
    assert lost in town.robin.ids()
