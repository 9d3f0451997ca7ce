"""Controls: switches that take one safety out of the real code. A simulation that can't fail proves nothing: for each of them a
test asserts that it then does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import bide.log.chain
import bide.replica.joining.recovering
import bide.replica.sync.bundles
import bide.replica.sync.receiving
import bide_cli.syncing.moving
import bide_relay.service
from bide.errors import ForkDetected
from bide.ids import DeviceId, LogId, SpaceId
from bide.log.chain import Place
from bide.log.envelope import Envelope
from bide.log.head import Head
from bide.log.membership import Membership
from bide.replica.replica import Replica
from bide.replica.sync.receiving import Receiver
from bide_relay.connection import DeviceConnection
from bide_relay.rooms import Cursor, Room
from bide_relay.storage.base import Entry

DISKS = ("device acknowledges before commit", "relay acknowledges before commit")
"""These are done by the disks themselves."""
FORKS = "nobody looks for forks"
"""Shows something only where homes are copied or put back."""


def _no_verification(module: Any) -> Callable[[], list[tuple[Any, str, Any]]]:
    return lambda: [(module, "verify_signature", lambda *_, **__: None)]


def _cursor_of_what_was_sent() -> list[tuple[Any, str, Any]]:
    """The relay remembers by itself how far it has sent to each device, instead of asking how far the device has each log."""
    sent: dict[tuple[SpaceId, DeviceId], dict[LogId, int]] = {}
    welcome, put = DeviceConnection._welcome, DeviceConnection._put

    async def welcome_back(self: DeviceConnection, room: Room) -> None:
        await welcome(self, room)
        assert self._cursor is not None  # the welcome ends with it
        for log, seq in sent.setdefault((self._space, self.device), {}).items():
            self._cursor.advance(log, seq)

    def put_and_remember(self: DeviceConnection, cursor: Cursor, entries: list[Entry]) -> None:
        put(self, cursor, entries)
        sent[self._space, self.device].update({log: seq for log, seq, _ in entries})

    return [(DeviceConnection, "_welcome", welcome_back), (DeviceConnection, "_put", put_and_remember)]


def _no_fork_check() -> list[tuple[Any, str, Any]]:
    """Nobody looks whether an entry goes on from the end of its log, or is the one that is known at its place."""
    real = bide.log.chain.place

    def place_anyhow(head: Head, envelope: Envelope) -> Place:
        try:
            return real(head, envelope)
        except ForkDetected:
            return Place.NEXT

    def is_known(_self: Receiver, envelope: Envelope, head: Head, _fresh: Sequence[Envelope]) -> bool:
        return place_anyhow(head, envelope) is Place.KNOWN

    return [
        (bide.replica.sync.receiving, "place", place_anyhow),
        (bide_relay.service, "place", place_anyhow),
        (bide_relay.service._Judge, "_recognize", lambda *_: None),
        (Receiver, "_is_known", is_known),
    ]


def _old_epochs_stay() -> list[tuple[Any, str, Any]]:
    """Whatever epoch there is may be sealed under, whoever holds it."""
    return [(Membership, "eligible_epochs", lambda self: sorted(self.recipients))]


def _nobody_is_removed() -> list[tuple[Any, str, Any]]:
    """Who comes back by the words lets the other devices be."""
    return [(bide.replica.joining.recovering, "_remove_others", lambda *_: 0)]


def _files_count_as_they_are() -> list[tuple[Any, str, Any]]:
    """Nobody looks at the sum at the end of a bundle file."""

    def end(self: Any, _body: bytes) -> None:
        self.ended = True

    return [(bide.replica.sync.bundles._Records, "_end", end)]


def _nobody_is_waited_for() -> list[tuple[Any, str, Any]]:
    """A relay that was left is asked to forget at once, whoever still needs it."""
    return [(bide_cli.syncing.moving, "nobody_needs", lambda *_: True)]


def _nothing_rests() -> list[tuple[Any, str, Any]]:
    """What was left quietly is synced like everything."""
    return [(Replica, "resting", lambda _: set())]


SAFETIES: dict[str, Callable[[], list[tuple[Any, str, Any]]]] = {
    **dict.fromkeys(DISKS, list),
    "relay verifies no signature": _no_verification(bide_relay.service),
    "device verifies no signature": _no_verification(bide.replica.sync.receiving),
    "relay remembers what it sent": _cursor_of_what_was_sent,
    "removal mints no epoch": _old_epochs_stay,
    FORKS: _no_fork_check,
    "a recovery removes nobody": _nobody_is_removed,
    "bundle files are not summed up": _files_count_as_they_are,
    "a relay forgets before all have moved": _nobody_is_waited_for,
    "what was left quietly is synced": _nothing_rests,
}
"""What is taken out, and how."""


class Controls:
    """What is taken out in one world."""

    def __init__(self, names: tuple[str, ...]) -> None:
        unknown = set(names) - SAFETIES.keys()
        if unknown:
            raise ValueError(f"no such control: {', '.join(sorted(unknown))}")
        self.names = names

    def has(self, name: str) -> bool:
        return name in self.names

    def take_out(self) -> Callable[[], None]:
        """Take the safeties out; what is returned puts them back."""
        doors = [door for name in self.names for door in SAFETIES[name]()]
        before = [(where, name, getattr(where, name)) for where, name, _ in doors]
        for where, name, instead in doors:
            setattr(where, name, instead)

        def put_back() -> None:
            for where, name, real in before:
                setattr(where, name, real)

        return put_back
