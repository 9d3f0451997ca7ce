"""My recovery phrase as my devices know it: enrolled in every space, covering those that come later, replaced and ended.

The words are known to the paper alone. What devices keep, sealed in the own space for each other, is public: for every key of
the phrase a *blank*, with the proofs that let it be enrolled into a space founded later. To the phrase itself they say, in
boxes that only its words open, which spaces there are: in the *anchor*, the one that the words name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bide.crypto import signing
from bide.crypto.recovery import KEYS_MAX, RecoveryPhrase, seal_to_phrase
from bide.errors import BideError, InputError, NotAllowed
from bide.ids import SPACE_ID_BYTES, DeviceId, LogId, SpaceId, log_id
from bide.log.control import DeviceRecord, DeviceRevoked
from bide.log.envelope import BODY_BYTES_MAX, parse_envelope
from bide.log.membership import recovery_proof_message
from bide.log.packing import pack, unpack
from bide.replica.authoring.admitting import admit, revoke_in, spaces_to_share
from bide.replica.derivation.rebuilding import load_membership, load_sayable
from bide.replica.single_writer.succession import own_logs as logs_of_home
from bide.replica.single_writer.succession import read_statement
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.personal import (
    DeviceName,
    anchor_key,
    blanks_key,
    box_key,
    ended_key,
    my_devices,
    place_key,
    said_of_me,
)
from bide.replica.spaces.stance import may_write
from bide.storage.base import SpaceRecord, Storage, find_own_space

if TYPE_CHECKING:
    from bide.replica.authoring.replica_like import ReplicaLike

_BLANK_BYTES = 1 + 32 + 32 + 2 * signing.SIGNATURE_BYTES
_RELAY_CHARS_MAX = 400
_UNGIVEN_KEY = "phrase_not_given"
_COVERED_MAX = 3
"""How often a phrase is enrolled in a space in which it is ended again."""


def no_more() -> NotAllowed:
    """What to say of words that count no more, as a relay too says by sending the paper away."""
    return NotAllowed("These words count no more: the phrase was replaced or destroyed.", hint="Look for the newer paper.")


class Blank(NamedTuple):
    """The public part of one key of a phrase."""

    number: int
    signing_key: bytes
    sealing_key: bytes
    proofs: tuple[bytes, bytes]
    """For slot 0 and for slot 1."""

    def record(self, slot: int) -> DeviceRecord:
        """As it is enrolled in a space."""
        return DeviceRecord(self.signing_key, self.sealing_key, self.proofs[slot])

    def log_in(self, space: SpaceId) -> LogId:
        """The log that this key would write in a space."""
        return log_id(space, DeviceId(self.signing_key))


class Prepared(NamedTuple):
    """A phrase that counts, as this person's devices know it."""

    log_id: LogId
    """Its log in the own space."""
    anchor: SpaceId
    blanks: tuple[Blank, ...]
    """All of its keys."""


class FoundSpace(NamedTuple):
    """A space as a box names it to the phrase."""

    number: int
    space_id: SpaceId
    kind: str
    slot: int
    relay_url: str


class Cover(NamedTuple):
    """Whether a space comes back by the words."""

    space: SpaceRecord
    covered: bool


def blank_of(phrase: RecoveryPhrase, index: int) -> Blank:
    """The public part of a key."""
    keys = phrase.keys(index)
    messages = (recovery_proof_message(slot, keys.device_id, keys.sealing_key) for slot in (0, 1))
    first, second = (signing.sign(message, keys.signing_seed) for message in messages)
    return Blank(index, keys.device_id, keys.sealing_key, (first, second))


