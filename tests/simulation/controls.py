"""Controls: switches that take one safety out of the real code. A simulation that can't fail proves nothing: for each of them a
test asserts that it then does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bide.replica.receiving
import bide_relay.rooms
import bide_relay.service
from bide.log.membership import Membership

DISKS = ("device acknowledges before commit", "relay acknowledges before commit")
"""These are done by the disks themselves."""


def _no_verification(module: Any) -> Callable[[], list[tuple[Any, str, Any]]]:
    return lambda: [(module, "verify_signature", lambda *_, **__: None)]


def _cursor_of_what_was_sent() -> list[tuple[Any, str, Any]]:
    """The relay remembers how far it has sent, by a number of its own, instead of asking how far the client has it."""
    sent: dict[frozenset[Any], dict[Any, int]] = {}
    real = bide_relay.rooms.Cursor

    class Remembering(real):  # type: ignore[misc, valid-type]
        __slots__ = ("_key",)

        def __init__(self, have: dict[Any, int]) -> None:
            # Devices know different logs first; their own set of logs is the nearest thing to a name that a cursor has.
            self._key = frozenset(have)
            known = sent.setdefault(self._key, {})
            super().__init__({log: max(seq, known.get(log, 0)) for log, seq in have.items()})

        def advance(self, log: Any, seq: int) -> None:
            super().advance(log, seq)
            known = sent[self._key]
            known[log] = max(seq, known.get(log, 0))

    import bide_relay.connection

    return [(bide_relay.connection, "Cursor", Remembering)]


def _old_epochs_stay() -> list[tuple[Any, str, Any]]:
    """Whatever epoch there is may be sealed under, whoever holds it."""
    return [(Membership, "eligible_epochs", lambda self: sorted(self.recipients))]


SAFETIES: dict[str, Callable[[], list[tuple[Any, str, Any]]]] = {
    **{name: list for name in DISKS},
    "relay verifies no signature": _no_verification(bide_relay.service),
    "device verifies no signature": _no_verification(bide.replica.receiving),
    "relay remembers what it sent": _cursor_of_what_was_sent,
    "removal mints no epoch": _old_epochs_stay,
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
