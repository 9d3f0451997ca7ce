"""From a home to the key of its database: a key file, a passphrase, the keyring of the system, or the last two together.

The environment names files and never holds a secret: it is readable by other programs of the same person and ends up in logs.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import NamedTuple

from bide.errors import InputError, Locked, Phrase
from bide_cli.home.folder import BOTH, BY_KEYRING, BY_PASSPHRASE, KEY_FILE, KEYRING, PASSPHRASE, WRAPPED_KEY, Config
from bide_cli.language import _, sentence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bide_cli.terminal.shell import Shell

KEY_BYTES = 32
KEY_FILE_WORDS = Phrase("The key file")
PASSPHRASE_FILE_WORDS = Phrase("The passphrase file")
PASSPHRASE_TRIES = 3
PASSPHRASE_BYTES_MAX = 8 * 1024
WRAPPED_BYTES_MAX = 4 * 1024
_opened: dict[Path, Opened] = {}
"""What a passphrase has opened in this process: ``bide start`` leads through several commands and asks for it once."""


class Opened(NamedTuple):
    """A key, and the passphrase that opened it."""

    key: bytes
    passphrase: str = ""


def unlock(shell: Shell, config: Config) -> bytes:
    """The 32-byte key of the database in the shell's home.

    Raises:
        Locked: it can't be had, or not without asking.
    """
    return unlock_anew(shell, config).key


def unlock_anew(shell: Shell, config: Config, *, remembered: bool = True) -> Opened:
    """The same with the passphrase that was used, if one was.

    Args:
        shell: where to ask.
        config: of the home.
        remembered: whether a passphrase that was typed in this process before will do.

    Raises:
        Locked: it can't be had, or not without asking.
    """
    if remembered and shell.home in _opened:
        return _opened[shell.home]
    key_file = os.environ.get("BIDE_KEY_FILE", "")
    if key_file:
        return Opened(read_key_file(Path(key_file).expanduser()))
    if config.unlock == KEY_FILE:
        return Opened(read_key_file(Path(config.key_file)))
    half = _from_keyring(config) if config.unlock in BY_KEYRING else b""
    if config.unlock == KEYRING:
        return Opened(half)
    if config.unlock in (PASSPHRASE, BOTH):
        return _unlock_by_passphrase(shell, config, half)
    raise Locked("This home doesn't say how it is unlocked.", hint="BIDE_KEY_FILE can name its key file.")


def key_of_agent(home: Path, config: Config) -> bytes | None:
    """What `bide unlock` left with an agent; None: it has to be had in another way."""
    if config.unlock in ("", KEY_FILE) or os.environ.get("BIDE_KEY_FILE"):
        return None
    from bide_cli.unlocking.agent import fetch_key

    return fetch_key(home)


def unlocks_unasked(config: Config, home: Path | None = None) -> bool:
    """Whether a process that nobody looks at can open the home.

    Args:
        config: of the home.
        home: where to look for an agent; None: what holds the key for a while doesn't count.
    """
    if os.environ.get("BIDE_KEY_FILE") or config.unlock in (KEY_FILE, KEYRING):
        return True
    if config.unlock in BY_PASSPHRASE and os.environ.get("BIDE_PASSPHRASE_FILE"):
        return True
    return home is not None and key_of_agent(home, config) is not None


def wrapped_path(home: Path, config: Config) -> Path:
    """Where the key under the passphrase is.

    Raises:
        Locked: the config names what isn't in the home.
    """
    name = config.wrapped or WRAPPED_KEY
    if "/" in name or os.sep in name or name.startswith("."):
        raise Locked("The config of this home names a file outside of it.", hint="Look at {path}", path=home / "config.toml")
    return home / name


def read_key_file(path: Path) -> bytes:
    """The key in a key file.

    Raises:
        Locked: it is missing, not 32 bytes, or others can read it.
    """
    data = _read_private(path, what=KEY_FILE_WORDS, bytes_max=KEY_BYTES)
    if len(data) != KEY_BYTES:
        raise Locked("The key file doesn't hold a key.", hint="It has to be {size} bytes: {path}", size=KEY_BYTES, path=path)
    return data


def _read_private(path: Path, *, what: Phrase, bytes_max: int) -> bytes:
    try:
        # Not blocking: a pipe put in its place would otherwise hang every command.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise Locked("{file} is not there.", hint="It should be at {path}", file=what, path=path) from error
    except (OSError, ValueError) as error:
        raise Locked("{file} can't be read.", hint="{path}", file=what, path=path) from error
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise Locked("{file} is not a file.", hint="{path}", file=what, path=path)
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Locked(
                "Other people of this machine can read {path}, so it was not used.", hint="chmod 600 {path}", path=path
            )
        return file.read(bytes_max + 1)


def _unlock_by_passphrase(shell: Shell, config: Config, half: bytes) -> Opened:
    path = wrapped_path(shell.home, config)
    try:
        with path.open("rb") as file:
            blob = file.read(WRAPPED_BYTES_MAX)
    except OSError as error:
        raise Locked("The file that holds this home's key is not there.", hint="It should be at {path}", path=path) from error
    passphrase = passphrase_from_file()
    if passphrase is not None:
        return Opened(unwrap(blob, passphrase, half), passphrase)
    opened = _unwrap_asking(shell, blob, half)
    _opened[shell.home] = opened
    return opened


def remember_opened(home: Path, key: bytes, passphrase: str) -> None:
    """Keep the key of a home that a passphrase opened or has just made, for as long as this process runs."""
    _opened[home] = Opened(key, passphrase)


def is_open(home: Path) -> bool:
    """Whether a passphrase that was typed in this process opened it."""
    return home in _opened


def forget_opened(home: Path) -> None:
    """Ask again: the key was changed."""
    _opened.pop(home, None)


def _unwrap_asking(shell: Shell, blob: bytes, half: bytes) -> Opened:
    for left in range(PASSPHRASE_TRIES - 1, -1, -1):
        passphrase = ask_passphrase(shell, _("Passphrase:") + " ")
        try:
            return Opened(unwrap(blob, passphrase, half), passphrase)
        except Locked as error:
            if not left:
                raise
            shell.say(f"{sentence(error)[0]} {_('Once more.')}")
    raise Locked  # not reached


def unwrap(blob: bytes, passphrase: str, half: bytes = b"") -> bytes:
    """The key in a blob.

    Raises:
        Locked: the passphrase, or the half from the keyring, doesn't open it.
    """
    from bide.crypto.wrapping import unwrap_with_passphrase

    try:
        return unwrap_with_passphrase(blob, passphrase, half=half)
    except InputError as error:
        # What can't be a passphrase doesn't open anything.
        raise Locked(error.template, hint=error.hint_template, **error.values) from error


def _from_keyring(config: Config) -> bytes:
    from bide_cli.unlocking.keyrings import read_keyring

    return read_keyring(config.keyring_name)


def passphrase_from_file(name: str | None = None) -> str | None:
    """The passphrase in a file, without the newline at its end; None if none is named.

    Args:
        name: of the file; None: as BIDE_PASSPHRASE_FILE says.
    """
    if name is None:
        name = os.environ.get("BIDE_PASSPHRASE_FILE", "")
    if not name:
        return None
    path = Path(name).expanduser()
    data = _read_private(path, what=PASSPHRASE_FILE_WORDS, bytes_max=PASSPHRASE_BYTES_MAX)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise Locked("The passphrase file is not valid UTF-8 text.") from None
    return text.removesuffix("\n").removesuffix("\r")


def ask_passphrase(shell: Shell, prompt: str) -> str:
    """Ask for a passphrase on the terminal, without showing it.

    Raises:
        Locked: there is nobody to ask.
    """
    if not shell.may_ask:
        raise Locked(
            "This home is locked with a passphrase, and there is no terminal to ask on.",
            hint="BIDE_PASSPHRASE_FILE can name a file that holds it.",
        )
    import getpass

    try:
        return getpass.getpass(prompt)
    except (EOFError, UnicodeDecodeError):
        raise Locked from None
