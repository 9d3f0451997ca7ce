"""``bide receive``."""

from __future__ import annotations

import click

from bide.entries.reception import FIELDS
from bide_cli.options import field_options, now_option, shell_options
from bide_cli.terminal.shell import Shell
from bide_cli.writing.entry import write_reply
from bide_cli.writing.giving import Given


@click.command(
    epilog="\b\nExamples:\n  bide receive sh-7KQ2MX\n  bide receive sh-7KQ2MX --words 'Thank you for trusting me with it.'"
)
@click.argument("entry_id", metavar="ID")
@field_options(FIELDS)
@now_option
@shell_options
def command(shell: Shell, entry_id: str, given: Given) -> None:
    """Thank the other for telling you.

    Only if you choose to: nothing is sent by reading. With words of your own, or without any.
    """
    write_reply(shell, "reception", FIELDS, entry_id, given, command="receive", wordless=True)
