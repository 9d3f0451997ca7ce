"""Building again what is derived: the members from the control envelopes, the read model from the whole log.

Apart from `bide.replica.deriving`, because membership brings heavy imports that writing an entry can do without.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bide.ids import LogId, SpaceId
from bide.log.envelope import Envelope, parse_envelope
from bide.log.membership import Membership
from bide.replica.deriving import derive
from bide.storage.base import MemberRecord, Storage

_REBUILD_BATCH_BYTES = 1024 * 1024
_REBUILD_BATCH_COUNT = 500


def rebuild(storage: Storage) -> None:
    """Drop everything derived and build it again from the log. Inside a transaction."""
    storage.clear_derived()
    for space in storage.spaces():
        rebuild_members(storage, space.space_id)
        slots = {member.log_id: member.slot for member in storage.members(space.space_id)}
        for log in slots:
            for batch in _batches(storage, space.space_id, log):
                derive(storage, space.space_id, batch, slots=slots)


def rebuild_members(storage: Storage, space: SpaceId) -> Membership:
    """Fold the stored control envelopes and note every device. Inside a transaction."""
    membership = load_membership(storage, space)
    for device in membership.devices.values():
        storage.put_member(MemberRecord(space, device.log_id, device.id, device.slot))
    return membership


def load_membership(storage: Storage, space: SpaceId) -> Membership:
    """The membership that the stored control envelopes make."""
    return Membership.replay(space, [parse_envelope(control.data) for control in storage.controls(space)])


def _batches(storage: Storage, space: SpaceId, log: LogId) -> Iterable[Sequence[Envelope]]:
    seq = 0
    while stored := storage.envelopes_after(space, log, seq, bytes_max=_REBUILD_BATCH_BYTES, count_max=_REBUILD_BATCH_COUNT):
        seq = stored[-1].seq
        yield [parse_envelope(envelope.data) for envelope in stored]
