"""Drawing entries for a person: days as headings, each entry under its line, everything labelled.

Text of an entry is passed through `clean` here, before it is set; names and other short things through `clean_line`.
"""

from __future__ import annotations

from bide_cli.dates import clock, heading, local_minute
from bide_cli.layout import LABEL_COLUMNS_MAX, labelled, text_columns
from bide_cli.shell import Shell, clean, clean_line, name_list
from bide_cli.zone import local_zone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from bide.entries.fields import Field

BOLD, FAINT = "1", "2"
INDENT = "  "
ANSWERS = {"heard": "That fits", "not_quite": "Not quite"}
OTHER_LABELS = {"answer": "Answer", "verdict": "Answer", "pause": "Pause"}
"""What is no field that anybody is asked for."""
STATES = {
    "invited": "an invitation",
    "open": "open",
    "told": "told",
    "heard": "heard",
    "reconnecting": "coming closer again",
    "settled": "settled",
    "later": "kept for later",
    "resting": "resting",
    "withdrawn": "withdrawn",
    "folded": "went on in another conversation",
}
"""A repair's state, as a person reads it."""


def draw_timeline(shell: Shell, entries: Iterable[dict[str, Any]]) -> list[str]:
    """The lines of a timeline, oldest first."""
    here = local_zone()
    lines: list[str] = []
    day = ""
    for entry in entries:
        if entry["day"] != day:
            day = entry["day"]
            lines += [*([""] if lines else []), shell.style(heading(day), BOLD)]
        lines.append("")
        lines += draw_entry(shell, entry, here=here)
    return lines


def draw_entry(shell: Shell, entry: dict[str, Any], *, here: str, indent: str = INDENT) -> list[str]:
    """The lines of one entry: who and when, what was said, and the replies to it."""
    lines = [indent + _headline(shell, entry, here)]
    inner = indent + INDENT
    pairs = repair_pairs(entry) if entry["kind"] == "repair" else entry_pairs(entry)
    lines += _draw_pairs(shell, pairs, inner)
    for name, texts in entry["alternatives"].items():
        lines += _draw_pairs(shell, [(f"{_label(entry['kind'], name)}, also", as_text(text)) for text in texts], inner)
    for reply in entry["replies"]:
        lines += draw_entry(shell, reply, here=here, indent=inner)
    return lines


def draw_history(shell: Shell, entry: dict[str, Any]) -> list[str]:
    """The lines of an entry's earlier texts."""
    lines: list[str] = []
    for item in entry["history"]:
        lines.append(f"{INDENT}Before {local_minute(item['at'])}:")
        pairs = [_before(entry["kind"], item, name, value) for name, value in item["fields"].items()]
        lines += _draw_pairs(shell, pairs, INDENT * 2)
    return lines


def _before(kind: str, item: dict[str, Any], name: str, value: Any) -> tuple[str, str]:
    """Label and text of one thing that an entry said before.

    In a repair everything but the topic and the agreement belongs to the one who changed it: its key names their place.
    """
    label, text = _label(kind, name), as_text(value)
    if name == "answer" or name.endswith(".verdict"):
        text = ANSWERS.get(str(value), text)
    elif name.startswith("pause."):
        text = STATES.get(str(value), text)
    return (f"{_who(item)}:", f"{label}: {text}") if "." in name else (label, text)


def _headline(shell: Shell, entry: dict[str, Any], here: str) -> str:
    who = "You" if entry["by"]["me"] else clean_line(entry["by"]["name"])
    parts = [title(entry["kind"]), entry["code"], seen_by(entry)]
    if entry["kind"] == "repair":
        parts.append(STATES.get(entry["state"], clean_line(entry["state"])))
    if entry.get("edited"):
        parts.append("edited")
    if entry.get("delivery") == "here":
        parts.append("not sent yet")
    time = clock(entry["at"], entry["tz"], here)
    return f"{time}  {shell.style(who, BOLD)} {shell.style('· ' + ' · '.join(p for p in parts if p), FAINT)}"


def seen_by(entry: dict[str, Any]) -> str:
    """Who can see an entry, in words."""
    if entry["visibility"] == "private":
        return "only you"
    if not entry["by"]["me"]:
        return "shared with you"
    return f"shared with {name_list(entry['shared_with'])}" if entry["shared_with"] else "shared"


