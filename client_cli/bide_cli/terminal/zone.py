"""The name of this machine's time zone, as cheaply as it can be had."""

from __future__ import annotations

import os

_LOCALTIME = "/etc/localtime"
_MARK = "/zoneinfo/"
_NAME_CHARS_MAX = 64
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/")


def local_zone() -> str:
    """The IANA name of this machine's zone, such as ``Europe/Berlin``; ``UTC`` if it can't be found."""
    name = os.environ.get("TZ", "").removeprefix(":")
    if is_zone_name(name):
        return name
    if not name:
        try:
            target = os.readlink(_LOCALTIME)  # noqa: PTH115 no need of a Path here
        except OSError:
            target = ""
        name = target.partition(_MARK)[2].removeprefix("posix/").removeprefix("right/")
        if is_zone_name(name):
            return name
    return _ask_tzlocal()


def is_zone_name(name: str) -> bool:
    """Whether it is a name such as ``Europe/Berlin`` or ``UTC``, and no rule such as ``CET-1CEST``."""
    if not 0 < len(name) <= _NAME_CHARS_MAX or not _PLAIN.issuperset(name) or ".." in name or name.startswith("/"):
        return False
    return "/" in name or name in ("UTC", "GMT")


def _ask_tzlocal() -> str:
    import warnings

    try:
        from tzlocal import get_localzone_name

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return get_localzone_name() or "UTC"
    except Exception:  # it reads whatever files a system has, and a journal must open on all of them
        return "UTC"
