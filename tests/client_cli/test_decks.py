"""Decks: those that Bide brings, and one's own, where a mistake is told with its line and nothing else suffers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bide.words import deck_names
from bide.words.deckfiles import FILE_BYTES_MAX

GOOD = 'title = "Our summer"\nitems = ["What would you do once more?", "Which sea is yours?"]\n'


def write(home: Path, name: str, text: str | bytes) -> Path:
    """A file among the decks of a home."""
    folder = home / "decks"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_the_list_has_bides_decks_and_ones_own(nobody: Any) -> None:
    """Name, title, how many, what for, and whose; without any journal."""
    write(nobody.home, "our-summer.toml", GOOD)
    told = nobody.json("decks")
    assert told["schema"] == "bide.decks/1"
    assert [each["name"] for each in told["decks"]] == [*deck_names(), "our-summer"]
    assert told["decks"][-1] == {"name": "our-summer", "title": "Our summer", "kind": "questions", "items": 2, "own": True}
    assert told["broken"] == []
    lines = nobody.ok("decks").out.splitlines()
    assert "Our summer · 2 items · questions · your own" in lines[-1]
    assert nobody.json("decks", "list") == told


def test_a_deck_is_shown_whole(nobody: Any) -> None:
    """With the numbers that bide ask --item takes."""
    write(nobody.home, "our-summer.toml", GOOD)
    assert "  2  Which sea is yours?" in nobody.ok("decks", "show", "Our-Summer").out
    shown = nobody.json("decks", "show", "friends")["deck"]
    assert [part["id"] for part in shown["parts"]] == ["light", "deeper", "thanks", "together"]
    assert shown["items"][0]["id"] == "light-1"


def test_an_unknown_deck_is_not_found(nobody: Any) -> None:
    """With the one that was perhaps meant."""
    result = nobody.run("decks", "show", "freinds")
    assert result.code == 4
    assert "Did you mean: friends" in result.err


def test_a_broken_deck_is_told_in_one_line_and_hides_nothing(sam: Any) -> None:
    """The others are there, and every other command works."""
    write(sam.home, "good.toml", GOOD)
    write(sam.home, "bad.toml", 'title = "x"\nitems = [\n  "one",\n  two\n]\n')
    result = sam.ok("decks")
    assert "Our summer" in result.out
    assert [line for line in result.err.splitlines() if "bad.toml, line 4" in line]
    assert "bad.toml, line 4" in sam.json("decks")["broken"][0]["message"]
    assert sam.ok("timeline").code == 0
    shown = sam.run("decks", "show", "bad")
    assert shown.code == 2
    assert "bad.toml, line 4" in shown.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('items = ["a?"]\nkind = "poems"\n', "line 2"),
        ('items = ["a?"]\ndepth = 4\n', "line 2"),
        ('items = ["a?", "a?"]\n', "line 1"),
        ('[[items]]\ntext = "a?"\npart = "sea"\n', "line 3"),
        ('items = ["a?"]\nkind = "safety"\n', "line 2"),
        ('items = ["\\u0007"]\n', "line 1"),
        (b'items = ["a?"]\n# \xff\n', "line 2: this is not UTF-8"),
        ("", "line 1"),
        (b"#\n" * FILE_BYTES_MAX, "longer than"),
        ("items = " + "[" * 50_000, "line 1"),
    ],
)
def test_check_names_the_line(nobody: Any, tmp_path: Path, text: str | bytes, words: str) -> None:
    """Exit code 2, one sentence with file and line, what to do, and no traceback."""
    path = tmp_path / "mine.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    result = nobody.run("decks", "check", str(path))
    assert result.code == 2
    assert result.err.startswith("mine.toml, line ")
    assert words in " ".join(result.err.split())
    assert "Traceback" not in result.err


def test_check_looks_at_a_folder(nobody: Any, tmp_path: Path) -> None:
    """All mistakes are told, each with its file; a folder without any is fine."""
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text("items = 3\n")
    result = nobody.run("decks", "check", str(tmp_path))
    assert result.code == 2
    assert "a.toml, line 1" in result.err
    assert "b.toml, line 1" in result.err
    told = nobody.run("decks", "check", str(tmp_path), "--json")
    assert (told.code, len(told.json["broken"]), told.error["code"]) == (2, 2, "input")
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text(GOOD)
    assert nobody.ok("decks", "check", str(tmp_path)).out == "a: fine, 2 items\nb: fine, 2 items\n"
    assert [each["name"] for each in nobody.json("decks", "check", str(tmp_path))["checked"]] == ["a", "b"]


def test_check_of_a_folder_that_nobody_made_yet(nobody: Any) -> None:
    """Without a path that is fine; a path that was typed has to be there."""
    assert nobody.ok("decks", "check").out == ""
    assert nobody.run("decks", "check", str(nobody.home / "none.toml")).code == 2


def test_links_pipes_and_loops_are_no_danger(nobody: Any, tmp_path: Path) -> None:
    """A link to a deck is a deck. A pipe, a loop and a link to nowhere are told of, and nothing hangs."""
    (tmp_path / "elsewhere.toml").write_text(GOOD)
    write(nobody.home, "mine.toml", GOOD)
    folder = nobody.home / "decks"
    (folder / "linked.toml").symlink_to(tmp_path / "elsewhere.toml")
    (folder / "loop.toml").symlink_to(folder / "loop.toml")
    (folder / "nowhere.toml").symlink_to(tmp_path / "none")
    (folder / "folder.toml").mkdir()
    os.mkfifo(folder / "pipe.toml")
    told = nobody.json("decks")
    assert [each["name"] for each in told["decks"] if each["own"]] == ["linked", "mine"]
    assert len(told["broken"]) == 4


def test_a_file_name_cannot_steer_the_terminal(nobody: Any) -> None:
    """Nothing that a name holds reaches the screen raw."""
    write(nobody.home, "a\x1b[31m\nb.toml", GOOD)
    result = nobody.ok("decks")
    assert "\x1b" not in result.out + result.err
    assert nobody.json("decks")["broken"]


def test_the_config_can_name_another_folder(sam: Any, tmp_path: Path) -> None:
    """Seen from the home, or from the root."""
    (tmp_path / "shelf").mkdir()
    (tmp_path / "shelf" / "shelved.toml").write_text(GOOD)
    config = sam.home / "config.toml"
    before = config.read_text()
    for value in (str(tmp_path / "shelf"), os.path.relpath(tmp_path / "shelf", sam.home)):
        config.write_text(before + f"decks = {json.dumps(value)}\n")
        assert sam.json("decks")["decks"][-1]["name"] == "shelved"
    config.write_text(before + 'decks = "~nobody-of-that-name/decks"\n')
    assert sam.json("decks")["broken"]
    assert sam.ok("timeline").code == 0


def test_the_page_on_decks_shows_decks_that_load(tmp_path: Path) -> None:
    """Every example in docs/decks.md is one."""
    from bide.words import load_deck_file

    page = (Path(__file__).parents[2] / "docs" / "decks.md").read_text(encoding="utf-8")
    examples = [part.split("```")[0] for part in page.split("```toml\n")[1:]]
    assert len(examples) >= 2
    for number, example in enumerate(examples):
        path = tmp_path / f"example-{number}.toml"
        path.write_text(example, encoding="utf-8")
        assert len(load_deck_file(path)) > 0
