"""The order in which stored control envelopes can be folded: each after its author, its parents and its forerunner."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Container, Iterable
from typing import TYPE_CHECKING

from bide.ids import LogId
from bide.log.control import read_control
from bide.log.envelope import Envelope

if TYPE_CHECKING:
    from bide.log.membership import Membership


class _Waiting:
    """A control envelope that is to be folded."""

    __slots__ = ("envelope", "missing", "statement")

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.statement = read_control(envelope.body)
        self.missing = 0
        """How much of what it builds on has not been folded yet."""

    def __lt__(self, other: _Waiting) -> bool:
        return precedence(self.envelope) < precedence(other.envelope)


class WaitingControls:
    """Control envelopes in the order in which they can be judged: each waits for its author, parents and forerunner."""

    def __init__(self, membership: Membership, envelopes: Iterable[Envelope], *, aside: Container[bytes] = ()) -> None:
        """Take envelopes without the founding one, each log's in order; those in `aside` have no forerunner."""
        self._membership = membership
        self._ready: list[_Waiting] = []
        self._by_parent: defaultdict[bytes, list[_Waiting]] = defaultdict(list)
        self._by_author: defaultdict[LogId, list[_Waiting]] = defaultdict(list)
        last: dict[LogId, bytes] = {}
        for envelope in envelopes:
            waiting = _Waiting(envelope)
            builds_on = {*waiting.statement.parents} - membership.seen
            # Its forerunner in its own log, even where it doesn't name it: logs are sent and stored in order.
            if envelope.hash not in aside:
                if envelope.log_id in last:
                    builds_on.add(last[envelope.log_id])
                last[envelope.log_id] = envelope.hash
            for parent in builds_on:
                self._by_parent[parent].append(waiting)
            waiting.missing = len(builds_on)
            if envelope.log_id not in membership.devices:
                self._by_author[envelope.log_id].append(waiting)
                waiting.missing += 1
            if not waiting.missing:
                heapq.heappush(self._ready, waiting)
        self._devices = len(membership.devices)

    def next(self) -> _Waiting | None:
        """The next one to fold, or None."""
        return heapq.heappop(self._ready) if self._ready else None

    def passed(self, envelope: Envelope) -> None:
        """Note that one was folded: whatever waited for it alone is ready."""
        freed = self._by_parent.pop(envelope.hash, [])
        devices = self._membership.devices
        if len(devices) > self._devices:
            self._devices = len(devices)
            freed = freed + self._by_author.pop(next(reversed(devices)), [])
        for waiting in freed:
            waiting.missing -= 1
            if not waiting.missing:
                heapq.heappush(self._ready, waiting)


def precedence(envelope: Envelope) -> tuple[int, LogId]:
    """Of what can be judged at the same time, the one of the lowest number in its log goes first."""
    return envelope.seq, envelope.log_id
