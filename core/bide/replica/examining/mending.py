"""From what could be read of a damaged database to a whole replica: of each log what can be proved, and all else built anew.

A log is taken as far as its chain and signatures go from its first entry. What stands behind a damaged place is *laid by*: it
is kept in the replica, is in no log, and follows by itself once a sync has brought what was before it.

This device writes nothing in a space whose own log was longer: somebody may have what was lost, and two entries at one place
would be a fork. How far anybody can have it was noted before it went out (`bide.replica.single_writer.outgoing`). Once a sync
has brought it that far, the log is gone on with. A relay that has lost it as well doesn't bring it; then this home waits for
another device, or its person decides to `go_on` without, in a new log.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bide.crypto import sealing, signing
from bide.crypto.keys import DeviceKeys, GrantBroken, open_grant
from bide.errors import BideError, EnvelopeRejected, MembershipRejected, VerificationFailed
from bide.ids import DeviceId, LogId, SpaceId, log_id, person_entry_id
from bide.log.chain import Head, Place, empty_head, head_of, place
from bide.log.control import Granting, read_control
from bide.log.envelope import Envelope, EnvelopeClass, parse_envelope, verify_signature
from bide.log.leaving import is_erased
from bide.log.membership import Membership
from bide.projections import DERIVATION
from bide.replica.derivation.deriving import stored
from bide.replica.derivation.rebuilding import Progress, counting, rebuild
from bide.replica.single_writer.copies import LOST, note_foreign
from bide.replica.single_writer.outgoing import furthest
from bide.replica.single_writer.succession import own_logs
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.removal import is_out
from bide.replica.spaces.waiting import ASKED, go_on_key, short_key
from bide.replica.sync.receiving import Receiver
from bide.storage.base import SpaceRecord, Storage

if TYPE_CHECKING:
    from bide.storage.salvage import Salvaged
    from bide.storage.sqlite import SqliteStorage

_NAME_KEY = "name"
_NAMELESS = "?"
_LENGTH_BYTES = 4
_ID_BYTES, _KEY_BYTES = 16, 32
_PART_BYTES = 12 * 1024
"""What is laid by is kept in parts of about this size, so that a lost page takes some and not all."""


class Mended(NamedTuple):
    """What became of a damaged replica."""

    spaces: int
    """Spaces whose keys were saved."""
    lost_spaces: int
    """Spaces of which log entries are left and no keys."""
    entries: int
    """Log entries that are in their place."""
    laid_by: int
    """Log entries that wait for what was before them."""
    must_sync: int
    """Spaces in which nothing can be written before a sync."""
    held_torn: bool
    """Something that waited in the outbox may be gone."""
    laid_torn: bool
    """If an earlier repair laid something by, some of it may be gone."""
    nameless: bool
    """What this person is called was not to be found."""


class KeysLost(BideError):
    """The keys of this home can't be read any more, so nothing could be mended. Nothing was changed."""

    code = "keys_lost"
    hint_default = (
        "Everything that a relay or another device has is safe. Come back to it from another device of yours (bide device add)"
        " or with whatever you kept for this; keep the damaged home until you have."
    )


class NoRelayHasIt(BideError):
    """Log entries that no relay has can't be read any more. If this home were mended, they would not be shown any longer."""

    code = "no_relay_has_it"
    hint_default = (
        "So nothing was changed. What can still be read is kept by: bide export --output FILE. If a relay may have them, first"
        " run bide relay set URL and bide sync. On a terminal you are asked whether to mend it all the same."
    )


