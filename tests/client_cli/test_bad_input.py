"""What can't be used is told in a sentence, with its exit code, and nothing is written."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

BAD_JSON = [
    "[1]",
    "null",
    '"x"',
    "{",
    "",
    '{"hard": "a", "hard": "b"}',
    "[" * 5000,
    '{"nope": "x"}',
    '{"hard": 3}',
    '{"hard": "\\ud800"}',
]


def refused(sam: Any, *args: str, stdin: str | bytes = "", code: int = 2) -> Any:
    result = sam.run(*args, stdin=stdin)
    assert result.code == code, result
    assert result.out == ""
    assert "Traceback" not in result.err
    assert result.err.strip()
    assert sam.entries() == []
    return result


@pytest.mark.parametrize("text", BAD_JSON)
def test_json_that_is_no_entry_is_refused(sam: Any, text: str) -> None:
    refused(sam, "checkin", "--private", "--from-json", "-", stdin=text)


@pytest.mark.parametrize(
    "text",
    ["", "   \n", "x" * 10_001, "bell\x07", "esc\x1b[31m", "nul\x00"],
    ids=["empty", "blank", "long", "bell", "esc", "nul"],
)
def test_text_that_cannot_be_shown_is_refused(sam: Any, text: str) -> None:
    refused(sam, "checkin", "--private", "--hard", "-", stdin=text)


def test_invalid_utf8_on_stdin_is_refused(sam: Any) -> None:
    assert "UTF-8" in refused(sam, "checkin", "--private", "--hard", "-", stdin=b"caf\xe9").err
    refused(sam, "checkin", "--private", "--from-json", "-", stdin=b'{"hard": "caf\xe9"}')


def test_invalid_utf8_in_an_argument_is_refused(sam: Any) -> None:
    assert "UTF-8" in refused(sam, "checkin", "--private", "--hard", os.fsdecode(b"caf\xe9")).err


def test_more_than_a_mebibyte_is_refused(sam: Any) -> None:
    refused(sam, "checkin", "--private", "--from-json", "-", stdin='{"hard": "' + "x" * (1024 * 1024) + '"}')


def test_stdin_can_be_given_once(sam: Any) -> None:
    refused(sam, "checkin", "--private", "--hard", "-", "--worry", "-", stdin="x")
    refused(sam, "checkin", "--private", "--from-json", "-", "--hard", "y", stdin='{"hard": "x"}')


def test_nothing_said_without_a_terminal_is_refused(sam: Any) -> None:
    assert "--hard" in refused(sam, "checkin", "--private").err


@pytest.mark.parametrize(
    ("args", "code", "name"),
    [
        (["nonsense"], 2, "usage"),
        (["timeline", "--nonsense"], 2, "usage"),
        (["timeline", "--since", "last week"], 2, "input"),
        (["timeline", "--kind", "poem"], 2, "input"),
        (["timeline", "--by", "Nobody"], 4, "not_found"),
        (["show", "th-ZZZZZZ"], 4, "not_found"),
        (["edit", "01a2051f-a607-7d79-a30b-baa8f2ebb182", "--hard", "x"], 4, "not_found"),
        (["thank", "--noticed", "the tea"], 3, "not_paired"),
        (["repair", "--topic", "the dishes"], 3, "not_paired"),
        (["repair", "th-ZZZZZZ", "dance"], 2, "input"),
        (["sync"], 8, "not_allowed"),
        (["thank", "--private", "--with", "Sam", "--noticed", "x"], 2, "input"),
        (["checkin", "--private", "--with", "Sam"], 2, "input"),
        (["pair", "--words-verified"], 2, "input"),
        (["relay", "set", "ws://relay.example.org"], 2, "input"),
        (["relay", "set", "https://relay.example.org"], 2, "input"),
        (["relay", "set", "wss://me:secret@relay.example.org"], 2, "input"),
        (["join", "not a code", "--words-verified"], 2, "input"),
        (["init", "--name", "Again", "--no-input"], 8, "not_allowed"),
    ],
)
def test_an_error_has_its_exit_code_and_its_json(sam: Any, args: list[str], code: int, name: str) -> None:
    human = sam.run(*args)
    assert human.code == code
    assert human.out == ""
    assert "Traceback" not in human.err
    machine = sam.run(*args, "--json")
    assert machine.code == code
    error = json.loads(machine.err)
    assert error["schema"] == "bide.error/1"
    assert error["code"] == name
    assert human.err.startswith(error["message"])


def test_an_unknown_word_is_never_an_entry_but_a_suggestion(sam: Any) -> None:
    assert "timeline" in refused(sam, "tmeline").err


def test_no_home_says_how_to_make_one(nobody: Any) -> None:
    result = nobody.run("timeline", "--json")
    assert result.code == 4
    assert "bide init" in result.error["hint"]
    assert not nobody.home.exists()


def test_a_newer_database_is_left_alone(sam: Any) -> None:
    import apsw

    key = next(
        line.split('"')[1] for line in (sam.home / "config.toml").read_text().splitlines() if line.startswith("key_file")
    )
    connection = apsw.Connection(str(sam.home / "bide.db"))
    connection.execute("PRAGMA cipher = 'chacha20'")
    with open(key, "rb") as file:
        connection.execute(f"PRAGMA key = 'raw:{file.read().hex()}'")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = (sam.home / "bide.db").read_bytes()
    result = sam.run("checkin", "--private", "--hard", "x", "--json")
    assert result.code == 1
    assert result.error["code"] == "newer_format"
    assert (sam.home / "bide.db").read_bytes() == before


def test_an_unforeseen_error_is_one_sentence(sam: Any) -> None:
    (sam.home / "config.toml").write_text('unlock = "key-file"\nkey_file = "/dev/null/\\u0000"\n')
    result = sam.run("timeline")
    assert result.code != 0
    assert "Traceback" not in result.err


def test_a_reader_that_goes_away_is_no_error(sam: Any) -> None:
    sam.ok("checkin", "--private", "--hard", "x" * 9000)
    process = sam.start("timeline")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(20) == 0
