"""At rest: nothing that was written, and no key, is to be found in any file that a home, a relay or a crash leaves behind."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from client_cli.conftest import BIDE, RELAY, Person, end, pair, wait_for

from bide.storage.sqlite import SqliteStorage
from bide_cli.home.folder import read_config
from bide_cli.unlocking.keys import read_key_file

WORD = "quokkafjord"
"""Nothing else holds it. Every text has it, with a number behind it."""


def encodings(words: Iterable[str], keys: Iterable[bytes]) -> list[bytes]:
    """How words and keys could stand in a file."""
    texts = [text.encode(encoding) for text in words for encoding in ("utf-8", "utf-16-le", "utf-16-be")]
    texts += [text.upper().encode() for text in words]
    return texts + [form for key in keys for form in (key, key.hex().encode(), key.hex().upper().encode())]


def found_in(root: Path, sought: list[bytes]) -> set[str]:
    """The files below a folder that hold any of it, in their content or their name."""
    found = set()
    for path in root.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes() + os.fsencode(path.relative_to(root))
        if any(one in data for one in sought):
            found.add(str(path.relative_to(root)))
    return found


class World:
    """Sam and Robin with a relay between them, and every folder that a program may write to below one root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("tmp", "user", "relay"):
            (root / name).mkdir(mode=0o700)
        env = {"HOME": str(root / "user"), "TMPDIR": str(root / "tmp"), "XDG_RUNTIME_DIR": str(root / "user")}
        self.sam, self.robin = Person(root / "sam", **env), Person(root / "robin", **env)
        self._log = (root / "relay.log").open("wb")
        self.relay = subprocess.Popen(
            [RELAY, "serve", "--listen", "127.0.0.1:0", "--data", str(root / "relay"), "--registration", "open"],
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=self.sam.env,
            text=True,
        )
        assert self.relay.stdout is not None
        port = int(self.relay.stdout.readline().rpartition(":")[2])
        for person, name in ((self.sam, "Sam"), (self.robin, "Robin")):
            person.ok("init", "--name", name, "--key-file", str(root / f"{name}.key"), "--no-input")
            person.ok("relay", "set", f"ws://127.0.0.1:{port}")
        pair(self.sam, self.robin)
        self._number = 0

    def words(self) -> str:
        """A text that is nowhere else."""
        self._number += 1
        return f"{WORD} {self._number}"

    def keys(self) -> list[bytes]:
        """Every secret of both homes."""
        secrets = []
        for person in (self.sam, self.robin):
            key = read_key_file(Path(read_config(person.home).key_file))
            storage = SqliteStorage(person.home / "bide.db", key)
            secrets.append(key)
            for space in storage.spaces():
                secrets += [space.signing_seed, space.sealing_secret, *storage.epochs(space.space_id).values()]
            storage.close()
        return secrets

    def end(self) -> None:
        """Stop the relay."""
        self.relay.send_signal(signal.SIGTERM)
        self.relay.communicate(timeout=15)
        self._log.close()


def editor(world: World, then: str) -> str:
    """An editor that writes words into the file and beside it, as a swap and a backup file, and goes on as said."""
    path = world.root / "user" / f"editor-{len(then)}.sh"
    # The words are put together there, so that the editor's own file doesn't hold them.
    path.write_text(
        '#!/bin/sh\nw="quokka""fjord 900"\nf=$(dirname "$1")\n'
        'printf "%s\\n" "$w" >> "$1"; echo "$w" > "$f/.entry.md.swp"; echo "$w" > "$f/entry.md~"\n'
        f"{then}\n"
    )
    path.chmod(0o700)
    return str(path)


