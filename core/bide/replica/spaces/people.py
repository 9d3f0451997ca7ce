"""The people whom I share with: what each is called here, what we are to each other, and whom a typed name means.

Imports nothing heavy: this is on the path of every ``bide timeline``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bide.entries.kinds import PERSON
from bide.entries.person import NAME_KEY, PARTNER, RELATION_KEY, RELATIONS
from bide.errors import InputError, NotFound
from bide.ids import SpaceId
from bide.log.leaving import Ending
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.stance import ENDED, LEFT, read_stances
from bide.storage.base import SpaceRecord, Storage

NAME_CHARS_MAX = 60
_NAMES_MAX = 6
"""How many names a hint lists."""


class Person(NamedTuple):
    """Somebody I share a space with."""

    name: str
    """Nobody else here is called that: a second Robin is ``Robin (2)``."""
    relation: str
    """One of `bide.entries.person.RELATIONS`."""
    space: SpaceRecord
    current: bool
    """False for a pairing that isn't finished, that broke off and was done anew, or that is over."""
    stance: str = ""
    """``paused``, ``left`` or ``ended``; empty while it goes on."""
    over: tuple[Ending, ...] = ()
    """Who ended it."""

    @property
    def former(self) -> bool:
        """Whether nothing is shared with them there any more, and something was."""
        return self.stance in (ENDED, LEFT)


def peer_name_key(space: SpaceId) -> str:
    """Where the name that the other person gave while pairing is kept."""
    return f"peer_name.{space.hex()}"


def joined_key(space: SpaceId) -> str:
    """Where it is kept that the other side said, while pairing, that it is in."""
    return f"joined.{space.hex()}"


def read_people(storage: Storage) -> list[Person]:
    """Everybody whom a pair space is shared with, in the order of pairing."""
    pairs = [space for space in storage.spaces() if space.kind == "pair"]
    said = {space.space_id: _said(storage, space) for space in pairs}
    names = {space.space_id: _own_word(storage, space, said[space.space_id]) for space in pairs}
    superseded = {space.space_id for at, space in enumerate(pairs) if _superseded(storage, space, pairs[at + 1 :], said, names)}
    over = {space.space_id: read_belonging(storage, space.space_id).over for space in pairs}
    stances: dict[SpaceId, str] = {}
    if pairs:
        ended = {space: ENDED for space, endings in over.items() if endings}
        told = read_stances(storage)
        stances = told | {space: ENDED for space in ended if told.get(space) != LEFT}
    gone = {space for space, stance in stances.items() if stance in (ENDED, LEFT)} | superseded
    current = [space.space_id for space in pairs if not space.pending and space.space_id not in gone]
    names |= _told_apart({space: (names[space], storage.meta(peer_name_key(space))) for space in current})
    return [
        Person(
            names[space.space_id],
            _relation(space, said[space.space_id]),
            space,
            space.space_id in current,
            stances.get(space.space_id, "") if space.space_id not in superseded else "",
            over[space.space_id],
        )
        for space in pairs
    ]


def _told_apart(names: Mapping[SpaceId, tuple[str, str]]) -> dict[SpaceId, str]:
    """A name for each that nobody else has.

    Args:
        names: what each is called now, and what they were called when we paired, in the order of pairing.
    """
    found: dict[SpaceId, str] = {}
    taken: set[str] = set()
    # Who takes on another name later can't take that of somebody else, nor what was meant for them.
    renamed = {space for space, (name, before) in names.items() if before and folded(name) != folded(before)}
    for space in sorted(names, key=renamed.__contains__):
        others = {folded(before) for other, (_, before) in names.items() if other != space} if space in renamed else set()
        found[space] = _unique(names[space][0], taken | others)
        taken.add(folded(found[space]))
    return found


def _said(storage: Storage, space: SpaceRecord) -> dict[int, Mapping[str, Any]]:
    """What each of the two says of themselves, by slot."""
    records = storage.hidden_entries(space.space_id, PERSON.name)
    return {record.slot: json.loads(record.body)["fields"] for record in records}


def _own_word(storage: Storage, space: SpaceRecord, said: Mapping[int, Mapping[str, Any]]) -> str:
    """What the other calls themselves. Until it arrives: what they said while pairing."""
    name = said.get(1 - space.slot, {}).get(NAME_KEY) or storage.meta(peer_name_key(space.space_id))
    return str(name)[:NAME_CHARS_MAX] or "?"


def _superseded(
    storage: Storage,
    space: SpaceRecord,
    later: Sequence[SpaceRecord],
    said: Mapping[SpaceId, Mapping[int, Mapping[str, Any]]],
    names: Mapping[SpaceId, str],
) -> bool:
    """Whether this is a pairing that the other never came to be in, and that was done anew."""
    if space.pending or 1 - space.slot in said[space.space_id] or storage.meta(joined_key(space.space_id)):
        return False
    name = folded(names[space.space_id])
    return any(not other.pending and folded(names[other.space_id]) == name for other in later)


def _unique(name: str, taken: set[str]) -> str:
    number, unique = 1, name
    while folded(unique) in taken:
        number += 1
        unique = f"{name} ({number})"
    return unique


def _relation(space: SpaceRecord, said: Mapping[int, Mapping[str, Any]]) -> str:
    """My own word for it, else the other's."""
    words = [str(said.get(slot, {}).get(RELATION_KEY, "")) for slot in (space.slot, 1 - space.slot)]
    return next((word for word in words if word in RELATIONS), PARTNER)


def folded(name: str) -> str:
    """A name to compare: capitals, spaces around it and how its accents are composed make no difference."""
    text = name.strip()
    if not text.isascii():
        import unicodedata

        text = unicodedata.normalize("NFKC", text)
    return text.casefold()


def find_person(people: Sequence[Person], typed: str) -> Person:
    """The one whom a name, or the beginning of one, means.

    Raises:
        NotFound: nobody.
        InputError: several.
    """
    wanted = folded(typed)
    by_name = {folded(person.name): person for person in people}
    if wanted in by_name:
        return by_name[wanted]
    fitting = [person for name, person in by_name.items() if wanted and name.startswith(wanted)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise InputError(
            "{name!r} fits more than one person.", hint="They are: {names}", name=typed[:40], names=listed(fitting)
        )
    from difflib import get_close_matches

    near = get_close_matches(wanted[:NAME_CHARS_MAX], by_name, n=1)
    if near:
        raise NotFound(
            "You don't share a space with anyone of that name.", hint="Did you mean {near}?", near=by_name[near[0]].name
        )
    raise NotFound("You don't share a space with anyone of that name.", hint="You share with: {names}", names=listed(people))


def listed(people: Sequence[Person]) -> str:
    """Names for a hint, the first few."""
    names = [person.name for person in people[:_NAMES_MAX]]
    return ", ".join(names) + (", …" if len(people) > len(names) else "")