def mend(found: Salvaged, storage: SqliteStorage, progress: Progress | None = None, *, opens: bool = False) -> Mended:
    """Fill a fresh storage with what was salvaged. One transaction.

    Args:
        found: what could be read.
        storage: to fill.
        progress: is told how far all is built anew.
        opens: whether what is shown can still be read from the damaged database, and kept by an export.

    Raises:
        KeysLost: the keys of the person's own space are not among it.
        NoRelayHasIt: something that no relay has acknowledged would be gone from the timeline, and can still be read.
    """
    from bide.storage.salvage import adopt

    rows = list(
        {row["space_id"]: row for name in ("space_copy", "space") for row in found.table(name) if _has_sound_keys(row)}.values()
    )
    if not any(row["kind"] == "own" for row in rows):
        raise KeysLost
    given: dict[SpaceId, list[bytes]] = defaultdict(list)
    for row in found.table("envelope"):
        given[SpaceId(row["space_id"])].append(row["data"])
    heads = {(row["space_id"], row["log_id"]): (row["seq"], row["hash"]) for row in found.table("log_head")}
    entries = waiting = must_sync = 0
    with storage.transaction():
        adopt(storage, found, rows)
        spaces = storage.spaces()
        for space in spaces:
            before = _laid_before(storage, found, space.space_id)
            kept, left = sound_part(space.space_id, [*before, *given[space.space_id]])
            for envelope in kept:
                storage.append(space.space_id, stored(envelope))
            _recover_epochs(storage, space, kept)
            _lay_by(storage, space.space_id, left)
            own = storage.heads(space.space_id).get(space.log_id, empty_head(space.log_id))
            # Only the count that stood beside the log proves that nothing was behind its last entry here.
            whole = heads.get((space.space_id, space.log_id)) == (own.seq, own.hash)
            fresh = [each for each in left if each.data not in before]
            if opens and space.relay_url and _is_nowhere_else(storage, found, space.space_id, left, fresh, heads):
                raise NoRelayHasIt
            if opens and not space.relay_url and (fresh or not kept or _is_shorter(storage, space.space_id, heads)):
                raise NoRelayHasIt
            reached = _reached(storage, found, space, left, heads)
            if not whole and not space.pending and (space.relay_url or own.seq < reached):
                storage.put_meta(short_key(space.space_id), f"{reached}{'' if space.relay_url else ASKED}")
                must_sync += bool(space.relay_url)
            entries, waiting = entries + len(kept), waiting + len(left)
        rebuild(storage, counting(storage, progress))
        storage.put_meta("derivation", DERIVATION)
        nameless = not _restore_meta(storage, spaces)
    lost = given.keys() - {space.space_id for space in spaces}
    return Mended(len(spaces), len(lost), entries, waiting, must_sync, "outbox" in found.torn, "meta" in found.torn, nameless)


def _reached(
    storage: Storage,
    found: Salvaged,
    space: SpaceRecord,
    left: Iterable[Envelope],
    heads: Mapping[tuple[bytes, bytes], tuple[int, bytes]],
) -> int:
    """How far anybody may have this device's own log: it went out, or the relay acknowledged it.

    Where some of the notes about that are lost too, how far it was here, as far as that can be told.
    """
    log = space.log_id
    ends = [furthest(storage, space.space_id, log)]
    ends += [row["seq"] for row in found.table("relay_head") if (row["space_id"], row["log_id"]) == (space.space_id, log)]
    if space.relay_url and not found.torn.isdisjoint(("meta", "relay_head")):
        ends += [heads[space.space_id, log][0]] if (space.space_id, log) in heads else []
        ends += [each.seq for each in left if each.log_id == log]
    return max(ends)


def _is_shorter(storage: Storage, space: SpaceId, heads: Mapping[tuple[bytes, bytes], tuple[int, bytes]]) -> bool:
    """Whether a log had entries behind its last one here, as the counts that stood beside the logs tell."""
    here = storage.heads(space)
    return any(
        owner == space and seq > (here[LogId(log)].seq if log in here else 0) for (owner, log), (seq, _) in heads.items()
    )


