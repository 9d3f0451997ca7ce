"""``bide did``."""

from __future__ import annotations

import click

from bide.entries.activity import FIELDS
from bide.errors import InputError
from bide_cli.language import language
from bide_cli.options import field_options, now_option, private_option, shell_options, with_option
from bide_cli.prompting.starters import day_number
from bide_cli.terminal.shell import Shell
from bide_cli.writing.entering import enter
from bide_cli.writing.giving import Given

DECK = "new-things"
IDEAS = 3


@click.command(
    epilog="\b\nExamples:\n  bide did\n  bide did --what 'Took the night train to the sea' --idea both\n  bide did --ideas"
)
@field_options(FIELDS)
@click.option("--ideas", is_flag=True, help="Show a few things to do together, and write nothing.")
@private_option
@with_option
@now_option
@shell_options
def command(shell: Shell, given: Given, ideas: bool, private: bool, with_: str) -> None:
    """Keep something that you did together.

    What it was, whose idea, and what you want to remember. With --ideas a few things are shown that you may not have tried
    yet; they change from day to day.
    """
    if not ideas:
        enter(shell, "did", given, private=private, with_=with_)
        return
    if given.by_options or given.edit:
        raise InputError("With --ideas nothing is written, so it goes with no other option.")
    from bide.words import deck

    items = deck(DECK, language()).items
    # A few that are far from each other in the deck, so that they differ in kind.
    chosen = [items[(day_number() + number * len(items) // IDEAS) % len(items)] for number in range(IDEAS)]
    if shell.as_json:
        shell.emit("did", ideas=[{"id": item.id, "text": item.text, "note": item.note} for item in chosen])
        return
    for item in chosen:
        shell.out(f"  {item.text}")
        if item.note:
            shell.out(f"    {item.note}")
