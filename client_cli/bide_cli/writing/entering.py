"""The commands that begin an entry and nothing else: which kind of entry each writes, and what goes with it.

Apart from the commands themselves, so that a well-formed one can be run without click (`bide_cli.quick`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from bide.entries.appreciation import is_generic
from bide.entries.fields import Field, FieldKind
from bide.entries.kinds import KINDS
from bide_cli.language import _
from bide_cli.terminal.shell import Shell
from bide_cli.writing.entry import write_entry
from bide_cli.writing.giving import Given


class Entering(NamedTuple):
    """What a command writes."""

    kind: str
    deck: str = ""
    """Whose lines stand above the questions."""
    remark: Callable[[dict[str, Any]], str] | None = None
    """A word to add after the write, from the values."""

    @property
    def fields(self) -> tuple[Field, ...]:
        """What the entry can say."""
        return KINDS[self.kind].fields


def _gentle(values: dict[str, Any]) -> str:
    if not is_generic(str(values.get("noticed", ""))):
        return ""
    return _("It lands best with a moment in it: what was it, and where? You can add it: bide edit {code}")


ENTERING: Mapping[str, Entering] = {
    "checkin": Entering("checkin", deck="checkin"),
    "thank": Entering("appreciation", deck="appreciation", remark=_gentle),
    "share": Entering("share"),
    "did": Entering("activity"),
}


def enter(shell: Shell, command: str, given: Given, *, private: bool, with_: str) -> None:
    """Write the entry of a command; see `bide_cli.writing.entry.write_entry`."""
    entering = ENTERING[command]
    write_entry(
        shell,
        entering.kind,
        entering.fields,
        given,
        private=private,
        with_=with_,
        command=command,
        deck=entering.deck,
        remark=entering.remark,
    )


def given_by(fields: tuple[Field, ...], options: Mapping[str, Any], *, from_json: str, edit: bool) -> Given:
    """What the options of a call give for `fields`; feelings that were named one by one are one list."""
    values = dict(options)
    for field in fields:
        if field.kind is FieldKind.FEELINGS and len(values.get(field.name) or ()) > 1:
            values[field.name] = ",".join(values[field.name])
    return Given(values, from_json=from_json, edit=edit)