def write_in_every_way(world: World) -> None:
    """Entries of all kinds: private, shared, held, undone, looked for, synced."""
    sam, robin, words = world.sam, world.robin, world.words
    sam.ok("config", "set", "hold.checkin", "60")
    sam.ok("checkin", "--private", "--worry", words(), "--later", words())
    sam.ok("checkin", "--hard", words())  # held
    sam.ok("repair", "--topic", words())  # held
    thanked = sam.json("thank", "--noticed", words(), "--felt", words())["id"]
    sam.ok("share", "--text", words(), "--depth", "2")
    asked = sam.json("ask", "--question", words())["id"]
    sam.ok("feel", "calm", "--note", words())
    sam.ok("did", "--what", words(), "--memory", words())
    sam.ok("reflect", "--text", words())
    undone = sam.json("share", "--text", words(), "--depth", "1")["id"]
    sam.ok("undo", undone)
    sam.ok("thank", "--private", "--from-json", "-", stdin=json.dumps({"noticed": words()}))
    sam.ok("search", WORD)
    sam.ok("outbox")
    sam.ok("sync")
    robin.ok("sync")
    robin.ok("hear", thanked, "--mirrored", words())
    robin.ok("answer", asked, "--answer", words())
    robin.ok("sync")
    sam.ok("sync")
    sam.ok("edit", thanked, "--noticed", words())
    assert sam.run("thank", "--noticed", words() + "\x07").code == 2
    assert sam.run(words()).code == 2


def break_off_in_every_way(world: World) -> None:
    """Editors and writes that are killed, imports that fail, a watcher that crashes."""
    sam = world.sam
    for how in ("exit 1", "kill -9 $$", "kill -TERM $PPID; sleep 5", "kill -HUP $PPID; sleep 5"):
        result = sam.run("share", "--depth", "1", "--edit", env={"EDITOR": editor(world, how), "VISUAL": ""})
        assert result.code != 0
        assert not list(sam.home.glob(".edit-*")), how
    sam.run("share", "--depth", "1", "--edit", env={"EDITOR": editor(world, "kill -9 $PPID"), "VISUAL": ""})
    assert list(sam.home.glob(".edit-*"))  # nobody was left to take it away
    sam.ok("timeline")
    assert not list(sam.home.glob(".edit-*"))  # whoever comes next does

    for delay in (0.02, 0.06, 0.1, 0.15, 0.2, 0.3):
        process = sam.start("reflect", "--text", "-")
        assert process.stdin is not None
        process.stdin.write(world.words())
        process.stdin.close()
        time.sleep(delay)
        process.kill()
        process.wait()
    journal = '{"quokkafjord": ["quokkafjord 800"'
    assert sam.run("import", "bide", "-", stdin=journal).code == 2
    assert sam.run("import", "dayone", "-", stdin=journal).code == 2
    watcher = sam.start("sync", "--watch")
    wait_for(lambda: (sam.home / "watch.sock").exists())
    sam.ok("share", "--text", world.words(), "--depth", "1")
    watcher.kill()
    watcher.communicate()


def test_no_word_and_no_key_is_in_any_file_but_those_that_were_asked_for(tmp_path: Path) -> None:
    """After everything that a journal goes through, its words are only where somebody asked for a file, its keys nowhere."""
    world = World(tmp_path)
    try:
        write_in_every_way(world)
        break_off_in_every_way(world)
        asked = tmp_path / "asked"
        asked.mkdir()
        world.sam.ok("review", "--html", str(asked / "review.html"))
        world.sam.ok("export", "--format", "json", "--output", str(asked / "journal.json"))
        sought = encodings([WORD], world.keys())
        # With everything running: the write-ahead logs are there.
        running = world.robin.start("sync", "--watch")
        wait_for(lambda: (world.robin.home / "watch.sock").exists())
        while_running = found_in(tmp_path, sought)
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=15)
    finally:
        world.end()
    expected = {"asked/journal.json", "Sam.key", "Robin.key"}
    assert while_running - {"asked/review.html"} == expected
    assert found_in(tmp_path, sought) - {"asked/review.html"} == expected
    exported = (asked / "journal.json").read_text()
    assert exported.count(WORD) >= 14  # and what was written before it could be killed

    # What finds nothing must be able to find.
    for number, sign in enumerate((WORD.encode(), WORD.encode("utf-16-le"), world.keys()[3].hex().encode(), world.keys()[0])):
        (tmp_path / "tmp" / f"left-{number}").write_bytes(b"some bytes before " + sign + b" and behind")
    assert found_in(tmp_path / "tmp", sought) == {f"left-{number}" for number in range(4)}