def anchor_for(storage: Storage) -> SpaceRecord:
    """The space that a new phrase is to lead to: the own one if a relay has it or none has any; else the first that one has.

    Raises:
        NotAllowed: this device doesn't belong, so it can't enrol anything.
    """
    # One that has ended can't be told of the others any more.
    spaces = [space for space in spaces_to_share(storage) if may_write(storage, space)]
    own = next((space for space in spaces if space.kind == "own"), None)
    if own is None:
        raise NotAllowed("This device does not belong to your devices.", hint="Use another one of yours.")
    held = [
        space for space in spaces if space.relay_url and any(head.seq for head in storage.relay_heads(space.space_id).values())
    ]
    return own if own in held or not held else held[0]


def prepared(storage: Storage) -> list[Prepared]:
    """The phrases of mine that count. One, unless two devices made one each at the same time."""
    own = find_own_space(storage)
    said = said_of_me(storage, own)
    found = []
    for device in my_devices(storage):
        if not device.on_paper or not device.active:
            continue
        anchor, blanks = _bytes(said.get(anchor_key(device.log_id), "")), _bytes(said.get(blanks_key(device.log_id), ""))
        if len(anchor) == SPACE_ID_BYTES:
            found.append(Prepared(device.log_id, SpaceId(anchor), _read_blanks(blanks)))
    return found


def create(replica: ReplicaLike, phrase: RecoveryPhrase, *, given: bool = True) -> list[Cover]:
    """Enrol a phrase in every space of mine, in place of those that there were. One transaction.

    Args:
        replica: whose.
        phrase: which.
        given: somebody has the words. If not, `note_given` says so later; until then they are `ungiven`.

    Returns:
        Every space, with whether it is covered.

    Raises:
        MembershipRejected: a person can't have more devices.
    """
    with replica.storage.transaction():
        _end(replica)
        enrol_phrase(replica, phrase, {phrase.anchor: 0})
        made = "" if given else prepared(replica.storage)[0].log_id.hex()
        replica.storage.put_meta(_UNGIVEN_KEY, made)
    return covers(replica.storage, phrase)


def ungiven(storage: Storage) -> bool:
    """Whether a phrase counts that was made here and whose words perhaps nobody has: it ended before it gave them out."""
    made = storage.meta(_UNGIVEN_KEY)
    return bool(made) and any(phrase.log_id.hex() == made for phrase in prepared(storage))


def note_given(storage: Storage) -> None:
    """Somebody has the words of the phrase that was made here."""
    if storage.meta(_UNGIVEN_KEY):
        with storage.transaction():
            storage.put_meta(_UNGIVEN_KEY, "")


def is_ungiven(storage: Storage, phrase: RecoveryPhrase) -> bool:
    """Whether it is these words."""
    made = storage.meta(_UNGIVEN_KEY)
    own = find_own_space(storage)
    return made in {log.hex() for log in own_logs(phrase, own.space_id)}


def destroy(replica: ReplicaLike) -> int:
    """End every phrase of mine, in every space. One transaction.

    Returns:
        How many spaces had one.
    """
    with replica.storage.transaction():
        return _end(replica)


def covers(storage: Storage, phrase: RecoveryPhrase) -> list[Cover]:
    """Which of the spaces here come back by the words, as far as is known here.

    Raises:
        InputError: they are of another journal.
        NotAllowed: they count no more.
    """
    keys = [blank_of(phrase, index) for index in range(KEYS_MAX)]
    spaces = {space.space_id: space for space in storage.spaces()}
    anchor = spaces.get(phrase.anchor)
    known = {member.log_id for member in storage.members(phrase.anchor)} if anchor is not None else set()
    if anchor is None or keys[0].log_in(phrase.anchor) not in known:
        raise InputError("These words are well formed, but they are not of this journal.", hint="Are they of another paper?")
    if keys[0].log_in(phrase.anchor) in read_belonging(storage, phrase.anchor).ended:
        raise no_more()
    return [Cover(space, _place_in(storage, space, keys) is not None) for space in spaces.values()]


def covered_by(storage: Storage, phrase: Prepared, space: SpaceRecord) -> bool:
    """Whether a space comes back by a phrase."""
    return _place_in(storage, space, phrase.blanks) is not None


