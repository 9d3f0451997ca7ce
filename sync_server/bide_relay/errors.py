"""What a relay refuses, as errors with stable codes. The code goes out in the `Error` frame.

::

    BideError
    └── RelayRefusal              the relay won't do that
        ├── NotAMember            the device does not belong to the space
        ├── DeviceRevoked         the device was removed from the space
        ├── RevokedLog            what was brought is by a removed device, and counts no more
        ├── SpaceUnknown          the relay does not hold that space
        ├── SpaceForgotten        it did, until everybody in it asked it to forget
        ├── InviteRequired        registration needs an invite
        ├── InviteSpent           the invite admits no more spaces, or never existed
        ├── QuotaReached          the space is full
        ├── DiskLow               the relay's disk is nearly full
        ├── TooManyConnections    one of the connection limits is reached
        ├── RateLimited           too often in too short a time
        └── ShuttingDown          the relay is going down

Beside these, a relay refuses with the codes of `bide.errors`: ``fork``, ``gap``, ``envelope_rejected``,
``membership_rejected`` and ``remote_protocol``.
"""

from __future__ import annotations

from bide.errors import BideError
from bide.protocol.states import FORGOTTEN_CODE, REVOKED_LOG_CODE


class RelayRefusal(BideError):
    """The relay won't do that."""

    code = "refused"
    fatal = True
    """Whether the connection ends with it."""
    retry_after_ms = 0
    """When it makes sense to try again; 0: no advice."""


class NotAMember(RelayRefusal):
    """This device is not a member of that space."""

    code = "not_a_member"


class DeviceRevoked(RelayRefusal):
    """This device was removed from that space."""

    code = "revoked"


class RevokedLog(RelayRefusal):
    """What a device wrote after it was removed is not taken."""

    code = REVOKED_LOG_CODE
    # Who brings it in good faith has yet to hear of the removal.
    fatal = False


class SpaceUnknown(RelayRefusal):
    """The relay does not hold that space."""

    code = "unknown_space"


class SpaceForgotten(RelayRefusal):
    """This relay held that space, and deleted it when everybody in it had moved on."""

    code = FORGOTTEN_CODE


class InviteRequired(RelayRefusal):
    """This relay admits new spaces by invite only."""

    code = "invite_required"


class InviteSpent(RelayRefusal):
    """That invite admits nobody, or nobody more."""

    code = "invite_spent"


class QuotaReached(RelayRefusal):
    """This space holds as much as the relay allows."""

    code = "quota"
    # Reading goes on, and the operator may raise the limit: what was refused must be offered again.
    fatal = False
    retry_after_ms = 3_600_000


class DiskLow(RelayRefusal):
    """The relay's disk is nearly full; it accepts nothing new for now."""

    code = "disk_low"
    fatal = False
    retry_after_ms = 60_000


class TooManyConnections(RelayRefusal):
    """There are too many connections."""

    code = "too_many_connections"
    retry_after_ms = 30_000


class RateLimited(RelayRefusal):
    """That was too often in too short a time."""

    code = "rate_limited"
    retry_after_ms = 60_000


class ShuttingDown(RelayRefusal):
    """The relay is going down and should be back soon."""

    code = "shutting_down"
    retry_after_ms = 2_000
