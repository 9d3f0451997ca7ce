"""Daylio: its CSV export.

::

    full_date,date,weekday,time,mood,activities,note_title,note
    2024-03-01,March 1,Friday,8:15 PM,rad,"friends | river walk","A title","A note"

A mood that is among our feelings becomes one; any other stays the person's word and stands first among the tags. The backup
(``.daylio``) is meant for Daylio alone and is not read.
"""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from bide.errors import InputError
from bide_cli.importing.files import ZIP_MAGIC, decode, read_bytes
from bide_cli.importing.found import NOTHING_WRITTEN, Found, Parsed, Tidier, known_feeling, moment_ms, too_many
from bide_cli.language import N_

NEEDED = ("full_date", "time", "mood")
WELCOME = ("activities", "note_title", "note")
_CELL_CHARS_MAX = 1024 * 1024
_TIMES = ("%H:%M", "%I:%M %p", "%H:%M:%S", "%I:%M:%S %p")
_WANTED = N_("In Daylio: More, Export Entries, CSV.")
_BREAK = re.compile(r"<br\s*/?>|</(?:p|div|ul|ol|h[1-6])>", re.IGNORECASE)
_ITEM = re.compile(r"<li(?:\s[^<>]*)?>", re.IGNORECASE)
_MARKUP = re.compile(r"</?(?:b|i|u|s|p|ul|ol|li|em|div|del|span|strong|strike|font|h[1-6])(?:\s[^<>]*)?>", re.IGNORECASE)


def read(source: str, *, zone: str) -> Parsed:
    """The entries of a Daylio export.

    Args:
        source: file, or ``-``.
        zone: name of the zone in which its times are.

    Raises:
        InputError: it is no such export, or damaged.
    """
    data = read_bytes(source)
    if data.startswith(ZIP_MAGIC):
        raise InputError("That is a backup, which only Daylio can read.", hint=_WANTED)
    tidier = Tidier()
    entries: list[Found] = []
    for line, row in _rows(decode(data, hint=_WANTED)):
        entries.append(_found(row, line, len(entries) + 1, zone=zone, tidier=tidier))
        too_many(len(entries))
    return Parsed(entries, tidier.replaced)


def _rows(text: str) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Line number and cells by column."""
    before = csv.field_size_limit(_CELL_CHARS_MAX)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    line = 1
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        missing = [name for name in NEEDED if name not in columns]
        if missing:
            raise InputError(
                "The first line names no column {missing}, so this is no export of Daylio.",
                hint=_WANTED,
                missing=", ".join(missing),
            )
        line = reader.line_num + 1
        for cells in reader:
            if cells:
                if len(cells) != len(columns):
                    raise _broken(line)
                yield line, dict(zip(columns, cells, strict=True))
            line = reader.line_num + 1
    except csv.Error:
        raise _broken(line) from None
    finally:
        csv.field_size_limit(before)


def _broken(line: int) -> InputError:
    return InputError(
        "The entry in line {line} is not whole, as if the file had been cut or changed.", hint=NOTHING_WRITTEN, line=line
    )


def _found(row: Mapping[str, str], line: int, place: int, *, zone: str, tidier: Tidier) -> Found:
    at = _moment(row["full_date"], row["time"])
    if at is None:
        raise InputError("The date or time in line {line} can't be read.", hint=NOTHING_WRITTEN, line=line)
    mood = tidier.line(row["mood"])
    if not mood:
        raise _broken(line)
    feeling = known_feeling(mood)
    activities = [tidier.line(each) for each in row.get("activities", "").split(" | ")]
    return Found(
        place=place,
        at_ms=moment_ms(at, ZoneInfo(zone)),
        zone=zone,
        day=at.date().isoformat(),
        title=tidier.line(_plain(row.get("note_title", ""))),
        text=tidier.text(_plain(row.get("note", ""))),
        feelings=(feeling,) if feeling else (),
        tags=tuple(dict.fromkeys(each for each in ((() if feeling else (mood,)) + tuple(activities)) if each)),
        extra={"mood": mood},
    )


def _moment(day: str, time: str) -> datetime | None:
    # Some locales part the time and its half of the day by a narrow space.
    written = f"{day.strip()} {' '.join(time.split())}"
    for form in _TIMES:
        try:
            return datetime.strptime(written, f"%Y-%m-%d {form}")
        except ValueError:
            continue
    return None


def _plain(text: str) -> str:
    """A note without the few tags that Daylio writes for bold words and lists; any other angle brackets are the person's."""
    if not (_BREAK.search(text) or _MARKUP.search(text)):
        return text
    text = _ITEM.sub("\n- ", _BREAK.sub("\n", text))
    return html.unescape(_MARKUP.sub("", text))