def enrol_phrase(replica: ReplicaLike, phrase: RecoveryPhrase, taken: dict[SpaceId, int]) -> None:
    """Enrol a phrase wherever it is not yet, and say what devices and paper need later. Inside a transaction.

    Args:
        replica: whose.
        phrase: which.
        taken: by space the key that is used or to be used there.
    """
    storage, writer = replica.storage, replica.writer
    keys = tuple(blank_of(phrase, index) for index in range(KEYS_MAX))
    own = replica.reader.own_space()
    places: dict[SpaceId, LogId] = {}
    free = iter(index for index in range(1, KEYS_MAX) if index not in taken.values())
    for space in spaces_to_share(storage):
        place = _place_in(storage, space, keys)
        if place is None:
            index = taken[space.space_id] if space.space_id in taken else next(free, None)
            if index is None:
                continue
            place = admit(storage, writer.appender, space, keys[index].record(space.slot), recovery=True)
        places[space.space_id] = place
    mine = places[own.space_id]
    fields = {place_key(mine, space): place.hex() for space, place in places.items()}
    fields |= {anchor_key(mine): phrase.anchor.hex(), blanks_key(mine): _write_blanks(keys).hex()}
    writer.say_of_person(fields, space=own)
    for space_id in places:
        _name_to_paper(replica, Prepared(mine, phrase.anchor, keys), space_id)


def keep_up(replica: ReplicaLike, space: SpaceRecord) -> None:
    """Have each phrase cover a space that came later, and end one there that was ended elsewhere; after catching up."""
    storage = replica.storage
    own = replica.reader.own_space()
    if own.pending or space.pending:
        return
    devices = [device for device in my_devices(storage) if device.on_paper]
    left_over = _left_over(storage) if space.kind == "own" else {}
    if not devices and not left_over:
        return
    with storage.transaction():
        said = said_of_me(storage, own)
        for ended in (device for device in devices if not device.active):
            for each in storage.spaces():
                if not each.pending:
                    _end_in(replica, each, _logs_of_ended(ended, said, each.space_id))
        for each in storage.spaces():
            if each.space_id in left_over:
                _end_in(replica, each, left_over[each.space_id])
        for phrase in prepared(storage):
            _cover(replica, phrase, space)


def spaces_for(storage: Storage, phrase: RecoveryPhrase, anchor: SpaceRecord) -> list[FoundSpace]:
    """The other spaces that the anchor names to the phrase."""
    beginning = box_key(log_id(anchor.space_id, phrase.keys(0).device_id))
    found: dict[SpaceId, FoundSpace] = {}
    for key, text in sorted(said_of_me(storage, anchor).items()):
        if key.startswith(beginning) and (named := _open_box(phrase, _bytes(text))):
            found.setdefault(named.space_id, named)
    found.pop(anchor.space_id, None)
    return list(found.values())[: KEYS_MAX - 1]


def own_logs(phrase: RecoveryPhrase, space: SpaceId) -> set[LogId]:
    """The logs that any key of the phrase would write in a space."""
    return {log_id(space, phrase.keys(index).device_id) for index in range(KEYS_MAX)}


def tell_paper(replica: ReplicaLike, moved: Sequence[SpaceRecord]) -> None:
    """Tell the phrases that count where spaces are that have moved to another relay. Inside a transaction."""
    for phrase in prepared(replica.storage):
        # Where a space is on the relay of the anchor that is not said: it is with all others, once that moves.
        everywhere = any(space.space_id == phrase.anchor for space in moved)
        for space in replica.spaces() if everywhere else moved:
            _name_to_paper(replica, phrase, space.space_id)


# What is said in a space


