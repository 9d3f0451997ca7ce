"""The transcripts in the tutorial and in the README are what happens: every block is played, by real processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from transcripts import PROMPT, Block, Kind, Names, Stage, Terminal, TranscriptError, blocks

from bide.crypto.wrapping import unwrap_with_passphrase
from bide.words import deck

ROOT = Path(__file__).parents[2]
TUTORIAL, README = ROOT / "docs/tutorial.md", ROOT / "README.md"
PROGRAMS = Path(sys.executable).parent
WHO = ("relay", "sam", "robin", "kim")
PASSPHRASE = "moon over water"
UNSEEN = {"New passphrase (a few words are good):": PASSPHRASE, "Once more:": PASSPHRASE, "Passphrase:": PASSPHRASE}
EVENING = 20
WAIT_S = 30.0
HELD_WAIT_S = 3.0
RC = f"PS1='{PROMPT}'\ntrap '[ -f ~/.opened ] && export BIDE_KEY_FILE=~/.opened' DEBUG\n"
"""Before each command: once a home is there it is open, as it is with a keyring while somebody is logged in."""

INPUTRC = "set horizontal-scroll-mode on\nset enable-bracketed-paste off\n"
"""A long answer stays on one line of the terminal."""
BEGINNINGS = ("appreciation", "checkin", "listening", "reflection", "repair")
"""Decks of which another card is shown each day."""


def evening_zone() -> str:
    """A time zone in which it is evening now, so that all that is written falls on one day."""
    ahead = (EVENING - datetime.now(UTC).hour) % 24
    return f"Etc/GMT-{ahead}" if ahead <= 12 else f"Etc/GMT+{24 - ahead}"


def cards() -> list[Kind]:
    """Where the page has a card of such a deck, any other one of its part may stand."""
    found = []
    for name in BEGINNINGS:
        each = deck(name)
        for part in {item.part for item in each.items}:
            texts = "|".join(re.escape(item.text) for item in each.in_part(part))
            found.append(Kind(f"(?:{texts})", same=False))
    return found


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def home_of(folder: Path) -> Path:
    return folder / ".local/share/bide"


def open_home(folder: Path) -> None:
    """Do what a keyring does: keep the key of a home that has a passphrase where its owner's programs find it."""
    wrapped, opened = home_of(folder) / "key.wrapped", folder / ".opened"
    if wrapped.exists() and not opened.exists():
        opened.touch(mode=0o600)
        opened.write_bytes(unwrap_with_passphrase(wrapped.read_bytes(), PASSPHRASE))


def environment(folder: Path) -> dict[str, str]:
    return {
        "HOME": str(folder),
        "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
        "LANG": "C.UTF-8",
        "TZ": evening_zone(),
        "INPUTRC": str(folder.with_name("inputrc")),
        "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", ""),
    }


def background(folder: Path, *, held: bool = False) -> list[int]:
    """The ids of programs that work unseen on somebody's home; with `held` also of those that wait for what is held."""
    home, found = f"BIDE_HOME={home_of(folder)}".encode(), []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            if b"--background" in arguments and home in (entry / "environ").read_bytes().split(b"\0"):
                found += [int(entry.name)] if held or b"--held" not in arguments else []
        except OSError:
            continue  # somebody else's, or gone
    return found


def waits(folder: Path) -> bool:
    """Whether something that was written has not reached the relay."""
    env = {**environment(folder), "BIDE_KEY_FILE": str(folder / ".opened")}
    if not (folder / ".opened").exists():
        del env["BIDE_KEY_FILE"]
    done = subprocess.run([PROGRAMS / "bide", "status", "--json"], env=env, capture_output=True, text=True, check=True)
    return any(space["pending"] for space in json.loads(done.stdout)["spaces"])


