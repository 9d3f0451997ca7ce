"""The frames of the sync protocol: one msgpack array per websocket binary message, ``[type, field, …]``.

Every field has a limit. Envelopes travel as the opaque bytes that were signed.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import Field

VERSION = 1
FRAME_BYTES_BEFORE_AUTH_MAX = 4 * 1024
FRAME_BYTES_MAX = 320 * 1024
BATCH_BYTES_MAX = 256 * 1024
"""Envelope bytes in one `Envelopes` frame."""
BATCH_ENVELOPES_MAX = 512
LOGS_MAX = 64
MAILBOX_BYTES_MAX = 3 * 1024
SENTENCE_BYTES_MAX = 256
FORGOTTEN_DAYS = "forgotten_days"
"""The limit that a relay names if it knows `forget`: for how many days it knows what it deleted."""

Bytes16 = Annotated[bytes, Field(min_length=16, max_length=16, strict=True)]
Bytes32 = Annotated[bytes, Field(min_length=32, max_length=32, strict=True)]
Bytes64 = Annotated[bytes, Field(min_length=64, max_length=64, strict=True)]
Seq = Annotated[int, Field(ge=0, le=2**62, strict=True)]
EnvelopeBytes = Annotated[bytes, Field(min_length=204, max_length=256 * 1024, strict=True)]
Word = Annotated[str, Field(min_length=1, max_length=64, strict=True)]
Sentence = Annotated[str, Field(max_length=SENTENCE_BYTES_MAX, strict=True)]
Flag = Annotated[bool, Field(strict=True)]
LimitValue = Annotated[int, Field(ge=0, le=2**62, strict=True)]


class LogHead(NamedTuple):
    """How far one log goes."""

    log_id: Bytes16
    seq: Seq
    hash: Bytes32


class LogPosition(NamedTuple):
    """How much of one log somebody has."""

    log_id: Bytes16
    seq: Seq


class Hello(NamedTuple):
    """Relay, first: who it is and what it allows."""

    versions: Annotated[list[Annotated[int, Field(ge=1, le=65535, strict=True)]], Field(min_length=1, max_length=16)]
    relay_key: Bytes32
    """The relay's Ed25519 public key."""
    nonce: Bytes32
    store_id: Bytes16
    """Changes when the relay's storage was replaced."""
    limits: Annotated[dict[Word, LimitValue], Field(max_length=32)]


class Auth(NamedTuple):
    """Client: which device of which space this is."""

    version: Annotated[int, Field(ge=1, le=65535, strict=True)]
    space: Bytes16
    device: Bytes32
    nonce: Bytes32
    host: Annotated[str, Field(min_length=1, max_length=255, strict=True)]
    """The host and port as the client dialled them: a relay in the middle can't pass the proof on."""
    signature: Bytes64
    """See `bide.protocol.session.auth_message`."""


class Register(NamedTuple):
    """Client, after `unknown_space`: found this space on this relay."""

    invite: Annotated[str, Field(max_length=128, strict=True)]
    """An invite token, or empty where registration is open."""
    genesis: EnvelopeBytes


class Welcome(NamedTuple):
    """Relay: the device is who it says. What the relay has of the space."""

    heads: Annotated[list[LogHead], Field(max_length=LOGS_MAX)]
    proof: Bytes64
    """The relay's signature, see `bide.protocol.session.relay_proof_message`."""
    provisional: Flag
    """The device is not known as a member yet: it may send, and is sent nothing until it is."""


class Want(NamedTuple):
    """Client: how much it has of each log, its own included. Everything beyond is sent, and what comes later too."""

    have: Annotated[list[LogPosition], Field(max_length=LOGS_MAX)]


class Envelopes(NamedTuple):
    """Both: a batch, each log's entries in order, logs in order of admission."""

    envelopes: Annotated[list[EnvelopeBytes], Field(min_length=1, max_length=BATCH_ENVELOPES_MAX)]


class Stored(NamedTuple):
    """Relay: durably stored up to here, per log. Never sent before the commit."""

    heads: Annotated[list[LogHead], Field(min_length=1, max_length=LOGS_MAX)]


class CaughtUp(NamedTuple):
    """Relay: everything up to now was sent; from here on it is live."""


class Forget(NamedTuple):
    """Client: the person of this device needs this space here no more. Only to a relay whose limits name `forgotten_days`."""


class Forgotten(NamedTuple):
    """Relay: the answer to `forget`, durable. The connection ends with it if the space is gone."""

    gone: Flag
    """Everybody in the space has asked, and it was deleted. Otherwise it is noted that this person has."""


class Error(NamedTuple):
    """Either: what is wrong."""

    code: Word
    words: Sentence
    fatal: Flag
    """The sender closes the connection after this frame."""
    retry_after_ms: Annotated[int, Field(ge=0, le=86_400_000, strict=True)]
    """0: no advice."""
    evidence: Annotated[list[Annotated[bytes, Field(max_length=204, strict=True)]], Field(max_length=2)]
    """For a fork: the signed header of what the relay holds at that place."""


class MailboxOpen(NamedTuple):
    """Client, unauthenticated: give me a nameplate for a pairing."""


class MailboxOpened(NamedTuple):
    """Relay: the nameplate, valid for one claim."""

    nameplate: Annotated[int, Field(ge=1, le=999_999, strict=True)]
    expires_s: Annotated[int, Field(ge=1, le=86_400, strict=True)]


class MailboxClaim(NamedTuple):
    """Client, unauthenticated: I know this nameplate."""

    nameplate: Annotated[int, Field(ge=1, le=999_999, strict=True)]


class MailboxReady(NamedTuple):
    """Relay, to both: the other one is there."""


class MailboxMessage(NamedTuple):
    """Both: passed to the other side as it is; nothing is stored."""

    body: Annotated[bytes, Field(min_length=1, max_length=MAILBOX_BYTES_MAX, strict=True)]


class MailboxClosed(NamedTuple):
    """Both: this pairing is over; the nameplate is gone."""

    reason: Word
    """``done``, ``failed``, ``expired``, ``gone`` (the other side left) or ``unknown`` (no such nameplate)."""


Frame = (
    Hello
    | Auth
    | Register
    | Welcome
    | Want
    | Envelopes
    | Stored
    | CaughtUp
    | Forget
    | Forgotten
    | Error
    | MailboxOpen
    | MailboxOpened
    | MailboxClaim
    | MailboxReady
    | MailboxMessage
    | MailboxClosed
)

FRAME_NAMES: dict[type[Frame], str] = {
    Hello: "hello",
    Auth: "auth",
    Register: "register",
    Welcome: "welcome",
    Want: "want",
    Envelopes: "envelopes",
    Stored: "stored",
    CaughtUp: "caught_up",
    Forget: "forget",
    Forgotten: "forgotten",
    Error: "error",
    MailboxOpen: "mailbox_open",
    MailboxOpened: "mailbox_opened",
    MailboxClaim: "mailbox_claim",
    MailboxReady: "mailbox_ready",
    MailboxMessage: "mailbox_message",
    MailboxClosed: "mailbox_closed",
}
"""The name of each frame on the wire."""
