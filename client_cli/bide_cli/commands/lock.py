"""``bide lock``."""

from __future__ import annotations

import click

from bide_cli.home import folder as homes
from bide_cli.home.leftovers import remove_leftovers
from bide_cli.language import _
from bide_cli.options import shell_options
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.agent import end_agent
from bide_cli.unlocking.opening import require_home


@click.command(epilog="\b\nExample:\n  bide lock")
@shell_options
def command(shell: Shell) -> None:
    """Close this home again.

    Ends what bide unlock began. A running bide sync --watch keeps the journal open for itself until it is ended.
    """
    require_home(shell)
    remove_leftovers(shell.home)
    ended = end_agent(shell.home)
    method = homes.read_config(shell.home).unlock
    if shell.as_json:
        shell.emit("lock", locked=method in homes.BY_PASSPHRASE, was_unlocked=ended)
    elif method == homes.KEY_FILE:
        shell.say(_("This home opens with its key file: it is closed while the file is not there."))
    elif method == homes.KEYRING:
        shell.say(_("This home opens with the keyring of this system: it is closed while you are logged out."))
    elif ended:
        shell.say(_("Closed. The passphrase is asked again."))
    else:
        shell.say(_("It was closed already."))
