"""``bide relay``."""

from __future__ import annotations

import click

from bide_cli.language import _
from bide_cli.opening import open_replica
from bide_cli.options import shell_options
from bide_cli.shell import Shell


@click.group(
    invoke_without_command=True,
    epilog="\b\nExamples:\n  bide relay set wss://relay.example.org\n  bide relay set wss://relay.example.org --invite -\n"
    "  bide relay show\n  bide relay unset",
)
@shell_options
def command(shell: Shell) -> None:
    """Choose the relay.

    The relay carries what you share to the other's devices, and what is private to your own. It can't read any of it. Without
    one everything stays here.
    """
    context = click.get_current_context()
    context.obj = {**(context.obj or {}), "home": str(shell.home)}
    if context.invoked_subcommand is None:
        _show(shell)


def _show(shell: Shell) -> None:
    url = open_replica(shell).relay()
    if shell.as_json:
        shell.emit("relay", relay=url)
    elif url:
        shell.out(url)
    else:
        shell.say(_("No relay is set. (bide relay set URL)"))


@command.command("show", epilog="\b\nExample:\n  bide relay show --json")
@shell_options
def show(shell: Shell) -> None:
    """Show which relay is used."""
    _show(shell)


@command.command("set", epilog="\b\nExamples:\n  bide relay set wss://relay.example.org\n  bide relay set ws://127.0.0.1:8765")
@click.argument("url")
@click.option("--invite", metavar="TOKEN", default="", help="What the relay's keeper gave you; - reads it from stdin.")
@shell_options
def set_relay(shell: Shell, url: str, invite: str) -> None:
    """Sync through this relay from now on.

    Nothing is sent yet; bide sync or the next entry does. Private entries go too, sealed for your own other devices. A
    journal that you joined through another relay stays with that one, where the other person's device is.
    """
    from bide.replica.addresses import check_url
    from bide_cli.giving import STDIN, read_stdin

    checked = check_url(url)
    token = read_stdin().strip() if invite == STDIN else invite
    open_replica(shell).set_relay(checked, invite=token)
    if shell.as_json:
        shell.emit("relay", relay=checked)
        return
    shell.out(_("Relay: {url}").format(url=checked))
    shell.say(_("Next: bide pair, or bide join with the code that the other person reads to you."))


@command.command("unset", epilog="\b\nExample:\n  bide relay unset")
@shell_options
def unset(shell: Shell) -> None:
    """Use no relay.

    Everything here stays as it is; nothing is sent any more, and nothing comes, from anyone.
    """
    open_replica(shell).set_relay("")
    if shell.as_json:
        shell.emit("relay", relay="")
    else:
        shell.out(
            _(
                "No relay any more: nothing is sent and nothing comes. "
                "What you write stays on this device until you set one again."
            )
        )
