"""``bide init``."""

from __future__ import annotations

import click

from bide.entries.fields import clean_text
from bide.errors import InputError
from bide_cli.building.founding import found_home, require_no_home
from bide_cli.language import N_, _
from bide_cli.options import shell_options
from bide_cli.terminal.asking import ask_until_good
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.locking import ask_locking

NAME_CHARS_MAX = 60
NO_WAY_BACK = N_(
    "Only your devices hold the keys. If both of you lose every device, or you forget a passphrase, nobody can bring the "
    "journal back: not whoever runs the relay, and not us."
)


@click.command(
    epilog="\b\nExamples:\n  bide init\n  bide init --name Sam --passphrase\n"
    "  bide --home ~/journal init --name Sam --key-file ~/.bide.key --no-input"
)
@click.option("--name", metavar="NAME", help="What the other person sees.")
@click.option("--key-file", metavar="FILE", help="Lock with a file of 32 random bytes; made if it is not there.")
@click.option(
    "--passphrase", is_flag=True, help="Lock with a passphrase: asked, or in the file that BIDE_PASSPHRASE_FILE names."
)
@click.option("--keyring", is_flag=True, help="Lock with the keyring of this system; with --passphrase, both are needed.")
@shell_options
def command(shell: Shell, name: str | None, key_file: str | None, passphrase: bool, keyring: bool) -> None:
    """Begin a journal on this device.

    Makes the home with an encrypted database. An existing one is never touched.
    """
    require_no_home(shell.home)
    if key_file and (passphrase or keyring):
        raise InputError("A key file opens a home alone.", hint="Use --key-file, or --passphrase, --keyring, or these two.")
    name = _name(shell, name)
    locking = ask_locking(shell, key_file or "", passphrase=passphrase, keyring=keyring)
    found_home(shell.home, name=name, locking=locking)
    if shell.as_json:
        shell.emit("init", name=name, home=str(shell.home), unlock=locking.method)
        return
    shell.out(_("Your journal is ready, {name}. It is in {home}").format(name=name, home=shell.home))
    shell.say(_(NO_WAY_BACK))
    shell.say(_("For a way back, 24 words on paper: bide recovery create"))
    shell.say(_("Next: bide checkin --private, or share one: bide relay set URL, then bide pair"))


def _name(shell: Shell, given: str | None) -> str:
    def check(text: str) -> str:
        cleaned = clean_text(text, what="name", chars_max=NAME_CHARS_MAX, one_line=True)
        if not cleaned:
            raise InputError("The name is empty.", hint="What should the other person see?")
        return cleaned

    if given is not None:
        return check(given)
    if not shell.may_ask:
        raise InputError("A journal needs a name for you.", hint="bide init --name Sam")
    return ask_until_good(shell, _("What should the other person call you?"), check)
