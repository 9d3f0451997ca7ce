"""An export as JSON: everything, in the form that ``--json`` has everywhere, and what ``bide import bide`` takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from bide_cli.exporting.head import Head

SCHEMA = "bide.export/1"
_ESCAPED = {
    code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}
"""JSON lets these through; a terminal that the file is looked at with should not get them raw."""


def draw(head: Head, entries: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The pieces of the file, an entry a line."""
    wanted = head.wanted
    opening = {
        "schema": SCHEMA,
        "by": {"name": head.name, "me": True},
        "at": head.at,
        "version": head.version,
        "mine": wanted.mine,
        "since": wanted.since,
        "until": wanted.until,
        "with": wanted.with_,
        "kinds": list(wanted.kinds),
        "only": wanted.only,
    }
    yield _dumps(opening)[:-1] + ', "entries": ['
    between = "\n"
    for entry in entries:
        yield between + _dumps(entry)
        between = ",\n"
    yield "\n]}\n"


def _dumps(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if not text.isprintable():
        text = text.translate(_ESCAPED)
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a pair, which is no text
        text = json.dumps(value)
    return text
