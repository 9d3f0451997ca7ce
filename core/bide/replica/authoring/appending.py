"""The way into the log: an event is dated, sealed, signed, chained, stored and derived, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bide.crypto import sealing
from bide.entries.kinds import EventType
from bide.entries.records import Standing
from bide.errors import NotAllowed
from bide.ids import Clock, EntryId, Randomness
from bide.log.envelope import (
    ZERO_HASH,
    Envelope,
    EnvelopeClass,
    authenticated_prefix,
    parse_envelope,
    write_envelope,
)
from bide.log.event import Event, write_event
from bide.log.head import Head
from bide.replica.derivation.deriving import derive, stored
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.removal import NOT_LET_IN, NOT_LET_IN_HINT, is_out
from bide.replica.spaces.stance import LEFT, read_stances
from bide.replica.spaces.waiting import ASKED, go_on_key, is_short, short_key
from bide.storage.base import SpaceRecord, Storage, find_space

_DAY_MINUTES = 24 * 60
_STAYS = "What is here stays readable; bide export takes it along. To share again: bide pair"
_REMOVED = "This device was removed from the devices of this journal, so it can't write any more."
_REMOVED_HINT = "What is here stays readable. To go on with it: bide export"


class NotWhole(NotAllowed):
    """Nothing can be written in a space as long as the end of this device's own log there is missing."""


class Moment(NamedTuple):
    """When something was written, for what comes from elsewhere."""

    at_ms: int
    """Milliseconds since 1970 in UTC."""
    zone: str
    """IANA name of the writer's time zone."""
    day: str
    """The writer's day, ``YYYY-MM-DD``."""


