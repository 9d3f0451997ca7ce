"""``bide outbox``."""

from __future__ import annotations

import click

from bide_cli.language import _
from bide_cli.options import shell_options
from bide_cli.reading.outbox import outbox_lines
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.opening import open_replica


@click.command(epilog="\b\nExamples:\n  bide outbox\n  bide outbox --json | jq '.held[].due'")
@shell_options
def command(shell: Shell) -> None:
    """See what waits here before it is sent.

    It is on this device only, and nobody else knows of it. bide send lets it go now, bide undo takes it back.
    """
    items = open_replica(shell).holding.shown()
    if shell.as_json:
        shell.emit("outbox", held=items)
    elif items:
        shell.page("\n".join(outbox_lines(shell, items)) + "\n")
    else:
        shell.say(_("Nothing is held back."))
