"""Fields: what a person can say in an entry, and the limits on it.

A value is stored in a document as one string. A list (feelings, lines put aside for later) is stored one item a line.
"""

from __future__ import annotations

import unicodedata
from enum import Enum
from typing import Any, NamedTuple

from bide.errors import InputError

TEXT_CHARS_MAX = 10_000
LINE_CHARS_MAX = 200
FEELING_CHARS_MAX = 40
FEELINGS_MAX = 3
LINES_MAX = 20

Value = str | list[str]
"""A field as it is given and shown."""


class FieldKind(Enum):
    """How a field is asked for and checked."""

    TEXT = "text"
    """Prose, several lines allowed."""
    LINE = "line"
    """One short line."""
    LINES = "lines"
    """Several short lines."""
    FEELINGS = "feelings"
    """Up to three words for feelings."""


class Field(NamedTuple):
    """One thing that an entry can say."""

    name: str
    kind: FieldKind
    prompt: str
    """The question a person is asked."""
    label: str
    """What stands before the answer in the timeline."""
    required: bool = False


def clean_field(field: Field, value: Any) -> str:
    """The string to store for a value as given; empty means not answered.

    Raises:
        InputError: not text, too long, or with characters that can't be shown.
    """
    if field.kind in (FieldKind.TEXT, FieldKind.LINE):
        chars_max = TEXT_CHARS_MAX if field.kind is FieldKind.TEXT else LINE_CHARS_MAX
        return clean_text(value, what=field.name, chars_max=chars_max, one_line=field.kind is FieldKind.LINE)
    items = value.split("\n" if field.kind is FieldKind.LINES else ",") if isinstance(value, str) else value
    if not isinstance(items, list):
        raise InputError(f"'{field.name}' takes a list of short lines.")
    feelings = field.kind is FieldKind.FEELINGS
    items_max, chars_max = (FEELINGS_MAX, FEELING_CHARS_MAX) if feelings else (LINES_MAX, LINE_CHARS_MAX)
    cleaned = [clean_text(item, what=field.name, chars_max=chars_max, one_line=True) for item in items]
    cleaned = list(dict.fromkeys(item for item in cleaned if item))
    if len(cleaned) > items_max:
        raise InputError(f"'{field.name}' takes at most {items_max}.", hint="Choose those that matter most.")
    return "\n".join(cleaned)


def clean_text(value: Any, *, what: str, chars_max: int, one_line: bool = False) -> str:
    """`value` as text fit to store: composed (NFC), trimmed, with plain newlines.

    Raises:
        InputError: not text, too long, more than one line where one is wanted, or with control characters.
    """
    if not isinstance(value, str):
        raise InputError(f"'{what}' has to be text.")
    text = unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n")).strip()
    for character in text:
        if _cannot_be_shown(character):
            raise InputError(
                f"'{what}' holds a character that can't be shown (U+{ord(character):04X}).",
                hint="Take it out and try again; nothing was written.",
            )
    if one_line and "\n" in text:
        raise InputError(f"'{what}' has to be on one line.")
    if len(text) > chars_max:
        raise InputError(
            f"'{what}' has {len(text):,} characters; {chars_max:,} fit.",
            hint="Split it in two; nothing was written.",
        )
    return text


def _cannot_be_shown(character: str) -> bool:
    if character in "\n\t":
        return False
    return unicodedata.category(character) in ("Cc", "Cs") or (ord(character) & 0xFFFE) == 0xFFFE


def show_field(field: Field, stored: str) -> Value:
    """A stored value as it is shown: a string, or a list for the kinds that hold several."""
    if field.kind in (FieldKind.LINES, FieldKind.FEELINGS):
        return stored.split("\n") if stored else []
    return stored
