"""What the rooms beneath the facade need of a replica. `bide.replica.replica.Replica` is one, and they don't import it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bide.ids import Clock, Randomness, SpaceId
    from bide.replica.authoring.writing import Writer
    from bide.replica.views.reading import Reader
    from bide.storage.base import SpaceRecord, Storage


class ReplicaLike(Protocol):
    """One device's copy of everything, as far as whoever writes on its behalf has to know it."""

    name: str
    """What the person is called."""
    storage: Storage
    reader: Reader
    clock: Clock
    randomness: Randomness
    zone: str
    """IANA name of the person's time zone."""
    day_starts_min: int
    """Minutes after midnight at which their day begins."""

    @property
    def writer(self) -> Writer:
        """What writes events; the first use brings the heavy imports."""
        ...

    def spaces(self) -> list[SpaceRecord]:
        """All spaces, the own one first."""
        ...

    def resting(self) -> set[SpaceId]:
        """The spaces that don't sync: paused, or left quietly."""
        ...

    def adopt_relay(self, space: SpaceRecord) -> None:
        """Who has no relay keeps that of the person they joined."""
        ...
