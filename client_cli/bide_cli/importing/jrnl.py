"""jrnl: its plain text journal, and what ``jrnl --export json`` prints.

The text holds one entry after the other, each beginning with its date in brackets at the start of a line::

    [2026-11-22 08:14:00 PM] The title *
    The body, with @tags and #tags.

The asterisk marks a starred entry. How the date is written is set by ``timeformat`` in jrnl's config. The JSON has no
seconds, so an entry's id counts minutes: the same journal imported in either form is the same entries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from bide.errors import InputError
from bide_cli.importing.files import decode, load_json, read_bytes
from bide_cli.importing.found import NOTHING_WRITTEN, Found, Parsed, Tidier, moment_ms, too_many
from bide_cli.language import N_

_START = re.compile(r"^\[([^\]\n]{1,80})\] ?", re.MULTILINE)
_TAG = re.compile(r"(?<!\S)[#@]([-+*#/\w]+)")
_PARTS = {"%F": "%Y-%m-%d", "%r": "%I:%M:%S %p", "%R": "%H:%M", "%T": "%H:%M:%S", "%D": "%m/%d/%y"}
"""What jrnl's config may say and Python can write but not read."""
_FORMATS = tuple(
    f"{day}{time}"
    for day in ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y")
    for time in (" %I:%M:%S %p", " %I:%M %p", " %H:%M:%S", " %H:%M", "T%H:%M:%S", "T%H:%M", "")
)
"""Only those that can be read in one way: 03/04/2026 needs to be told."""
_HOUR_DEFAULT = 9
"""For a date without a time, as jrnl itself does."""
_ENCRYPTED = N_("If it is encrypted, export it first: jrnl --export json > journal.json. Nothing was written.")
_WANTED = N_("jrnl --export json prints what is wanted; so does the journal's own file.")


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True)

    title: str
    body: str
    date: str
    time: str
    starred: bool = False
    tags: list[str] = []


class _Raw(NamedTuple):
    at: datetime
    title: str
    body: str
    starred: bool


def read(source: str, *, zone: str, timeformat: str = "") -> Parsed:
    """The entries of a jrnl journal.

    Args:
        source: file, or ``-``.
        zone: name of the zone in which its times are.
        timeformat: as in jrnl's config, if its dates are unusual.

    Raises:
        InputError: it is no such journal, or damaged.
    """
    text = decode(read_bytes(source), hint=_ENCRYPTED)
    raw = list(_from_json(text) if text.lstrip().startswith("{") else _from_text(text, timeformat))
    too_many(len(raw))
    tidier = Tidier()
    entries = [_found(place, item, zone=zone, tidier=tidier) for place, item in enumerate(raw, 1)]
    worded = [entry for entry in entries if entry.title or entry.text]
    return Parsed(worded, tidier.replaced, empty=len(entries) - len(worded))


def _found(place: int, raw: _Raw, *, zone: str, tidier: Tidier) -> Found:
    title, body = tidier.text(raw.title), tidier.text(raw.body)
    return Found(
        place=place,
        at_ms=moment_ms(raw.at, ZoneInfo(zone)),
        zone=zone,
        day=raw.at.date().isoformat(),
        title=title,
        text=body,
        tags=tuple(dict.fromkeys(tag.lower() for tag in _TAG.findall(f"{title}\n{body}"))),
        extra={"starred": True} if raw.starred else {},
    )


# JSON


def _from_json(text: str) -> Iterator[_Raw]:
    value = load_json(text, wanted=_WANTED)
    entries = value.get("entries") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise InputError("That is JSON, but not from jrnl: it has no list of entries.", hint=_WANTED)
    adapter = TypeAdapter(_Entry)
    for place, item in enumerate(entries, 1):
        yield _raw_of(item, place, adapter)


def _raw_of(item: Any, place: int, adapter: TypeAdapter[_Entry]) -> _Raw:
    try:
        entry = adapter.validate_python(item)
        at = datetime.strptime(f"{entry.date} {entry.time}", "%Y-%m-%d %H:%M")
    except ValidationError:
        raise InputError(
            "Entry {place} of the file lacks a title, body, date or time.", hint=NOTHING_WRITTEN, place=place
        ) from None
    except ValueError:
        raise InputError(
            "Entry {place} of the file has a date or time that can't be read.", hint=NOTHING_WRITTEN, place=place
        ) from None
    return _Raw(at, entry.title, entry.body, entry.starred)


# Text


def _from_text(text: str, timeformat: str) -> Iterator[_Raw]:
    text = text.replace("\r\n", "\n")
    formats = (_readable(timeformat),) if timeformat else _FORMATS
    starts = [(match, at) for match in _START.finditer(text) if (at := _read_date(match[1], formats)) is not None]
    if not starts:
        raise InputError(
            "No entry of jrnl was found in it: none begins with a date in brackets that can be read.",
            hint="If its dates are written in another way, say how: --timeformat, as in jrnl's config.",
        )
    if text[: starts[0][0].start()].strip():
        raise InputError(
            "Line 1 stands before the first date, so it belongs to no entry.", hint="Give it a date. Nothing was written."
        )
    if not text.endswith("\n"):
        raise InputError(
            "The file ends in the middle of a line (line {line}), as if it had been cut.",
            hint="If it is whole, put a line break at its end.",
            line=text.count("\n") + 1,
        )
    ends = [match.start() for match, _ in starts[1:]] + [len(text)]
    for (match, at), end in zip(starts, ends, strict=True):
        yield _split(at, text[match.end() : end])


def _split(at: datetime, text: str) -> _Raw:
    """Title and body: as jrnl writes a journal, the title is the first line."""
    title, _, body = text.strip().partition("\n")
    starred = title.rstrip().endswith("*")
    return _Raw(at, title.strip(" *") if starred else title.strip(), body, starred)


def _readable(timeformat: str) -> str:
    return re.sub(r"%[FrRTD]", lambda match: _PARTS[match[0]], timeformat)


def _read_date(blob: str, formats: tuple[str, ...]) -> datetime | None:
    for form in formats:
        try:
            at = datetime.strptime(blob.strip(), form)
        except (ValueError, re.error):
            continue
        return at if "%H" in form or "%I" in form else at.replace(hour=_HOUR_DEFAULT)
    return None
