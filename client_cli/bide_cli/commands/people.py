"""``bide people``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bide_cli.home.configuring import change, find_key
from bide_cli.home.folder import read_config
from bide_cli.joining.relations import relation_word
from bide_cli.language import _
from bide_cli.options import shell_options
from bide_cli.terminal.shell import Shell, clean_line
from bide_cli.unlocking.opening import open_replica

if TYPE_CHECKING:
    from bide.replica import Replica
    from bide.replica.spaces.people import Person


@click.group(
    invoke_without_command=True,
    epilog="\b\nExamples:\n  bide people\n  bide people kind Kim friend\n  bide people default Robin",
)
@shell_options
def command(shell: Shell) -> None:
    """See with whom you share.

    Each with a space of their own: what you share with one, no other can open. Two of one name are told apart by a number,
    in the order in which you paired: Robin, Robin (2).
    """
    context = click.get_current_context()
    context.obj = {**(context.obj or {}), "home": str(shell.home)}
    if context.invoked_subcommand is None:
        _list(shell)


def _list(shell: Shell) -> None:
    config = read_config(shell.home)
    replica = open_replica(shell, config)
    people = [_described(replica, person) for person in replica.reader.people()]
    if shell.as_json:
        shell.emit("people", people=people)
        return
    if not people:
        shell.say(_("You share with nobody yet. (bide pair, or bide join)"))
        return
    for person in people:
        shell.tell(_line(person, several=len(people) > 1))
    if len(people) > 1 and not any(person["default"] for person in people):
        shell.say(_("With several people a command asks for --with NAME; bide people default NAME chooses one for good."))


def _described(replica: Replica, person: Person) -> dict[str, Any]:
    members = replica.reader.members_now(person.space.space_id)
    mine = sum(1 for member in members if member.slot == person.space.slot)
    return {
        "name": person.name,
        "kind": person.relation,
        "devices": {"mine": mine, "theirs": len(members) - mine},
        "default": person == replica.reader.default_person(),
        "space": person.space.space_id.hex(),
    }


def _line(person: dict[str, Any], *, several: bool) -> str:
    devices = _("your devices: {mine}, theirs: {theirs}").format(**person["devices"])
    parts = [clean_line(person["name"]), relation_word(person["kind"]), devices]
    if several and person["default"]:
        parts.append(_("the default"))
    return " · ".join(parts)


@command.command("list", epilog="\b\nExample:\n  bide people list --json")
@shell_options
def list_people(shell: Shell) -> None:
    """Show with whom you share."""
    _list(shell)


@command.command("kind", epilog="\b\nExamples:\n  bide people kind Kim friend\n  bide people kind Robin partner")
@click.argument("name")
@click.argument("kind", metavar="partner|friend|family")
@shell_options
def kind(shell: Shell, name: str, kind: str) -> None:
    """Say what somebody is to you: partner, friend or family.

    It chooses which decks are offered, and nothing else. It goes to them sealed, as all you share does; they can call it
    otherwise for themselves.
    """
    from bide.replica.spaces.removal import require_belonging
    from bide_cli.syncing import background

    config = read_config(shell.home)
    replica = open_replica(shell, config)
    require_belonging(replica.storage, replica.reader.pair_space(name))
    replica.set_relation(name, kind)
    person = replica.reader.person(name)
    if shell.as_json:
        shell.emit("people", **_described(replica, person))
    else:
        shell.tell(f"{clean_line(person.name)} · {relation_word(person.relation)}")
    if replica.relay():
        background.carry_on(shell.home, config)


@command.command("default", epilog="\b\nExample:\n  bide people default Robin")
@click.argument("name")
@shell_options
def default(shell: Shell, name: str) -> None:
    """Choose whom to write to where nobody is named.

    For this device. The same as bide config set with NAME; bide config unset with takes it back.
    """
    replica = open_replica(shell)
    person = replica.reader.person(name)
    change(shell.home, find_key("with"), person.name)
    if shell.as_json:
        shell.emit("people", **{**_described(replica, person), "default": True})
    else:
        shell.tell(_("Unasked you write to {name} from now on.").format(name=clean_line(person.name)))
