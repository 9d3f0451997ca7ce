"""What follows from a space's membership for whoever writes and sends, kept so that neither has to fold it again.

Imports nothing heavy: it is looked at before every event that is written.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from bide.ids import LogId, SpaceId
from bide.log.leaving import Ending, Erased
from bide.storage.base import Storage


class Belonging(NamedTuple):
    """Of one space; all empty while nobody was ever removed, everybody has every key, and nothing was ended or erased."""

    ended: dict[LogId, int] = {}  # noqa: RUF012 never changed
    """How far the log of each device counts that belongs no more."""
    needed: dict[LogId, int] = {}  # noqa: RUF012 never changed
    """How far these logs are passed on all the same."""
    mint: bool = False
    """No epoch that is held here goes to exactly the devices that belong: one is made before anything is sealed."""
    lacking: bool = False
    """A device lacks the secret of an epoch that is held here."""
    over: tuple[Ending, ...] = ()
    """Who ended the space; empty: it goes on."""
    erased: Erased = {}  # noqa: RUF012 never changed
    """The places whose bodies were erased."""


_NOTHING = Belonging()


def read_belonging(storage: Storage, space: SpaceId) -> Belonging:
    """What was last kept."""
    text = storage.meta(_key(space))
    if not text:
        return _NOTHING
    found = json.loads(text)
    ended, needed = ({LogId(bytes.fromhex(log)): seq for log, seq in found[name].items()} for name in ("ended", "needed"))
    over = tuple(Ending(day, LogId(bytes.fromhex(log)), seq, slot) for day, log, seq, slot in found.get("over", ()))
    erased = {LogId(bytes.fromhex(log)): tuple(map(tuple, spans)) for log, spans in found.get("erased", {}).items()}
    return Belonging(ended, needed, found["mint"], found["lacking"], over, erased)


def put_belonging(storage: Storage, space: SpaceId, belonging: Belonging) -> None:
    """Keep it. Inside a transaction."""
    text = ""
    if belonging != _NOTHING:
        logs = {"ended": belonging.ended, "needed": belonging.needed}
        found = {name: {log.hex(): seq for log, seq in sorted(seqs.items())} for name, seqs in logs.items()}
        over = [[end.day, end.log_id.hex(), end.seq, end.slot] for end in belonging.over]
        erased = {log.hex(): spans for log, spans in sorted(belonging.erased.items())}
        flags = {"mint": belonging.mint, "lacking": belonging.lacking}
        text = json.dumps({**found, **flags, "over": over, "erased": erased})
    if text != storage.meta(_key(space)):
        storage.put_meta(_key(space), text)


def _key(space: SpaceId) -> str:
    return f"belonging.{space.hex()}"
