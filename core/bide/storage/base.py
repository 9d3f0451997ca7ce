"""The storage contract of a replica. One conformance suite (tests/contracts) holds every implementation to it.

What is kept falls in two parts. The *truth*: spaces with this device's keys, epoch secrets, the envelopes of every log, and
how much of them the relay has acknowledged. And what is *derived* from it and can be dropped at any time: devices, events,
entries, quarantine, citations.

Every write happens inside `transaction`: all or none, one writer at a time across processes, durable when it returns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from bide.entries.records import EntryRecord, EventRecord, Standing
from bide.errors import Phrase
from bide.ids import DeviceId, EntryId, LogId, SpaceId
from bide.log.head import Head


class SpaceRecord(NamedTuple):
    """A space that this device is in, with the device's own secrets for it."""

    space_id: SpaceId
    kind: str
    """``own`` or ``pair``."""
    slot: int
    log_id: LogId
    signing_seed: bytes
    sealing_secret: bytes
    epoch_id: bytes
    """The epoch to seal under."""
    relay_url: str
    """Empty: none."""
    pending: bool
    """Pairing was confirmed here, and the founding device has not yet been seen to admit this one."""


class MemberRecord(NamedTuple):
    """A device of a space, derived from its control envelopes."""

    space_id: SpaceId
    log_id: LogId
    device_id: DeviceId
    slot: int


class StoredEnvelope(NamedTuple):
    """One envelope of a log, with what is needed to find it."""

    log_id: LogId
    seq: int
    hash: bytes
    control: bool
    data: bytes


class Displaced(NamedTuple):
    """An envelope that was taken out of this device's own log, since another copy of the home had written in its place."""

    space_id: SpaceId
    envelope: StoredEnvelope
    waiting: bool
    """What it says was not said again yet."""


class FormerDevice(NamedTuple):
    """What this home wrote with in a space before it went on in a new log."""

    space_id: SpaceId
    log_id: LogId
    signing_seed: bytes
    sealing_secret: bytes


class Quarantined(NamedTuple):
    """An envelope that could not be understood: kept, named, and left alone."""

    space_id: SpaceId
    log_id: LogId
    seq: int
    reason: str


class Citation(NamedTuple):
    """The furthest entry of a log that another device's log says it had: what a relay showed that device."""

    log_id: LogId
    """The log that is cited."""
    by_log: LogId
    """By which device's log."""
    slot: int
    """Whose device that is."""
    seq: int
    hash: bytes
    """What that device had at this place."""
    by_seq: int
    """Where in its log it says so."""


class Suspect(NamedTuple):
    """An envelope that was being taken in when a process died."""

    space_id: SpaceId
    log_id: LogId
    seq: int
    entry_id: EntryId | None = None
    """The entry that it is about; None: not known before it is here again."""
    set_aside: bool = False
    """It was tried apart, and stops a process: it is kept, and not taken in. False: to be tried first."""


class HeldRecord(NamedTuple):
    """Something that was written and waits on this device before it goes into the log."""

    held_id: EntryId
    """The id that a new entry will get; of anything else one of its own."""
    space_id: SpaceId
    deed: str
    """JSON: what is to be done, with its words; see `bide.replica.authoring.holding`."""
    held_ms: int
    """When it was held, by this device's clock."""
    due_ms: int
    """When it is to go."""
    waits_for: EntryId | None = None
    """The entry that has to arrive on this device first."""
    hindrance: str = ""
    """Why it could not go when it was due, as a code; empty: nothing is known to be in its way."""


class EntryQuery(NamedTuple):
    """Which entries to read. Unset fields don't restrict."""

    space_id: SpaceId | None = None
    kinds: tuple[str, ...] = ()
    since_day: str = ""
    until_day: str = ""
    authors: tuple[tuple[SpaceId, int], ...] | None = None
    words: tuple[str, ...] = ()
    """Folded; an entry fits if it or a reply to it contains every one of them."""
    limit: int = 0
    """The newest so many; 0: all."""


