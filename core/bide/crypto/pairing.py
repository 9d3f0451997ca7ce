"""Two devices find each other by a short code: SPAKE2 and what follows, without any input or output of its own.

Both sides run the same steps; each body is one message in the relay's mailbox, at most `MESSAGE_BYTES_MAX`::

    1 pake       version 1, 33 bytes of SPAKE2. Roles, nameplate and relay key are bound into the exchange.
    2 confirm    tag 32, commitment 32: proof that the key is the same, and a promise which offer will follow
    3 offer      sealed: opening of the commitment 32, then the caller's bytes. Never before the other's tag was right.
                 Six safety words follow from it; the person compares them, and the caller calls `Pairing.accept`
    4 accept     sealed, empty
    5 payload    sealed, the caller's bytes, any number; only after both accepted

Each sealed message is XChaCha20-Poly1305 under a key for its direction alone; kind and message number are authenticated,
so nothing can be reflected, replayed, dropped or reordered. The plaintext is padded, so that the relay doesn't learn how
long a name is.

Why the commitment: somebody between the two who overheard the code could otherwise try many offers until the words
on both screens agree. Bound to an offer before seeing the other's, there is one try, and 1 chance in 2,048 a word.

A wrong code costs its one guess at step 2 and is told by `CodeMismatch`; afterwards the machine is dead, and so is the
code. Usage::

    pairing = Pairing.join(code, relay_key, offer=offer, randomness=randomness)
    for body in pairing.data_to_send(): ...            # after every call, send what is there
    for notice in pairing.receive(body): ...           # Confirmed, then PeerAccepted, then PayloadReceived
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass, field
from enum import Enum, IntEnum

import nacl.bindings as sodium
from nacl.exceptions import CryptoError
from spake2 import SPAKE2_A, SPAKE2_B

from bide.crypto.pairing_code import PairingCode, words_from_bytes
from bide.errors import CodeMismatch, LocalProtocolError, RemoteProtocolError
from bide.ids import Randomness

VERSION = 1
MESSAGE_BYTES_MAX = 3 * 1024
"""What a mailbox carries: equals `bide.protocol.frames.MAILBOX_BYTES_MAX`, which this layer can't import."""
PAYLOAD_BYTES_MAX = 2812
"""Longest `Pairing.send`: eleven padding blocks less the length."""
OFFER_BYTES_MAX = PAYLOAD_BYTES_MAX - 32
SEALED_MESSAGES_MAX = 1024
"""In each direction, offer and accept included."""
SAFETY_WORDS = 6

_PAKE_BYTES = 33
_TAG_BYTES = 32
_OPENING_BYTES = 32
_PAD_BLOCK_BYTES = 256
_LENGTH = struct.Struct(">I")


class Role(Enum):
    """Which end of the pairing this is."""

    INITIATOR = "initiator"
    """Made the code."""
    JOINER = "joiner"
    """Typed the code."""

    @property
    def other(self) -> Role:
        """The other end."""
        return Role.JOINER if self is Role.INITIATOR else Role.INITIATOR


class Kind(IntEnum):
    """The first byte of a message."""

    PAKE = 1
    CONFIRM = 2
    OFFER = 3
    ACCEPT = 4
    PAYLOAD = 5


class Stage(Enum):
    """What is awaited from the other side."""

    AWAITING_PAKE = "awaiting the key exchange"
    AWAITING_CONFIRM = "awaiting the confirmation"
    AWAITING_OFFER = "awaiting the offer"
    AWAITING_ACCEPT = "awaiting the acceptance"
    OPEN = "open"
    DEAD = "over"


_EXPECTED: dict[Stage, Kind] = {
    Stage.AWAITING_PAKE: Kind.PAKE,
    Stage.AWAITING_CONFIRM: Kind.CONFIRM,
    Stage.AWAITING_OFFER: Kind.OFFER,
    Stage.AWAITING_ACCEPT: Kind.ACCEPT,
    Stage.OPEN: Kind.PAYLOAD,
}


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The codes match. Show the words, have one of the other screen's typed, then call `Pairing.accept` or `abort`."""

    offer: bytes = field(repr=False)
    """What the other side gave as its offer."""
    safety_words: tuple[str, ...] = field(repr=False)
    """Six words, the same on both sides if and only if nobody is in between."""


@dataclass(frozen=True, slots=True)
class PeerAccepted:
    """The person on the other side accepted. Payloads flow once this side has accepted too."""


@dataclass(frozen=True, slots=True)
class PayloadReceived:
    """What the other side gave to `Pairing.send`."""

    payload: bytes = field(repr=False)


PairingNotice = Confirmed | PeerAccepted | PayloadReceived


