"""Coming back by a recovery phrase: a storage with nothing in it becomes a device of the person again.

The caller carries bytes; these are the steps in between::

    open_anchor(storage, phrase, …)     the first space, with the paper's keys; now bring its log here
    read_anchor(storage)        is this the place, and do the words still count?
    open_others(storage, phrase)        the other spaces that it names; now bring their logs here
    take_over(storage, phrase, …)       in each: a new device comes in, every other one goes

Until `take_over` nothing is said to anybody. What it says, the caller brings to the relay before the storage becomes a home:
who is killed in between begins anew with the same words, and the device that never came to be is removed like the others.
"""

from __future__ import annotations

from typing import NamedTuple

from bide.crypto.recovery import RecoveryPhrase
from bide.entries.person import NAME_KEY
from bide.errors import InputError, NotFound, VerificationFailed
from bide.ids import Clock, LogId, Randomness, SpaceId, log_id
from bide.log.membership import Device
from bide.projections import DERIVATION
from bide.replica.authoring.admitting import revoke_in
from bide.replica.authoring.founding import found_space
from bide.replica.derivation.deriving import stored
from bide.replica.derivation.rebuilding import load_membership, rebuild, rebuild_members
from bide.replica.own_devices.phrases import FoundSpace, enrol_phrase, no_more, own_logs, spaces_for
from bide.replica.replica import Replica
from bide.replica.single_writer.copies import own_all
from bide.replica.single_writer.succession import succeed
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.people import NAME_CHARS_MAX
from bide.replica.spaces.personal import device_key, place_key, said_of_me
from bide.replica.spaces.stance import LEFT, may_write, read_stances
from bide.storage.base import SpaceRecord, Storage

_MOVED_BYTES, _MOVED_COUNT = 1024 * 1024, 500
NOT_HERE = "The journal that these words lead to is not there."


class TakenOver(NamedTuple):
    """What came of it."""

    name: str
    """What the person is called."""
    former: tuple[SpaceRecord, ...]
    """Every space with the keys of the paper: with these what was said is brought to the relay. Not those that were left
    quietly: of them nothing is sent again."""
    removed: int
    """How many other devices were removed in the space where most were."""
    own_lost: bool
    """The private entries did not come back: a new own space was founded."""


def open_anchor(storage: Storage, phrase: RecoveryPhrase, *, relay_url: str) -> SpaceRecord:
    """Begin with the space that the words name. What it is, is only known once its log is here: see `read_anchor`."""
    space = _pending(phrase, FoundSpace(0, phrase.anchor, "own", 0, relay_url))
    with storage.transaction():
        storage.put_space(space)
    return space


def read_anchor(storage: Storage) -> bool:
    """Look at the first space once its log is here.

    Returns:
        Whether it is open. False: it is of another kind than was thought, was begun anew, and is to be brought here again.

    Raises:
        NotFound: it is not there.
        NotAllowed: the words count no more.
        VerificationFailed: they never were of this space.
    """
    [anchor] = storage.spaces()
    device = _require_known(storage, anchor.space_id, anchor.log_id)
    kind = load_membership(storage, anchor.space_id).kind
    if (kind, device.slot) == (anchor.kind, anchor.slot):
        return True
    with storage.transaction():
        storage.remove_space(anchor.space_id)
        storage.put_space(anchor._replace(kind=kind, slot=device.slot, epoch_id=b"", pending=True))
    return False


def open_others(storage: Storage, phrase: RecoveryPhrase) -> list[SpaceRecord]:
    """Begin with the spaces that the first one names."""
    [anchor] = storage.spaces()
    opened = []
    with storage.transaction():
        for found in spaces_for(storage, phrase, anchor):
            space = _pending(phrase, found._replace(relay_url=found.relay_url or anchor.relay_url))
            storage.put_space(space)
            opened.append(space)
    return opened


def not_found(storage: Storage) -> list[SpaceRecord]:
    """The spaces that were named and of which nothing came."""
    return [space for space in storage.spaces() if space.pending]


def leave_out(storage: Storage, space: SpaceId) -> None:
    """Go on without a space that can't be had."""
    with storage.transaction():
        storage.remove_space(space)


