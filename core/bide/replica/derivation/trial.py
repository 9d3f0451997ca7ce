"""Taking in events in a process of their own, to see whether it lives: ``python -P -m bide.replica.derivation.trial``.

It reads the events from its standard input, says on its standard output how far it came, and keeps nothing. It may use a
bounded time and a bounded memory. The one who asks is `bide.replica.derivation.vetting`.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import sys
from collections.abc import Sequence

from bide.crdt.document import amend_change
from bide.entries.kinds import REPAIR
from bide.entries.records import EventRecord, Standing
from bide.entries.repair import AGREEMENT_FIELD
from bide.errors import BideError
from bide.ids import SystemRandomness
from bide.projections.entry import project_entry
from bide.projections.order import judge
from bide.projections.repair import project_group

CPU_S_MAX = 20
MEMORY_BYTES_MAX = 1536 * 1024 * 1024
"""Address space. The worst that the limits of `bide.projections.order` let through takes a tenth of it."""
_COUNT = 12
"""How many items of an event go over: all but the frontier and its standing."""

Unit = tuple[Sequence[EventRecord], Sequence[EventRecord]]
"""What is taken in together, and then what is added to it one by one."""


def pack(units: Sequence[Unit]) -> bytes:
    """Units as the process reads them."""
    return marshal.dumps([[[tuple(event[:_COUNT]) for event in part] for part in unit] for unit in units])


def _unpack(data: bytes) -> list[Unit]:
    def events(part: list[tuple[object, ...]]) -> list[EventRecord]:
        return [EventRecord._make((*item, (), Standing.WAITING)) for item in part]

    return [(events(base), events(added)) for base, added in marshal.loads(data)]  # noqa: S302 from the process that began this one


def take_in(events: Sequence[EventRecord]) -> None:
    """Do with the events of one entry what is done with them where they count: judge, show, and write a further change."""
    judged = judge(events)
    if judged.kind is None:
        return
    with contextlib.suppress(Exception):  # only its death tells anything
        if judged.kind is REPAIR:
            project_group([judged])
        else:
            project_entry(judged)
    texts = {AGREEMENT_FIELD.name: "trial"} if judged.kind is REPAIR else {}
    with contextlib.suppress(BideError):
        changes = [item.event.change for item in judged.applied]
        amend_change(changes, {"trial": True}, texts=texts, slot=0, randomness=SystemRandomness())


def main() -> None:
    """Take in every unit, and say with a byte when that begins and after each step."""
    _limit()
    units = _unpack(sys.stdin.buffer.read())
    out = sys.stdout.buffer
    out.write(b"!")
    out.flush()
    for base, added in units:
        for count in range(len(added) + 1):
            take_in([*base, *added[:count]])
            out.write(b".")
            out.flush()
    os._exit(0)  # what a library does when it is taken down is of no interest


def _limit() -> None:
    try:
        import resource
    except ImportError:  # not a Unix: the one who began it ends it after a while
        return
    for what, limit in (
        (resource.RLIMIT_CPU, CPU_S_MAX),
        (resource.RLIMIT_AS, MEMORY_BYTES_MAX),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (limit, limit))


if __name__ == "__main__":
    main()
