"""``bide rebuild``."""

from __future__ import annotations

import click

from bide_cli.language import _, plural
from bide_cli.options import shell_options
from bide_cli.terminal.shell import Shell
from bide_cli.terminal.waiting import Waiting
from bide_cli.unlocking.opening import open_replica


@click.command(epilog="\b\nExample:\n  bide rebuild")
@shell_options
def command(shell: Shell) -> None:
    """Build everything shown again from the log.

    The timeline afterwards is the same. Only needed if bide doctor says so, or after an upgrade.
    """
    replica = open_replica(shell)
    waiting = Waiting(shell)
    waiting.begin(_("Building everything anew"))
    try:
        replica.rebuild(waiting.progress)
    finally:
        waiting.end()
    spaces = replica.status()["spaces"]
    entries = sum(space["entries"] for space in spaces)
    if shell.as_json:
        shell.emit("rebuild", entries=entries, spaces=len(spaces))
    else:
        shell.out(_("Built again from the log: {entries}.").format(entries=plural("{n} entry", "{n} entries", entries)))
