"""What an entry says, in words: its title, what stands beside it, and each field with its label.

Everything that comes from an entry passes `clean` or `clean_line` here, before it is set.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from bide_cli.language import N_, _, language
from bide_cli.terminal.shell import clean, clean_line, name_list

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bide.entries.fields import Field

ANSWERS = {"heard": N_("That fits"), "not_quite": N_("Not quite")}
OTHER_LABELS = {"answer": N_("Answer"), "verdict": N_("Answer"), "pause": N_("Pause"), "clarification": N_("What I meant")}
"""What is no field that anybody is asked for."""
STATES = {
    "invited": N_("an invitation"),
    "open": N_("open"),
    "told": N_("told"),
    "heard": N_("heard"),
    "reconnecting": N_("coming closer again"),
    "settled": N_("settled"),
    "later": N_("kept for later"),
    "resting": N_("resting"),
    "withdrawn": N_("withdrawn"),
    "folded": N_("went on in another conversation"),
}
"""A repair's state, as a person reads it."""
DEPTHS = {"1": N_("near the surface"), "2": N_("a little deeper"), "3": N_("from deep down")}
WISHES = {
    "listening": N_("wants: just listening"),
    "advice": N_("wants: advice"),
    "nothing": N_("wants: nothing in return"),
}
_CHOICES: Mapping[str, Mapping[str, str]] = {
    "depth": DEPTHS,
    "wants": {"listening": N_("just listening"), "advice": N_("advice"), "nothing": N_("nothing in return")},
    "reveal": {"at_once": N_("at once"), "both": N_("once you both have answered")},
    "idea": {"mine": N_("mine"), "theirs": N_("theirs"), "both": N_("of you both")},
}
_BY_THEMSELVES: Mapping[str, tuple[str, ...]] = {
    "share": ("text",),
    "question": ("question",),
    "answer": ("answer",),
    "feeling": ("feelings", "note"),
    "activity": ("what",),
    "reception": ("words",),
    "reflection": ("text",),
    "keepsake": ("title", "text"),
}
"""Fields that need no label: they are what the entry is about."""
_BESIDE = ("about", "clarification", "depth", "wants", "reveal", "deck", "item", "source", "by_name", "written_on")
"""Fields that are told elsewhere: beside the title, or beneath."""
_WHOLE_ONLY = ("original",)
"""Long, and the same again in other words: only where one entry is shown whole."""


class Said(NamedTuple):
    """One thing that an entry says."""

    label: str | None
    """Before the text; None: the text stands by itself. Empty: it goes on beneath the one before."""
    text: str
    style: str = ""
    """An ANSI style for a text by itself."""


def title(kind: str) -> str:
    """What a kind of entry is called."""
    from bide.entries.kinds import KINDS

    return _(KINDS[kind].title) if kind in KINDS else clean_line(kind)


def headline(entry: dict[str, Any]) -> str:
    """What an entry is, after its writer's name."""
    if entry["kind"] != "reception":
        return title(entry["kind"])
    if not entry["by"]["me"]:
        return _("thanks you for telling")
    return _("thank {name} for telling").format(name=name_list(entry["shared_with"]))


def beside(entry: dict[str, Any]) -> list[str]:
    """What stands beside the title: the code, who can see it, and what became of it."""
    parts = [clean_line(entry["code"]), seen_by(entry)]
    if entry["kind"] == "repair":
        parts.append(_(STATES[entry["state"]]) if entry["state"] in STATES else clean_line(entry["state"]))
    if entry.get("released_to"):
        parts.append(_("a copy of it is shared"))
    if entry.get("retracted"):
        parts.append(_("taken back"))
    elif entry.get("edited"):
        parts.append(_("edited"))
    if entry.get("later"):
        parts.append(_("kept for later"))
    if entry.get("delivery") == "here":
        # What was sent before it was changed, or before a further step, can't be told apart here; bide show does.
        several = entry.get("edited") or entry.get("retracted") or entry["kind"] == "repair"
        parts.append(_("not all sent yet") if several else _("not sent yet"))
    return [part for part in parts if part]


