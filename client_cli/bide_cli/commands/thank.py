"""``bide thank``."""

from __future__ import annotations

import click

from bide.entries.appreciation import FIELDS
from bide_cli.options import field_options, now_option, private_option, shell_options, with_option
from bide_cli.terminal.shell import Shell
from bide_cli.writing.entering import enter
from bide_cli.writing.giving import Given


@click.command(
    epilog="\b\nExamples:\n  bide thank\n  bide thank --noticed 'You drove my mother home in the rain.' --felt held\n"
    "  bide thank --noticed - < note.txt"
)
@field_options(FIELDS)
@private_option
@with_option
@now_option
@shell_options
def command(shell: Shell, given: Given, private: bool, with_: str) -> None:
    """Tell what you noticed and liked.

    What it was, what it did to you, and what it shows about the other. The first is needed, the others are welcome.
    """
    enter(shell, "thank", given, private=private, with_=with_)
