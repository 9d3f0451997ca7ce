"""The state machine of a connection, as one table. The diagram in docs/protocol.md is drawn from it.

A row says: in this state, this frame by this side leads to that state. What is not in the table breaks the protocol.
"""

from __future__ import annotations

from enum import Enum

from bide.protocol.frames import (
    Auth,
    CaughtUp,
    Envelopes,
    Error,
    Forget,
    Forgotten,
    Frame,
    Hello,
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


class Side(Enum):
    """Who sends."""

    CLIENT = "client"
    RELAY = "relay"


class State(Enum):
    """Where a connection stands; both sides agree on it."""

    CONNECTED = "connected"
    GREETED = "greeted"
    AUTHENTICATING = "authenticating"
    UNKNOWN_SPACE = "unknown space"
    REGISTERING = "registering"
    WELCOMED = "welcomed"
    SYNCING = "syncing"
    MAILBOX_ASKED = "mailbox asked"
    MAILBOX_WAITING = "mailbox waiting"
    MAILBOX_OPEN = "mailbox open"
    CLOSED = "closed"


_C, _R, _S = Side.CLIENT, Side.RELAY, State

TRANSITIONS: dict[tuple[State, Side, type[Frame]], State] = {
    (_S.CONNECTED, _R, Hello): _S.GREETED,
    # Sync
    (_S.GREETED, _C, Auth): _S.AUTHENTICATING,
    (_S.AUTHENTICATING, _R, Welcome): _S.WELCOMED,
    (_S.UNKNOWN_SPACE, _C, Register): _S.REGISTERING,
    (_S.REGISTERING, _R, Welcome): _S.WELCOMED,
    (_S.WELCOMED, _C, Want): _S.SYNCING,
    (_S.SYNCING, _C, Envelopes): _S.SYNCING,
    (_S.SYNCING, _R, Envelopes): _S.SYNCING,
    (_S.SYNCING, _R, Stored): _S.SYNCING,
    (_S.SYNCING, _R, CaughtUp): _S.SYNCING,
    (_S.SYNCING, _C, Forget): _S.SYNCING,
    (_S.SYNCING, _R, Forgotten): _S.SYNCING,
    # Pairing
    (_S.GREETED, _C, MailboxOpen): _S.MAILBOX_ASKED,
    (_S.GREETED, _C, MailboxClaim): _S.MAILBOX_ASKED,
    (_S.MAILBOX_ASKED, _R, MailboxOpened): _S.MAILBOX_WAITING,
    (_S.MAILBOX_ASKED, _R, MailboxReady): _S.MAILBOX_OPEN,
    (_S.MAILBOX_WAITING, _R, MailboxReady): _S.MAILBOX_OPEN,
    (_S.MAILBOX_OPEN, _C, MailboxMessage): _S.MAILBOX_OPEN,
    (_S.MAILBOX_OPEN, _R, MailboxMessage): _S.MAILBOX_OPEN,
}

for _state in (_S.MAILBOX_ASKED, _S.MAILBOX_WAITING, _S.MAILBOX_OPEN):
    for _side in Side:
        TRANSITIONS[_state, _side, MailboxClosed] = _S.CLOSED

UNKNOWN_SPACE_CODE = "unknown_space"
"""An error that is an answer: the relay doesn't hold this space; the client may register it."""
FORGOTTEN_CODE = "forgotten"
"""The other one: the relay held this space until everybody in it had moved on. Registered again only by who means to."""
NOT_HERE_CODES = frozenset({UNKNOWN_SPACE_CODE, FORGOTTEN_CODE})
"""The errors after which a client may register the space."""
REVOKED_CODE = "revoked"
"""The device that somebody proved to be was removed."""
REVOKED_LOG_CODE = "revoked_log"
"""What was brought is by a device that was removed, and counts no more. The connection goes on."""


def next_state(state: State, side: Side, frame: Frame) -> State | None:
    """The state after `side` sent `frame`, or None if the protocol doesn't allow it."""
    if isinstance(frame, Error):
        if state is State.CLOSED:
            return None
        if frame.fatal:
            return State.CLOSED
        if state is State.AUTHENTICATING and side is Side.RELAY and frame.code in NOT_HERE_CODES:
            return State.UNKNOWN_SPACE
        return state
    return TRANSITIONS.get((state, side, type(frame)))
