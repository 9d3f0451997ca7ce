"""Building again what is derived: the members from the control envelopes, the read model from the whole log.

Apart from `bide.replica.derivation.deriving`, because membership brings heavy imports that writing an entry can do without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from bide.ids import DeviceId, EntryId, LogId, SpaceId, log_id
from bide.log.control import DeviceAdded, RecoveryAdded, read_control
from bide.log.envelope import Envelope, EnvelopeClass, parse_envelope
from bide.log.leaving import Ending, Erased, knows_of
from bide.log.membership import Membership, fold
from bide.replica.derivation.citing import cite_again
from bide.replica.derivation.deriving import AFTER_THE_END, derive, project, project_again, remove_events
from bide.replica.spaces.belonging import Belonging, put_belonging, read_belonging
from bide.storage.base import MemberRecord, Quarantined, Storage

_REBUILD_BATCH_BYTES = 1024 * 1024
_REBUILD_BATCH_COUNT = 500
BEYOND_THE_CUT = "This was written by a device that had been removed, or that never belonged; it is kept and not shown."


Progress = Callable[[int, int], None]
"""Is told how much is done, and of how much."""
Passed = Callable[[int], None]
"""Is told after each batch how many log entries it had, for who waits for a long history."""


def untold(count: int) -> None:
    """Nobody waits."""


def rebuild(storage: Storage, passed: Passed = untold) -> None:
    """Drop everything derived and build it again from the log. Inside a transaction.

    That a key in a statement made no sense is kept: keys are opened as statements arrive.
    """
    kept = [item for space in storage.spaces() for item in storage.quarantine(space.space_id) if _is_control(storage, item)]
    storage.clear_derived()
    for item in kept:
        storage.put_quarantine(item)
    for space in storage.spaces():
        if not storage.heads(space.space_id):
            continue  # its log was lost here, and comes back with a sync
        rebuild_members(storage, space.space_id)
        if not space.pending:
            derive_all(storage, space.space_id, passed)


def _is_control(storage: Storage, item: Quarantined) -> bool:
    there = storage.envelope(item.space_id, item.log_id, item.seq)
    return there is not None and there.control


def derive_all(storage: Storage, space: SpaceId, passed: Passed = untold) -> None:
    """Take the whole log of a space into the read model. Inside a transaction."""
    slots = {member.log_id: member.slot for member in storage.members(space)}
    for log in slots:
        for batch in _batches(storage, space, log, 0):
            take_in(storage, space, batch, slots=slots)
            passed(len(batch))


def counting(storage: Storage, progress: Progress | None, *, rounds: int = 1) -> Passed:
    """What tells `progress` how far it is, where every log entry is gone through so many times."""
    if progress is None:
        return untold
    done = 0
    total = rounds * sum(head.seq for space in storage.spaces() for head in storage.heads(space.space_id).values())

    def passed(count: int) -> None:
        nonlocal done
        done += count
        progress(min(done, total), total)

    return passed


def take_in(storage: Storage, space: SpaceId, envelopes: Sequence[Envelope], *, slots: dict[LogId, int]) -> None:
    """Derive stored envelopes as far as they count, and set aside the rest. Inside a transaction."""
    ended = read_belonging(storage, space).ended
    counting = [envelope for envelope in envelopes if envelope.seq <= ended.get(envelope.log_id, envelope.seq)]
    derive(storage, space, counting, slots=slots)
    if len(counting) < len(envelopes):
        _set_aside(storage, space, (e for e in envelopes if e.seq > ended.get(e.log_id, e.seq)))


def _set_aside(storage: Storage, space: SpaceId, beyond: Iterable[Envelope]) -> None:
    """Note what is kept and not shown. Where no words are, none are kept: else it would depend on what was heard of first."""
    for envelope in beyond:
        if envelope.klass is EnvelopeClass.DATA and not envelope.is_bare:
            storage.put_quarantine(Quarantined(space, envelope.log_id, envelope.seq, BEYOND_THE_CUT))


def rebuild_members(storage: Storage, space: SpaceId, membership: Membership | None = None) -> Membership:
    """Note every device, and what follows for who writes and sends. Inside a transaction.

    Args:
        storage: where to.
        space: of which space.
        membership: what its control envelopes come to; left out, they are folded.
    """
    membership = membership or load_membership(storage, space)
    known = {member.log_id for member in storage.members(space)}
    for device in membership.devices.values():
        storage.put_member(MemberRecord(space, device.log_id, device.id, device.slot))
    for member in storage.members(space):
        if member.log_id not in membership.devices:  # what admitted it was displaced
            storage.remove_member(space, member.log_id)
    before = read_belonging(storage, space)
    record = next((found for found in storage.spaces() if found.space_id == space), None)
    held = storage.epochs(space)
    # Whose device was let in by a statement that was taken out holds no key: it keeps nobody from sealing to all others.
    sayable = load_sayable(storage, space) if has_taken_out(storage, space) else membership
    eligible = [epoch for epoch in sayable.eligible_epochs() if epoch in held]
    active = record is not None and not record.pending and membership.is_active(record.log_id)
    lacking = active and bool(lacking_keys(sayable, held))
    over, erased = membership.endings(), membership.erased()
    # Devices are heard of in different orders.
    on_paper = tuple(sorted(log for log, device in membership.devices.items() if device.recovery))
    recovered = tuple(sorted(membership.recovered())) if on_paper else ()
    needed, mint = membership.needed(), active and not eligible
    put_belonging(storage, space, Belonging(dict(membership.ends), needed, mint, lacking, over, erased, on_paper, recovered))
    if record is not None and active and eligible and record.epoch_id != eligible[0]:
        storage.put_space(record._replace(epoch_id=eligible[0]))
    _apply_ends(storage, space, before.ended, membership)
    if over != before.over:
        _apply_over(storage, space, over, membership)
    if erased != before.erased:
        _apply_erased(storage, space, before.erased, erased)
    if record is not None and not record.pending and has_taken_out(storage, space):
        # While what had admitted a device was taken out, a rebuild has left its log out.
        slots = {log: device.slot for log, device in membership.devices.items()}
        for log in sorted(slots.keys() - known):
            for batch in _batches(storage, space, log, 0):
                take_in(storage, space, batch, slots=slots)
    return membership


def lacking_keys(membership: Membership, held: Mapping[bytes, bytes]) -> list[tuple[bytes, LogId]]:
    """Which device lacks the secret of which epoch that is held here, and that the log knows of."""
    return [
        (epoch, device.log_id)
        for epoch in sorted(held.keys() & membership.recipients.keys())
        for device in membership.active_devices()
        if device.id not in membership.recipients[epoch]
    ]


def retry_quarantined(storage: Storage, space: SpaceId, epochs: set[bytes]) -> None:
    """Take in what was set aside for want of these keys. Inside a transaction."""
    found = []
    for item in storage.quarantine(space):
        there = storage.envelope(space, item.log_id, item.seq)
        envelope = parse_envelope(there.data) if there is not None and not there.control else None
        if envelope is not None and envelope.epoch_id in epochs:
            storage.remove_quarantine(space, item.log_id, item.seq)
            found.append(envelope)
    if found:
        take_in(storage, space, found, slots={member.log_id: member.slot for member in storage.members(space)})
        project_again(storage, space)


def _apply_ends(storage: Storage, space: SpaceId, before: Mapping[LogId, int], membership: Membership) -> None:
    """Take out of the read model what counts no more, and in what counts again."""
    slots = {log: device.slot for log, device in membership.devices.items()}
    heads = storage.heads(space)
    for log in sorted(before.keys() | membership.ends.keys()):
        head = heads.get(log)
        if head is None:
            continue
        was, now = before.get(log, head.seq), membership.ends.get(log, head.seq)
        for batch in _batches(storage, space, log, min(was, now)):
            if now < was:
                _take_out(storage, space, batch)
            elif now > was:
                for envelope in batch:
                    if envelope.klass is EnvelopeClass.DATA:
                        storage.remove_quarantine(space, log, envelope.seq)
                take_in(storage, space, batch, slots=slots)
        if now < was:
            cite_again(storage, space, [log])


def _apply_over(storage: Storage, space: SpaceId, over: Sequence[Ending], membership: Membership) -> None:
    """Take out of the read model what was written knowing of the space's end, and in what was set aside for that."""
    touched: set[EntryId] = set()
    aside = [item for item in storage.quarantine(space) if item.reason == AFTER_THE_END]
    for log, head in storage.heads(space).items():
        for seq, entry, frontier in storage.log_events(space, log, head.seq):
            if knows_of(over, log, seq, {cited.log_id: cited.seq for cited in frontier}):
                storage.remove_event(space, log, seq)
                storage.put_quarantine(Quarantined(space, log, seq, AFTER_THE_END))
                touched.add(entry)
    if touched:
        cite_again(storage, space, storage.heads(space))
    for item in aside:
        storage.remove_quarantine(space, item.log_id, item.seq)
    found = (storage.envelope(space, item.log_id, item.seq) for item in aside)
    envelopes = [parse_envelope(there.data) for there in found if there is not None]
    take_in(storage, space, envelopes, slots={log: device.slot for log, device in membership.devices.items()})
    project_again(storage, space, touched)


