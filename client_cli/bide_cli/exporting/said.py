"""What an entry says, in labelled parts: the same for Markdown, HTML and the text of what is imported again.

Every text passes `clean` here, so that what somebody wrote can neither move a cursor nor turn the order of words around.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bide.entries import hearing, repair
from bide.entries.fields import Field
from bide.entries.kinds import KINDS
from bide.words import shown_feeling
from bide_cli.dates import clock
from bide_cli.language import N_, _, language
from bide_cli.shell import clean, clean_line

_VERDICTS = {"heard": N_("That fits"), "not_quite": N_("Not quite")}
_CHOICES = {
    "idea": {"mine": N_("mine"), "theirs": N_("theirs"), "both": N_("both of us")},
    "wants": {"listening": N_("to be listened to"), "advice": N_("advice"), "nothing": N_("nothing")},
}
_STATES = {
    "invited": N_("an invitation"),
    "open": N_("open"),
    "told": N_("told"),
    "heard": N_("heard"),
    "reconnecting": N_("coming closer again"),
    "settled": N_("settled"),
    "later": N_("kept for later"),
    "resting": N_("resting"),
    "withdrawn": N_("withdrawn"),
}
_UNSHOWN = frozenset(("about", "reveal", "deck", "item", "source", "by_name", "original", "calm"))
"""What is no words of anybody: it is in the JSON."""
_REPAIR_PARTS = (("tells", repair.TELL_FIELDS), ("hearings", hearing.FIELDS))
_REPAIR_FIELDS = (
    *repair.INVITE_FIELDS,
    *repair.TELL_FIELDS,
    *hearing.FIELDS,
    repair.GESTURE_FIELD,
    repair.AGREEMENT_FIELD,
    hearing.CLARIFICATION,
)


class Part(NamedTuple):
    """One thing that was said."""

    label: str
    text: str
    who: str = ""
    """Who said it, where that isn't clear from the entry."""
    items: tuple[str, ...] = ()
    """The lines of `text`, if it is a list of them."""


def title(entry: Mapping[str, Any]) -> str:
    """What its kind is called."""
    kind = KINDS.get(entry["kind"])
    return _(kind.title) if kind is not None else clean_line(entry["kind"])


def who(by: Mapping[str, Any]) -> str:
    """A person's name. In a file that may lie about for years nobody is called "you"."""
    return clean_line(by["name"])


def time_of(entry: Mapping[str, Any], here: str) -> str:
    """The time of day, where it was written."""
    return clock(entry["at"], entry["tz"], here)


def marks(entry: Mapping[str, Any]) -> list[str]:
    """What is to be known about an entry besides its words."""
    fields = entry["fields"]
    found = [_("private") if entry["visibility"] == "private" else _("shared with {name}").format(name=_names(entry))]
    if entry["kind"] == "repair" and entry.get("state") in _STATES:
        found.append(_(_STATES[entry["state"]]))
    if source := fields.get("source"):
        found.append(_("from {journal}").format(journal=clean_line(source)))
    if name := fields.get("by_name"):
        found.append(_("written by {name}").format(name=clean_line(name)))
    if entry.get("written_on"):
        found.append(_("written on {day}").format(day=clean_line(entry["written_on"])))
    if entry.get("edited"):
        found.append(_("edited"))
    if entry.get("retracted"):
        found.append(_("taken back"))
    if entry.get("hidden"):
        found.append(_("opens when both have answered"))
    return found


def _names(entry: Mapping[str, Any]) -> str:
    # Seen from the one who wrote it this is somebody else than seen from the one who exports.
    return _(" and ").join(map(clean_line, entry["shared_with"])) if entry["by"]["me"] else _("me")


def parts(entry: Mapping[str, Any]) -> list[Part]:
    """Everything that an entry says, without its replies."""
    said = list(_repair(entry) if entry["kind"] == "repair" else _plain(entry))
    for name, texts in entry.get("alternatives", {}).items():
        label = _("{label}, also").format(label=_label(entry["kind"], name))
        said += [Part(label, _shown(name, text)) for text in texts]
    return [part for part in said if part.text]


