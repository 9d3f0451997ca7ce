"""Moving to another relay, following somebody there, and leaving the old one; the rules are in `bide.replica.spaces.relays`.

A device that moved goes on syncing with the relay before as well, after its own, until everybody has moved: so nobody misses
anything, whoever follows when. An old relay that is gone for good is no error; it is tried less and less often.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bide.errors import BideError, InputError, NotAllowed, RelayUnreachable, VerificationFailed
from bide.ids import SpaceId
from bide.replica.own_devices.moving import Visit, settle
from bide.replica.spaces.addresses import host_of
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.relays import (
    ASKED,
    ASKING_MAX_MS,
    CANNOT,
    GIVEN_UP,
    IN_USE,
    Former,
    due,
    nobody_needs,
    put_formers,
    read_formers,
)
from bide.replica.sync.refusals import Stance
from bide.replica.sync.syncing import SpaceSync
from bide.storage.base import SpaceRecord, find_space
from bide_cli.home.locks import SYNC_LOCK, Lock
from bide_cli.syncing.carrying import LOCK_BUSY, LOCK_WAIT_S, Carrier, sync_all, worst_error
from bide_cli.syncing.transport import dialled

if TYPE_CHECKING:
    from bide.replica import Replica

_NEW_HINT = "Nothing was moved: {url} can't be reached. Is the address right? Try again when it can."
_OLD_HINT = "Nothing was moved. Try again when it can be reached; if it is gone for good: bide relay move URL --without-old"


# What a person asks for


def move(
    replica: Replica, home: Path, url: str, *, invite: str = "", space: SpaceRecord | None = None, without_old: bool = False
) -> list[SpaceRecord]:
    """Move spaces to another relay: everything is there, durably, before anything changes here.

    Args:
        replica: whose.
        home: its folder.
        url: where to, checked.
        invite: a token of that relay.
        space: the only one to move; None: all that are on the relay that is set, and new ones.
        without_old: don't insist on a last sync with the relay that is left.

    Returns:
        The spaces, as they were before.

    Raises:
        InputError: they are there already.
        NotAllowed: the new relay doesn't take them.
        RelayUnreachable: it can't be had, or the old one.
    """
    with _alone(home):
        return asyncio.run(move_alone(replica, url, invite=invite, space=space, without_old=without_old))


async def move_alone(
    replica: Replica, url: str, *, invite: str = "", space: SpaceRecord | None = None, without_old: bool = False
) -> list[SpaceRecord]:
    """`move`, for who has an event loop and whom nobody disturbs."""
    before = replica.relay()
    _require_awake(replica, space)
    spaces = [space] if space is not None else [each for each in _movable(replica) if each.relay_url in ("", before)]
    if url == before and all(each.relay_url == url for each in spaces):
        raise InputError("That is the relay that is in use already.")
    spaces = [each for each in spaces if each.relay_url != url]
    if not spaces:
        raise InputError("That is the relay that is in use already.")
    if any(each.relay_url for each in spaces) and not without_old:
        await _last_sync(replica, spaces)
    visits = await _visit_all(replica, spaces, url, Stance.MOVING, invite=invite)
    settle(replica, visits, new_home=space is None, invite=invite)
    # What was just said goes through both.
    await sync_all(replica)
    return spaces


def follow(replica: Replica, home: Path, url: str, space: SpaceRecord) -> None:
    """Go after the other person to the relay that they moved to. Raises as `move`."""
    with _alone(home):
        asyncio.run(follow_alone(replica, url, space))


async def follow_alone(replica: Replica, url: str, space: SpaceRecord) -> None:
    """`follow`, for who has an event loop and whom nobody disturbs."""
    _require_awake(replica, space)
    if space.relay_url:
        await sync_all(replica)  # as far as it can be had: what is not there yet comes with the visit
    visits = await _visit_all(replica, [space], url, Stance.FOLLOWING)
    settle(replica, visits, new_home=False)
    await sync_all(replica)


def _alone(home: Path) -> Lock:
    return Lock(home / SYNC_LOCK, wait_s=LOCK_WAIT_S, busy=LOCK_BUSY)


def _movable(replica: Replica) -> list[SpaceRecord]:
    """Spaces in which this device belongs. One whose pairing is not finished stays where the other side looks for it.

    Of what is paused or was left quietly nothing is sent, to no relay.
    """
    resting = replica.resting()
    return [
        space
        for space in replica.spaces()
        if not space.pending
        and space.space_id not in resting
        and space.log_id not in read_belonging(replica.storage, space.space_id).ended
    ]


def _require_awake(replica: Replica, space: SpaceRecord | None) -> None:
    if space is not None and space.space_id in replica.resting():
        raise NotAllowed("That is paused, so nothing of it is sent to any relay.", hint="To go on: bide pause --end")


async def _last_sync(replica: Replica, spaces: Sequence[SpaceRecord]) -> None:
    """Leave nothing behind that is only on the old relay, and nothing here that it lacks."""
    moving = {space.space_id for space in spaces}
    outcomes = [outcome for outcome in await sync_all(replica) if outcome.space.space_id in moving]
    error = worst_error(outcomes)
    if isinstance(error, RelayUnreachable):
        error.advise(_OLD_HINT)
    if error is not None:
        raise error


# Visits


async def _visit_all(
    replica: Replica, spaces: Iterable[SpaceRecord], url: str, stance: Stance, *, invite: str = ""
) -> list[Visit]:
    """Bring everything of some spaces to a relay.

    Raises:
        BideError: of one of them; what is on the relay by then does no harm, and nothing changes here.
    """
    visits = [Visit(replica, space, url, stance, host=host_of(url), invite=invite) for space in spaces]
    # One after the other: an invite that is not enough for all is better found out with the first.
    for visit in visits:
        try:
            await _carry(visit)
        except RelayUnreachable as error:
            error.advise(_NEW_HINT, url=url)
            raise
    return visits


async def _carry(visit: Visit) -> None:
    async with dialled(visit.url) as connection:
        await Carrier(connection, visit.sync).run(lambda: None)


# What every sync does besides


async def tend(
    replica: Replica, spaces: Sequence[SpaceRecord], *, patiently: bool
) -> tuple[set[SpaceId], dict[SpaceId, BideError]]:
    """Go after the person's other devices, and keep in step with relays that were left, until they may forget.

    Args:
        replica: whose.
        spaces: which were just synced with their own relay.
        patiently: leave out what could not be had a moment ago.

    Returns:
        The spaces that are to be synced with their own relay again, and errors that say more than that a relay is away.
    """
    again: set[SpaceId] = set()
    errors: dict[SpaceId, BideError] = {}
    for space in spaces:
        try:
            if await _go_after(replica, space):
                again.add(space.space_id)
        except VerificationFailed as error:
            errors[space.space_id] = error

    async def one(space: SpaceRecord) -> None:
        try:
            if await _tend_formers(replica, space, patiently=patiently):
                again.add(space.space_id)
        except BideError as error:
            errors[space.space_id] = error

    await asyncio.gather(*(one(find_space(replica.storage, space.space_id)) for space in spaces))
    return again, errors


async def _go_after(replica: Replica, space: SpaceRecord) -> bool:
    """Move a space to where the person moved it on another device of theirs. Where that fails, the next sync tries again.

    Raises:
        VerificationFailed: what that relay has is not what it should be; the space stays where it is.
    """
    url = due(replica.storage, find_space(replica.storage, space.space_id))
    if not url:
        return False
    visit = Visit(replica, space, url, Stance.FOLLOWING, host=host_of(url))
    try:
        await _carry(visit)
    except VerificationFailed:
        raise
    except BideError:
        return False
    settle(replica, [visit], new_home=space.kind == "own" and space.relay_url == replica.relay(), moved=False)
    return True


async def _tend_formers(replica: Replica, space: SpaceRecord, *, patiently: bool) -> bool:
    """Sync a space with the relays that it was on. Whether something came that its own one may lack."""
    storage, now_ms = replica.storage, replica.clock.now_ms()
    news = False
    kept: dict[str, Former | None] = {}
    for former in read_formers(storage, space.space_id):
        if former.over or (patiently and former.rests(now_ms)):
            continue
        ready = nobody_needs(storage, space, former.url)
        former = former._replace(ready_ms=(former.ready_ms or now_ms) if ready else 0)
        if ready and now_ms - former.ready_ms > ASKING_MAX_MS:
            kept[former.url] = former._replace(state=GIVEN_UP)
            continue
        stance, may_forget = (Stance.LEAVING, _may_forget(replica, space, former)) if ready else (Stance.BESIDE, None)
        visit = Visit(replica, space, former.url, stance, host=host_of(former.url), may_forget=may_forget)
        try:
            await _carry(visit)
        except VerificationFailed:
            raise
        except BideError:
            kept[former.url] = former._replace(tried_ms=now_ms, failures=former.failures + 1)
            continue
        finally:
            news = news or visit.sync.received > 0
        kept[former.url] = _after(former, visit.sync, now_ms)
    _keep(replica, space.space_id, kept)
    return news


def _may_forget(replica: Replica, space: SpaceRecord, former: Former) -> Callable[[SpaceSync], bool]:
    def may(sync: SpaceSync) -> bool:
        storage = replica.storage
        # What came just now is not on the space's own relay yet.
        if sync.received or not nobody_needs(storage, find_space(replica.storage, space.space_id), former.url):
            return False
        there = storage.relay_heads(space.space_id)
        return all(log in there and there[log].seq >= seq for log, seq in sync.passed_on().items())

    return may


def _after(former: Former, sync: SpaceSync, now_ms: int) -> Former | None:
    """What a former relay is after a visit that went well."""
    if sync.absent:
        return None
    state = CANNOT if sync.cannot_ask else ASKED if sync.asked else IN_USE
    return former._replace(state=state, tried_ms=now_ms, failures=0)


def _keep(replica: Replica, space: SpaceId, kept: dict[str, Former | None]) -> None:
    storage = replica.storage
    with storage.transaction():
        before = read_formers(storage, space)
        after = [found for former in before if (found := kept.get(former.url, former)) is not None]
        if after != before:
            put_formers(storage, space, after)
