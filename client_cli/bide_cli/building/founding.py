"""Making a home, so that it is there whole or not at all.

All of it is made in a directory of its own inside the home, then moved into place, the database last: a home exists exactly
when its database does. What a crash leaves behind neither blocks a second try nor is taken for a home.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from bide.errors import NotAllowed, StorageError
from bide.ids import SystemRandomness
from bide_cli.home import folder as homes
from bide_cli.home.files import make_folder, sync_directory, write_private
from bide_cli.home.folder import Config
from bide_cli.home.locks import Lock
from bide_cli.language import N_
from bide_cli.terminal.zone import local_zone
from bide_cli.unlocking.keeping import Locking, keep, key_file_path, make_key_file
from bide_cli.unlocking.keyrings import KEY_BYTES, forget_in_keyring
from bide_cli.unlocking.keys import remember_opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bide.storage.sqlite import SqliteStorage

STAGING_PREFIX = ".init-"
FOUNDING_WAIT_S = 10
_ROOM_HINT = N_("Make room, then do the same again. A key file that was made stays, and is used then.")


def require_no_home(home: Path) -> None:
    """Refuse to go on where a journal is.

    Raises:
        NotAllowed: there is one.
    """
    if homes.exists(home):
        raise NotAllowed(
            "There is a journal in {home} already; it was left as it is.",
            hint="Another one needs another home: bide --home DIR init",
            home=home,
        )


def found_home(home: Path, *, name: str, locking: Locking, fill: Callable[[SqliteStorage], None] | None = None) -> None:
    """Make a home.

    Args:
        home: its directory; made if missing, private to this person.
        name: what the person is called.
        locking: how the database key is kept.
        fill: puts into the new database what it is to begin with; left out, a person's journal begins.

    Raises:
        NotAllowed: there is a home already.
        InputError: the name or the key file can't be used.
        NoRoom: the disk is full. The key file stays if it was made: by now another home may be locked with it.
        StorageError: the directory can't be written.
    """
    from bide.storage.opening import NO_ROOM, NoRoom

    try:
        make_folder(home)
        with Lock(home / "init.lock", wait_s=FOUNDING_WAIT_S):
            require_no_home(home)
            home.chmod(0o700)
            _remove_stagings(home)
            staging = home / f"{STAGING_PREFIX}{secrets.token_hex(8)}"
            staging.mkdir(mode=0o700)
            try:
                _fill(staging, home, name=name, locking=locking, fill=fill)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except NoRoom as error:
        error.advise(_ROOM_HINT)
        raise
    except OSError as error:
        if error.errno in NO_ROOM:
            raise NoRoom(hint=_ROOM_HINT) from error
        raise StorageError("{home} can't be written.", hint="Choose another place: bide --home DIR init", home=home) from error


def _fill(staging: Path, home: Path, *, name: str, locking: Locking, fill: Callable[[SqliteStorage], None] | None) -> None:
    from bide.replica import Replica
    from bide.storage.sqlite import SqliteStorage

    config, key = _keep_key(staging, locking)
    try:
        storage = SqliteStorage(staging / homes.DATABASE, key, create=True)
        try:
            if fill is not None:
                fill(storage)
            else:
                Replica.create(storage, name=name, zone=local_zone())
        finally:
            storage.close()
        write_private(staging / homes.CONFIG, homes.format_config(config).encode())
        _set_aside(home)
        for file in (homes.WRAPPED_KEY, homes.CONFIG, homes.DATABASE):
            if (staging / file).exists():
                (staging / file).chmod(0o600)
                if file == homes.DATABASE:
                    sync_directory(home)  # it makes the home, and must not outlive a power cut without the way in
                (staging / file).rename(home / file)
        if config.unlock in homes.BY_PASSPHRASE:
            remember_opened(
                home, key, locking.passphrase
            )  # who has just chosen a passphrase is not asked for it by the next step
    except BaseException:
        if config.unlock in homes.BY_KEYRING and not homes.exists(home):
            forget_in_keyring(config.keyring_name)
        raise
    sync_directory(home)


def _keep_key(staging: Path, locking: Locking) -> tuple[Config, bytes]:
    """Make the key of the database and keep it as wished."""
    key = SystemRandomness().token(KEY_BYTES)
    if locking.method == homes.KEY_FILE:
        assert locking.key_file is not None
        path = key_file_path(locking.key_file)
        # One that is there already, of a try that did not finish for example, is used.
        return Config(unlock=homes.KEY_FILE, key_file=str(path)), make_key_file(path, key)
    return keep(staging, key, locking, name=secrets.token_hex(8), wrapped=homes.WRAPPED_KEY), key


def _set_aside(home: Path) -> None:
    """Keep what a lost database left behind: its wrapped key may be the only way into a backup."""
    for file in (homes.WRAPPED_KEY, homes.CONFIG):
        if (home / file).exists():
            (home / file).rename(home / f"{file}.before-{secrets.token_hex(4)}")


def _remove_stagings(home: Path) -> None:
    for leftover in home.glob(f"{STAGING_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)
