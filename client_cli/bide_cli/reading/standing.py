"""How things stand with somebody: what is told of pauses and of endings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bide_cli.language import _
from bide_cli.terminal.dates import date_words
from bide_cli.terminal.shell import Shell, clean_line

if TYPE_CHECKING:
    from bide.replica import Replica

PAUSED, LEFT, ENDED = "paused", "left", "ended"
_TOLD_KEY = "ends_told"


def standing_line(name: str, stance: str, ended: dict[str, Any] | None) -> str:
    """How things stand with somebody; empty while it simply goes on.

    Args:
        name: of the other person.
        stance: the state of the space, as ``bide status --json`` has it.
        ended: on which day and by whom it was ended, likewise.
    """
    names = clean_line(name)
    if stance == PAUSED:
        return _("Paused with {name}: nothing is sent or fetched. To go on: bide pause --end").format(name=names)
    if stance == LEFT:
        return _("You left what you shared with {name}. What is here stays readable.").format(name=names)
    if stance == ENDED and ended is not None:
        me, day = any(by["me"] for by in ended["by"]), date_words(ended["day"])
        if me and len(ended["by"]) > 1:
            words = _("You and {name} both ended what you shared, on {day}. It stays readable.")
        elif me:
            words = _("You ended what you shared with {name} on {day}. It stays readable.")
        else:
            words = _("{name} ended what you shared on {day}. It stays readable.")
        return words.format(name=names, day=day)
    return ""


def standing_lines(replica: Replica, *, paused: bool) -> list[str]:
    """With whom things are over, and if asked for paused, a line each. Not with whom one shares again."""
    people = replica.reader.people()
    again = {person.name for person in people}
    found = [person for person in people if paused and person.stance == PAUSED]
    found += [person for person in replica.reader.former() if person.name not in again]
    return [standing_line(person.name, person.stance, replica.reader.ended(person)) for person in found]


def tell_rests(shell: Shell, replica: Replica) -> None:
    """After a sync: what is paused, each time, since nothing of it was sent; what is over, once on each device."""
    lines = [standing_line(person.name, PAUSED, None) for person in replica.reader.people() if person.stance == PAUSED]
    told = json.loads(replica.storage.meta(_TOLD_KEY) or "{}")
    now = {}
    for person in replica.reader.former():
        ended = replica.reader.ended(person)
        key = person.space.space_id.hex()
        now[key] = [person.stance, len(ended["by"]) if ended else 0]
        if now[key] != told.get(key):
            lines.append(standing_line(person.name, person.stance, ended))
    if now != told:
        with replica.storage.transaction():
            replica.storage.put_meta(_TOLD_KEY, json.dumps(now))
    for line in lines:
        shell.say(line)
