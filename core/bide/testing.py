"""Tools for tests, ours and those of who builds another client: time and chance under control, spaces and connections
in memory, and strategies for hypothesis.

Nothing here is used by the programs. hypothesis is needed only by the strategies; without it they say so::

    space = SpaceBuilder.found(randomness=SeededRandomness("my test"))
    robin = space.join()
    envelope = space.write(robin)                       # a sealed, signed, chained data envelope
    assert space.read(envelope).type == "note.written"

    pair = SessionPair()
    pair.authenticate(space, robin)
    pair.relay.welcome([], provisional=False)
    pair.flush()                                        # [(Side.RELAY, Welcome(...))]
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from bide.crypto import signing
from bide.crypto.keys import DeviceKeys, new_device_keys, seal_grant
from bide.crypto.sealing import EPOCH_SECRET_BYTES, NONCE_BYTES, epoch_id, seal, unseal
from bide.errors import BideError
from bide.ids import DeviceId, EntryId, LogId, Randomness, SpaceId, log_id, new_entry_id, space_id
from bide.log.chain import Head, empty_head, head_of
from bide.log.control import (
    DeviceAdded,
    DeviceRecord,
    DeviceRevoked,
    Grant,
    PersonJoined,
    SpaceCreated,
    Statement,
    write_control,
)
from bide.log.envelope import (
    AUTHENTICATED_BYTES,
    ZERO_EPOCH,
    Envelope,
    EnvelopeClass,
    authenticated_prefix,
    write_envelope,
)
from bide.log.event import TIME_MS_MAX, Event, read_event, write_event
from bide.log.membership import Membership, device_proof_message
from bide.protocol.frames import (
    VERSION,
    Auth,
    CaughtUp,
    Envelopes,
    Error,
    Forget,
    Forgotten,
    Frame,
    Hello,
    LogHead,
    LogPosition,
    MailboxClaim,
    MailboxClosed,
    MailboxMessage,
    MailboxOpen,
    MailboxOpened,
    MailboxReady,
    Register,
    Stored,
    Want,
    Welcome,
)
from bide.protocol.session import ClientSession, RelaySession
from bide.protocol.states import Side

if TYPE_CHECKING:
    from types import ModuleType

    from hypothesis.strategies import SearchStrategy

START_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z, where a `FakeClock` begins."""
HOST = "relay.test:443"
"""The host of a `SessionPair`."""
SpaceKind = Literal["own", "pair"]


class FakeClock:
    """A clock that stands still unless told otherwise."""

    def __init__(self, now_ms: int = START_MS, *, tick_ms: int = 0) -> None:
        """Set it.

        Args:
            now_ms: what it shows.
            tick_ms: how far it goes on by itself after each look.
        """
        self._now_ms = now_ms
        self.tick_ms = tick_ms

    def now_ms(self) -> int:
        """Milliseconds since 1970 in UTC, then one tick."""
        now = self._now_ms
        self._now_ms += self.tick_ms
        return now

    def set(self, now_ms: int) -> None:
        """Show this time from now on; going back is allowed, as real clocks do it too."""
        self._now_ms = now_ms

    def advance(self, ms: int) -> None:
        """Go on by `ms`."""
        self._now_ms += ms


class SeededRandomness:
    """Bytes that look random and are the same for the same seed. Never use it outside tests."""

    def __init__(self, seed: str | int = 0) -> None:
        self._key = hashlib.blake2b(str(seed).encode(), digest_size=32, person=b"bide.test").digest()
        self._calls = 0

    def token(self, size: int) -> bytes:
        """The next `size` bytes. Each call has its own stream, so sizes don't shift what later calls give."""
        self._calls += 1
        return hashlib.shake_256(self._key + self._calls.to_bytes(8, "big")).digest(size)


@dataclass(slots=True)
class Member:
    """A device in a `SpaceBuilder`, with everything it knows."""

    keys: DeviceKeys
    slot: int
    log_id: LogId
    head: Head
    """The end of its own log."""

    @property
    def device_id(self) -> DeviceId:
        """Its public signing key."""
        return self.keys.device_id