def _is_nowhere_else(
    storage: Storage,
    found: Salvaged,
    space: SpaceId,
    left: Sequence[Envelope],
    fresh: Sequence[Envelope],
    heads: Mapping[tuple[bytes, bytes], tuple[int, bytes]],
) -> bool:
    """Whether something is lost that was in a log, and that no relay has acknowledged as far as can be told.

    Args:
        storage: with what is in its place.
        found: what could be read.
        space: which space.
        left: what is to be laid by.
        fresh: what of it was in a log until now.
        heads: the counts that stood beside the logs.
    """
    if "relay_head" in found.torn:
        return False
    acknowledged = {row["log_id"]: row["seq"] for row in found.table("relay_head") if row["space_id"] == space}
    ends = {LogId(log): seq for (owner, log), (seq, _) in heads.items() if owner == space}
    for each in fresh:
        ends[each.log_id] = max(each.seq, ends.get(each.log_id, 0))
    here, waiting = storage.heads(space), {(each.log_id, each.seq) for each in left}
    for log, end in ends.items():
        last = end
        while (log, last) in waiting:
            last -= 1
        if last > max(here.get(log, empty_head(log)).seq, acknowledged.get(log, 0)):
            return True
    return False


def _laid_before(storage: Storage, found: Salvaged, space: SpaceId) -> set[bytes]:
    """What an earlier repair had laid by, as far as it can be read; it is taken out of the storage, to be laid by anew."""
    datas: set[bytes] = set()
    for row in found.table("meta"):
        if str(row["key"]).startswith(_laid_key(space)):
            datas.update(_unpacked(row["value"]))
            storage.put_meta(row["key"], "")
    return datas


def sound_part(space: SpaceId, datas: Iterable[bytes]) -> tuple[list[Envelope], list[Envelope]]:
    """What of some envelopes of a space can be proved, and what could be if something missing came.

    Args:
        space: which space.
        datas: envelopes in any order, damaged ones too.

    Returns:
        The first is in an order in which it can be appended. The second is what was made by its look but doesn't follow.
    """
    logs: dict[LogId, dict[int, Envelope]] = defaultdict(dict)
    for data in datas:
        try:
            envelope = parse_envelope(data)
        except EnvelopeRejected:
            continue
        logs[envelope.log_id][envelope.seq] = envelope
    membership = next(filter(None, (_found(space, log[1]) for log in logs.values() if 1 in log)), None)
    kept: list[Envelope] = []
    if membership is not None:
        kept = _follow(membership, logs)
    there = {envelope.hash for envelope in kept}
    left = [envelope for _, log in sorted(logs.items()) for _, envelope in sorted(log.items()) if envelope.hash not in there]
    return kept, left


def take_back(storage: Storage, space: SpaceRecord) -> int:
    """After a sync brought everything that the relay has: put in place what was laid by and follows now, and write again.

    Returns:
        How many envelopes came back.
    """
    if not storage.meta(short_key(space.space_id)) and not storage.meta(_laid_key(space.space_id)):
        return 0
    came = 0
    with storage.transaction():
        left = laid_by(storage, space.space_id)
        receiver = Receiver(storage, space)
        progress = True
        while progress:
            progress = False
            for log in sorted({envelope.log_id for envelope in left}):
                run = _following(storage, space.space_id, [envelope for envelope in left if envelope.log_id == log])
                if run and (new := _receive(receiver, run)):
                    came += new
                    progress = True
        here = {each.hash for each in left if _is_in_its_place(storage, space.space_id, each)}
        _lay_by(storage, space.space_id, [each for each in left if each.hash not in here])
        _settle_end(storage, space)
    return came


def _is_in_its_place(storage: Storage, space: SpaceId, envelope: Envelope) -> bool:
    there = storage.envelope(space, envelope.log_id, envelope.seq)
    return there is not None and there.hash == envelope.hash


def still_missing(storage: Storage, space: SpaceRecord) -> int:
    """How many entries of this device's own log others may have, and neither this home nor a relay has, as a sync has shown."""
    short = storage.meta(short_key(space.space_id))
    return _missing(storage, space, int(short.removesuffix(ASKED))) if short.endswith(ASKED) else 0


def undecided(storage: Storage) -> list[SpaceRecord]:
    """Spaces in which this home waits for what is `still_missing`, and its person may decide to `go_on` without it."""
    return [
        space
        for space in storage.spaces()
        if still_missing(storage, space) and not storage.meta(go_on_key(space.space_id)) and not is_out(storage, space)
    ]


