"""Spaces that came to be after a device was added: the devices of a person let each other in, through their own space.

Whoever is in a space offers it there; whoever lacks it makes keys and asks; whoever is in it lets them in. All of it is sealed
in the own space, and happens as the devices sync. It takes each of them a sync or two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from bide.crypto.keys import new_device_keys
from bide.errors import BideError
from bide.ids import DeviceId, SpaceId, log_id
from bide.log.control import DeviceRecord
from bide.log.envelope import BODY_BYTES_MAX, parse_envelope
from bide.log.membership import Membership
from bide.log.packing import pack, unpack
from bide.replica.authoring.admitting import admit, spaces_to_share
from bide.replica.authoring.founding import device_record
from bide.replica.derivation.deriving import stored
from bide.replica.derivation.rebuilding import rebuild_members
from bide.replica.spaces.addresses import sound_address
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.personal import (
    DeviceName,
    device_key,
    enrolling_key,
    my_devices,
    offer_key,
    place_key,
    said_of_me,
    wish_key,
)
from bide.replica.spaces.stance import LEFT, may_write, read_stances
from bide.storage.base import SpaceRecord

if TYPE_CHECKING:
    from bide.replica.authoring.replica_like import ReplicaLike

_RECORD = TypeAdapter(DeviceRecord)


def share_spaces(replica: ReplicaLike, own: SpaceRecord) -> None:
    """Offer, ask and let in, as far as there is anything to do."""
    storage = replica.storage
    devices = [device for device in my_devices(storage) if device.active and not device.on_paper]
    if len(devices) < 2 or not any(device.this for device in devices):
        return
    said = said_of_me(storage, own)
    with storage.transaction():
        fields = {**_offers(replica, own, said), **_wishes(replica, own, said)}
        for device in devices:
            if not device.this:
                _let_in(replica, own, said, device)
        if fields:
            replica.writer.say_of_person(fields, space=own)


def _offers(replica: ReplicaLike, own: SpaceRecord, said: dict[str, str]) -> dict[str, str]:
    fields = {}
    for space in spaces_to_share(replica.storage):
        if space.space_id == own.space_id or not space.relay_url or offer_key(space.space_id) in said:
            continue
        founder = replica.storage.members(space.space_id)[0].log_id
        genesis = replica.storage.envelope(space.space_id, founder, 1)
        assert genesis is not None  # every space begins with it
        fields[offer_key(space.space_id)] = pack([space.kind, space.slot, space.relay_url, genesis.data]).hex()
        fields[place_key(own.log_id, space.space_id)] = space.log_id.hex()
    return fields


def _wishes(replica: ReplicaLike, own: SpaceRecord, said: dict[str, str]) -> dict[str, str]:
    """Keep what was offered and is not here, pending, and ask for it."""
    storage, fields = replica.storage, {}
    here = {space.space_id: space for space in storage.spaces()}
    left = {space for space, stance in read_stances(storage).items() if stance == LEFT}
    beginning = offer_key(SpaceId(b""))
    for key in sorted(key for key in said if key.startswith(beginning)):
        offered = _bytes(key[len(beginning) :])
        value = _unpacked(said[key])
        if offered is None or offered in left or not isinstance(value, list) or len(value) != 4:
            continue
        if (known := here.get(SpaceId(offered))) is not None:
            url = sound_address(value[2])
            asked = wish_key(own.log_id, known.space_id) in said  # else it came with the device, and fresher than the offer
            if known.pending and asked and url not in ("", known.relay_url):
                storage.put_space(known._replace(relay_url=url))  # it was moved while this device waits to be let in
            continue
        space_id = SpaceId(offered)
        kind, slot, relay_url, data = value
        try:
            genesis = parse_envelope(data)
            if Membership.found(space_id, genesis).kind != kind or kind != "pair" or slot not in (0, 1):
                continue
        except (BideError, TypeError):
            continue
        keys = new_device_keys(replica.randomness)
        log = log_id(space_id, keys.device_id)
        space = SpaceRecord(space_id, kind, slot, log, keys.signing_seed, keys.sealing_secret, b"", str(relay_url), True)
        storage.put_space(space)
        storage.put_meta(enrolling_key(space_id), "1")
        storage.append(space_id, stored(genesis))
        rebuild_members(storage, space_id)
        fields[wish_key(own.log_id, space_id)] = pack(list(device_record(keys, space=space_id, slot=slot))).hex()
        fields[place_key(own.log_id, space_id)] = log.hex()
    return fields


def _let_in(replica: ReplicaLike, own: SpaceRecord, said: dict[str, str], device: DeviceName) -> None:
    """Let a device of mine into the spaces that it asks for and that this one is in."""
    storage = replica.storage
    for space in spaces_to_share(storage):
        wish = said.get(wish_key(device.log_id, space.space_id))
        if wish is None or space.space_id == own.space_id:
            continue
        try:
            record = _RECORD.validate_python(_unpacked(wish))
        except ValidationError:
            continue
        log = log_id(space.space_id, DeviceId(record.signing_key))
        known = {member.log_id for member in storage.members(space.space_id)}
        if log in known or log in read_belonging(storage, space.space_id).ended:
            continue
        admit(storage, replica.writer.appender, space, record)
        if device.named and may_write(storage, space):
            replica.writer.say_of_person({device_key(log): device.name}, space=space)


def _bytes(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _unpacked(text: str) -> Any:
    data = _bytes(text)
    try:
        return unpack(data, bytes_max=BODY_BYTES_MAX) if data else None
    except BideError:
        return None
