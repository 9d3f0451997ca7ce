"""From an entry's events to what is read of it: a pure fold."""

from __future__ import annotations

import json
from typing import Any

from bide.crdt.document import EntryDocument
from bide.entries.kinds import HEARING, PERSON, REPAIR
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
        for key in sorted(change.keys):
            before = document.value_at(key, *change.deps) if change.deps else None
            if before not in (None, "") and before != document.value_at(key, change.hash):
                old[key] = before
        if old:
            replaced.append({"slot": event.slot, "at_ms": event.time_ms, "fields": old})
    return replaced


def project_entry(judged: Judged) -> EntryRecord | None:
    """The record of one entry, or None while nothing of it counts. A repair's needs `bide.projections.repair` instead."""
    if judged.kind is None or judged.kind is REPAIR or judged.document is None:
        return None
    document = judged.document
    first = judged.applied[0].event
    fields = upcast(first.type, first.version, document.fields())
    reply_to = _reply_to(fields) if judged.kind is HEARING else None
    said = {key: value for key, value in fields.items() if value != ""}
    changes = [item.change for item in judged.applied]
    body = {
        "fields": said,
        "history": history(judged.applied, document),
        "alternatives": document.alternatives(changes),
    }
    # Only a change of one's own words is an edit; an answer to a hearing is not.
    edited = any(item.event.type.endswith(".edited") for item in judged.applied)
    return EntryRecord(
        entry_id=first.entry_id,
        space_id=first.space_id,
        kind=judged.kind.name,
        slot=first.slot,
        at_ms=first.time_ms,
        zone=first.zone,
        day=first.day,
        shown=judged.kind.shown,
        reply_to=reply_to,
        edited=edited,
        state="",
        body=encode_body(body),
        search_text="" if judged.kind is PERSON else search_text(said),
    )


def encode_body(body: dict[str, Any]) -> str:
    """Canonical JSON, so that equal bodies are equal strings on every device."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def search_text(fields: DocumentFields) -> str:
    """The folded text that search looks through: every string a person wrote, a line each."""
    return fold("\n".join(str(fields[key]) for key in sorted(fields) if isinstance(fields[key], str) and _is_words(key)))


def _is_words(key: str) -> bool:
    """Whether a key holds what a person wrote: not a reference, a verdict or a pause."""
    return key not in ("about", "answer") and not key.startswith("pause.") and not key.endswith(".verdict")


def _reply_to(fields: DocumentFields) -> EntryId | None:
    about = fields.pop("about", "")
    try:
        entry = bytes.fromhex(str(about))
    except ValueError:
        return None
    return EntryId(entry) if len(entry) == ENTRY_ID_BYTES else None
