"""``bide digest``."""

from __future__ import annotations

import click

from bide_cli.language import _, plural
from bide_cli.options import shell_options
from bide_cli.terminal.shell import Shell, name_list
from bide_cli.unlocking.opening import open_replica


@click.command(epilog="\b\nExamples:\n  bide digest\n  bide digest --json | jq -r '.spaces[].digest'")
@shell_options
def command(shell: Shell) -> None:
    """Compare two devices by one short line.

    One digest for each space. Two devices that hold the same log and show the same timeline have the same.
    """
    digests = open_replica(shell).digest()
    if shell.as_json:
        shell.emit("digest", spaces=digests)
        return
    for item in digests:
        label = _("With {name}").format(name=name_list(item["with"])) if item["with"] else _("Only yours")
        shell.out(f"{item['digest']}  {label}, {plural('{n} entry', '{n} entries', item['entries'])}")
