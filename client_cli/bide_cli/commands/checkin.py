"""``bide checkin``."""

from __future__ import annotations

import click

from bide.entries.checkin import FIELDS
from bide_cli.options import field_options, now_option, private_option, shell_options, with_option
from bide_cli.terminal.shell import Shell
from bide_cli.writing.entering import enter
from bide_cli.writing.giving import Given


@click.command(
    epilog="\b\nExamples:\n  bide checkin\n  bide checkin --went-well 'The walk by the river' --feelings calm\n"
    '  bide checkin --private --edit\n  echo \'{"hard": "The meeting"}\' | bide checkin --from-json -'
)
@field_options(FIELDS)
@private_option
@with_option
@now_option
@shell_options
def command(shell: Shell, given: Given, private: bool, with_: str) -> None:
    """Say how you are.

    Any one of the questions is enough. On a terminal they are asked one by one.
    """
    enter(shell, "checkin", given, private=private, with_=with_)
