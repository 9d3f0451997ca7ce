"""Asking how a home is to be locked: for `bide init`, and for `bide key change`."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from bide.errors import InputError, Locked
from bide_cli.home import folder as homes
from bide_cli.language import _
from bide_cli.terminal.asking import ask_yes, choose
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.keeping import Locking
from bide_cli.unlocking.keyrings import allowed_keyring
from bide_cli.unlocking.keys import ask_passphrase, passphrase_from_file

PASSPHRASE_CHARS_MIN = 8
"""Of a new one. Which characters is everybody's own choice; a home whose passphrase is shorter opens as before."""


def ask_locking(shell: Shell, key_file: str, *, passphrase: bool, keyring: bool, passphrase_file: str | None = None) -> Locking:
    """How the home is to be locked: as the options say, else as the person answers.

    Args:
        shell: where to ask.
        key_file: of ``--key-file``; empty: not given.
        passphrase: whether ``--passphrase`` was given; with `keyring` as well both are needed to open the home.
        keyring: whether ``--keyring`` was given.
        passphrase_file: the file with the new passphrase; None: the one that BIDE_PASSPHRASE_FILE names.

    Raises:
        InputError: the options don't go together, or there is nobody to ask.
    """
    if key_file and (passphrase or keyring):
        raise InputError("A key file opens a home alone.", hint="Use --key-file, or --passphrase, --keyring, or these two.")
    if key_file:
        return Locking(homes.KEY_FILE, key_file=Path(key_file))
    if passphrase and keyring:
        method = homes.BOTH
    else:
        method = homes.PASSPHRASE if passphrase else homes.KEYRING if keyring else _choose_method(shell)
    if method in homes.BY_KEYRING and allowed_keyring() is None:
        raise InputError(
            "There is no keyring on this system that could keep the key.", hint="Use --passphrase or --key-file FILE"
        )
    if method == homes.KEYRING:
        return Locking(homes.KEYRING)
    return Locking(method, passphrase=_new_passphrase(shell, passphrase_file))


def _choose_method(shell: Shell) -> str:
    if not shell.may_ask:
        raise InputError(
            "How is this home to be locked?", hint="Say --key-file FILE, --passphrase (with BIDE_PASSPHRASE_FILE) or --keyring"
        )
    if allowed_keyring() is None:
        shell.say(_("Your journal is locked with a passphrase. (A key file is possible too: bide init --key-file FILE)"))
        return homes.PASSPHRASE
    # Who knows that password can log in, and then the keyring is open.
    known = ask_yes(shell, _("Does anyone else know this computer's password?"), default=True)
    choices = [
        (homes.BOTH, _("a passphrase and the keyring of this system, both needed")),
        (homes.PASSPHRASE, _("a passphrase, asked at every command or once for a while: bide unlock")),
        (homes.KEYRING, _("the keyring of this system, open while you are logged in")),
    ]
    if known:
        shell.say(_("Then the keyring alone would open your journal to them as well."))
    else:
        choices.reverse()
    return choose(shell, _("How should this journal be locked?"), choices)


def _new_passphrase(shell: Shell, passphrase_file: str | None) -> str:
    from_file = passphrase_from_file(passphrase_file)
    if from_file is not None:
        if not from_file.strip():
            raise InputError("The passphrase file is empty.")
        if is_too_short(from_file):
            raise InputError(
                "A passphrase needs at least {least} characters: whoever takes this computer guesses a shorter one.",
                hint="A few words that nobody connects with you are good.",
                least=PASSPHRASE_CHARS_MIN,
            )
        return from_file
    try:
        while True:
            first = ask_passphrase(shell, _("New passphrase (a few words are good):") + " ")
            if not first.strip():
                shell.say("  " + _("A passphrase can't be empty."))
            elif is_too_short(first):
                words = _("A passphrase needs at least {least} characters: whoever takes this computer guesses a shorter one.")
                shell.say("  " + words.format(least=PASSPHRASE_CHARS_MIN))
            elif ask_passphrase(shell, _("Once more:") + " ") == first:
                return first
            else:
                shell.say("  " + _("The two differ."))
    except Locked as error:
        if shell.may_ask:
            raise
        raise InputError("There is no terminal to ask for a passphrase on.", hint=error.hint_template, **error.values) from None


def is_too_short(passphrase: str) -> bool:
    """Whether it is no passphrase to begin with. Spaces around it don't count, and neither how a letter is put together."""
    return len(unicodedata.normalize("NFKC", passphrase).strip()) < PASSPHRASE_CHARS_MIN
