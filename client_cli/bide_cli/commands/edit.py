"""``bide edit``."""

from __future__ import annotations

from typing import Any

import click

from bide.entries.fields import Field
from bide.entries.kinds import KINDS, Kind
from bide.errors import InputError, NotAllowed
from bide_cli.home.folder import read_config
from bide_cli.language import _
from bide_cli.options import field_options, now_option, shell_options
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.opening import open_replica
from bide_cli.writing.giving import Given, gather
from bide_cli.writing.holding import require_place
from bide_cli.writing.telling import tell_written


def _editable(kind: Kind) -> tuple[Field, ...]:
    """What a person can change of an entry of that kind."""
    edited = next((event.keys for event in kind.events if event.name.endswith(".edited")), ())
    return tuple(field for field in kind.fields if field.asked and field.name in edited)


FIELDS = tuple({field.name: field for kind in KINDS.values() for field in _editable(kind)}.values())


@click.command(
    epilog="\b\nExamples:\n  bide edit ck-62XTN3\n  bide edit th-7KQ2MX --shows 'You look after mine as if they were yours.'\n"
    "  bide edit th-7KQ2MX --felt ''"
)
@click.argument("entry_id", metavar="ID")
@field_options(FIELDS)
@now_option
@shell_options
def command(shell: Shell, entry_id: str, given: Given) -> None:
    """Change something you wrote.

    It stays marked as edited, and the earlier text stays readable. On a terminal $EDITOR opens; an empty text takes a
    field out.
    """
    config = read_config(shell.home)
    replica = open_replica(shell, config)
    entry = replica.show(entry_id)
    require_place(replica, entry_id)
    # Of two invitations that became one conversation each has its own topic.
    own_topic = next((topic["topic"] for topic in entry["fields"].get("topics", ()) if topic["by"]["me"]), None)
    if not entry["by"]["me"] and own_topic is None:
        raise NotAllowed("Only the one who wrote it can change it.")
    fields = _editable(KINDS[entry["kind"]])
    present = {field.name: entry["fields"].get(field.name, "") for field in fields}
    if own_topic is not None:
        present["topic"] = own_topic
    if not given.by_options and shell.may_ask:
        given.edit = True
    values = _changed(fields, present, gather(shell, fields, given, before=present))
    written = replica.edit(entry["id"], values)
    tell_written(shell, "edit", replica, config, written, words=_("It is marked as edited; bide show has the earlier text."))


def _changed(fields: tuple[Field, ...], present: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Only what differs, so that the history tells of changes and of nothing else."""
    known = {field.name for field in fields}
    changed = {name: value for name, value in values.items() if name not in known or _text(value) != _text(present[name])}
    if not changed:
        raise InputError("That is what it says already, so nothing was changed.")
    return changed


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "\n".join(str(item).strip() for item in value)
    return str(value).strip() if not isinstance(value, str) else "\n".join(p.strip() for p in value.strip().split("\n"))
