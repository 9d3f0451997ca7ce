"""Nothing secret where it needn't be: what every process of Bide is given and says is searched for words, keys and codes.

Files are searched in `test_at_rest`; here are arguments, environments, screens,
tracebacks and the relay's log; the agent's are in `test_agent`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from client_cli.conftest import BIDE, RELAY, Person, Result, end
from client_cli.test_at_rest import WORD, encodings
from crash.tracing import needs_strace

from bide.errors import InputError
from bide.storage.sqlite import SqliteStorage
from bide_cli import failures
from bide_cli.home.folder import read_config
from bide_cli.unlocking.keys import read_key_file

PASSPHRASE = "seven slow herons"
_STRING = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"')


class Traced(Person):
    """A person each of whose commands runs under strace, with all that it starts."""

    def __init__(self, home: Path, log: Path, **env: str) -> None:
        super().__init__(home, **env)
        self._log = log

    def start(self, *args: str) -> subprocess.Popen[str]:
        strace = [
            "strace",
            "-f",
            "--seccomp-bpf",
            "-v",
            "-xx",
            "-s",
            "200000",
            "-e",
            "trace=execve",
            "-A",
            "-o",
            str(self._log),
        ]
        return subprocess.Popen(
            [*strace, BIDE, *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.env,
            text=True,
        )

    def run(self, *args: str | bytes, stdin: str | bytes = "", env: dict[str, str] | None = None) -> Result:
        before, self.env = self.env, {**self.env, **(env or {})}
        try:
            process = self.start(*map(str, args))
        finally:
            self.env = before
        out, err = process.communicate(str(stdin), timeout=60)
        return Result(process.returncode, out, err)

    def given(self) -> list[bytes]:
        """Every argument and every variable that any process was given, as it was."""
        found = _STRING.findall(self._log.read_bytes())
        return [bytes.fromhex(text.replace(b"\\x", b"").decode()) for text in found]


def secrets_of(person: Person) -> list[bytes]:
    """The keys of a home, and the ids by which a relay knows it."""
    key = read_key_file(Path(read_config(person.home).key_file))
    storage = SqliteStorage(person.home / "bide.db", key)
    found = [key]
    for space in storage.spaces():
        found += [space.signing_seed, space.sealing_secret, space.space_id, *storage.epochs(space.space_id).values()]
    storage.close()
    return found


@needs_strace
def test_no_process_is_given_a_word_a_key_or_a_code(tmp_path: Path) -> None:
    """Nor does one say any on stderr, where logs and reports come from; nor the relay in its log, or on any page of counts."""
    for name in ("tmp", "user", "relay"):
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "words").write_text(PASSPHRASE + "\n")
    (tmp_path / "words").chmod(0o600)
    env = {"HOME": str(tmp_path / "user"), "TMPDIR": str(tmp_path / "tmp"), "XDG_RUNTIME_DIR": str(tmp_path / "user")}
    log = tmp_path / "calls"
    sam, robin = (Traced(tmp_path / name, log, **env, BIDE_AUTO_SYNC="1", BIDE_DEBUG="1") for name in ("sam", "robin"))
    locked = Traced(tmp_path / "locked", log, **env, BIDE_PASSPHRASE_FILE=str(tmp_path / "words"))
    said: list[str] = []

    def ok(person: Person, *args: str, stdin: str = "") -> Result:
        result = person.run(*args, stdin=stdin)
        assert result.code == 0, result
        said.append(result.err)
        return result

    relay = subprocess.Popen(
        [RELAY, "serve", "--listen", "127.0.0.1:0", "--data", str(tmp_path / "relay"), "--registration", "open"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**sam.env, "PYTHONASYNCIODEBUG": "1", "WEBSOCKETS_DEBUG": "1"},
        text=True,
    )
    codes: list[str] = []
    try:
        assert relay.stdout is not None
        port = int(relay.stdout.readline().rpartition(":")[2])
        for person, name in ((sam, "Sam"), (robin, "Robin")):
            ok(person, "init", "--name", name, "--key-file", str(tmp_path / f"{name}.key"), "--no-input")
            ok(person, "relay", "set", f"ws://127.0.0.1:{port}")
        waiting = sam.start("pair", "--json", "--words-verified")
        assert waiting.stdout is not None
        codes.append(json.loads(waiting.stdout.readline())["code"])
        paired = json.loads(ok(robin, "join", "--code", "-", "--words-verified", "--json", stdin=codes[0] + "\n").out)
        said.append(waiting.communicate(timeout=60)[1])
        codes.append(paired["safety_words"] if isinstance(paired["safety_words"], str) else " ".join(paired["safety_words"]))
        editor = tmp_path / "editor.sh"
        editor.write_text(
            '#!/bin/sh\nwhile IFS= read -r line; do printf "%s\\n" "$line"\n'
            'case "$line" in *"[text]"*) printf "%s\\n" "quokka""fjord 1";; esac\ndone < "$1" > "$1.new"\nmv "$1.new" "$1"\n'
        )
        editor.chmod(0o700)
        entry = {"noticed": f"{WORD} 2", "felt": f"{WORD} 3"}
        ok(sam, "thank", "--from-json", "-", "--now", stdin=json.dumps(entry))
        result = sam.run("reflect", "--edit", env={"EDITOR": str(editor), "VISUAL": ""})
        assert result.code == 0, result
        said.append(result.err)
        for wrong in ("{" + WORD, json.dumps({"noticed": WORD, "nonsense": WORD}), json.dumps({"noticed": [WORD]})):
            result = sam.run("thank", "--from-json", "-", "--json", stdin=wrong)
            assert result.code == 2, result
            said.append(result.err)
        for command in ("sync", "doctor"):
            ok(sam, command)
        ok(locked, "init", "--name", "Lou", "--passphrase", "--no-input")
        keys = secrets_of(sam) + secrets_of(robin)
    finally:
        relay.send_signal(signal.SIGTERM)
        logged = relay.communicate(timeout=20)[1]
    sought = encodings([WORD, PASSPHRASE, *codes], keys)
    given = sam.given()
    assert len(given) > 200, "nothing was traced"
    assert not [text for text in given if any(one in text for one in sought)]
    told = "\n".join(said).encode()
    assert not [one for one in sought if one in told]
    assert logged
    assert not [one for one in sought if one in logged.encode()]
    assert "127.0.0.1" not in logged

    # What finds nothing must be able to find.
    sam.run("thank", "--private", "--noticed", WORD)
    assert [text for text in sam.given() if any(one in text for one in sought)]


def test_an_error_that_nobody_foresaw_tells_nothing_of_what_was_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With BIDE_DEBUG too, since that goes into a report: places and kinds, through causes and groups."""

    def fail() -> None:
        try:
            os.environ[WORD]
        except KeyError as error:
            try:
                raise ExceptionGroup(WORD, [ValueError(WORD), OSError(2, WORD, WORD)])
            except ExceptionGroup:
                raise InputError("{what} is wrong.", what=WORD) from error

    monkeypatch.setenv("BIDE_DEBUG", "1")
    try:
        fail()
    except InputError:
        failures.show_traceback()
    told = capsys.readouterr().err
    assert WORD not in told
    assert "KeyError" in told
    assert "in fail" in told
    assert told.endswith("InputError: {what} is wrong.\n")
    try:
        raise ExceptionGroup(WORD, [ValueError(WORD), OSError(2, WORD)])
    except ExceptionGroup:
        failures.show_traceback()
    told = capsys.readouterr().err
    assert "ValueError" in told
    assert os.strerror(2) in told
    assert WORD not in told


def test_a_passphrase_that_is_typed_is_on_no_screen(sam: Person) -> None:
    """Nothing is echoed. (That recovery words are taken off the screen is in `test_recovery`.)"""
    child = sam.terminal("key", "change", "--passphrase")
    for _ in range(2):
        child.expect("New passphrase|Once more")
        child.sendline(PASSPHRASE)
    assert end(child) == 0
    assert PASSPHRASE not in child.before
