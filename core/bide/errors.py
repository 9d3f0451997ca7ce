"""Every error that Bide raises on purpose, as one tree.

::

    BideError
    ├── InputError                what a person or a script gave cannot be used
    ├── NotPaired                 there is no shared space yet
    ├── NotFound                  no entry, person or space fits
    ├── NotAllowed                the conversation does not allow this now
    ├── RelayUnreachable          no connection to the relay
    ├── VerificationFailed        something is not what it claims to be
    │   ├── CodeMismatch          the pairing code did not match
    │   ├── EnvelopeRejected      a log entry failed a check
    │   │   ├── SequenceGap       it does not follow on what is here
    │   │   └── ForkDetected      the same place in a log holds two things
    │   └── MembershipRejected    a control envelope breaks the membership rules
    ├── Locked                    the home cannot be opened with what was given
    ├── StorageError              the database cannot be used
    │   ├── StorageDamaged        some of it can't be read any more
    │   ├── NewerFormat           it was written by a newer Bide
    │   └── StorageBusy           another process holds it too long
    ├── ChangeRejected            a change is not safe to apply
    └── ProtocolError
        ├── LocalProtocolError    this side broke the protocol: a bug here
        └── RemoteProtocolError   the other side broke the protocol

The first line of each class docstring is the default message and is safe to show: no keys, no text of an entry, no ids.
`code` is stable and is what ``--json`` prints; `hint` says what to do next.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Phrase(NamedTuple):
    """English words apart from what is put into them, so that they can be said in another language where they are shown.

    Also what an error has put into its message, where that is words and not a name or a number.
    """

    template: str
    values: Mapping[str, object] = MappingProxyType({})

    def __str__(self) -> str:
        return filled(self.template, self.values)


class BideError(Exception):
    """Something went wrong."""

    code = "error"
    hint_default = ""

    def __init__(self, message: str | None = None, *, hint: str | None = None, **values: object) -> None:
        """Say what went wrong.

        Args:
            message: one sentence in English; the class's own if left out.
            hint: what to do next, in English.
            values: what stands for ``{name}`` in either. Apart from the words, so that these can be said in another language.
        """
        self.template = message or (type(self).__doc__ or "").splitlines()[0]
        self.hint_template = self.hint_default if hint is None else hint
        self.values = values
        super().__init__(filled(self.template, values))

    @property
    def message(self) -> str:
        """The sentence to show to a person."""
        return str(self.args[0])

    @property
    def hint(self) -> str:
        """What to do next; empty if there is nothing to say."""
        return filled(self.hint_template, self.values)

    def advise(self, hint: str, **values: object) -> None:
        """Say something else about what to do next: who catches an error may know better than who raised it.

        Args:
            hint: in English.
            values: what stands for ``{name}`` in it, beside those that the error has.
        """
        self.hint_template = hint
        self.values = {**self.values, **values}


def filled(template: str, values: Mapping[str, object]) -> str:
    """A sentence with its values put in. Without any it is taken as it stands, braces and all."""
    return template.format(**values) if values else template


class InputError(BideError):
    """That input can't be used."""

    code = "input"


class NotPaired(BideError):
    """You don't share a space with anyone yet."""

    code = "not_paired"
    hint_default = "One of you runs: bide pair    The other: bide join"


class NotFound(BideError):
    """There is nothing here under that name."""

    code = "not_found"
    hint_default = "bide timeline shows what is here, with its ids."


class NotAllowed(BideError):
    """That is not possible at this point."""

    code = "not_allowed"


class RelayUnreachable(BideError):
    """The relay can't be reached just now."""

    code = "relay_unreachable"
    hint_default = "Everything you wrote is safe here and goes when the relay is back."


class VerificationFailed(BideError):
    """Something is not what it claims to be, so it was refused."""

    code = "verification_failed"


class CodeMismatch(VerificationFailed):
    """That code didn't match, and is now spent. Nothing was shared."""

    code = "code_mismatch"
    hint_default = "Ask for a new one: bide pair"


class EnvelopeRejected(VerificationFailed):
    """A log entry failed a check and was refused."""

    code = "envelope_rejected"


class SequenceGap(EnvelopeRejected):
    """A log entry does not follow on what is here."""

    code = "gap"


class ForkDetected(EnvelopeRejected):
    """The same place in a log holds two different things."""

    code = "fork"

    def __init__(self, message: str | None = None, *, hint: str | None = None, evidence: bytes = b"", **values: object) -> None:
        super().__init__(message, hint=hint, **values)
        self.evidence = evidence


class MembershipRejected(VerificationFailed):
    """A change of membership breaks the rules and was refused."""

    code = "membership_rejected"


class Locked(BideError):
    """This home can't be opened with what was given."""

    code = "locked"


class StorageError(BideError):
    """The database can't be used."""

    code = "storage"
    hint_default = "bide doctor tells more."


class StorageDamaged(StorageError):
    """The database on this device is damaged."""

    code = "storage_damaged"
    hint_default = "bide doctor --repair keeps a copy of it and mends what can be mended."


class NewerFormat(StorageError):
    """This database was written by a newer Bide and was left untouched."""

    code = "newer_format"
    hint_default = "Install the newest Bide on this device."


class StorageBusy(StorageError):
    """Another process is using this home and did not finish in time."""

    code = "storage_busy"
    hint_default = "Try again in a moment."


class ChangeRejected(BideError):
    """A change is not safe to apply and was set aside."""

    code = "change_rejected"


class ProtocolError(BideError):
    """The two sides of a connection do not understand each other."""

    code = "protocol"


class LocalProtocolError(ProtocolError):
    """This side broke the sync protocol; please report it."""

    code = "local_protocol"


class RemoteProtocolError(ProtocolError):
    """The other side broke the sync protocol."""

    code = "remote_protocol"
