"""Every command is listed, explained, and shown by an example."""

from __future__ import annotations

import importlib
from typing import Any

import click
import pytest

from bide_cli.cli import SUMMARIES, bide
from bide_cli.quick import READING, SHARED_FLAGS, WRITING, options_of, parse

FOR_PEOPLE_ONLY = {"demo"}
"""A story told on a terminal; it runs the other commands."""


def load(name: str) -> click.Command:
    command: click.Command = importlib.import_module(f"bide_cli.commands.{name}").command
    return command


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_command_has_its_line_and_an_example(name: str) -> None:
    command = load(name)
    assert (command.help or "").startswith(SUMMARIES[name].rstrip("."))
    assert f"bide {name}" in (command.epilog or "") or f" {name} " in (command.epilog or "")
    assert "Example" in (command.epilog or "")
    assert all(isinstance(p, click.Argument) or (isinstance(p, click.Option) and (p.help or p.hidden)) for p in command.params)


@pytest.mark.parametrize("name", sorted(set(SUMMARIES) - FOR_PEOPLE_ONLY))
def test_a_command_has_json_and_no_input(name: str) -> None:
    options = {option for parameter in load(name).params for option in parameter.opts}
    assert set(SHARED_FLAGS) <= options


def test_help_lists_every_command() -> None:
    context = click.Context(bide, info_name="bide")
    text = bide.get_help(context)
    assert all(f"  {name} " in text and summary in text for name, summary in SUMMARIES.items())


def test_every_module_of_a_command_is_listed() -> None:
    from pathlib import Path

    import bide_cli.commands

    folder = Path(bide_cli.commands.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(SUMMARIES)


@pytest.mark.parametrize("name", [*READING, *WRITING])
def test_the_quick_way_knows_what_click_knows(name: str) -> None:
    quick = options_of(name)
    assert quick is not None
    options: dict[str, click.Option] = {}
    for parameter in load(name).params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            options |= dict.fromkeys(parameter.opts, parameter)
    for group, multiple in ((quick.texts, False), (quick.numbers, False), (quick.lists, True)):
        for option in group:
            assert options[option].multiple is multiple
    assert all(options[option].is_flag for option in quick.flags)
    # Showing ideas is another thing than writing, so click does it.
    known = {*quick.texts, *quick.numbers, *quick.lists, *quick.flags, *SHARED_FLAGS}
    assert known == set(options) - {"--ideas"}


def test_the_quick_way_leaves_what_is_unclear_to_click() -> None:
    unclear: tuple[list[str], ...] = (
        [],
        ["--help"],
        ["timeline", "--help"],
        ["timeline", "--limi", "3"],
        ["timeline", "--limit", "x"],
        ["timeline", "--limit"],
        ["timeline", "--since", "--json"],
        ["timeline", "word"],
        ["timeline", "--by", "a", "--by", "b"],
        ["show"],
        ["show", "a", "b"],
        ["checkin", "--help"],
        ["checkin", "word"],
        ["thank", "--noticed", "--felt"],
        ["thank", "--noticed", "a", "--noticed", "b"],
        ["thank", "--now=1", "--noticed", "a"],
        ["--home"],
        ["--home", "", "timeline"],
    )
    assert [parse(args) for args in unclear] == [None] * len(unclear)
    assert parse(["--home", "/h", "timeline", "--limit", "20", "--kind=repair", "--json"]) == (
        "timeline",
        "/h",
        frozenset({"--json"}),
        {"limit": 20, "kind": ("repair",)},
    )
    assert parse(["thank", "--private", "--noticed", "-", "--felt=held, seen"]) == (
        "thank",
        "",
        frozenset({"--private"}),
        {"noticed": "-", "felt": "held, seen"},
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("thnak",), "thank"),
        (("timeline", "--limt", "3"), "--limit"),
        (("relay", "shw"), "show"),
        (("config", "set", "auto_snyc", "true"), "auto_sync"),
        (("people", "knd", "Robin", "friend"), "kind"),
        (("completion", "zhs"), "zsh"),
        (("repair", "rp-7KQ2MX", "acept"), "accept"),
        (("repair", "withdrw"), "withdraw"),
        (("timeline", "--kind", "chekin"), "checkin"),
        (("checkin", "--private", "--wants", "listenin"), "listening"),
        (("checkin", "--private", "--feelings", "gald"), "glad"),
        (("decks", "show", "qestions-1"), "questions-1"),
        (("config", "set", "language", "enn"), "en"),
    ],
    ids=" ".join,
)
def test_a_slip_is_answered_with_what_was_perhaps_meant(sam: Any, typed: tuple[str, ...], meant: str) -> None:
    """In one sentence and a hint, with the exit code of the mistake, and nothing is done."""
    before = sam.json("digest")
    result = sam.run(*typed, "--no-input")
    assert result.code in (2, 4)
    assert result.out == ""
    assert meant in result.err.replace(" ".join(typed), "")
    assert sam.json("digest") == before


QUIET: tuple[tuple[str, ...], ...] = (("config",), ("people",), ("status",), ("completion", "bash"), ("decks",))


@pytest.mark.parametrize("args", QUIET, ids=" ".join)
@pytest.mark.parametrize("how", ["NO_COLOR", "TERM", "--plain", "--accessible"])
def test_no_colour_where_none_is_wanted(sam: Any, args: tuple[str, ...], how: str) -> None:
    """On a real terminal: NO_COLOR, TERM=dumb, --plain and --accessible."""
    env = {"NO_COLOR": {"NO_COLOR": "1"}, "TERM": {"TERM": "dumb"}}.get(how, {})
    flags = (how,) if how.startswith("--") else ()
    child = sam.terminal(*args, *flags, PAGER="cat", **env)
    text = child.read()
    child.close()
    assert child.exitstatus == 0, text
    assert "\x1b[" not in text


def test_a_list_of_choices_is_coloured_quietly_where_that_is_welcome(sam: Any) -> None:
    """Faint and nothing else, so that the test above can fail."""
    child = sam.terminal("config")
    text = child.read()
    child.close()
    assert "\x1b[2m" in text
