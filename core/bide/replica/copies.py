"""Homes that exist twice, or came back from a backup: noticed at contact, and mended without a log ever being written by two.

Whatever arrives in this device's own log was written by another copy of this home. Then:

* What was written here in the same place is *displaced*: taken out of the log and kept, with what it says.
* The log is taken in as the relay has it, like anybody's.
* Once everything has come, this home goes on in a new log (`bide.replica.succession`), and what was displaced is said again
  there: the same entries, the same changes, sealed anew. If all that the other copy said was that it went on in a new log
  itself, then this one stays in the old log: two copies end as two devices.

Where it stands is kept in the storage at every step, so that the next contact goes on wherever this one ended.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from bide.errors import EnvelopeRejected, MembershipRejected, Phrase
from bide.ids import DeviceId, EntryId, LogId, Randomness, SpaceId, log_id
from bide.log.control import (
    BodiesErased,
    Control,
    DeviceAdded,
    DeviceRevoked,
    EpochMinted,
    PersonJoined,
    RecoveryAdded,
    SpaceCreated,
    SpaceEnded,
    read_control,
    write_control,
)
from bide.log.envelope import Envelope, EnvelopeClass, parse_envelope
from bide.log.head import Head, empty_head
from bide.log.membership import Membership
from bide.replica.appending import short_key
from bide.replica.belonging import read_belonging
from bide.replica.citing import cite_again
from bide.replica.deriving import open_event, project
from bide.replica.devices import DEVICE_NAME_CHARS_MAX, admit, may_write, revoke_in
from bide.replica.people import folded
from bide.replica.personal import device_key, device_names, my_devices, place_key, was_key
from bide.replica.rebuilding import load_membership, rebuild_members
from bide.replica.stance import LEFT, read_stances
from bide.replica.succession import succeed
from bide.storage.base import SpaceRecord, Storage, StoredEnvelope

if TYPE_CHECKING:
    from bide.replica.appending import Appender
    from bide.replica.replica import Replica

STAY, MOVE = "stay", "move"
TELL_KEY = "went_on"
"""What the person is to be told, once: `A_COPY` or `A_LOSS`."""
A_COPY, A_LOSS = "copy", "loss"
FOLLOW_KEY = "own_space_follows"
"""Set where this home became another device in a pair space, and is to become one in its own space as well."""
LEFT_PREFIX = "left."
"""Of the keys under which it is kept how far this device's own logs have left this home."""
_STAYED_KEY = "stayed_in_own_space"
_NO_MORE_DEVICES = Phrase(
    "This home is a copy of another one, or was put back from a backup, and has to become a device of its own. You can't have"
    " more devices, so what it wrote waits here. On another device, remove one that is not in use: bide device revoke NAME"
)


# Where it stands


def verdict(storage: Storage, space: SpaceId) -> str:
    """What is due once everything has come: `STAY`, `MOVE`, or nothing."""
    return storage.meta(_verdict_key(space))


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
    furthest = max(_has_left(storage, space.space_id, space.log_id), _acknowledged(storage, space.space_id, space.log_id))
    mine = own_logs(storage, space)
    alone = all(member.log_id in mine for member in storage.members(space.space_id))
    if not furthest or alone or lost_at(storage, space.space_id) is not None:
        return False
    note_left(storage, space.space_id, space.log_id, furthest)
    storage.put_meta(_lost_key(space.space_id), str(max(furthest, _built_on(storage, space))))
    return True


def note_left(storage: Storage, space: SpaceId, log: LogId, seq: int) -> None:
    """This device's own log goes out up to here, to a relay or into a file: somebody may have it from now on.

    Noted before it goes, since whoever takes it may be gone before they say so.
    """
    if seq > _has_left(storage, space, log):
        with storage.transaction():
            storage.put_meta(_left_key(space, log), str(seq))


def _has_left(storage: Storage, space: SpaceId, log: LogId) -> int:
    return int(storage.meta(_left_key(space, log)) or 0)


def _acknowledged(storage: Storage, space: SpaceId, log: LogId) -> int:
    head = storage.relay_heads(space).get(log)
    return head.seq if head is not None else 0


def _built_on(storage: Storage, space: SpaceRecord) -> int:
    """How far this device's log is known to others even if no relay said so: they build on what it says of who belongs."""
    controls = [parse_envelope(control.data) for control in storage.controls(space.space_id)]
    statements = {envelope.hash: _read(envelope) for envelope in controls}
    others = (statements[envelope.hash] for envelope in controls if envelope.log_id != space.log_id)
    named = {parent for statement in others if statement is not None for parent in statement.parents}
    heads = storage.heads(space.space_id)
    furthest = 0
    for envelope in controls:
        statement = statements[envelope.hash]
        adds = isinstance(statement, DeviceAdded) and log_id(space.space_id, DeviceId(statement.device.signing_key)) in heads
        founds = isinstance(statement, SpaceCreated | PersonJoined)
        if envelope.log_id == space.log_id and (envelope.hash in named or adds or founds):
            furthest = max(furthest, envelope.seq)
    return furthest


