"""Power goes on a device while it speaks with a relay, in what changes who belongs, what counts or where things are.

The command runs under strace, and what the relays do to their databases meanwhile is recorded too, with the time. So at each
cut of the device the relays hold what they held at that moment, and everything goes on from there: the command is said again,
both people sync, and the two come to the same. Every fourth cut takes the relays' power as well.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from seeds import SEED

from crash import tally
from crash.campaign import memory_folder
from crash.disk import Disk, Op, Said, put, read_image
from crash.forking import Forge, QuickHome, QuickRelay
from crash.recording import read_steps
from crash.test_killed_commands import bring_together_pair, phrases
from crash.test_power_homes import HOME_CUTS, HOME_CUTS_OF_TEST, assert_recorded, chance_of_depth
from crash.tracing import Traced, needs_strace, program, trace

pytestmark = needs_strace
CUTS = max(HOME_CUTS // 8, 1)
"""Of each command; make soak raises it."""
CONTROL_CUTS = 12
NOTED = ("--json", "--words-noted", "--no-input")


class Scene:
    """Sam, Robin and two relays, each in a folder of its own; put back to how they were, or to what a cut left."""

    def __init__(self, root: Path, forge: Forge) -> None:
        """Pair the two on the first relay; something is written, and synced."""
        self.root, self.forge = root, forge
        self.relays = [QuickRelay(forge, root / name, "--registration", "open") for name in ("relay", "other")]
        self.sam, self.robin, self.new = (
            _home(root / name / "home", who, forge) for name, who in (("sam", "Sam"), ("robin", "Robin"), ("new", "Sam"))
        )
        for home in (self.sam, self.robin):
            home.folder.parent.mkdir(parents=True)
            home.run("init", "--name", home.name, "--key-file", str(home.folder.with_suffix(".key")), "--no-input")
        with self.serving():
            self.sam.run("relay", "set", self.relays[0].url)
            waiting = self.sam.start("pair", "--json", "--words-verified")
            while not (line := waiting.first_line()):
                assert waiting.poll() is None, waiting.communicate()
            self.robin.json("join", "--code", "-", "--words-verified", stdin=json.loads(line)["code"] + "\n")
            assert waiting.wait() == 0, waiting.communicate()
            self.shared = self.sam.write("shared")
            self.private = self.sam.write_privately("private")
            bring_together_shared(self)
        self._begun = read_image(root)
        self.words = ""
        """Of the recovery phrase, if there is one."""

    def begin_anew(self) -> None:
        """As it was in the beginning."""
        self._lay_out(self._begun)
        self.words = ""

    def _lay_out(self, image: object, chance: random.Random | None = None) -> None:
        assert isinstance(image, dict)
        shutil.rmtree(self.root)
        for name in ("sam", "robin", "new", "relay", "other"):
            (self.root / name).mkdir(parents=True, mode=0o700)
        put(image, Path("/"), chance=chance)

    def serving(self) -> ExitStack:
        """Both relays, until it is left."""
        stack = ExitStack()
        for relay in self.relays:
            stack.enter_context(relay)
        return stack

    @property
    def url(self) -> str:
        """Of the relay that both are on in the beginning."""
        return self.relays[0].url

    @property
    def other_url(self) -> str:
        """Of the other one."""
        return self.relays[1].url

    def states(self, home: QuickHome) -> list[str]:
        """How it stands with what the two share."""
        return [space["state"] for space in home.json("status")["spaces"] if space["kind"] == "pair"]


def _home(folder: Path, name: str, forge: Forge) -> QuickHome:
    home = QuickHome.__new__(QuickHome)
    home.folder, home.name, home.forge = folder, name, forge
    return home


class Story(NamedTuple):
    """A command, and what is to hold after a power cut anywhere in it."""

    args: tuple[str, ...]
    check: Callable[[Scene, str], None]
    """Looks at the scene while the relays serve, given what the command had said."""
    prepare: Callable[[Scene], object] = lambda scene: None
    device: str = "sam"
    """Where the command runs."""


def after_moving(scene: Scene, said: str) -> None:
    """It is done by the next try, the other person follows, and nobody misses anything."""
    sam, robin = scene.sam, scene.robin
    assert not said or sam.json("status")["relay"] == scene.other_url, "the move that was told of is undone"
    written = {sam.write("in between"), robin.write("in between too"), scene.shared}
    assert written <= bring_together_shared(scene)
    if any(space["relay"] != scene.other_url for space in sam.json("status")["spaces"]):
        sam.run("relay", "move", scene.other_url)
    robin.run("sync")
    robin.run("relay", "follow", "--yes")
    bring_together_shared(scene)
    assert {space["relay"] for space in sam.json("status")["spaces"]} == {scene.other_url}


def after_leaving(scene: Scene, said: str) -> None:
    """What was told to have ended has, for both; what has not can be ended."""
    if said:
        assert scene.states(scene.sam) == ["ended"], "what was told to have ended goes on"
    if scene.states(scene.sam) != ["ended"]:
        scene.sam.run("leave", "--yes")
    scene.sam.run("sync")
    scene.robin.run("sync")
    assert scene.states(scene.robin) == ["ended"]
    assert scene.shared in scene.sam.ids() & scene.robin.ids()


def after_leaving_quietly(scene: Scene, said: str) -> None:
    """What was told to be left is, and the other person hears nothing, whatever happened."""
    if said:
        assert scene.states(scene.sam) == ["left"], "what was told to be left goes on"
    if scene.states(scene.sam) != ["left"]:
        scene.sam.run("leave", "--yes", "--quietly")
    scene.sam.run("sync")
    scene.robin.run("sync")
    assert scene.states(scene.robin) == ["active"]
    assert scene.shared in scene.sam.ids() & scene.robin.ids()


def after_erasing(scene: Scene, said: str) -> None:
    """What was told as erased is gone, and goes everywhere; what was not can be erased."""
    assert not (said and scene.shared in scene.sam.ids()), "what was told as erased is back"
    if scene.shared in scene.sam.ids():
        scene.sam.run("erase", scene.shared, "--yes")
    other = scene.sam.write("to stay")
    left = bring_together_shared(scene)
    assert scene.shared not in left
    assert other in left


def after_pausing(scene: Scene, said: str) -> None:
    """What was told to be paused is; what is written meanwhile goes once it has ended."""
    if said:
        assert scene.states(scene.sam) == ["paused"], "what was told to be paused goes on"
    if scene.states(scene.sam) != ["paused"]:
        scene.sam.run("pause")
    mine, theirs = scene.sam.write("meanwhile"), scene.robin.write("meanwhile too")
    for home in (scene.robin, scene.sam, scene.robin):
        home.run("sync")
    assert mine not in scene.robin.ids(), "something went while it was paused"
    scene.sam.run("pause", "--end")
    assert {mine, theirs, scene.shared} <= bring_together_shared(scene)


def after_resuming(scene: Scene, said: str) -> None:
    """The other way round."""
    if said:
        assert scene.states(scene.sam) == ["active"], "what was told to go on is paused"
    if scene.states(scene.sam) == ["paused"]:
        scene.sam.run("pause", "--end")
    mine, theirs = scene.sam.write("afterwards"), scene.robin.write("afterwards too")
    assert {mine, theirs, scene.shared} <= bring_together_shared(scene)


def after_making_phrase(scene: Scene, said: str) -> None:
    """Words that were told count; there is one phrase or none, and new words can be had. They bring everything back."""
    sam = scene.sam
    if said:
        words = " ".join(json.loads(said)["words"])
        assert sam.json("recovery", "check", "--words", "-", stdin=words)["right"] is True
    count = phrases(sam)
    assert count <= 1
    if count and not said:
        assert sam.json("recovery")["given"] is False, "nobody has the words, and nothing says so"
    sam.run("sync")
    words = " ".join(sam.json("recovery", "rotate" if count else "create", *NOTED)["words"])
    assert phrases(sam) == 1
    assert_words_bring_it_back(scene, words)


def after_coming_back(scene: Scene, said: str) -> None:
    """What was told to be back is; if not, the same words bring it. Nothing stays of a first try."""
    if said:
        assert (scene.new.folder / "bide.db").exists(), "what was told to be back is gone"
    assert_words_bring_it_back(scene, scene.words)


def assert_words_bring_it_back(scene: Scene, words: str) -> None:
    new, robin = scene.new, scene.robin
    if not (new.folder / "bide.db").exists():
        new.run(*use(scene), stdin=words)
    new.run("sync")
    assert {scene.shared, scene.private} <= new.ids()
    assert not list(new.folder.glob(".init-*"))
    robin.run("sync")
    for home in (new, robin):
        active = [d for d in home.json("device")["devices"] if d["state"] == "active" and not d["recovery"]]
        assert len(active) == 2, "a device counts that nobody holds"
    assert bring_together_pair(new, robin)
    assert "removed" in scene.sam.call("sync")[2]
    new.assert_sound()


def use(scene: Scene) -> tuple[str, ...]:
    key = str(scene.new.folder.with_suffix(".key"))
    return ("recovery", "use", "--words", "-", "--relay", scene.url, "--name", "new", "--key-file", key, "--no-input", "--json")


def note_words(scene: Scene) -> None:
    scene.words = " ".join(scene.sam.json("recovery", "create", "--words-noted", "--no-input")["words"])
    scene.sam.run("sync")


def bring_together_shared(scene: Scene) -> set[str]:
    """Sync until both have the same of what they share; the ids of it."""
    for home in (scene.sam, scene.robin, scene.sam, scene.robin):
        home.run("sync")
    private = {scene.private}
    assert scene.sam.ids() - private == scene.robin.ids()
    return scene.robin.ids()


STORIES = {
    "leave": Story(("leave", "--yes", "--json"), after_leaving),
    "relay move": Story(("relay", "move", "{other}", "--json"), after_moving),
    "recovery use": Story((), after_coming_back, note_words, "new"),
}
SELDOM = {
    "erase": Story(("erase", "{shared}", "--yes", "--json"), after_erasing),
    "pause": Story(("pause", "--json"), after_pausing),
    "leave quietly": Story(("leave", "--yes", "--quietly", "--json"), after_leaving_quietly),
    "pause --end": Story(("pause", "--end", "--json"), after_resuming, lambda scene: scene.sam.run("pause")),
    "recovery create": Story(("recovery", "create", *NOTED), after_making_phrase),
}
"""In make soak."""
ALL = STORIES | SELDOM
SOAKING = HOME_CUTS > HOME_CUTS_OF_TEST


class Recorded(NamedTuple):
    """What a command did to its device, and the relays to their databases meanwhile."""

    traced: Traced
    start: dict[str, bytes]
    relays: list[list[tuple[float, Op]]]


def record(scene: Scene, story: Story, files: Path, *, switch: str) -> Recorded:
    """Run a command once."""
    with scene.serving():
        story.prepare(scene)
    start = read_image(scene.root)
    where = scene.root / story.device
    args = use(scene) if story.device == "new" else story.args
    home = scene.new if story.device == "new" else scene.sam
    named = [arg.replace("{other}", scene.other_url).replace("{shared}", scene.shared) for arg in args]
    into = [files / relay.data.name for relay in scene.relays]
    for relay, path in zip(scene.relays, into, strict=True):
        path.unlink(missing_ok=True)
        relay.switch = f"record:{relay.data}:{path}"
    try:
        with scene.serving():
            started = of_folder(start, where)
            command = program("bide", *named, switch=switch)
            traced = trace(command, env=home.environment, root=where, start=started, stdin=scene.words, timed=True)
            ended = time.time()
            assert traced.code == 0, traced.err
            assert_recorded(traced, started, where)
    finally:
        for relay in scene.relays:
            relay.switch = ""
    relays = [read_steps(path) for path in into]
    for relay, steps in zip(scene.relays, relays, strict=True):
        disk = Disk(of_folder(start, relay.data))
        for _, op in steps:
            disk.do(op)
        assert disk.after_kill() == read_image(relay.data), "something that the relay did was missed"
    return Recorded(traced, start, [[step for step in steps if step[0] <= ended] for steps in relays])


def of_folder(image: dict[str, bytes], folder: Path) -> dict[str, bytes]:
    """What of an image is below a folder."""
    return {path: content for path, content in image.items() if path.startswith(f"{folder}{os.sep}")}


def cut_story(name: str, scene: Scene, story: Story, files: Path, *, cuts: int, switch: str = "none") -> list[str]:
    """Run a command once, and cut the power of it again and again; what was lost.

    Where a safety was taken out it is cut at the end only, until something is lost.
    """
    scene.begin_anew()
    recorded = record(scene, story, files, switch=switch)
    ops, times = recorded.traced.ops, recorded.traced.times
    where = scene.root / story.device
    chance = random.Random(f"{SEED} {name}")
    at_end = cuts if switch != "none" else cuts // 4
    places = sorted(chance.choices(range(len(ops)), k=cuts - at_end) + [len(ops) - 1] * at_end)
    device = Disk(of_folder(recorded.start, where))
    relays = [Disk(of_folder(recorded.start, relay.data)) for relay in scene.relays]
    elsewhere = {
        path: content
        for path, content in recorded.start.items()
        if not any(path.startswith(f"{each}{os.sep}") for each in (where, *(relay.data for relay in scene.relays)))
    }
    ahead = [iter(steps) for steps in recorded.relays]
    waiting = [next(steps, None) for steps in ahead]
    lost, hit, did = [], 0, 0
    begun = time.monotonic()
    for number, place in enumerate(places):
        while did <= place:
            device.do(ops[did])
            did += 1
        until = moment(chance, times, place)
        for at, disk in enumerate(relays):
            while (step := waiting[at]) is not None and step[0] <= until:
                disk.do(step[1])
                waiting[at] = next(ahead[at], None)
        hit += device.uncertain
        found = dict(elsewhere) | device.after_cut(chance)
        for disk in relays:
            found |= disk.after_cut(chance) if number % 4 == 3 else disk.after_kill()
        said = "".join(str(op.what) for op in ops[:did] if isinstance(op, Said))
        try:
            look_at(scene, story, found, chance, said)
        except AssertionError as error:
            lost.append(f"SEED={SEED}, {name}, step {place} of {len(ops)}, told {bool(said)}: {error}")
            if switch != "none":
                break
    tally.note(f"power, with a relay: {name}", tried=cuts, hit=hit, seconds=time.monotonic() - begun, seed=SEED)
    return lost


def moment(chance: random.Random, times: Sequence[float], place: int) -> float:
    """When the power goes: after this step, and before the next one of the device."""
    if place + 1 == len(times):
        return float("inf")
    # A time that is told is that at which a step began. The relays go on until the next one does.
    return chance.uniform(times[place], max(times[place], times[place + 1]))


def look_at(scene: Scene, story: Story, found: dict[str, bytes], chance: random.Random, said: str) -> None:
    """Start everything from what there is after a cut, and see whether it goes on."""
    scene._lay_out(found, chance)
    with scene.serving():
        story.check(scene, said if said.endswith("}\n") else "")
        if chance_of_depth():
            for home in (scene.sam, scene.robin):
                home.assert_sound()


@pytest.fixture(scope="module")
def scene(forge: Forge) -> Iterator[Scene]:
    """The two and their relays, in memory."""
    with memory_folder() as folder:
        yield Scene(folder / "root", forge)


@pytest.mark.parametrize("name", ALL if SOAKING else STORIES)
def test_nothing_is_lost_or_stuck_when_the_power_goes_while_it_speaks_with_a_relay(
    name: str, scene: Scene, tmp_path: Path
) -> None:
    """What was told is done, what was not can be said again, and both people come to the same."""
    lost = cut_story(name, scene, ALL[name], tmp_path, cuts=CUTS)
    assert not lost, "\n".join(lost[:10])


@pytest.mark.parametrize("name", ["leave quietly", "leave", "erase", "pause"][: 4 if SOAKING else 1])
def test_without_syncs_it_is_seen_to_lose_what_was_told(name: str, scene: Scene, tmp_path: Path) -> None:
    """The control: with synchronous=OFF the campaign fails."""
    assert cut_story(f"control: {name}", scene, ALL[name], tmp_path, cuts=CONTROL_CUTS, switch="unsynced")
