"""What a file of another journal was found to hold, the same for all formats."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bide.errors import InputError
from bide_cli.language import N_

ENTRIES_MAX = 100_000
"""In one file."""
NOTHING_WRITTEN = N_("Nothing was written.")
_REPLACED = "\N{REPLACEMENT CHARACTER}"
_BREAKS = str.maketrans({"\r": "\n", "\v": "\n", "\f": "\n"})
_ODD = re.compile(
    r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff"
    + "".join(f"{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}" for plane in range(1, 17))
    + "]"
)
"""What `bide.entries.fields.clean_text` refuses: control characters, halves of pairs, and what is no character."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZONE = re.compile(r"[A-Za-z0-9_+\-/]{1,64}")


class Found(NamedTuple):
    """One entry of the other journal."""

    place: int
    """Which entry of the file it is, from 1; for messages."""
    at_ms: int
    """Milliseconds since 1970 in UTC; 0 for what is older."""
    zone: str
    day: str
    """The day it stands under in the other journal, ``YYYY-MM-DD``."""
    text: str
    title: str = ""
    key: str = ""
    """Its own id in the other journal; empty if that has none."""
    feelings: tuple[str, ...] = ()
    """Slugs of our vocabulary."""
    tags: tuple[str, ...] = ()
    by_name: str = ""
    """Who wrote it, if that isn't the one who imports."""
    extra: Mapping[str, Any] = {}
    """What else the other journal knew about it."""


class Parsed(NamedTuple):
    """All that is in a file."""

    entries: list[Found]
    replaced: int = 0
    """Characters that can't be shown and were replaced."""
    left: int = 0
    """Pictures and other attachments that aren't taken."""
    empty: int = 0
    """Entries without a word in them."""


class Tidier:
    """Makes text fit to store, and counts what it had to replace for that."""

    def __init__(self) -> None:
        self.replaced = 0

    def text(self, value: str) -> str:
        """`value` composed, with plain newlines, and a mark for each character that can't be shown."""
        text = unicodedata.normalize("NFC", value.replace("\r\n", "\n").translate(_BREAKS))
        text, count = _ODD.subn(_REPLACED, text)
        self.replaced += count
        return text.strip()

    def line(self, value: str) -> str:
        """The same on one line."""
        return " ".join(self.text(value).split())


def too_many(count: int) -> None:
    """See to it that a file doesn't hold more entries than are taken at once.

    Raises:
        InputError: it does.
    """
    if count > ENTRIES_MAX:
        raise InputError(
            "There are {count} entries in it; at most {most} are taken at once.",
            hint=NOTHING_WRITTEN,
            count=f"{count:,}",
            most=f"{ENTRIES_MAX:,}",
        )


def zone_named(name: str) -> ZoneInfo | None:
    """The time zone of that name, if this machine knows it and a log can hold the name."""
    if not _ZONE.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def moment_ms(moment: datetime, zone: tzinfo = UTC) -> int:
    """Milliseconds since 1970 of a moment, taken in `zone` if it names none; 0 for what is older."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
    return max(0, (aware - _EPOCH) // timedelta(milliseconds=1))


def known_feeling(word: str) -> str:
    """The slug of a word for a feeling, if it is one of ours; empty otherwise."""
    from bide.words.feelings import find

    found = find(word) if word and "/" not in word else None
    return found.slug if found is not None else ""
