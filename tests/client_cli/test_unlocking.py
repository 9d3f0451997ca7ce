"""Opening a home with the wrong thing, or without: one clear sentence, and exit code 7."""

from __future__ import annotations

from pathlib import Path

import pytest
from client_cli.conftest import Person, end

from bide.crypto.wrapping import MEMORY_BYTES_MIN, unwrap_with_passphrase, wrap_with_passphrase
from bide.errors import Locked
from bide.ids import SystemRandomness

RIGHT = "seven slow herons"
KEY, HALF = bytes(range(32)), bytes(range(32, 64))


def put_under_passphrase(person: Person, *, unlock: str = "passphrase", passphrase: str = RIGHT) -> None:
    """Lock a home of a key file with a passphrase, cheaply."""
    config = person.home / "config.toml"
    lines = config.read_text().splitlines()
    key_file = Path(next(line for line in lines if line.startswith("key_file")).partition('"')[2].rstrip('"'))
    half = HALF if unlock == "both" else b""
    blob = wrap_with_passphrase(
        key_file.read_bytes(), passphrase, SystemRandomness(), half=half, memory_bytes=MEMORY_BYTES_MIN, iterations=1
    )
    (person.home / "key.wrapped").write_bytes(blob)
    kept = [line for line in lines if not line.startswith(("unlock", "key_file"))]
    config.write_text("\n".join([f'unlock = "{unlock}"', 'keyring_name = "abc"', *kept]) + "\n")


def secret_file(path: Path, data: bytes) -> str:
    """A file for its owner alone."""
    path.write_bytes(data)
    path.chmod(0o600)
    return str(path)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (b"eight slow herons\n", "That passphrase doesn't open this home."),
        (b"", "A passphrase can't be empty."),
        (b"\xff\xfe", "The passphrase file is not valid UTF-8 text."),
        (b"x" * 5_000, "A passphrase can have at most 1,024 characters."),
    ],
)
def test_a_wrong_passphrase_is_one_sentence(sam: Person, tmp_path: Path, words: bytes, said: str) -> None:
    """What doesn't open the home is named, without any of the passphrase."""
    put_under_passphrase(sam)
    path = secret_file(tmp_path / "words", words)
    result = sam.run("timeline", env={"BIDE_PASSPHRASE_FILE": path})
    assert (result.code, result.out, result.err.strip()) == (7, "", said)
    error = sam.run("timeline", "--json", env={"BIDE_PASSPHRASE_FILE": path}).error
    assert (error["code"], error["message"]) == ("locked", said)


def test_the_right_passphrase_opens_it(sam: Person, tmp_path: Path) -> None:
    """With a newline at its end or without."""
    put_under_passphrase(sam)
    for end_of_line in (b"", b"\n", b"\r\n"):
        path = secret_file(tmp_path / "words", RIGHT.encode() + end_of_line)
        assert sam.run("timeline", env={"BIDE_PASSPHRASE_FILE": path}).code == 0


def test_a_passphrase_can_be_typed_again(sam: Person) -> None:
    """On a terminal a slip is told and asked again, and nothing of it is shown."""
    put_under_passphrase(sam)
    child = sam.terminal("timeline")
    child.expect("Passphrase:")
    child.sendline("eight slow herons")
    child.expect("doesn't open this home. Once more.")
    child.expect("Passphrase:")
    child.sendline(RIGHT)
    child.expect("Nothing has been written yet")
    assert "herons" not in child.before
    assert end(child) == 0


def test_three_wrong_passphrases_are_enough(sam: Person) -> None:
    """Then the command ends, with the exit code of a locked home."""
    put_under_passphrase(sam)
    child = sam.terminal("timeline")
    for _ in range(3):
        child.expect("Passphrase:")
        child.sendline("eight slow herons")
    assert end(child) == 7


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (bytes(32), "That key doesn't open this home."),
        (bytes(31), "The key file doesn't hold a key."),
        (bytes(33), "The key file doesn't hold a key."),
        (None, "The key file is not there."),
    ],
)
def test_a_wrong_key_file_is_one_sentence(sam: Person, tmp_path: Path, data: bytes | None, said: str) -> None:
    """Another key, no key, and no file are told apart."""
    path = str(tmp_path / "key") if data is None else secret_file(tmp_path / "key", data)
    result = sam.run("timeline", env={"BIDE_KEY_FILE": path})
    assert (result.code, result.out) == (7, "")
    assert result.err.startswith(said)


def test_a_key_file_that_others_can_read_is_not_used(sam: Person, tmp_path: Path) -> None:
    """And the command that mends it is named."""
    (tmp_path / "key").write_bytes(bytes(32))
    (tmp_path / "key").chmod(0o640)
    result = sam.run("timeline", env={"BIDE_KEY_FILE": str(tmp_path / "key")})
    assert result.code == 7
    assert "chmod 600" in result.err


