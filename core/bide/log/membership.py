"""Who belongs to a space: a fold over its control envelopes, the same on the relay and on every device.

The rules, each with the reason:

* The founding device's first entry creates the space, and the space's id commits to that device and a salt: nobody can
  offer another beginning.
* A second person joins only by the founding device's *second* entry: a log has no forks, so there is exactly one.
* A device is added and revoked only by an active device of the same person: partners can't touch each other's set.
* A device record carries the device's own signature: nobody can enrol a key that they don't hold.
* At most `DEVICES_PER_PERSON_MAX` devices a person at a time, and `DEVICES_EVER_MAX` in all: an event cites every log.
* Either person's devices may end a space, and nobody has to agree. What is erased is one's own: events in logs of devices of
  the same person. Statements of both count as far as their log does.
* At most `CONTROLS_PER_LOG_MAX` control entries a log: everybody folds all of them, so nobody may write without end. A log
  is in order, so the same ones are refused everywhere.

**What is refused and what is void.** An entry is judged by its *causal past* alone: what its parents, and the entry before it
in its log, build on. That never changes, so the same entries are refused everywhere, whatever arrived first. What was
allowed there may turn out void by what happened at the same time:

* A revocation stands. Two devices that revoke each other are both out.
* What a revoked device added without the revoking one having known of it is void, with all that came of it.
* A recovery device dominates: see `bide.log.standing`.

Which epochs may be sealed under, and how far a revoked log counts, follow from the same fold. The invariants are listed in
docs/encryption.md, and tests/core/log/test_membership_model.py visits every order of every small history.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from bide.crypto import signing
from bide.errors import MembershipRejected
from bide.ids import DeviceId, LogId, SpaceId, log_id, space_id
from bide.log.control import (
    BodiesErased,
    Control,
    DeviceAdded,
    DeviceRecord,
    DeviceRevoked,
    Granting,
    PersonJoined,
    RecoveryAdded,
    SpaceCreated,
    SpaceEnded,
    read_control,
)
from bide.log.envelope import Envelope, EnvelopeClass, verify_signature
from bide.log.head import Head
from bide.log.leaving import Ending, Erased, joined
from bide.log.standing import Act, View, cut_of, view_of
from bide.log.waiting import WaitingControls, precedence

DEVICES_PER_PERSON_MAX = 16
DEVICES_EVER_MAX = 32
"""Of one person, revoked ones too. With two people an event cites at most 63 other logs."""
CONTROLS_PER_LOG_MAX = 1024
"""Far more than a device ever has to say about membership, and few enough to be parsed and verified in a tenth of a second:
relay and devices fold every control entry whenever they load a space."""
ACTS_PER_LOG_MAX = 64
"""How often one device may add or revoke. Nobody can need more: a person has `DEVICES_EVER_MAX` devices ever."""
LOGS_PER_PERSON_MAX = 64
"""Devices that were ever added, void ones too. A bound for who floods their own set of devices."""
SPANS_PER_LOG_MAX = 4096
"""How many stretches one device may erase in all its statements: what was erased is looked at before every event."""
_PROOF_CONTEXT = b"bide.dev\0"
_RECOVERY_CONTEXT = b"bide.rec\0"
_Masks = tuple[int, int]
_NOTHING: _Masks = (0, 0)


@dataclass(frozen=True, slots=True)
class Device:
    """One device of one person in one space."""

    id: DeviceId
    sealing_key: bytes
    slot: int
    """0: the person who founded the space; 1: the one who joined."""
    log_id: LogId
    admitted_by: bytes
    """Hash of the control entry that admitted it."""
    recovery: bool = False
    """It is on paper: a recovery phrase."""


class Past(NamedTuple):
    """What a control entry builds on, itself included."""

    acts: _Masks
    """For each person a set of bits: which of that person's acts."""
    depth: int


class _Link(NamedTuple):
    """Where a control entry stands, and what it names as coming before it."""

    log_id: LogId
    seq: int
    below: tuple[bytes, ...]
    revokes: bool


def device_proof_message(space: SpaceId, slot: int, signing_key: bytes, sealing_key: bytes) -> bytes:
    """What a device signs to show that it holds the keys of its record."""
    return _PROOF_CONTEXT + space + bytes([slot]) + signing_key + sealing_key


def recovery_proof_message(slot: int, signing_key: bytes, sealing_key: bytes) -> bytes:
    """What a recovery device signs, for whichever space: its words are not there when a space is founded later.

    The slot is in it, so that the other person can't enrol the keys as their own device.
    """
    return _RECOVERY_CONTEXT + bytes([slot]) + signing_key + sealing_key