def earlier(entry: Mapping[str, Any]) -> Iterator[tuple[str, list[Part]]]:
    """Earlier texts: the time until which it said something else, and what that was."""
    for item in entry.get("history", ()):
        replaced = [
            Part(_label(entry["kind"], name), _shown(name, value), who(item["by"])) for name, value in item["fields"].items()
        ]
        yield item["at"], [part for part in replaced if part.text]


def _plain(entry: Mapping[str, Any]) -> Iterator[Part]:
    for name, value in entry["fields"].items():
        if name in _UNSHOWN:
            continue
        if name == "answer" and entry["kind"] == "hearing":
            yield Part(_("Answer"), _(_VERDICTS[value]) if value in _VERDICTS else clean(value))
        else:
            items = tuple(map(clean_line, value)) if isinstance(value, list) and name != "feelings" else ()
            yield Part(_label(entry["kind"], name), _shown(name, value), items=items)


def _repair(entry: Mapping[str, Any]) -> Iterator[Part]:
    fields = entry["fields"]
    topics = [topic for topic in fields.get("topics", ()) if topic.get("topic")]
    crossed = len(topics) > 1
    for topic in topics:
        yield Part(_label("repair", "topic"), clean(topic["topic"]), who(topic["by"]) if crossed else "")
    for name, known in _REPAIR_PARTS:
        for item in fields.get(name, ()):
            for field in known:
                if item.get(field.name):
                    yield Part(_(field.label), clean(item[field.name]), who(item["by"]))
    for item in fields.get("answers", ()):
        verdict = str(item.get("verdict", ""))
        yield Part(_("Answer"), _(_VERDICTS[verdict]) if verdict in _VERDICTS else clean(verdict), who(item["by"]))
        if item.get("clarification"):
            yield Part(_(hearing.CLARIFICATION.label), clean(item["clarification"]), who(item["by"]))
    for item in fields.get("gestures", ()):
        yield Part(_(repair.GESTURE_FIELD.label), clean(item.get("gesture", "")), who(item["by"]))
    yield Part(_(repair.AGREEMENT_FIELD.label), clean(fields.get("agreement", "")))
    settled = [who(item["by"]) for item in fields.get("settled", ())]
    if settled:
        yield Part(_("Settled by"), _(" and ").join(settled))


def _label(kind: str, name: str) -> str:
    known: tuple[Field, ...] = KINDS[kind].fields if kind in KINDS else ()
    known = (*known, *_REPAIR_FIELDS) if kind in ("repair", "hearing") else known
    head, _dot, tail = name.rpartition(".")
    # A key of a repair names whose place it is: tell.0.felt, gesture.0.
    tail = head if tail in ("0", "1") else tail
    if tail in ("verdict", "answer") and kind in ("repair", "hearing"):
        return _("Answer")
    label = next((field.label for field in known if field.name == tail), "")
    return _(label) if label else clean_line(tail.replace("_", " "))


def _shown(name: str, value: Any) -> str:
    if name == "feelings":
        words = value if isinstance(value, list) else str(value).split("\n")
        return ", ".join(clean_line(shown_feeling(str(word), language())) for word in words)
    if isinstance(value, list):
        return "\n".join(clean_line(item) for item in value)
    if name in _CHOICES or name.endswith(".verdict"):
        words = _CHOICES.get(name, _VERDICTS)
        return _(words[value]) if value in words else clean(value)
    return clean(value)


def as_plain(entry: Mapping[str, Any]) -> str:
    """A whole entry as plain text, with its replies: what a keepsake of it says."""
    blocks = [f"{f'{part.who}, ' if part.who else ''}{part.label}: {part.text}" for part in parts(entry)]
    for reply in entry.get("replies", ()):
        blocks.append(f"{who(reply['by'])} · {title(reply)}")
        blocks.append(as_plain(reply))
    return "\n\n".join(block for block in blocks if block)
