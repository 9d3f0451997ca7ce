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
    CHOICE = "choice"
    """One of a few words, see `Field.choices`."""


class Field(NamedTuple):
    """One thing that an entry can say."""

    name: str
    kind: FieldKind
    prompt: str
    """The question a person is asked."""
    label: str
    """What stands before the answer in the timeline."""
    required: bool = False
    choices: tuple[str, ...] = ()
    """For `FieldKind.CHOICE`: what can be chosen, as it is stored."""
    prompt_named: str = ""
    """The same question with the other's ``{name}`` in it, where there is one."""
    asked: bool = True
    """Whether a person is asked for it; what the program notes by itself is not."""


def clean_field(field: Field, value: Any) -> str:
    """The string to store for a value as given; empty means not answered.

    Raises:
        InputError: not text, too long, with characters that can't be shown, or none of those to choose from.
    """
    if field.kind is FieldKind.CHOICE:
        return _clean_choice(field, value)
    if field.kind in (FieldKind.TEXT, FieldKind.LINE):
        chars_max = TEXT_CHARS_MAX if field.kind is FieldKind.TEXT else LINE_CHARS_MAX
        return clean_text(value, what=field.name, chars_max=chars_max, one_line=field.kind is FieldKind.LINE)
    items = value.split("\n" if field.kind is FieldKind.LINES else ",") if isinstance(value, str) else value
    if not isinstance(items, list):
        raise InputError("'{field}' takes a list of short lines.", field=field.name)
    feelings = field.kind is FieldKind.FEELINGS
    items_max, chars_max = (FEELINGS_MAX, FEELING_CHARS_MAX) if feelings else (LINES_MAX, LINE_CHARS_MAX)
    cleaned = [clean_text(item, what=field.name, chars_max=chars_max, one_line=True) for item in items]
    cleaned = list(dict.fromkeys(item for item in cleaned if item))
    if len(cleaned) > items_max:
        raise InputError(
            "'{field}' takes at most {most}.", hint="Choose those that matter most.", field=field.name, most=items_max
        )
    return "\n".join(cleaned)


def _unknown_choice(field: Field, typed: str) -> InputError:
    from difflib import get_close_matches

    near = get_close_matches(typed[:LINE_CHARS_MAX], field.choices, n=1)
    return InputError(
        "'{field}' is one of: {choices}",
        hint="Did you mean {near}?" if near else "",
        field=field.name,
        choices=", ".join(field.choices),
        near=near[0] if near else "",
    )


def _clean_choice(field: Field, value: Any) -> str:
    # A number is how a script says 2; true is not how it says 1.
    text = str(value) if type(value) is int else value
    chosen = (
        clean_text(text, what=field.name, chars_max=LINE_CHARS_MAX, one_line=True).lower().replace("-", "_").replace(" ", "_")
    )
    if chosen and chosen not in field.choices:
        raise _unknown_choice(field, chosen)
    return chosen


def clean_text(value: Any, *, what: str, chars_max: int, one_line: bool = False) -> str:
    """`value` as text fit to store: composed (NFC), trimmed, with plain newlines.

    Raises:
        InputError: not text, too long, more than one line where one is wanted, or with control characters.
    """
    if not isinstance(value, str):
        raise InputError("'{field}' has to be text.", field=what)
    text = unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n")).strip()
    for character in text:
        if _cannot_be_shown(character):
            raise InputError(
                "'{field}' holds a character that can't be shown ({code}).",
                hint="Take it out and try again; nothing was written.",
                field=what,
                code=f"U+{ord(character):04X}",
            )
    if one_line and "\n" in text:
        raise InputError("'{field}' has to be on one line.", field=what)
    if len(text) > chars_max:
        raise InputError(
            "'{field}' has {length} characters; {most} fit.",
            hint="Make it shorter; nothing was written." if one_line else "Split it in two; nothing was written.",
            field=what,
            length=f"{len(text):,}",
            most=f"{chars_max:,}",
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