@dataclass(slots=True)
class SpaceBuilder:
    """A space in memory in which every device obeys, with one epoch. Begin with `SpaceBuilder.found`."""

    id: SpaceId
    randomness: Randomness
    clock: FakeClock
    epoch_secret: bytes
    membership: Membership
    members: list[Member] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    """Everything written so far, each after what it builds on."""

    @classmethod
    def found(cls, kind: SpaceKind = "pair", *, randomness: Randomness | None = None) -> SpaceBuilder:
        """A new space with its founding device.

        Args:
            kind: ``own`` or ``pair``.
            randomness: by default the same for each call, so two spaces of one test need two.
        """
        source = randomness or SeededRandomness()
        keys, salt = new_device_keys(source), source.token(16)
        space = space_id(keys.device_id, salt)
        founder = Member(keys, 0, log_id(space, keys.device_id), empty_head(log_id(space, keys.device_id)))
        secret = source.token(EPOCH_SECRET_BYTES)
        record = device_record(space, 0, keys)
        grant = make_grant(secret, record, parent=founder.head.hash)
        statement = SpaceCreated("space.created", 1, [], kind, salt, record, [grant])
        genesis = control_envelope(space, founder, write_control(statement))
        founder.head = head_of(genesis)
        membership = Membership.found(space, genesis)
        return cls(space, source, FakeClock(tick_ms=1000), secret, membership, [founder], [genesis])

    @property
    def founder(self) -> Member:
        """The device that founded the space."""
        return self.members[0]

    @property
    def controls(self) -> list[Envelope]:
        """The control envelopes so far, each after its parents."""
        return [e for e in self.envelopes if e.klass is EnvelopeClass.CONTROL]

    def log(self, member: Member) -> list[Envelope]:
        """What `member` wrote, from its first entry on."""
        return [e for e in self.envelopes if e.log_id == member.log_id]

    def join(self, keys: DeviceKeys | None = None) -> Member:
        """Let the second person join; must come before the founder writes anything else."""
        keys = keys or new_device_keys(self.randomness)
        record = device_record(self.id, 1, keys)
        grant = make_grant(self.epoch_secret, record, parent=self.founder.head.hash)
        self.write_control(self.founder, PersonJoined("person.joined", 1, self.parents(), record, [grant]))
        return self._enter(keys, slot=1)

    def add_device(self, by: Member, keys: DeviceKeys | None = None) -> Member:
        """Let `by` add another device of the same person."""
        keys = keys or new_device_keys(self.randomness)
        record = device_record(self.id, by.slot, keys)
        grant = make_grant(self.epoch_secret, record, parent=by.head.hash)
        self.write_control(by, DeviceAdded("device.added", 1, self.parents(), record, [grant]))
        return self._enter(keys, slot=by.slot)

    def revoke(self, by: Member, target: Member) -> Envelope:
        """Let `by` revoke a device of the same person as far as `target` wrote, without a fresh epoch."""
        seq, digest = target.head.seq, target.head.hash
        return self.write_control(by, DeviceRevoked("device.revoked", 1, self.parents(), target.device_id, seq, digest, []))

    def parents(self) -> list[bytes]:
        """What the next control entry names as its parents."""
        return sorted(self.membership.heads)

    def write_control(self, by: Member, statement: Statement) -> Envelope:
        """Sign, admit and keep a statement.

        Raises:
            MembershipRejected: the rules forbid it. Nothing is kept.
        """
        envelope = control_envelope(self.id, by, write_control(statement))
        self.membership.admit(envelope)
        return self._keep(by, envelope)

    def write(self, by: Member, event: Event | None = None) -> Envelope:
        """Seal, sign and keep an event; by default a small one that cites the others' heads."""
        event = event or self.event(by)
        return self._keep(by, self.seal(by, write_event(event)))

    def event(self, by: Member, *, entry: EntryId | None = None, change: bytes = b"change") -> Event:
        """A small event as `by` would write it now. `change` is no real Automerge change."""
        frontier = tuple(m.head for m in self.members if m is not by and m.head.seq)
        entry = entry or new_entry_id(self.clock, self.randomness, slot=by.slot)
        return Event("note.written", 1, 1, entry, self.clock.now_ms(), "Europe/Lisbon", "2026-01-01", change, frontier)

    def seal(self, by: Member, plaintext: bytes) -> Envelope:
        """A data envelope that follows on `by`'s head, not kept."""
        prefix = authenticated_prefix(
            klass=EnvelopeClass.DATA,
            log_id=by.log_id,
            seq=by.head.seq + 1,
            prev_hash=by.head.hash,
            epoch_id=epoch_id(self.epoch_secret),
            nonce=self.randomness.token(NONCE_BYTES),
        )
        body = seal(plaintext, secret=self.epoch_secret, log=by.log_id, nonce=prefix[80:], associated=prefix + self.id)
        return write_envelope(prefix, body, space=self.id, signing_seed=by.keys.signing_seed)

    def unseal(self, envelope: Envelope) -> bytes:
        """The plaintext of a data envelope.

        Raises:
            SealBroken: it is not sealed for this space, or altered.
        """
        return unseal(
            envelope.body,
            secret=self.epoch_secret,
            log=envelope.log_id,
            nonce=envelope.nonce,
            associated=envelope.data[:AUTHENTICATED_BYTES] + self.id,
        )

    def read(self, envelope: Envelope) -> Event:
        """The event in a data envelope."""
        return read_event(self.unseal(envelope))

    def heads(self) -> list[Head]:
        """The head of every log that has an entry, as a relay's welcome lists them."""
        return [member.head for member in self.members if member.head.seq]

    def _keep(self, by: Member, envelope: Envelope) -> Envelope:
        self.envelopes.append(envelope)
        by.head = head_of(envelope)
        return envelope

    def _enter(self, keys: DeviceKeys, *, slot: int) -> Member:
        log = log_id(self.id, keys.device_id)
        self.members.append(Member(keys, slot, log, empty_head(log)))
        return self.members[-1]