def _cover(replica: ReplicaLike, phrase: Prepared, space: SpaceRecord) -> None:
    """Enrol a key that is in no space yet, if this phrase is not in this one."""
    storage = replica.storage
    anchor = next((each for each in storage.spaces() if each.space_id == phrase.anchor), None)
    if anchor is None or anchor.pending or space.kind == "own" or _place_in(storage, space, phrase.blanks) is not None:
        return
    if not may_write(storage, anchor):
        return  # the paper can't be told of it any more: only a new phrase can cover it
    if space.log_id in read_belonging(storage, space.space_id).ended or _is_contested(storage, space, phrase):
        return
    members = {member.log_id for each in storage.spaces() for member in storage.members(each.space_id)}
    ids = [each.space_id for each in storage.spaces()]
    free = [blank for blank in phrase.blanks if blank.number and not any(blank.log_in(each) in members for each in ids)]
    if not free:
        return
    # Two devices that cover a space at the same time take the same one; those that each found a space mostly another.
    blank = free[int.from_bytes(space.space_id[:4], "big") % len(free)]
    own = replica.reader.own_space()
    named = _bytes(said_of_me(storage, own).get(place_key(phrase.log_id, space.space_id), ""))
    if named not in members:  # another device of mine has covered it, which is not known there yet
        blank = next((each for each in phrase.blanks if each.number and each.log_in(space.space_id) == named), blank)
    place = admit(storage, replica.writer.appender, space, blank.record(space.slot), recovery=True)
    replica.writer.say_of_person({place_key(phrase.log_id, space.space_id): place.hex()}, space=own)
    _name_to_paper(replica, phrase, space.space_id)


def _is_contested(storage: Storage, space: SpaceRecord, phrase: Prepared) -> bool:
    """Whether a phrase was ended in a space as often as it was covered: by who knows more of the own space than this device.

    Once may be by one who made another phrase and had not heard of this one in the own space, where it counts; but a device
    that is out there, and has not heard of it, would cover the space with one key after the other.
    """
    keys = {blank.signing_key for blank in phrase.blanks}
    said = (read_statement(parse_envelope(each.data)) for each in storage.controls(space.space_id))
    ended = {statement.device for statement in said if isinstance(statement, DeviceRevoked) and statement.device in keys}
    return len(ended) >= _COVERED_MAX


def _left_over(storage: Storage) -> dict[SpaceId, set[LogId]]:
    """What devices that were removed since, or this one, enrolled in other spaces of phrases that never counted in the own one.

    Whoever removed such a device knew what it had enrolled there, and not what it said of it in the own space. A home that was
    put back lost what it had said in the own space, if no relay had that yet. Judged only when everything of that is here.
    """
    known = [blank for phrase in prepared(storage) for blank in phrase.blanks]
    found: dict[SpaceId, set[LogId]] = {}
    for space in storage.spaces():
        belonging = read_belonging(storage, space.space_id)
        mine = {member.log_id for member in storage.members(space.space_id) if member.slot == space.slot}
        logs = {*belonging.on_paper} & mine - belonging.ended.keys() - {blank.log_in(space.space_id) for blank in known}
        if space.kind == "own" or space.pending or not logs:
            continue
        authors = {control.hash: control.log_id for control in storage.controls(space.space_id)}
        devices = load_membership(storage, space.space_id).devices
        judged = belonging.ended.keys() | {*logs_of_home(storage, space)}
        if left_over := {log for log in logs if authors.get(devices[log].admitted_by) in judged}:
            found[space.space_id] = left_over
    return found


def _name_to_paper(replica: ReplicaLike, phrase: Prepared, space_id: SpaceId) -> None:
    """Say to the paper, in the anchor, that a space is there."""
    storage = replica.storage
    spaces = {space.space_id: space for space in storage.spaces()}
    anchor, space = spaces.get(phrase.anchor), spaces[space_id]
    place = _place_in(storage, space, phrase.blanks)
    if anchor is None or anchor.pending or space_id == phrase.anchor or place is None or not may_write(storage, anchor):
        return
    first = phrase.blanks[0]
    index = next(blank.number for blank in phrase.blanks if blank.log_in(space_id) == place)
    relay = "" if space.relay_url == anchor.relay_url else space.relay_url
    plain = pack([index, space_id, space.kind, space.slot, relay])
    box = seal_to_phrase(plain, sealing_key=first.sealing_key)
    replica.writer.say_of_person({box_key(first.log_in(anchor.space_id), place): box.hex()}, space=anchor)


