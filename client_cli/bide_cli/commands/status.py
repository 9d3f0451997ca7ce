"""``bide status``."""

from __future__ import annotations

from typing import Any

import click

from bide_cli.contact import last_contact
from bide_cli.dates import local_minute
from bide_cli.holding import count_words
from bide_cli.language import _
from bide_cli.opening import open_replica
from bide_cli.options import shell_options
from bide_cli.relations import relation_word
from bide_cli.shell import Shell, clean_line, name_list


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
    shell.out(f"You are {clean_line(status['name'])}, in {shell.home}")
    for space in status["spaces"]:
        for line in _space_lines(space, [item for item in held if item["space"] == space["id"]]):
            shell.out(line)
    if len(status["spaces"]) == 1:
        shell.out("You share with nobody yet. (bide pair, or bide join)")
    shell.out(_relay_line(status["relay"], contact))


def _space_lines(space: dict[str, Any], held: list[dict[str, Any]]) -> list[str]:
    if space["state"] == "pending":
        return ["A pairing is not finished on the other side yet; syncing may complete it."]
    label = _("Private")
    if space["with"]:
        label = _("With {name} ({kind})").format(name=name_list(space["with"]), kind=relation_word(space["relation"]))
    parts = [_count(space["entries"], "entry", "entries") + " here"]
    if space["relay"] and space["pending"] and space["entries"]:
        # Not how many: what counts is log entries, and an entry can be several of them.
        parts.append("not all of it is on the relay yet")
    if held:
        parts.append(f"{count_words(held)} (bide outbox)")
    lines = [f"{label}: {', '.join(parts)}; {_devices(space)}"]
    notes = (
        ("waiting", "changes wait for something that has not arrived yet"),
        ("newer", "changes are from a newer Bide and need an upgrade here"),
        ("quarantined", "log entries could not be read and were set aside (bide doctor)"),
    )
    lines += [f"  {space[key]} {words}" for key, words in notes if space[key]]
    return lines


def _devices(space: dict[str, Any]) -> str:
    mine = sum(1 for device in space["devices"] if device["by"]["me"])
    theirs = len(space["devices"]) - mine
    words = f"your devices: {mine}"
    return f"{words}, theirs: {theirs}" if space["with"] else words


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _relay_line(url: str, contact: dict[str, Any]) -> str:
    if not url:
        return "No relay is set; everything stays on this device. (bide relay set URL)"
    if not contact["tried"]:
        return f"Relay {url}: not tried yet"
    if contact["ok"]:
        return f"Relay {url}: last reached {local_minute(contact['reached'])}"
    since = f", last reached {local_minute(contact['reached'])}" if contact["reached"] else ""
    why = f" ({contact['words']})" if contact["words"] else ""
    return f"Relay {url}: tried {local_minute(contact['tried'])} and it did not work{why}{since}"