def device_record(space: SpaceId, slot: int, keys: DeviceKeys) -> DeviceRecord:
    """The record of a device, with its own proof."""
    message = device_proof_message(space, slot, keys.device_id, keys.sealing_key)
    return DeviceRecord(keys.device_id, keys.sealing_key, signing.sign(message, keys.signing_seed))


def make_grant(secret: bytes, record: DeviceRecord, *, parent: bytes) -> Grant:
    """An epoch secret for the device of `record`. The box is never the same twice, whatever the seed."""
    device = DeviceId(record.signing_key)
    box = seal_grant(secret, recipient=device, sealing_key=record.sealing_key, parent=parent)
    return Grant(epoch_id(secret), device, box)


def control_envelope(space: SpaceId, by: Member, body: bytes) -> Envelope:
    """A control envelope that follows on `by`'s head, with any body, valid or not."""
    prefix = authenticated_prefix(
        klass=EnvelopeClass.CONTROL,
        log_id=by.log_id,
        seq=by.head.seq + 1,
        prev_hash=by.head.hash,
        epoch_id=ZERO_EPOCH,
        nonce=bytes(NONCE_BYTES),
    )
    return write_envelope(prefix, body, space=space, signing_seed=by.keys.signing_seed)


class SessionPair:
    """Both ends of a connection, wired in memory. What one sends, the other receives at the next `flush`."""

    def __init__(self, *, host: str = HOST, randomness: Randomness | None = None) -> None:
        source = randomness or SeededRandomness("relay")
        self.relay_seed = source.token(signing.SEED_BYTES)
        self._randomness = source
        hello = Hello([VERSION], signing.public_key(self.relay_seed), source.token(32), source.token(16), {})
        self.host = host
        self.client = ClientSession()
        self.relay = RelaySession(hello, signing_seed=self.relay_seed, host=host)

    def flush(self) -> list[tuple[Side, Frame]]:
        """Deliver everything that waits on either side.

        Returns:
            Who sent what, in the order of delivery.

        Raises:
            RemoteProtocolError: one side sent what the other refuses.
        """
        delivered: list[tuple[Side, Frame]] = []
        for sender, receiver in ((self.relay, self.client), (self.client, self.relay)):
            delivered.extend((sender.side, receiver.receive_data(data)) for data in sender.data_to_send())
        return delivered

    def send(self, side: Side, frame: Frame) -> list[tuple[Side, Frame]]:
        """Let one side send a frame, then `flush`."""
        (self.client if side is Side.CLIENT else self.relay).send(frame)
        return self.flush()

    def authenticate(self, space: SpaceBuilder, member: Member) -> None:
        """Bring both ends to the point where the relay has verified `member` and must welcome it."""
        self.flush()
        self.client.authenticate(
            space=space.id,
            device=member.device_id,
            signing_seed=member.keys.signing_seed,
            host=self.host,
            nonce=self._randomness.token(32),
        )
        self.flush()

    def start_sync(self, space: SpaceBuilder, member: Member) -> None:
        """Bring both ends to the point where envelopes flow, as if the relay had the whole space."""
        self.authenticate(space, member)
        self.relay.welcome(list(space.heads()), provisional=False)
        self.flush()
        self.send(Side.CLIENT, Want([]))


