"""Opening the replica of a home."""

from __future__ import annotations

import os

from bide.errors import NotFound, StorageError
from bide_cli import home as homes
from bide_cli.language import language

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from bide.replica import Replica
    from bide_cli.home import Config
    from bide_cli.shell import Shell

_keys: dict[Path, bytes] = {}
"""Of homes that this process has opened: `bide start` leads from one command to the next, and a passphrase is typed once."""


def open_replica(shell: Shell, config: Config | None = None) -> Replica:
    """The replica in the shell's home, unlocked.

    Raises:
        NotFound: there is no journal in this home.
        Locked: it can't be opened with what is there.
    """
    require_home(shell)
    if config is None:
        config = homes.read_config(shell.home)
    key = _keys.get(shell.home)
    if key is None:
        from bide_cli.unlocking import unlock

        key = unlock(shell, config)
    from bide.replica import Replica
    from bide.storage.sqlite import SqliteStorage
    from bide_cli.zone import local_zone

    storage = SqliteStorage(shell.home / homes.DATABASE, key)
    _keys[shell.home] = key
    return Replica(storage, zone=local_zone(), day_starts_min=config.day_starts_min, with_=config.with_, language=language())


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
