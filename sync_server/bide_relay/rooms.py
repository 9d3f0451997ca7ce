"""What the event loop knows of a space while devices are connected to it, and what each of them is sent next.

A connection holds a *cursor*: how far it was sent each log. Nothing is queued for it. When something is stored, the other
connections are woken, and each reads on from its own cursor, from the few recent envelopes kept here or from storage. So a
reader that stalls costs nothing but its socket's buffer, however much is written meanwhile.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from bide.ids import DeviceId, LogId, SpaceId
from bide_relay.committer import Outcome
from bide_relay.limits import Throttle
from bide_relay.service import Roster, SpaceState
from bide_relay.settings import Settings
from bide_relay.storage.base import Entry, Span


class Cursor:
    """How far one connection was sent each log."""

    __slots__ = ("milestones_passed", "seqs")

    def __init__(self, have: dict[LogId, int]) -> None:
        """Begin with what the client says that it has."""
        self.seqs = have
        self.milestones_passed = 0
        """Of the space's milestones, how many from the start lie behind this cursor."""

    def advance(self, log: LogId, seq: int) -> None:
        """Note that the connection has a log up to here; never goes back."""
        if self.seqs.get(log, 0) < seq:
            self.seqs[log] = seq

    def uploaded(self, envelopes: list[tuple[LogId, int, int]]) -> None:
        """Note stretches (log, first, last) that came from this connection itself, so that they aren't sent back."""
        for log, first, last in envelopes:
            if self.seqs.get(log, 0) >= first - 1:
                self.advance(log, last)


class Listener(Protocol):
    """A connection in a room."""

    device: DeviceId

    def wake(self) -> None:
        """There may be something to send. Must not block and must not raise."""


class Room:
    """One space with at least one connection."""

    def __init__(self, state: SpaceState, settings: Settings) -> None:
        """Begin with a state that was just loaded, before anything is submitted with it."""
        self.state = state
        """The committer's: handed to it with each upload, never read here again."""
        self.space: SpaceId = state.space
        self.heads: dict[LogId, tuple[int, bytes]] = {log: (head.seq, head.hash) for log, head in state.heads.items()}
        """What is stored: seq and hash. What may be sent and acknowledged."""
        self.roster: Roster = state.roster()
        self.listeners: dict[Listener, None] = {}
        """In the order of arrival."""
        self.throttles: dict[DeviceId, Throttle] = {}
        self.gone = False
        """The space was deleted, and this room is no longer the one for it."""
        self.holders = 0
        """Connections, and uploads whose commit is under way. At none the room is closed."""
        self._recent: dict[tuple[LogId, int], bytes] = {}
        self._recent_order: deque[tuple[LogId, int]] = deque()
        self._recent_bytes = 0
        self._recent_bytes_max = settings.recent_bytes_per_space_max

    def apply(self, outcome: Outcome, uploader: Listener) -> None:
        """Take in what was just stored, and wake everybody else."""
        for log, seq, data in outcome.envelopes:
            self._recent[log, seq] = data
            self._recent_order.append((log, seq))
            self._recent_bytes += len(data)
        for log, head in outcome.stored.items():
            if self.heads.get(log, (0, b""))[0] < head.seq:
                self.heads[log] = (head.seq, head.hash)
        while self._recent_bytes > self._recent_bytes_max:
            self._recent_bytes -= len(self._recent.pop(self._recent_order.popleft()))
        if outcome.roster is not None:
            self.roster = outcome.roster
        if outcome.envelopes:
            for listener in self.listeners:
                if listener is not uploader:
                    listener.wake()

    def spans(self, cursor: Cursor) -> list[Span]:
        """What a connection lacks, in the order in which it can be judged: members' admissions before their envelopes."""
        spans: list[Span] = []
        seqs = cursor.seqs
        passed = cursor.milestones_passed
        milestones = self.roster.milestones
        while passed < len(milestones) and seqs.get(milestones[passed].log_id, 0) >= milestones[passed].seq:
            passed += 1
        cursor.milestones_passed = passed
        planned: dict[LogId, int] = {}
        for log, seq in milestones[passed:]:
            after = planned.get(log) or seqs.get(log, 0)
            if after < seq:
                if spans and spans[-1].log_id == log:
                    spans[-1] = spans[-1]._replace(upto=seq)
                else:
                    spans.append(Span(log, after, seq))
                planned[log] = seq
        for log in self.roster.order:
            upto = self.heads.get(log, (0, b""))[0]
            after = planned.get(log) or seqs.get(log, 0)
            if after < upto:
                spans.append(Span(log, after, upto))
        return spans

    def recent(self, spans: list[Span], *, bytes_max: int, envelopes_max: int) -> list[Entry]:
        """The start of `spans` as far as it is in memory and within the limits; empty: ask storage."""
        found: list[Entry] = []
        size = 0
        for log, after, upto in spans:
            for seq in range(after + 1, upto + 1):
                data = self._recent.get((log, seq))
                if data is None:
                    return found
                size += len(data)
                if found and (size > bytes_max or len(found) >= envelopes_max):
                    return found
                found.append(Entry(log, seq, data))
        return found
