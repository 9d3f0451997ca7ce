"""Keeping the key of a database: putting it where a way of locking wants it, and taking it away again.

Whatever is kept goes under a fresh name. So nothing that opens the home now is overwritten, and a crash leaves at most
something that is named nowhere.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from bide.errors import InputError, Locked, StorageError
from bide.ids import SystemRandomness
from bide_cli.home import folder as homes
from bide_cli.home.files import make_folder, sync_directory, write_private
from bide_cli.home.folder import Config
from bide_cli.unlocking.keyrings import KEY_BYTES, forget_in_keyring, keep_in_keyring, read_keyring
from bide_cli.unlocking.keys import read_key_file, unwrap, wrapped_path


class Locking(NamedTuple):
    """How a home is to be locked."""

    method: str
    key_file: Path | None = None
    passphrase: str = ""


def keep(folder: Path, key: bytes, locking: Locking, *, name: str, wrapped: str) -> Config:
    """Keep a key as wished, on disk when this returns.

    Args:
        folder: where the home is, or is being made.
        key: of its database.
        locking: how.
        name: under which it goes into the keyring.
        wrapped: the file of the home for what a passphrase opens.

    Returns:
        What the config has to say; only how the home is unlocked.

    Raises:
        InputError: that way can't be had here.
    """
    if locking.method == homes.KEY_FILE:
        assert locking.key_file is not None
        path = key_file_path(locking.key_file)
        if make_key_file(path, key) != key:
            raise InputError("There is another key in {path}.", hint="Choose a place where no file is.", path=path)
        return Config(unlock=homes.KEY_FILE, key_file=str(path))
    half = SystemRandomness().token(KEY_BYTES) if locking.method == homes.BOTH else b""
    if locking.method in homes.BY_KEYRING:
        keep_in_keyring(name, half or key)
    if locking.method == homes.KEYRING:
        return Config(unlock=homes.KEYRING, keyring_name=name)
    from bide.crypto.wrapping import wrap_with_passphrase

    try:
        write_private(folder / wrapped, wrap_with_passphrase(key, locking.passphrase, SystemRandomness(), half=half))
    except BaseException:
        if half:
            forget_in_keyring(name)
        raise
    sync_directory(folder)
    return Config(
        unlock=locking.method,
        keyring_name=name if half else "",
        wrapped="" if wrapped == homes.WRAPPED_KEY else wrapped,
    )


def require_kept(folder: Path, key: bytes, config: Config, passphrase: str) -> None:
    """See to it that a key can be had again from where it was kept, before anything depends on that.

    Raises:
        StorageError: it can't.
    """
    try:
        if config.unlock == homes.KEY_FILE:
            kept = read_key_file(Path(config.key_file))
        else:
            kept = read_keyring(config.keyring_name) if config.unlock in homes.BY_KEYRING else b""
            if config.unlock in homes.BY_PASSPHRASE:
                kept = unwrap(wrapped_path(folder, config).read_bytes(), passphrase, kept)
    except (Locked, OSError) as error:
        raise StorageError("The key could not be kept that way; nothing was changed.") from error
    if kept != key:
        raise StorageError("The key could not be kept that way; nothing was changed.")


def key_file_path(path: Path) -> Path:
    """The whole path of a key file, as the config is to name it.

    Raises:
        InputError: the config can't.
    """
    path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 no links are resolved
    if not str(path).isprintable() or {'"', "\\"} & set(str(path)):
        raise InputError("That path for a key file can't be kept in the config.", hint="Choose a plainer one.")
    return path


def make_key_file(path: Path, key: bytes) -> bytes:
    """Make a key file of `key`; one that is there already is read, never overwritten.

    Returns:
        The key in it.
    """
    if path.exists():
        return read_key_file(path)
    make_folder(path.parent)
    # Written whole beside its place and then linked: a crash never leaves half a key, and no other key is replaced.
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        write_private(part, key)
        try:
            os.link(part, path)
        except FileExistsError:
            return read_key_file(path)
        except OSError:
            part.rename(path)  # a file system without links
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()
    sync_directory(path.parent)
    return key
