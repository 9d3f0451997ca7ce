"""How far this device's own logs have left this home, and what it comes to when a relay has lost something of them.

What has left stays where it stands: somebody may have it, and a log is never written twice. What never has may stand where
another copy of this home has written meanwhile.
"""

from __future__ import annotations

from bide.ids import DeviceId, LogId, SpaceId, log_id
from bide.log.control import DeviceAdded, PersonJoined, SpaceCreated
from bide.log.envelope import parse_envelope
from bide.log.head import Head
from bide.replica.single_writer.succession import own_logs, read_statement
from bide.storage.base import SpaceRecord, Storage

LEFT_PREFIX = "left."
"""Of the keys under which it is kept how far this device's own logs have left this home."""


def note_left(storage: Storage, space: SpaceId, log: LogId, seq: int) -> None:
    """This device's own log goes out up to here, to a relay or into a file: somebody may have it from now on.

    Noted before it goes, since whoever takes it may be gone before they say so.
    """
    if seq > _has_left(storage, space, log):
        with storage.transaction():
            storage.put_meta(_left_key(space, log), str(seq))


def furthest(storage: Storage, space: SpaceId, log: LogId) -> int:
    """How far a log of this device is with anybody, as far as is known: it left, or a relay has it."""
    head = storage.relay_heads(space).get(log)
    return max(_has_left(storage, space, log), head.seq if head is not None else 0)


def note_taken_out(storage: Storage, space: SpaceId, log: LogId, seq: int) -> None:
    """What stood in a log of this device after `seq` stands there no more. Inside a transaction."""
    if _has_left(storage, space, log) > seq:
        storage.put_meta(_left_key(space, log), str(seq))


# A relay that lost something


def lost_at(storage: Storage, space: SpaceId) -> int | None:
    """How far the relay had this device's log before it lost something, if that was not settled yet."""
    text = storage.meta(_lost_key(space))
    return int(text) if text else None


def note_loss(storage: Storage, space: SpaceRecord) -> bool:
    """The relay has lost something that it had acknowledged. Inside a transaction, before that is forgotten.

    What has left this home stays where it stands. What never has may stand where another copy has written meanwhile, and
    somebody may have that from it. Whom nobody shares the space with needs not mind.

    Returns:
        Whether it was noted now.
    """
    # To any relay ever: it may have lost something again before it had all of it.
    reached = furthest(storage, space.space_id, space.log_id)
    mine = own_logs(storage, space)
    alone = all(member.log_id in mine for member in storage.members(space.space_id))
    if not reached or alone or lost_at(storage, space.space_id) is not None:
        return False
    note_left(storage, space.space_id, space.log_id, reached)
    storage.put_meta(_lost_key(space.space_id), str(max(reached, _built_on(storage, space))))
    return True


def note_refilled(storage: Storage, space: SpaceRecord, there: Head) -> None:
    """Others have been there since, and brought this device's log as far as it was: nobody has another end of it."""
    here = storage.envelope(space.space_id, there.log_id, there.seq)
    lost = lost_at(storage, space.space_id)
    if lost is not None and there.seq >= lost and here is not None and here.hash == there.hash:
        storage.put_meta(_lost_key(space.space_id), "")


def settle_loss(storage: Storage, space: SpaceRecord) -> int | None:
    """Have done with a loss, if there is one to settle: how far this device's log stays as it is. In a transaction."""
    lost = lost_at(storage, space.space_id)
    if lost is None:
        return None
    storage.put_meta(_lost_key(space.space_id), "")
    # What left since, by another way, is with somebody as well.
    return max(lost, furthest(storage, space.space_id, space.log_id))


def _built_on(storage: Storage, space: SpaceRecord) -> int:
    """How far this device's log is known to others even if no relay said so: they build on what it says of who belongs."""
    controls = [parse_envelope(control.data) for control in storage.controls(space.space_id)]
    statements = {envelope.hash: read_statement(envelope) for envelope in controls}
    others = (statements[envelope.hash] for envelope in controls if envelope.log_id != space.log_id)
    named = {parent for statement in others if statement is not None for parent in statement.parents}
    heads = storage.heads(space.space_id)
    upto = 0
    for envelope in controls:
        statement = statements[envelope.hash]
        adds = isinstance(statement, DeviceAdded) and log_id(space.space_id, DeviceId(statement.device.signing_key)) in heads
        founds = isinstance(statement, SpaceCreated | PersonJoined)
        if envelope.log_id == space.log_id and (envelope.hash in named or adds or founds):
            upto = max(upto, envelope.seq)
    return upto


def _has_left(storage: Storage, space: SpaceId, log: LogId) -> int:
    return int(storage.meta(_left_key(space, log)) or 0)


def _left_key(space: SpaceId, log: LogId) -> str:
    return f"{LEFT_PREFIX}{space.hex()}.{log.hex()}"


def _lost_key(space: SpaceId) -> str:
    return f"relay_lost.{space.hex()}"
