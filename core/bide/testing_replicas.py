"""Tools for tests that need whole replicas: pairing through a mailbox in memory, syncing through a relay in memory, or by hand.

Nothing here is used by the programs. Apart from `bide.testing`, since it needs everything that a replica needs::

    sam, robin = new_replica("Sam"), new_replica("Robin")
    pair_up(sam, robin)
    sam.write("appreciation", {"noticed": "You drove my mother."})
    exchange(sam, robin)                                  # by hand
    relay = MemoryRelay()
    sync(sam, relay), sync(robin, relay)                  # or through a relay
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from bide.crypto import signing
from bide.crypto.recovery import RecoveryPhrase
from bide.errors import BideError, EnvelopeRejected, ForkDetected, LocalProtocolError
from bide.ids import LogId, SpaceId
from bide.log.chain import Place, empty_head, head_of, place
from bide.log.envelope import Envelope, EnvelopeClass, parse_envelope, verify_signature
from bide.log.head import Head
from bide.log.leaving import is_erased
from bide.log.membership import Membership, fold
from bide.protocol.frames import (
    BATCH_BYTES_MAX,
    BATCH_ENVELOPES_MAX,
    VERSION,
    Auth,
    CaughtUp,
    Envelopes,
    Error,
    Hello,
    LogHead,
    MailboxClaim,
    MailboxClosed,
    MailboxMessage,
    MailboxOpen,
    MailboxOpened,
    MailboxReady,
    Register,
    Stored,
    Want,
)
from bide.protocol.session import RelaySession, as_sentence
from bide.protocol.states import REVOKED_LOG_CODE, UNKNOWN_SPACE_CODE, State
from bide.replica.derivation.rebuilding import control_envelopes
from bide.replica.joining.enrolling import AddingSession, DeviceAdded, DeviceAdmitted, NewDeviceSession, SpacesReady
from bide.replica.joining.pairing import CodeReady, Paired, PairingSession, WordsReady
from bide.replica.joining.recovering import TakenOver, leave_out, not_found, open_anchor, open_others, read_anchor, take_over
from bide.replica.replica import Replica
from bide.replica.single_writer.outgoing import note_left
from bide.replica.sync.receiving import Receiver
from bide.replica.sync.syncing import SpaceSync
from bide.storage.base import SpaceRecord, Storage, StoredEnvelope, find_space
from bide.storage.memory import MemoryStorage
from bide.testing import FakeClock, SeededRandomness

RELAY_HOST = "127.0.0.1:8765"
RELAY_URL = f"ws://{RELAY_HOST}"
_NAMEPLATE = 7
_EVERYTHING = 1 << 30


def new_replica(name: str, storage: Storage | None = None, *, clock: FakeClock | None = None, zone: str = "UTC") -> Replica:
    """A new replica in memory, with a clock of its own that goes on by a second, and seeded by its person's name."""
    clock = clock or FakeClock(tick_ms=1000)
    return Replica.create(storage or MemoryStorage(), name=name, zone=zone, clock=clock, randomness=SeededRandomness(name))


def pair_space(replica: Replica) -> SpaceRecord:
    """The first pair space of a replica, pending or not."""
    return next(space for space in replica.spaces() if space.kind == "pair")