def go_on(storage: Storage, space: SpaceRecord) -> None:
    """Wait no longer for what is `still_missing`: unless the next sync brings it, this home goes on in a new log there.

    Should somebody have it all the same, then their past of the old log and this one part; what is written from now on is in
    neither.
    """
    with storage.transaction():
        if still_missing(storage, space):
            storage.put_meta(go_on_key(space.space_id), "1")


def _missing(storage: Storage, space: SpaceRecord, reached: int) -> int:
    own = storage.heads(space.space_id).get(space.log_id, empty_head(space.log_id))
    belonging = read_belonging(storage, space.space_id)
    gone = {*own_logs(storage, space), *belonging.ended, *belonging.on_paper}
    if space.log_id in belonging.ended or all(member.log_id in gone for member in storage.members(space.space_id)):
        return 0
    cited = (each.seq for each in storage.cited(space.space_id) if each.log_id == space.log_id)
    return max(0, reached - own.seq, *(seq - own.seq for seq in cited))


def _settle_end(storage: Storage, space: SpaceRecord) -> None:
    """All that the relay has is here: write again, go on in a new log, or wait for another device."""
    short = storage.meta(short_key(space.space_id)).removesuffix(ASKED)
    waits = bool(short) and _missing(storage, space, int(short)) > 0
    if waits and storage.meta(go_on_key(space.space_id)):
        note_foreign(storage, space.space_id, LOST)
        waits = False
    storage.put_meta(short_key(space.space_id), short + ASKED if waits else "")
    if not waits:
        storage.put_meta(go_on_key(space.space_id), "")


def _laid_key(space: SpaceId, number: int = 0) -> str:
    """Under which name a part is kept; the first one is empty if nothing is laid by."""
    return f"mended.laid_by.{space.hex()}" + (f".{number}" if number else "")


def _has_sound_keys(row: Mapping[str, Any]) -> bool:
    """Whether a row can only be that of a space: its log follows from the space and the key."""
    lengths = {"space_id": _ID_BYTES, "log_id": _ID_BYTES, "signing_seed": _KEY_BYTES, "sealing_secret": _KEY_BYTES}
    if any(not isinstance(row.get(name), bytes) or len(row[name]) != size for name, size in lengths.items()):
        return False
    if row.get("kind") not in ("own", "pair") or row.get("slot") not in (0, 1):
        return False
    device = DeviceId(signing.public_key(row["signing_seed"]))
    return bool(log_id(SpaceId(row["space_id"]), device) == row["log_id"])


def _found(space: SpaceId, envelope: Envelope) -> Membership | None:
    try:
        return Membership.found(space, envelope)
    except VerificationFailed:
        return None


def _follow(membership: Membership, logs: Mapping[LogId, Mapping[int, Envelope]]) -> list[Envelope]:
    heads = {log: empty_head(log) for log in logs}
    kept: dict[LogId, list[Envelope]] = {log: [] for log in logs}
    order: list[Envelope] = []
    progress = True
    while progress:
        progress = False
        for log in list(membership.devices):
            while (envelope := logs.get(log, {}).get(heads[log].seq + 1 if log in heads else 0)) is not None:
                if not _stands(membership, heads[log], envelope):
                    break
                heads[log] = head_of(envelope)
                kept[log].append(envelope)
                order.append(envelope)
                progress = True
    loose: set[bytes] = set()
    for log, envelopes in kept.items():
        for envelope in reversed(envelopes):
            if envelope.klass is EnvelopeClass.CONTROL or _is_signed(membership, log, envelope):
                break
            loose.add(envelope.hash)
    return [envelope for envelope in order if envelope.hash not in loose]


def _stands(membership: Membership, head: Head, envelope: Envelope) -> bool:
    try:
        if place(head, envelope) is not Place.NEXT:
            return False
        if envelope.klass is EnvelopeClass.CONTROL:
            membership.admit(envelope)
    except (EnvelopeRejected, MembershipRejected):
        return False
    return True


