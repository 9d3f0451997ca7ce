"""The kinds of entries and the events that can happen to each.

An event type says who may use it and which keys of the document it may write. A change that writes anything else is kept and
ignored: a partner can add to a conversation, and can't put words into the other's mouth.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from bide.entries import appreciation, checkin, hearing, repair
from bide.entries.fields import Field, clean_field
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

    @property
    def created_by(self) -> EventType:
        """The event type that begins an entry of this kind."""
        return self.events[0]

    def field(self, name: str) -> Field | None:
        """The field of that name."""
        return next((field for field in self.fields if field.name == name), None)


def _names(fields: tuple[Field, ...]) -> tuple[str, ...]:
    return tuple(field.name for field in fields)


CHECKIN = Kind(
    "checkin",
    "ck",
    "Check-in",
    checkin.FIELDS,
    (
        EventType("checkin.written", By.AUTHOR, _names(checkin.FIELDS), creates=True),
        EventType("checkin.edited", By.AUTHOR, _names(checkin.FIELDS)),
    ),
)
APPRECIATION = Kind(
    "appreciation",
    "th",
    "Appreciation",
    appreciation.FIELDS,
    (
        EventType("appreciation.given", By.AUTHOR, _names(appreciation.FIELDS), creates=True),
        EventType("appreciation.edited", By.AUTHOR, _names(appreciation.FIELDS)),
    ),
)
HEARING = Kind(
    "hearing",
    "he",
    "Heard",
    hearing.FIELDS,
    (
        EventType("hearing.offered", By.AUTHOR, ("about", *_names(hearing.FIELDS)), creates=True),
        EventType("hearing.edited", By.AUTHOR, _names(hearing.FIELDS)),
        EventType("hearing.answered", By.OTHER, ("answer", "clarification")),
    ),
    shown=False,
)
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
    (EventType("person.named", By.EITHER, ("name", "device.*"), creates=True),),
    shown=False,
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in (CHECKIN, APPRECIATION, HEARING, REPAIR, PERSON)}
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
            known = ", ".join(f.name for f in kind.fields)
            raise InputError(f"There is no field {name[:40]!r} here.", hint=f"The fields are: {known}")
        if value is None:
            continue
        cleaned = clean_field(field, value)
        if cleaned or partial:
            stored[name] = cleaned
    for field in kind.fields:
        missing = field.name not in stored if not partial else stored.get(field.name) == ""
        if field.required and missing:
            raise InputError(f"'{field.name}' is empty.", hint=f"Say something for it: {field.prompt}")
    if not stored:
        raise InputError("Nothing was said, so nothing was written.", hint="Answer at least one of the questions.")
    return stored