def take_over(
    storage: Storage,
    phrase: RecoveryPhrase,
    *,
    device_name: str,
    relay_url: str,
    zone: str,
    clock: Clock,
    randomness: Randomness,
) -> TakenOver:
    """Bring a new device into every space that is here, as which this storage goes on, and remove every other. One transaction.

    Other recovery phrases of this person are removed as well: nobody can tell who made them.

    Args:
        storage: with every space open.
        phrase: the words.
        device_name: what the new device is called.
        relay_url: the relay of this person; empty: none.
        zone: IANA name of the time zone.
        clock: where time comes from.
        randomness: where random bytes come from.

    Raises:
        MembershipRejected: the person can't have more devices.
        InputError: what the person is called did not come along.
    """
    former = tuple(storage.spaces())
    anchor = next(space for space in former if space.space_id == phrase.anchor)
    name = said_of_me(storage, anchor).get(NAME_KEY, "")[:NAME_CHARS_MAX]
    if not name:
        raise InputError("What you are called did not come along.", hint="Is the relay or the file complete? Try it once more.")
    own_lost = not any(space.kind == "own" for space in former)
    with storage.transaction():
        storage.put_meta("name", name)
        storage.put_meta("derivation", DERIVATION)
        storage.put_meta("relay_url", relay_url)
        if own_lost:
            _found_own(storage, relay_url=relay_url, randomness=randomness)
        replica = Replica(storage, zone=zone, clock=clock, randomness=randomness)
        taken = {space.space_id: _key_number(phrase, space) for space in former}
        removed = 0
        left = {space for space, stance in read_stances(storage).items() if stance == LEFT}
        for space in former:
            own_all(storage, space.space_id)  # what the paper said when it was used before
            removed = max(removed, _remove_others(replica, phrase, space))
            succeed(storage, replica.writer.appender, space, randomness=randomness, keep_former=False)
        if own_lost:
            replica.writer.name_person(name, space=replica.reader.own_space())
        enrol_phrase(replica, phrase, taken)
        _name_device(replica, device_name)
    return TakenOver(name, tuple(space for space in former if space.space_id not in left), removed, own_lost)


def move_in(source: Storage, target: Storage) -> None:
    """Put what came back in place of a journal in which nothing was written yet. One transaction."""
    with target.transaction():
        for space in target.spaces():
            target.remove_space(space.space_id)
        for key in ("name", "derivation", "relay_url"):
            target.put_meta(key, source.meta(key))
        for space in source.spaces():
            target.put_space(space)
            for epoch, secret in source.epochs(space.space_id).items():
                target.put_epoch(space.space_id, epoch, secret)
            for log in source.heads(space.space_id):
                seq = 0
                while batch := source.envelopes_after(space.space_id, log, seq, bytes_max=_MOVED_BYTES, count_max=_MOVED_COUNT):
                    for envelope in batch:
                        target.append(space.space_id, envelope)
                    seq = batch[-1].seq
            for head in source.relay_heads(space.space_id).values():
                target.put_relay_head(space.space_id, head)
        rebuild(target)


def _pending(phrase: RecoveryPhrase, found: FoundSpace) -> SpaceRecord:
    keys = phrase.keys(found.number)
    log = log_id(found.space_id, keys.device_id)
    return SpaceRecord(
        found.space_id, found.kind, found.slot, log, keys.signing_seed, keys.sealing_secret, b"", found.relay_url, True
    )


def _require_known(storage: Storage, space: SpaceId, log: LogId) -> Device:
    if not storage.controls(space):
        raise NotFound(NOT_HERE, hint="Is it the right relay? With a bundle file: bide recovery use --bundle FILE")
    device = load_membership(storage, space).devices.get(log)
    if device is None or not device.recovery:
        raise VerificationFailed("These words are not of a phrase that this journal knows.")
    if log in read_belonging(storage, space).ended:
        raise no_more()
    return device


def _found_own(storage: Storage, *, relay_url: str, randomness: Randomness) -> None:
    founded = found_space("own", relay_url=relay_url, randomness=randomness)
    storage.put_space(founded.space)
    storage.put_epoch(founded.space.space_id, founded.space.epoch_id, founded.epoch_secret)
    storage.append(founded.space.space_id, stored(founded.genesis))
    rebuild_members(storage, founded.space.space_id)


def _key_number(phrase: RecoveryPhrase, space: SpaceRecord) -> int:
    number = 0
    while phrase.keys(number).signing_seed != space.signing_seed:
        number += 1
    return number


def _remove_others(replica: Replica, phrase: RecoveryPhrase, space: SpaceRecord) -> int:
    storage = replica.storage
    staying = own_logs(phrase, space.space_id)
    gone = 0
    for device in load_membership(storage, space.space_id).active_devices():
        if device.slot == space.slot and device.log_id not in staying:
            membership = load_membership(storage, space.space_id)
            revoke_in(storage, replica.writer.appender, space, device, membership, replica.randomness)
            gone += not device.recovery
    return gone


def _name_device(replica: Replica, device_name: str) -> None:
    own = replica.reader.own_space()
    spaces = replica.spaces()
    for space in spaces:
        if not may_write(replica.storage, space):
            continue  # it has ended or was left: it is there to be read
        fields = {device_key(space.log_id): device_name}
        if space.kind == "own":
            fields |= {place_key(own.log_id, each.space_id): each.log_id.hex() for each in spaces}
        replica.writer.say_of_person(fields, space=space)
