"""Showing what is held back, and finding in it what a person means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bide_cli.language import N_, _
from bide_cli.terminal.layout import labelled, text_columns, text_room, wrap
from bide_cli.terminal.shell import Shell, clean, name_list
from bide_cli.writing.holding import as_text, first_line, state_words

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