def note_refilled(storage: Storage, space: SpaceRecord, there: Head) -> None:
    """Others have been there since, and brought this device's log as far as it was: nobody has another end of it."""
    here = storage.envelope(space.space_id, there.log_id, there.seq)
    lost = lost_at(storage, space.space_id)
    if lost is not None and there.seq >= lost and here is not None and here.hash == there.hash:
        storage.put_meta(_lost_key(space.space_id), "")


def own_logs(storage: Storage, space: SpaceRecord) -> list[LogId]:
    """The logs that this home has written in a space, the first one first."""
    return [*(former.log_id for former in storage.former_devices(space.space_id)), space.log_id]


def face(storage: Storage, space: SpaceRecord) -> bytes:
    """The signing seed to prove oneself to the relay with: of the device that it knows, as far as it has acknowledged."""
    formers = storage.former_devices(space.space_id)
    if not formers:
        return space.signing_seed
    known = storage.relay_heads(space.space_id)
    ended = read_belonging(storage, space.space_id).ended
    controls = storage.controls(space.space_id)
    logs = own_logs(storage, space)
    for former, after in zip(formers, logs[1:], strict=True):
        admitting = next((each for each in controls if _admitted(space, each) == after), None)
        if admitting is None or former.log_id in ended or _is_refused(storage, space.space_id, former.log_id):
            continue
        if admitting.log_id not in known or known[admitting.log_id].seq < admitting.seq:
            return former.signing_seed
    return space.signing_seed


def note_refused(storage: Storage, space: SpaceRecord, seed: bytes) -> bool:
    """The relay knows the device with this seed as removed. In a transaction.

    Returns:
        Whether it is one that this home was before: then the next contact is as a later one, which may belong all the same.
    """
    for former in storage.former_devices(space.space_id):
        if former.signing_seed == seed != space.signing_seed:
            storage.put_meta(_refused_key(space.space_id, former.log_id), _store(storage, space.space_id))
            return True
    return False


def _is_refused(storage: Storage, space: SpaceId, log: LogId) -> bool:
    """Whether this relay refused a device; one whose storage is new may know nothing of that."""
    refused = storage.meta(_refused_key(space, log))
    return bool(refused) and refused == _store(storage, space)


def _store(storage: Storage, space: SpaceId) -> str:
    return storage.meta(f"relay_store.{space.hex()}")


def is_due(storage: Storage, space: SpaceId) -> bool:
    """Whether this device's own log waits for `settle`: until then nothing of it is sent."""
    return bool(verdict(storage, space)) or bool(storage.displaced(space, waiting=True))


def _left_key(space: SpaceId, log: LogId) -> str:
    return f"{LEFT_PREFIX}{space.hex()}.{log.hex()}"


def _refused_key(space: SpaceId, log: LogId) -> str:
    return f"face_refused.{space.hex()}.{log.hex()}"


def _verdict_key(space: SpaceId) -> str:
    return f"copied.{space.hex()}"


def _lost_key(space: SpaceId) -> str:
    return f"relay_lost.{space.hex()}"


# Taking in what another copy wrote


def make_room(storage: Storage, space: SpaceRecord, envelope: Envelope) -> tuple[SpaceRecord, set[EntryId], bool]:
    """Another copy's entry stands in the place of one of this home's own: take that one and all after it out. In a transaction.

    If by it this home had gone on in a new log, and the relay never took that, it falls back to the log that it was in.

    Returns:
        The space as it is now, the entries that something was taken out of, and whether the membership changed.
    """
    logs = own_logs(storage, space)
    known = storage.relay_heads(space.space_id)
    left = _has_left(storage, space.space_id, envelope.log_id)
    reached = max(left, _acknowledged(storage, space.space_id, envelope.log_id))
    if envelope.log_id == space.log_id:
        reached = max(reached, lost_at(storage, space.space_id) or 0)
    if reached >= envelope.seq:
        # Others may have what is taken out here; so this log is not gone on with.
        note_foreign(storage, space.space_id, MOVE)
    if left >= envelope.seq:
        storage.put_meta(_left_key(space.space_id, envelope.log_id), str(envelope.seq - 1))
    out = storage.displace(space.space_id, envelope.log_id, envelope.seq - 1)
    if envelope.log_id in known:
        head = storage.heads(space.space_id).get(envelope.log_id, empty_head(envelope.log_id))
        storage.put_relay_head(space.space_id, min(known[envelope.log_id], head, key=lambda each: each.seq))
    later = logs[logs.index(envelope.log_id) + 1 :]
    admitting = [each for each in out if _admitted(space, each) in later]
    if admitting and not any(known[log].seq for log in later if log in known):
        storage.settle_displaced(space.space_id, only=admitting[0].hash)
        for log in later:
            for each in (dropped := storage.displace(space.space_id, log, 0)):
                if _admitted(space, each) in later:
                    storage.settle_displaced(space.space_id, only=each.hash)
            out += dropped
        former = next(f for f in storage.former_devices(space.space_id) if f.log_id == envelope.log_id)
        storage.replace_device(space._replace(log_id=former.log_id, signing_seed=former[2], sealing_secret=former[3]))
        for log in logs[logs.index(envelope.log_id) :]:
            storage.remove_former_device(space.space_id, log)
        space = next(found for found in storage.spaces() if found.space_id == space.space_id)
    touched = _forget_derived(storage, space.space_id, out)
    return space, touched, any(each.control for each in out)