@dataclass(slots=True)
class Membership:
    """The membership of one space as far as the control envelopes seen so far tell."""

    space: SpaceId
    kind: str
    founder: LogId
    devices: dict[LogId, Device] = field(default_factory=dict)
    """All that were ever added, revoked ones too, in the order of admission, which is also an order in which logs can be sent:
    authors before those they admit."""
    seen: set[bytes] = field(default_factory=set)
    """Hashes of every control entry folded in."""
    heads: set[bytes] = field(default_factory=set)
    """Hashes that no other control entry names as a parent: the parents of the next one."""
    counts: dict[LogId, int] = field(default_factory=dict)
    """How many control entries of each log were folded in."""
    active: frozenset[LogId] = frozenset()
    """The logs of the devices that belong to the space now."""
    ends: dict[LogId, int] = field(default_factory=dict)
    """How far the log of each device that belongs no more counts; 0: it never belonged."""
    recipients: dict[bytes, set[DeviceId]] = field(default_factory=dict)
    """For each epoch the devices that hold its secret, as far as the control entries tell."""
    _leaving: list[tuple[LogId, int, SpaceEnded | BodiesErased]] = field(default_factory=list, compare=False)
    """Every statement of an end or of an erasure, with its place; those of a revoked log count up to the cut."""
    _acts: tuple[list[Act], list[Act]] = field(default_factory=lambda: ([], []), compare=False)
    _pasts: dict[bytes, Past] = field(default_factory=dict, compare=False)
    _links: dict[bytes, _Link] = field(default_factory=dict, compare=False)
    _last: dict[LogId, bytes] = field(default_factory=dict, compare=False)
    """The last control entry of each log."""
    _views: dict[tuple[int, int], View] = field(default_factory=dict, compare=False)

    @classmethod
    def found(cls, space: SpaceId, genesis: Envelope) -> Membership:
        """The membership that the founding envelope makes.

        Raises:
            MembershipRejected: `genesis` does not found `space`.
            EnvelopeRejected: its signature is wrong.
        """
        if genesis.klass is not EnvelopeClass.CONTROL or genesis.seq != 1:
            raise MembershipRejected("That is not the beginning of a space.")
        statement = read_control(genesis.body)
        if not isinstance(statement, SpaceCreated):
            raise MembershipRejected("That is not the beginning of a space.")
        founder = DeviceId(statement.device.signing_key)
        if space_id(founder, statement.salt) != space or log_id(space, founder) != genesis.log_id:
            raise MembershipRejected("That is the beginning of another space.")
        verify_signature(genesis, space=space, device=founder)
        membership = cls(space, statement.kind, genesis.log_id)
        membership._require_proof(statement.device, slot=0)
        membership._act(genesis, Past(_NOTHING, 0), slot=0, record=statement.device, rooted=True)
        membership._note(genesis, statement, Past(_NOTHING, 0))
        return membership

    @classmethod
    def replay(cls, space: SpaceId, controls: Iterable[Envelope], *, aside: Container[bytes] = ()) -> Membership:
        """Fold stored control envelopes, given in any order; see `fold`.

        Raises:
            MembershipRejected: they don't form a valid membership.
            EnvelopeRejected: a signature is wrong.
        """
        return fold(space, controls, aside=aside)[0]

    def admit(self, envelope: Envelope, *, aside: bool = False) -> Control:
        """Fold one control envelope in, after checking its signature and the rules.

        The caller has checked its place in its log's chain. With `aside` it is of another past of its log: it builds on what it
        names, and nothing in the log builds on it.

        Raises:
            MembershipRejected: a rule forbids it. Nothing has changed.
            EnvelopeRejected: its signature is wrong. Nothing has changed.
        """
        if envelope.klass is not EnvelopeClass.CONTROL:
            raise MembershipRejected("That entry changes no membership.")
        if envelope.log_id not in self.devices:
            raise MembershipRejected("A device that is not a member can't change who is.")
        statement = read_control(envelope.body)
        if envelope.hash not in self.seen:
            self._fold_in(envelope, statement, aside=aside)
        return statement

    def is_active(self, log: LogId) -> bool:
        """Whether a log is that of a device that belongs to the space now."""
        return log in self.active

    def counts_up_to(self, log: LogId, seq: int) -> bool:
        """Whether the entry at `seq` of a log counts."""
        return log not in self.ends or seq <= self.ends[log]

    def active_devices(self) -> list[Device]:
        """The devices that belong to the space now, in the order of admission."""
        return [device for log, device in self.devices.items() if log in self.active]

    def eligible_epochs(self) -> list[bytes]:
        """The epochs whose secret every active device holds and nobody else, the one to seal under first."""
        everyone = {device.id for device in self.active_devices()}
        return sorted(epoch for epoch, who in self.recipients.items() if who == everyone)

    def endings(self) -> tuple[Ending, ...]:
        """The statements that count of the space's end, the first day first; empty: it goes on."""
        found = (
            Ending(said.day, log, seq, self.devices[log].slot)
            for log, seq, said in self._leaving
            if isinstance(said, SpaceEnded) and self.counts_up_to(log, seq)
        )
        return tuple(sorted(found))

    def erased(self) -> Erased:
        """The places whose bodies were erased by statements that count."""
        found: defaultdict[LogId, list[tuple[int, int]]] = defaultdict(list)
        for log, seq, said in self._leaving:
            if isinstance(said, BodiesErased) and self.counts_up_to(log, seq):
                for span in said.spans:
                    found[LogId(span.log_id)].append((span.first, span.last))
        return {log: joined(spans) for log, spans in sorted(found.items())}

    def builds_on(self, later: bytes, earlier: bytes) -> bool:
        """Whether the adding or revoking entry `earlier` is in the causal past of the control entry `later`."""
        for slot, acts in enumerate(self._acts):
            for act in acts:
                if act.hash == earlier:
                    return bool(self._pasts[later].acts[slot] >> act.bit & 1)
        return False

    def recovered(self) -> list[LogId]:
        """The devices that a recovery device brought in, in the order of admission."""
        by = {log: self._links[device.admitted_by].log_id for log, device in self.devices.items()}
        return [log for log in self.devices if not self.devices[log].recovery and self.devices[by[log]].recovery]

    def needed(self) -> dict[LogId, int]:
        """For each log in `ends` how far it must be passed on all the same.

        A revocation stands whoever made it, and what counts may build on what does not: both must be known everywhere.
        """
        needed = dict(self.ends)
        if not needed:
            return needed
        stack = [key for key, link in self._links.items() if link.revokes or self.counts_up_to(link.log_id, link.seq)]
        stack += [device.admitted_by for log, device in self.devices.items() if self.ends.get(log, 1) > 0]
        reached: set[bytes] = set()
        while stack:
            key = stack.pop()
            if key in reached:
                continue
            reached.add(key)
            link = self._links[key]
            stack.extend(link.below)
            if link.log_id in needed:
                needed[link.log_id] = max(needed[link.log_id], link.seq)
                stack.append(self.devices[link.log_id].admitted_by)
        return needed

    # Folding

    def _fold_in(self, envelope: Envelope, statement: Control, *, aside: bool = False) -> None:
        log = envelope.log_id
        if self.counts.get(log, 0) >= CONTROLS_PER_LOG_MAX:
            raise MembershipRejected("A device has changed the membership too often.")
        verify_signature(envelope, space=self.space, device=self.devices[log].id)
        if not all(parent in self.seen for parent in statement.parents):
            raise MembershipRejected("A change of membership builds on one that is missing.")
        if isinstance(statement, SpaceCreated):
            raise MembershipRejected("A space can't begin twice.")
        past = self._past(log, statement, aside=aside)
        slot = self._slot(log, past)
        if isinstance(statement, PersonJoined):
            if self.kind != "pair" or log != self.founder or envelope.seq != 2:
                raise MembershipRejected("Nobody else can join this space.")
            self._require_new(statement.device, past, slot=1)
            self._act(envelope, past, slot=1, record=statement.device, rooted=True)
        elif isinstance(statement, DeviceAdded | RecoveryAdded):
            self._require_new(statement.device, past, slot=slot, recovery=isinstance(statement, RecoveryAdded))
            self._require_few(log, slot)
            recovery = isinstance(statement, RecoveryAdded)
            self._act(envelope, past, slot=slot, record=statement.device, recovery=recovery)
        elif isinstance(statement, DeviceRevoked):
            self._require_member(statement, past, slot=slot)
            self._require_few(log, slot, adds=False)
            self._act(envelope, past, slot=slot, revoked=statement)
        elif isinstance(statement, SpaceEnded) and self.kind != "pair":
            raise MembershipRejected("Only what two people share can be ended.")
        elif isinstance(statement, BodiesErased):
            self._require_own(envelope, statement, past, slot=slot)
        self._note(envelope, statement, past, aside=aside)

    def _past(self, log: LogId, statement: Control, *, aside: bool) -> Past:
        parents = [*statement.parents, *filter(None, [None if aside else self._last.get(log)])]
        first = second = depth = 0
        for parent in parents:
            past = self._pasts[parent]
            first |= past.acts[0]
            second |= past.acts[1]
            depth = max(depth, past.depth)
        return Past((first, second), depth + 1)

    def _view(self, slot: int, past: Past) -> View:
        key = slot, past.acts[slot]
        view = self._views.get(key)
        if view is None:
            view = self._views[key] = view_of(self._acts[slot], past.acts[slot], ever_max=DEVICES_EVER_MAX)
        return view

    def _slot(self, log: LogId, past: Past) -> int:
        """Whose an author is, by what it builds on."""
        found = [slot for slot in (0, 1) if log in self._view(slot, past).active]
        if not found:
            raise MembershipRejected("A device that is not a member can't change who is.")
        return min(found, key=lambda slot: self._view(slot, past).admissions[log])

    def _require_new(self, record: DeviceRecord, past: Past, *, slot: int, recovery: bool = False) -> None:
        log = log_id(self.space, DeviceId(record.signing_key))
        if any(log in self._view(each, past).admissions for each in (0, 1)):
            raise MembershipRejected("That device is a member already.")
        view = self._view(slot, past)
        if len(view.active) >= DEVICES_PER_PERSON_MAX:
            raise MembershipRejected("A person can have {most} devices.", most=DEVICES_PER_PERSON_MAX)
        if len(view.admissions) >= DEVICES_EVER_MAX:
            raise MembershipRejected("A person can have {most} devices in all, removed ones too.", most=DEVICES_EVER_MAX)
        self._require_proof(record, slot=slot, recovery=recovery)

    def _require_proof(self, record: DeviceRecord, *, slot: int, recovery: bool = False) -> None:
        message = device_proof_message(self.space, slot, record.signing_key, record.sealing_key)
        if recovery:
            message = recovery_proof_message(slot, record.signing_key, record.sealing_key)
        if not signing.verify(message, record.proof, record.signing_key):
            raise MembershipRejected("A device's keys don't belong together.")

    def _require_member(self, statement: DeviceRevoked, past: Past, *, slot: int) -> None:
        target = log_id(self.space, DeviceId(statement.device))
        if target not in self._view(slot, past).active:
            raise MembershipRejected("Only a device of the same person can be removed, and only once.")
        if (statement.cut_seq == 0) != (statement.cut_hash == bytes(32)):
            raise MembershipRejected

    def _require_own(self, envelope: Envelope, statement: BodiesErased, past: Past, *, slot: int) -> None:
        own = self._view(slot, past).admissions
        before = (said for log, _, said in self._leaving if log == envelope.log_id and isinstance(said, BodiesErased))
        if sum(len(said.spans) for said in before) + len(statement.spans) > SPANS_PER_LOG_MAX:
            raise MembershipRejected("A device has erased too often.")
        for span in statement.spans:
            # Of its own log only what is there already: what a device is yet to write it can't have meant.
            beyond = span.log_id == envelope.log_id and span.last >= envelope.seq
            if LogId(span.log_id) not in own or span.first > span.last or beyond:
                raise MembershipRejected("Only what was written on devices of the same person can be erased.")

    def _require_few(self, log: LogId, slot: int, *, adds: bool = True) -> None:
        acts = self._acts[slot]
        if sum(1 for act in acts if act.author == log) >= ACTS_PER_LOG_MAX:
            raise MembershipRejected("A device has changed the membership too often.")
        if adds and len({act.target for act in acts if act.adds}) >= LOGS_PER_PERSON_MAX:
            raise MembershipRejected("A person has added too many devices.")

    def _act(
        self,
        envelope: Envelope,
        past: Past,
        *,
        slot: int,
        record: DeviceRecord | None = None,
        revoked: DeviceRevoked | None = None,
        rooted: bool = False,
        recovery: bool = False,
    ) -> None:
        acts = self._acts[slot]
        key, sealing_key, cut = (record.signing_key, record.sealing_key, None) if record is not None else (b"", b"", None)
        if revoked is not None:
            key, cut = revoked.device, (revoked.cut_seq, revoked.cut_hash)
        target = log_id(self.space, DeviceId(key))
        order = past.depth, envelope.hash
        place = Head(envelope.log_id, envelope.seq, envelope.hash)
        adds = record is not None
        acts.append(Act(len(acts), place, target, adds, past.acts[slot], order, rooted, cut, sealing_key, recovery))
        if record is not None and target not in self.devices:
            self.devices[target] = Device(DeviceId(key), record.sealing_key, slot, target, envelope.hash, recovery)

    def _note(self, envelope: Envelope, statement: Control, past: Past, *, aside: bool = False) -> None:
        log = envelope.log_id
        own = [next((1 << act.bit for act in acts if act.hash == envelope.hash), 0) for acts in self._acts]
        self._pasts[envelope.hash] = Past((past.acts[0] | own[0], past.acts[1] | own[1]), past.depth)
        below = (*statement.parents, *filter(None, [None if aside else self._last.get(log)]))
        self._links[envelope.hash] = _Link(log, envelope.seq, below, isinstance(statement, DeviceRevoked))
        if not aside:
            self._last[log] = envelope.hash
        self.counts[log] = self.counts.get(log, 0) + 1
        self.seen.add(envelope.hash)
        self.heads.difference_update(statement.parents)
        self.heads.add(envelope.hash)
        if isinstance(statement, SpaceEnded | BodiesErased):
            self._leaving.append((log, envelope.seq, statement))
        if isinstance(statement, Granting):
            author = self.devices[log].id
            for grant in statement.grants:
                self.recipients.setdefault(grant.epoch_id, {author}).update((author, DeviceId(grant.recipient)))
        if any(own):
            self._settle()

    def _settle(self) -> None:
        """Bring what follows from all acts up to date."""
        whole = Past(((1 << len(self._acts[0])) - 1, (1 << len(self._acts[1])) - 1), 0)
        views = self._view(0, whole), self._view(1, whole)
        belongs: dict[LogId, int] = {}
        for log in self.devices:
            slots = [slot for slot in (0, 1) if log in views[slot].admissions]
            if slots:
                belongs[log] = min(slots, key=lambda slot: views[slot].admissions[log])
        self.active = frozenset(log for log, slot in belongs.items() if log in views[slot].active)
        self.ends = {}
        for log in self.devices:
            if log in belongs:
                slot = belongs[log]
                chosen = next(act for act in self._acts[slot] if act.adds and act.order == views[slot].admissions[log])
            else:
                added = ((slot, act) for slot, acts in enumerate(self._acts) for act in acts if act.adds and act.target == log)
                slot, chosen = min(added, key=lambda each: each[1].order)
            device = self.devices[log]
            self.devices[log] = Device(device.id, chosen.sealing_key, slot, log, chosen.hash, chosen.recovery)
            if log not in self.active:
                self.ends[log] = cut_of(self._acts[slot], views[slot], log) if log in belongs else 0