def test_every_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Whatever the umask is, folders are 0700, files and sockets 0600, those that come and go included."""
    old = os.umask(0)
    try:
        (tmp_path / "words").write_text("seven slow herons")
        (tmp_path / "words").chmod(0o600)
        sam = Person(tmp_path / "sam", BIDE_PASSPHRASE_FILE=str(tmp_path / "words"), HOME=str(tmp_path))
        sam.ok("init", "--name", "Sam", "--passphrase", "--no-input")
        sam.ok("relay", "set", "ws://127.0.0.1:9")
        sam.ok("unlock")
        watcher = sam.start("sync", "--watch")
        wait_for(lambda: (sam.home / "watch.sock").exists())
        ready, go = tmp_path / "ready", tmp_path / "go"
        script = tmp_path / "editor.sh"
        script.write_text(f"#!/bin/sh\ntouch {ready}\nwhile [ ! -e {go} ]; do sleep 0.05; done\n")
        script.chmod(0o700)
        writer = subprocess.Popen(
            [BIDE, "share", "--private", "--depth", "1", "--edit"],
            env={**sam.env, "EDITOR": str(script)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(ready.exists)
        sam.ok("timeline")
        modes = {str(path.relative_to(sam.home)): path.lstat().st_mode for path in (sam.home, *sam.home.rglob("*"))}
        go.touch()
        writer.wait(20)
        watcher.kill()
        watcher.communicate()
        sam.ok("lock")
    finally:
        os.umask(old)
    assert {"bide.db-wal", "bide.db-shm", "agent.sock", "watch.sock", "key.wrapped", "config.toml"} <= set(modes)
    assert any(name.endswith("entry.md") for name in modes)
    wrong = {name: oct(mode) for name, mode in modes.items() if stat.S_IMODE(mode) != (0o700 if stat.S_ISDIR(mode) else 0o600)}
    assert not wrong


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_crash_leaves_no_image_of_memory(sam: Person, tmp_path: Path) -> None:
    """Neither Bide nor what it starts writes core dumps."""
    limits = tmp_path / "limits"
    script = tmp_path / "editor.sh"
    script.write_text(f"#!/bin/sh\ncat /proc/$PPID/limits /proc/$$/limits > {limits}\nexit 1\n")
    script.chmod(0o700)
    sam.run("share", "--private", "--edit", env={"EDITOR": str(script), "VISUAL": ""})
    lines = [line.split()[4:6] for line in limits.read_text().splitlines() if line.startswith("Max core file size")]
    assert lines == [["0", "0"], ["0", "0"]]


def test_closing_the_terminal_while_writing_removes_the_text(sam: Person, tmp_path: Path) -> None:
    """A terminal that goes away in the middle of `--edit` leaves no folder of the editor behind."""
    ready = tmp_path / "ready"
    script = tmp_path / "editor.sh"
    script.write_text(f'#!/bin/sh\necho "{WORD}" >> "$1"\ntouch {ready}\nsleep 30\n')
    script.chmod(0o700)
    child = sam.terminal("share", "--private", "--edit", EDITOR=str(script), VISUAL="")
    wait_for(ready.exists)
    assert list(sam.home.glob(".edit-*"))
    child.kill(signal.SIGHUP)
    end(child)
    assert not list(sam.home.glob(".edit-*"))


def test_what_another_process_edits_just_now_is_left_alone(sam: Person, tmp_path: Path) -> None:
    """Only folders whose Bide is gone are removed."""
    ready, go = tmp_path / "ready", tmp_path / "go"
    script = tmp_path / "editor.sh"
    script.write_text(
        f'#!/bin/sh\ntouch {ready}\nwhile [ ! -e {go} ]; do sleep 0.05; done\nsed -i "/\\[text\\]/a {WORD}" "$1"\n'
    )
    script.chmod(0o700)
    writer = subprocess.Popen(
        [BIDE, "reflect", "--edit"], env={**sam.env, "EDITOR": str(script), "VISUAL": ""}, stdout=subprocess.DEVNULL
    )
    wait_for(ready.exists)
    sam.ok("timeline")
    sam.ok("lock")
    assert list(sam.home.glob(".edit-*/entry.md"))
    go.touch()
    assert writer.wait(20) == 0
    assert WORD in sam.ok("timeline").out