def note_arrived(storage: Storage, space: SpaceRecord, fresh: Iterable[Envelope]) -> None:
    """Note what arrived in this device's own log. In a transaction.

    A home that was mended asks for what it lost of its own log, and has written nothing since: it just gets it back.
    """
    if storage.meta(short_key(space.space_id)):
        return
    for envelope in fresh:
        if envelope.log_id == space.log_id:
            moved_on = envelope.klass is EnvelopeClass.CONTROL and isinstance(_read(envelope), DeviceAdded | EpochMinted)
            note_foreign(storage, space.space_id, STAY if moved_on else MOVE)


def note_foreign(storage: Storage, space: SpaceId, found: str) -> None:
    """Note what another copy's writing comes to; once it is to move, that stands."""
    if verdict(storage, space) != MOVE:
        storage.put_meta(_verdict_key(space), found)


def own_all(storage: Storage, space: SpaceId) -> None:
    """What arrived in this device's own log is its own, as with a recovery phrase that was used before. In a transaction."""
    storage.put_meta(_verdict_key(space), "")


def _forget_derived(storage: Storage, space: SpaceId, out: Sequence[StoredEnvelope]) -> set[EntryId]:
    touched: set[EntryId] = set()
    for each in out:
        event = storage.event(space, each.log_id, each.seq)
        if event is not None:
            storage.remove_event(space, each.log_id, each.seq)
            touched.add(event.entry_id)
        storage.remove_quarantine(space, each.log_id, each.seq)
    cite_again(storage, space, {each.log_id for each in out})
    return touched


def _admitted(space: SpaceRecord, stored: StoredEnvelope) -> LogId | None:
    """The log of the device that an envelope adds, if it adds one."""
    statement = _read(parse_envelope(stored.data)) if stored.control else None
    return log_id(space.space_id, DeviceId(statement.device.signing_key)) if isinstance(statement, DeviceAdded) else None


def _read(envelope: Envelope) -> Control | None:
    try:
        return read_control(envelope.body)
    except MembershipRejected:
        return None


# Once everything has come


def settle(replica: Replica, space: SpaceRecord) -> list[Phrase]:
    """Go on in a new log if that is due, and say again what was displaced. One transaction.

    Called when everything that the relay has is here, so that what is written now follows on it.

    Returns:
        What the person is to know at once.
    """
    storage = replica.storage
    follows = space.kind == "own" and bool(storage.meta(FOLLOW_KEY))
    if not follows and not is_due(storage, space.space_id) and lost_at(storage, space.space_id) is None:
        return []
    if read_stances(storage).get(space.space_id) == LEFT:
        return []  # nothing is said there any more, not even again
    try:
        with storage.transaction():
            if space.log_id not in read_belonging(storage, space.space_id).ended:
                _settle(replica, space)
    except MembershipRejected:
        return [_NO_MORE_DEVICES]
    return []


def _settle(replica: Replica, space: SpaceRecord) -> None:
    storage, space_id = replica.storage, space.space_id
    found = verdict(storage, space_id)
    because = A_COPY if found == MOVE else ""
    if space.kind == "own":
        # In the own space two copies part once: where the other one went already, this one has not to go.
        if found != STAY and not _has_parted(storage, space):
            because = because or storage.meta(FOLLOW_KEY)
        storage.put_meta(FOLLOW_KEY, "")
        if found == STAY:
            storage.put_meta(_STAYED_KEY, "1")
    if _lift_unacknowledged(storage, space):
        because = because or A_LOSS
    before = space
    if because:
        space = succeed(storage, replica.writer.appender, space, randomness=replica.randomness)
    _say_again(replica, space)
    if because:
        _name(replica, before, space, because)
        storage.put_meta(TELL_KEY, because)
        if space.kind == "pair" and not _has_parted(storage, replica.reader.own_space()):
            storage.put_meta(FOLLOW_KEY, because)
    storage.put_meta(_verdict_key(space_id), "")