def _apply_erased(storage: Storage, space: SpaceId, before: Erased, erased: Erased) -> None:
    """Drop the bodies that were erased, and all that was read from them."""
    touched: set[EntryId] = set()
    for log, spans in erased.items():
        for first, last in spans:
            if (first, last) in before.get(log, ()):
                continue
            gone = storage.erase_bodies(space, log, first, last)
            touched |= remove_events(storage, space, ((log, seq) for seq in gone))
            for seq in gone:
                storage.remove_quarantine(space, log, seq)
    cite_again(storage, space, erased)
    project_again(storage, space, touched)
    storage.forget_removed()


def _take_out(storage: Storage, space: SpaceId, envelopes: Sequence[Envelope]) -> None:
    touched = remove_events(storage, space, ((each.log_id, each.seq) for each in envelopes))
    _set_aside(storage, space, envelopes)
    project(storage, space, touched)


def load_membership(storage: Storage, space: SpaceId) -> Membership:
    """The membership that the stored control envelopes make."""
    return fold_here(storage, space)[0]


def load_sayable(storage: Storage, space: SpaceId) -> Membership:
    """As `load_membership`, without what builds on a statement that was taken out of a log.

    No relay could judge what is said on top of that.
    """
    membership, order = fold_here(storage, space)
    out = {envelope.hash for envelope in order} - {control.hash for control in storage.controls(space)}
    out -= {each.hash for each in storage.beside(space)}
    if not out:
        return membership
    kept: list[Envelope] = []
    for envelope in order:
        if envelope.hash in out or not out.isdisjoint(read_control(envelope.body).parents):
            out.add(envelope.hash)
        else:
            kept.append(envelope)
    said = {_admitted(space, envelope) for envelope in kept}
    lost = {log for envelope in order if envelope.hash in out and (log := _admitted(space, envelope)) not in said}
    beside = {each.hash for each in storage.beside(space)}
    return fold(space, [envelope for envelope in kept if envelope.log_id not in lost], aside=beside)[0]