class Pairing:
    """One end of one pairing. Make it with `initiate` or `join`; never reuse it or its code."""

    def __init__(self, role: Role, code: PairingCode, *, relay_key: bytes, offer: bytes, randomness: Randomness) -> None:
        if len(offer) > OFFER_BYTES_MAX:
            raise LocalProtocolError("The offer is too long for a pairing.")
        self.role = role
        self.stage = Stage.AWAITING_PAKE
        self._offer = offer
        self._opening = randomness.token(_OPENING_BYTES)
        self._context = struct.pack(">I", code.nameplate) + relay_key
        self._outgoing: list[bytes] = []
        self._accepted = False
        self._safety_words: tuple[str, ...] = ()
        self._sent = self._received = 0
        self._transcript = self._key = self._peer_commitment = b""
        side = SPAKE2_A if role is Role.INITIATOR else SPAKE2_B
        self._spake = side(
            code.password,
            idA=self._identity(Role.INITIATOR),
            idB=self._identity(Role.JOINER),
            entropy_f=randomness.token,
        )
        self._pake: bytes = self._spake.start()
        self._outgoing.append(bytes([Kind.PAKE, VERSION]) + self._pake)

    @classmethod
    def initiate(cls, code: PairingCode, relay_key: bytes, *, offer: bytes, randomness: Randomness) -> Pairing:
        """The end of who made the code.

        Args:
            code: nameplate and words.
            relay_key: the 32-byte key from the relay's hello. A relay that shows each side another one is found out.
            offer: at most `OFFER_BYTES_MAX` bytes about this side, sent only to who knows the code.
            randomness: 32 bytes for the commitment and 64 for the exchange are taken.
        """
        return cls(Role.INITIATOR, code, relay_key=relay_key, offer=offer, randomness=randomness)

    @classmethod
    def join(cls, code: PairingCode, relay_key: bytes, *, offer: bytes, randomness: Randomness) -> Pairing:
        """The end of who typed the code; arguments as for `initiate`."""
        return cls(Role.JOINER, code, relay_key=relay_key, offer=offer, randomness=randomness)

    @property
    def safety_words(self) -> tuple[str, ...]:
        """The six words, or none before `Confirmed`."""
        return self._safety_words

    @property
    def complete(self) -> bool:
        """Whether both accepted, so that `send` works."""
        return self.stage is Stage.OPEN and self._accepted

    def data_to_send(self) -> list[bytes]:
        """The mailbox bodies to send now, each once."""
        bodies, self._outgoing = self._outgoing, []
        return bodies

    def receive(self, body: bytes) -> list[PairingNotice]:
        """Take one mailbox body.

        Raises:
            CodeMismatch: the other side used another code, another relay, or the same end. The pairing is over.
            RemoteProtocolError: the body is not what must come now, or was altered. The pairing is over.
        """
        expected = _EXPECTED.get(self.stage)
        if expected is None:
            raise RemoteProtocolError("This pairing is over.")
        try:
            if not 1 <= len(body) <= MESSAGE_BYTES_MAX or body[0] != expected:
                raise RemoteProtocolError("The other side broke off the order of a pairing.")
            return self._take(expected, body[1:])
        except (CodeMismatch, RemoteProtocolError):
            self.abort()
            raise

    def accept(self) -> None:
        """Say that the person compared the words and agrees.

        Raises:
            LocalProtocolError: there were no words to compare, or it was said before.
        """
        if not self._safety_words or self._accepted or self.stage is Stage.DEAD:
            raise LocalProtocolError("A pairing can't be accepted while {stage}.", stage=self.stage.value)
        self._accepted = True
        self._seal(Kind.ACCEPT, b"")

    def send(self, payload: bytes) -> None:
        """Put sealed bytes for the other side into `data_to_send`.

        Args:
            payload: at most `PAYLOAD_BYTES_MAX` bytes; split what is longer.

        Raises:
            LocalProtocolError: not both have accepted yet, the payload is too long, or there were too many.
        """
        if not self.complete:
            raise LocalProtocolError("Nothing can be sent before both sides have accepted.")
        if len(payload) > PAYLOAD_BYTES_MAX or self._sent >= SEALED_MESSAGES_MAX:
            raise LocalProtocolError("That is more than a pairing carries.")
        self._seal(Kind.PAYLOAD, payload)

    def abort(self) -> None:
        """End it here: the words differ, or the person changed their mind. Nothing more goes out or comes in."""
        self.stage = Stage.DEAD
        self._outgoing = []
        self._key = b""
        self._spake = None

    def _take(self, kind: Kind, content: bytes) -> list[PairingNotice]:
        if kind is Kind.PAKE:
            self._take_pake(content)
            return []
        if kind is Kind.CONFIRM:
            self._take_confirm(content)
            return []
        plaintext = self._unseal(kind, content)
        if kind is Kind.OFFER:
            return [self._take_offer(plaintext)]
        if kind is Kind.ACCEPT:
            if plaintext:
                raise RemoteProtocolError
            self.stage = Stage.OPEN
            return [PeerAccepted()]
        if not self._accepted:
            # An honest peer sends payloads only after our acceptance.
            raise RemoteProtocolError("The other side broke off the order of a pairing.")
        return [PayloadReceived(plaintext)]

    def _take_pake(self, content: bytes) -> None:
        if content[:1] != bytes([VERSION]):
            raise RemoteProtocolError("The other side pairs in another way: one of you needs a newer Bide.")
        pake = content[1:]
        if len(pake) != _PAKE_BYTES:
            raise RemoteProtocolError
        try:
            shared: bytes = self._spake.finish(pake)
        except Exception:
            # The library raises bare Exception, ValueError and AssertionError for points off the curve, reflections and
            # the like. The originals could carry key material in their frames.
            raise RemoteProtocolError("The other side sent no valid key.") from None
        self._spake = None
        pakes = self._pake + pake if self.role is Role.INITIATOR else pake + self._pake
        self._transcript = _hash(b"bide.pair.log", self._context + pakes)
        self._key = shared
        commitment = self._commitment(self.role, self._opening, self._offer)
        self._outgoing.append(bytes([Kind.CONFIRM]) + self._tag(self.role, commitment) + commitment)
        self.stage = Stage.AWAITING_CONFIRM

    def _take_confirm(self, content: bytes) -> None:
        tag, commitment = content[:_TAG_BYTES], content[_TAG_BYTES:]
        if len(content) != 2 * _TAG_BYTES:
            raise RemoteProtocolError
        if not hmac.compare_digest(tag, self._tag(self.role.other, commitment)):
            raise CodeMismatch
        self._peer_commitment = commitment
        self.stage = Stage.AWAITING_OFFER
        self._seal(Kind.OFFER, self._opening + self._offer)

    def _take_offer(self, plaintext: bytes) -> Confirmed:
        opening, offer = plaintext[:_OPENING_BYTES], plaintext[_OPENING_BYTES:]
        commitment = self._commitment(self.role.other, opening, offer) if len(opening) == _OPENING_BYTES else b""
        if commitment != self._peer_commitment:
            raise RemoteProtocolError("The other side offered something else than it had announced.")
        mine = self._opening + _LENGTH.pack(len(self._offer)) + self._offer
        theirs = opening + _LENGTH.pack(len(offer)) + offer
        offers = mine + theirs if self.role is Role.INITIATOR else theirs + mine
        digest = _hash(b"bide.pair.words", self._transcript + offers, key=self._key, size=9)
        self._safety_words = words_from_bytes(digest, count=SAFETY_WORDS)
        self.stage = Stage.AWAITING_ACCEPT
        return Confirmed(offer, self._safety_words)

    def _identity(self, role: Role) -> bytes:
        return b"bide.pair/1\0" + role.value.encode() + b"\0" + self._context

    def _tag(self, role: Role, commitment: bytes) -> bytes:
        data = role.value.encode() + b"\0" + self._transcript + commitment
        return _hash(b"bide.pair.tag", data, key=self._key)

    def _commitment(self, role: Role, opening: bytes, offer: bytes) -> bytes:
        return _hash(b"bide.pair.offer", role.value.encode() + b"\0" + self._transcript + offer, key=opening)

    def _direction_key(self, sender: Role) -> bytes:
        return _hash(b"bide.pair.seal", sender.value.encode() + b"\0" + self._transcript, key=self._key)

    def _seal(self, kind: Kind, plaintext: bytes) -> None:
        nonce, associated = _numbered(kind, self._sent)
        self._sent += 1
        sealed = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
            _pad(plaintext), associated, nonce, self._direction_key(self.role)
        )
        self._outgoing.append(bytes([kind]) + sealed)

    def _unseal(self, kind: Kind, sealed: bytes) -> bytes:
        if self._received >= SEALED_MESSAGES_MAX:
            raise RemoteProtocolError("The other side sent more than a pairing carries.")
        nonce, associated = _numbered(kind, self._received)
        self._received += 1
        try:
            padded = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
                sealed, associated, nonce, self._direction_key(self.role.other)
            )
        except (CryptoError, ValueError) as error:
            raise RemoteProtocolError("A message of the pairing was altered, repeated or lost on the way.") from error
        return _unpad(padded)


def _hash(person: bytes, data: bytes, *, key: bytes = b"", size: int = 32) -> bytes:
    return hashlib.blake2b(data, key=key, digest_size=size, person=person).digest()


def _numbered(kind: Kind, number: int) -> tuple[bytes, bytes]:
    # A counter is safe as a nonce here, unlike in the log: the keys live as long as this object and are never stored.
    return number.to_bytes(24, "big"), bytes([kind]) + number.to_bytes(8, "big")


def _pad(plaintext: bytes) -> bytes:
    framed = _LENGTH.pack(len(plaintext)) + plaintext
    return framed.ljust(-(-len(framed) // _PAD_BLOCK_BYTES) * _PAD_BLOCK_BYTES, b"\0")


def _unpad(padded: bytes) -> bytes:
    if not padded or len(padded) % _PAD_BLOCK_BYTES:
        raise RemoteProtocolError
    end = _LENGTH.size + _LENGTH.unpack_from(padded)[0]
    if not len(padded) - _PAD_BLOCK_BYTES < end <= len(padded) or any(padded[end:]):
        raise RemoteProtocolError
    return padded[_LENGTH.size : end]
