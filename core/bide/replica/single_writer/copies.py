"""Homes that exist twice, or came back from a backup: noticed at contact, and mended without a log ever being written by two.

Whatever arrives in this device's own log was written by another copy of this home. Then:

* What was written here in the same place is *displaced*: taken out of the log and kept, with what it says.
* The log is taken in as the relay has it, like anybody's.
* Once everything has come, this home goes on in a new log (`bide.replica.single_writer.succession`), and what was displaced
  is said again there: the same entries, the same changes, sealed anew. If all that the other copy said was that it went on in
  a new log itself, then this one stays in the old log: two copies end as two devices.

Where it stands is kept in the storage at every step, so that the next contact goes on wherever this one ended.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from bide.errors import MembershipRejected, Phrase
from bide.ids import EntryId, SpaceId
from bide.log.control import DeviceAdded, EpochMinted
from bide.log.envelope import Envelope, EnvelopeClass, parse_envelope
from bide.log.head import empty_head
from bide.replica.derivation.deriving import forget, project
from bide.replica.derivation.rebuilding import fold_here, has_taken_out, orphaned_on, rebuild_members
from bide.replica.single_writer.outgoing import furthest, lost_at, note_taken_out, settle_loss
from bide.replica.single_writer.restating import say_again
from bide.replica.single_writer.succession import admitted, own_logs, read_statement, succeed
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.people import folded
from bide.replica.spaces.personal import DEVICE_NAME_CHARS_MAX, device_key, device_names, my_devices, place_key, was_key
from bide.replica.spaces.stance import LEFT, may_write, read_stances
from bide.replica.spaces.waiting import is_short
from bide.storage.base import SpaceRecord, Storage, find_space

if TYPE_CHECKING:
    from bide.replica.authoring.replica_like import ReplicaLike

STAY, MOVE, LOST = "stay", "move", "lost"
"""What is due: to stay in the log, since a copy went on in another; to go on in another; the same without any copy, since the
end of the log was lost (`bide.replica.examining.mending.go_on`)."""
TELL_KEY = "went_on"
"""What the person is to be told, once: `A_COPY`, `A_LOSS` or `A_GAP`."""
A_COPY, A_LOSS, A_GAP = "copy", "loss", "gap"
FOLLOW_KEY = "own_space_follows"
"""Set where this home became another device in a pair space, and is to become one in its own space as well."""
_STAYED_KEY = "stayed_in_own_space"
_NO_MORE_DEVICES = Phrase(
    "This home is a copy of another one, or was put back from a backup, and has to become a device of its own. You can't have"
    " more devices, so what it wrote waits here. On another device, remove one that is not in use: bide device revoke NAME"
)


# Where it stands


def verdict(storage: Storage, space: SpaceId) -> str:
    """What is due once everything has come: `STAY`, `MOVE`, `LOST`, or nothing."""
    return storage.meta(_verdict_key(space))


def is_due(storage: Storage, space: SpaceId) -> bool:
    """Whether this device's own log waits for `settle`: until then nothing of it is sent."""
    return bool(verdict(storage, space)) or bool(storage.displaced(space, waiting=True))


def may_be_settled(storage: Storage, space: SpaceId) -> bool:
    """Whether something waits that what has just come may settle: see `is_due`, and the end of a log that was lost."""
    return is_due(storage, space) or is_short(storage, space)


def _verdict_key(space: SpaceId) -> str:
    return f"copied.{space.hex()}"


# Taking in what another copy wrote


def make_room(storage: Storage, space: SpaceRecord, envelope: Envelope) -> tuple[SpaceRecord, set[EntryId], bool]:
    """Another copy's entry stands in the place of one of this home's own: take that one and all after it out. In a transaction.

    If by it this home had gone on in a new log, and the relay never took that, it falls back to the log that it was in.

    Returns:
        The space as it is now, the entries that something was taken out of, and whether the membership changed.
    """
    logs = own_logs(storage, space)
    known = storage.relay_heads(space.space_id)
    reached = furthest(storage, space.space_id, envelope.log_id)
    if envelope.log_id == space.log_id:
        reached = max(reached, lost_at(storage, space.space_id) or 0)
    if reached >= envelope.seq:
        # Others may have what is taken out here; so this log is not gone on with.
        note_foreign(storage, space.space_id, MOVE)
    note_taken_out(storage, space.space_id, envelope.log_id, envelope.seq - 1)
    out = storage.displace(space.space_id, envelope.log_id, envelope.seq - 1)
    if envelope.log_id in known:
        head = storage.heads(space.space_id).get(envelope.log_id, empty_head(envelope.log_id))
        storage.put_relay_head(space.space_id, min(known[envelope.log_id], head, key=lambda each: each.seq))
    later = logs[logs.index(envelope.log_id) + 1 :]
    admitting = [each for each in out if admitted(space, each) in later]
    if admitting and not any(known[log].seq for log in later if log in known):
        storage.settle_displaced(space.space_id, only=admitting[0].hash)
        for log in later:
            for each in (dropped := storage.displace(space.space_id, log, 0)):
                if admitted(space, each) in later:
                    storage.settle_displaced(space.space_id, only=each.hash)
            out += dropped
        former = next(f for f in storage.former_devices(space.space_id) if f.log_id == envelope.log_id)
        storage.replace_device(space._replace(log_id=former.log_id, signing_seed=former[2], sealing_secret=former[3]))
        for log in logs[logs.index(envelope.log_id) :]:
            storage.remove_former_device(space.space_id, log)
        space = find_space(storage, space.space_id)
    touched = forget(storage, space.space_id, out)
    return space, touched, any(each.control for each in out)