class Appender:
    """Puts envelopes at the end of this device's own logs. Everything here is called inside a transaction."""

    def __init__(self, storage: Storage, *, clock: Clock, randomness: Randomness, zone: str, day_starts_min: int) -> None:
        self._storage = storage
        self._clock = clock
        self._randomness = randomness
        self._zone = zone
        self._day_starts_min = day_starts_min % _DAY_MINUTES

    def event(
        self, event_type: EventType, entry: EntryId, change: bytes, *, space: SpaceRecord, at: Moment | None = None
    ) -> None:
        """Seal, sign, chain, store and derive one event. The log's head is read inside the same transaction."""
        if at is None:
            now_ms = max(0, self._clock.now_ms())
            at = Moment(now_ms, self._zone, self._local_day(now_ms))
        event = Event(
            type=event_type.name,
            version=event_type.version,
            least_version=event_type.version,
            entry_id=entry,
            time_ms=at.at_ms,
            zone=at.zone,
            day=at.day,
            change=change,
            frontier=(),
        )
        envelope = self._seal(event, space=space)
        if self._storage.standing_of(space.space_id, envelope.log_id, envelope.seq) is not Standing.APPLIED:
            raise NotAllowed("That could not be written as it is; nothing was changed.")

    def again(self, event: Event, *, space: SpaceRecord) -> None:
        """Say once more what was taken out of a log: the same change, as it was dated. It need not count.

        Where the space has ended since, it was written without knowing that, and it says so: it builds on what it was built on.
        """
        self._seal(event, space=space, again=True)

    def _seal(self, event: Event, *, space: SpaceRecord, again: bool = False) -> Envelope:
        """Put an event at the end of this device's log, building on all that is here."""
        space = self._as_it_is_now(space, again=again)
        heads = self._storage.heads(space.space_id)
        if not again or not read_belonging(self._storage, space.space_id).over:
            event = event._replace(frontier=tuple(sorted(head for log, head in heads.items() if log != space.log_id)))
        epoch_secret = self._storage.epochs(space.space_id)[space.epoch_id]
        nonce = self._randomness.token(sealing.NONCE_BYTES)
        prefix = _prefix(space, heads, klass=EnvelopeClass.DATA, epoch_id=space.epoch_id, nonce=nonce)
        body = sealing.seal(
            write_event(event), secret=epoch_secret, log=space.log_id, nonce=nonce, associated=prefix + space.space_id
        )
        envelope = write_envelope(prefix, body, space=space.space_id, signing_seed=space.signing_seed)
        self._storage.append(space.space_id, stored(envelope))
        derive(self._storage, space.space_id, [parse_envelope(envelope.data)], slots={space.log_id: space.slot})
        return envelope

    def _as_it_is_now(self, space: SpaceRecord, *, again: bool = False) -> SpaceRecord:
        """The space with an epoch to seal under that every device has which belongs now, and no other.

        Looked at inside the transaction: meanwhile another process may have heard that a device was removed.

        Raises:
            NotAllowed: it was this device; or the space has ended, or was left.
        """
        require_whole(self._storage, space)
        belonging = read_belonging(self._storage, space.space_id)
        if space.log_id in belonging.ended:
            raise NotAllowed(_REMOVED, hint=_REMOVED_HINT)
        if belonging.over and not again:
            raise NotAllowed("This has ended, so nothing can be written in it any more.", hint=_STAYS)
        if space.kind == "pair" and read_stances(self._storage).get(space.space_id) == LEFT:
            raise NotAllowed("You have left this, so nothing is written in it any more.", hint=_STAYS)
        if belonging.mint:
            from bide.replica.authoring.admitting import mint_epoch  # folds the membership, which is heavy

            mint_epoch(self._storage, self, space, randomness=self._randomness)
        fresh = find_space(self._storage, space.space_id)
        if fresh.pending:
            raise NotAllowed(NOT_LET_IN, hint=NOT_LET_IN_HINT)
        return fresh

    def control(self, body: bytes, *, space: SpaceRecord) -> Envelope:
        """Sign, chain and store a control payload. Inside a transaction; the caller brings members up to date."""
        require_whole(self._storage, space)
        heads = self._storage.heads(space.space_id)
        prefix = _prefix(space, heads, klass=EnvelopeClass.CONTROL, epoch_id=bytes(16), nonce=bytes(24))
        envelope = write_envelope(prefix, body, space=space.space_id, signing_seed=space.signing_seed)
        self._storage.append(space.space_id, stored(envelope))
        return envelope

    def _local_day(self, now_ms: int) -> str:
        try:
            zone: ZoneInfo | timezone = ZoneInfo(self._zone)
        except (ZoneInfoNotFoundError, ValueError):
            zone = UTC
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=now_ms)
        # The day begins when the person's does: an entry at two in the morning belongs to the evening before.
        return (moment.astimezone(zone).replace(tzinfo=None) - timedelta(minutes=self._day_starts_min)).date().isoformat()


def require_whole(storage: Storage, space: SpaceRecord) -> None:
    """Whoever has lost the end of their own log must not write at its place anew: others may have what was there.

    Raises:
        NotWhole: that is so, until it has come back or nobody can have it. Who is known to be removed waits for nothing.
    """
    if not is_short(storage, space.space_id):
        return
    if is_out(storage, space):
        raise NotWhole(_REMOVED, hint=_REMOVED_HINT)
    if not storage.meta(short_key(space.space_id)).endswith(ASKED):
        raise NotWhole(
            "This home was mended, and has to ask the relay for what is missing before anything can be written.",
            hint="Run: bide sync",
        )
    if storage.meta(go_on_key(space.space_id)):
        raise NotWhole(
            "Something that was written here was lost. The next sync goes on without it; before that nothing can be written.",
            hint="Run: bide sync",
        )
    raise NotWhole(
        "Something that was written here was lost, and no relay has it; another device may, so nothing can be written"
        " before it has come back.",
        hint="It comes with: bide sync, once that device has synced. To go on without it: bide doctor --repair",
    )


def _prefix(space: SpaceRecord, heads: Mapping[Any, Head], *, klass: EnvelopeClass, epoch_id: bytes, nonce: bytes) -> bytes:
    head = heads.get(space.log_id)
    return authenticated_prefix(
        klass=klass,
        log_id=space.log_id,
        seq=head.seq + 1 if head else 1,
        prev_hash=head.hash if head else ZERO_HASH,
        epoch_id=epoch_id,
        nonce=nonce,
    )