def fold(space: SpaceId, controls: Iterable[Envelope], *, aside: Container[bytes] = ()) -> tuple[Membership, list[Envelope]]:
    """Fold stored control envelopes, given in any order.

    Each is parsed and verified once. Of those that can be judged, the one of the lowest number in its log goes first.

    Args:
        space: of which space.
        controls: the envelopes.
        aside: hashes of those that are of another past of their log than stands here; see `Membership.admit`.

    Returns:
        The membership, and the order in which they were folded: each after its parents, its author's admission and
        whatever came before it in its log.

    Raises:
        MembershipRejected: they don't form a valid membership.
        EnvelopeRejected: a signature is wrong.
    """
    given = sorted({envelope.hash: envelope for envelope in controls}.values(), key=precedence)
    genesis = next((envelope for envelope in given if _founds(space, envelope)), None)
    if genesis is None:
        raise MembershipRejected("The beginning of a space is missing.")
    membership = Membership.found(space, genesis)
    order = [genesis]
    queue = WaitingControls(membership, [envelope for envelope in given if envelope is not genesis], aside=aside)
    queue.passed(genesis)
    while (ready := queue.next()) is not None:
        membership._fold_in(ready.envelope, ready.statement, aside=ready.envelope.hash in aside)
        order.append(ready.envelope)
        queue.passed(ready.envelope)
    if len(order) < len(given):
        raise MembershipRejected("A part of a space's membership is missing.")
    return membership, order


def _founds(space: SpaceId, envelope: Envelope) -> bool:
    if envelope.seq != 1 or envelope.klass is not EnvelopeClass.CONTROL:
        return False
    try:
        statement = read_control(envelope.body)
    except MembershipRejected:
        return False
    if not isinstance(statement, SpaceCreated):
        return False
    founder = DeviceId(statement.device.signing_key)
    return space_id(founder, statement.salt) == space and log_id(space, founder) == envelope.log_id
