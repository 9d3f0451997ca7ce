"""``bide feel``."""

from __future__ import annotations

import click

from bide.entries.feeling import FIELDS
from bide.errors import InputError
from bide_cli.options import field_options, now_option, private_option, shell_options, with_option
from bide_cli.terminal.shell import Shell
from bide_cli.writing.entry import write_entry
from bide_cli.writing.giving import Given


@click.command(
    epilog="\b\nExamples:\n  bide feel\n  bide feel relieved\n  bide feel tired close --note 'After the long drive.'\n"
    "  bide feel calm/floaty --private"
)
@click.argument("words", nargs=-1, metavar="[WORD]...")
@field_options(FIELDS)
@private_option
@with_option
@now_option
@shell_options
def command(shell: Shell, words: tuple[str, ...], given: Given, private: bool, with_: str) -> None:
    """Name what you feel.

    Up to three words. Without any, nine to begin with are offered, and nearer ones beneath each; stop wherever it fits, or type
    a word to look for. A word of your own goes beneath one of the nine, as in calm/floaty.
    """
    if words:
        if given.values.get("feelings"):
            raise InputError("Name the feelings once: as words, or by --feelings.")
        given.values["feelings"] = list(words)
        given.by_options = True
    write_entry(shell, "feeling", FIELDS, given, private=private, with_=with_, command="feel")