class Storage(Protocol):
    """Where a replica lives."""

    def transaction(self) -> AbstractContextManager[None]:
        """Begin to write. Leaving normally commits durably; leaving by an exception undoes everything.

        Inside another one it is a part of that one: nothing is committed before the outermost ends.

        Raises:
            StorageBusy: another process kept writing for too long.
        """
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Begin to read: inside, all is as it is now, whatever other processes write meanwhile. Nothing is written inside."""
        ...

    def close(self) -> None:
        """Let go of the database."""
        ...

    # The truth

    def meta(self, key: str) -> str:
        """A small value of this replica; empty if unset."""
        ...

    def put_meta(self, key: str, value: str) -> None:
        """Set a small value."""
        ...

    def spaces(self) -> list[SpaceRecord]:
        """All spaces, the own space first, then in order of creation."""
        ...

    def put_space(self, space: SpaceRecord) -> None:
        """Add a space, or change its epoch, relay or pending; an active space never becomes pending again."""
        ...

    def replace_device(self, space: SpaceRecord) -> None:
        """Give this device another log and other keys in a space that is here. All else of the space stays as it is."""
        ...

    def former_devices(self, space: SpaceId) -> list[FormerDevice]:
        """What this home wrote with in a space before, the latest last."""
        ...

    def put_former_device(self, former: FormerDevice) -> None:
        """Keep it, once for each log."""
        ...

    def remove_former_device(self, space: SpaceId, log: LogId) -> None:
        """Forget its keys."""
        ...

    def remove_space(self, space: SpaceId) -> None:
        """Forget a space and all that belongs to it."""
        ...

    def epochs(self, space: SpaceId) -> dict[bytes, bytes]:
        """Epoch id to secret."""
        ...

    def put_epoch(self, space: SpaceId, epoch_id: bytes, secret: bytes) -> None:
        """Keep an epoch secret."""
        ...

    def append(self, space: SpaceId, envelope: StoredEnvelope) -> bool:
        """Put an envelope at the end of its log.

        Returns:
            False if it was there already.

        Raises:
            SequenceGap: it does not follow directly.
            ForkDetected: another one stands in its place; that one stays.
        """
        ...

    def displace(self, space: SpaceId, log: LogId, seq: int) -> list[StoredEnvelope]:
        """Take what follows `seq` out of a log. It is kept apart for good, waiting; what is derived from it is left alone.

        A log that ends before `seq` stays as it is.

        Returns:
            What was taken out, in order.
        """
        ...

    def displaced(self, space: SpaceId, *, waiting: bool = False) -> list[Displaced]:
        """What was taken out of logs, in the order in which that happened; only what waits, if asked for."""
        ...

    def settle_displaced(self, space: SpaceId, *, only: bytes = b"") -> None:
        """All of it, or only what has this hash, was said again or needs not be: it waits no more, and bodies of data go."""
        ...

    def bare_displaced(self, space: SpaceId, digest: bytes) -> None:
        """What was taken out of a log and has this hash was said again: only its header is kept, unless it is a statement."""
        ...

    def heads(self, space: SpaceId) -> dict[LogId, Head]:
        """The head of every log of which something is here."""
        ...

    def envelope(self, space: SpaceId, log: LogId, seq: int) -> StoredEnvelope | None:
        """One envelope."""
        ...

    def envelopes_after(self, space: SpaceId, log: LogId, seq: int, *, bytes_max: int, count_max: int) -> list[StoredEnvelope]:
        """What follows `seq` in a log, in order: at least one if there is one, then as many as fit."""
        ...

    def controls(self, space: SpaceId) -> list[StoredEnvelope]:
        """All control envelopes of a space."""
        ...

    def erase_bodies(self, space: SpaceId, log: LogId, first: int, last: int) -> list[int]:
        """Keep only the headers of the data envelopes from `first` to `last`. Returns the numbers of those that had a body."""
        ...

    def fill_body(self, space: SpaceId, envelope: StoredEnvelope) -> bool:
        """Put a whole envelope where the same one stands without its body. False: there is no such."""
        ...

    def bare(self, space: SpaceId) -> list[tuple[LogId, int]]:
        """The places of the data envelopes that are here without their body, in order."""
        ...

    def relay_heads(self, space: SpaceId) -> dict[LogId, Head]:
        """How much of each log the relay has acknowledged."""
        ...

    def put_relay_head(self, space: SpaceId, head: Head) -> None:
        """Note what the relay has; may go down after the relay lost something."""
        ...

    def put_beside(self, space: SpaceId, envelope: StoredEnvelope) -> None:
        """Keep an entry of another past of somebody else's log than the one that stands here. Once."""
        ...

    def remove_beside(self, space: SpaceId, digest: bytes) -> None:
        """What is kept beside and has this hash is of no past that anybody goes on with.

        A statement counts among what was taken out of a log from now on, since something may build on it.
        """
        ...

    def beside(self, space: SpaceId) -> list[StoredEnvelope]:
        """All such entries, by log and number."""
        ...

    def put_evidence(self, space: SpaceId, header: bytes) -> None:
        """Keep the signed header of an entry that contradicts the one here: proof of a fork."""
        ...

    def evidence(self, space: SpaceId) -> list[bytes]:
        """All such headers, 204 bytes each."""
        ...

    def put_contradiction(self, space: SpaceId, citation: Citation) -> None:
        """Keep that a device had something else at a place than what is here. The first of each two logs stays."""
        ...

    def contradictions(self, space: SpaceId) -> list[Citation]:
        """All such, by (log, citing log)."""
        ...

    # What may stop a process

    def begin_applying(self, space: SpaceId, places: Sequence[tuple[LogId, int]], *, durable: bool) -> None:
        """Note what is taken in from now on: in a way that outlives this process, though the transaction does not.

        The note holds until the outermost transaction ends, or the next note. Whoever begins a transaction after a process died
        at one finds its envelopes among the suspects. Inside a transaction.

        Args:
            space: of which space.
            places: log and number of each envelope.
            durable: so that it outlives the machine, too.
        """
        ...

    def suspects(self, space: SpaceId) -> list[Suspect]:
        """What was being taken in when a process died, and is not cleared of it, by (log, seq)."""
        ...

    def put_suspect(self, suspect: Suspect) -> None:
        """Add or replace one, by (space, log, seq)."""
        ...

    def remove_suspect(self, suspect: Suspect) -> None:
        """It was cleared, or is to be looked at again."""
        ...

    # What is held back on this device

    def put_held(self, held: HeldRecord) -> None:
        """Add or replace what is held, by its id."""
        ...

    def held(self, held_id: EntryId) -> HeldRecord | None:
        """One of the things held."""
        ...

    def remove_held(self, held_id: EntryId) -> None:
        """Let go of it here."""
        ...

    def outbox(self) -> list[HeldRecord]:
        """All that is held, what goes first before the rest."""
        ...

    def outbox_due(self) -> int | None:
        """When the first of it goes that nothing hinders; None: nothing of the kind is held."""
        ...

    # Derived from it

    def members(self, space: SpaceId) -> list[MemberRecord]:
        """The devices of a space in order of admission."""
        ...

    def put_member(self, member: MemberRecord) -> None:
        """Note a device."""
        ...

    def remove_member(self, space: SpaceId, log: LogId) -> None:
        """No control envelope that is here admits it any more."""
        ...

    def put_event(self, event: EventRecord) -> None:
        """Add or replace an event, by (space, log, seq)."""
        ...

    def remove_event(self, space: SpaceId, log: LogId, seq: int) -> None:
        """Take an event out of what is derived; its envelope stays."""
        ...

    def remove_quarantine(self, space: SpaceId, log: LogId, seq: int) -> None:
        """It is to be looked at again."""
        ...

    def event(self, space: SpaceId, log: LogId, seq: int) -> EventRecord | None:
        """One event."""
        ...

    def events(self, space: SpaceId, entry: EntryId) -> list[EventRecord]:
        """All events of an entry, by (log, seq)."""
        ...

    def events_of_type(self, space: SpaceId, name: str) -> list[EventRecord]:
        """All events of a type, by (entry, log, seq)."""
        ...

    def entries_standing(self, space: SpaceId, standing: Standing) -> list[EntryId]:
        """The entries that have an event of that standing, by id."""
        ...

    def log_events(self, space: SpaceId, log: LogId, seq: int) -> Iterator[tuple[int, EntryId, tuple[Head, ...]]]:
        """(seq, entry, frontier) of the events of a log up to `seq`, in order."""
        ...

    def all_events(self, space: SpaceId) -> Iterator[EventRecord]:
        """Every event of a space, by log and number."""
        ...

    def places(self, entries: Sequence[EntryId]) -> dict[tuple[SpaceId, EntryId], dict[LogId, int]]:
        """For each entry with one of these ids the highest seq of an event of it in each log."""
        ...

    def standing_of(self, space: SpaceId, log: LogId, seq: int) -> Standing | None:
        """What became of one event."""
        ...

    def standing_counts(self, space: SpaceId) -> dict[Standing, int]:
        """How many events have which standing."""
        ...

    def put_quarantine(self, item: Quarantined) -> None:
        """Note an envelope that could not be understood."""
        ...

    def quarantine(self, space: SpaceId) -> list[Quarantined]:
        """Everything set aside."""
        ...

    def citations(self, space: SpaceId) -> dict[tuple[LogId, int], int]:
        """(log, slot) to the highest seq of that log that an event by that person's devices cites."""
        ...

    def cited(self, space: SpaceId) -> list[Citation]:
        """The furthest citation of each log by each other, by (log, citing log)."""
        ...

    def put_citation(self, space: SpaceId, citation: Citation) -> None:
        """Note how far a device has a log; never goes down."""
        ...

    def remove_citations(self, space: SpaceId, by_log: LogId) -> None:
        """Forget what a log cites."""
        ...

    def put_entry(self, entry: EntryRecord) -> None:
        """Add or replace an entry and its search text."""
        ...

    def remove_entry(self, space: SpaceId, entry: EntryId) -> None:
        """Take an entry out of the read model."""
        ...

    def entry(self, space: SpaceId, entry: EntryId) -> EntryRecord | None:
        """One entry."""
        ...

    def entries_with_id(self, entry: EntryId) -> list[EntryRecord]:
        """The entries with this id, by space. One, unless somebody took over an id that they knew from elsewhere."""
        ...

    def find_entries(self, code: str) -> list[EntryRecord]:
        """Entries of any kind but ``person`` whose short code begins with `code`, by code, at most a handful."""
        ...

    def entries(self, query: EntryQuery) -> list[EntryRecord]:
        """Shown entries that fit, oldest first."""
        ...

    def hidden_entries(self, space: SpaceId, kind: str) -> list[EntryRecord]:
        """Entries of a kind that never stands in the timeline."""
        ...

    def replies(self, entries: Sequence[EntryId]) -> list[EntryRecord]:
        """Replies to any of these, oldest first."""
        ...

    def count_entries(self, space: SpaceId) -> int:
        """How many entries of a space are shown."""
        ...

    def all_entries(self, space: SpaceId) -> Iterator[EntryRecord]:
        """Every entry of a space, hidden ones too, by id."""
        ...

    def forget_removed(self) -> None:
        """Keep nothing, in the search index either, of entries that were removed or changed."""
        ...

    def clear_derived(self) -> None:
        """Drop everything that is derived."""
        ...

    def check(self) -> list[Phrase]:
        """Look for damage. One sentence each; empty if sound."""
        ...


def find_space(storage: Storage, space: SpaceId) -> SpaceRecord:
    """A space that is here, as it is now: a sync or another process may have changed it.

    Raises:
        LookupError: it is not here.
    """
    for found in storage.spaces():
        if found.space_id == space:
            return found
    raise LookupError("There is no such space here.")


def find_own_space(storage: Storage) -> SpaceRecord:
    """The space that this person shares with nobody: every replica has one."""
    return next(space for space in storage.spaces() if space.kind == "own")
