"""The keyring of the system, where it is one that can be trusted with a key."""

from __future__ import annotations

from bide.errors import InputError, Locked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE = "bide"
BACKENDS = (
    "keyring.backends.macOS",
    "keyring.backends.Windows",
    "keyring.backends.SecretService",
    "keyring.backends.kwallet",
)
"""Only these keep a key encrypted and to this person; keyring also knows plain files and other people's plug-ins."""
KEY_BYTES = 32
_LOCKED_HINT = "Unlock it, for example by logging in to your desktop, then try again."


def allowed_keyring() -> KeyringBackend | None:
    """The keyring of this system, if it is one to be trusted with a key."""
    import keyring

    try:
        backend = keyring.get_keyring()
    except Exception:  # a plug-in of this system may fail in any way
        return None
    chained = getattr(backend, "backends", None)
    for candidate in list(chained) if chained else [backend]:
        if type(candidate).__module__.startswith(BACKENDS):
            found: KeyringBackend = candidate
            return found
    return None


def keep_in_keyring(name: str, key: bytes) -> None:
    """Put 32 bytes, a database key or the half of one, into the keyring of the system.

    Raises:
        InputError: there is none that keeps it safe.
    """
    backend = allowed_keyring()
    if backend is None:
        raise InputError(
            "There is no keyring on this system that could keep the key.", hint="Use --passphrase or --key-file FILE"
        )
    try:
        backend.set_password(SERVICE, name, key.hex())
        kept = backend.get_password(SERVICE, name)
    except Exception as error:  # see allowed_keyring
        raise InputError("The keyring of this system did not take the key.", hint=_LOCKED_HINT) from error
    if kept != key.hex():
        raise InputError("The keyring of this system did not keep the key.")


def forget_in_keyring(name: str) -> None:
    """Take a key out again, if it is there and can be."""
    import contextlib

    backend = allowed_keyring()
    with contextlib.suppress(Exception):
        if backend is not None:
            backend.delete_password(SERVICE, name)


def read_keyring(name: str) -> bytes:
    """What `keep_in_keyring` put there.

    Raises:
        Locked: the keyring is missing or locked, or holds nothing under that name.
    """
    backend = allowed_keyring()
    if backend is None:
        raise Locked("The keyring of this system can't be reached.", hint="Is this a session without a desktop?")
    try:
        kept = backend.get_password(SERVICE, name)
    except Exception as error:  # see allowed_keyring
        if type(error).__name__ == "KeyringLocked":
            raise Locked("The keyring of this system is locked.", hint=_LOCKED_HINT) from error
        raise Locked("The keyring of this system did not give the key out.", hint=_LOCKED_HINT) from error
    try:
        key = bytes.fromhex(kept or "")
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise Locked(
            "The keyring of this system doesn't hold this home's key.",
            hint="A keyring belongs to one person on one device: a copied home can't be opened with that of another.",
        )
    return key
