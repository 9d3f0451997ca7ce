"""``bide timeline``."""

from __future__ import annotations

from typing import Any

import click

from bide_cli.options import shell_options
from bide_cli.reading import showing
from bide_cli.terminal.shell import Shell


@click.command(
    epilog="\b\nExamples:\n  bide timeline\n  bide timeline --since 2026-11-01 --kind repair\n"
    "  bide timeline --by me --limit 20\n  bide timeline --json | jq '.entries[].fields'"
)
@click.option("--since", default="", metavar="DAY", help="From this day on: 2026-11-22, today or yesterday.")
@click.option("--until", default="", metavar="DAY", help="Up to and with this day.")
@click.option(
    "--kind",
    multiple=True,
    metavar="KIND",
    help="checkin, appreciation, repair, share, question, feeling, activity, reflection or keepsake; "
    "can be given several times.",
)
@click.option("--by", default="", metavar="NAME", help="Written by this person; me for yourself.")
@click.option("--search", default="", metavar="WORDS", help="With all of these words in it.")
@click.option("--with", "with_", default="", metavar="NAME", help="Shared with this person.")
@click.option("--limit", default=0, type=click.IntRange(min=0), metavar="N", help="The newest N; 0 for all.")
@shell_options
def command(shell: Shell, **values: Any) -> None:
    """Read what you both wrote.

    Days follow one another, the newest at the end.
    """
    showing.timeline(shell, **values)
