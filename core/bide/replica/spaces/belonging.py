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
    """Of one space; all empty while nobody was ever removed, everybody has every key, nothing was ended or erased, and nobody
    has a recovery phrase.
    """

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
    on_paper: tuple[LogId, ...] = ()
    """The devices that are recovery phrases, those that count no more too."""
    recovered: tuple[LogId, ...] = ()
    """The devices that were brought in by a recovery phrase."""


_NOTHING = Belonging()
_LISTS = ("on_paper", "recovered")


def read_belonging(storage: Storage, space: SpaceId) -> Belonging:
    """What was last kept."""
    text = storage.meta(_key(space))
    if not text:
        return _NOTHING
    found = json.loads(text)
    ended, needed = ({LogId(bytes.fromhex(log)): seq for log, seq in found[name].items()} for name in ("ended", "needed"))
    over = tuple(Ending(day, LogId(bytes.fromhex(log)), seq, slot) for day, log, seq, slot in found.get("over", ()))
    erased = {LogId(bytes.fromhex(log)): tuple(map(tuple, spans)) for log, spans in found.get("erased", {}).items()}
    on_paper, recovered = (tuple(LogId(bytes.fromhex(log)) for log in found.get(name, ())) for name in _LISTS)
    return Belonging(ended, needed, found["mint"], found["lacking"], over, erased, on_paper, recovered)


def put_belonging(storage: Storage, space: SpaceId, belonging: Belonging) -> None:
    """Keep it. Inside a transaction."""
    text = ""
    if belonging != _NOTHING:
        logs = {"ended": belonging.ended, "needed": belonging.needed}
        found = {name: {log.hex(): seq for log, seq in sorted(seqs.items())} for name, seqs in logs.items()}
        over = [[end.day, end.log_id.hex(), end.seq, end.slot] for end in belonging.over]
        erased = {log.hex(): spans for log, spans in sorted(belonging.erased.items())}
        flags = {"mint": belonging.mint, "lacking": belonging.lacking}
        lists = {name: [log.hex() for log in getattr(belonging, name)] for name in _LISTS}
        text = json.dumps({**found, **flags, "over": over, "erased": erased, **lists})
    if text != storage.meta(_key(space)):
        storage.put_meta(_key(space), text)


def _key(space: SpaceId) -> str:
    return f"belonging.{space.hex()}"