def beneath(entry: dict[str, Any]) -> list[str]:
    """Quiet words beneath the title: how to read what follows."""
    from bide_cli.terminal.dates import date_words

    fields = entry["fields"]
    kind = entry["kind"]
    notes: list[str] = []
    if kind == "share" and (depth := DEPTHS.get(str(fields.get("depth")))):
        notes.append(_(depth))
    if wish := WISHES.get(str(fields.get("wants"))):
        notes.append(_(wish))
    if kind == "question" and fields.get("reveal") == "both" and _are_closed(entry):
        notes.append(_("the answers open once you both have answered"))
    if kind == "keepsake":
        if source := fields.get("source"):
            notes.append(_("from {source}").format(source=clean_line(source)))
        if name := fields.get("by_name"):
            notes.append(_("written by {name}").format(name=clean_line(name)))
    written_on = entry.get("written_on")
    if written_on and written_on != entry["day"]:
        notes.append(_("written on {day}").format(day=date_words(str(written_on))))
    return notes


def _are_closed(entry: dict[str, Any]) -> bool:
    """Whether the answers to a question are still to be opened, and nothing beneath it says so."""
    answers = [reply for reply in entry["replies"] if reply["kind"] == "answer" and not reply.get("retracted")]
    people = {reply["by"]["me"] for reply in answers}
    return len(people) < 2 and not any(reply.get("hidden") for reply in answers)


def seen_by(entry: dict[str, Any]) -> str:
    """Who can see an entry, in words."""
    if entry["visibility"] == "private":
        return _("only you")
    if not entry["by"]["me"]:
        return _("shared with you")
    if not entry["shared_with"]:
        return _("shared")
    return _("shared with {name}").format(name=name_list(entry["shared_with"]))


def said(entry: dict[str, Any], *, whole: bool = False) -> list[Said]:
    """Everything that an entry says, in its order.

    Args:
        entry: as `bide.projections.timeline.show_entry` makes it.
        whole: with what only the entry by itself has room for.
    """
    if entry.get("retracted"):
        return []
    if entry.get("hidden"):
        return [Said(None, _("opens once you both have answered"), "2")]
    kind = entry["kind"]
    things = _said_in_repair(entry) if kind == "repair" else _said_in_fields(entry, whole=whole)
    if kind == "erased":
        things = [Said(None, erased_words(entry), "2")]
    for left in entry.get("words", ()):
        things += [_before("repair", left, f"left.{name}", value) for name, value in left["fields"].items()]
    for name, texts in entry["alternatives"].items():
        label = _("{label}, also").format(label=label_of(kind, name))
        things += [Said(label, value_text(kind, name, text)) for text in texts]
    return things


def erased_words(entry: Mapping[str, Any]) -> str:
    """What stands in the place of an entry whose words were erased."""
    if entry["by"]["me"]:
        return _("words that you erased")
    return _("words that {name} erased").format(name=clean_line(entry["by"]["name"]))


def _said_in_fields(entry: dict[str, Any], *, whole: bool) -> list[Said]:
    kind, fields = entry["kind"], entry["fields"]
    by_themselves = _BY_THEMSELVES.get(kind, ())
    things: list[Said] = []
    for name, value in fields.items():
        if not value or name in _BESIDE or (name in _WHOLE_ONLY and not whole):
            continue
        if kind == "hearing" and name == "answer":
            verdict = ANSWERS.get(str(value))
            things.append(Said(_(verdict) if verdict else _("Answer"), as_text(fields.get("clarification", ""))))
        elif name == "idea":
            things.append(Said(label_of(kind, name), _whose_idea(entry, str(value))))
        elif name in by_themselves:
            things.append(Said(None, value_text(kind, name, value), "1" if name == "title" else ""))
        else:
            things.append(Said(label_of(kind, name), value_text(kind, name, value)))
    return things


def _whose_idea(entry: dict[str, Any], idea: str) -> str:
    """Seen from the one who looks, as the entry has it."""
    if idea == "mine":
        return _("yours")
    if idea == "theirs":
        others = entry["shared_with"] if entry["by"]["me"] else [entry["by"]["name"]]
        return name_list(others) or _("theirs")
    return value_text("activity", "idea", idea)


