"""``bide config``: choices are checked, the rest of the file is left alone, and nothing secret is in it."""

from __future__ import annotations

import stat
import tomllib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bide_cli.home.configuring import KEYS


def values(person: Any) -> dict[str, Any]:
    return {each["key"]: each["value"] for each in person.json("config")["keys"]}


def test_a_key_is_set_got_and_unset(sam: Any) -> None:
    """The value comes back as it is kept; unset goes back to the default."""
    assert sam.ok("config", "get", "day_starts").out == "04:00\n"
    assert sam.ok("config", "set", "day_starts", "5:30").out == "day_starts = 05:30\n"
    assert sam.json("config", "get", "day_starts") == {
        "schema": "bide.config/1",
        "key": "day_starts",
        "value": "05:30",
        "set": True,
        "fixed": False,
    }
    assert sam.ok("config", "unset", "day_starts").out == "day_starts = 04:00\n"
    assert sam.json("config", "unset", "day_starts")["set"] is False
    assert sam.ok("config", "get", "language").err == "language is not set.\n"


def test_every_key_is_listed_with_what_it_is_for(sam: Any) -> None:
    """The list is the table; bide config and bide config list are one."""
    result = sam.ok("config")
    assert result == sam.ok("config", "list")
    listed = result.out + result.err
    for key in KEYS:
        assert (key.name in listed) is (key.check is not None or key.name in ("unlock", "key_file"))
    assert values(sam)["unlock"] == "key-file"


@pytest.mark.parametrize(
    ("key", "typed", "kept"),
    [
        ("auto_sync", "off", False),
        ("auto_sync", "YES", True),
        ("day_starts", "00:00", "00:00"),
        ("language", "EN", "en"),
        ("hold.repair", "0", 0),
        ("hold.appreciation", "10080", 10080),
        ("hold.answer", "5", 5),
    ],
)
def test_good_values_are_kept(sam: Any, key: str, typed: str, kept: object) -> None:
    """As the type they are, so that the file stays readable."""
    assert sam.json("config", "set", key, typed)["value"] == kept
    assert values(sam)[key] == kept
    sam.ok("timeline")


@pytest.mark.parametrize(
    ("key", "typed"),
    [
        ("auto_sync", "perhaps"),
        ("day_starts", "24:00"),
        ("day_starts", "4"),
        ("day_starts", "4:5"),
        ("day_starts", "٠٤:٠٠"),
        ("language", "tlh"),
        ("language", "../de"),
        ("decks", "/nowhere/at/all"),
        ("decks", ""),
        ("hold.repair", "-1"),
        ("hold.repair", "10081"),
        ("hold.repair", "1e3"),
        ("hold.repair", "٣"),
    ],
)
def test_bad_values_change_nothing(sam: Any, key: str, typed: str) -> None:
    """One sentence, exit code 2, and the file as it was."""
    before = (sam.home / "config.toml").read_bytes()
    refused = sam.run("config", "set", key, "--", typed)
    assert refused.code == 2
    assert refused.err.count("\n") <= 2
    assert (sam.home / "config.toml").read_bytes() == before


def test_what_else_stands_in_the_file_stays(sam: Any) -> None:
    """Comments, order, tables and keys of a newer Bide; and it is for its owner alone."""
    path = sam.home / "config.toml"
    path.write_text("# mine\n" + path.read_text() + 'future = ["x"]  # later\n\n[newer]\nkey = "kept"\n')
    sam.ok("config", "set", "auto_sync", "false")
    sam.ok("config", "set", "hold.repair", "60")
    sam.ok("config", "set", "language", "en")
    text = path.read_text()
    assert text.startswith("# mine\n# Bide's config")
    assert 'future = ["x"]  # later\n' in text
    parsed = tomllib.loads(text)
    assert parsed["newer"] == {"key": "kept"}
    assert parsed["hold"] == {"repair": 60}
    assert "\nhold.repair = 60\n" in text
    assert (parsed["auto_sync"], parsed["language"]) == (False, "en")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    sam.ok("config", "unset", "hold.repair")
    assert tomllib.loads(path.read_text())["newer"] == {"key": "kept"}
    assert values(sam)["hold.repair"] == 30


def test_the_file_may_be_a_link(sam: Any, tmp_path: Any) -> None:
    """Somebody who keeps their configs elsewhere keeps the link."""
    path, real = sam.home / "config.toml", tmp_path / "real.toml"
    path.rename(real)
    path.symlink_to(real)
    sam.ok("config", "set", "auto_sync", "false")
    assert path.is_symlink()
    assert "auto_sync = false" in real.read_text()


def test_a_folder_of_decks_is_kept_whole(sam: Any, tmp_path: Any) -> None:
    """Wherever the command was run, it is the same folder."""
    folder = tmp_path / "our decks"
    folder.mkdir()
    assert sam.json("config", "set", "decks", f"{folder}/../our decks")["value"] == str(folder)
    sam.ok("decks")


def test_how_the_home_is_unlocked_is_shown_and_not_set(sam: Any) -> None:
    """Setting it here could lock the journal for good."""
    assert sam.ok("config", "get", "unlock").out == "key-file\n"
    for key in ("unlock", "key_file", "keyring_name"):
        before = (sam.home / "config.toml").read_bytes()
        assert sam.run("config", "set", key, "passphrase").code == 8
        assert sam.run("config", "unset", key).code == 8
        assert (sam.home / "config.toml").read_bytes() == before


def test_a_slip_is_answered_with_what_was_perhaps_meant(sam: Any) -> None:
    """Keys, and the words of the command itself."""
    assert "Did you mean day_starts?" in sam.run("config", "get", "day_start").err
    assert "Did you mean hold.repair" in sam.run("config", "set", "hold.repairs", "3").err
    assert "Did you mean" in sam.run("config", "unst", "with").err
    assert sam.run("config", "get", "zzzz").err == "There is no key 'zzzz' in the config.\nbide config lists them.\n"


def test_a_broken_file_is_named_and_left(sam: Any) -> None:
    """Nobody's words are thrown away because a line is wrong."""
    path = sam.home / "config.toml"
    path.write_text("auto_sync = [")
    refused = sam.run("config", "set", "auto_sync", "true")
    assert refused.code == 2
    assert str(path) in refused.err
    assert path.read_text() == "auto_sync = ["


def test_two_at_once_both_stay(sam: Any) -> None:
    """Each change is read, made and written under a lock."""
    keys = ["hold.repair", "hold.share", "hold.feeling", "hold.checkin"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: sam.ok("config", "set", key, "7"), keys))
    assert [values(sam)[key] for key in keys] == [7] * 4


def test_no_home_no_config(nobody: Any) -> None:
    """There is nothing to choose for yet."""
    assert nobody.run("config").code == 4
    assert nobody.run("config", "set", "auto_sync", "false").code == 4
