"""What is done in a space once all that the relay has is here: what is written then can't fork this device's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bide.errors import Phrase
from bide.ids import SpaceId, person_entry_id
from bide.replica.authoring.admitting import hand_on_keys
from bide.replica.authoring.appending import NotWhole
from bide.replica.examining.mending import still_missing, take_back
from bide.replica.own_devices.devices import finish_removals
from bide.replica.own_devices.later_spaces import share_spaces
from bide.replica.own_devices.moving import say_place
from bide.replica.own_devices.phrases import keep_up
from bide.replica.single_writer.copies import is_due, say_where, settle
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.personal import device_key, device_names, my_devices, place_key
from bide.replica.spaces.removal import is_out
from bide.replica.spaces.stance import LEFT, may_write, read_stances
from bide.storage.base import SpaceRecord, find_space

if TYPE_CHECKING:
    from bide.replica.authoring.replica_like import ReplicaLike

_STILL_MISSING = (
    "Log entries that were lost here are on no relay ({count}). Another device may have them, and brings them back when it"
    " syncs; until then nothing can be written there. To go on without them: bide doctor --repair"
)


def catch_up(replica: ReplicaLike, space_id: SpaceId) -> list[Phrase]:
    """Settle what waited for it. Returns what the person is to know.

    A home that exists twice goes on in a log of its own. What this person is called is said, if it never was: a pairing that
    broke off left it out. Who was removed meanwhile, or was let in, is dealt with.
    """
    storage = replica.storage
    space = find_space(storage, space_id)
    if space.pending:
        return []
    take_back(storage, space)
    if missing := still_missing(storage, space):
        return [] if is_out(storage, space) else [Phrase(_STILL_MISSING, {"count": missing})]
    try:
        return _go_on(replica, space)
    except NotWhole:
        return []  # another space waits for the end of its log; what was to be said there is said once it is here


def _go_on(replica: ReplicaLike, space: SpaceRecord) -> list[Phrase]:
    storage, space_id = replica.storage, space.space_id
    notices = settle(replica, space)
    if is_due(storage, space_id):
        return notices
    space = find_space(storage, space_id)
    me = person_entry_id(space_id, space.slot)
    if storage.entry(space_id, me) is None and not read_belonging(storage, space_id).ended.get(space.log_id):
        with storage.transaction():
            if storage.entry(space_id, me) is None and not read_belonging(storage, space_id).over:
                replica.writer.name_person(replica.name, space=space)
                replica.adopt_relay(space)
    _among_devices(replica, space)
    return notices


def _among_devices(replica: ReplicaLike, space: SpaceRecord) -> None:
    """Hand on keys that a device lacks, and say what this device is called where that was not said yet."""
    storage, writer, appender = replica.storage, replica.writer, replica.writer.appender
    belonging = read_belonging(storage, space.space_id)
    if space.log_id in belonging.ended:
        return
    left = read_stances(storage).get(space.space_id) == LEFT
    if not left:
        finish_removals(replica, space)
    if belonging.lacking:
        with storage.transaction():
            hand_on_keys(storage, appender, space)
    if not left:
        keep_up(replica, space)  # the words bring back what has ended as well
    if not may_write(storage, space):
        return
    say_place(replica, space)
    own = replica.reader.own_space()
    if space.space_id == own.space_id:
        say_where(replica, own)
        share_spaces(replica, own)
    mine = next((each for each in my_devices(storage) if each.this), None)
    if own.pending or mine is None or not mine.named or space.space_id == own.space_id:
        return
    here = next((each for each in device_names(storage, space) if each.this), None)
    if here is not None and not here.named:
        with storage.transaction():
            writer.say_of_person({device_key(space.log_id): mine.name}, space=space)
            writer.say_of_person({place_key(own.log_id, space.space_id): space.log_id.hex()}, space=own)
