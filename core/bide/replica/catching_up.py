"""What is done in a space once all that the relay has is here: what is written then can't fork this device's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bide.errors import Phrase
from bide.ids import SpaceId, person_entry_id
from bide.replica.appending import NotWhole
from bide.replica.belonging import read_belonging
from bide.replica.copies import is_due, settle
from bide.replica.devices import after_catching_up
from bide.replica.mending import still_missing, take_back
from bide.storage.base import SpaceRecord

if TYPE_CHECKING:
    from bide.replica.replica import Replica

_STILL_MISSING = (
    "{count} of the log entries that were lost here are on no relay. Another device may have them, and brings them back when it"
    " syncs; until then nothing can be written there. If none can: bide doctor --repair"
)


def catch_up(replica: Replica, space_id: SpaceId) -> list[Phrase]:
    """Settle what waited for it. Returns what the person is to know.

    A home that exists twice goes on in a log of its own. What this person is called is said, if it never was: a pairing that
    broke off left it out. Who was removed meanwhile, or was let in, is dealt with.
    """
    storage = replica.storage
    space = _space(replica, space_id)
    if space.pending:
        return []
    take_back(storage, space)
    if missing := still_missing(storage, space):
        return [Phrase(_STILL_MISSING, {"count": missing})]
    try:
        return _go_on(replica, space)
    except NotWhole:
        return []  # another space waits for the end of its log; what was to be said there is said once it is here


def _go_on(replica: Replica, space: SpaceRecord) -> list[Phrase]:
    storage, space_id = replica.storage, space.space_id
    notices = settle(replica, space)
    if is_due(storage, space_id):
        return notices
    space = _space(replica, space_id)
    me = person_entry_id(space_id, space.slot)
    if storage.entry(space_id, me) is None and not read_belonging(storage, space_id).ended.get(space.log_id):
        with storage.transaction():
            if storage.entry(space_id, me) is None and not read_belonging(storage, space_id).over:
                replica.writer.name_person(replica.name, space=space)
                replica.adopt_relay(space)
    after_catching_up(replica, space)
    return notices


def _space(replica: Replica, space_id: SpaceId) -> SpaceRecord:
    return next(space for space in replica.storage.spaces() if space.space_id == space_id)
