"""What is told of relays: who moved, that this device went along, and which relays were left. Imports nothing heavy."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bide.replica.spaces.relays import Former, offered, read_formers
from bide_cli.language import N_, _
from bide_cli.terminal.shell import Shell, clean_line

if TYPE_CHECKING:
    from bide.replica import Replica
    from bide.storage.base import SpaceRecord

OFFER = N_("{name} now uses another relay for what you share: {url}. Nothing is missed meanwhile. To follow: {command}")
WENT_ALONG = N_("What you share with {name} now goes through {url}, as you chose on another device.")
WENT_ALONG_ALONE = N_("Your private entries now go through {url}, as you chose on another device.")
_FORMER = N_("  also through {url}, until everybody has moved")
_FORMER_AWAY = N_("  also through {url}, until everybody has moved; it could not be had lately")


def follow_command(replica: Replica, name: str) -> str:
    """What somebody types to follow a person."""
    return "bide relay follow" if len(replica.reader.people()) == 1 else f"bide relay follow --with '{clean_line(name)}'"


def offers(replica: Replica) -> list[tuple[str, SpaceRecord, str]]:
    """Who moved where this device has not: name, space, address."""
    found = ((person.name, person.space, offered(replica.storage, person.space)) for person in replica.reader.people())
    return [(name, space, url) for name, space, url in found if url]


def shown_formers(replica: Replica) -> list[tuple[str, Former]]:
    """The relays that were left and are still dialled: the other person's name (empty: the own space), and the relay."""
    names = {person.space.space_id: person.name for person in replica.reader.people()}
    return [
        (names.get(space.space_id, ""), former)
        for space in replica.spaces()
        for former in read_formers(replica.storage, space.space_id)
        if not former.over
    ]


def former_lines(replica: Replica) -> list[str]:
    """For `bide status`: what else is synced with, each once."""
    lines = [_(_FORMER_AWAY if former.failures else _FORMER).format(url=former.url) for _name, former in shown_formers(replica)]
    return list(dict.fromkeys(lines))


def described(replica: Replica) -> dict[str, Any]:
    """For ``bide relay --json``."""
    return {
        "offers": [{"with": name, "relay": url} for name, _space, url in offers(replica)],
        "former": [
            {"with": [name] if name else [], "relay": former.url, "state": former.state, "reached": not former.failures}
            for name, former in shown_formers(replica)
        ],
    }


def tell_relays(shell: Shell, replica: Replica) -> None:
    """Say, once on each device, that somebody moved or that this device went along."""
    if shell.as_json:
        return
    for words in _news(replica):
        shell.say(words)


def note_relays(replica: Replica) -> None:
    """Take everything as it is now for known: the person did it here."""
    _news(replica)


def _news(replica: Replica) -> list[str]:
    names = {person.space.space_id: person.name for person in replica.reader.people()}
    told: dict[str, list[str]] = json.loads(replica.storage.meta("relays_told") or "{}")
    now: dict[str, list[str]] = {}
    news = []
    for space in replica.spaces():
        if space.pending or (space.kind == "pair" and space.space_id not in names):
            continue
        name, offer = names.get(space.space_id, ""), offered(replica.storage, space)
        now[space.space_id.hex()] = [space.relay_url, offer]
        relay_before, offer_before = told.get(space.space_id.hex(), [space.relay_url, ""])
        left = {former.url for former in read_formers(replica.storage, space.space_id)}
        if space.relay_url != relay_before and relay_before in left:
            news.append(_(WENT_ALONG if name else WENT_ALONG_ALONE).format(name=clean_line(name), url=space.relay_url))
        if offer and offer != offer_before:
            command = follow_command(replica, name)
            news.append(_(OFFER).format(name=clean_line(name), url=offer, command=command))
    if now != told:
        with replica.storage.transaction():
            replica.storage.put_meta("relays_told", json.dumps(now))
    return news
