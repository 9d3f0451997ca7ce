"""Entries of Bide that were imported again: what a keepsake keeps of one, and getting it back as it was.

A keepsake's ``original`` is a JSON object: ``format``, ``id`` and ``digest`` say what it is and of which version. An entry of
Bide stands in it whole, as ``entry``; one too large for a field goes on in ``text`` over several keepsakes, ``part`` 1 to
``of``.

Only one's own keepsakes are looked into. What the other person shares as a keepsake stays one: whatever it claims to be, it
must never come out as an entry in somebody else's name.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from bide.entries.fields import TEXT_CHARS_MAX

FORMAT = "bide"
SOURCE = "Bide"
PARTS_MAX = 1000
REPLIES_DEPTH_MAX = 4
_CLOSING_CHARS = 100

Short = Annotated[str, Field(max_length=300)]
Scalar = str | bool | int


class _Model(BaseModel):
    # What a newer Bide says besides is kept as it is.
    model_config = ConfigDict(extra="allow", strict=True)


class _Person(_Model):
    name: Short
    me: bool


class _Earlier(_Model):
    at: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$")]
    by: _Person
    fields: dict[str, Scalar | list[str]]


class _Said(_Model):
    by: _Person
    __pydantic_extra__: dict[str, Scalar]


class _RepairFields(_Model):
    topics: list[_Said] = []
    tells: list[_Said] = []
    hearings: list[_Said] = []
    answers: list[_Said] = []
    gestures: list[_Said] = []
    settled: list[_Said] = []
    topic: str = ""
    agreement: str = ""
    __pydantic_extra__: dict[str, Scalar]


class Entry(_Model):
    """An entry, as ``--json`` shows it."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
    code: Short
    kind: Annotated[str, Field(pattern=r"^[a-z][a-z_]{0,30}$")]
    by: _Person
    at: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$")]
    tz: Short
    day: Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    visibility: Annotated[str, Field(pattern=r"^(private|shared)$")]
    shared_with: list[Short]
    fields: dict[str, Any]
    replies: list[Entry]
    history: list[_Earlier]
    alternatives: dict[str, list[Scalar]]
    words: list[_Earlier] = []


_ADAPTER = TypeAdapter(Entry)
_PLAIN_FIELDS = TypeAdapter(dict[str, Scalar | list[str]])
_REPAIR_FIELDS = TypeAdapter(_RepairFields)


def is_entry(value: Any, *, depth: int = REPLIES_DEPTH_MAX) -> bool:
    """Whether a value has the form of an entry, so that all that draws entries can draw it."""
    try:
        if depth == REPLIES_DEPTH_MAX:
            _ADAPTER.validate_python(value)
        fields = _REPAIR_FIELDS if value["kind"] == "repair" else _PLAIN_FIELDS
        fields.validate_python(value["fields"])
    except (ValidationError, RecursionError):
        return False
    return not value["replies"] or (depth > 0 and all(is_entry(reply, depth=depth - 1) for reply in value["replies"]))


# Into a keepsake


def pack(label: Mapping[str, Any], entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the keepsakes of one entry say in ``original``: one, or as many as it takes.

    Args:
        label: format, id and digest.
        entry: as shown.
    """
    whole = {**label, "entry": entry}
    if len(write(whole)) <= TEXT_CHARS_MAX:
        return [whole]
    text = _dumps(entry)
    pieces: list[str] = []
    room = TEXT_CHARS_MAX - len(write({**label, "part": PARTS_MAX, "of": PARTS_MAX, "text": ""})) - _CLOSING_CHARS
    at = 0
    while at < len(text):
        size = room
        # A quote takes two characters once it is quoted itself.
        while len(write({"text": text[at : at + size]})) > room:
            size = size * 9 // 10
        pieces.append(text[at : at + size])
        at += size
    return [{**label, "part": number, "of": len(pieces), "text": piece} for number, piece in enumerate(pieces, 1)]


def write(original: Mapping[str, Any]) -> str:
    """An ``original`` as text that a field stores without changing a character."""
    return _dumps(original)


def _dumps(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # A field is stored composed; where that would change it (a lone accent behind an escape), everything is escaped.
    return text if unicodedata.is_normalized("NFC", text) and _is_plain(text) else json.dumps(value, separators=(",", ":"))


def _is_plain(text: str) -> bool:
    return text.isprintable() or not any(
        unicodedata.category(character) in ("Cc", "Cs", "Cn", "Zl", "Zp") for character in text
    )


def read(text: str) -> dict[str, Any]:
    """What an ``original`` says; empty if that can't be understood."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


# And back


def unpack(entries: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each entry with what is to be shown for it: itself, or the entry of Bide that it keeps.

    Args:
        entries: those of whole days, since the parts of one stand under one day.
    """
    entries = list(entries)
    found: dict[int, dict[str, Any]] = {}
    parts: dict[tuple[str, str, str], dict[int, int]] = {}
    texts: dict[int, str] = {}
    for place, entry in enumerate(entries):
        original = _of(entry)
        if "entry" in original:
            found[place] = original["entry"]
        elif _is_part(original):
            key = (entry["visibility"], str(original.get("id", "")), str(original.get("digest", "")))
            parts.setdefault(key, {})[original["part"]] = place
            texts[place] = original["text"]
            if len(parts[key]) == original["of"] and max(parts[key]) == original["of"]:
                found[min(parts[key].values())] = read("".join(texts[parts[key][n]] for n in sorted(parts[key])))
    joined = {place for key in parts.values() for place in key.values() if min(key.values()) in found}
    for place, entry in enumerate(entries):
        if place in found and is_entry(found[place]):
            yield entry, found[place]
        elif place not in joined or not is_entry(found[_first(parts, place)]):
            yield entry, entry


def _first(parts: Mapping[Any, Mapping[int, int]], place: int) -> int:
    return next(min(places.values()) for places in parts.values() if place in places.values())


def _is_part(original: Mapping[str, Any]) -> bool:
    part, count = original.get("part"), original.get("of")
    return (
        type(part) is int and type(count) is int and 1 <= part <= count <= PARTS_MAX and isinstance(original.get("text"), str)
    )


def _of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What an own keepsake of an entry of Bide keeps, unless its words were changed since."""
    if entry["kind"] != "keepsake" or not entry["by"]["me"] or entry["edited"] or entry["retracted"]:
        return {}
    fields = entry["fields"]
    original = read(str(fields.get("original", ""))) if fields.get("source") == SOURCE else {}
    return original if original.get("format") == FORMAT else {}
