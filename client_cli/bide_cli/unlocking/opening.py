"""Opening the replica of a home."""

from __future__ import annotations

import os

from bide.errors import Locked, NotFound, StorageError
from bide_cli.home import folder as homes
from bide_cli.home.leftovers import remove_leftovers, remove_mending
from bide_cli.language import language

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bide.replica import Replica
    from bide.storage.sqlite import SqliteStorage
    from bide_cli.home.folder import Config
    from bide_cli.terminal.shell import Shell

_keys: dict[Path, bytes] = {}
"""Of homes that this process has opened: `bide start` leads from one command to the next, and a passphrase is typed once."""


def open_replica(shell: Shell, config: Config | None = None) -> Replica:
    """The replica in the shell's home, unlocked.

    Raises:
        NotFound: there is no journal in this home.
        Locked: it can't be opened with what is there.
    """
    require_home(shell)
    remove_leftovers(shell.home)
    if config is None:
        config = homes.read_config(shell.home)
    storage = _open_storage(shell, config)
    from bide.replica import Replica
    from bide_cli.terminal.zone import local_zone

    return Replica(storage, zone=local_zone(), day_starts_min=config.day_starts_min, with_=config.with_, language=language())


def _open_storage(shell: Shell, config: Config) -> SqliteStorage:
    from bide_cli.unlocking.keys import key_of_agent, unlock

    known = _keys.get(shell.home) or key_of_agent(shell.home, config)
    if known is not None:
        try:
            return _opened(shell, known)
        except Locked:
            # An agent from before the key was changed, or one that isn't Bide's: its key is good for nothing.
            _keys.pop(shell.home, None)
    key = unlock(shell, config)
    try:
        return _opened(shell, key)
    except Locked:
        now = homes.read_config(shell.home)
        if now.turning.startswith("to "):
            from bide_cli.unlocking.rekeying import open_turned

            return open_turned(shell, now, _opened)
        if now == config and config.unlock != homes.KEY_FILE:
            raise
        # The key may have been changed while this waited for the database.
        from bide_cli.unlocking.keys import forget_opened

        forget_opened(shell.home)
        again = unlock(shell, now)
        if again == key:
            raise
    return _opened(shell, again)


def _opened(shell: Shell, key: bytes) -> SqliteStorage:
    from bide.storage.sqlite import SqliteStorage

    storage = SqliteStorage(shell.home / homes.DATABASE, key)
    _keys[shell.home] = key
    remove_mending(shell.home)
    return storage


def opened_with(home: Path) -> bytes | None:
    """The key that opened a home in this process; None: none did yet."""
    return _keys.get(home)


def keys_at_hand(shell: Shell, config: Config) -> Iterator[bytes]:
    """Every key that the home may have, as far as nobody has to be asked, or asked again."""
    from bide_cli.unlocking.keys import is_open, key_of_agent, unlock, unlocks_unasked

    agents = key_of_agent(shell.home, config)
    if agents is not None:
        yield agents
    if is_open(shell.home) or unlocks_unasked(config):
        yield unlock(shell, config)


def forget_key(home: Path) -> None:
    """Unlock the home anew where it is opened next in this process."""
    _keys.pop(home, None)


def require_home(shell: Shell) -> None:
    """See to it that there is a journal in the shell's home.

    Raises:
        NotFound: there is none.
        StorageError: it can't be looked at.
    """
    try:
        os.stat(shell.home / homes.DATABASE)  # noqa: PTH116 to tell missing from not permitted
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("There is no journal in {home} yet.", hint="bide init makes one.", home=shell.home) from None
    except (OSError, ValueError) as error:
        raise StorageError("{home} can't be read.", hint="Look at who owns it.", home=shell.home) from error
