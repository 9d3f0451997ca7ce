"""The kinds of entries and the events that can happen to each.

An event type says who may use it and which keys of the document it may write. A change that writes anything else is kept and
ignored: a partner can add to a conversation, and can't put words into the other's mouth.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from bide.entries import (
    activity,
    appreciation,
    checkin,
    feeling,
    hearing,
    keepsake,
    question,
    reception,
    reflection,
    repair,
    share,
)
from bide.entries.fields import Field, FieldKind, clean_field
from bide.errors import InputError


class By(Enum):
    """Who may cause an event, seen from the entry."""

    AUTHOR = "author"
    OTHER = "other"
    EITHER = "either"


class EventType(NamedTuple):
    """A stable name for something that can happen to an entry."""

    name: str
    by: By
    keys: tuple[str, ...] = ()
    """Keys it may write; ``{slot}`` stands for the writer's slot. A trailing ``*`` allows any ending."""
    creates: bool = False
    """It is the first event of its entry."""
    edits_text: bool = False
    """It may edit the co-written text."""
    version: int = 1


class Kind(NamedTuple):
    """A kind of entry."""

    name: str
    prefix: str
    """Begins the short code that people see, as in ``th-7KQ2MX``."""
    title: str
    fields: tuple[Field, ...]
    events: tuple[EventType, ...]
    shown: bool = True
    """Whether it stands in the timeline by itself."""
    wordless: bool = False
    """Whether it says something even without a word in it."""

    @property
    def created_by(self) -> EventType:
        """The event type that begins an entry of this kind."""
        return self.events[0]

    def event(self, ending: str) -> EventType:
        """The event type of that ending, such as ``edited``."""
        return next(event for event in self.events if event.name == f"{self.name}.{ending}")

    def field(self, name: str) -> Field | None:
        """The field of that name."""
        return next((field for field in self.fields if field.name == name), None)


def _names(fields: tuple[Field, ...]) -> tuple[str, ...]:
    return tuple(field.name for field in fields)


WRITTEN_ON = Field("written_on", FieldKind.LINE, "On which day was it written?", "Written on", asked=False)
"""The day that a released entry was written on: the pair gets it later than that."""


def _kind(
    name: str,
    prefix: str,
    title: str,
    fields: tuple[Field, ...],
    *,
    created: str = "written",
    reply: bool = False,
    fixed: tuple[str, ...] = (),
    wordless: bool = False,
    more: tuple[EventType, ...] = (),
) -> Kind:
    """A kind whose entries are one person's words: begun, edited and taken back by its author alone.

    Args:
        name: of the kind.
        prefix: of its short codes.
        title: what people call it.
        fields: what it can say.
        created: the end of the event type that begins it.
        reply: it answers another entry, and stands beneath that one.
        fixed: fields that stay as they were when it began.
        wordless: it says something even without a word in it.
        more: event types besides those that every kind has.
    """
    words = _names(fields)
    events = (
        EventType(f"{name}.{created}", By.AUTHOR, (*(("about",) if reply else ()), *words, WRITTEN_ON.name), creates=True),
        EventType(f"{name}.edited", By.AUTHOR, tuple(word for word in words if word not in fixed)),
        EventType(f"{name}.retracted", By.AUTHOR, ("retracted",)),
        EventType(f"{name}.released", By.AUTHOR, ("released",)),
        EventType(f"{name}.postponed", By.OTHER, ("postponed.{slot}",)),
        *more,
    )
    return Kind(name, prefix, title, fields, events, shown=not reply, wordless=wordless)


