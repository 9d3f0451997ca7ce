"""``bide init``."""

from __future__ import annotations

from pathlib import Path

import click

from bide.entries.fields import clean_text
from bide.errors import InputError, Locked
from bide_cli import home as homes
from bide_cli.asking import ask_until_good, choose
from bide_cli.founding import Locking, found_home, require_no_home
from bide_cli.language import N_, _
from bide_cli.options import shell_options
from bide_cli.shell import Shell
from bide_cli.unlocking import allowed_keyring, ask_passphrase, passphrase_from_file

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
@click.option("--keyring", is_flag=True, help="Lock with the keyring of this system.")
@shell_options
def command(shell: Shell, name: str | None, key_file: str | None, passphrase: bool, keyring: bool) -> None:
    """Begin a journal on this device.

    Makes the home with an encrypted database. An existing one is never touched.
    """
    require_no_home(shell.home)
    if bool(key_file) + passphrase + keyring > 1:
        raise InputError("A home is locked in one way: --key-file, --passphrase or --keyring.")
    name = _name(shell, name)
    locking = _locking(shell, key_file or "", passphrase=passphrase, keyring=keyring)
    found_home(shell.home, name=name, locking=locking)
    if shell.as_json:
        shell.emit("init", name=name, home=str(shell.home), unlock=locking.method)
        return
    shell.out(_("Your journal is ready, {name}. It is in {home}").format(name=name, home=shell.home))
    shell.say(_(NO_WAY_BACK))
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


def _locking(shell: Shell, key_file: str, *, passphrase: bool, keyring: bool) -> Locking:
    if key_file:
        return Locking(homes.KEY_FILE, key_file=Path(key_file))
    method = homes.PASSPHRASE if passphrase else homes.KEYRING if keyring else _choose_method(shell)
    if method == homes.KEYRING:
        return Locking(homes.KEYRING)
    return Locking(homes.PASSPHRASE, passphrase=_new_passphrase(shell))


def _choose_method(shell: Shell) -> str:
    if not shell.may_ask:
        raise InputError(
            "How is this home to be locked?", hint="Say --key-file FILE, --passphrase (with BIDE_PASSPHRASE_FILE) or --keyring"
        )
    choices = [(homes.PASSPHRASE, _("a passphrase, asked at every command"))]
    if allowed_keyring() is not None:
        choices.insert(0, (homes.KEYRING, _("the keyring of this system, open while you are logged in")))
    if len(choices) == 1:
        shell.say(_("Your journal is locked with a passphrase. (A key file is possible too: bide init --key-file FILE)"))
        return homes.PASSPHRASE
    return choose(shell, _("How should this journal be locked?"), choices)


def _new_passphrase(shell: Shell) -> str:
    from_file = passphrase_from_file()
    if from_file is not None:
        if not from_file.strip():
            raise InputError("The passphrase file is empty.")
        return from_file
    try:
        while True:
            first = ask_passphrase(shell, _("New passphrase (a few words are good):") + " ")
            if not first.strip():
                shell.say("  " + _("A passphrase can't be empty."))
            elif ask_passphrase(shell, _("Once more:") + " ") == first:
                return first
            else:
                shell.say("  " + _("The two differ."))
    except Locked as error:
        if shell.may_ask:
            raise
        raise InputError("There is no terminal to ask for a passphrase on.", hint=error.hint_template, **error.values) from None
