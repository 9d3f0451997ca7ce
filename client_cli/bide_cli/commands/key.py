"""``bide key``."""

from __future__ import annotations

import click

from bide.errors import InputError
from bide_cli.home import folder as homes
from bide_cli.home.folder import Config
from bide_cli.language import N_, _
from bide_cli.options import shell_options
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.agent import seconds_left
from bide_cli.unlocking.keeping import Locking
from bide_cli.unlocking.opening import require_home

METHODS = {
    homes.KEY_FILE: N_("It opens with a key file: {path}"),
    homes.PASSPHRASE: N_("It opens with a passphrase."),
    homes.KEYRING: N_("It opens with the keyring of this system."),
    homes.BOTH: N_("It opens with a passphrase and the keyring of this system together."),
}


@click.group(
    invoke_without_command=True,
    epilog="\b\nExamples:\n  bide key status\n  bide key change --passphrase\n  bide key change --passphrase --keyring\n"
    "  bide key rotate",
)
@shell_options
def command(shell: Shell) -> None:
    """See and change how this home is locked."""
    context = click.get_current_context()
    context.obj = {**(context.obj or {}), "home": str(shell.home)}
    if context.invoked_subcommand is None:
        _status(shell)


@command.command("status", epilog="\b\nExample:\n  bide key status --json")
@shell_options
def status(shell: Shell) -> None:
    """See how this home is locked, and whether it is open just now."""
    _status(shell)


@command.command(
    "change",
    epilog="\b\nExamples:\n  bide key change\n  bide key change --passphrase\n  bide key change --passphrase --keyring\n"
    "  bide key change --key-file ~/.bide.key\n"
    "  BIDE_PASSPHRASE_FILE=old bide key change --passphrase --new-passphrase-file new --no-input",
)
@click.option("--key-file", metavar="FILE", help="Lock with a file of 32 random bytes; it is made.")
@click.option("--passphrase", is_flag=True, help="Lock with a new passphrase: asked, or in the file of --new-passphrase-file.")
@click.option("--keyring", is_flag=True, help="Lock with the keyring of this system; with --passphrase, both are needed.")
@click.option("--new-passphrase-file", metavar="FILE", help="A file that holds the new passphrase, on one line.")
@shell_options
def change(shell: Shell, key_file: str | None, passphrase: bool, keyring: bool, new_passphrase_file: str | None) -> None:
    """Lock this home in another way, or with another passphrase.

    The old way opens this home no longer, but a copy of it from before, a backup for example, still opens as it did, and
    who copied the key itself has it. If somebody may have done that: bide key rotate.
    """
    from bide_cli.unlocking.locking import ask_locking
    from bide_cli.unlocking.rekeying import change_locking

    if new_passphrase_file and not passphrase:
        raise InputError(
            "A new passphrase is for --passphrase.", hint="bide key change --passphrase --new-passphrase-file FILE"
        )

    def ask() -> Locking:
        # What BIDE_PASSPHRASE_FILE names is the passphrase until now.
        return ask_locking(
            shell, key_file or "", passphrase=passphrase, keyring=keyring, passphrase_file=new_passphrase_file or ""
        )

    before, after = change_locking(shell, ask)
    if shell.as_json:
        shell.emit("key", **_described(shell, after))
        return
    shell.out(_method(after))
    if before.unlock == homes.KEY_FILE and before.key_file != after.key_file:
        shell.say(_("The key in {path} still opens it. To end that: bide key rotate").format(path=before.key_file))


@command.command("rotate", epilog="\b\nExamples:\n  bide key rotate\n  bide key rotate --json")
@shell_options
def rotate(shell: Shell) -> None:
    """Encrypt this home under a new key.

    It stays locked in the same way, with the same passphrase. Whatever somebody copied of the key before opens nothing that is
    here now; a copy of the whole home from before still opens as it did. The other person and the relay notice nothing.
    """
    from bide_cli.unlocking.rekeying import rotate_key

    config = rotate_key(shell)
    if shell.as_json:
        shell.emit("key", **_described(shell, config))
        return
    shell.out(_("This home is encrypted under a new key. {how}").format(how=_method(config)))


def _status(shell: Shell) -> None:
    require_home(shell)
    config = homes.read_config(shell.home)
    described = _described(shell, config)
    if shell.as_json:
        shell.emit("key", **described)
        return
    shell.out(_method(config))
    left = described["seconds_left"]
    if isinstance(left, int):
        from bide_cli.commands.unlock import duration

        shell.out(_("It is open for another {time}, or until: bide lock").format(time=duration(left)))
    if config.turning.startswith("to "):
        shell.say(_("A change of its key was cut short. Any of these finishes or undoes it: bide key change, bide key rotate"))


def _method(config: Config) -> str:
    words = METHODS.get(config.unlock)
    return _(words).format(path=config.key_file) if words else _("Its config doesn't say how it opens.")


def _described(shell: Shell, config: Config) -> dict[str, object]:
    left = seconds_left(shell.home)
    return {"unlock": config.unlock, "key_file": config.key_file, "open": left is not None, "seconds_left": left}
