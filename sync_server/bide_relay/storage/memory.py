"""The storage contract in memory: for tests, and to show what the contract means in the plainest form."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence

from bide.errors import ForkDetected, SequenceGap
from bide.ids import LogId, SpaceId
from bide.log.chain import Head, Place, empty_head, head_of, place
from bide.log.envelope import HEADER_BYTES, Envelope, EnvelopeClass
from bide_relay.errors import InviteSpent, SpaceUnknown
from bide_relay.storage.base import Appended, Batch, Conflict, Entry, Identity, Span, Usage

_FREE_BYTES = 2**40


class MemoryStorage:
    """Everything in dictionaries. Durable for as long as the object lives."""

    def __init__(self) -> None:
        self._identity = Identity(os.urandom(32), os.urandom(16))
        self._spaces: dict[SpaceId, dict[LogId, list[Envelope]]] = {}
        self._invites: dict[bytes, int] = {}
        self._asked: dict[SpaceId, set[int]] = {}
        self._forgotten: dict[SpaceId, int] = {}
        self._lock = threading.RLock()

    def identity(self) -> Identity:
        """The relay's key and store id."""
        return self._identity

    def found(self, space: SpaceId, genesis: Envelope, *, invite: bytes | None) -> bool:
        """Begin a space with its first envelope."""
        with self._lock:
            if space in self._spaces:
                return False
            if invite is not None:
                if self._invites.get(invite, 0) < 1:
                    raise InviteSpent
                self._invites[invite] -= 1
            self._spaces[space] = {genesis.log_id: [genesis]}
            self._forgotten.pop(space, None)
            return True

    def append(self, batches: Sequence[Batch]) -> list[Appended]:
        """Append batches, all or (when a space is unknown) none."""
        with self._lock:
            if any(batch.space not in self._spaces for batch in batches):
                raise SpaceUnknown
            return [self._take(batch) for batch in batches]

    def _take(self, batch: Batch) -> Appended:
        logs = self._spaces[batch.space]
        appended = self._append(logs, batch.envelopes)
        before = self.usage(batch.space).bytes
        if appended.conflict is None:
            for envelope in batch.fills:
                log = logs[envelope.log_id]
                if log[envelope.seq - 1].is_bare and log[envelope.seq - 1].hash == envelope.hash:
                    log[envelope.seq - 1] = envelope
            for log_id, first, last in batch.erased:
                log = logs.get(log_id, [])
                for at, envelope in enumerate(log[:last]):
                    if at + 1 >= first and envelope.klass is EnvelopeClass.DATA:
                        log[at] = envelope.bare()
        return appended._replace(bodies=self.usage(batch.space).bytes - before)

    def _append(self, logs: dict[LogId, list[Envelope]], envelopes: Sequence[Envelope]) -> Appended:
        stored = known = 0
        for envelope in envelopes:
            log = logs.get(envelope.log_id, [])
            try:
                where = place(head_of(log[-1]) if log else empty_head(envelope.log_id), envelope)
            except SequenceGap:
                return Appended(stored, known, Conflict.GAP, b"")
            except ForkDetected:
                return Appended(stored, known, Conflict.FORK, log[-1].header)
            if where is Place.NEXT:
                logs.setdefault(envelope.log_id, log).append(envelope)
                stored += 1
            elif log[envelope.seq - 1].hash == envelope.hash:
                known += 1
            else:
                return Appended(stored, known, Conflict.FORK, log[envelope.seq - 1].header)
        return Appended(stored, known, None, b"")

    def forget(self, space: SpaceId, slot: int, *, of: Collection[int], day: int) -> bool:
        """Note that a person needs a space no more; drop it when all have said so."""
        with self._lock:
            if space not in self._spaces:
                raise SpaceUnknown
            asked = self._asked.setdefault(space, set())
            asked.add(slot)
            if not asked >= set(of):
                return False
            del self._spaces[space], self._asked[space]
            self._forgotten[space] = day
            return True

    def leaving(self, space: SpaceId) -> set[int]:
        """Who has asked to forget a space that is still here."""
        with self._lock:
            return set(self._asked.get(space, ()))

    def stay(self, space: SpaceId, slot: int) -> None:
        """Let a person's wish fall."""
        with self._lock:
            self._asked.get(space, set()).discard(slot)

    def was_forgotten(self, space: SpaceId) -> bool:
        """Whether a space was here and was forgotten."""
        with self._lock:
            return space in self._forgotten

    def sweep(self, *, envelopes_max: int, before_day: int, known_max: int) -> bool:  # noqa: ARG002 none are left
        """Drop what is known for too long; of what the spaces held nothing is left."""
        with self._lock:
            kept = sorted((day, space) for space, day in self._forgotten.items() if day >= before_day)[-known_max:]
            self._forgotten = {space: day for day, space in kept}
            return False

    def heads(self, space: SpaceId) -> Mapping[LogId, Head]:
        """The head of every log."""
        with self._lock:
            return {log_id: head_of(log[-1]) for log_id, log in self._spaces.get(space, {}).items()}

    def controls(self, space: SpaceId) -> list[bytes]:
        """Every control envelope of a space."""
        with self._lock:
            logs = self._spaces.get(space, {}).values()
            return [envelope.data for log in logs for envelope in log if envelope.klass is EnvelopeClass.CONTROL]

    def header(self, space: SpaceId, log: LogId, seq: int) -> bytes | None:
        """The first 204 bytes of one envelope, or None."""
        with self._lock:
            entries = self._spaces.get(space, {}).get(log, [])
            return entries[seq - 1].data[:HEADER_BYTES] if 1 <= seq <= len(entries) else None

    def is_bare(self, space: SpaceId, log: LogId, seq: int) -> bool:
        """Whether a data envelope is here without its body."""
        return (log, seq) in set(self.bare(space))

    def bare(self, space: SpaceId) -> Iterator[tuple[LogId, int]]:
        """Every data envelope that is here without its body."""
        with self._lock:
            logs = self._spaces.get(space, {})
            return iter([(log, envelope.seq) for log, found in logs.items() for envelope in found if envelope.is_bare])

    def read(self, space: SpaceId, spans: Sequence[Span], *, bytes_max: int, envelopes_max: int) -> list[Entry]:
        """Envelopes from the start of `spans`, within the limits."""
        found: list[Entry] = []
        size = 0
        with self._lock:
            for span in spans:
                log = self._spaces.get(space, {}).get(span.log_id, [])
                for envelope in log[span.after : span.upto]:
                    size += len(envelope.data)
                    if found and (size > bytes_max or len(found) >= envelopes_max):
                        return found
                    found.append(Entry(span.log_id, envelope.seq, envelope.data))
        return found

    def usage(self, space: SpaceId) -> Usage:
        """What a space takes."""
        with self._lock:
            logs = self._spaces.get(space, {}).values()
            return Usage(sum(map(len, logs)), sum(len(envelope.data) for log in logs for envelope in log))

    def totals(self) -> tuple[int, Usage]:
        """The number of spaces, and what they take together."""
        with self._lock:
            each = [self.usage(space) for space in self._spaces]
            return len(each), Usage(sum(u.entries for u in each), sum(u.bytes for u in each))

    def spaces(self) -> Iterator[SpaceId]:
        """Every space."""
        with self._lock:
            return iter(list(self._spaces))

    def add_invite(self, invite: bytes, *, spaces: int) -> None:
        """Keep an invite."""
        with self._lock:
            self._invites[invite] = spaces

    def touch(self, spaces: Collection[SpaceId], day: int) -> None:
        """Nobody removes anything from memory."""

    def free_bytes(self) -> int:
        """More than anybody needs."""
        return _FREE_BYTES

    def close(self) -> None:
        """Nothing to let go of."""
