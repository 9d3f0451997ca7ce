"""Power goes while `bide` works, and takes any unsynced part of any file with it: database, keys, config, mark, exports.

A real command runs under strace; every state that its disk may be in after a cut is put back in its place, and the next
command has to find its way. Kills are part of it: after one before any step, what was written so far is there, and no more.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from homes import Home
from seeds import SEED

from bide_relay.admin import check_spaces
from bide_relay.storage.sqlite import FILE_NAME, SqliteStorage
from bide_relay.testing import RelayProcess
from crash import tally
from crash.disk import Disk, Said, put, read_image
from crash.forking import Forge, QuickHome
from crash.tracing import CALLS, Parser, Traced, needs_strace, program, strace, trace

pytestmark = needs_strace
HOME_CUTS_OF_TEST = 8
HOME_CUTS = int(os.environ.get("HOME_CUTS", HOME_CUTS_OF_TEST))
"""Of each command; make soak raises it."""
CONTROL_CUTS = 30
CONTROL_ROUNDS = 10
"""A little that is written carelessly is lost by a few cuts only: so often it is tried, each time at other places."""
SPACES_OF_SAM = 2
"""Their own, and that with Robin."""


class Named(QuickHome):
    """A home that may not be there yet."""

    def __init__(self, folder: Path, forge: Forge) -> None:
        self.folder, self.name, self.forge = folder, "Sam", forge

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"BIDE_PASSPHRASE_FILE": str(passphrase_of(self))}


_looked = itertools.count()


def chance_of_depth() -> bool:
    """Every so many-eth time: it takes longer than all the rest."""
    return next(_looked) % 4 == 0


class Story(NamedTuple):
    """A command, and what is to hold after a power cut anywhere in it."""

    args: tuple[str, ...]
    check: Callable[[Named, bool, set[str]], None]
    """The home, whether the command had said that it is done, and the ids that were in the timeline before."""
    prepare: Callable[[Named], object] = lambda home: None


def assert_opens(home: Named, told: bool, before: set[str]) -> None:
    """All that was there is there, and it is sound."""
    assert before <= home.ids()
    if chance_of_depth():
        home.assert_sound()


def after_writing(home: Named, told: bool, before: set[str]) -> None:
    """What was told as written is there."""
    assert_opens(home, told, before)
    if told:
        assert len(home.ids()) > len(before), "what was told as written is gone"


def after_founding(home: Named, told: bool, before: set[str]) -> None:
    """The home is there whole, or not at all and can be made."""
    if not (home.folder / "bide.db").exists():
        assert not told, "the home that was told of is gone"
        home.run(*INIT(home), "--no-input")
    assert home.ids() == set()
    home.write_privately("afterwards")


def after_turning_key(home: Named, told: bool, before: set[str]) -> None:
    """It opens, and its key can be changed again."""
    assert before <= home.ids()
    home.run("key", "rotate", "--no-input")
    assert_opens(home, told, before)
    assert [path.name for path in key_of(home).parent.iterdir()] == ["key"], "a key was left behind"


def after_setting(home: Named, told: bool, before: set[str]) -> None:
    """The config is the old or the new one, whole."""
    text = (home.folder / "config.toml").read_text()
    assert text.startswith("# Bide's config")
    assert ("05:00" in text) or not told, "the choice that was told as made is gone"
    assert_opens(home, told, before)


def after_exporting(home: Named, told: bool, before: set[str]) -> None:
    """The export is there whole, or not at all."""
    path = exported(home)
    if path.exists():
        assert {entry["id"] for entry in json.loads(path.read_text())["entries"]} >= before
    else:
        assert not told, "the export that was told of is gone"


def after_reviewing(home: Named, told: bool, before: set[str]) -> None:
    """The page is there whole, or not at all."""
    path = exported(home)
    if path.exists():
        assert path.read_text().rstrip().endswith("</html>")
    else:
        assert not told, "the page that was told of is gone"


def after_importing(home: Named, told: bool, before: set[str]) -> None:
    """Importing again brings what is missing, and nothing twice."""
    assert_opens(home, told, before)
    if told:
        assert len(home.ids()) == len(before) + IMPORTED
    home.run("import", "jrnl", str(journal(home)))
    assert len(home.ids()) == len(before) + IMPORTED


def after_erasing(home: Named, told: bool, before: set[str]) -> None:
    """What was told as erased is gone, all else is there, and what was not can be erased."""
    first, rest = min(before), before - {min(before)}
    assert rest <= home.ids()
    assert not (told and first in home.ids()), "what was told as erased is back"
    if first in home.ids():
        home.run("erase", first, "--yes")
    assert home.ids() == rest
    assert_opens(home, told, rest)


def after_making_phrase(home: Named, told: bool, before: set[str]) -> None:
    """There is one phrase or none, and new words can be had."""
    count = int(home.json("recovery")["phrases"])
    assert count == 1 or (count == 0 and not told), "the words that were told count for nothing"
    home.run("recovery", "rotate" if count else "create", "--json", "--words-noted", "--no-input")
    assert home.json("recovery")["phrases"] == 1
    assert_opens(home, told, before)


def after_ending_phrase(home: Named, told: bool, before: set[str]) -> None:
    """It counts no more, or still does and can be ended."""
    if home.json("recovery")["phrases"]:
        assert not told, "the words that were told to count no more do"
        home.run("recovery", "destroy", "--yes")
    assert_opens(home, told, before)


def after_bundling(home: Named, told: bool, before: set[str]) -> None:
    """The bundle is there whole, or not at all."""
    if exported(home).exists():
        home.run("bundle", "import", str(exported(home)))
    else:
        assert not told, "the bundle that was told of is gone"


def write_passphrase(home: Home) -> None:
    """Where `Named.environment` says that it is."""
    passphrase_of(home).touch(0o600)
    passphrase_of(home).write_text("seven words that nobody says in one breath")


def go_under_passphrase(home: Home) -> None:
    write_passphrase(home)
    home.run(*TO_PASSPHRASE(str(passphrase_of(home))))


def passphrase_of(home: Home) -> Path:
    return home.folder.parent / "passphrase"


def key_of(home: Home) -> Path:
    return home.folder.parent / "keys" / "key"


def exported(home: Named) -> Path:
    return home.folder.parent / "exported"


def journal(home: Home) -> Path:
    return home.folder.parent / "journal.txt"


def INIT(home: Named) -> tuple[str, ...]:  # noqa: N802
    return ("init", "--name", "Sam", "--key-file", str(key_of(home)))


def TO_PASSPHRASE(file: str) -> tuple[str, ...]:  # noqa: N802
    return ("key", "change", "--passphrase", "--new-passphrase-file", file, "--no-input")


IMPORTED = 130


def write_journal(home: Home) -> None:
    days = (f"[2024-0{1 + n // 28}-{1 + n % 28:02d} 09:00:00 AM] Day {n}.\nWords of day {n}.\n" for n in range(IMPORTED))
    journal(home).write_text("\n".join(days))


THANK = ("thank", "--private", "--noticed", "You waited for me.")
STORIES = {
    "write": Story(THANK, after_writing),
    "key rotate": Story(("key", "rotate"), after_turning_key),
    "key change": Story(("key", "change", "--key-file", "{root}/keys/key2"), assert_opens),
    "config set": Story(("config", "set", "day_starts", "05:00"), after_setting),
    "export": Story(("export", "--format", "json", "--output", "{root}/exported"), after_exporting),
    "export over another": Story(
        ("export", "--format", "json", "--output", "{root}/exported", "--force"),
        after_exporting,
        lambda home: home.run("export", "--format", "json", "--output", str(exported(home))),
    ),
    "review": Story(("review", "--html", "{root}/exported"), after_reviewing),
    "import": Story(("import", "jrnl", "{root}/journal.txt"), after_importing, write_journal),
    "rebuild": Story(("rebuild",), assert_opens),
}
NOTED = ("--json", "--words-noted", "--no-input")
SELDOM = {
    "key change to a passphrase": Story(TO_PASSPHRASE("{root}/passphrase"), assert_opens, write_passphrase),
    "key rotate under a passphrase": Story(
        ("key", "rotate", "--no-input"),
        assert_opens,
        go_under_passphrase,
    ),
    "erase": Story(("erase", "{first}", "--yes"), after_erasing),
    "recovery create": Story(("recovery", "create", *NOTED), after_making_phrase),
    "recovery rotate": Story(
        ("recovery", "rotate", *NOTED), after_making_phrase, lambda home: home.run("recovery", "create", *NOTED)
    ),
    "recovery destroy": Story(
        ("recovery", "destroy", "--yes"), after_ending_phrase, lambda home: home.run("recovery", "create", *NOTED)
    ),
    "bundle export": Story(("bundle", "export", "{root}/exported"), after_bundling),
}
"""In make soak."""
if HOME_CUTS > HOME_CUTS_OF_TEST:
    STORIES |= SELDOM


@pytest.fixture
def home(ram: Path, forge: Forge) -> Named:
    """Sam's home, not made yet."""
    return Named(ram / "sam" / "home", forge)