class PairingRun:
    """Two pairing sessions and the mailbox between them, one message at a time."""

    def __init__(self, initiator: Replica, joiner: Replica, *, code: str = "") -> None:
        """Connect the initiator.

        Args:
            initiator: runs ``bide pair``.
            joiner: runs ``bide join``, once there is a code.
            code: what the joiner types instead of the code that the initiator was told.
        """
        self._seed = signing.SEED_BYTES * b"r"
        self._joiner = joiner
        self._typed = code
        self.clients: list[PairingSession] = [PairingSession.initiate(initiator, RELAY_URL)]
        self._relays: list[RelaySession] = [self._relay_end()]
        self.events: tuple[list[Any], list[Any]] = ([], [])
        """What each side was told: the initiator, the joiner."""
        self.errors: list[BideError | None] = [None, None]
        self._inbox: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self._outbox: tuple[deque[bytes], deque[bytes]] = (deque(), deque())
        self._confirmed = [False, False]

    @property
    def code(self) -> str:
        """The code that the initiator was told."""
        return next(event.code for event in self.events[0] if isinstance(event, CodeReady))

    @property
    def paired(self) -> tuple[bool, bool]:
        """Which side was told that it is paired."""
        one, two = (any(isinstance(event, Paired) for event in events) for events in self.events)
        return one, two

    def words(self, side: int) -> tuple[str, ...]:
        """The safety words that a side was shown."""
        return next((event.words for event in self.events[side] if isinstance(event, WordsReady)), ())

    def step(self) -> bool:
        """Deliver one message, or let one person confirm. False: nothing is left to do."""
        self._collect()
        for side, client in enumerate(self.clients):
            if self._outbox[side]:
                self._route(side, self._outbox[side].popleft())
                return True
            if self._inbox[side]:
                message = self._inbox[side].popleft()
                if self.errors[side] is None:
                    try:
                        self.events[side].extend(client.receive_data(message))
                    except BideError as error:
                        self.errors[side] = error
                return True
        if len(self.clients) == 1 and any(isinstance(event, CodeReady) for event in self.events[0]):
            self.clients.append(self._join(self._typed or self.code))
            self._relays.append(self._relay_end())
            return True
        for side, client in enumerate(self.clients):
            if self.words(side) and not self._confirmed[side] and self.errors[side] is None:
                self._confirmed[side] = True
                self.events[side].extend(client.confirm_words())
                return True
        return False

    def finish(self) -> PairingRun:
        """Go on until nothing is left to do."""
        while self.step():
            pass
        return self

    def _join(self, code: str) -> PairingSession:
        return PairingSession.join(self._joiner, code)

    def _relay_end(self) -> RelaySession:
        hello = Hello([VERSION], signing.public_key(self._seed), bytes(32), bytes(16), {})
        return RelaySession(hello, signing_seed=self._seed, host=RELAY_HOST)

    def _collect(self) -> None:
        for side, client in enumerate(self.clients):
            self._outbox[side].extend(client.data_to_send())
            self._inbox[side].extend(self._relays[side].data_to_send())

    def _route(self, side: int, message: bytes) -> None:
        relay = self._relays[side]
        if relay.closed:
            return  # it has hung up
        frame = relay.receive_data(message)
        if isinstance(frame, MailboxOpen):
            relay.send(MailboxOpened(_NAMEPLATE, 600))
        elif isinstance(frame, MailboxClaim):
            for end in self._relays:
                end.send(MailboxReady())
        elif isinstance(frame, MailboxMessage | MailboxClosed) and len(self._relays) > 1 and not self._relays[1 - side].closed:
            self._relays[1 - side].send(frame)


class AddingRun(PairingRun):
    """A device of one's own being added: `bide device add` on the one side, `bide device join` on the other."""

    def __init__(self, replica: Replica, name: str, storage: Storage) -> None:
        """Connect the device that is there already.

        Args:
            replica: its.
            name: of the new device.
            storage: of the new device, still empty.
        """
        super().__init__(replica, replica)
        self._name, self._storage = name, storage
        self._randomness = SeededRandomness(f"device {name}")
        self.clients = [AddingSession(replica, RELAY_URL)]
        self._handled = [0, 0]

    def _join(self, code: str) -> PairingSession:
        return NewDeviceSession(code, device_name=self._name, randomness=self._randomness)

    def step(self) -> bool:
        """As for two people; what each side is told is done at once."""
        going_on = super().step()
        for side, events in enumerate(self.events):
            for event in events[self._handled[side] :]:
                self._handled[side] += 1
                session = self.clients[side]
                if isinstance(event, SpacesReady) and isinstance(session, NewDeviceSession):
                    session.keep(self._storage)
                    session.enrol()
                    going_on = True
                elif isinstance(event, DeviceAdmitted) and isinstance(session, AddingSession):
                    self.events[side].extend(session.finish())
                    going_on = True
        return going_on


