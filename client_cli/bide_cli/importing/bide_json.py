"""Bide's own JSON, as ``bide export --format json`` writes it.

Each entry becomes a keepsake that keeps the entry whole, so that exporting gives it back as it was. It can't become what it was
itself: that would take the signatures of the devices that wrote it, and who only has a file has none of these.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from bide.errors import InputError
from bide_cli.exporting.as_json import SCHEMA
from bide_cli.exporting.originals import is_entry
from bide_cli.exporting.said import as_plain, title
from bide_cli.importing.files import decode, load_json, read_bytes
from bide_cli.importing.found import NOTHING_WRITTEN, Found, Parsed, Tidier, known_feeling, moment_ms, too_many, zone_named
from bide_cli.language import N_

_WANTED = N_("bide export --format json makes what is wanted.")
_FEELINGS_MAX = 3


def read(source: str, *, zone: str) -> Parsed:
    """The entries of an export of Bide.

    Args:
        source: file, or ``-``.
        zone: name of the zone for entries of a zone that this machine doesn't know.

    Raises:
        InputError: it is no such export, or damaged.
    """
    value = load_json(decode(read_bytes(source), hint=_WANTED), wanted=_WANTED)
    if not isinstance(value, dict) or value.get("schema") != SCHEMA or not isinstance(value.get("entries"), list):
        raise InputError("That is JSON, but no export of Bide that this version knows.", hint=_WANTED)
    too_many(len(value["entries"]))
    tidier = Tidier()
    entries = [_found(item, place, zone=zone, tidier=tidier) for place, item in enumerate(value["entries"], 1)]
    return Parsed(entries, tidier.replaced)


def _found(item: Any, place: int, *, zone: str, tidier: Tidier) -> Found:
    if not is_entry(item):
        raise InputError("Entry {place} of the file is not in the form of one.", hint=NOTHING_WRITTEN, place=place)
    try:
        at = datetime.fromisoformat(item["at"])
        day = datetime.strptime(item["day"], "%Y-%m-%d").date().isoformat()
    except ValueError:
        raise InputError(
            "Entry {place} of the file has a date that can't be read.", hint=NOTHING_WRITTEN, place=place
        ) from None
    feelings = item["fields"].get("feelings", [])
    words = feelings if isinstance(feelings, list) else []
    # Only for what is searched and shown; the entry itself stays as it is.
    return Found(
        place=place,
        at_ms=moment_ms(at),
        zone=item["tz"] if zone_named(item["tz"]) else zone,
        day=day,
        title=tidier.line(title(item)),
        text=tidier.text(as_plain(item)),
        key=item["id"],
        feelings=tuple(slug for word in words[:_FEELINGS_MAX] if (slug := known_feeling(str(word)))),
        by_name=tidier.line(item["by"]["name"]),
        extra={"entry": item},
    )