@pytest.mark.parametrize("unlock", ["keyring", "both"])
def test_a_keyring_that_is_not_there_is_one_sentence(sam: Person, tmp_path: Path, unlock: str) -> None:
    """Without the session that has the keyring, the home says so; the passphrase alone opens nothing."""
    put_under_passphrase(sam, unlock=unlock)
    path = secret_file(tmp_path / "words", RIGHT.encode())
    nowhere = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere", "BIDE_PASSPHRASE_FILE": path, "XDG_RUNTIME_DIR": str(tmp_path)}
    result = sam.run("timeline", env=nowhere)
    assert result.code == 7
    assert result.err.startswith("The keyring of this system")


def test_a_config_that_says_less_than_the_file_opens_nothing(sam: Person, tmp_path: Path) -> None:
    """Who edits "both" into "passphrase" doesn't get around the keyring."""
    put_under_passphrase(sam, unlock="both")
    config = sam.home / "config.toml"
    config.write_text(config.read_text().replace('"both"', '"passphrase"'))
    path = secret_file(tmp_path / "words", RIGHT.encode())
    assert sam.run("timeline", env={"BIDE_PASSPHRASE_FILE": path}).code == 7


@pytest.mark.parametrize("name", ["../key.wrapped", "/etc/hostname", ".hidden"])
def test_a_config_names_no_file_outside_of_the_home(sam: Person, tmp_path: Path, name: str) -> None:
    """The file with the wrapped key is in the home."""
    put_under_passphrase(sam)
    config = sam.home / "config.toml"
    config.write_text(f'wrapped = "{name}"\n' + config.read_text())
    path = secret_file(tmp_path / "words", RIGHT.encode())
    assert sam.run("timeline", env={"BIDE_PASSPHRASE_FILE": path}).code == 7


def test_both_halves_are_needed() -> None:
    """A key that was wrapped with a second half opens with the passphrase and that half, and in no other way."""
    blob = wrap_with_passphrase(KEY, RIGHT, SystemRandomness(), half=HALF, memory_bytes=MEMORY_BYTES_MIN, iterations=1)
    assert unwrap_with_passphrase(blob, RIGHT, half=HALF) == KEY
    for passphrase, half in ((RIGHT, b""), (RIGHT, KEY), ("eight slow herons", HALF), (RIGHT, HALF[:16])):
        with pytest.raises(Locked):
            unwrap_with_passphrase(blob, passphrase, half=half)
    alone = wrap_with_passphrase(KEY, RIGHT, SystemRandomness(), memory_bytes=MEMORY_BYTES_MIN, iterations=1)
    with pytest.raises(Locked):
        unwrap_with_passphrase(alone, RIGHT, half=HALF)


@pytest.mark.parametrize("short", ["abc", "sevench", "  seven   ", "\N{LATIN SMALL LETTER E}\N{COMBINING ACUTE ACCENT}" * 7])
def test_a_new_passphrase_that_is_too_short_is_refused_with_the_reason(nobody: Person, tmp_path: Path, short: str) -> None:
    """In a file: one sentence, exit code 2, and no home is made."""
    path = secret_file(tmp_path / "words", short.encode())
    result = nobody.run("init", "--name", "Sam", "--passphrase", "--no-input", env={"BIDE_PASSPHRASE_FILE": path})
    assert result.code == 2
    assert "at least 8 characters" in result.err
    assert short.strip() not in result.err
    assert not nobody.home.exists()


def test_who_types_a_new_passphrase_that_is_too_short_is_told_and_asked_again(nobody: Person) -> None:
    """Eight characters of whatever kind are enough."""
    child = nobody.terminal("init", "--name", "Sam", "--passphrase")
    child.expect("New passphrase")
    child.sendline("abc")
    child.expect("at least 8 characters")
    for _ in range(2):
        child.expect("New passphrase|Once more")
        child.sendline("regnet's")
    assert end(child) == 0
    assert (nobody.home / "key.wrapped").exists()


def test_a_home_from_before_opens_with_its_short_passphrase_and_keeps_it_in_a_rotation(sam: Person, tmp_path: Path) -> None:
    """Nobody is shut out of what they wrote; only a new passphrase has to be longer."""
    put_under_passphrase(sam, passphrase="abc")
    words = {"BIDE_PASSPHRASE_FILE": secret_file(tmp_path / "words", b"abc\n")}
    assert sam.run("timeline", env=words).code == 0
    assert sam.run("key", "rotate", "--no-input", env=words).code == 0
    assert sam.run("timeline", env=words).code == 0
    again = sam.run("key", "change", "--passphrase", "--new-passphrase-file", str(tmp_path / "words"), "--no-input", env=words)
    assert (again.code, "at least 8 characters" in again.err) == (2, True)
