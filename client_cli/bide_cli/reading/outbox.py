"""Showing what is held back: what it is, when it goes, and what is in its way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bide.replica.authoring.holding import RETRACTED, UNEXPECTED, WITHDRAWN
from bide_cli.language import N_, _, language, plural
from bide_cli.terminal.dates import epoch_seconds, local_minute
from bide_cli.terminal.layout import labelled, text_columns, text_room, wrap
from bide_cli.terminal.shell import Shell, clean, clean_line, name_list

if TYPE_CHECKING:
    from bide.replica import Replica

INDENT = "  "
_LABEL_COLUMNS_MAX = 20
STEPS = {
    "tell": N_("telling yours"),
    "hear": N_("saying back what you heard"),
    "answer": N_("saying whether you were heard"),
    "reconnect": N_("a gesture"),
    "agree": N_("what you agree on"),
    "verdict": N_("saying whether you were heard"),
    "release": N_("from your private ones"),
}
"""What is held, where it is more than an entry of its kind."""
HINDRANCES = {
    WITHDRAWN: N_("it can't go: the conversation was withdrawn meanwhile"),
    RETRACTED: N_("it can't go: what it is about was taken back meanwhile"),
    "not_found": N_("it can't go: what it is about is not on this device"),
    "nothing_changed": N_("it can't go: that is what it says already"),
    "not_allowed": N_("it can't go at this point; bide send tells why"),
    UNEXPECTED: N_("it can't go: something went wrong with it"),
}
"""Why something is still here, by its code."""


def outbox_lines(shell: Shell, items: list[dict[str, Any]]) -> list[str]:
    """A few lines for each thing that is held: what, with whom, when it goes, and its beginning."""
    lines: list[str] = []
    for item in items:
        lines.append(f"{headline(item)}")
        if text := first_line(item):
            lines.append(INDENT + wrap(text, shell.width - len(INDENT) if shell.width else 0)[0])
    return lines


def headline(item: dict[str, Any]) -> str:
    """Code, what it is, with whom, and when it goes or what is in its way."""
    from bide.entries.kinds import KINDS

    what = _(KINDS[item["kind"]].title)
    if item["step"] in STEPS:
        what = f"{what}, {_(STEPS[item['step']])}"
    whom = _("with {names}").format(names=name_list(item["shared_with"])) if item["shared_with"] else ""
    return " · ".join(part for part in (item["code"], what, whom, state_words(item)) if part)


def text_lines(shell: Shell, item: dict[str, Any]) -> list[str]:
    """All the words of something that is held, labelled."""
    pairs = [(_label(item["kind"], name), as_text(name, value)) for name, value in item["fields"].items()]
    columns = min(max((text_columns(label) for label, _text in pairs), default=0), _LABEL_COLUMNS_MAX)
    room = text_room(shell.width, len(INDENT) + columns + 2)
    lines: list[str] = []
    for label, text in pairs:
        lines += labelled(label, wrap(clean(text), room), indent=INDENT, label_columns=columns)
    return lines


def show_held(shell: Shell, replica: Replica, id_text: str) -> bool:
    """Show something that is held, for `bide show`, which has not found an entry of that id.

    Returns:
        Whether there is such a thing.
    """
    found = replica.holding.find(id_text)
    item = replica.holding.show(found[0].held_id) if found else None
    if item is None:
        return False
    if shell.as_json:
        shell.emit("show", held=item)
        return True
    lines = [headline(item), *text_lines(shell, item), ""]
    lines.append(INDENT + _("It waits here, on this device only; nobody else knows of it."))
    shell.page("\n".join(lines) + "\n")
    return True


def _label(kind: str, name: str) -> str:
    from bide.entries.hearing import CLARIFICATION
    from bide.entries.hearing import FIELDS as HEARING
    from bide.entries.kinds import KINDS
    from bide.entries.repair import AGREEMENT_FIELD, GESTURE_FIELD, TELL_FIELDS

    fields = (*KINDS[kind].fields, *TELL_FIELDS, *HEARING, GESTURE_FIELD, AGREEMENT_FIELD, CLARIFICATION)
    return next((_(field.label) for field in fields if field.name == name), name)


def due_words(due: str) -> str:
    """When something goes: the time of day if that is within a day, else with its date."""
    minute = local_minute(due)
    near = abs(epoch_seconds(due) - time.time()) < 12 * 3600
    return minute.rpartition(" ")[2] if near else minute


def first_line(item: dict[str, Any]) -> str:
    """The beginning of what is held, on one line."""
    for name, value in item["fields"].items():
        if text := as_text(name, value):
            return clean_line(text.split("\n", 1)[0])
    return ""


def as_text(name: str, value: Any) -> str:
    """A field's value for a person."""
    if name == "feelings" and isinstance(value, list):
        from bide.words.showing import shown_feeling

        return ", ".join(shown_feeling(str(slug), language()) for slug in value)
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def state_words(item: dict[str, Any]) -> str:
    """What is with something that is held: when it goes, or why it doesn't."""
    if item["hindrance"]:
        return _(HINDRANCES.get(item["hindrance"], N_("it can't go; bide send tells why")))
    if item["waits_for"]:
        return _("goes when what it answers has arrived here")
    if epoch_seconds(item["due"]) <= time.time():
        return _("goes with the next thing you write or sync")
    return _("until {time}").format(time=due_words(item["due"]))


def count_words(items: Sequence[dict[str, Any]]) -> str:
    """How much is held, for one line of `bide status`; empty if nothing is."""
    if not items:
        return ""
    stuck = [item for item in items if item["hindrance"]]
    waiting = [item for item in items if item["waits_for"] and not item["hindrance"]]
    timed = [item for item in items if not item["hindrance"] and not item["waits_for"]]
    parts = [plural("{n} held", "{n} held", len(items))]
    if timed:
        words = _("until {time}") if len(items) == 1 else _("the first until {time}")
        parts.append(words.format(time=due_words(timed[0]["due"])))
    if waiting:
        parts.append(
            _("until what it answers has arrived") if len(items) == 1 else _("some until what they answer has arrived")
        )
    if stuck:
        parts.append(plural("{n} can't go as it is", "{n} can't go as they are", len(stuck)))
    return ", ".join(parts) if len(items) > 1 or stuck else " ".join(parts)
