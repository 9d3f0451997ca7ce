"""Making a home, so that it is there whole or not at all.

All of it is made in a directory of its own inside the home, then moved into place, the database last: a home exists exactly
when its database does. What a crash leaves behind neither blocks a second try nor is taken for a home.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from pathlib import Path
from typing import NamedTuple

from bide.errors import InputError, NotAllowed, StorageError
from bide.ids import SystemRandomness
from bide_cli import home as homes
from bide_cli.home import Config
from bide_cli.locks import Lock
from bide_cli.unlocking import KEY_BYTES, forget_in_keyring, keep_in_keyring, read_key_file, remember_opened
from bide_cli.zone import local_zone

STAGING_PREFIX = ".init-"
FOUNDING_WAIT_S = 10


class Locking(NamedTuple):
    """How a new home is to be locked."""

    method: str
    key_file: Path | None = None
    passphrase: str = ""


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


def found_home(home: Path, *, name: str, locking: Locking) -> None:
    """Make a home.

    Args:
        home: its directory; made if missing, private to this person.
        name: what the person is called.
        locking: how the database key is kept.

    Raises:
        NotAllowed: there is a home already.
        InputError: the name or the key file can't be used.
        StorageError: the directory can't be written.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with Lock(home / "init.lock", wait_s=FOUNDING_WAIT_S):
            require_no_home(home)
            home.chmod(0o700)
            _remove_stagings(home)
            staging = home / f"{STAGING_PREFIX}{secrets.token_hex(8)}"
            staging.mkdir(mode=0o700)
            try:
                _fill(staging, home, name=name, locking=locking)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise StorageError("{home} can't be written.", hint="Choose another place: bide --home DIR init", home=home) from error


def _fill(staging: Path, home: Path, *, name: str, locking: Locking) -> None:
    from bide.replica import Replica
    from bide.storage.sqlite import SqliteStorage

    config, key = _keep_key(staging, locking)
    try:
        storage = SqliteStorage(staging / homes.DATABASE, key, create=True)
        try:
            Replica.create(storage, name=name, zone=local_zone())
        finally:
            storage.close()
        _write_private(staging / homes.CONFIG, homes.format_config(config).encode())
        _set_aside(home)
        for file in (homes.WRAPPED_KEY, homes.CONFIG, homes.DATABASE):
            if (staging / file).exists():
                (staging / file).chmod(0o600)
                (staging / file).rename(home / file)
        if config.unlock == homes.PASSPHRASE:
            remember_opened(home, key)  # who has just chosen a passphrase is not asked for it by the next step
    except BaseException:
        if config.unlock == homes.KEYRING and not homes.exists(home):
            forget_in_keyring(config.keyring_name)
        raise
    _sync_directory(home)


def _keep_key(staging: Path, locking: Locking) -> tuple[Config, bytes]:
    """Make the key of the database and keep it as wished."""
    if locking.method == homes.KEY_FILE:
        assert locking.key_file is not None
        path = Path(os.path.abspath(locking.key_file.expanduser()))  # noqa: PTH100 no links are resolved
        return Config(unlock=homes.KEY_FILE, key_file=str(path)), _make_key_file(path)
    key = SystemRandomness().token(KEY_BYTES)
    if locking.method == homes.PASSPHRASE:
        from bide.crypto.wrapping import wrap_with_passphrase

        _write_private(staging / homes.WRAPPED_KEY, wrap_with_passphrase(key, locking.passphrase, SystemRandomness()))
        return Config(unlock=homes.PASSPHRASE), key
    name = secrets.token_hex(8)
    keep_in_keyring(name, key)
    return Config(unlock=homes.KEYRING, keyring_name=name), key


def _make_key_file(path: Path) -> bytes:
    """Make a key file; one that is there already (of a try that did not finish) is used, never overwritten."""
    if not str(path).isprintable() or {'"', "\\"} & set(str(path)):
        raise InputError("That path for a key file can't be kept in the config.", hint="Choose a plainer one.")
    if path.exists():
        return read_key_file(path)
    key = SystemRandomness().token(KEY_BYTES)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written whole beside its place and then linked: a crash never leaves half a key, and no other key is replaced.
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    _write_private(part, key)
    try:
        os.link(part, path)
    except FileExistsError:
        return read_key_file(path)
    except OSError:
        part.rename(path)  # a file system without links
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
    _sync_directory(path.parent)
    return key


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _set_aside(home: Path) -> None:
    """Keep what a lost database left behind: its wrapped key may be the only way into a backup."""
    for file in (homes.WRAPPED_KEY, homes.CONFIG):
        if (home / file).exists():
            (home / file).rename(home / f"{file}.before-{secrets.token_hex(4)}")


def _remove_stagings(home: Path) -> None:
    for leftover in home.glob(f"{STAGING_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
