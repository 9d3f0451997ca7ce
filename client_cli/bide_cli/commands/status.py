"""``bide status``."""

from __future__ import annotations

from typing import Any

import click

from bide.replica.spaces.removal import is_out, removal_words
from bide.replica.spaces.waiting import is_short, waiting_words
from bide_cli.joining.devices import tell_devices
from bide_cli.joining.relations import relation_word
from bide_cli.language import N_, _, grouped, plural, worded
from bide_cli.options import shell_options
from bide_cli.reading.outbox import count_words
from bide_cli.reading.standing import ENDED, LEFT, PAUSED, standing_line
from bide_cli.syncing.contact import last_contact
from bide_cli.syncing.relays import former_lines, tell_relays
from bide_cli.terminal.dates import local_minute
from bide_cli.terminal.shell import Shell, clean_line, name_list
from bide_cli.unlocking.opening import open_replica

REMOVED = "removed"
NOTES = (
    ("waiting", N_("{n} changes wait for something that has not arrived yet")),
    ("newer", N_("{n} changes are from a newer Bide and need an upgrade here")),
    ("quarantined", N_("{n} log entries could not be read and were set aside (bide doctor)")),
)
"""By what is counted in a space."""


@click.command(epilog="\b\nExamples:\n  bide status\n  bide status --json | jq '.spaces[].pending'")
@shell_options
def command(shell: Shell) -> None:
    """See what is here and what still waits.

    Whom you share with, how many devices there are, and what has not reached the relay yet.
    """
    replica = open_replica(shell)
    status = replica.status()
    held = replica.holding.shown() if replica.storage.outbox() else []
    contact = last_contact(replica.storage)
    if shell.as_json:
        shell.emit("status", **status, held=len(held), home=str(shell.home), last_contact=contact)
        return
    shell.tell(_("You are {name}, in {home}").format(name=clean_line(status["name"]), home=shell.home))
    for told in removal_words(replica.storage, replica.reader.view()):
        shell.tell(worded(*told))
    waits_for = {space.space_id.hex(): waiting_words(replica.storage, space) for space in replica.spaces() if space.pending}
    storage = replica.storage
    short = {each.space_id.hex() for each in replica.spaces() if is_short(storage, each.space_id) and not is_out(storage, each)}
    for space in status["spaces"]:
        if space["state"] == "pending":
            words = waits_for[space["id"]]
            if words is not None:
                shell.tell(worded(*words))
            continue
        of_it = [item for item in held if item["space"] == space["id"]]
        for line in _space_lines(space, of_it, short=space["id"] in short):
            shell.tell(line, indent="  ")
    if len(status["spaces"]) == 1:
        shell.tell(_("You share with nobody yet. (bide pair, or bide join)"))
    shell.tell(_relay_line(status["relay"], contact, unfinished=_unfinished_at(status["spaces"])))
    for line in former_lines(replica):
        shell.tell(line)
    tell_devices(shell, replica)
    tell_relays(shell, replica)


def _space_lines(space: dict[str, Any], held: list[dict[str, Any]], *, short: bool) -> list[str]:
    standing = [standing_line(name, space["state"], space["ended"]) for name in space["with"]]
    if space["state"] in (ENDED, LEFT):
        return standing
    label = _("Private")
    if space["with"]:
        label = _("With {name} ({kind})").format(name=name_list(space["with"]), kind=relation_word(space["relation"]))
    parts = [plural("{n} entry here", "{n} entries here", space["entries"])]
    if space["relay"] and space["pending"] and space["entries"]:
        # Not how many: what counts is log entries, and an entry can be several of them.
        parts.append(_("not all of it is on the relay yet"))
    if held:
        parts.append(f"{count_words(held)} (bide outbox)")
    if space["state"] == REMOVED:  # which devices there are now, nobody tells this one
        return [f"{label}: {', '.join(parts)}"]
    lines = [f"{label}: {', '.join(parts)}; {_devices(space)}"]
    lines += ["  " + line for line in standing if space["state"] == PAUSED]
    if short:
        lines.append("  " + _("Nothing can be written here now, since something was lost; bide doctor says what to do"))
    lines += ["  " + _(words).format(n=grouped(space[key])) for key, words in NOTES if space[key]]
    return lines


def _devices(space: dict[str, Any]) -> str:
    mine = sum(1 for device in space["devices"] if device["by"]["me"])
    theirs = len(space["devices"]) - mine
    if space["with"]:
        return _("your devices: {mine}, theirs: {theirs}").format(mine=mine, theirs=theirs)
    return _("your devices: {mine}").format(mine=mine)


def _unfinished_at(spaces: list[dict[str, Any]]) -> str:
    """The relay where a pairing waits to be finished; empty if none does."""
    return next((space["relay"] for space in spaces if space["state"] == "pending" and space["relay"]), "")


def _relay_line(url: str, contact: dict[str, Any], *, unfinished: str) -> str:
    if not url and unfinished:
        return _("No relay is set, but the pairing that isn't finished has one: bide sync asks {url}").format(url=unfinished)
    if not url:
        return _("No relay is set; everything stays on this device. (bide relay set URL)")
    if not contact["tried"]:
        return _("Relay {url}: not tried yet").format(url=url)
    reached = local_minute(contact["reached"]) if contact["reached"] else ""
    if contact["ok"]:
        return _("Relay {url}: last reached {time}").format(url=url, time=reached)
    line = _("Relay {url}: tried {time} and it did not work").format(url=url, time=local_minute(contact["tried"]))
    line += f" ({contact['words']})" if contact["words"] else ""
    return line + (_(", last reached {time}").format(time=reached) if reached else "")
