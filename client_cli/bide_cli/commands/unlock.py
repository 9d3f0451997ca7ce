"""``bide unlock``."""

from __future__ import annotations

import click

from bide.errors import InputError, Locked, StorageError
from bide_cli.home import folder as homes
from bide_cli.language import _, plural
from bide_cli.options import shell_options
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.agent import FOR_MAX_S, IDLE_S, seconds_left, start_agent
from bide_cli.unlocking.opening import open_replica, require_home

_UNITS = {"h": 3600, "m": 60, "s": 1}


@click.command(epilog="\b\nExamples:\n  bide unlock\n  bide unlock --for 8h\n  bide unlock --for 20m --json")
@click.option(
    "--for",
    "for_",
    metavar="TIME",
    help="For how long: 90m or 8h, at most 24h. Without it, until an hour after the last use.",
)
@shell_options
def command(shell: Shell, for_: str | None) -> None:
    """Keep this home open for a while.

    A small process holds the key, so that a passphrase is asked once and not at every command. It ends when its time is over,
    with bide lock, and when you close the terminal or log out. Meanwhile whoever sits at this computer can open the journal.
    """
    for_s = _seconds(for_) if for_ is not None else 0
    require_home(shell)
    config = homes.read_config(shell.home)
    if config.unlock == homes.KEY_FILE:
        raise InputError("This home opens with its key file; there is nothing to unlock.", hint="bide key status")
    key = _key(shell, config)
    if not start_agent(shell.home, key, for_s=for_s):
        raise StorageError("The key could not be held for you.", hint="Everything else works; a passphrase is asked each time.")
    left = seconds_left(shell.home) or 0
    if shell.as_json:
        shell.emit("unlock", unlocked=True, seconds=for_s or IDLE_S, until_idle=not for_s)
    elif for_s:
        shell.say(_("Open for {time}. To close it before: bide lock").format(time=duration(left)))
    else:
        shell.say(_("Open until an hour after you last use it. To close it before: bide lock"))


def _key(shell: Shell, config: homes.Config) -> bytes:
    """The key, had by what the home takes and not from an agent; it opens the database, or nothing is held."""
    from bide.storage.sqlite import SqliteStorage
    from bide_cli.unlocking.keys import unlock

    key = unlock(shell, config)
    try:
        SqliteStorage(shell.home / homes.DATABASE, key).close()
    except Locked:
        if not config.turning:
            raise
        # A change of its key was cut short: opening it the usual way puts that right.
        open_replica(shell, config).storage.close()
        key = unlock(shell, homes.read_config(shell.home))
        SqliteStorage(shell.home / homes.DATABASE, key).close()
    return key


def _seconds(text: str) -> int:
    typed = text.strip().lower()
    number, unit = (typed[:-1], _UNITS.get(typed[-1:], 0)) if typed else ("", 0)
    if not unit or not (number.isascii() and number.isdecimal() and len(number) < 7):
        raise InputError("That is no length of time.", hint="For example: 90m, or 8h")
    seconds = int(number) * unit
    if not 0 < seconds <= FOR_MAX_S:
        raise InputError("A home stays open for at most 24 hours.", hint="For example: 90m, or 8h")
    return seconds


def duration(seconds: int) -> str:
    """A length of time in words, to the minute."""
    hours, minutes = divmod(max(1, round(seconds / 60)), 60)
    parts = [plural("{n} hour", "{n} hours", hours)] if hours else []
    parts += [plural("{n} minute", "{n} minutes", minutes)] if minutes else []
    return " ".join(parts)
