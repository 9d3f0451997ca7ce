"""Moving a space to another relay: a session with a relay that is not the space's own, and settling there.

Nothing of a space changes before all of it is on the new relay, durably. What two relays hold of it never contradicts: both
only get what was signed, and a device that finds something on one brings it to the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from bide.ids import LogId, SpaceId
from bide.log.head import Head
from bide.log.packing import pack
from bide.replica.own_devices.phrases import tell_paper
from bide.replica.spaces.personal import offer_key, said_of_me
from bide.replica.spaces.relays import MOVED_KEY, Former, place_to_say, put_followed, put_formers, read_formers, relay_key
from bide.replica.spaces.stance import may_write
from bide.replica.sync.refusals import Stance
from bide.replica.sync.syncing import SpaceSync
from bide.storage.base import SpaceRecord, Storage, find_space

if TYPE_CHECKING:
    from bide.replica.authoring.replica_like import ReplicaLike

_INVITE = "relay_invite"


class Beside:
    """A storage as a session with a second relay sees it: what that one has is kept apart, in this object."""

    def __init__(self, storage: Storage, space: SpaceId, *, invite: str = "") -> None:
        self._storage = storage
        of_the_relay = (f"relay_host.{space.hex()}", f"asked_bodies.{space.hex()}")
        self._metas = {store_key(space): "", _INVITE: invite, **dict.fromkeys(of_the_relay, "")}
        self._heads: dict[LogId, Head] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def meta(self, key: str) -> str:
        """As kept, but for what is said of the relay."""
        return self._metas[key] if key in self._metas else self._storage.meta(key)

    def put_meta(self, key: str, value: str) -> None:
        """As `meta`."""
        if key in self._metas:
            self._metas[key] = value
        else:
            self._storage.put_meta(key, value)

    def relay_heads(self, space: SpaceId) -> dict[LogId, Head]:
        """What the second relay has."""
        del space
        return dict(self._heads)

    def put_relay_head(self, space: SpaceId, head: Head) -> None:
        """As `relay_heads`."""
        del space
        self._heads[head.log_id] = head


class Visit:
    """One session of one space with a relay that is not, or not yet, its own."""

    def __init__(
        self,
        replica: ReplicaLike,
        space: SpaceRecord,
        url: str,
        stance: Stance,
        *,
        host: str,
        invite: str = "",
        may_forget: Callable[[SpaceSync], bool] | None = None,
    ) -> None:
        """Prepare.

        Args:
            replica: whose.
            space: which.
            url: of the relay.
            stance: towards it.
            host: host and port as dialled.
            invite: a token of that relay, if it is to take a space that it doesn't know.
            may_forget: with `Stance.LEAVING`, asked once both sides have everything: whether the relay is asked to forget.
        """
        self.space = space
        self.url = url
        self._beside = Beside(replica.storage, space.space_id, invite=invite)
        self.sync = SpaceSync(
            cast("Storage", self._beside),
            space,
            host=host,
            live=False,
            randomness=replica.randomness,
            stance=stance,
            may_forget=may_forget,
            rests=lambda: space.space_id in replica.resting(),
        )

    def settle(self, storage: Storage) -> None:
        """Make this relay the space's own, the one before a former one. Inside a transaction."""
        space_id, beside = self.space.space_id, self._beside
        space = find_space(storage, space_id)
        formers = [former for former in read_formers(storage, space_id) if former.url not in (self.url, space.relay_url)]
        if space.relay_url and space.relay_url != self.url:
            formers.insert(0, Former(space.relay_url))
        put_formers(storage, space_id, formers)
        storage.put_space(space._replace(relay_url=self.url))
        there = beside.relay_heads(space_id)
        for log in storage.relay_heads(space_id):
            storage.put_relay_head(space_id, there.get(log) or Head(log, 0, bytes(32)))
        for head in there.values():
            storage.put_relay_head(space_id, head)
        storage.put_meta(store_key(space_id), beside.meta(store_key(space_id)))
        put_followed(storage, space_id, self.url)


def store_key(space: SpaceId) -> str:
    """Where it is kept which store of which relay a space is on."""
    return f"relay_store.{space.hex()}"


def settle(replica: ReplicaLike, visits: Sequence[Visit], *, new_home: bool, invite: str = "", moved: bool = True) -> None:
    """Make the relay of finished visits the own one of their spaces, and say so in each. One transaction.

    Args:
        replica: whose.
        visits: all with one relay; each has brought everything there.
        new_home: take the relay for new spaces too.
        invite: the token for those.
        moved: the person does this on purpose; False: this device goes after another one of theirs.
    """
    storage = replica.storage
    with storage.transaction():
        for visit in visits:
            visit.settle(storage)
        if new_home and visits:
            storage.put_meta("relay_url", visits[0].url)
            storage.put_meta(_INVITE, invite)
        now = {space.space_id: space for space in storage.spaces()}
        for visit in visits:
            space = now[visit.space.space_id]
            fields = {relay_key(space.log_id): visit.url}
            if moved:
                fields[MOVED_KEY] = visit.url
            if may_write(storage, space):  # in what has ended nothing is said any more: both relays go on having it
                replica.writer.say_of_person(fields, space=space)
        spaces = [now[visit.space.space_id] for visit in visits]
        _offer_anew(replica, spaces)
        if moved:
            tell_paper(replica, spaces)


def _offer_anew(replica: ReplicaLike, spaces: Sequence[SpaceRecord]) -> None:
    """A device that is let into a space later, through the own space, is told where it is now."""
    own = replica.reader.own_space()
    said = said_of_me(replica.storage, own)
    fields = {}
    for space in spaces:
        if offer_key(space.space_id) in said:
            founder = replica.storage.members(space.space_id)[0].log_id
            genesis = replica.storage.envelope(space.space_id, founder, 1)
            assert genesis is not None  # every space begins with it
            fields[offer_key(space.space_id)] = pack([space.kind, space.slot, space.relay_url, genesis.data]).hex()
    if fields:
        replica.writer.say_of_person(fields, space=own)


def say_place(replica: ReplicaLike, space: SpaceRecord) -> None:
    """Say where this device is, if one of the two moved there and it was not said yet."""
    storage = replica.storage
    now = find_space(storage, space.space_id)
    fields = place_to_say(storage, now)
    if fields:
        with storage.transaction():
            replica.writer.say_of_person(fields, space=now)
