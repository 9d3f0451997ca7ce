"""Where a space is and where it was: what devices say of the relay that they use, and what is kept of relays that were left.

Said, sealed, in the entry that each person has of themselves in a space: ``device.LOG.relay`` holds the relay through which the
device of that log syncs this space, and ``device.relay`` the one to which the person moved it. A relay that was left is synced
with beside the new one until everybody has moved, and then asked to forget the space. Imports nothing heavy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bide.entries.kinds import PERSON
from bide.ids import LogId, SpaceId
from bide.replica.spaces.addresses import sound_address
from bide.replica.spaces.belonging import read_belonging
from bide.storage.base import SpaceRecord, Storage

MOVED_KEY = "device.relay"
"""The key of the relay to which a person moved a space."""
FORMERS_MAX = 4
"""Relays that a space was on before, and that are remembered. Who moves more often leaves the oldest as it is."""
ASKING_MAX_MS = 30 * 86_400_000
"""For how long a relay is asked to forget, counted from when nobody needs it any more."""
IN_USE, ASKED, GIVEN_UP, CANNOT = "in_use", "asked", "given_up", "cannot"
"""States of a relay that was left: synced with; asked to forget, which waits for the other person; not asked any more; of a
kind that can't be asked. The last two are not dialled again."""
_PAUSE_FIRST_MS = 60_000
_PAUSE_MAX_MS = 3_600_000


class Former(NamedTuple):
    """A relay that a space was on before."""

    url: str
    state: str = IN_USE
    ready_ms: int = 0
    """Since when nobody needs it any more, as far as is known here; 0: somebody may."""
    tried_ms: int = 0
    failures: int = 0
    """How often in a row it could not be had."""

    @property
    def over(self) -> bool:
        """Whether it is not dialled any more."""
        return self.state in (GIVEN_UP, CANNOT)

    def rests(self, now_ms: int) -> bool:
        """Whether one that could not be had need not be tried yet."""
        pause_ms = min(_PAUSE_MAX_MS, _PAUSE_FIRST_MS * 2 ** min(self.failures, 10)) if self.failures else 0
        return self.tried_ms <= now_ms < self.tried_ms + pause_ms


def relay_key(log: LogId) -> str:
    """The key under which a device says through which relay it syncs."""
    return f"device.{log.hex()}.relay"


def read_formers(storage: Storage, space: SpaceId) -> list[Former]:
    """The relays that a space was on before and that may still hold it, the last one first."""
    return [Former(*kept) for kept in json.loads(storage.meta(_formers_key(space)) or "[]")]


def put_formers(storage: Storage, space: SpaceId, formers: Sequence[Former]) -> None:
    """Keep them. Inside a transaction."""
    storage.put_meta(_formers_key(space), json.dumps(formers[:FORMERS_MAX]) if formers else "")


def offered(storage: Storage, space: SpaceRecord) -> str:
    """The relay to which the other person moved a space while this device has not; empty if there is none to follow."""
    if space.kind != "pair" or space.pending:
        return ""
    url = sound_address(_said(storage, space)[1 - space.slot].get(MOVED_KEY))
    return url if url != space.relay_url else ""


def due(storage: Storage, space: SpaceRecord) -> str:
    """The relay to which I moved a space on another device of mine, if that is news here; else empty."""
    if space.pending or space.log_id in read_belonging(storage, space.space_id).ended:
        return ""
    url = sound_address(_said(storage, space)[space.slot].get(MOVED_KEY))
    return url if url not in (space.relay_url, storage.meta(_followed_key(space.space_id))) else ""


def put_followed(storage: Storage, space: SpaceId, url: str) -> None:
    """Keep to which relay this device went after its person: what it is set to later stands. Inside a transaction."""
    storage.put_meta(_followed_key(space), url)


def place_to_say(storage: Storage, space: SpaceRecord) -> dict[str, str]:
    """What this device has to say of where it is, now that one of the two moved there; empty if it is said or nobody did."""
    said = _said(storage, space)
    key = relay_key(space.log_id)
    moved = space.relay_url and space.relay_url in (said[0].get(MOVED_KEY), said[1].get(MOVED_KEY))
    return {key: space.relay_url} if moved and said[space.slot].get(key) != space.relay_url else {}


def nobody_needs(storage: Storage, space: SpaceRecord, former: str) -> bool:
    """Whether everybody, by what they said, has left a relay: all devices of mine, and the other person with one at least."""
    said = _said(storage, space)
    belonging = read_belonging(storage, space.space_id)
    # A phrase on paper is on no relay, and says of none that it is: whoever uses it asks for the relay of the others.
    resting = belonging.ended.keys() | {*belonging.on_paper}
    members = [member for member in storage.members(space.space_id) if member.log_id not in resting]
    at = {member.log_id: said[member.slot].get(relay_key(member.log_id), "") for member in members}
    mine = [at[member.log_id] for member in members if member.slot == space.slot]
    theirs = [at[member.log_id] for member in members if member.slot != space.slot]
    here = space.relay_url
    return former not in at.values() and all(url == here for url in mine) and (not theirs or here in theirs)


def _said(storage: Storage, space: SpaceRecord) -> dict[int, Mapping[str, Any]]:
    """What each of the two says of themselves, by slot."""
    records = storage.hidden_entries(space.space_id, PERSON.name)
    return {0: {}, 1: {}, **{record.slot: json.loads(record.body)["fields"] for record in records}}


def _formers_key(space: SpaceId) -> str:
    return f"former_relays.{space.hex()}"


def _followed_key(space: SpaceId) -> str:
    return f"relay_followed.{space.hex()}"
