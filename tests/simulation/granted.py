"""What keys open: the epoch secrets that any statement of a space seals to them."""

from __future__ import annotations

import contextlib
import itertools

from bide.crypto.keys import DeviceKeys, GrantBroken, open_grant
from bide.ids import SpaceId
from bide.log.control import Granting, read_control
from bide.log.envelope import parse_envelope
from bide.storage.base import SpaceRecord, Storage
from simulation.processes import Device


def secrets_granted(all_keys: list[DeviceKeys], space: SpaceId, storage: Storage) -> dict[bytes, bytes]:
    """All epoch secrets that any statement seals to these keys."""
    secrets: dict[bytes, bytes] = {}
    for stored in storage.controls(space):
        envelope = parse_envelope(stored.data)
        statement = read_control(envelope.body)
        if not isinstance(statement, Granting):
            continue
        for grant, keys in itertools.product(statement.grants, all_keys):
            with contextlib.suppress(GrantBroken):
                secrets[grant.epoch_id] = open_grant(grant.box, keys=keys, parent=envelope.prev_hash)
    return secrets


def secrets_for(device: Device, space: SpaceRecord, storage: Storage) -> dict[bytes, bytes]:
    """All epoch secrets that a device can come by: its own, and what any statement seals to keys that it has or had."""
    secrets = dict(device.replica.storage.epochs(space.space_id))
    formers = device.replica.storage.former_devices(space.space_id)
    all_keys = [DeviceKeys(space.signing_seed, space.sealing_secret)]
    all_keys += [DeviceKeys(each.signing_seed, each.sealing_secret) for each in formers]
    return secrets | secrets_granted(all_keys, space.space_id, storage)
