"""Changing how a home is locked, and changing the key of its database, so that at every moment there is a way in.

The config decides how the home is opened and is replaced in one step, so that is the step that counts. What it is going to
name is made before, under a fresh name, and checked; what it named is taken away after. Its key ``turning`` says what a process
that ended in between has left:

- ``to NAME``: something under NAME was being made. The database opens as the config says, or, if the process ended after the
  database was encrypted anew and before the config said so, as `turned` says. Nothing else has to be known to go on from there.
- ``from NAME``: the change is done; what the keyring holds under NAME still has to be taken out.

For a key file the step that counts is putting the new key in the place of the old one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from bide.errors import BideError, InputError, Locked, StorageBusy
from bide.ids import SystemRandomness
from bide.storage.opening import rekey_database
from bide.storage.sqlite import SqliteStorage
from bide_cli.home import folder as homes
from bide_cli.home.configuring import put_values
from bide_cli.home.files import sync_directory
from bide_cli.home.folder import Config
from bide_cli.home.leftovers import KEY_LOCK
from bide_cli.home.locks import Lock
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.agent import end_agent
from bide_cli.unlocking.keeping import Locking, keep, make_key_file, require_kept
from bide_cli.unlocking.keyrings import KEY_BYTES, forget_in_keyring
from bide_cli.unlocking.keys import Opened, forget_opened, unlock_anew
from bide_cli.unlocking.opening import forget_key, require_home

_WAIT_S = 5
_BUSY = "Another Bide has this home open, so its key was not changed."
_BUSY_HINT = "End what runs, such as bide sync --watch, then try again."
_TO, _FROM = "to ", "from "
_NAME_BYTES = 8


def change_locking(shell: Shell, choose: Callable[[], Locking]) -> tuple[Config, Config]:
    """Lock the home in another way; the database and its key stay as they are.

    Args:
        shell: of the home.
        choose: gives the new way; called once the home has been opened as it is locked now.

    Returns:
        The config before and after.

    Raises:
        Locked: it can't be opened as it is locked now.
        InputError: the new way can't be had here.
    """
    require_home(shell)
    with Lock(shell.home / KEY_LOCK, wait_s=_WAIT_S):
        before, opened = _open(shell)
        locking = choose()
        name = _note_beginning(shell.home)
        try:
            config = keep(shell.home, opened.key, locking, name=name, wrapped=_wrapped_name(name))
            require_kept(shell.home, opened.key, config, locking.passphrase)
        except BaseException:
            _take_back(shell.home, before, name)
            raise
        return before, _commit(shell.home, before, config)


def rotate_key(shell: Shell) -> Config:
    """Encrypt the database under a new key, locked in the same way; what opened it before opens it no more.

    Returns:
        The config afterwards.

    Raises:
        Locked: it can't be opened as it is locked now.
        StorageBusy: another Bide has it open.
    """
    require_home(shell)
    with Lock(shell.home / KEY_LOCK, wait_s=_WAIT_S):
        before, opened = _open(shell)
        _refuse_other_key_file(before)
        database = shell.home / homes.DATABASE
        key = SystemRandomness().token(KEY_BYTES)
        name = _note_beginning(shell.home)
        after = turned(before, name)
        try:
            if after.unlock == homes.KEY_FILE:
                make_key_file(Path(after.key_file), key)
            else:
                keep(shell.home, key, Locking(after.unlock, passphrase=opened.passphrase), name=name, wrapped=after.wrapped)
            require_kept(shell.home, key, after, opened.passphrase)
        except BaseException:
            _take_back(shell.home, before, name)
            raise
        try:
            rekey_database(database, opened.key, key)
        except BideError as error:
            # Only what is known to have changed nothing may be taken back: the new key may be the only way in by now.
            SqliteStorage(database, opened.key).close()
            _take_back(shell.home, before, name)
            if isinstance(error, StorageBusy):
                raise StorageBusy(_BUSY, hint=_BUSY_HINT) from None
            raise
        SqliteStorage(database, key).close()
        return _complete(shell.home, before, name)


def turned(config: Config, name: str) -> Config:
    """How a home is opened whose key was changed under `name` while the config still says what was before."""
    if config.unlock == homes.KEY_FILE:
        return config._replace(key_file=f"{os.path.realpath(config.key_file)}.{name}")
    return config._replace(
        keyring_name=name if config.unlock in homes.BY_KEYRING else "",
        wrapped=_wrapped_name(name) if config.unlock in homes.BY_PASSPHRASE else "",
    )


def open_turned(shell: Shell, config: Config, open_with: Callable[[Shell, bytes], SqliteStorage]) -> SqliteStorage:
    """Open a home where a process ended after it had changed the key of the database, and do the rest of its work.

    Raises:
        Locked: it doesn't open that way either.
    """
    forget_opened(shell.home)
    name = config.turning.removeprefix(_TO)
    key = unlock_anew(shell, turned(config, name)).key
    storage = open_with(shell, key)
    lock = Lock(shell.home / KEY_LOCK)
    # Another process may be at it; and where nothing can be written, it opens the same way the next time.
    with contextlib.suppress(OSError):
        if lock.take():
            try:
                if homes.read_config(shell.home).turning == config.turning:
                    _complete(shell.home, config, name)
            finally:
                lock.release()
    return storage


def _open(shell: Shell) -> tuple[Config, Opened]:
    """Open the home as it is locked, by what it takes and not by an agent, and put right what was left half done."""
    config = homes.read_config(shell.home)
    forget_opened(shell.home)
    opened = unlock_anew(shell, config)
    name = config.turning.removeprefix(_TO) if config.turning.startswith(_TO) else ""
    try:
        SqliteStorage(shell.home / homes.DATABASE, opened.key).close()
    except Locked:
        if not name:
            raise
        forget_opened(shell.home)
        opened = unlock_anew(shell, turned(config, name))
        SqliteStorage(shell.home / homes.DATABASE, opened.key).close()
        return _complete(shell.home, config, name), opened
    if name:
        _take_back(shell.home, config, name)
    elif config.turning:
        _clear_away(shell.home, config)
    return config._replace(turning=""), opened


def _refuse_other_key_file(config: Config) -> None:
    given = os.environ.get("BIDE_KEY_FILE", "")
    same = config.unlock == homes.KEY_FILE and given and os.path.realpath(given) == os.path.realpath(config.key_file)
    if given and not same:
        raise InputError("BIDE_KEY_FILE opens this home in another way than its config says.", hint="Unset it, then try again.")


def _note_beginning(home: Path) -> str:
    name = secrets.token_hex(_NAME_BYTES)
    put_values(home, {"turning": _TO + name})
    return name


def _wrapped_name(name: str) -> str:
    return f"key-{name}.wrapped"


def _complete(home: Path, before: Config, name: str) -> Config:
    """The database has its new key: say so in the config, and take away what opened it before."""
    after = turned(before, name)
    if after.unlock != homes.KEY_FILE:
        return _commit(home, before, after)
    place = Path(os.path.realpath(before.key_file))
    Path(after.key_file).replace(place)
    sync_directory(place.parent)
    return _commit(home, before, before)


def _commit(home: Path, before: Config, after: Config) -> Config:
    leaving = before.keyring_name if before.keyring_name != after.keyring_name else ""
    after = after._replace(turning=_FROM + leaving if leaving else "")
    names = ("unlock", "key_file", "keyring_name", "wrapped", "turning")
    put_values(home, {name: getattr(after, name) or None for name in names})
    _clear_away(home, after)
    forget_key(home)
    forget_opened(home)
    end_agent(home)  # it holds a key that may be the old one, and was let in by what may be no way in any more
    return after._replace(turning="")


def _take_back(home: Path, config: Config, name: str) -> None:
    """Nothing has changed: take away what was made for it."""
    if config.unlock == homes.KEY_FILE:
        made = Path(turned(config, name).key_file)
        with contextlib.suppress(OSError):
            for file in made.parent.iterdir():
                if file.name.startswith(made.name):  # it, and the part of it that a crash left
                    file.unlink(missing_ok=True)
    if name != config.keyring_name:
        forget_in_keyring(name)
    _clear_away(home, config._replace(turning=_TO + name))


def _clear_away(home: Path, config: Config) -> None:
    """Remove every way in that the config doesn't name."""
    current = config.wrapped or homes.WRAPPED_KEY
    keeps = current if config.unlock in homes.BY_PASSPHRASE else ""
    for file in (*home.glob("key-*.wrapped"), home / homes.WRAPPED_KEY):
        if file.name != keeps:
            file.unlink(missing_ok=True)
    sync_directory(home)
    if config.turning:
        if config.turning.startswith(_FROM):
            forget_in_keyring(config.turning.removeprefix(_FROM))
        put_values(home, {"turning": None})