def add_device(replica: Replica, name: str, storage: Storage | None = None) -> Replica:
    """A further device of a replica's person, let into every space and not synced yet."""
    storage = storage or MemoryStorage()
    run = AddingRun(replica, name, storage)
    run.finish()
    if not all(any(isinstance(event, DeviceAdded) for event in events) for events in run.events):
        raise LocalProtocolError(f"The device was not added: {run.errors}")
    return Replica(storage, clock=FakeClock(tick_ms=1000), randomness=SeededRandomness(f"replica {name}"))


def pair_up(initiator: Replica, joiner: Replica) -> SpaceId:
    """Pair two replicas; both must have been told that it worked."""
    run = PairingRun(initiator, joiner).finish()
    if run.paired != (True, True):
        raise LocalProtocolError(f"The pairing did not work: {run.errors}")
    return next(event.space_id for event in run.events[0] if isinstance(event, Paired))


def missing(source: Replica, target: Replica, *, space: SpaceId | None = None) -> list[list[StoredEnvelope]]:
    """What `target` lacks of a space that both are in: stretches of logs, in an order in which they can be judged."""
    space = space or pair_space(target).space_id
    upto = {log: head.seq for log, head in target.storage.heads(space).items()}
    order = fold(space, control_envelopes(source.storage, space))[1]
    stretches = [(envelope.log_id, envelope.seq) for envelope in order]
    stretches += [(member.log_id, _EVERYTHING) for member in source.storage.members(space)]
    logs: list[list[StoredEnvelope]] = []
    for log, seq in stretches:
        after = upto.get(log, 0)
        if after < seq:
            batch = source.storage.envelopes_after(space, log, after, bytes_max=_EVERYTHING, count_max=seq - after)
            upto[log] = max(after, seq)
            if logs and batch and logs[-1][0].log_id == log:
                logs[-1].extend(batch)
            elif batch:
                logs.append(batch)
    return logs


def receive(target: Replica, envelopes: list[bytes], *, space: SpaceId | None = None) -> int:
    """Hand envelopes to a replica as one batch; raises as `Receiver.receive`."""
    space = space or pair_space(target).space_id
    record = find_space(target.storage, space)
    return Receiver(target.storage, record).receive(envelopes)


def note_handed_over(source: Replica, *, space: SpaceId | None = None) -> None:
    """Let a replica know, as every carrier must before it hands anything over, that its own log has left this home."""
    record = next(each for each in source.spaces() if each.space_id == (space or pair_space(source).space_id))
    head = source.storage.heads(record.space_id).get(record.log_id)
    if head is not None:
        note_left(source.storage, record.space_id, record.log_id, head.seq)


def give(source: Replica, target: Replica, *, space: SpaceId | None = None) -> int:
    """Bring everything that `target` lacks, as by a bundle file; returns how many envelopes."""
    note_handed_over(source, space=space)
    return sum(receive(target, [e.data for e in log], space=space) for log in missing(source, target, space=space))


def exchange(one: Replica, two: Replica) -> None:
    """Bring both to the same state."""
    give(one, two)
    give(two, one)


@dataclass(slots=True)
class _Held:
    """One space as a `MemoryRelay` holds it."""

    membership: Membership
    logs: dict[LogId, list[Envelope]]
    milestones: list[tuple[LogId, int]] = field(default_factory=list)
    """Of every control envelope, in the order of admission."""

    def head(self, log: LogId) -> Head:
        entries = self.logs.get(log)
        return head_of(entries[-1]) if entries else empty_head(log)


@dataclass(slots=True)
class MemoryRelay:
    """A relay in memory that follows the protocol: it checks chains, membership and signatures, and stores at once."""

    host: str = RELAY_HOST
    seed: bytes = signing.SEED_BYTES * b"m"
    store_id: bytes = bytes(16)
    spaces: dict[SpaceId, _Held] = field(default_factory=dict)

    def connect(self) -> MemoryRelayConnection:
        """The relay's end of a new connection."""
        return MemoryRelayConnection(self)