class HypothesisMissing(BideError):
    """The strategies of bide.testing need hypothesis."""

    code = "hypothesis_missing"
    hint_default = "pip install hypothesis"


def _strategies() -> ModuleType:
    try:
        from hypothesis import strategies
    except ModuleNotFoundError as error:
        raise HypothesisMissing from error
    return strategies


def heads() -> SearchStrategy[Head]:
    """A strategy for heads of logs of which something is known."""
    st = _strategies()
    made: SearchStrategy[Head] = st.builds(
        Head, st.binary(min_size=16, max_size=16), st.integers(1, 2**62), st.binary(min_size=32, max_size=32)
    )
    return made


def events() -> SearchStrategy[Event]:
    """A strategy for events within all limits, with changes that Automerge would not take."""
    st = _strategies()
    name = st.from_regex(r"[a-z][a-z_]{0,30}\.[a-z][a-z_]{0,30}", fullmatch=True)
    made: SearchStrategy[Event] = st.integers(1, 10_000).flatmap(
        lambda version: st.builds(
            Event,
            type=name,
            version=st.just(version),
            least_version=st.integers(1, version),
            entry_id=st.binary(min_size=16, max_size=16),
            time_ms=st.integers(0, TIME_MS_MAX),
            zone=st.sampled_from(["Etc/UTC", "Europe/Lisbon", "America/Argentina/Buenos_Aires", "Etc/GMT+12"]),
            day=st.dates().map(lambda day: day.isoformat()),
            change=st.binary(max_size=400),
            frontier=st.lists(heads(), max_size=5).map(tuple),
        )
    )
    return made


def frames() -> SearchStrategy[Frame]:
    """A strategy for frames of every type within all limits, though lists are kept shorter than allowed."""
    st = _strategies()
    made: SearchStrategy[Frame] = st.one_of(*_frame_strategies(st).values())
    return made


def frames_of(kind: type[Frame]) -> SearchStrategy[Frame]:
    """As `frames`, of one type."""
    made: SearchStrategy[Frame] = _frame_strategies(_strategies())[kind]
    return made


def _frame_strategies(st: ModuleType) -> dict[type[Frame], SearchStrategy[Frame]]:
    def exactly(size: int) -> SearchStrategy[bytes]:
        made: SearchStrategy[bytes] = st.binary(min_size=size, max_size=size)
        return made

    seq, positive = st.integers(0, 2**62), st.integers(1, 65535)
    word, nameplate = st.text("abcxyz_-", min_size=1, max_size=64), st.integers(1, 999_999)
    # Surrogates have no UTF-8, and a sentence is bounded in bytes as well as in characters.
    sentence = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
    log_heads = st.lists(st.builds(LogHead, exactly(16), seq, exactly(32)), max_size=5)
    limits = st.dictionaries(word, seq, max_size=5)
    envelope = st.binary(min_size=204, max_size=400)
    return {
        Hello: st.builds(Hello, st.lists(positive, min_size=1, max_size=16), exactly(32), exactly(32), exactly(16), limits),
        Auth: st.builds(
            Auth, positive, exactly(16), exactly(32), exactly(32), st.text("abc.:1", min_size=1, max_size=255), exactly(64)
        ),
        Register: st.builds(Register, st.text("abc123", max_size=128), envelope),
        Welcome: st.builds(Welcome, log_heads, exactly(64), st.booleans()),
        Want: st.builds(Want, st.lists(st.builds(LogPosition, exactly(16), seq), max_size=5)),
        Envelopes: st.builds(Envelopes, st.lists(envelope, min_size=1, max_size=3)),
        Stored: st.builds(Stored, st.lists(st.builds(LogHead, exactly(16), seq, exactly(32)), min_size=1, max_size=5)),
        CaughtUp: st.just(CaughtUp()),
        Forget: st.just(Forget()),
        Forgotten: st.builds(Forgotten, st.booleans()),
        Error: st.builds(
            Error, word, sentence, st.booleans(), st.integers(0, 86_400_000), st.lists(st.binary(max_size=204), max_size=2)
        ),
        MailboxOpen: st.just(MailboxOpen()),
        MailboxOpened: st.builds(MailboxOpened, nameplate, st.integers(1, 86_400)),
        MailboxClaim: st.builds(MailboxClaim, nameplate),
        MailboxReady: st.just(MailboxReady()),
        MailboxMessage: st.builds(MailboxMessage, st.binary(min_size=1, max_size=3 * 1024)),
        MailboxClosed: st.builds(MailboxClosed, word),
    }