def _has_parted(storage: Storage, own: SpaceRecord) -> bool:
    return bool(storage.meta(_STAYED_KEY) or storage.former_devices(own.space_id))


def _lift_unacknowledged(storage: Storage, space: SpaceRecord) -> bool:
    """After a loss at the relay: take out what never left this home and nobody brought back. Whether there was anything."""
    lost = lost_at(storage, space.space_id)
    if lost is None:
        return False
    storage.put_meta(_lost_key(space.space_id), "")
    # What left since, by another way, is with somebody as well.
    left = max(_has_left(storage, space.space_id, space.log_id), _acknowledged(storage, space.space_id, space.log_id))
    out = storage.displace(space.space_id, space.log_id, max(lost, left))
    touched = _forget_derived(storage, space.space_id, out)
    if any(each.control for each in out):
        rebuild_members(storage, space.space_id)
    project(storage, space.space_id, touched)
    return bool(out)


def _say_again(replica: Replica, space: SpaceRecord) -> None:
    """What was displaced, from the log that this home writes now: first who belongs, then what was written, each in order."""
    storage, appender = replica.storage, replica.writer.appender
    waiting = [parse_envelope(item.envelope.data) for item in storage.displaced(space.space_id, waiting=True)]
    kept: dict[LogId, int] = {}
    for envelope in waiting:
        kept[envelope.log_id] = min(envelope.seq - 1, kept.get(envelope.log_id, envelope.seq - 1))
    said = {envelope.hash: _read(envelope) for envelope in waiting if envelope.klass is EnvelopeClass.CONTROL}
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
    membership = load_membership(storage, space.space_id)
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
                membership = load_membership(storage, space.space_id)
                if membership.is_active(log) and log not in own_logs(storage, space):
                    revoke_in(storage, appender, author, membership.devices[log], membership, randomness, cut=(0, bytes(32)))


def _who_belongs(storage: Storage, space: SpaceRecord, membership: Membership) -> SpaceRecord | None:
    """The space with the keys of the latest device that this home is or was and that belongs."""
    formers = reversed(storage.former_devices(space.space_id))
    faces = [space, *(space._replace(log_id=f.log_id, signing_seed=f[2], sealing_secret=f[3]) for f in formers)]
    return next((face for face in faces if membership.is_active(face.log_id)), None)


def _leave_again(storage: Storage, appender: Appender, space: SpaceRecord, statement: SpaceEnded) -> None:
    membership = load_membership(storage, space.space_id)
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


def _name(replica: Replica, before: SpaceRecord, space: SpaceRecord, because: str) -> None:
    """Say what the new device is called, and in the own space which logs are whose. Inside a transaction.

    This home has the keys of the former device, too. Where no other copy of it is known to go on with those, whoever removes
    the new device is to remove the former one as well, and has to know.
    """
    storage, own = replica.storage, replica.reader.own_space()
    here = device_names(storage, space)
    was = next(each for each in here if each.log_id == before.log_id)
    fields = {}
    if was.named:
        fields[device_key(space.log_id)] = _free_name(was.name, [each.name for each in here if each.active])
    if because == A_LOSS:
        fields[was_key(space.log_id)] = before.log_id.hex()
    if space.space_id == own.space_id:
        for each in storage.spaces():
            fields[place_key(space.log_id, each.space_id)] = each.log_id.hex()
            if each.space_id not in was.places:
                # The other copy has the logs that both had; where it has gone on in another one, it says so itself.
                fields[place_key(before.log_id, each.space_id)] = own_logs(storage, each)[0].hex()
    if fields and may_write(storage, space):
        replica.writer.say_of_person(fields, space=space)


def say_where(replica: Replica, own: SpaceRecord) -> None:
    """Say in the own space which logs this device writes, where it has gone on in others. Once all has come there."""
    storage = replica.storage
    mine = next((each for each in my_devices(storage) if each.this), None)
    moved = [each for each in storage.spaces() if storage.former_devices(each.space_id)]
    if mine is None or not mine.active or all(mine.places.get(each.space_id) == each.log_id for each in moved):
        return
    with storage.transaction():
        fields = {place_key(own.log_id, each.space_id): each.log_id.hex() for each in moved}
        replica.writer.say_of_person(fields, space=own)


def _free_name(name: str, taken: Sequence[str]) -> str:
    used = {folded(each) for each in taken}
    base = re.sub(r" \(\d+\)$", "", name)
    for number in itertools.count(2):
        ending = f" ({number})"
        found = base[: DEVICE_NAME_CHARS_MAX - len(ending)] + ending
        if folded(found) not in used:
            return found
    raise AssertionError
