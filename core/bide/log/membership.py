"""Who belongs to a space: a fold over its control envelopes, the same on the relay and on every device.

The rules, each with the reason:

* The founding device's first entry creates the space, and the space's id commits to that device and a salt: nobody can
  offer another beginning.
* A second person joins only by the founding device's *second* entry: a log has no forks, so there is exactly one.
* A device is added only by an active device of the same person: partners can't touch each other's set.
* A device record carries the device's own signature: nobody can enrol a key that they don't hold.
* At most `DEVICES_PER_PERSON_MAX` devices a person.
* At most `CONTROLS_PER_LOG_MAX` control entries a log: everybody folds all of them, so nobody may write without end. A log
  is in order, so the same ones are refused everywhere.

The fold does not depend on the order in which control envelopes arrive, as long as each comes after its parents.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from bide.crypto import signing
from bide.errors import MembershipRejected
from bide.ids import DeviceId, LogId, SpaceId, log_id, space_id
from bide.log.control import Control, DeviceAdded, DeviceRecord, PersonJoined, SpaceCreated, read_control
from bide.log.envelope import Envelope, EnvelopeClass, verify_signature

DEVICES_PER_PERSON_MAX = 16
CONTROLS_PER_LOG_MAX = 1024
"""Far more than a device ever has to say about membership, and few enough to be parsed and verified in a tenth of a second:
relay and devices fold every control entry whenever they load a space."""
_PROOF_CONTEXT = b"bide.dev\0"


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


def device_proof_message(space: SpaceId, slot: int, signing_key: bytes, sealing_key: bytes) -> bytes:
    """What a device signs to show that it holds the keys of its record."""
    return _PROOF_CONTEXT + space + bytes([slot]) + signing_key + sealing_key


@dataclass(slots=True)
class Membership:
    """The membership of one space as far as the control envelopes seen so far tell."""

    space: SpaceId
    kind: str
    founder: LogId
    devices: dict[LogId, Device] = field(default_factory=dict)
    """In the order of admission, which is also an order in which logs can be sent: authors before those they admit."""
    seen: set[bytes] = field(default_factory=set)
    """Hashes of every control entry folded in."""
    heads: set[bytes] = field(default_factory=set)
    """Hashes that no other control entry names as a parent: the parents of the next one."""
    counts: dict[LogId, int] = field(default_factory=dict)
    """How many control entries of each log were folded in."""

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
        membership._admit(statement.device, slot=0, by=genesis.hash)
        membership._note(genesis, [])
        return membership

    @classmethod
    def replay(cls, space: SpaceId, controls: Iterable[Envelope]) -> Membership:
        """Fold stored control envelopes, given in any order.

        Raises:
            MembershipRejected: they don't form a valid membership.
            EnvelopeRejected: a signature is wrong.
        """
        return fold(space, controls)[0]

    def admit(self, envelope: Envelope) -> Control:
        """Fold one control envelope in, after checking its signature and the rules.

        The caller has checked its place in its log's chain.

        Raises:
            MembershipRejected: a rule forbids it. Nothing has changed.
            EnvelopeRejected: its signature is wrong. Nothing has changed.
        """
        author = self.devices.get(envelope.log_id)
        if envelope.klass is not EnvelopeClass.CONTROL:
            raise MembershipRejected("That entry changes no membership.")
        if author is None:
            raise MembershipRejected("A device that is not a member can't change who is.")
        statement = read_control(envelope.body)
        if envelope.hash not in self.seen:
            self._fold_in(envelope, statement, author)
        return statement

    def _fold_in(self, envelope: Envelope, statement: Control, author: Device) -> None:
        if self.counts.get(envelope.log_id, 0) >= CONTROLS_PER_LOG_MAX:
            raise MembershipRejected("A device has changed the membership too often.")
        verify_signature(envelope, space=self.space, device=author.id)
        if not all(parent in self.seen for parent in statement.parents):
            raise MembershipRejected("A change of membership builds on one that is missing.")
        if isinstance(statement, SpaceCreated):
            raise MembershipRejected("A space can't begin twice.")
        if isinstance(statement, PersonJoined):
            if self.kind != "pair" or envelope.log_id != self.founder or envelope.seq != 2:
                raise MembershipRejected("Nobody else can join this space.")
            self._admit(statement.device, slot=1, by=envelope.hash)
        elif isinstance(statement, DeviceAdded):
            self._admit(statement.device, slot=author.slot, by=envelope.hash)
        self._note(envelope, statement.parents)

    def _admit(self, record: DeviceRecord, *, slot: int, by: bytes) -> None:
        device = DeviceId(record.signing_key)
        log = log_id(self.space, device)
        if log in self.devices:
            raise MembershipRejected("That device is a member already.")
        if sum(1 for d in self.devices.values() if d.slot == slot) >= DEVICES_PER_PERSON_MAX:
            raise MembershipRejected("A person can have {most} devices.", most=DEVICES_PER_PERSON_MAX)
        message = device_proof_message(self.space, slot, record.signing_key, record.sealing_key)
        if not signing.verify(message, record.proof, record.signing_key):
            raise MembershipRejected("A device's keys don't belong together.")
        self.devices[log] = Device(device, record.sealing_key, slot, log, by)

    def _note(self, envelope: Envelope, parents: list[bytes]) -> None:
        self.counts[envelope.log_id] = self.counts.get(envelope.log_id, 0) + 1
        self.seen.add(envelope.hash)
        self.heads.difference_update(parents)
        self.heads.add(envelope.hash)


def fold(space: SpaceId, controls: Iterable[Envelope]) -> tuple[Membership, list[Envelope]]:
    """Fold stored control envelopes, given in any order.

    Each is parsed and verified once. Of those that can be judged, the one of the lowest number in its log goes first.

    Returns:
        The membership, and the order in which they were folded: each after its parents, its author's admission and
        whatever came before it in its log.

    Raises:
        MembershipRejected: they don't form a valid membership.
        EnvelopeRejected: a signature is wrong.
    """
    given = sorted({envelope.hash: envelope for envelope in controls}.values(), key=_precedence)
    genesis = next((envelope for envelope in given if _founds(space, envelope)), None)
    if genesis is None:
        raise MembershipRejected("The beginning of a space is missing.")
    membership = Membership.found(space, genesis)
    order = [genesis]
    queue = _Queue(membership, [envelope for envelope in given if envelope is not genesis])
    queue.passed(genesis)
    while (ready := queue.next()) is not None:
        membership._fold_in(ready.envelope, ready.statement, membership.devices[ready.envelope.log_id])
        order.append(ready.envelope)
        queue.passed(ready.envelope)
    if len(order) < len(given):
        raise MembershipRejected("A part of a space's membership is missing.")
    return membership, order


class _Waiting:
    """A control envelope that is to be folded."""

    __slots__ = ("envelope", "missing", "statement")

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.statement = read_control(envelope.body)
        self.missing = 0
        """How much of what it builds on has not been folded yet."""

    def __lt__(self, other: _Waiting) -> bool:
        return _precedence(self.envelope) < _precedence(other.envelope)


class _Queue:
    """Control envelopes in the order in which they can be judged: each waits for its author, parents and forerunner."""

    def __init__(self, membership: Membership, envelopes: Iterable[Envelope]) -> None:
        """Take envelopes without the founding one, each log's in order."""
        self._membership = membership
        self._ready: list[_Waiting] = []
        self._by_parent: defaultdict[bytes, list[_Waiting]] = defaultdict(list)
        self._by_author: defaultdict[LogId, list[_Waiting]] = defaultdict(list)
        last: dict[LogId, bytes] = {}
        for envelope in envelopes:
            waiting = _Waiting(envelope)
            builds_on = {*waiting.statement.parents} - membership.seen
            # Its forerunner in its own log, even where it doesn't name it: logs are sent and stored in order.
            if envelope.log_id in last:
                builds_on.add(last[envelope.log_id])
            last[envelope.log_id] = envelope.hash
            for parent in builds_on:
                self._by_parent[parent].append(waiting)
            waiting.missing = len(builds_on)
            if envelope.log_id not in membership.devices:
                self._by_author[envelope.log_id].append(waiting)
                waiting.missing += 1
            if not waiting.missing:
                heapq.heappush(self._ready, waiting)
        self._devices = len(membership.devices)

    def next(self) -> _Waiting | None:
        """The next one to fold, or None."""
        return heapq.heappop(self._ready) if self._ready else None

    def passed(self, envelope: Envelope) -> None:
        """Note that one was folded: whatever waited for it alone is ready."""
        freed = self._by_parent.pop(envelope.hash, [])
        devices = self._membership.devices
        if len(devices) > self._devices:
            self._devices = len(devices)
            freed = freed + self._by_author.pop(next(reversed(devices)), [])
        for waiting in freed:
            waiting.missing -= 1
            if not waiting.missing:
                heapq.heappush(self._ready, waiting)


def _precedence(envelope: Envelope) -> tuple[int, LogId]:
    return envelope.seq, envelope.log_id


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