def _place_in(storage: Storage, space: SpaceRecord, blanks: tuple[Blank, ...] | list[Blank]) -> LogId | None:
    """The log of a phrase in a space, if it belongs there as mine."""
    ended = read_belonging(storage, space.space_id).ended
    active = {member.log_id for member in storage.members(space.space_id) if member.slot == space.slot} - ended.keys()
    return next((log for blank in blanks if (log := blank.log_in(space.space_id)) in active), None)


def _end(replica: ReplicaLike) -> int:
    storage = replica.storage
    said: dict[str, str] = {}
    now = said_of_me(storage, replica.reader.own_space())
    for device in my_devices(storage):
        if device.on_paper and device.active:
            # Another device may be covering a space just now: by these it is known there whose that is.
            keys = b"".join(blank.signing_key for blank in _read_blanks(_bytes(now.get(blanks_key(device.log_id), ""))))
            said |= {blanks_key(device.log_id): "", anchor_key(device.log_id): "", ended_key(device.log_id): keys.hex()}
    ended = sum(_end_in(replica, space, None) for space in spaces_to_share(storage))
    if said:
        replica.writer.say_of_person(said, space=replica.reader.own_space())
    return ended


def _logs_of_ended(phrase: DeviceName, said: Mapping[str, str], space: SpaceId) -> set[LogId]:
    """The logs that a phrase that was ended may have in a space."""
    keys = _bytes(said.get(ended_key(phrase.log_id), ""))
    logs = {log_id(space, DeviceId(keys[at : at + 32])) for at in range(0, len(keys), 32)}
    return logs | {phrase.places[space]} if space in phrase.places else logs


def _end_in(replica: ReplicaLike, space: SpaceRecord, logs: set[LogId] | None) -> bool:
    """Revoke recovery devices of mine in a space: these, or all."""
    storage, done = replica.storage, False
    belonging = read_belonging(storage, space.space_id)
    mine = {member.log_id for member in storage.members(space.space_id) if member.slot == space.slot}
    for log in belonging.on_paper:
        if log in mine and log not in belonging.ended and (logs is None or log in logs):
            membership = load_sayable(storage, space.space_id)
            device = membership.devices.get(log)
            if device is not None:
                revoke_in(storage, replica.writer.appender, space, device, membership, replica.randomness)
                done = True
    return done


def _open_box(phrase: RecoveryPhrase, box: bytes) -> FoundSpace | None:
    try:
        value = unpack(phrase.open(box), bytes_max=BODY_BYTES_MAX)
    except BideError:
        return None
    if not isinstance(value, list) or len(value) != 5:
        return None
    index, space, kind, slot, relay = value
    sound = type(index) is int and 0 < index < KEYS_MAX and isinstance(space, bytes) and len(space) == SPACE_ID_BYTES
    known = kind in ("own", "pair") and slot in (0, 1) and isinstance(relay, str) and len(relay) <= _RELAY_CHARS_MAX
    return FoundSpace(index, SpaceId(space), kind, slot, relay) if sound and known else None


def _write_blanks(blanks: tuple[Blank, ...]) -> bytes:
    return b"".join(bytes([each.number]) + each.signing_key + each.sealing_key + b"".join(each.proofs) for each in blanks)


def _read_blanks(data: bytes) -> tuple[Blank, ...]:
    found = []
    for at in range(0, len(data) - len(data) % _BLANK_BYTES, _BLANK_BYTES):
        index, rest = data[at], data[at + 1 : at + _BLANK_BYTES]
        found.append(Blank(index, rest[:32], rest[32:64], (rest[64:128], rest[128:])))
    return tuple(found)


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""
