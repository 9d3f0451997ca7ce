"""Going on in a new log: this home becomes another device of the same person, brought in by the one that it was.

A log is never written by two. Where another copy of this home writes it too, or whoever holds its keys shall not write on, what
this home says from now on goes into a log of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bide.crypto.keys import new_device_keys
from bide.ids import Randomness
from bide.replica.devices import admit
from bide.replica.founding import device_record
from bide.replica.rebuilding import rebuild_members
from bide.storage.base import FormerDevice, SpaceRecord, Storage

if TYPE_CHECKING:
    from bide.replica.appending import Appender


def succeed(
    storage: Storage, appender: Appender, space: SpaceRecord, *, randomness: Randomness, keep_former: bool = True
) -> SpaceRecord:
    """Have the device that this home is in a space bring in a new one, and be that one from here on. Inside a transaction.

    The old log says ``device.added`` at its head, with every epoch secret that is here; nothing is written into the new log.
    The relay knows the new device only once that statement has come there: until it has acknowledged it, syncing proves itself
    with the keys of the former device. Names and places are not said here.

    Args:
        storage: the replica.
        appender: its.
        space: in which; its log is here as far as it goes anywhere.
        randomness: for the new keys.
        keep_former: keep the keys of the device that it was. Without them a relay that loses the statement and gets something
            else in its place can't be told of the new device by this home.

    Returns:
        The space as it is now: another log, other keys.

    Raises:
        MembershipRejected: the person can't have more devices, or the old device belongs no more.
    """
    keys = new_device_keys(randomness)
    log = admit(storage, appender, space, device_record(keys, space=space.space_id, slot=space.slot))
    if keep_former:
        storage.put_former_device(FormerDevice(space.space_id, space.log_id, space.signing_seed, space.sealing_secret))
    storage.replace_device(space._replace(log_id=log, signing_seed=keys.signing_seed, sealing_secret=keys.sealing_secret))
    rebuild_members(storage, space.space_id)
    return next(found for found in storage.spaces() if found.space_id == space.space_id)
