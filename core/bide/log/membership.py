"""Who belongs to a space: a fold over its control envelopes, the same on the relay and on every device.

The rules, each with the reason:

* The founding device's first entry creates the space, and the space's id commits to that device and a salt: nobody can
  offer another beginning.
* A second person joins only by the founding device's *second* entry: a log has no forks, so there is exactly one.
* A device is added only by an active device of the same person: partners can't touch each other's set.
* A device record carries the device's own signature: nobody can enrol a key that they don't hold.
* At most `DEVICES_PER_PERSON_MAX` devices a person.

The fold does not depend on the order in which control envelopes arrive, as long as each comes after its parents.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from bide.crypto import signing
from bide.errors import MembershipRejected
from bide.ids import DeviceId, LogId, SpaceId, log_id, space_id
from bide.log.control import Control, DeviceAdded, DeviceRecord, PersonJoined, SpaceCreated, read_control
from bide.log.envelope import Envelope, EnvelopeClass, verify_signature

DEVICES_PER_PERSON_MAX = 16
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
        membership._note(genesis.hash, [])
        return membership

    @classmethod
    def replay(cls, space: SpaceId, controls: Iterable[Envelope]) -> Membership:
        """Fold stored control envelopes, given in any order.

        Raises:
            MembershipRejected: they don't form a valid membership.
        """
        waiting = list(controls)
        genesis = next((e for e in waiting if e.seq == 1 and _founds(space, e)), None)
        if genesis is None:
            raise MembershipRejected("The beginning of a space is missing.")
        membership = cls.found(space, genesis)
        waiting.remove(genesis)
        while waiting:
            ready = [e for e in waiting if membership.can_judge(e)]
            if not ready:
                raise MembershipRejected("A part of a space's membership is missing.")
            for envelope in ready:
                membership.admit(envelope)
                waiting.remove(envelope)
        return membership

    def can_judge(self, envelope: Envelope) -> bool:
        """Whether everything that `envelope` builds on is here: its author and its parents."""
        return envelope.log_id in self.devices and all(p in self.seen for p in read_control(envelope.body).parents)

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
        if envelope.hash in self.seen:
            return statement
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
        self._note(envelope.hash, statement.parents)
        return statement

    def _admit(self, record: DeviceRecord, *, slot: int, by: bytes) -> None:
        device = DeviceId(record.signing_key)
        log = log_id(self.space, device)
        if log in self.devices:
            raise MembershipRejected("That device is a member already.")
        if sum(1 for d in self.devices.values() if d.slot == slot) >= DEVICES_PER_PERSON_MAX:
            raise MembershipRejected(f"A person can have {DEVICES_PER_PERSON_MAX} devices.")
        message = device_proof_message(self.space, slot, record.signing_key, record.sealing_key)
        if not signing.verify(message, record.proof, record.signing_key):
            raise MembershipRejected("A device's keys don't belong together.")
        self.devices[log] = Device(device, record.sealing_key, slot, log, by)

    def _note(self, entry: bytes, parents: list[bytes]) -> None:
        self.seen.add(entry)
        self.heads.difference_update(parents)
        self.heads.add(entry)


def _founds(space: SpaceId, envelope: Envelope) -> bool:
    try:
        statement = read_control(envelope.body)
    except MembershipRejected:
        return False
    return isinstance(statement, SpaceCreated) and space_id(DeviceId(statement.device.signing_key), statement.salt) == space
