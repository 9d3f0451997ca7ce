"""The address of a relay: which can be dialled at all, wherever it was typed or came from. Imports nothing heavy."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from bide.errors import InputError

URL_CHARS_MAX = 400


def check_url(text: str) -> str:
    """A relay's address as it is kept.

    Raises:
        InputError: it is none, or would send in the clear over a network.
    """
    url = text.strip()
    example = "It looks like wss://relay.example.org"
    if len(url) > URL_CHARS_MAX or not url.isascii() or not url.isprintable() or " " in url:
        raise InputError("That is not the address of a relay.", hint=example)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InputError("That is not the address of a relay.", hint=example) from None
    if parts.scheme not in ("ws", "wss") or not parts.hostname or port == 0:
        raise InputError("The address of a relay begins with wss:// (or ws:// on this machine itself).", hint=example)
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise InputError("The address of a relay has no name, password or question mark in it.", hint=example)
    if parts.scheme == "ws" and not is_loopback(parts.hostname):
        raise InputError(
            "ws:// would tell everyone on the way who talks with whom, so Bide uses it only on this machine itself.",
            hint="Use wss:// with the relay's name.",
        )
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(url: str) -> str:
    """Host and port as dialled: what the proof of identity is bound to."""
    return urlsplit(url).netloc


def sound_address(said: object) -> str:
    """An address that somebody else said, if it is one that could have been typed here, exactly so; else nothing."""
    try:
        return said if isinstance(said, str) and check_url(said) == said else ""
    except InputError:
        return ""