class MemoryRelayConnection:
    """One connection of a `MemoryRelay`. What another one brings is sent at the next `data_to_send`."""

    def __init__(self, relay: MemoryRelay) -> None:
        self._relay = relay
        hello = Hello([VERSION], signing.public_key(relay.seed), b"n" * 32, relay.store_id, {})
        self.session = RelaySession(hello, signing_seed=relay.seed, host=relay.host)
        self._cursor: dict[LogId, int] | None = None
        self._caught_up = False

    def data_to_send(self) -> list[bytes]:
        """The messages to send now."""
        held = self._held()
        if held is not None and self._cursor is not None and self.session.state is State.SYNCING and self._is_member(held):
            self._send_new(held, self._cursor)
        return self.session.data_to_send()

    def receive_data(self, message: bytes) -> None:
        """Take one message from the client."""
        match self.session.receive_data(message):
            case Auth():
                if self._held() is None:
                    self.session.send(Error(UNKNOWN_SPACE_CODE, "unknown", False, 0, []))
                else:
                    self._welcome()
            case Register(_, genesis):
                space, envelope = self._space(), parse_envelope(genesis)
                self._relay.spaces[space] = _Held(Membership.found(space, envelope), {envelope.log_id: [envelope]})
                self._welcome()
            case Want(have):
                self._cursor = {LogId(position.log_id): position.seq for position in have}
            case Envelopes(batch):
                self._store(batch)
            case _:
                pass

    def _space(self) -> SpaceId:
        assert self.session.auth is not None  # the state table puts it before all else
        return SpaceId(self.session.auth.space)

    def _held(self) -> _Held | None:
        return self._relay.spaces.get(self._space()) if self.session.auth is not None else None

    def _is_member(self, held: _Held) -> bool:
        assert self.session.auth is not None  # asked for only of one that has proved itself
        return self.session.auth.device in {device.id for device in held.membership.active_devices()}

    def _welcome(self) -> None:
        held = self._held()
        assert held is not None  # the caller has seen to it
        member = self._is_member(held)
        if (
            not member
            and self.session.auth is not None
            and self.session.auth.device in {d.id for d in held.membership.devices.values()}
        ):
            self.session.fail("revoked", "revoked")
            return
        heads: list[tuple[bytes, int, bytes]] = [(log, entries[-1].seq, entries[-1].hash) for log, entries in held.logs.items()]
        self.session.welcome(heads if member else [], provisional=not member)

    def _store(self, batch: list[bytes]) -> None:
        held = self._held()
        assert held is not None  # the state table lets nobody send before the welcome
        stored, refused = dict[LogId, Head](), None
        changes = {LogId(data[8:24]): int.from_bytes(data[24:32], "big") for data in batch if data[4] == EnvelopeClass.CONTROL}
        try:
            for data in batch:
                log, seq = LogId(data[8:24]), int.from_bytes(data[24:32], "big")
                known = seq <= max(held.head(log).seq, changes.get(log, 0))
                if not known and not held.membership.counts_up_to(log, seq):
                    self.session.send(Error(REVOKED_LOG_CODE, "revoked", False, 0, []))
                    break
                stored[LogId(data[8:24])] = self._store_one(held, parse_envelope(data))
        except BideError as error:
            there = held.logs[log][:seq] if isinstance(error, ForkDetected) else []
            refused = Error(error.code, as_sentence(error.message), True, 0, [each.header for each in there[-1:]])
        if stored:
            self.session.send(Stored([LogHead(*head) for head in stored.values()]))
        if refused is not None:
            self.session.send(refused)
        if self._cursor is not None:
            for head in stored.values():
                self._cursor[head.log_id] = max(head.seq, self._cursor.get(head.log_id, 0))

    def _store_one(self, held: _Held, envelope: Envelope) -> Head:
        device = held.membership.devices.get(envelope.log_id)
        if device is None:
            raise EnvelopeRejected
        entries = held.logs.setdefault(envelope.log_id, [])
        if envelope.klass is EnvelopeClass.DATA and is_erased(held.membership.erased(), envelope.log_id, envelope.seq):
            envelope = envelope.bare()
        if place(held.head(envelope.log_id), envelope) is Place.KNOWN:
            if entries[envelope.seq - 1].hash != envelope.hash:
                raise ForkDetected
            if entries[envelope.seq - 1].is_bare:
                entries[envelope.seq - 1] = envelope
            return head_of(envelope)
        if envelope.klass is EnvelopeClass.CONTROL:
            held.membership.admit(envelope)
            held.milestones.append((envelope.log_id, envelope.seq))
            for log, spans in held.membership.erased().items():
                for at, each in enumerate(held.logs.get(log, [])):
                    if each.klass is EnvelopeClass.DATA and any(first <= at + 1 <= last for first, last in spans):
                        held.logs[log][at] = each.bare()
        else:
            verify_signature(envelope, space=held.membership.space, device=device.id)
        entries.append(envelope)
        return head_of(envelope)

    def _send_new(self, held: _Held, cursor: dict[LogId, int]) -> None:
        for log, upto in [*held.milestones, *((log, _EVERYTHING) for log in held.membership.devices)]:
            while new := held.logs.get(log, [])[cursor.get(log, 0) : upto][:BATCH_ENVELOPES_MAX]:
                while sum(len(envelope.data) for envelope in new) > BATCH_BYTES_MAX:
                    new.pop()
                self.session.send(Envelopes([envelope.data for envelope in new]))
                cursor[log] = new[-1].seq
        if not self._caught_up:
            self._caught_up = True
            self.session.send(CaughtUp())


