"""Pausing what is shared, and leaving it: with notice, or quietly. Nobody has to agree, and no reason is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bide.errors import NotAllowed
from bide.log.control import SpaceEnded, Statement, write_control
from bide.replica.derivation.rebuilding import load_sayable, rebuild_members
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.stance import LEFT, NO, PAUSED, YES, read_stances, stance_key
from bide.replica.views.reviewing import local_day
from bide.storage.base import SpaceRecord

if TYPE_CHECKING:
    from bide.replica.authoring.replica_like import ReplicaLike


def pause(replica: ReplicaLike, space: SpaceRecord, *, end: bool) -> None:
    """Stop syncing a space, or go on. What is written meanwhile waits here.

    Raises:
        NotAllowed: it is so already.
    """
    with replica.storage.transaction():
        if (read_stances(replica.storage).get(space.space_id) == PAUSED) is not end:
            raise NotAllowed("That is not paused." if end else "That is paused already.")
        _say_of_space(replica, space, PAUSED, NO if end else YES)


def leave_quietly(replica: ReplicaLike, space: SpaceRecord) -> None:
    """Never send anything of a space again, from no device of mine. Nobody else is told. It can't be undone.

    Raises:
        NotAllowed: this device can't say so to the others any more.
    """
    with replica.storage.transaction():
        _say_of_space(replica, space, LEFT, YES)


def leave_with_notice(replica: ReplicaLike, space: SpaceRecord) -> None:
    """Say in the space that it has ended. A pause of it ends too, since the other is to hear of it.

    Raises:
        NotAllowed: it has ended already, or this device was removed.
    """
    storage = replica.storage
    with storage.transaction():
        belonging = read_belonging(storage, space.space_id)
        if belonging.over:
            raise NotAllowed("That has ended already.")
        if space.log_id in belonging.ended:
            raise NotAllowed("This device was removed from the devices of this journal, so it can't write any more.")
        day = local_day(max(0, replica.clock.now_ms()), zone=replica.zone, day_starts_min=replica.day_starts_min)
        heads = sorted(load_sayable(storage, space.space_id).heads)
        say(replica, space, SpaceEnded("space.ended", 1, heads, day))
        if read_stances(storage).get(space.space_id) == PAUSED:
            _say_of_space(replica, space, PAUSED, NO)


def say(replica: ReplicaLike, space: SpaceRecord, statement: Statement) -> None:
    """Write a statement into this device's log, and bring what follows from it up to date. Inside a transaction."""
    replica.writer.appender.control(write_control(statement), space=space)
    rebuild_members(replica.storage, space.space_id)


def _say_of_space(replica: ReplicaLike, space: SpaceRecord, stance: str, value: str) -> None:
    replica.writer.say_of_person({stance_key(stance, space.space_id): value}, space=replica.reader.own_space())
