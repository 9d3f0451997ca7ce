"""``bide search``."""

from __future__ import annotations

from typing import Any

import click

from bide_cli.options import shell_options
from bide_cli.reading import showing
from bide_cli.terminal.shell import Shell


@click.command(
    epilog="\b\nExamples:\n  bide search river\n  bide search 'drove my mother' --by Sam\n  bide search rain --limit 5"
)
@click.argument("words", nargs=-1, required=True)
@click.option("--since", default="", metavar="DAY", help="From this day on: 2026-11-22, today or yesterday.")
@click.option("--until", default="", metavar="DAY", help="Up to and with this day.")
@click.option("--by", default="", metavar="NAME", help="Written by this person; me for yourself.")
@click.option("--limit", default=0, type=click.IntRange(min=0), metavar="N", help="The newest N; 0 for all.")
@shell_options
def command(shell: Shell, **values: Any) -> None:
    """Find entries by words.

    An entry fits if it, or a reply to it, contains them all. Parts of words, capitals and accents don't matter.
    """
    showing.search(shell, **values)