def title(kind: str) -> str:
    """What a kind of entry is called."""
    from bide.entries.kinds import KINDS

    return KINDS[kind].title if kind in KINDS else clean_line(kind)


def _label(kind: str, name: str) -> str:
    from bide.entries.hearing import CLARIFICATION
    from bide.entries.hearing import FIELDS as HEARING
    from bide.entries.kinds import KINDS
    from bide.entries.repair import AGREEMENT_FIELD, GESTURE_FIELD, TELL_FIELDS

    fields: tuple[Field, ...] = KINDS[kind].fields if kind in KINDS else ()
    if kind == "repair":
        fields = (*fields, *TELL_FIELDS, *HEARING, GESTURE_FIELD, AGREEMENT_FIELD)
    if kind in ("repair", "hearing"):
        fields = (*fields, CLARIFICATION)
    head, _, tail = name.rpartition(".")
    # A key of a repair names whose place it is: tell.0.felt, gesture.0.
    tail = head if tail in ("0", "1") else tail
    if tail in OTHER_LABELS:
        return OTHER_LABELS[tail]
    return next((field.label for field in fields if field.name == tail), clean_line(tail.replace("_", " ")))


def entry_pairs(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """The label and text of everything that an entry other than a repair says."""
    pairs: list[tuple[str, str]] = []
    for name, value in entry["fields"].items():
        if name in ("about", "clarification") or not value:
            continue
        if name == "answer":
            pairs.append((ANSWERS.get(str(value), "Answer"), as_text(entry["fields"].get("clarification", ""))))
        else:
            pairs.append((_label(entry["kind"], name), as_text(value)))
    return pairs


def repair_pairs(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """The label and text of everything that was said in a repair conversation, in its order."""
    from bide.entries.hearing import FIELDS as HEARING
    from bide.entries.repair import TELL_FIELDS

    fields = entry["fields"]
    topics = [topic for topic in fields["topics"] if topic["topic"]]
    # Two who invited each other at the same time: each one's words for it.
    crossed = len(topics) > 1
    pairs = [(f"About ({_who(topic)})" if crossed else "About", clean(topic["topic"])) for topic in topics]
    for said, parts in ((fields["tells"], TELL_FIELDS), (fields["hearings"], HEARING)):
        for item in said:
            pairs += _said_by(item, parts)
    for item in fields["answers"]:
        label = ANSWERS.get(str(item.get("verdict")), "Answer")
        pairs.append((f"{_who(item)}:", f"{label}. {as_text(item.get('clarification', ''))}".strip()))
    for item in fields["gestures"]:
        pairs.append((f"{_who(item)}:", f"A gesture: {as_text(item['gesture'])}"))
    if fields["agreement"]:
        pairs.append(("We agree", as_text(fields["agreement"])))
    pairs += [(f"{_who(item)}:", "settled it") for item in fields.get("settled", ())]
    return pairs


def _said_by(item: dict[str, Any], parts: Sequence[Field]) -> list[tuple[str, str]]:
    who = f"{_who(item)}:"
    pairs: list[tuple[str, str]] = []
    for part in parts:
        if item.get(part.name):
            pairs.append((who, f"{part.label}: {as_text(item[part.name])}"))
            who = ""
    return pairs


def _who(item: dict[str, Any]) -> str:
    return "You" if item["by"]["me"] else clean_line(item["by"]["name"])


def as_text(value: Any) -> str:
    """A field's value for a person: lists on one line, or one below the other if they are long."""
    if isinstance(value, list):
        items = [clean(item) for item in value]
        return ", ".join(items) if sum(map(len, items)) <= 60 else "\n".join(items)
    return clean(value)


def _draw_pairs(shell: Shell, pairs: Sequence[tuple[str, str]], indent: str) -> list[str]:
    if not pairs:
        return []
    columns = min(max(text_columns(label) for label, _ in pairs), LABEL_COLUMNS_MAX)
    width = shell.width
    lines: list[str] = []
    for label, text in pairs:
        drawn = labelled(label, text, indent=indent, label_columns=columns, width=width)
        if label and shell.coloured:
            drawn[0] = drawn[0].replace(label, shell.style(label, FAINT), 1)
        lines += drawn
    return lines
