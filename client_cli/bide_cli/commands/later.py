"""``bide later``."""

from __future__ import annotations

import click

from bide_cli.home.folder import read_config
from bide_cli.language import _
from bide_cli.options import shell_options
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.opening import open_replica
from bide_cli.writing.holding import require_place
from bide_cli.writing.telling import tell_written


@click.command(epilog="\b\nExamples:\n  bide later qu-7KQ2MX\n  bide later rp-62XTN3\n  bide later qu-7KQ2MX --back")
@click.argument("entry_id", metavar="ID")
@click.option("--back", is_flag=True, help="Take it up again.")
@shell_options
def command(shell: Shell, entry_id: str, back: bool) -> None:
    """Say "not right now" to something.

    To a question, a conversation, or anything else that the other wrote. No reason is asked for or given, it is counted
    nowhere, and it runs out never.
    """
    config = read_config(shell.home)
    replica = open_replica(shell, config)
    require_place(replica, entry_id)
    written = replica.postpone(entry_id, back=back)
    words = _("Good. It is open again.") if back else _("Fine. It stays where it is, and nobody is told why.")
    seen = _("Open again; {names} can see that") if back else _("For later; {names} can see that")
    again = "" if back else _("take it up again: bide later {code} --back")
    extra = {"later": not back}
    tell_written(shell, "later", replica, config, written, words=words, seen=seen, back=again, extra=extra)
