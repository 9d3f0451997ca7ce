"""``bide show``."""

from __future__ import annotations

import click

from bide_cli.options import shell_options
from bide_cli.reading import showing
from bide_cli.terminal.shell import Shell


@click.command(epilog="\b\nExamples:\n  bide show th-7KQ2MX\n  bide show 7kq2 --json")
@click.argument("words", metavar="ID", nargs=1)
@shell_options
def command(shell: Shell, words: str) -> None:
    """Read one entry whole.

    With the replies to it, its earlier texts, and how far it has come. The first four characters of an id are enough.
    """
    showing.show(shell, words=(words,))
