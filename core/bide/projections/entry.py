"""From an entry's events to what is read of it: a pure fold."""

from __future__ import annotations

import json
from typing import Any

from bide.crdt.document import EntryDocument
from bide.entries.kinds import HEARING, PERSON, REPAIR
from bide.entries.records import DocumentFields, EntryRecord, Standing
from bide.entries.upcasting import upcast
from bide.errors import ChangeRejected
from bide.ids import ENTRY_ID_BYTES, EntryId
from bide.projections.order import Applied, Judged
from bide.projections.search import fold


def load_document(judged: Judged) -> EntryDocument:
    """The document that an entry's counting events make."""
    return EntryDocument([item.event.change for item in judged.applied])


def without_unloadable(judged: Judged) -> Judged:
    """As `judged`, without the changes that Automerge refuses, and what builds on them.

    A change can be well formed and still make no sense to Automerge. One that does must not take the entry with it. The
    order is that of `judge`, so every device leaves out the same ones.
    """
    standings = dict(judged.standings)
    kept: list[Applied] = []
    for item in judged.applied:
        place = (item.event.log_id, item.event.seq)
        if not set(item.change.deps) <= {other.change.hash for other in kept}:
            standings[place] = Standing.WAITING
            continue
        try:
            EntryDocument([other.event.change for other in (*kept, item)]).fields()
        except ChangeRejected:
            standings[place] = Standing.IGNORED
        else:
            kept.append(item)
    return Judged(judged.kind if kept else None, kept, standings)


def history(applied: list[Applied], document: EntryDocument) -> list[dict[str, Any]]:
    """Earlier text, oldest first: for each change that replaced something, who did it, when, and what stood there before."""
    replaced: list[dict[str, Any]] = []
    for event, change in applied:
        if not change.deps or not change.keys:
            continue
        before, after = document.fields_at(*change.deps), document.fields_at(change.hash)
        old = {key: before[key] for key in sorted(change.keys) if before.get(key) not in (None, "", after.get(key))}
        if old:
            replaced.append({"slot": event.slot, "at_ms": event.time_ms, "fields": old})
    return replaced


def project_entry(judged: Judged) -> EntryRecord | None:
    """The record of one entry, or None while nothing of it counts. A repair's needs `bide.projections.repair` instead."""
    if judged.kind is None or judged.kind is REPAIR:
        return None
    document = load_document(judged)
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
