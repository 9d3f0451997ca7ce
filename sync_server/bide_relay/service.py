"""The rules of the relay: who may found a space, and which envelopes are admitted. No clock, no thread, no socket.

A batch is judged against a `SpaceState`: the membership and the heads of one space as far as envelopes were *admitted*,
which may be a moment ahead of what is stored. One thread owns all states (see `committer`).

What is checked, and against what:

* the form of each envelope, its place in its log's chain, and that its author is a member at this point;
* that it counts: nothing more is taken of a device that was removed, except what a change of membership in the same batch
  follows on, since a removal stands whoever made it;
* each control envelope's signature and the rules of membership, one by one;
* the signature of the last data envelope of each log in the batch: it vouches for the chain beneath it.

So every envelope that is admitted is vouched for by a checked signature in the same batch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from bide.errors import BideError, EnvelopeRejected, ForkDetected, StorageError
from bide.ids import DeviceId, LogId, SpaceId
from bide.log.chain import Head, Place, empty_head, head_of, place
from bide.log.envelope import (
    HEADER_BYTES,
    LOG_ID_AT,
    SIGNED_BYTES,
    Envelope,
    EnvelopeClass,
    entry_hash,
    parse_envelope,
    verify_signature,
)
from bide.log.leaving import Erased, is_erased
from bide.log.membership import Membership, fold
from bide_relay.errors import InviteRequired, NotAMember, QuotaReached, RevokedLog, SpaceForgotten
from bide_relay.settings import Settings
from bide_relay.storage.base import Batch, Storage, Stretch

_CLASS_AT = 4
_SEQ_AT = slice(24, 32)
Header = Callable[[LogId, int], bytes | None]
"""Looks up the first 204 bytes of a stored envelope."""
IsBare = Callable[[LogId, int], bool]
"""Looks up whether a stored envelope lacks its body."""


class Milestone(NamedTuple):
    """A control envelope's place. Sent in the order of admission, each comes after all that it builds on."""

    log_id: LogId
    seq: int


@dataclass(slots=True)
class SpaceState:
    """One space as far as its envelopes were admitted."""

    membership: Membership
    heads: dict[LogId, Head]
    milestones: list[Milestone]
    """Of every control envelope, in the order of admission."""
    entries: int
    bytes: int
    pending: dict[tuple[LogId, int], Envelope] = field(default_factory=dict)
    """Admitted and not stored yet."""
    erased: Erased = field(default_factory=dict)
    """Where bodies are dropped before they are stored."""
    stale: bool = False
    """Storing failed: what was admitted is not there, and the state must be loaded again."""
    leaving: set[int] = field(default_factory=set)
    """The slots of those who asked that the space be forgotten here, as long as their wish stands."""
    gone: bool = False
    """Everybody in the space asked for that, and it was deleted: nothing is taken any more, whoever holds this state."""

    @property
    def space(self) -> SpaceId:
        """The space's id."""
        return self.membership.space

    def roster(self) -> Roster:
        """Who is in the space now."""
        devices = self.membership.devices
        members = frozenset(device.id for device in self.membership.active_devices())
        revoked = frozenset(device.id for device in devices.values()) - members
        return Roster(tuple(devices), members, revoked, tuple(self.milestones))


class Roster(NamedTuple):
    """Who is in a space, as the sending side needs it."""

    order: tuple[LogId, ...]
    """Logs in the order of their devices' admission."""
    members: frozenset[DeviceId]
    revoked: frozenset[DeviceId]
    """Those who were, and are not any more."""
    milestones: tuple[Milestone, ...]


class Admission(NamedTuple):
    """What a batch comes to."""

    envelopes: list[Envelope]
    """To be stored, in this order."""
    stored: dict[LogId, Head]
    """What to acknowledge once they are: how far each log of the batch is here, as far as the batch shows it."""
    membership_changed: bool
    refusal: BideError | None
    """Why the rest of the batch was refused."""
    fills: Sequence[Envelope] = ()
    """Whole ones of what is stored without its body."""
    erased: Sequence[Stretch] = ()
    """Whose bodies are to go."""


def load_state(storage: Storage, space: SpaceId) -> SpaceState | None:
    """The state of a stored space, or None if there is no such space.

    Raises:
        MembershipRejected: what is stored makes no membership: the storage is damaged.
    """
    heads = dict(storage.heads(space))
    if not heads:
        return None
    membership, milestones = replay([parse_envelope(data) for data in storage.controls(space)], space)
    usage = storage.usage(space)
    erased, leaving = membership.erased(), storage.leaving(space)
    return SpaceState(membership, heads, milestones, usage.entries, usage.bytes, erased=erased, leaving=leaving)


def replay(controls: Sequence[Envelope], space: SpaceId) -> tuple[Membership, list[Milestone]]:
    """Fold control envelopes given in any order, and say in which order they were folded.

    Raises:
        MembershipRejected: they form no membership.
        EnvelopeRejected: a signature is wrong.
    """
    membership, order = fold(space, controls)
    return membership, [Milestone(envelope.log_id, envelope.seq) for envelope in order]


