"""A log of somebody else that has two pasts, where the relay has the other one than is here.

As long as words stand here that are nowhere else, it stays as it came first. Once everything in it was said again in another
log of the same person, as a home does that became a device of its own, nothing is lost by letting go of it: then it makes room
for the past that the relay has, which all others share, and which comes with the next sync.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from bide.ids import LogId, SpaceId
from bide.log.envelope import parse_envelope
from bide.log.head import Head, empty_head
from bide.replica.derivation.deriving import forget, project
from bide.replica.derivation.rebuilding import has_taken_out, load_membership, rebuild_members
from bide.replica.single_writer.succession import admitted, own_logs
from bide.replica.spaces.belonging import read_belonging
from bide.replica.sync.heads import is_here
from bide.storage.base import SpaceRecord, Storage, StoredEnvelope


def make_room_for(storage: Storage, space: SpaceRecord, theirs: Iterable[Head]) -> None:
    """Let go of what stands here in the place of another past, where it was said again.

    Args:
        storage: the replica.
        space: which.
        theirs: the ends of the logs at the relay.
    """
    mine = own_logs(storage, space)
    for head in theirs:
        if head.log_id in mine:
            continue
        beside = {each.hash: each for each in storage.beside(space.space_id) if each.log_id == head.log_id}
        if is_here(storage, space, head):
            _give_up_beside(storage, space.space_id, head, beside.values())
            continue
        other = _other_past(storage, space.space_id, head, beside)
        if not other:
            continue
        old = _after(storage, space.space_id, head, head.seq - len(other))
        if old and all(is_said_again(storage, space.space_id, each) for each in old):
            with storage.transaction():
                for digest in beside.keys() - other:  # a third one, that somebody had before
                    storage.remove_beside(space.space_id, digest)
                _let_go(storage, space.space_id, old)
    _let_go_of_strays(storage, space)


def _give_up_beside(storage: Storage, space: SpaceId, head: Head, beside: Iterable[StoredEnvelope]) -> None:
    """The relay has what stands here: no relay can judge any more what builds on a past that is kept beside."""
    gone: dict[bytes, StoredEnvelope] = {}
    for each in sorted(beside, key=lambda each: each.seq):
        if each.seq <= head.seq or parse_envelope(each.data).prev_hash in gone:
            gone[each.hash] = each
    if gone:
        with storage.transaction():
            for digest in gone:
                storage.remove_beside(space, digest)
            if any(each.control for each in gone.values()):
                rebuild_members(storage, space)


def _let_go_of_strays(storage: Storage, space: SpaceRecord) -> None:
    """A log that began with a statement that was taken out since: its home went on in another one, and said it there again."""
    if not has_taken_out(storage, space.space_id):
        return
    # A relay may have had another past for a while, and have it again.
    beside = {each.hash for each in storage.beside(space.space_id)}
    out = {each.envelope.hash for each in storage.displaced(space.space_id)} - beside
    strays = {log for log, device in load_membership(storage, space.space_id).devices.items() if device.admitted_by in out}
    strays -= {admitted(space, each) for each in storage.controls(space.space_id)}
    for log in sorted(strays.difference(own_logs(storage, space))):
        old = _after(storage, space.space_id, empty_head(log), 0)
        if old and all(is_said_again(storage, space.space_id, each, without=strays) for each in old):
            with storage.transaction():
                _let_go(storage, space.space_id, old)


def _other_past(storage: Storage, space: SpaceId, head: Head, beside: Mapping[bytes, StoredEnvelope]) -> set[bytes]:
    """The hashes of the other past from where the two part up to its head, if the whole of it is kept beside."""
    other: set[bytes] = set()
    digest, seq = head.hash, head.seq
    while digest in beside and digest not in _hash_at(storage, space, head, seq):
        other.add(digest)
        digest, seq = parse_envelope(beside[digest].data).prev_hash, seq - 1
    return other if seq == 0 or digest in _hash_at(storage, space, head, seq) else set()


def _hash_at(storage: Storage, space: SpaceId, head: Head, seq: int) -> tuple[bytes, ...]:
    here = storage.envelope(space, head.log_id, seq)
    return (here.hash,) if here is not None else ()


def _after(storage: Storage, space: SpaceId, head: Head, seq: int) -> list[StoredEnvelope]:
    last = storage.heads(space).get(head.log_id, empty_head(head.log_id)).seq
    found = (storage.envelope(space, head.log_id, each) for each in range(seq + 1, last + 1))
    return [each for each in found if each is not None]


def is_said_again(storage: Storage, space: SpaceId, old: StoredEnvelope, *, without: Container[LogId] = ()) -> bool:
    """Whether nothing is lost without it: statements are kept for who builds on them, words are in another log as well."""
    if old.control or parse_envelope(old.data).is_bare:
        return True
    slots = {member.log_id: member.slot for member in storage.members(space)}
    event = storage.event(space, old.log_id, old.seq)
    if event is None:  # what a removed device wrote beyond its end is shown nowhere
        return old.seq > read_belonging(storage, space).ended.get(old.log_id, old.seq)
    events = storage.events(space, event.entry_id)
    others = (each for each in events if each.log_id != old.log_id and each.log_id not in without)
    return any(each.change == event.change and slots.get(each.log_id) == slots.get(old.log_id) for each in others)


def _let_go(storage: Storage, space: SpaceId, old: list[StoredEnvelope]) -> None:
    log = old[0].log_id
    out = storage.displace(space, log, old[0].seq - 1)
    for each in out:
        storage.settle_displaced(space, only=each.hash)
    known = storage.relay_heads(space)
    if log in known:
        here = storage.heads(space).get(log, empty_head(log))
        storage.put_relay_head(space, min(known[log], here, key=lambda head: head.seq))
    touched = forget(storage, space, out)
    rebuild_members(storage, space)
    project(storage, space, touched)
