"""From an entry's events to what is read of it: a pure fold."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from bide.crdt.document import EntryDocument
from bide.entries.hearing import Verdict
from bide.entries.kinds import PERSON, QUESTION, REPAIR
from bide.entries.question import Reveal
from bide.entries.records import DocumentFields, EntryRecord
from bide.entries.upcasting import upcast
from bide.ids import ENTRY_ID_BYTES, EntryId
from bide.projections.order import Applied, Judged
from bide.projections.search import fold

HISTORY_MAX = 50


def history(applied: list[Applied], document: EntryDocument) -> list[dict[str, Any]]:
    """Earlier text, oldest first: for each change that replaced something, who did it, when, and what stood there before.

    Of the last `HISTORY_MAX` changes that wrote something anew: each is two looks into the past of the document.
    """
    written: set[str] = set()
    rewriting: list[Applied] = []
    for item in applied:
        if not written.isdisjoint(item.change.keys):
            rewriting.append(item)
        written |= item.change.keys
    replaced: list[dict[str, Any]] = []
    for event, change in rewriting[-HISTORY_MAX:]:
        old: dict[str, Any] = {}
        for key in sorted(key for key in change.keys if not _is_mark(key)):
            before = document.value_at(key, *change.deps) if change.deps else None
            if before not in (None, "") and before != document.value_at(key, change.hash):
                old[key] = before
        if old:
            replaced.append({"slot": event.slot, "at_ms": event.time_ms, "fields": old})
    return replaced


def project_entry(judged: Judged, *, own_space: bool = False) -> EntryRecord | None:
    """The record of one entry, or None while nothing of it counts. A repair's needs `bide.projections.repair` instead.

    Args:
        judged: its events.
        own_space: it is in the space of one person's own devices; only there an entry can have gone on to a pair.
    """
    if judged.kind is None or judged.kind is REPAIR or judged.document is None:
        return None
    document, kind = judged.document, judged.kind
    first = judged.applied[0].event
    fields = upcast(first.type, first.version, document.fields())
    reply_to = _reply_to(fields) if "about" in kind.created_by.keys else None
    marks = _take_marks(fields, own_space=own_space)
    retracted = "retracted" in marks
    said = {} if retracted else {key: value for key, value in fields.items() if value != ""}
    changes = [item.change for item in judged.applied]
    alternatives = {} if retracted else document.alternatives(changes)
    body = {
        "fields": said,
        "history": [] if retracted else history(judged.applied, document),
        "alternatives": {key: values for key, values in alternatives.items() if not _is_mark(key)},
        **marks,
    }
    if kind is QUESTION:
        body["reveal"] = fields.get("reveal", Reveal.BOTH.value)
    # Only a change of one's own words is an edit; an answer to a hearing is not.
    edited = any(item.event.type.endswith(".edited") for item in judged.applied)
    return EntryRecord(
        entry_id=first.entry_id,
        space_id=first.space_id,
        kind=kind.name,
        slot=first.slot,
        at_ms=first.time_ms,
        zone=first.zone,
        day=first.day,
        shown=kind.shown and "released_to" not in marks,
        reply_to=reply_to,
        edited=edited and not retracted,
        state="",
        body=encode_body(body),
        search_text="" if kind is PERSON else search_text(said),
    )


_MARKS = ("retracted", "released", "written_on")
_POSTPONED = "postponed."


def _is_mark(key: str) -> bool:
    """Whether a key says something about the entry instead of in it."""
    return key in _MARKS or key.startswith(_POSTPONED) or key == "about"


def _take_marks(fields: DocumentFields, *, own_space: bool) -> dict[str, Any]:
    """Take out of `fields` what is said about the entry: what of it holds, by the name that the body has for it."""
    found = {key: fields.pop(key) for key in list(fields) if _is_mark(key)}
    marks: dict[str, Any] = {}
    if found.get("retracted"):
        marks["retracted"] = True
    if own_space and found.get("released"):
        marks["released_to"] = str(found["released"])
    if _is_day(str(found.get("written_on", ""))):
        marks["written_on"] = str(found["written_on"])
    postponed = sorted(int(key[-1]) for key, value in found.items() if key.startswith(_POSTPONED) and value)
    if postponed:
        marks["postponed"] = postponed
    return marks


def _is_day(text: str) -> bool:
    """Whether it is a day, ``YYYY-MM-DD``: another device may write anything there, and readers reckon with it."""
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def encode_body(body: dict[str, Any]) -> str:
    """Canonical JSON, so that equal bodies are equal strings on every device."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


_NO_WORDS = frozenset(("about", "depth", "idea", "reveal", "wants", "deck", "item", "source", "original"))
"""Keys of choices and references: nobody looks for those by their words."""


def search_text(fields: DocumentFields) -> str:
    """The folded text that search looks through: every string a person wrote, a line each, and the words of feelings."""
    lines: list[str] = []
    for key in sorted(fields):
        value = fields[key]
        if key == "feelings":
            lines += _feeling_words(str(value))
        elif isinstance(value, str) and _is_words(key, value):
            lines.append(value)
    return fold("\n".join(lines))


def _feeling_words(stored: str) -> list[str]:
    """What a person may look for a feeling by: its word in every language that is here."""
    from bide.words import find_slug, languages

    words: dict[str, None] = {}
    for slug in stored.split("\n"):
        found = (find_slug(slug, language) for language in languages())
        words |= dict.fromkeys(feeling.word for feeling in found if feeling is not None)
        words[slug.rpartition("/")[2].replace("-", " ")] = None
    return list(words)


def _is_words(key: str, value: str) -> bool:
    """Whether a key holds what a person wrote: not a reference, a verdict, a choice or a pause."""
    if key == "answer":  # of a hearing a verdict, of a question the words themselves
        return value not in tuple(Verdict)
    return key not in _NO_WORDS and not key.startswith("pause.") and not key.endswith(".verdict")


def _reply_to(fields: DocumentFields) -> EntryId | None:
    about = fields.pop("about", "")
    try:
        entry = bytes.fromhex(str(about))
    except ValueError:
        return None
    return EntryId(entry) if len(entry) == ENTRY_ID_BYTES else None