def invite_digest(token: str) -> bytes:
    """What is kept of an invite token, 32 bytes."""
    return hashlib.blake2b(token.encode(), digest_size=32, person=b"bide.invite").digest()


def found_space(storage: Storage, settings: Settings, *, space: SpaceId, genesis: bytes, invite: str) -> None:
    """Admit a new space, or find that it is here already. Durable on return.

    Raises:
        InviteRequired: registration is by invite, and there was none.
        InviteSpent: the invite admits no more.
        EnvelopeRejected: the founding envelope is malformed or carries a wrong signature.
        MembershipRejected: it does not found this space.
        ForkDetected: the space is here with another beginning.
    """
    envelope = parse_envelope(genesis)
    Membership.found(space, envelope)
    digest = None
    if settings.registration == "invite":
        if not invite:
            raise InviteRequired
        digest = invite_digest(invite)
    if not storage.found(space, envelope, invite=digest):
        here = storage.header(space, envelope.log_id, 1)
        if here is None or entry_hash(here[:SIGNED_BYTES]) != envelope.hash:
            raise ForkDetected(evidence=here or b"")


def forget(storage: Storage, state: SpaceState, device: DeviceId, *, day: int) -> bool:
    """Note that a device's person needs the space here no more; when everybody has said so, it is gone. Durable on return.

    Returns:
        Whether it is gone.

    Raises:
        NotAMember: the device does not belong to the space, or no more.
        SpaceForgotten: it is gone already.
    """
    if state.gone:
        raise SpaceForgotten
    active = state.membership.active_devices()
    slot = next((each.slot for each in active if each.id == device), None)
    if slot is None:
        raise NotAMember
    state.gone = storage.forget(state.space, slot, of={each.slot for each in active}, day=day)
    state.leaving.add(slot)
    return state.gone


def stay(storage: Storage, state: SpaceState, device: DeviceId) -> None:
    """A device has come: if its person wished the space to be forgotten, they need it again. Durable on return.

    Who only comes to ask once more does so at the end of the same connection.
    """
    slot = next((each.slot for each in state.membership.active_devices() if each.id == device), None)
    if slot in state.leaving and not state.gone:
        storage.stay(state.space, slot)
        state.leaving.discard(slot)


def admit(state: SpaceState, batch: Sequence[bytes], *, settings: Settings, header: Header, is_bare: IsBare) -> Admission:
    """Judge a batch, and advance `state` by what is admitted.

    Args:
        state: of the batch's space; not stale.
        batch: envelopes as they came, each log's in order.
        settings: for the quota.
        header: looks up what is stored of this space, for entries that came again.
        is_bare: whether what is stored at a place lacks its body.

    Raises:
        StorageError: `header` failed: that is nobody's fault but the relay's.
    """
    judge = _Judge(state, settings, header, is_bare)
    judge.look_ahead(batch)
    refusal: BideError | None = None
    for data in batch:
        try:
            judge.take(parse_envelope(data))
        except StorageError:
            raise
        except BideError as error:
            refusal = error
            break
    return judge.finish(refusal)