def _said_in_repair(entry: dict[str, Any]) -> list[Said]:
    from bide.entries.hearing import FIELDS as HEARING
    from bide.entries.repair import TELL_FIELDS

    fields = entry["fields"]
    topics = [topic for topic in fields["topics"] if topic["topic"]]
    # Two who invited each other at the same time: each one's words for it.
    crossed = len(topics) > 1
    about = _("About ({name})")
    things = [Said(about.format(name=who(topic)) if crossed else _("About"), clean(topic["topic"])) for topic in topics]
    for parts, of in ((fields["tells"], TELL_FIELDS), (fields["hearings"], HEARING)):
        for item in parts:
            things += _said_by(item, of)
    for item in fields["answers"]:
        verdict = ANSWERS.get(str(item.get("verdict")))
        label = _(verdict) if verdict else _("Answer")
        things.append(Said(_speaker(item), f"{label}. {as_text(item.get('clarification', ''))}".strip()))
    for item in fields["gestures"]:
        things.append(Said(_speaker(item), f"{_('A gesture')}: {as_text(item['gesture'])}"))
    if fields["agreement"]:
        things.append(Said(_("We agree"), as_text(fields["agreement"])))
    things += [Said(_speaker(item), _("settled it")) for item in fields.get("settled", ())]
    return things


def _said_by(item: dict[str, Any], parts: Sequence[Field]) -> list[Said]:
    speaker = _speaker(item)
    things: list[Said] = []
    for part in parts:
        if item.get(part.name):
            things.append(Said(speaker, f"{_(part.label)}: {as_text(item[part.name])}"))
            speaker = ""
    return things


def said_before(kind: str, item: dict[str, Any]) -> list[Said]:
    """What an entry said before, from one item of its history."""
    return [_before(kind, item, name, value) for name, value in item["fields"].items()]


def _before(kind: str, item: dict[str, Any], name: str, value: Any) -> Said:
    """One thing that an entry said before.

    In a repair everything but the topic and the agreement belongs to the one who changed it: its key names their place.
    """
    label, text = label_of(kind, name), value_text(kind, name, value)
    if (kind == "hearing" and name == "answer") or name.endswith(".verdict"):
        text = _(ANSWERS[str(value)]) if str(value) in ANSWERS else text
    elif name.startswith("pause."):
        text = _(STATES[str(value)]) if str(value) in STATES else text
    return Said(_speaker(item), f"{label}: {text}") if "." in name else Said(label, text)


def who(item: dict[str, Any]) -> str:
    """Whose it is: ``You``, or their name."""
    return _("You") if item["by"]["me"] else clean_line(item["by"]["name"])


def _speaker(item: dict[str, Any]) -> str:
    return f"{who(item)}:"


def label_of(kind: str, name: str) -> str:
    """What stands before a field."""
    # A key of a repair names whose place it is: tell.0.felt, gesture.0.
    head, _dot, tail = name.rpartition(".")
    tail = head if tail in ("0", "1") else tail
    field = _field(kind, tail)
    label = field.label if field is not None else OTHER_LABELS.get(tail)
    return _(label) if label else clean_line(tail.replace("_", " "))


def _field(kind: str, name: str) -> Field | None:
    from bide.entries.hearing import FIELDS as HEARING
    from bide.entries.kinds import KINDS
    from bide.entries.repair import AGREEMENT_FIELD, GESTURE_FIELD, TELL_FIELDS

    fields: tuple[Field, ...] = KINDS[kind].fields if kind in KINDS else ()
    if kind == "repair":
        fields = (*fields, *TELL_FIELDS, *HEARING, GESTURE_FIELD, AGREEMENT_FIELD)
    return next((field for field in fields if field.name == name), None)


def value_text(kind: str, name: str, value: Any) -> str:
    """A field's value for a person: feelings and choices in words, lists as `as_text` has them."""
    field = _field(kind, name)
    if field is not None and field.kind.value == "feelings":
        slugs = value.split("\n") if isinstance(value, str) else value
        return ", ".join(map(feeling_words, slugs)) if isinstance(slugs, list) else clean(slugs)
    choice = _CHOICES.get(name, {}).get(str(value)) if field is not None and field.choices else None
    return _(choice) if choice else as_text(value)


def feeling_words(stored: object) -> str:
    """A feeling in words; with a word of somebody's own also the one it comes nearest to: ``fizzy (glad)``."""
    from bide.words.showing import shown_feeling

    stored = clean_line(stored)
    word = shown_feeling(stored, language())
    core, mark, own = stored.partition("/")
    return f"{word} ({shown_feeling(core, language())})" if mark and own == word else word


def as_text(value: Any) -> str:
    """A field's value for a person: lists on one line, or one below the other if they are long."""
    if isinstance(value, list):
        items = [clean(item) for item in value]
        return ", ".join(items) if sum(map(len, items)) <= 60 else "\n".join(items)
    return clean(value)
