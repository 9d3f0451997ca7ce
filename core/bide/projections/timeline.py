"""How an entry is shown: from its record to the plain dictionary that ``--json`` prints and the terminal draws.

Imports nothing heavy: this is the path of every ``bide timeline``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from bide.entries.fields import show_field
from bide.entries.kinds import KINDS
from bide.entries.question import CLOSED
from bide.entries.records import EntryRecord
from bide.entries.repair import Phase, RepairState
from bide.ids import CODE_CHARS, SpaceId, entry_code, format_entry_id, parse_entry_id

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REPAIR_LISTS = {
    "tells": ("tell", ("own_part", "felt", "question_for_you")),
    "hearings": ("hear", ("mirrored", "validated", "empathised")),
    "answers": ("answer", ("verdict", "clarification")),
}


class View(NamedTuple):
    """Who is looking: what turns slots into names."""

    names: Mapping[tuple[SpaceId, int], str]
    own_slots: Mapping[SpaceId, int]
    private_spaces: frozenset[SpaceId]

    def by(self, space: SpaceId, slot: int) -> dict[str, Any]:
        """A person, as entries name them."""
        return {"name": self.names.get((space, slot), "?"), "me": self.own_slots.get(space) == slot}

    def others(self, space: SpaceId) -> list[str]:
        """Names of the people whom a space is shared with."""
        if space in self.private_spaces:
            return []
        return [self.names.get((space, 1 - self.own_slots[space]), "?")]


def rfc3339(at_ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339 in UTC, e.g. ``2026-11-22T20:14:48.123Z``."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shown_code(record: EntryRecord) -> str:
    """The short code that people see, e.g. ``th-7KQ2MX``."""
    return f"{KINDS[record.kind].prefix}-{entry_code(record.entry_id)[:CODE_CHARS]}"


def show_entry(record: EntryRecord, replies: Sequence[dict[str, Any]], view: View) -> dict[str, Any]:
    """One entry as scripts and screens get it; see docs/cli-json.md for its shape.

    Args:
        record: of the entry.
        replies: those to it, shown already.
        view: who is looking.
    """
    body: dict[str, Any] = json.loads(record.body)
    private = record.space_id in view.private_spaces
    own_slot = view.own_slots.get(record.space_id, 0)
    hidden = record.state == CLOSED and record.slot != own_slot
    entry: dict[str, Any] = {
        "id": format_entry_id(record.entry_id),
        "code": shown_code(record),
        "kind": record.kind,
        "by": view.by(record.space_id, record.slot),
        "at": rfc3339(record.at_ms),
        "tz": record.zone,
        "day": record.day,
        "visibility": "private" if private else "shared",
        "shared_with": view.others(record.space_id),
        "fields": {} if hidden else _shown_fields(record, body, view),
        "replies": list(replies),
        "edited": record.edited and not hidden,
        "history": [
            {"at": rfc3339(item["at_ms"]), "by": view.by(record.space_id, item["slot"]), "fields": item["fields"]}
            for item in (() if hidden else body.get("history", ()))
        ],
        "alternatives": {} if hidden else body.get("alternatives", {}),
        "hidden": hidden,
        "retracted": bool(body.get("retracted", False)),
        "written_on": body.get("written_on", ""),
        "released_to": _released_to(body),
        "later": _is_later(body, replies, view, record),
    }
    if body.get("words") and not hidden:
        entry["words"] = [
            {"at": rfc3339(said["at_ms"]), "by": view.by(record.space_id, said["slot"]), "fields": said["fields"]}
            for said in body["words"]
        ]
    if record.kind == "repair":
        entry["state"] = record.state
        entry["ignored"] = body["ignored"]
        entry["next"] = [step.name.lower() for step in repair_state(body).next_steps(own_slot)]
    return entry


def _shown_fields(record: EntryRecord, body: Mapping[str, Any], view: View) -> dict[str, Any]:
    if record.kind == "repair":
        return _repair_fields(record, body, view)
    fields = _fields(record.kind, body["fields"])
    if "idea" in fields and view.own_slots.get(record.space_id) != record.slot:
        # Whose idea it was, as the one who looks would say it.
        fields["idea"] = {"mine": "theirs", "theirs": "mine"}.get(fields["idea"], fields["idea"])
    return fields


def _released_to(body: Mapping[str, Any]) -> str:
    released = parse_entry_id(str(body.get("released_to", "")))
    return format_entry_id(released) if released is not None else ""


def _is_later(body: Mapping[str, Any], replies: Sequence[dict[str, Any]], view: View, record: EntryRecord) -> bool:
    """Whether the other said "not now" to it, and has not come back to it since."""
    postponed = body.get("postponed", ())
    waiting = [view.by(record.space_id, slot)["me"] for slot in postponed]
    return any(me not in [reply["by"]["me"] for reply in replies] for me in waiting)


def repair_state(body: Mapping[str, Any]) -> RepairState:
    """The state of a conversation, from the body of its record."""
    packed = body["state"]
    return RepairState(
        inviters=frozenset(packed["inviters"]),
        accepted=packed["accepted"],
        told=frozenset(packed["told"]),
        heard=frozenset(packed["heard"]),
        answered=frozenset(packed["answered"]),
        reconnecting=packed["reconnecting"],
        settled=frozenset(packed["settled"]),
        pauses={int(slot): Phase(phase) for slot, phase in packed["pauses"].items()},
        withdrawn=packed["withdrawn"],
    )


def _fields(kind: str, stored: Mapping[str, Any]) -> dict[str, Any]:
    """In the order in which a person was asked, then whatever else there is."""
    known = {field.name: show_field(field, str(stored[field.name])) for field in KINDS[kind].fields if field.name in stored}
    return known | {name: value for name, value in stored.items() if name not in known}


def _repair_fields(record: EntryRecord, body: Mapping[str, Any], view: View) -> dict[str, Any]:
    stored: Mapping[str, Any] = body["fields"]
    space = record.space_id
    fields: dict[str, Any] = {"topic": stored.get("topic", ""), "calm": bool(stored.get("calm", False))}
    fields["topics"] = [{"by": view.by(space, int(slot)), "topic": topic} for slot, topic in sorted(body["topics"].items())]
    for name, (prefix, parts) in _REPAIR_LISTS.items():
        fields[name] = [
            {"by": view.by(space, slot)} | said
            for slot in (0, 1)
            if (said := {part: stored[key] for part in parts if (key := f"{prefix}.{slot}.{part}") in stored})
        ]
    fields["gestures"] = [
        {"by": view.by(space, slot), "gesture": stored[f"gesture.{slot}"]} for slot in (0, 1) if f"gesture.{slot}" in stored
    ]
    fields["agreement"] = stored.get("agreement", "")
    fields["settled"] = [{"by": view.by(space, slot)} for slot in body["state"]["settled"]]
    return fields
