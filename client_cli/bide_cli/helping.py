r"""Help in other languages: the texts of click's commands stand in English where they are declared, and are turned here.

A help text is translated paragraph by paragraph, however its lines were broken, so that breaking them elsewhere leaves the
translations as they are. Of a block that is kept as it stands (``\b``) only the heading is words; the rest are commands.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import click

from bide_cli.language import N_, _

SEVERAL = N_("Can be given several times.")
"""Follows the question of a field, in the help of its option."""
_VERBATIM = "\b"
_DONE = "bide_cli.helping.done"

Say = Callable[[str], str]


def translate(command: click.Command) -> click.Command:
    """Turn the texts of a command, and of those beneath it, into the language of this call; gives it back."""
    reword(command, _)
    return command


def reword(command: click.Command, say: Say) -> None:
    """Put every text of a command, and of those beneath it, through `say`. Once is enough, so a second time does nothing."""
    if getattr(command, _DONE, False):
        return
    setattr(command, _DONE, True)
    command.help = said(command.help, say)
    command.short_help = said(command.short_help, say)
    command.epilog = said(command.epilog, say)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            parameter.help = _option_said(parameter.help, say)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            reword(below, say)


def texts(command: click.Command) -> list[str]:
    """Every text that `reword` would put through, for those who translate; changes nothing."""
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    said(command.help, note)
    said(command.short_help, note)
    said(command.epilog, note)
    for parameter in command.params:
        if isinstance(parameter, click.Option) and not parameter.hidden:
            _option_said(parameter.help, note)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            found += texts(below)
    return found


def said(text: str | None, say: Say) -> str | None:
    """A help text or an epilog, paragraph by paragraph."""
    if not text:
        return text
    paragraphs = inspect.cleandoc(text).split("\f")[0].strip("\n").split("\n\n")
    return "\n\n".join(_block_said(block, say) if block.startswith(_VERBATIM) else say(_flowed(block)) for block in paragraphs)


def _block_said(block: str, say: Say) -> str:
    lines = block.split("\n")
    # A heading ends in a colon and stands at the margin.
    return "\n".join(say(line) if line.endswith(":") and not line.startswith(" ") else line for line in lines)


def _flowed(block: str) -> str:
    return " ".join(block.split())


def _option_said(text: str | None, say: Say) -> str | None:
    if not text:
        return text
    words = _flowed(text)
    if words.endswith(f" {SEVERAL}"):
        return f"{say(words.removesuffix(f' {SEVERAL}'))} {say(SEVERAL)}"
    return say(words)
