"""What an entry says, in labelled parts: the same for Markdown, HTML and the text of what is imported again.

Words and labels are those of `bide_cli.reading.saying`. But a file may lie about for years, so nobody is called "you" in it.
Every text has passed `clean`: what somebody wrote can neither move a cursor nor turn the order of words around.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bide.entries import hearing, repair
from bide_cli.language import _
from bide_cli.reading.saying import ANSWERS, STATES, erased_words, label_of, value_text
from bide_cli.reading.saying import title as title_of
from bide_cli.terminal.dates import clock, date_words
from bide_cli.terminal.shell import clean, clean_line, name_list

_UNSHOWN = frozenset(("about", "reveal", "deck", "item", "source", "by_name", "original", "calm"))
"""What is no words of anybody: it is in the JSON."""
_BY_THEMSELVES = {
    "share": ("text",),
    "question": ("question",),
    "answer": ("answer",),
    "feeling": ("note",),
    "activity": ("what",),
    "reception": ("words",),
    "reflection": ("text",),
    "keepsake": ("title", "text"),
}
"""What an entry of a kind is: it needs no label."""
_LISTS = frozenset(("later", "tags"))
_REPAIR_PARTS = (("tells", repair.TELL_FIELDS), ("hearings", hearing.FIELDS))


class Part(NamedTuple):
    """One thing that was said."""

    label: str
    """Empty: the text stands by itself."""
    text: str
    who: str = ""
    """Who said it, where that isn't clear from the entry."""
    items: tuple[str, ...] = ()
    """The lines of `text`, if it is a list of them."""


def title(entry: Mapping[str, Any]) -> str:
    """What its kind is called."""
    return title_of(entry["kind"])


def who(by: Mapping[str, Any]) -> str:
    """A person's name."""
    return clean_line(by["name"])


def time_of(entry: Mapping[str, Any], here: str) -> str:
    """The time of day, where it was written."""
    return clock(entry["at"], entry["tz"], here)


def marks(entry: Mapping[str, Any]) -> list[str]:
    """What is to be known about an entry besides its words."""
    fields = entry["fields"]
    found = [_("private") if entry["visibility"] == "private" else _("shared")]
    if entry["visibility"] != "private" and entry["by"]["me"] and entry["shared_with"]:
        found = [_("shared with {name}").format(name=name_list(entry["shared_with"]))]
    if entry["kind"] == "repair" and entry.get("state") in STATES:
        found.append(_(STATES[entry["state"]]))
    if source := fields.get("source"):
        found.append(_("from {source}").format(source=clean_line(source)))
    if name := fields.get("by_name"):
        found.append(_("written by {name}").format(name=clean_line(name)))
    if entry.get("written_on"):
        found.append(_("written on {day}").format(day=date_words(str(entry["written_on"]))))
    if entry.get("retracted"):
        found.append(_("taken back"))
    elif entry.get("edited"):
        found.append(_("edited"))
    if entry.get("hidden"):
        found.append(_("opens once you both have answered"))
    return found


def parts(entry: Mapping[str, Any]) -> list[Part]:
    """Everything that an entry says, without its replies."""
    kind = entry["kind"]
    found = [Part("", erased_words(entry))] if kind == "erased" else []
    found += _repair(entry) if kind == "repair" else _plain(entry)
    for said in entry.get("words", ()):
        for name, value in said["fields"].items():
            found.append(Part(label_of("repair", name), value_text("repair", name, value), who(said["by"])))
    for name, texts in entry.get("alternatives", {}).items():
        label = _("{label}, also").format(label=label_of(kind, name))
        found += [Part(label, value_text(kind, name, text)) for text in texts]
    return [part for part in found if part.text]


def earlier(entry: Mapping[str, Any]) -> Iterator[tuple[str, list[Part]]]:
    """Earlier texts: the time until which it said something else, and what that was."""
    kind = entry["kind"]
    for item in entry.get("history", ()):
        replaced = [
            Part(label_of(kind, name), _verdict(kind, name, value) or value_text(kind, name, value), who(item["by"]))
            for name, value in item["fields"].items()
        ]
        yield item["at"], [part for part in replaced if part.text]


def _plain(entry: Mapping[str, Any]) -> Iterator[Part]:
    kind = entry["kind"]
    for name, value in entry["fields"].items():
        if name in _UNSHOWN:
            continue
        if name == "idea" and entry["by"]["me"] and value in ("mine", "theirs"):
            names = who(entry["by"]) if value == "mine" else name_list(entry["shared_with"])
            yield Part(label_of(kind, name), names or value_text(kind, name, value))
        else:
            items = tuple(map(clean_line, value)) if isinstance(value, list) and name in _LISTS else ()
            text = "\n".join(items) or _verdict(kind, name, value) or value_text(kind, name, value)
            yield Part("" if name in _BY_THEMSELVES.get(kind, ()) else label_of(kind, name), text, items=items)


def _verdict(kind: str, name: str, value: Any) -> str:
    """The words for a verdict; empty if it is none."""
    is_one = (kind == "hearing" and name == "answer") or name == "verdict" or name.endswith(".verdict")
    return _(ANSWERS[value]) if is_one and isinstance(value, str) and value in ANSWERS else ""


def _repair(entry: Mapping[str, Any]) -> Iterator[Part]:
    fields = entry["fields"]
    topics = [topic for topic in fields.get("topics", ()) if topic.get("topic")]
    crossed = len(topics) > 1
    for topic in topics:
        yield Part(label_of("repair", "topic"), clean(topic["topic"]), who(topic["by"]) if crossed else "")
    for name, known in _REPAIR_PARTS:
        for item in fields.get(name, ()):
            for field in known:
                yield Part(_(field.label), clean(item.get(field.name, "")), who(item["by"]))
    for item in fields.get("answers", ()):
        verdict = item.get("verdict", "")
        yield Part(label_of("repair", "answer"), _verdict("repair", "verdict", verdict) or clean(verdict), who(item["by"]))
        yield Part(_(hearing.CLARIFICATION.label), clean(item.get("clarification", "")), who(item["by"]))
    for item in fields.get("gestures", ()):
        yield Part(_(repair.GESTURE_FIELD.label), clean(item.get("gesture", "")), who(item["by"]))
    yield Part(_(repair.AGREEMENT_FIELD.label), clean(fields.get("agreement", "")))
    settled = [item["by"]["name"] for item in fields.get("settled", ())]
    if settled:
        yield Part(_("Settled by"), name_list(settled))


def as_plain(entry: Mapping[str, Any]) -> str:
    """A whole entry as plain text, with its replies: what a keepsake of it says."""
    blocks = []
    for part in parts(entry):
        label = ", ".join(word for word in (part.who, part.label) if word)
        blocks.append(f"{label}: {part.text}" if label else part.text)
    for reply in entry.get("replies", ()):
        blocks.append(f"{who(reply['by'])} · {title(reply)}")
        blocks.append(as_plain(reply))
    return "\n\n".join(block for block in blocks if block)
