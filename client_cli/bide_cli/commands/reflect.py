"""``bide reflect``."""

from __future__ import annotations

import click

from bide.entries.fields import clean_field
from bide.entries.reflection import FIELDS
from bide.errors import InputError
from bide_cli.language import _, language
from bide_cli.options import field_options, shell_options
from bide_cli.prompting.starters import day_number
from bide_cli.terminal.asking import ask_until_good
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.opening import require_home
from bide_cli.writing.entry import write_entry
from bide_cli.writing.giving import Given

DECK = "reflection"
_NEXT = "n"
_FREE = "f"
_LETTERS_MAX = 3
"""What is no longer than this was meant as a choice."""
TEXT = next(field for field in FIELDS if field.required)


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
    prompt, begun = "", ""
    if not given.by_options and not given.edit and shell.may_ask:
        require_home(shell)
        prompt, begun = _choose_prompt(shell)
    asked = tuple(field for field in FIELDS if field.asked and not (begun and field.name == TEXT.name))
    noted = {"prompt": prompt, TEXT.name: begun}
    write_entry(shell, "reflection", asked, given, private=True, with_="", command="reflect", noted=noted)


def _choose_prompt(shell: Shell) -> tuple[str, str]:
    """The thought to begin with, and what the person wrote at once in answer to it; either may be empty."""
    from bide.words import deck

    items = deck(DECK, language()).items
    number = day_number()
    while True:
        text = items[number % len(items)].text
        shell.say(text)
        answer = ask_until_good(shell, _("Enter takes it, n shows another, f begins without one:"), _take_or_text)
        if answer == _FREE:
            return "", ""
        if answer != _NEXT:
            return text, answer
        number += 1


def _take_or_text(typed: str) -> str:
    """A letter, or a text: whoever writes on the spot means just that, and must not lose it."""
    word = typed.strip()
    if word.casefold() in ("", _NEXT, _FREE):
        return word.casefold()
    if len(word) <= _LETTERS_MAX:
        raise InputError("Press Enter, type n or f, or begin to write.")
    return clean_field(TEXT, typed)
