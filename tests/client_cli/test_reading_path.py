"""Reading and writing are quick because they import little."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bide.replica
import bide_cli

HEAVY = {
    "automerge",
    "nacl",
    "pydantic",
    "websockets",
    "msgpack",
    "spake2",
    "click",
    "rich",
    "keyring",
    "asyncio",
    "platformdirs",
    "gettext",
    "tomllib",
    "wcwidth",
    "dataclasses",
    "inspect",
}
SNIPPET = """
import sys
sys.argv = ["bide", *sys.argv[1:]]
from bide_cli.main import main
code = main()
print("\\n" + " ".join(sorted(name for name in sys.modules if "." not in name)), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.parametrize(
    "args", [["timeline", "--limit", "20"], ["timeline", "--json"], ["search", "river"], ["show", "ID"]], ids=lambda a: a[0]
)
def test_reading_imports_nothing_heavy(sam: Any, args: list[str]) -> None:
    code = sam.json("checkin", "--private", "--went-well", "by the river")["code"]
    args = [code if arg == "ID" else arg for arg in args]
    done = subprocess.run(
        [sys.executable, "-c", SNIPPET, *args], env=sam.env, capture_output=True, text=True, check=True, timeout=60
    )
    assert "river" in done.stdout
    assert HEAVY.isdisjoint(done.stderr.split())


@pytest.mark.parametrize("args", [["thank", "--noticed", "the river"], ["checkin", "--hard", "the river", "--json"]])
def test_writing_imports_no_more_than_it_needs(sam: Any, args: list[str]) -> None:
    """A well-formed command writes without click, and never with what only syncing or drawing needs."""
    done = subprocess.run(
        [sys.executable, "-c", SNIPPET, *args, "--private"], env=sam.env, capture_output=True, text=True, check=True, timeout=60
    )
    needed = {"automerge", "nacl", "msgpack"}
    assert (HEAVY - needed).isdisjoint(done.stderr.split())
    assert sam.entries("--search", "river")


def test_the_beginning_of_a_room_says_what_belongs_there_and_does_nothing() -> None:
    """It is run by whoever imports anything of the room."""
    beginnings = list(Path(bide_cli.__file__).parent.rglob("__init__.py"))
    beginnings += Path(bide.replica.__file__).parent.glob("*/__init__.py")
    assert len(beginnings) > 20
    for beginning in beginnings:
        tree = ast.parse(beginning.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), beginning
        assert len(tree.body) == 1, beginning


def test_the_timeline_has_what_scripts_rely_on(sam: Any) -> None:
    sam.ok(
        "checkin", "--private", "--feelings", "calm, glad", "--went-well", "the river", "--later", "milk", "--later", "bread"
    )
    printed = sam.json("timeline")
    assert printed["schema"] == "bide.timeline/1"
    (entry,) = printed["entries"]
    assert {"id", "kind", "by", "at", "tz", "day", "visibility", "fields", "replies"} <= set(entry)
    assert entry["by"] == {"name": "Sam", "me": True}
    assert entry["tz"] == "Europe/Berlin"
    assert entry["visibility"] == "private"
    assert entry["fields"] == {"feelings": ["calm", "glad"], "went_well": "the river", "later": ["milk", "bread"]}


def test_filters_choose(sam: Any) -> None:
    for number in range(3):
        sam.ok("checkin", "--private", "--hard", f"number {number}")
    sam.ok("thank", "--private", "--noticed", "the soup you made")
    assert [e["fields"]["hard"] for e in sam.entries("--kind", "checkin", "--limit", "2")] == ["number 1", "number 2"]
    assert len(sam.entries("--search", "SOUP")) == 1
    assert len(sam.entries("--by", "me")) == 4
    assert sam.entries("--until", "2001-01-01") == []
    assert len(sam.entries("--since", "yesterday")) == 4
    found = sam.json("search", "number", "2")
    assert found["schema"] == "bide.search/1"
    assert len(found["entries"]) == 1


def test_show_takes_the_beginning_of_a_code_and_the_id(sam: Any) -> None:
    written = sam.json("checkin", "--private", "--hard", "x")
    assert written["schema"] == "bide.checkin/1"
    assert {"id", "code", "visibility"} <= set(written)
    for text in (written["id"], written["code"], written["code"][3:].lower(), written["code"][3:7]):
        assert sam.json("show", text)["entry"]["id"] == written["id"]


def test_nothing_of_a_text_takes_over_a_terminal(sam: Any) -> None:
    sam.ok("checkin", "--private", "--hard", "left\u202eright\u2066")
    shown = sam.ok("timeline", "--plain").out
    assert "leftright" in shown
    assert not {"\u202e", "\u2066", "\x1b"} & set(shown)


def test_json_says_the_text_as_it_is(sam: Any) -> None:
    sam.ok("checkin", "--private", "--hard", "日本 é")
    assert sam.entries()[0]["fields"]["hard"] == "日本 é"
    plain = sam.run("timeline", "--json", env={"PYTHONIOENCODING": "ascii"})
    assert json.loads(plain.out)["entries"][0]["fields"]["hard"] == "日本 é"


@pytest.mark.parametrize("command", ["status", "digest", "doctor", "rebuild", "repair", "relay"])
def test_every_reading_command_prints_its_schema(sam: Any, command: str) -> None:
    assert sam.json(command)["schema"] == f"bide.{command}/1"


def test_a_rebuild_changes_nothing_that_is_shown(sam: Any) -> None:
    sam.ok("checkin", "--private", "--hard", "x")
    before = sam.entries(), sam.json("digest")
    sam.ok("rebuild")
    assert (sam.entries(), sam.json("digest")) == before
