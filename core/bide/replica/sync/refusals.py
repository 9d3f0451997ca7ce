"""What a relay's refusal means for a person: its codes, as errors with words of our own."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from bide.errors import BideError, NotAllowed, Phrase, RelayUnreachable, RemoteProtocolError, VerificationFailed
from bide.ids import LogId
from bide.log.envelope import LOG_ID_AT, is_signed_header
from bide.protocol.frames import Error
from bide.protocol.states import FORGOTTEN_CODE, REVOKED_CODE
from bide.replica.single_writer.succession import note_other_past, own_logs
from bide.storage.base import SpaceRecord, Storage

_RELAY_ERRORS: Mapping[str, tuple[type[BideError], str]] = {
    REVOKED_CODE: (NotAllowed, "This device was removed from the devices of this journal."),
    "not_a_member": (VerificationFailed, "The relay doesn't know this device as a member of the space."),
    "invite_required": (NotAllowed, "This relay asks for an invite."),
    "invite_spent": (NotAllowed, "That invite has been used up or is not of this relay."),
    "quota": (NotAllowed, "The relay has no more room for this space."),
    "disk_low": (RelayUnreachable, "The relay's disk is full; it takes nothing just now."),
    "rate_limited": (RelayUnreachable, "The relay asks for patience."),
    "error": (RelayUnreachable, "Something went wrong at the relay."),
    "gap": (VerificationFailed, "The relay lacks something that comes before what was sent."),
    "envelope_rejected": (VerificationFailed, "The relay refused an entry as not genuine."),
    "membership_rejected": (VerificationFailed, "The relay refused a change of who belongs to the space."),
    "too_many_connections": (RelayUnreachable, "The relay is busy."),
    "shutting_down": (RelayUnreachable, "The relay is being restarted."),
    FORGOTTEN_CODE: (NotAllowed, "This journal was moved to another relay."),
}
_HINTS = {REVOKED_CODE: "What is here stays readable. To take it along: bide export"}
_INVITE_HINT = "Ask whoever runs it for one, then: bide relay set URL --invite TOKEN"
_FOUNDER_INVITE_HINT = "They ask whoever runs the relay for one, then: bide relay set URL --invite TOKEN, and bide sync"
_MOVE_INVITE_HINT = "Nothing was moved. Ask whoever runs it for one, then: bide relay move URL --invite TOKEN"
_MOVED_HINT = "bide relay on a device of yours, or the other person's, shows which. Then here: {command}"
NO_INVITE = Phrase(
    "This relay takes your private entries only with an invite of your own; they stay on this device. "
    "With one: bide relay set URL --invite TOKEN"
)


class Stance(Enum):
    """What a relay is to the space that is synced with it."""

    USUAL = "usual"
    """The space's own: it is registered where it is not known, but not where it was forgotten."""
    MOVING = "moving"
    """It is to become the own one: the space is registered in any case."""
    FOLLOWING = "following"
    """It is to become the own one, and has the space already."""
    BESIDE = "beside"
    """It was the own one, and somebody is still there: what it lost is brought back, but not what it was asked to forget."""
    LEAVING = "leaving"
    """It was the own one: nothing is registered there, and it is asked to forget the space once nobody needs it."""


def refusal(error: Error, space: SpaceRecord, stance: Stance) -> BideError:
    """The error to raise for a relay's, in the words of this side."""
    if stance is Stance.MOVING and error.code.startswith("invite"):
        return NotAllowed(_RELAY_ERRORS[error.code][1], hint=_MOVE_INVITE_HINT)
    if error.code.startswith("invite") and space.slot == 1:
        return NotAllowed("This relay asks for an invite of the one who founded the space.", hint=_FOUNDER_INVITE_HINT)
    if error.code not in _RELAY_ERRORS:
        return RemoteProtocolError("The relay refused: {words}", words=plain_words(error.words))
    kind, words = _RELAY_ERRORS[error.code]
    return kind(words, hint=_INVITE_HINT if error.code.startswith("invite") else _HINTS.get(error.code))


def refused_fork(error: Error, storage: Storage, space: SpaceRecord) -> tuple[bytes, BideError]:
    """Somebody was at the relay first since it told what it has: the next contact sees it before it sends.

    Unless this home is out there: then that is noted, and nothing is left to be seen.

    Returns:
        The signed header of the other past, where the relay shows one of somebody else's log; and the error to raise.
    """
    header = error.evidence[0] if error.evidence else b""
    devices = {member.log_id: member.device_id for member in storage.members(space.space_id)}
    log = LogId(header[LOG_ID_AT])
    if log in own_logs(storage, space) and note_other_past(storage, space, log):
        return b"", NotAllowed(_RELAY_ERRORS[REVOKED_CODE][1], hint=_HINTS[REVOKED_CODE])
    if log not in devices or log in own_logs(storage, space):
        raised = RelayUnreachable("Another copy of this home has written meanwhile.", hint="Nothing is lost. Run: bide sync")
        return b"", raised
    proof = header if is_signed_header(header, space=space.space_id, device=devices[log]) else b""
    return proof, RelayUnreachable("The relay has got another past of a log meanwhile.", hint="Run: bide sync")


def moved_away(space: SpaceRecord) -> NotAllowed:
    """The error for a space that everybody else has taken to another relay."""
    command = "bide relay set URL" if space.kind == "own" else "bide relay follow URL"
    return NotAllowed(_RELAY_ERRORS[FORGOTTEN_CODE][1], hint=_MOVED_HINT, command=command)


def plain_words(words: str) -> str:
    """A relay's words, fit for a terminal."""
    return "".join(character if character.isprintable() else " " for character in words)[:200]