def sync(replica: Replica, relay: MemoryRelay, *, space: SpaceId | None = None, frames_max: int = _EVERYTHING) -> SpaceSync:
    """Sync one space through a relay until nothing is left to say.

    Args:
        replica: whose.
        relay: through which.
        space: the pair space if not given.
        frames_max: cut the connection after so many frames, in either direction.
    """
    session = replica.sync_session(space or pair_space(replica).space_id, host=relay.host)
    return carry(session, relay, frames_max=frames_max)


def carry(session: SpaceSync, relay: MemoryRelay, *, frames_max: int = _EVERYTHING) -> SpaceSync:
    """Carry frames between a session and a relay until nothing is left to say."""
    connection = relay.connect()
    to_client: deque[bytes] = deque()
    to_relay: deque[bytes] = deque()
    for _ in range(frames_max):
        to_client.extend(connection.data_to_send())
        to_relay.extend(session.data_to_send())
        if to_client:
            session.receive_data(to_client.popleft())
        elif to_relay and not connection.session.closed:
            connection.receive_data(to_relay.popleft())
        else:
            break
    return session


def use_phrase(
    phrase: RecoveryPhrase, relay: MemoryRelay, name: str, *, storage: Storage | None = None, unsent: bool = False
) -> tuple[Replica, TakenOver]:
    """A new device that comes back by the words of a phrase, as ``bide recovery use`` does it.

    Args:
        phrase: the words.
        relay: where everything is.
        name: what the device is called.
        storage: where it goes.
        unsent: stop before anything is brought to the relay.
    """
    storage = storage or MemoryStorage()
    randomness = SeededRandomness(f"{name} recovered")

    def bring(space: SpaceRecord) -> None:
        session = SpaceSync(storage, space, host=relay.host, live=False, randomness=randomness)
        carry(session, relay)

    bring(open_anchor(storage, phrase, relay_url=RELAY_URL))
    if not read_anchor(storage):
        bring(storage.spaces()[0])
        assert read_anchor(storage)
    for space in open_others(storage, phrase):
        bring(space)
    for space in not_found(storage):
        leave_out(storage, space.space_id)
    clock = FakeClock(tick_ms=1000)
    taken = take_over(storage, phrase, device_name=name, relay_url=RELAY_URL, zone="UTC", clock=clock, randomness=randomness)
    for space in () if unsent else taken.former:
        bring(space)
    return Replica(storage, clock=clock, randomness=randomness), taken


def copied(replica: Replica, label: str) -> Replica:
    """A copy of a home in memory, as a restored backup or a second one; `label` seeds what it makes from here on."""
    assert isinstance(replica.storage, MemoryStorage)
    return Replica(replica.storage.copy(), clock=FakeClock(tick_ms=1000), randomness=SeededRandomness(f"copy {label}"))


def wipe(relay: MemoryRelay) -> None:
    """The relay loses everything, and is new."""
    relay.spaces.clear()
    relay.store_id = bytes(8) + (int.from_bytes(relay.store_id, "big") + 1).to_bytes(8, "big")