def settle(folder: Path) -> None:
    """Wait until what goes by itself has gone.

    What waits for something held may sync as well, and goes on waiting; without a relay it doesn't get far.
    """
    deadline = time.monotonic() + WAIT_S
    while background(folder):
        assert time.monotonic() < deadline, "what goes by itself does not go"
        time.sleep(0.05)
    deadline = time.monotonic() + HELD_WAIT_S
    while background(folder, held=True) and waits(folder) and time.monotonic() < deadline:
        time.sleep(0.05)


@contextmanager
def stage() -> Iterator[tuple[Stage, Mapping[str, Path]]]:
    """Terminals of everybody, each with a home folder of their own, and a port for the relay."""
    root = Path(tempfile.mkdtemp(prefix="bide-"))
    folders = {who: root / who for who in WHO}
    (root / "rc").write_text(RC, encoding="utf-8")
    (root / "inputrc").write_text(INPUTRC, encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    known = {f"/home/{who}": str(folder) for who, folder in folders.items()}
    known |= {"127.0.0.1:8765": address, "bide-relay serve": f"bide-relay serve --listen {address}"}
    terminals = {}
    try:
        for who, folder in folders.items():
            folder.mkdir()
            terminals[who] = Terminal(folder, environment(folder), rcfile=root / "rc")
        yield Stage(terminals, Names(known, cards()), unseen=UNSEEN), folders
    finally:
        for terminal in terminals.values():
            terminal.close()
        for folder in folders.values():
            for process in background(folder, held=True):
                os.kill(process, signal.SIGTERM)
        shutil.rmtree(root, ignore_errors=True)


def play(page: Path) -> int:
    """Play all of a page; gives the number of blocks."""
    played = 0
    with stage() as (terminals, folders):
        for block in blocks(page):
            if not block.who:
                continue
            for folder in folders.values():
                settle(folder)
            terminals.play(block)
            open_home(folders[block.who])
            played += 1
        terminals.finish(page.name)
    return played


def test_every_block_of_the_tutorial_is_played() -> None:
    """There is no block in it that nobody types."""
    for block in blocks(TUTORIAL):
        assert (block.language, block.who in WHO) == ("console", True), f"{block.page}:{block.line} is not played"


@pytest.mark.slow
@pytest.mark.parametrize("page", [TUTORIAL, README], ids=["tutorial", "readme"])
def test_what_a_page_shows_is_what_happens(page: Path) -> None:
    """Line for line, with real terminals, homes and a relay."""
    assert play(page) > 3


@pytest.mark.parametrize(
    "lines",
    [
        ("$ echo 'one'", "two"),
        ("$ printf 'one\\ntwo\\n'", "one", "$ true"),
        ("$ echo fe-62XTN3 fe-7KQ2MX", "fe-7KQ2MX fe-7KQ2MX"),
        ("$ read -p 'Name: ' name", "Who: Sam"),
        ("$ cat", "…"),
    ],
    ids=["other words", "more than the page says", "two things of one name", "another question", "no end"],
)
def test_a_page_that_says_something_else_is_refused(lines: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """Other words, more words, mixed-up ids, another question, and a program that doesn't end."""
    monkeypatch.setattr("transcripts.WAIT_S", 2.0)

    def played() -> None:
        with stage() as (terminals, _):
            terminals.play(Block("page", 1, "console", "sam", lines))
            terminals.finish("page")

    with pytest.raises(TranscriptError):
        played()


def test_what_differs_with_every_run_may_differ_and_answers_are_typed() -> None:
    """An id is always the same one, also where it is typed; what stands behind a question is the answer."""
    lines = (
        "$ printf 'fe-%s at 12:30\\n' 7KQ2MX",
        "fe-62XTN3 at 20:15",
        "$ read -p 'Name: ' name; echo \"$name fe-62XTN3\"",
        "Name: Sam",
        "Sam fe-62XTN3",
        "$ [ fe-62XTN3 = fe-$((7))KQ2MX ] && echo yes",
    )
    with stage() as (terminals, _):
        terminals.play(Block("page", 1, "console", "sam", lines))
        terminals.play(Block("page", 9, "console", "sam", ("yes",)))
        terminals.finish("page")