def _is_signed(membership: Membership, log: LogId, envelope: Envelope) -> bool:
    try:
        verify_signature(envelope, space=membership.space, device=membership.devices[log].id)
    except EnvelopeRejected:
        return False
    return True


def _recover_epochs(storage: Storage, space: SpaceRecord, envelopes: Iterable[Envelope]) -> None:
    """The log holds each epoch's secret too, sealed to this device, save those that it was told of and lost with a log."""
    keys = DeviceKeys(space.signing_seed, space.sealing_secret)
    for envelope in envelopes:
        if envelope.klass is not EnvelopeClass.CONTROL:
            continue
        statement = read_control(envelope.body)
        for grant in statement.grants if isinstance(statement, Granting) else ():
            if grant.recipient != keys.device_id:
                continue
            try:
                secret = open_grant(grant.box, keys=keys, parent=envelope.prev_hash)
            except GrantBroken:
                continue
            if sealing.epoch_id(secret) == grant.epoch_id:
                storage.put_epoch(space.space_id, grant.epoch_id, secret)


def _restore_meta(storage: Storage, spaces: Sequence[SpaceRecord]) -> bool:
    """The name and the relay, from where else they are. Returns whether there is a name."""
    if not storage.meta("relay_url"):
        storage.put_meta("relay_url", next((space.relay_url for space in spaces if space.relay_url), ""))
    if storage.meta("name"):
        return True
    for space in spaces:
        record = storage.entry(space.space_id, person_entry_id(space.space_id, space.slot))
        name = json.loads(record.body)["fields"].get(_NAME_KEY) if record is not None else None
        if isinstance(name, str) and name:
            storage.put_meta("name", name)
            return True
    storage.put_meta("name", _NAMELESS)
    return False


def _lay_by(storage: Storage, space: SpaceId, envelopes: Sequence[Envelope]) -> None:
    import base64

    erased = read_belonging(storage, space).erased
    parts = [b""]
    for each in envelopes:
        data = each.header if each.klass is EnvelopeClass.DATA and is_erased(erased, each.log_id, each.seq) else each.data
        if len(parts[-1]) >= _PART_BYTES:
            parts.append(b"")
        parts[-1] += len(data).to_bytes(_LENGTH_BYTES, "big") + data
    for number, part in enumerate(parts):
        packed = base64.b64encode(part).decode("ascii")
        if storage.meta(_laid_key(space, number)) != packed:
            storage.put_meta(_laid_key(space, number), packed)
    number = len(parts)
    while storage.meta(_laid_key(space, number)):
        storage.put_meta(_laid_key(space, number), "")
        number += 1


def laid_by(storage: Storage, space: SpaceId) -> list[Envelope]:
    """What waits for something before it to come back."""
    found: list[Envelope] = []
    number = 0
    while part := storage.meta(_laid_key(space, number)):
        found += map(parse_envelope, _unpacked(part))
        number += 1
    return found


def _unpacked(part: str) -> list[bytes]:
    import base64

    packed = base64.b64decode(part)
    datas, at = [], 0
    while at < len(packed):
        size = int.from_bytes(packed[at : at + _LENGTH_BYTES], "big")
        at += _LENGTH_BYTES
        datas.append(packed[at : at + size])
        at += size
    return datas


def _following(storage: Storage, space: SpaceId, envelopes: Sequence[Envelope]) -> list[Envelope]:
    """Those of one log, in order, that follow on what is here."""
    log = envelopes[0].log_id
    head = storage.heads(space).get(log, empty_head(log))
    run: list[Envelope] = []
    for envelope in envelopes:
        if envelope.seq == head.seq + 1 and envelope.prev_hash == head.hash:
            run.append(envelope)
            head = head_of(envelope)
    return run


def _receive(receiver: Receiver, envelopes: Sequence[Envelope]) -> int:
    try:
        return receiver.receive([envelope.data for envelope in envelopes])
    except VerificationFailed:
        return 0  # it is kept, and the next sync tries again