def cut_command(
    name: str, home: Named, story: Story, *, cuts: int, switch: str = "none", root: Path | None = None
) -> list[str]:
    """Run a command once, and cut the power of it again and again; what was lost."""
    root = root or home.folder.parent
    before = home.ids() if (home.folder / "bide.db").exists() else set()
    start = read_image(root)
    args = [arg.replace("{root}", str(root)).replace("{first}", min(before, default="")) for arg in story.args]
    traced = trace(program("bide", *args, switch=switch), env=home.environment, root=root, start=start)
    assert traced.code == 0, traced.err
    assert_recorded(traced, start, root)
    return play(name, traced, start, root, lambda told: story.check(home, told, before), cuts)


def assert_recorded(traced: Traced, start: Mapping[str, bytes], root: Path) -> None:
    """The recording leads to what is on the disk now: nothing was missed."""
    disk = Disk(start)
    for op in traced.ops:
        disk.do(op)
    assert disk.after_kill() == read_image(root)


def play(
    name: str,
    traced: Traced,
    start: Mapping[str, bytes],
    root: Path,
    check: Callable[[bool], None],
    cuts: int,
    *,
    done: str = "",
) -> list[str]:
    """Put back every state in turn and check it; each fourth one is of a kill.

    `done` is a pattern of what it says once it is done; left out, whatever it says.
    """
    chance = random.Random(f"{SEED} {name}")
    places = sorted(chance.choices(range(len(traced.ops)), k=cuts - cuts // 4) + [len(traced.ops) - 1] * (cuts // 4))
    disk, lost, hit = Disk(start), [], 0
    begun, did = time.monotonic(), 0
    for number, place in enumerate(places):
        while did <= place:
            disk.do(traced.ops[did])
            did += 1
        hit += disk.uncertain
        said = (op.what for op in traced.ops[:did] if isinstance(op, Said))
        told = did == len(traced.ops) or any(re.search(done, str(words)) for words in said)
        image = disk.after_kill() if number % 4 == 0 else disk.after_cut(chance)
        shutil.rmtree(root, ignore_errors=True)
        put(image, Path("/"), chance=chance)
        try:
            check(told)
        except AssertionError as error:
            lost.append(f"SEED={SEED}, {name}, step {place} of {len(traced.ops)}, {number % 4 == 0}, {told}: {error}")
    tally.note(f"power, home: {name}", tried=cuts, hit=hit, seconds=time.monotonic() - begun, seed=SEED)
    return lost


def found(home: Named) -> None:
    """Make the home, and put something into it."""
    home.run(*INIT(home), "--no-input")
    for number in range(3):
        home.write_privately(f"number {number}")


@pytest.mark.parametrize("name", STORIES)
def test_a_home_finds_its_way_after_a_power_cut_in_any_command(name: str, home: Named) -> None:
    """What was there is there, what was told is done, and it goes on."""
    found(home)
    STORIES[name].prepare(home)
    lost = cut_command(name, home, STORIES[name], cuts=HOME_CUTS)
    assert not lost, "\n".join(lost[:10])


def test_a_home_is_there_whole_or_not_at_all_after_a_power_cut_while_it_is_made(home: Named) -> None:
    """Made again it works; and what was told as made is there, with its key."""
    story = Story((*INIT(home), "--no-input"), after_founding)
    lost = cut_command("init", home, story, cuts=HOME_CUTS, root=home.folder.parent)
    assert not lost, "\n".join(lost[:10])


@pytest.mark.parametrize("command", [("sync",), ("bundle", "import")][: 1 + (HOME_CUTS > HOME_CUTS_OF_TEST)])
def test_a_sync_that_loses_power_goes_on(couple: tuple[QuickHome, QuickHome], command: tuple[str, ...], tmp_path: Path) -> None:
    """While it takes in what the partner wrote, with the mark beside the database: the next one brings all of it."""
    sam, robin = couple
    written = {robin.write(f"number {number}") for number in range(5)}
    robin.run("sync")
    if "bundle" in command:
        robin.run("bundle", "export", str(tmp_path / "bundle"))
        command = (*command, str(tmp_path / "bundle"))

    def check(home: Named, told: bool, before: set[str]) -> None:
        if told:
            assert written <= home.ids(), "what had come is gone"
        home.run(*command)
        assert written <= home.ids()
        assert_opens(home, told, before)

    home = Named(sam.folder, sam.forge)
    lost = cut_command(" ".join(command[:2]), home, Story(command, check), cuts=HOME_CUTS, root=sam.folder)
    assert not lost, "\n".join(lost[:10])


def test_a_relay_that_was_just_made_is_there_after_a_power_cut(couple: tuple[QuickHome, QuickHome], tmp_path: Path) -> None:
    """From its first start: its folder, its database, its key, and everything that it acknowledged."""
    sam, _ = couple
    root = sam.folder.parent
    data, output = root / "new-relay", tmp_path / "trace"
    start = read_image(root)
    command = [*strace(output, "-e", f"trace={CALLS}"), *program("bide-relay")]
    with RelayProcess(data, "--registration", "open", program=command) as relay:
        sam.run("relay", "set", relay.url)
        sam.run("sync")
        assert sam.pending() == 0
        told = data.joinpath(FILE_NAME).stat().st_size
        assert told
        os.kill(next(int(line.split()[0]) for line in output.read_text().splitlines()), signal.SIGKILL)
        relay.wait()
    ops = Parser(str(root), start).read(output.read_text())
    chance = random.Random(f"{SEED} new relay")
    disk = Disk(start)
    for op in ops:
        disk.do(op)
    found = disk.after_kill()
    assert {path: found[path] for path in found if path.startswith(str(data)) and not path.endswith("-shm")} == {
        path: content for path, content in read_image(data).items() if not path.endswith("-shm")
    }
    identity = set()
    for _ in range(HOME_CUTS):
        shutil.rmtree(data, ignore_errors=True)
        put({p: c for p, c in disk.after_cut(chance).items() if p.startswith(str(data))}, Path("/"), chance=chance)
        storage = SqliteStorage(data, create=False)
        assert check_spaces(storage).spaces == len(list(storage.spaces())) == SPACES_OF_SAM
        identity.add(storage.identity())
        storage.close()
    assert len(identity) == 1


@pytest.mark.parametrize(("switch", "name"), [("key-in-place", "config set"), ("unsynced-folders", "config set")])
def test_keys_that_are_written_carelessly_are_seen_to_be_lost(switch: str, name: str, home: Named) -> None:
    """The control: written over what was there, or without a sync of the folder, the campaign fails."""
    found(home)
    rounds = (f"control: {switch}, {number}" for number in range(CONTROL_ROUNDS))
    assert any(cut_command(each, home, STORIES[name], cuts=CONTROL_CUTS, switch=switch) for each in rounds)
