"""The threat model names the tests that show its promises, and says what is not promised; SECURITY.md leads there."""

from __future__ import annotations

import ast
import re
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest

from bide_cli.cli import SUMMARIES

ROOT = Path(__file__).parents[2]
MODEL = (ROOT / "docs/threat-model.md").read_text("utf-8")
SECURITY = (ROOT / "SECURITY.md").read_text("utf-8")
ENCRYPTION = (ROOT / "docs/encryption.md").read_text("utf-8")
TABLE = "| promise | shown by |\n| --- | --- |\n"
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
SECTIONS = {part.partition("\n")[0]: part for part in re.split(r"(?m)^## ", MODEL)[1:]}
ADVERSARIES = {title: text for title, text in SECTIONS.items() if title not in ("What is to be protected", "Not there yet")}


def promises(text: str) -> list[str]:
    """The rows of the tables of promises."""
    tables = (table.splitlines() for table in text.split(TABLE)[1:])
    return [row for table in tables for row in takewhile(lambda line: line.startswith("|"), table)]


@cache
def named_in(path: str) -> frozenset[str]:
    """What pytest would find in a file: functions, and the classes that hypothesis makes of state machines."""
    found = set()
    for node in ast.parse((ROOT / path).read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            found.add(node.name)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id.startswith("Test"):
            found.add(node.targets[0].id)
    return frozenset(found)


@pytest.mark.parametrize("title", ADVERSARIES)
def test_of_everybody_is_said_what_is_promised_and_what_is_not(title: str) -> None:
    """Each has a table of promises, and a paragraph of what is not promised."""
    assert promises(ADVERSARIES[title])
    assert "**Not promised.**" in ADVERSARIES[title]


def test_everybody_of_whom_people_are_afraid_is_there() -> None:
    """The relay, the network, thieves, who knows a password, former and controlling partners, and those who tamper."""
    words = ("relay", "network", "locked", "unlocked", "password", "ex-partner", "controlling", "poisoned", "lost", "software")
    titles = " ".join(ADVERSARIES).lower()
    assert [word for word in words if word not in titles] == []


@pytest.mark.parametrize("row", promises(MODEL), ids=lambda row: row.split("|")[1].strip()[:60])
def test_each_promise_names_tests_that_there_are(row: str) -> None:
    """At least one; nothing else stands in that column."""
    _, promise, shown, _ = row.split("|")
    named = NAMED.findall(shown)
    assert promise.strip()
    assert named
    assert NAMED.sub("", shown).strip(" ,") == ""
    assert [f"{path}::{name}" for path, name in named if name not in named_in(path)] == []


def test_a_promise_has_its_place_in_a_table() -> None:
    """No test is named outside of the tables, where nothing would look after it."""
    assert len(NAMED.findall(MODEL)) == sum(len(NAMED.findall(row)) for row in promises(MODEL))


def test_what_is_not_there_yet_is_not_there() -> None:
    """Once a command has come, the page has to say what it promises instead."""
    missing = set(re.findall(r"`bide (\w+)`", SECTIONS["Not there yet"]))
    here = missing & SUMMARIES.keys()
    assert not here, f"docs/threat-model.md: 'Not there yet' lists {here}; move it to the promises, with its tests"


def test_the_page_names_only_commands_that_there_are() -> None:
    """All but those that are not there yet."""
    text = MODEL.replace(SECTIONS["Not there yet"], "")
    assert set(re.findall(r"`bide (\w+)", text)) <= SUMMARIES.keys()


@pytest.mark.parametrize("text", [SECURITY, ENCRYPTION], ids=["SECURITY.md", "encryption.md"])
def test_the_links_and_the_tests_that_are_named_exist(text: str) -> None:
    """From where each of the two pages stands."""
    folder = ROOT if text is SECURITY else ROOT / "docs"
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        assert "://" in target or (folder / target).exists(), target
    for path, name in NAMED.findall(text):
        assert name in named_in(path)


def test_a_weakness_can_be_reported_without_an_address_that_nobody_reads() -> None:
    """By the advisory of the forge; there is no mailbox of this project."""
    assert "security advisory" in SECURITY
    assert not re.search(r"\S+@\S+\.\w+", SECURITY)
    assert "docs/threat-model.md" in SECURITY
