"""``bide share``."""

from __future__ import annotations

import click

from bide.entries.share import FIELDS
from bide_cli.options import field_options, now_option, private_option, shell_options, with_option
from bide_cli.terminal.shell import Shell
from bide_cli.writing.entering import enter
from bide_cli.writing.giving import Given


@click.command(
    epilog="\b\nExamples:\n  bide share\n  bide share --text 'I was scared before the interview.' --depth 2 --wants listening\n"
    "  bide share --text - --private < note.txt"
)
@field_options(FIELDS)
@private_option
@with_option
@now_option
@shell_options
def command(shell: Shell, given: Given, private: bool, with_: str) -> None:
    """Tell something about yourself.

    You choose how deep it goes, from 1 to 3, and what would help: that the other listens, advises, or nothing. Small things
    count. It goes to the other person, or with --private to nobody.
    """
    enter(shell, "share", given, private=private, with_=with_)