def fold_here(storage: Storage, space: SpaceId, fresh: Sequence[Envelope] = ()) -> tuple[Membership, list[Envelope]]:
    """The membership that the stored control envelopes make, and the order in which they were folded.

    Args:
        storage: the replica.
        space: which.
        fresh: further control envelopes, which follow on those.
    """
    here = {control.hash for control in storage.controls(space)} | {envelope.hash for envelope in fresh}
    controls = control_envelopes(storage, space, fresh)
    return fold(space, controls, aside={envelope.hash for envelope in controls} - here)


def control_envelopes(storage: Storage, space: SpaceId, fresh: Sequence[Envelope] = ()) -> list[Envelope]:
    """Every control envelope that is here; of a log that has two pasts those of both, since others may build on either."""
    beside = (each for each in storage.beside(space) if each.control)
    found = [*(parse_envelope(control.data) for control in (*storage.controls(space), *beside)), *fresh]
    return found + orphaned_on(storage, space, found)


def has_taken_out(storage: Storage, space: SpaceId) -> bool:
    """Whether any statement was taken out of a log here, so that something may hang on it."""
    return any(each.envelope.control for each in storage.displaced(space))


def has_two_pasts(storage: Storage, space: SpaceId) -> bool:
    """Whether any statement stands outside its log, so that who belongs follows from more than what the logs say one by one."""
    return has_taken_out(storage, space) or any(each.control for each in storage.beside(space))


def orphaned_on(storage: Storage, space: SpaceId, controls: Sequence[Envelope]) -> list[Envelope]:
    """Statements that were taken out of a log, as far as others build on them: who took those in has to be able to judge them.

    So does a log of words alone, on the statement that let its device in: without that nobody could tell whose words they are.

    Args:
        storage: the replica.
        space: which.
        controls: the statements that are here.
    """
    there = (parse_envelope(each.envelope.data) for each in storage.displaced(space) if each.envelope.control)
    out = {envelope.hash: envelope for envelope in there}
    for envelope in controls:
        out.pop(envelope.hash, None)
    if not out:
        return []
    admits: dict[LogId, list[bytes]] = {}
    for envelope in out.values():
        if (log := _admitted(space, envelope)) is not None:
            admits.setdefault(log, []).append(envelope.hash)
    for envelope in controls:
        if (log := _admitted(space, envelope)) is not None:
            admits.pop(log, None)
    found: dict[bytes, Envelope] = {}
    builds_on = [(envelope.log_id, read_control(envelope.body).parents) for envelope in controls]
    builds_on += [(log, []) for log in storage.heads(space)]
    while builds_on:
        author, parents = builds_on.pop()
        for digest in (*parents, *admits.get(author, ())):
            if digest in out and digest not in found:
                found[digest] = out[digest]
                builds_on.append((out[digest].log_id, read_control(out[digest].body).parents))
    return list(found.values())


def _admitted(space: SpaceId, envelope: Envelope) -> LogId | None:
    statement = read_control(envelope.body)
    if not isinstance(statement, DeviceAdded | RecoveryAdded):
        return None
    return log_id(space, DeviceId(statement.device.signing_key))


def _batches(storage: Storage, space: SpaceId, log: LogId, seq: int) -> Iterable[Sequence[Envelope]]:
    while stored := storage.envelopes_after(space, log, seq, bytes_max=_REBUILD_BATCH_BYTES, count_max=_REBUILD_BATCH_COUNT):
        seq = stored[-1].seq
        yield [parse_envelope(envelope.data) for envelope in stored]
