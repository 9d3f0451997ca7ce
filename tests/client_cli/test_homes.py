"""Making a home, locking it, and opening it again."""

from __future__ import annotations

import os
import signal
import stat
import time
from pathlib import Path
from typing import Any

import pytest


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_home_is_for_this_person_only(nobody: Any, tmp_path: Path) -> None:
    key = tmp_path / "keys" / "sam.key"
    made = nobody.json("init", "--name", "Sam", "--key-file", str(key), "--no-input")
    assert made == {"schema": "bide.init/1", "name": "Sam", "home": str(nobody.home), "unlock": "key-file"}
    nobody.ok("checkin", "--private", "--hard", "the rain")
    assert mode(nobody.home) == 0o700
    assert mode(key) == 0o600
    assert key.stat().st_size == 32
    for path in nobody.home.iterdir():
        assert mode(path) == 0o600, path
    assert b"the rain" not in b"".join(path.read_bytes() for path in nobody.home.iterdir())
    assert key.read_bytes().hex() not in (nobody.home / "config.toml").read_text()


def test_init_never_touches_a_home(sam: Any, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in sam.home.iterdir()}
    result = sam.run("init", "--name", "X", "--key-file", str(tmp_path / "other"), "--no-input", "--json")
    assert result.code == 8
    assert {path.name: path.read_bytes() for path in sam.home.iterdir()} == before
    assert not (tmp_path / "other").exists()


def test_an_init_that_was_killed_does_not_block_the_next(nobody: Any, tmp_path: Path) -> None:
    key = tmp_path / "key"
    for delay in (0.05, 0.15, 0.25, 0.4):
        process = nobody.start("init", "--name", "Sam", "--key-file", str(key), "--no-input")
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    result = nobody.run("init", "--name", "Sam", "--key-file", str(key), "--no-input")
    assert result.code in (0, 8), result
    assert nobody.json("status")["name"] == "Sam"
    if result.code == 0:
        assert not list(nobody.home.glob(".init-*"))


def test_a_key_left_by_a_lost_database_is_kept(nobody: Any, tmp_path: Path) -> None:
    nobody.home.mkdir()
    (nobody.home / "key.wrapped").write_bytes(b"the way into a backup")
    nobody.ok("init", "--name", "Sam", "--key-file", str(tmp_path / "key"), "--no-input")
    kept = [path.read_bytes() for path in nobody.home.glob("key.wrapped.before-*")]
    assert kept == [b"the way into a backup"]


def test_the_key_file_has_to_be_private_and_whole(sam: Any, tmp_path: Path) -> None:
    key = tmp_path / "k"
    for data, bits, words in ((b"x" * 32, 0o644, "Other people"), (b"x" * 31, 0o600, "hold a key"), (b"x" * 32, 0o600, "open")):
        key.write_bytes(data)
        key.chmod(bits)
        result = sam.run("timeline", "--json", env={"BIDE_KEY_FILE": str(key)})
        assert result.code == 7
        assert words in result.error["message"]
    assert sam.run("timeline", env={"BIDE_KEY_FILE": str(tmp_path / "missing")}).code == 7
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert sam.run("timeline", env={"BIDE_KEY_FILE": str(tmp_path / "pipe")}).code == 7


def test_a_passphrase_opens_and_a_wrong_one_does_not(nobody: Any, tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("correct horse\n")
    wrong.write_text("wrong horse")
    right.chmod(0o600)
    wrong.chmod(0o600)
    made = nobody.run("init", "--name", "Sam", "--passphrase", "--no-input", env={"BIDE_PASSPHRASE_FILE": str(right)})
    assert made.code == 0, made
    assert nobody.run("status", env={"BIDE_PASSPHRASE_FILE": str(right)}).code == 0
    assert nobody.run("status", env={"BIDE_PASSPHRASE_FILE": str(wrong)}).code == 7
    result = nobody.run("status", "--no-input", "--json")
    assert result.code == 7
    assert "BIDE_PASSPHRASE_FILE" in result.error["hint"]


def test_without_a_way_to_lock_it_nothing_is_made(nobody: Any) -> None:
    assert nobody.run("init", "--name", "Sam", "--no-input").code == 2
    assert nobody.run("init", "--no-input").code == 2
    assert nobody.run("init", "--name", "", "--key-file", "k", "--no-input").code == 2
    assert nobody.run("init", "--name", "S", "--key-file", "k", "--passphrase", "--no-input").code == 2
    assert not nobody.home.exists()


def test_home_can_be_named_in_three_ways(sam: Any, nobody: Any) -> None:
    sam.ok("checkin", "--private", "--hard", "x")
    for args in (["--home", str(sam.home), "timeline"], ["timeline", "--home", str(sam.home)]):
        assert len(nobody.json(*args)["entries"]) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("day_starts = 4\n", 2),
        ('day_starts = "late"\n', 2),
        ("auto_sync = \n", 2),
        ("\xff", 2),
        ('unlock = "magic"\n', 2),
        ("", 7),
    ],
)
def test_a_config_that_cannot_be_understood_is_told(sam: Any, text: str, code: int) -> None:
    config = sam.home / "config.toml"
    config.write_bytes((config.read_text() if text.startswith(("day", "auto")) else "").encode() + text.encode("latin-1"))
    result = sam.run("timeline")
    assert result.code == code, result
    assert "Traceback" not in result.err


def test_the_config_may_be_any_toml(sam: Any) -> None:
    config = sam.home / "config.toml"
    key = next(line for line in config.read_text().splitlines() if line.startswith("key_file"))
    config.write_text(f"# mine\nunlock = 'key-file' # so\n{key}\nday_starts = \"05:30\"\n\n[theirs]\nx = [1]\n")
    sam.ok("timeline")


def test_the_words_about_the_relay_are_true(sam: Any) -> None:
    assert "only your own devices can open it" in sam.ok("checkin", "--private", "--hard", "x").out
    sam.ok("relay", "set", "ws://127.0.0.1:1")
    written = sam.ok("checkin", "--private", "--hard", "y").out
    assert "only your own devices can open it" in written
    assert "stays with you" not in written
    assert "never sent" not in sam.ok("checkin", "--help").out
    assert "nothing is sent and nothing comes" in sam.ok("relay", "unset").out
    assert not any(space["relay"] for space in sam.json("status")["spaces"])


def test_talk_keeps_to_a_narrow_screen(nobody: Any, tmp_path: Path) -> None:
    child = nobody.terminal("init", "--name", "Sam", "--key-file", str(tmp_path / "key"), "--no-input")
    child.expect("nobody can bring the journal back[^\r]*\r\n")
    assert all(len(line) <= 90 for line in child.before.splitlines()[1:])
    piped = type(nobody)(tmp_path / "piped").ok("init", "--name", "Sam", "--key-file", str(tmp_path / "key"), "--no-input")
    assert "bring the journal back: not whoever runs the relay, and not us.\n" in piped.err
    assert "bide recovery create\nNext:" in piped.err
