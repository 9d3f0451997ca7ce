"""The tree of commands, taken apart for the pages, the manual and the completion files."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import NamedTuple

import click

SHARED_OPTIONS = ("--json", "--plain", "--accessible", "--no-input")
_PREFORMATTED = "\b"


class Paragraph(NamedTuple):
    """A part of a help text."""

    text: str
    preformatted: bool = False
    """Its lines stand as they are."""


class Option(NamedTuple):
    """An option or an argument as it is typed."""

    names: tuple[str, ...]
    """Empty for an argument."""
    metavar: str
    """Of its value; empty for a flag."""
    words: str
    """What it does, in a line."""
    choices: tuple[str, ...]
    """What its value can be, where that is a few words."""

    @property
    def typed(self) -> str:
        """All of it, as in a usage line."""
        return f"{', '.join(self.names)} {self.metavar}".strip()


def walk(command: click.Command, path: str) -> Iterable[tuple[str, click.Command]]:
    """A command and those beneath it, with what is typed to get there."""
    context = click.Context(command, info_name=path)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from walk(below, f"{path} {name}")
        if not command.invoke_without_command or path.count(" ") == 0:
            return
    yield path, command


def usage(path: str, command: click.Command) -> str:
    """The usage line."""
    return " ".join([path, *command.collect_usage_pieces(click.Context(command, info_name=path))])


def help_of(command: click.Command) -> list[Paragraph]:
    """What ``--help`` says about a command before its options."""
    return _paragraphs(inspect.cleandoc(command.help or "").split("\f")[0])


def summary_of(command: click.Command) -> str:
    """The first line of it."""
    return help_of(command)[0].text


def examples_of(command: click.Command) -> tuple[list[str], list[Paragraph]]:
    """The lines of a command's examples, and what its epilog says besides."""
    lines: list[str] = []
    others: list[Paragraph] = []
    for paragraph in _paragraphs(inspect.cleandoc(command.epilog or "")):
        head, _, rest = paragraph.text.partition("\n")
        if paragraph.preformatted and head.rstrip(":") in ("Example", "Examples"):
            lines += [line.strip() for line in rest.splitlines()]
        else:
            others.append(paragraph)
    return lines, others


def _paragraphs(text: str) -> list[Paragraph]:
    found = []
    for part in text.split("\n\n"):
        preformatted = part.startswith(_PREFORMATTED)
        words = part.removeprefix(_PREFORMATTED).strip("\n")
        if words.strip():
            found.append(Paragraph(words if preformatted else " ".join(words.split()), preformatted))
    return found


def options_of(command: click.Command, *, shared: bool = True) -> list[Option]:
    """The options and arguments of a command that ``--help`` shows, itself excepted.

    Args:
        command: whose.
        shared: with those that every command takes.
    """
    context = click.Context(command)
    found = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or "--help" in parameter.opts:
            continue
        if not shared and set(parameter.opts) & set(SHARED_OPTIONS):
            continue
        metavar = parameter.make_metavar(context)
        choices = tuple(map(str, parameter.type.choices)) if isinstance(parameter.type, click.Choice) else ()
        if not choices and "|" in metavar and metavar.lower() == metavar:
            choices = tuple(metavar.strip("[].").split("|"))
        if isinstance(parameter, click.Option):
            names = (*parameter.opts, *parameter.secondary_opts)
            found.append(Option(names, "" if parameter.is_flag else metavar, parameter.help or "", choices))
        else:
            found.append(Option((), metavar, "", choices))
    return found
