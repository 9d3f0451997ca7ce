"""Bodies that were dropped for an erasure that a later removal made void: whoever still has them gives them back.

The relay dropped them when it heard of the erasure, and with it every device that did. It says nowhere which bodies it lacks;
but the statement lies in the log of the removed device, beyond the end. So whoever sees it there and has the words sends the
logs that they stand in once more, and the relay fills in what is missing.
"""

from __future__ import annotations

from hashlib import blake2b

from bide.ids import LogId, SpaceId
from bide.log.control import BodiesErased
from bide.log.envelope import parse_envelope
from bide.log.leaving import is_erased
from bide.replica.single_writer.succession import read_statement
from bide.replica.spaces.belonging import read_belonging
from bide.storage.base import Storage


def due(storage: Storage, space: SpaceId) -> tuple[set[LogId], str]:
    """What there is to give back to this relay.

    Returns:
        The logs to send from the beginning, and what to pass to `done` once the relay has them.
    """
    belonging = read_belonging(storage, space)
    if not belonging.ended:
        return set(), ""
    heads, bare = storage.heads(space), set(storage.bare(space))
    logs: set[LogId] = set()
    statements: list[bytes] = []
    for control in storage.controls(space):
        if control.seq <= belonging.ended.get(control.log_id, control.seq):
            continue
        statement = read_statement(parse_envelope(control.data))
        if not isinstance(statement, BodiesErased):
            continue
        statements.append(control.hash)
        for span in statement.spans:
            log = LogId(span.log_id)
            last = min(span.last, heads[log].seq) if log in heads else 0
            places = ((log, seq) for seq in range(span.first, last + 1) if not is_erased(belonging.erased, log, seq))
            if any(place not in bare for place in places):
                logs.add(log)
    store = storage.meta(f"relay_store.{space.hex()}")
    name = blake2b(store.encode() + b"".join(sorted(statements)), digest_size=16).hexdigest()
    return (logs, name) if logs and storage.meta(_key(space)) != name else (set(), "")


def done(storage: Storage, space: SpaceId, name: str) -> None:
    """The relay has what was to be given back."""
    with storage.transaction():
        storage.put_meta(_key(space), name)


def _key(space: SpaceId) -> str:
    return f"gave_back.{space.hex()}"
