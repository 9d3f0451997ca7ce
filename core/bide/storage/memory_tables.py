"""The tables of a replica in memory."""

from __future__ import annotations

import copy

from bide.entries.records import EntryRecord, EventRecord
from bide.ids import EntryId, LogId, SpaceId
from bide.log.head import Head
from bide.storage.base import (
    Citation,
    Displaced,
    FormerDevice,
    HeldRecord,
    MemberRecord,
    Quarantined,
    SpaceRecord,
    StoredEnvelope,
    Suspect,
)


class Tables:
    """Everything that a transaction must be able to undo. Values are immutable, so copying the dictionaries is enough."""

    def __init__(self) -> None:
        self.meta: dict[str, str] = {}
        self.spaces: dict[SpaceId, SpaceRecord] = {}
        self.epochs: dict[SpaceId, dict[bytes, bytes]] = {}
        self.logs: dict[tuple[SpaceId, LogId], tuple[StoredEnvelope, ...]] = {}
        self.relay_heads: dict[tuple[SpaceId, LogId], Head] = {}
        self.evidence: dict[tuple[SpaceId, bytes], bytes] = {}
        self.displaced: dict[tuple[SpaceId, LogId, bytes], Displaced] = {}
        self.beside: dict[tuple[SpaceId, LogId, bytes], StoredEnvelope] = {}
        self.formers: dict[tuple[SpaceId, LogId], FormerDevice] = {}
        self.suspects: dict[tuple[SpaceId, LogId, int], Suspect] = {}
        self.held: dict[EntryId, HeldRecord] = {}
        self.members: dict[tuple[SpaceId, LogId], MemberRecord] = {}
        self.events: dict[tuple[SpaceId, LogId, int], EventRecord] = {}
        self.entries: dict[tuple[SpaceId, EntryId], EntryRecord] = {}
        self.contradictions: dict[tuple[SpaceId, LogId, LogId], Citation] = {}
        self.citations: dict[tuple[SpaceId, LogId, LogId], Citation] = {}
        self.quarantine: dict[tuple[SpaceId, LogId, int], Quarantined] = {}

    def copy(self) -> Tables:
        """Another one with the same in it."""
        twin = Tables()
        for name, table in vars(self).items():
            setattr(twin, name, copy.copy(table))
        twin.epochs = {space: dict(epochs) for space, epochs in self.epochs.items()}
        return twin