class _Judge:
    """One batch being judged."""

    def __init__(self, state: SpaceState, settings: Settings, header: Header, is_bare: IsBare) -> None:
        self.state = state
        self.settings = settings
        self.header = header
        self.is_bare = is_bare
        self.fills: list[Envelope] = []
        self.heads: dict[LogId, Head] = {}
        """Heads of the logs that grow, checked by place alone."""
        self.new: list[Envelope] = []
        self.stored: dict[LogId, Head] = {}
        """Known or vouched for, by log."""
        self.unvouched: dict[LogId, Envelope] = {}
        """The last data envelope of each log that no checked signature vouches for yet."""
        self.bytes = state.bytes
        self.changed = False
        self.changes: dict[LogId, int] = {}
        """The last control envelope of each log in the batch, by its number."""

    def look_ahead(self, batch: Sequence[bytes]) -> None:
        """See where the batch changes the membership, before any of it is judged."""
        for data in batch:
            if len(data) >= HEADER_BYTES and data[_CLASS_AT] == EnvelopeClass.CONTROL:
                log = LogId(bytes(data[LOG_ID_AT]))
                self.changes[log] = max(int.from_bytes(data[_SEQ_AT], "big"), self.changes.get(log, 0))

    def take(self, envelope: Envelope) -> None:
        state, log = self.state, envelope.log_id
        if log not in state.membership.devices:
            raise NotAMember
        head = self.heads.get(log) or state.heads.get(log) or empty_head(log)
        counts = state.membership.counts_up_to(log, envelope.seq)
        if not counts and max(head.seq, self.changes.get(log, 0)) < envelope.seq:
            raise RevokedLog
        try:
            where = place(head, envelope)
        except ForkDetected:
            raise self._fork(envelope, head.seq) from None
        if where is Place.KNOWN:
            self._recognize(envelope)
            return
        if envelope.klass is EnvelopeClass.DATA and is_erased(state.erased, log, envelope.seq):
            envelope = envelope.bare()
        self.bytes += len(envelope.data)
        if self.bytes > self.settings.space_bytes_max or self._entries() >= self.settings.space_entries_max:
            raise QuotaReached
        if envelope.klass is EnvelopeClass.CONTROL:
            self._change_membership(envelope)
        else:
            self.unvouched[log] = envelope
        self.heads[log] = head_of(envelope)
        self.new.append(envelope)

    def finish(self, refusal: BideError | None) -> Admission:
        state = self.state
        for log, envelope in self.unvouched.items():
            try:
                verify_signature(envelope, space=state.space, device=state.membership.devices[log].id)
            except EnvelopeRejected as error:
                refusal = error
                self._drop_unvouched(log)
            else:
                self.stored[log] = head_of(envelope)
        state.heads.update(self.heads)
        state.entries += len(self.new)
        state.bytes += sum(len(envelope.data) for envelope in self.new)
        for envelope in self.new:
            state.pending[envelope.log_id, envelope.seq] = envelope
        erased: list[Stretch] = []
        if self.changed and (now := state.membership.erased()) != state.erased:
            before, state.erased = state.erased, now
            erased = [
                Stretch(log, first, last)
                for log, spans in now.items()
                for first, last in spans
                if (first, last) not in before.get(log, ())
            ]
        return Admission(self.new, self.stored, self.changed, refusal, self.fills, erased)

    def _entries(self) -> int:
        return self.state.entries + len(self.new)

    def _recognize(self, envelope: Envelope) -> None:
        """See whether an entry that should be here already is the one that is here."""
        here = self._header(envelope.log_id, envelope.seq)
        if here is None or entry_hash(here[:SIGNED_BYTES]) != envelope.hash:
            raise self._fork(envelope, envelope.seq)
        self._fill(envelope, here)
        known = self.stored.get(envelope.log_id)
        if known is None or known.seq < envelope.seq:
            self.stored[envelope.log_id] = head_of(envelope)

    def _fill(self, envelope: Envelope, here: bytes) -> None:
        """Take a body that is missing here and was not erased. It is the one that was signed: the header holds its hash."""
        if envelope.klass is not EnvelopeClass.DATA or envelope.is_bare or envelope.header != here:
            return
        if is_erased(self.state.erased, envelope.log_id, envelope.seq) or not self._lacks_body(envelope):
            return
        self.bytes += len(envelope.body)
        if self.bytes > self.settings.space_bytes_max:
            raise QuotaReached
        self.fills.append(envelope)

    def _lacks_body(self, envelope: Envelope) -> bool:
        admitted = self._admitted(envelope.log_id, envelope.seq)
        return admitted.is_bare if admitted is not None else self.is_bare(envelope.log_id, envelope.seq)

    def _fork(self, envelope: Envelope, seq: int) -> BideError:
        """The error for an entry that contradicts what is at `seq`: a fork only if its author signed both.

        What was admitted is vouched for; what came in this batch may have been altered on its way, before an honest entry.
        """
        device = self.state.membership.devices[envelope.log_id].id
        there = next((other for other in self.new if (other.log_id, other.seq) == (envelope.log_id, seq)), None)
        try:
            verify_signature(envelope, space=self.state.space, device=device)
            if there is not None:
                verify_signature(there, space=self.state.space, device=device)
        except EnvelopeRejected as error:
            return error
        return ForkDetected(evidence=self._header(envelope.log_id, seq) or b"")

    def _header(self, log: LogId, seq: int) -> bytes | None:
        admitted = self._admitted(log, seq)
        return admitted.header if admitted else self.header(log, seq)

    def _admitted(self, log: LogId, seq: int) -> Envelope | None:
        """What was admitted and is not stored yet."""
        return self.state.pending.get((log, seq)) or next(
            (envelope for envelope in self.new if envelope.log_id == log and envelope.seq == seq), None
        )

    def _change_membership(self, envelope: Envelope) -> None:
        state = self.state
        state.membership.admit(envelope)
        # Its signature was checked, and vouches for all beneath it in its log.
        self.unvouched.pop(envelope.log_id, None)
        self.stored[envelope.log_id] = head_of(envelope)
        state.milestones.append(Milestone(envelope.log_id, envelope.seq))
        self.changed = True

    def _drop_unvouched(self, log: LogId) -> None:
        """Take back the end of a log whose signature is wrong. No control envelope is in it, so nothing builds on it."""
        vouched = self.stored.get(log)
        before = self.state.heads.get(log) or empty_head(log)
        head = vouched if vouched is not None and vouched.seq > before.seq else before
        self.new = [envelope for envelope in self.new if envelope.log_id != log or envelope.seq <= head.seq]
        self.heads[log] = head


def batch_of(state: SpaceState, admission: Admission) -> Batch:
    """What storage is asked to append."""
    return Batch(state.space, admission.envelopes, admission.fills, admission.erased)
