"""From a home to the key of its database: a key file, a passphrase, or the keyring of the system.

The environment names files and never holds a secret: it is readable by other programs of the same person and ends up in logs.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from bide.errors import InputError, Locked, Phrase
from bide_cli.home import KEY_FILE, KEYRING, PASSPHRASE, WRAPPED_KEY, Config
from bide_cli.language import _, sentence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

    from bide_cli.shell import Shell

KEY_BYTES = 32
KEY_FILE_WORDS = Phrase("The key file")
PASSPHRASE_FILE_WORDS = Phrase("The passphrase file")
PASSPHRASE_TRIES = 3
PASSPHRASE_BYTES_MAX = 8 * 1024
WRAPPED_BYTES_MAX = 4 * 1024
KEYRING_SERVICE = "bide"
KEYRING_BACKENDS = (
    "keyring.backends.macOS",
    "keyring.backends.Windows",
    "keyring.backends.SecretService",
    "keyring.backends.kwallet",
)
"""Only these keep a key encrypted and to this person; keyring also knows plain files and other people's plug-ins."""
_opened: dict[Path, bytes] = {}
"""What a passphrase has opened in this process: ``bide start`` leads through several commands and asks for it once."""


def unlock(shell: Shell, config: Config) -> bytes:
    """The 32-byte key of the database in the shell's home.

    Raises:
        Locked: it can't be had, or not without asking.
    """
    key_file = os.environ.get("BIDE_KEY_FILE", "")
    if key_file:
        return read_key_file(Path(key_file).expanduser())
    if config.unlock == KEY_FILE:
        return read_key_file(Path(config.key_file))
    if config.unlock == PASSPHRASE:
        return _unlock_by_passphrase(shell)
    if config.unlock == KEYRING:
        return _unlock_by_keyring(config)
    raise Locked("This home doesn't say how it is unlocked.", hint="BIDE_KEY_FILE can name its key file.")


def unlocks_unasked(config: Config) -> bool:
    """Whether a process that nobody looks at can open the home."""
    if os.environ.get("BIDE_KEY_FILE") or config.unlock in (KEY_FILE, KEYRING):
        return True
    return config.unlock == PASSPHRASE and bool(os.environ.get("BIDE_PASSPHRASE_FILE"))


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


def _unlock_by_passphrase(shell: Shell) -> bytes:
    if shell.home in _opened:
        return _opened[shell.home]
    path = shell.home / WRAPPED_KEY
    try:
        with path.open("rb") as file:
            blob = file.read(WRAPPED_BYTES_MAX)
    except OSError as error:
        raise Locked("The file that holds this home's key is not there.", hint="It should be at {path}", path=path) from error
    passphrase = passphrase_from_file()
    if passphrase is not None:
        return _unwrap(blob, passphrase)
    key = _unwrap_asking(shell, blob)
    remember_opened(shell.home, key)
    return key


def remember_opened(home: Path, key: bytes) -> None:
    """Keep the key of a home that a passphrase opened or has just made, for as long as this process runs."""
    _opened[home] = key


def _unwrap_asking(shell: Shell, blob: bytes) -> bytes:
    for left in range(PASSPHRASE_TRIES - 1, -1, -1):
        passphrase = ask_passphrase(shell, _("Passphrase:") + " ")
        try:
            return _unwrap(blob, passphrase)
        except Locked as error:
            if not left:
                raise
            shell.say(f"{sentence(error)[0]} {_('Once more.')}")
    raise Locked  # not reached


def _unwrap(blob: bytes, passphrase: str) -> bytes:
    from bide.crypto.wrapping import unwrap_with_passphrase

    try:
        return unwrap_with_passphrase(blob, passphrase)
    except InputError as error:
        # What can't be a passphrase doesn't open anything.
        raise Locked(error.template, hint=error.hint_template, **error.values) from error


def passphrase_from_file() -> str | None:
    """The passphrase in the file that BIDE_PASSPHRASE_FILE names, without the newline at its end; None if it names none."""
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


def allowed_keyring() -> KeyringBackend | None:
    """The keyring of this system, if it is one to be trusted with a key."""
    import keyring

    try:
        backend = keyring.get_keyring()
    except Exception:  # a plug-in of this system may fail in any way
        return None
    chained = getattr(backend, "backends", None)
    for candidate in list(chained) if chained else [backend]:
        if type(candidate).__module__.startswith(KEYRING_BACKENDS):
            found: KeyringBackend = candidate
            return found
    return None


def keep_in_keyring(name: str, key: bytes) -> None:
    """Put a database key into the keyring of the system.

    Raises:
        InputError: there is none that keeps it safe.
    """
    backend = allowed_keyring()
    if backend is None:
        raise InputError(
            "There is no keyring on this system that could keep the key.", hint="Use --passphrase or --key-file FILE"
        )
    try:
        backend.set_password(KEYRING_SERVICE, name, key.hex())
        kept = backend.get_password(KEYRING_SERVICE, name)
    except Exception as error:  # see allowed_keyring
        raise InputError("The keyring of this system did not take the key.") from error
    if kept != key.hex():
        raise InputError("The keyring of this system did not keep the key.")


def forget_in_keyring(name: str) -> None:
    """Take a key out again after a home could not be made."""
    import contextlib

    backend = allowed_keyring()
    with contextlib.suppress(Exception):
        if backend is not None:
            backend.delete_password(KEYRING_SERVICE, name)


def _unlock_by_keyring(config: Config) -> bytes:
    backend = allowed_keyring()
    if backend is None:
        raise Locked("The keyring of this system can't be reached.", hint="Is this a session without a desktop?")
    try:
        kept = backend.get_password(KEYRING_SERVICE, config.keyring_name)
        key = bytes.fromhex(kept or "")
    except Exception as error:  # see allowed_keyring
        raise Locked("The keyring of this system did not give the key out.") from error
    if len(key) != KEY_BYTES:
        raise Locked("The keyring of this system doesn't hold this home's key.")
    return key
