"""``bide reflect``."""

from __future__ import annotations

import click

from bide.entries.reflection import FIELDS
from bide_cli.asking import ask
from bide_cli.giving import Given
from bide_cli.language import _, language
from bide_cli.opening import require_home
from bide_cli.options import field_options, shell_options
from bide_cli.shell import Shell
from bide_cli.starters import day_number
from bide_cli.writing import write_entry

DECK = "reflection"
_NEXT = "n"
_FREE = "f"


@click.command(
    epilog="\b\nExamples:\n  bide reflect\n  bide reflect --text 'What I would not say aloud yet.'\n  bide reflect --edit"
)
@field_options(FIELDS)
@shell_options
def command(shell: Shell, given: Given) -> None:
    """Write for yourself.

    A thought to begin with, if you like one. It stays in your own space, where nothing but your own devices can open it.
    Should you want to share it one day: bide release ID.
    """
    prompt = ""
    if not given.by_options and not given.edit and shell.may_ask:
        require_home(shell)
        prompt = _choose_prompt(shell)
    write_entry(shell, "reflection", FIELDS, given, private=True, with_="", command="reflect", noted={"prompt": prompt})


def _choose_prompt(shell: Shell) -> str:
    from bide.words import deck

    items = deck(DECK, language()).items
    number = day_number()
    while True:
        text = items[number % len(items)].text
        shell.say(text)
        answer = ask(shell, _("Enter takes it, n shows another, f begins without one:")).strip().casefold()
        if answer == _FREE:
            return ""
        if answer != _NEXT:
            return text
        number += 1
