"""Pairing two replicas through a relay's mailbox. Bytes in, bytes out, no network.

The one who runs ``bide pair`` founds a pair space once both have confirmed the safety words; the one who runs ``bide join``
keeps the founding envelope as a pending space *before* it asks to be admitted, so that a connection that breaks at the worst
moment is mended by the next sync.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from bide.crypto.keys import DeviceKeys, new_device_keys
from bide.crypto.pairing import Confirmed, Pairing, PayloadReceived, PeerAccepted
from bide.crypto.pairing_code import PairingCode
from bide.entries.fields import LINE_CHARS_MAX, clean_text
from bide.entries.person import PARTNER, clean_relation
from bide.errors import (
    BideError,
    CodeMismatch,
    InputError,
    NotAllowed,
    RelayUnreachable,
    RemoteProtocolError,
    VerificationFailed,
)
from bide.ids import DeviceId, SpaceId, log_id
from bide.log.control import Bytes32, DeviceRecord
from bide.log.envelope import ENVELOPE_BYTES_MAX, Envelope, parse_envelope
from bide.log.membership import Membership
from bide.log.packing import pack, unpack
from bide.protocol.frames import (
    Error,
    Hello,
    MailboxClaim,
    MailboxClosed,
    MailboxMessage,
    MailboxOpen,
    MailboxOpened,
    MailboxReady,
)
from bide.protocol.session import ClientSession
from bide.replica.authoring.founding import Founded, admission, device_record, found_space
from bide.replica.derivation.deriving import stored
from bide.replica.derivation.rebuilding import rebuild_members
from bide.replica.spaces.people import joined_key, peer_name_key
from bide.replica.spaces.personal import enrolling_key
from bide.replica.sync.receiving import Receiver
from bide.replica.sync.refusals import plain_words
from bide.storage.base import SpaceRecord, find_space

if TYPE_CHECKING:
    from bide.replica.replica import Replica

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_OVER = {
    "expired": "The code has expired.",
    "gone": "The other device has gone; nothing was shared.",
    "unknown": "That code is not waiting on this relay; it may have been used or have expired.",
    "failed": "The other side broke off; nothing was shared.",
}
_AGAIN = "One of you runs: bide pair    The other: bide join"


class CodeReady(NamedTuple):
    """Say this code to the other person."""

    code: str


class WordsReady(NamedTuple):
    """Both screens show these words; the person compares them."""

    name: str
    words: tuple[str, ...]


class Paired(NamedTuple):
    """The pair space is here and both are in it."""

    space_id: SpaceId
    name: str


PairingEvent = CodeReady | WordsReady | Paired


class _InitiatorOffer(NamedTuple):
    format: Literal[1]
    name: str
    space: bytes
    genesis: bytes


class _JoinerOffer(NamedTuple):
    format: Literal[1]
    name: str
    signing_key: Bytes32
    sealing_key: Bytes32


_INITIATOR_OFFER = TypeAdapter(_InitiatorOffer)
_JOINER_OFFER = TypeAdapter(_JoinerOffer)
_RECORD = TypeAdapter(DeviceRecord)


class PairingSession:
    """One attempt to pair. Feed it messages; it says what to show and what to send."""

    def __init__(self, replica: Replica, *, relay_url: str, code: PairingCode | None, relation: str = PARTNER) -> None:
        self._replica = replica
        self._relation = relation
        self._storage = replica.storage
        self._randomness = replica.randomness
        self._session = ClientSession()
        self._code = code
        self._joining = code is not None
        self._machine: Pairing | None = None
        self._founded: Founded | None = None
        self._keys: DeviceKeys = new_device_keys(self._randomness)
        self._offer: _InitiatorOffer | _JoinerOffer | None = None
        self._peer_accepted = self._accepted = False
        self._space: SpaceRecord | None = None
        self._proof_payload: bytes | None = None
        self.relay_url = relay_url
        self.host = urlsplit(relay_url).netloc

    @classmethod
    def initiate(cls, replica: Replica, relay_url: str, *, relation: str = PARTNER) -> PairingSession:
        """Ask for a code; `CodeReady` tells it.

        Args:
            replica: who pairs.
            relay_url: where the two meet.
            relation: what the other person is to this one. It is said inside the space, sealed, and not while pairing.

        Raises:
            InputError: there is no such relation.
        """
        return cls(replica, relay_url=relay_url, code=None, relation=clean_relation(relation))

    @classmethod
    def join(cls, replica: Replica, code_text: str, relay_url: str = "") -> PairingSession:
        """Join by a code as a person typed it. The relay in the code is used, else `relay_url`.

        Raises:
            InputError: that is no code, or no relay is named.
        """
        code = PairingCode.parse(code_text)
        url = url_of(code.authority) if code.authority else relay_url
        if not url:
            raise InputError("The code names no relay.", hint="Type it whole, with what stands behind the @.")
        if code.authority and relay_url and urlsplit(relay_url).netloc == code.authority:
            url = relay_url
        return cls(replica, relay_url=url, code=code)

    @property
    def closed(self) -> bool:
        """Whether the connection is over."""
        return self._session.closed

    @property
    def saved(self) -> bool:
        """Whether the space is stored here: if the connection breaks now, the next sync finishes what is left."""
        return self._space is not None

    def data_to_send(self) -> list[bytes]:
        """The messages to send now."""
        self.flush_machine()
        return self._session.data_to_send()

    def flush_machine(self) -> None:
        """Put what the key exchange has to say into messages."""
        if self._machine is not None and not self._session.closed:
            for body in self._machine.data_to_send():
                self._session.send(MailboxMessage(body))

    def receive_data(self, message: bytes) -> list[PairingEvent]:
        """Take one message from the relay.

        Raises:
            CodeMismatch: the code was wrong; it is spent, and nothing was shared.
            NotAllowed: the other side broke off, or the code is gone.
            RelayUnreachable: the relay takes no pairings just now.
            RemoteProtocolError: the relay or the other side broke the protocol.
        """
        match self._session.receive_data(message):
            case Hello():
                self._session.send(MailboxClaim(self._code.nameplate) if self._code else MailboxOpen())
            case MailboxOpened(nameplate, _):
                self._code = PairingCode.new(nameplate, self._randomness, authority=self.host)
                return [CodeReady(self._code.format())]
            case MailboxReady():
                self._begin()
            case MailboxMessage(body):
                return self._guarded(lambda: self._take(body))
            case MailboxClosed(reason):
                self._over(reason)
            case Error() as error:
                raise RelayUnreachable("The relay refused: {words}", words=plain_words(error.words))
            case _:
                raise RemoteProtocolError
        return []

    def confirm_words(self) -> list[PairingEvent]:
        """The person has seen the same words on the other screen."""
        machine = self._running()
        machine.accept()
        self._accepted = True
        if self._joining:
            self._keep_pending()
        return self._guarded(self._settle)

    def refuse(self) -> None:
        """The words differ, or the person broke off: end it on both sides."""
        if self._machine is not None:
            self._machine.abort()
        # Before the relay has greeted there is nobody to tell.
        if not self._session.closed and self._session.hello is not None:
            self._session.send(MailboxClosed("failed"))

    # The steps

    @property
    def _new_code_hint(self) -> str:
        return "Ask the other person to run: bide pair" if self._joining else "For a new one: bide pair"

    def _running(self) -> Pairing:
        if self._machine is None:
            raise NotAllowed("The other device has not answered yet.")
        return self._machine

    def _begin(self) -> None:
        hello, code = self._session.hello, self._code
        assert hello is not None  # the state table puts a hello first
        assert code is not None
        if self._joining:
            keys = self._keys
            offer = pack([1, self._replica.name, keys.device_id, keys.sealing_key])
            start = Pairing.join
        else:
            self._founded = found_space("pair", relay_url=self.relay_url, randomness=self._randomness)
            offer = pack([1, self._replica.name, self._founded.space.space_id, self._founded.genesis.data])
            start = Pairing.initiate
        self._machine = start(code, hello.relay_key, offer=offer, randomness=self._randomness)

    def _guarded(self, step: Callable[[], list[PairingEvent]]) -> list[PairingEvent]:
        """Whatever goes wrong ends the pairing on both sides and spends the code."""
        try:
            return step()
        except BideError as error:
            if isinstance(error, CodeMismatch):
                error.advise(self._new_code_hint)
            if not self._session.closed:
                self._session.data_to_send()
                self._session.send(MailboxClosed("failed"))
            raise

    def _take(self, body: bytes) -> list[PairingEvent]:
        events: list[PairingEvent] = []
        for notice in self._running().receive(body):
            match notice:
                case Confirmed(offer, words):
                    self._offer = self._read_offer(offer)
                    events.append(WordsReady(self._offer.name, tuple(words)))
                case PeerAccepted():
                    self._peer_accepted = True
                case PayloadReceived(payload):
                    events.extend(self._take_payload(payload))
        return events + self._settle()

    def _read_offer(self, offer: bytes) -> _InitiatorOffer | _JoinerOffer:
        value = unpack(offer, bytes_max=ENVELOPE_BYTES_MAX)
        adapter = _INITIATOR_OFFER if self._joining else _JOINER_OFFER
        try:
            read: _InitiatorOffer | _JoinerOffer = adapter.validate_python(value)
        except ValidationError:
            raise RemoteProtocolError from None
        name = clean_text(read.name, what="name", chars_max=LINE_CHARS_MAX, one_line=True)
        if isinstance(read, _InitiatorOffer):
            # Proves that the id belongs to this beginning, before the person is asked to compare anything.
            membership = Membership.found(SpaceId(read.space), parse_envelope(read.genesis))
            # Every pairing founds a space of its own. One that is here already, or that is one person's own, is a trick.
            if membership.kind != "pair" or any(space.space_id == read.space for space in self._storage.spaces()):
                raise VerificationFailed("The other side offered a space that can't be joined.", hint=_AGAIN)
        return read._replace(name=name or "?")

    def _settle(self) -> list[PairingEvent]:
        """Once both have confirmed: the joiner proves its keys; the rest follows from payloads."""
        if self._accepted and self._peer_accepted and self._joining and self._space and self._proof_payload is None:
            keys = DeviceKeys(self._space.signing_seed, self._space.sealing_secret)
            record = device_record(keys, space=self._space.space_id, slot=1)
            self._proof_payload = pack(list(record))
            self._running().send(self._proof_payload)
        return []

    def _keep_pending(self) -> None:
        offer = self._offer
        assert isinstance(offer, _InitiatorOffer)  # the words are shown only after an offer was read
        genesis = parse_envelope(offer.genesis)
        space_id = SpaceId(offer.space)
        log = log_id(space_id, DeviceId(self._keys.device_id))
        seed, sealing = self._keys
        self._space = SpaceRecord(space_id, "pair", 1, log, seed, sealing, b"", self.relay_url, pending=True)
        with self._storage.transaction():
            for left_over in self._storage.spaces():
                # An attempt that came to nothing: all there is of it is the other side's founding envelope.
                alone = sum(head.seq for head in self._storage.heads(left_over.space_id).values()) == 1
                if left_over.pending and alone and not self._storage.meta(enrolling_key(left_over.space_id)):
                    self._storage.remove_space(left_over.space_id)
            self._storage.put_space(self._space)
            self._storage.put_meta(peer_name_key(space_id), offer.name)
            self._storage.append(space_id, stored(genesis))
            rebuild_members(self._storage, space_id)

    def _take_payload(self, payload: bytes) -> list[PairingEvent]:
        if not self._accepted:
            raise CodeMismatch
        return self._joined(payload) if self._joining else self._admit(payload)

    def _admit(self, payload: bytes) -> list[PairingEvent]:
        """The initiator: found the space and admit the joiner, then tell it. Saved first, then sent."""
        if payload == b"done":
            if self._space is None:
                raise RemoteProtocolError("The other side skipped a part of the pairing.")
            return self._finish()
        offer, founded = self._offer, self._founded
        try:
            record = _RECORD.validate_python(unpack(payload, bytes_max=ENVELOPE_BYTES_MAX))
        except ValidationError:
            raise RemoteProtocolError from None
        if not isinstance(offer, _JoinerOffer) or founded is None or record[:2] != (offer.signing_key, offer.sealing_key):
            raise CodeMismatch
        space = founded.space
        with self._storage.transaction():
            self._storage.put_space(space)
            self._storage.put_meta(peer_name_key(space.space_id), offer.name)
            self._storage.put_epoch(space.space_id, space.epoch_id, founded.epoch_secret)
            self._storage.append(space.space_id, stored(founded.genesis))
            body = admission(
                record,
                parents=[founded.genesis.hash],
                epochs={space.epoch_id: founded.epoch_secret},
                prev_hash=founded.genesis.hash,
            )
            joined: Envelope = self._replica.writer.appender.control(body, space=space)
            rebuild_members(self._storage, space.space_id)
            self._replica.writer.name_person(self._replica.name, relation=self._relation, space=space)
        self._space = space
        self._running().send(joined.data)
        return []

    def _joined(self, payload: bytes) -> list[PairingEvent]:
        """The joiner: take in the admission, open the epoch, say its name."""
        pending = self._space
        if pending is None:
            raise CodeMismatch
        Receiver(self._storage, pending).receive([payload])
        space = find_space(self._storage, pending.space_id)
        if space.pending:
            raise RemoteProtocolError("The other side did not hand over the key.")
        with self._storage.transaction():
            self._replica.writer.name_person(self._replica.name, space=space)
            self._replica.adopt_relay(space)
        self._running().send(b"done")
        for body in self._running().data_to_send():
            self._session.send(MailboxMessage(body))
        return self._finish()

    def _finish(self) -> list[PairingEvent]:
        assert self._space is not None
        assert self._offer is not None
        with self._storage.transaction():
            self._storage.put_meta(joined_key(self._space.space_id), "1")
        # The joiner waits for the initiator to close, so that its last word is not lost.
        if not self._joining:
            self._session.send(MailboxClosed("done"))
        return [Paired(self._space.space_id, self._offer.name)]

    def _over(self, reason: str) -> None:
        paired = self._space is not None and not self._space.pending
        if paired or self.saved or (self._joining and self._is_admitted()):
            return  # what is left to do, a sync does
        if reason == "failed" and self._offer is None:
            # The other side noticed first that the keys differ.
            raise CodeMismatch(hint=self._new_code_hint)
        raise NotAllowed(_OVER.get(reason, "The pairing was broken off; nothing was shared."), hint=_AGAIN)

    def _is_admitted(self) -> bool:
        space = self._space
        return space is not None and any(s.space_id == space.space_id and not s.pending for s in self._storage.spaces())


def url_of(authority: str) -> str:
    """The relay's address for what stands behind the @ of a code: plain only on this machine itself."""
    host = urlsplit(f"//{authority}").hostname or ""
    return f"{'ws' if host in _LOOPBACK else 'wss'}://{authority}"
