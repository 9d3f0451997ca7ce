"""Saying again what was taken out of a log: the same entries and statements, sealed anew, from the log that is written now."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from bide.errors import EnvelopeRejected
from bide.ids import DeviceId, LogId, Randomness, SpaceId, log_id
from bide.log.control import BodiesErased, Control, DeviceAdded, DeviceRevoked, RecoveryAdded, SpaceEnded, write_control
from bide.log.envelope import EnvelopeClass, parse_envelope
from bide.log.membership import Membership
from bide.replica.authoring.admitting import admit, revoke_in
from bide.replica.derivation.deriving import open_event
from bide.replica.derivation.rebuilding import load_sayable, rebuild_members
from bide.replica.single_writer.succession import own_logs, read_statement
from bide.replica.spaces.belonging import read_belonging
from bide.storage.base import SpaceRecord, Storage

if TYPE_CHECKING:
    from bide.replica.authoring.appending import Appender
    from bide.replica.authoring.replica_like import ReplicaLike


def say_again(replica: ReplicaLike, space: SpaceRecord) -> None:
    """What was displaced, from the log that this home writes now: first who belongs, then what was written, each in order."""
    storage, appender = replica.storage, replica.writer.appender
    waiting = [parse_envelope(item.envelope.data) for item in storage.displaced(space.space_id, waiting=True)]
    kept: dict[LogId, int] = {}
    for envelope in waiting:
        kept[envelope.log_id] = min(envelope.seq - 1, kept.get(envelope.log_id, envelope.seq - 1))
    said = {envelope.hash: read_statement(envelope) for envelope in waiting if envelope.klass is EnvelopeClass.CONTROL}
    for statement in said.values():
        _state_again(storage, appender, space, statement, kept=kept, said=said, randomness=replica.randomness)
    epochs = storage.epochs(space.space_id)
    for envelope in waiting:
        if envelope.klass is EnvelopeClass.DATA:
            # What even this home can't open says nothing that could be said again.
            with suppress(EnvelopeRejected):
                appender.again(open_event(envelope, space=space.space_id, epochs=epochs), space=space)
                # It is in the log once more: kept here as well, its words would outlast their being erased.
                storage.bare_displaced(space.space_id, envelope.hash)
    # An end comes last, since nothing is said after it.
    for statement in said.values():
        if isinstance(statement, SpaceEnded) and not read_belonging(storage, space.space_id).over:
            _leave_again(storage, appender, space, statement)
    storage.settle_displaced(space.space_id)


def _state_again(
    storage: Storage,
    appender: Appender,
    space: SpaceRecord,
    statement: Control | None,
    *,
    kept: Mapping[LogId, int],
    said: Mapping[bytes, Control | None],
    randomness: Randomness,
) -> None:
    """Make a statement once more, where that still makes sense. Epochs are made anew when they are needed.

    Args:
        storage: the replica.
        appender: its.
        space: which.
        statement: what was said of devices, of a recovery phrase or of what is erased.
        kept: of logs that something was taken out of, the last number that was not.
        said: all that was taken out with it, by hash: it may build on that.
        randomness: for keys.
    """
    membership = load_sayable(storage, space.space_id)
    author = _who_belongs(storage, space, membership)
    if author is None:
        return
    if isinstance(statement, BodiesErased):
        spans = [span._replace(last=min(span.last, kept.get(LogId(span.log_id), span.last))) for span in statement.spans]
        if spans := [span for span in spans if span.first <= span.last]:
            _control(storage, appender, author, BodiesErased("bodies.erased", 1, sorted(membership.heads), spans))
    elif isinstance(statement, DeviceAdded | RecoveryAdded):
        if log_id(space.space_id, DeviceId(statement.device.signing_key)) not in membership.devices:
            admit(storage, appender, author, statement.device, recovery=isinstance(statement, RecoveryAdded))
    elif isinstance(statement, DeviceRevoked):
        device = membership.devices.get(log_id(space.space_id, DeviceId(statement.device)))
        if device is not None and membership.is_active(device.log_id) and device.slot == space.slot:
            cut = statement.cut_seq, statement.cut_hash
            since = _brought_in_since(storage, space.space_id, membership, statement, said)
            revoke_in(storage, appender, author, device, membership, randomness, cut=cut)
            for log in since:
                membership = load_sayable(storage, space.space_id)
                if membership.is_active(log) and log not in own_logs(storage, space):
                    revoke_in(storage, appender, author, membership.devices[log], membership, randomness, cut=(0, bytes(32)))


def _who_belongs(storage: Storage, space: SpaceRecord, membership: Membership) -> SpaceRecord | None:
    """The space with the keys of the latest device that this home is or was and that belongs."""
    formers = reversed(storage.former_devices(space.space_id))
    faces = [space, *(space._replace(log_id=f.log_id, signing_seed=f[2], sealing_secret=f[3]) for f in formers)]
    return next((face for face in faces if membership.is_active(face.log_id)), None)


def _leave_again(storage: Storage, appender: Appender, space: SpaceRecord, statement: SpaceEnded) -> None:
    membership = load_sayable(storage, space.space_id)
    author = _who_belongs(storage, space, membership)
    if author is not None:
        _control(storage, appender, author, statement._replace(parents=sorted(membership.heads)))


def _control(storage: Storage, appender: Appender, space: SpaceRecord, statement: BodiesErased | SpaceEnded) -> None:
    appender.control(write_control(statement), space=space)
    rebuild_members(storage, space.space_id)


def _brought_in_since(
    storage: Storage, space: SpaceId, membership: Membership, statement: DeviceRevoked, said: Mapping[bytes, Control | None]
) -> list[LogId]:
    """Whom a device brought in without the one who removed it having known: said again, the removal would let them stay.

    Devices of the same person only: the founding device brings in the other person as well.
    """
    known, below = set(), list(statement.parents)
    while below:
        parent = below.pop()
        if parent in membership.seen:
            known.add(parent)
        elif (earlier := said.get(parent)) is not None:
            below.extend(earlier.parents)
    authors = {control.hash: control.log_id for control in storage.controls(space)}
    target = log_id(space, DeviceId(statement.device))
    out, found = {target}, []
    for log, device in membership.devices.items():  # whoever admits is before those whom they admit
        by = authors.get(device.admitted_by)
        if device.slot != membership.devices[target].slot or by not in out or by == log:
            continue
        if not any(membership.builds_on(parent, device.admitted_by) for parent in known):
            out.add(log)
            found.append(log)
    return found
