"""Day One: the zip of its JSON export, with one JSON file a journal beside the photos, or one such JSON file.

::

    {"metadata": {"version": "1.0"},
     "entries": [{"uuid": "…", "creationDate": "2024-01-05T03:02:50Z", "timeZone": "Europe/Berlin",
                  "text": "# Title, then Markdown", "tags": ["…"], "starred": true,
                  "location": {"placeName": "…", …}, "weather": {"conditionsDescription": "…", …}, "photos": [{…}]}]}

Photos and other attachments are not taken, and neither are coordinates: a place's name says enough.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import PurePosixPath
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bide.errors import InputError
from bide_cli.importing.files import FILE_BYTES_MAX, Archive, decode, is_zip, load_json, read_bytes
from bide_cli.importing.found import NOTHING_WRITTEN, Found, Parsed, Tidier, moment_ms, too_many, zone_named
from bide_cli.language import N_

_WANTED = N_("In Day One: File, Export, JSON. The zip that it makes is what is wanted.")
_ATTACHMENTS = ("photos", "videos", "audios", "pdfAttachments")
_MOMENT = re.compile(r"!?\[[^\]\n]{0,500}\]\(dayone-moment:[^)\n]{0,500}\)")
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+\-.!~|>])")
_GAPS = re.compile(r"\n{3,}")
_OFFSET = re.compile(r"(?:GMT|UTC)([+-])(\d{1,2}):?(\d{2})?")
_PLACE = ("placeName", "localityName", "administrativeArea", "country")
_WEATHER = ("conditionsDescription", "temperatureCelsius")
_EXTRA_CHARS_MAX = 200

Short = Annotated[str, Field(max_length=1000)]


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True)

    uuid: Annotated[str, Field(min_length=1, max_length=100)]
    creationDate: Short  # noqa: N815 its name there
    timeZone: Short | None = None  # noqa: N815
    text: str | None = None
    richText: str | None = None  # noqa: N815
    tags: list[Short] | None = None
    starred: bool | None = None
    location: dict[str, Any] | None = None
    weather: dict[str, Any] | None = None


def read(source: str, *, zone: str) -> Parsed:
    """The entries of a Day One export.

    Args:
        source: zip or JSON file, or ``-`` for JSON on stdin.
        zone: name of the zone for entries that name none.

    Raises:
        InputError: it is no such export, or damaged.
    """
    tidier = Tidier()
    entries: list[Found] = []
    left = empty = 0
    for journal, text in _journals(source):
        for item in _entries(text):
            place = len(entries) + empty + 1
            found = _found(item, place, zone=zone, tidier=tidier, journal=journal)
            left += sum(len(item[kind]) for kind in _ATTACHMENTS if isinstance(item.get(kind), list))
            if found.title or found.text:
                entries.append(found)
            else:
                empty += 1
            too_many(place)
    return Parsed(entries, tidier.replaced, left, empty)


def _journals(source: str) -> Iterator[tuple[str, str]]:
    """Name and text of each journal."""
    if not is_zip(source):
        yield "", decode(read_bytes(source), hint=_WANTED)
        return
    archive = Archive(source)
    try:
        names = archive.journals()
        if not names:
            raise InputError("There is no journal in that zip.", hint=_WANTED)
        bytes_left = FILE_BYTES_MAX
        for name in names:
            data = archive.read(name, bytes_left=bytes_left)
            bytes_left -= len(data)
            yield PurePosixPath(name).stem, decode(data, hint=_WANTED)
    finally:
        archive.close()


def _entries(text: str) -> list[Any]:
    value = load_json(text, wanted=_WANTED)
    entries = value.get("entries") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise InputError("That is JSON, but not from Day One: it has no list of entries.", hint=_WANTED)
    return entries


def _found(item: Any, place: int, *, zone: str, tidier: Tidier, journal: str) -> Found:
    try:
        entry = _Entry.model_validate(item)
    except ValidationError:
        raise InputError(
            "Entry {place} of the file lacks an id or a date, or is not in the form of one.", hint=NOTHING_WRITTEN, place=place
        ) from None
    try:
        at = datetime.fromisoformat(entry.creationDate)
    except ValueError:
        raise InputError(
            "Entry {place} of the file has a date that can't be read.", hint=NOTHING_WRITTEN, place=place
        ) from None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    zone_name, there = _zone(entry.timeZone or "", zone)
    try:
        day = at.astimezone(there).date().isoformat()
    except (OverflowError, ValueError):
        raise InputError(
            "Entry {place} of the file has a date that can't be read.", hint=NOTHING_WRITTEN, place=place
        ) from None
    title, text = _title_and_text(tidier.text(_words(entry)))
    return Found(
        place=place,
        at_ms=moment_ms(at),
        zone=zone_name,
        day=day,
        title=tidier.line(title),
        text=text,
        key=tidier.line(entry.uuid),
        tags=tuple(tag for each in entry.tags or () if (tag := tidier.line(each))),
        extra=_extra(entry, journal, tidier),
    )


def _zone(name: str, default: str) -> tuple[str, tzinfo]:
    """The name to keep and the zone to reckon the day in."""
    if found := zone_named(name):
        return name, found
    if offset := _OFFSET.fullmatch(name):
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        if minutes < 24 * 60:
            return "UTC", timezone(timedelta(minutes=minutes if offset[1] == "+" else -minutes))
    return default, ZoneInfo(default)


def _words(entry: _Entry) -> str:
    if entry.text is not None or not entry.richText:
        return entry.text or ""
    # Only where the plain form is missing: the pieces of the rich one, in order.
    try:
        contents = json.loads(entry.richText)["contents"]
        return "".join(str(piece.get("text", "")) for piece in contents)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return ""


def _title_and_text(text: str) -> tuple[str, str]:
    text = _GAPS.sub("\n\n", _MOMENT.sub("", text)).strip()
    title = ""
    if text.startswith("# "):
        title, _, text = text[2:].partition("\n")
    return _ESCAPED.sub(r"\1", title), _ESCAPED.sub(r"\1", text).strip()


def _extra(entry: _Entry, journal: str, tidier: Tidier) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    if journal:
        extra["journal"] = tidier.line(journal)[:_EXTRA_CHARS_MAX]
    if entry.starred:
        extra["starred"] = True
    for name, said, keys in (("location", entry.location, _PLACE), ("weather", entry.weather, _WEATHER)):
        kept = {key: _short(value, tidier) for key, value in (said or {}).items() if key in keys and _is_short(value)}
        if kept:
            extra[name] = kept
    return extra


def _is_short(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _short(value: Any, tidier: Tidier) -> Any:
    return tidier.line(value)[:_EXTRA_CHARS_MAX] if isinstance(value, str) else str(value)[:_EXTRA_CHARS_MAX]