def lift_what_hangs(storage: Storage, space: SpaceRecord) -> SpaceRecord:
    """Take out what this home said that builds on a statement which was taken out of somebody's log. In a transaction.

    No relay has that statement any more, so none could judge what builds on it, and nothing after it would leave this home.

    Returns:
        The space as it is now.
    """
    if not has_taken_out(storage, space.space_id):
        return space
    for log in own_logs(storage, space):
        beside = (each for each in storage.beside(space.space_id) if each.control)
        controls = [parse_envelope(each.data) for each in (*storage.controls(space.space_id), *beside)]
        hanging = {each.hash for each in orphaned_on(storage, space.space_id, controls)}
        if not hanging or log not in own_logs(storage, space):
            continue
        for envelope in fold_here(storage, space.space_id)[1]:
            statement = read_statement(envelope)
            if statement is not None and not hanging.isdisjoint(statement.parents):
                hanging.add(envelope.hash)
        first = min((each for each in controls if each.log_id == log and each.hash in hanging), key=_seq_of, default=None)
        if first is not None:
            space, touched, _ = make_room(storage, space, first)
            rebuild_members(storage, space.space_id)
            project(storage, space.space_id, touched)
    return space


def _seq_of(envelope: Envelope) -> int:
    return envelope.seq


def note_arrived(storage: Storage, space: SpaceRecord, fresh: Iterable[Envelope]) -> None:
    """Note what arrived in this device's own log. In a transaction.

    A home that was mended asks for what it lost of its own log, and has written nothing since: it just gets it back.
    """
    if is_short(storage, space.space_id):
        return
    for envelope in fresh:
        if envelope.log_id == space.log_id:
            moved_on = envelope.klass is EnvelopeClass.CONTROL and isinstance(
                read_statement(envelope), DeviceAdded | EpochMinted
            )
            note_foreign(storage, space.space_id, STAY if moved_on else MOVE)


def note_foreign(storage: Storage, space: SpaceId, found: str) -> None:
    """Note what another copy's writing comes to; once it is to move, that stands."""
    if verdict(storage, space) != MOVE:
        storage.put_meta(_verdict_key(space), found)


def own_all(storage: Storage, space: SpaceId) -> None:
    """What arrived in this device's own log is its own, as with a recovery phrase that was used before. In a transaction."""
    storage.put_meta(_verdict_key(space), "")


# Once everything has come


def settle(replica: ReplicaLike, space: SpaceRecord) -> list[Phrase]:
    """Go on in a new log if that is due, and say again what was displaced. One transaction.

    Called when everything that the relay has is here, so that what is written now follows on it.

    Returns:
        What the person is to know at once.
    """
    storage = replica.storage
    follows = space.kind == "own" and bool(storage.meta(FOLLOW_KEY))
    if read_stances(storage).get(space.space_id) == LEFT:
        return []  # nothing is said there any more, not even again
    with storage.transaction():
        space = lift_what_hangs(storage, space)
    if not follows and not is_due(storage, space.space_id) and lost_at(storage, space.space_id) is None:
        return []
    try:
        with storage.transaction():
            if space.log_id not in read_belonging(storage, space.space_id).ended:
                _settle(replica, space)
    except MembershipRejected:
        return [_NO_MORE_DEVICES]
    return []


def _settle(replica: ReplicaLike, space: SpaceRecord) -> None:
    storage, space_id = replica.storage, space.space_id
    found = verdict(storage, space_id)
    because = {MOVE: A_COPY, LOST: A_GAP}.get(found, "")
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
    say_again(replica, space)
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
    stays = settle_loss(storage, space)
    if stays is None:
        return False
    out = storage.displace(space.space_id, space.log_id, stays)
    touched = forget(storage, space.space_id, out)
    if any(each.control for each in out):
        rebuild_members(storage, space.space_id)
    project(storage, space.space_id, touched)
    return bool(out)


def _name(replica: ReplicaLike, before: SpaceRecord, space: SpaceRecord, because: str) -> None:
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
    if because != A_COPY:
        fields[was_key(space.log_id)] = before.log_id.hex()
    if space.space_id == own.space_id:
        for each in storage.spaces():
            fields[place_key(space.log_id, each.space_id)] = each.log_id.hex()
            if each.space_id not in was.places:
                # The other copy has the logs that both had; where it has gone on in another one, it says so itself.
                fields[place_key(before.log_id, each.space_id)] = own_logs(storage, each)[0].hex()
    if fields and may_write(storage, space):
        replica.writer.say_of_person(fields, space=space)


def say_where(replica: ReplicaLike, own: SpaceRecord) -> None:
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