CHECKIN = _kind("checkin", "ck", "Check-in", checkin.FIELDS)
APPRECIATION = _kind("appreciation", "th", "Appreciation", appreciation.FIELDS, created="given")
HEARING = _kind(
    "hearing",
    "he",
    "Heard",
    hearing.FIELDS,
    created="offered",
    reply=True,
    more=(EventType("hearing.answered", By.OTHER, ("answer", "clarification")),),
)
SHARE = _kind("share", "sh", "Opened up", share.FIELDS)
# When the answers open was settled when it was asked: nobody opens what the other has written under another promise.
QUESTION = _kind("question", "qu", "Question", question.FIELDS, created="asked", fixed=("reveal", "deck", "item"))
ANSWER = _kind("answer", "an", "Answer", question.ANSWER_FIELDS, created="given", reply=True)
FEELING = _kind("feeling", "fe", "Feeling", feeling.FIELDS, created="named")
ACTIVITY = _kind("activity", "ac", "Together", activity.FIELDS)
RECEPTION = _kind("reception", "re", "Received", reception.FIELDS, created="given", reply=True, wordless=True)
REFLECTION = _kind("reflection", "rf", "Reflection", reflection.FIELDS)
KEEPSAKE = _kind("keepsake", "kp", "Keepsake", keepsake.FIELDS, created="imported", fixed=("source", "by_name", "original"))
REPAIR = Kind(
    "repair",
    "rp",
    "Repair",
    repair.INVITE_FIELDS,
    (
        EventType("repair.invited", By.AUTHOR, ("topic", "calm", "agreement"), creates=True, edits_text=True),
        EventType("repair.edited", By.AUTHOR, ("topic",)),
        *(
            EventType(f"repair.{step.event}", By.EITHER, step.keys, edits_text=step is repair.Step.AGREE)
            for step in repair.Step
            if step is not repair.Step.INVITE
        ),
    ),
)
PERSON = Kind(
    "person",
    "pe",
    "Person",
    (),
    (EventType("person.named", By.EITHER, ("name", "relation", "device.*"), creates=True),),
    shown=False,
)
ERASED = Kind("erased", "er", "Erased", (), ())
"""Stands in the place of an entry whose beginning was erased, for the words of the other that are left. Nobody writes it."""

_ALL = (
    *(CHECKIN, APPRECIATION, HEARING, REPAIR, SHARE, QUESTION, ANSWER, FEELING, ACTIVITY, RECEPTION, REFLECTION, KEEPSAKE),
    PERSON,
    ERASED,
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}
EVENT_TYPES: dict[str, tuple[Kind, EventType]] = {event.name: (kind, event) for kind in KINDS.values() for event in kind.events}


def may_write(event: EventType, keys: frozenset[str], *, slot: int) -> bool:
    """Whether an event of this type, caused by the person in `slot`, may write these keys."""
    allowed = [key.format(slot=slot) for key in event.keys]
    exact = {key for key in allowed if not key.endswith("*")}
    beginnings = tuple(key[:-1] for key in allowed if key.endswith("*"))
    return all(key in exact or (beginnings and key.startswith(beginnings)) for key in keys)


def clean_entry(kind: Kind, values: Mapping[str, Any], *, partial: bool = False) -> dict[str, str]:
    """The fields of an entry as given, checked and ready to store.

    Args:
        kind: what is being written.
        values: field name to text or list; empty values count as not given.
        partial: an edit: required fields may be left out, and given fields may be emptied.

    Raises:
        InputError: an unknown field, a bad value, a required field missing, or nothing said at all.
    """
    stored: dict[str, str] = {}
    for name, value in values.items():
        field = kind.field(name)
        if field is None:
            known = ", ".join(f.name for f in kind.fields if f.asked)
            raise InputError("There is no field {field!r} here.", hint="The fields are: {known}", field=name[:40], known=known)
        if value is None:
            continue
        cleaned = clean_field(field, value)
        if cleaned or partial:
            stored[name] = cleaned
    for field in kind.fields:
        missing = field.name not in stored if not partial else stored.get(field.name) == ""
        if field.required and missing:
            raise InputError(
                "'{field}' is empty.", hint="Say something for it: {prompt}", field=field.name, prompt=field.prompt
            )
    if not stored and not kind.wordless:
        raise InputError("Nothing was said, so nothing was written.", hint="Answer at least one of the questions.")
    return stored
