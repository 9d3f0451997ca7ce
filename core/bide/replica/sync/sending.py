"""Sending the logs of a space: how far each is to go, in which order, and how much is on its way at a time.

Whatever changes the membership is sent after all that it builds on.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Set

from bide.ids import DeviceId, LogId, SpaceId, log_id
from bide.log.control import Control, DeviceAdded, PersonJoined, RecoveryAdded, read_control
from bide.log.envelope import LOG_ID_AT, parse_envelope
from bide.log.head import Head
from bide.protocol.frames import BATCH_BYTES_MAX, BATCH_ENVELOPES_MAX
from bide.replica.derivation.rebuilding import fold_here, has_taken_out, orphaned_on
from bide.replica.single_writer.outgoing import note_left
from bide.replica.spaces.belonging import read_belonging
from bide.replica.sync import giving_back
from bide.storage.base import SpaceRecord, Storage, StoredEnvelope

_SEQ_AT = slice(24, 32)
_BATCHES_IN_FLIGHT_MAX = 8
"""Sent and not yet acknowledged: enough to keep the relay busy, little enough to keep memory flat."""


class Sender:
    """What one connection has sent of a space, and what is left to send."""

    def __init__(self, storage: Storage, space: SpaceRecord) -> None:
        self._storage = storage
        self._space = space
        self.order = SendingOrder(storage, space.space_id)
        self.own_upto: int | None = None
        """How far this device's own log may be sent; None: all of it."""
        self.confirmed: dict[LogId, int] = {}
        """How far each log is at the relay, as it said."""
        self._there: dict[LogId, int] = {}
        """How far each log is at the relay, as it said or as was sent."""
        self._in_flight: list[tuple[LogId, int, int]] = []
        """The last entry of each batch that is not yet acknowledged, and how many are in it."""
        self._looked_at = -1
        """At so many control entries it was last seen whether there is something to give back."""
        self._giving_back = ""

    @property
    def on_its_way(self) -> int:
        """Batches that are sent and not yet acknowledged."""
        return len(self._in_flight)

    @property
    def entries_on_their_way(self) -> int:
        """How many entries are in these."""
        return sum(count for _, _, count in self._in_flight)

    def go_on_as(self, space: SpaceRecord) -> None:
        """This home may be another device of the space now."""
        self._space = space

    def begin(self, log: LogId, seq: int) -> None:
        """The relay says how far it has a log."""
        self._there[log] = self.confirmed[log] = seq

    def arrived(self, log: LogId, seq: int) -> None:
        """The relay sent a log up to here, so it needs not get that."""
        self._there[log] = max(self._there.get(log, 0), seq)
        self.confirmed[log] = max(self.confirmed.get(log, 0), seq)

    def acknowledged(self, head: Head) -> int:
        """The relay has a log up to here for good; returns how many entries of those on their way that settles."""
        before = self.entries_on_their_way
        self.confirmed[head.log_id] = max(self.confirmed.get(head.log_id, 0), head.seq)
        self._in_flight = [each for each in self._in_flight if each[0] != head.log_id or each[1] > head.seq]
        return before - self.entries_on_their_way

    def again(self, log: LogId) -> None:
        """Send a log from its beginning, if the relay has any of it."""
        if log in self._there:
            self._there[log] = 0

    def begin_anew(self) -> None:
        """Go on from what the relay said that it has."""
        self._in_flight.clear()
        self._there = dict(self.confirmed)

    def ends(self, left_out: Set[LogId]) -> dict[LogId, int]:
        """How far each log is passed on: all of it, or as far as that of a removed device is needed.

        Args:
            left_out: logs of which the relay has another past.
        """
        needed = read_belonging(self._storage, self._space.space_id).needed
        heads = self._storage.heads(self._space.space_id)
        ends = {log: min(head.seq, needed.get(log, head.seq)) for log, head in heads.items() if log not in left_out}
        for log, upto in self.order.judged_without(left_out).items():
            if log in ends:
                ends[log] = min(ends[log], upto)
        if self.own_upto is not None and self._space.log_id in ends:
            ends[self._space.log_id] = min(ends[self._space.log_id], self.own_upto)
        return ends

    def unsent(self, left_out: Set[LogId]) -> int:
        """How many entries are left to send."""
        return sum(max(0, seq - self._there.get(log, 0)) for log, seq in self.ends(left_out).items())

    def send(self, send: Callable[[list[bytes]], None], left_out: Set[LogId]) -> int:
        """Send batches, each log in order, until nothing is left or enough is on its way; returns how many entries went."""
        sent = self._send(send, left_out)
        if not sent and not self._in_flight and self._give_back(left_out):
            sent = self._send(send, left_out)
        return sent

    def _give_back(self, left_out: Set[LogId]) -> bool:
        """The relay has everything, and knows whose erasures are void: whether something is to be sent again for that."""
        space = self._space.space_id
        if self._giving_back:
            giving_back.done(self._storage, space, self._giving_back)
            self._giving_back = ""
        count = len(self._storage.controls(space))
        if count == self._looked_at or self.unsent(left_out):
            return False
        self._looked_at = count
        logs, self._giving_back = giving_back.due(self._storage, space)
        for log in logs:
            self.again(log)
        return bool(logs)

    def _send(self, send: Callable[[list[bytes]], None], left_out: Set[LogId]) -> int:
        space, sent = self._space.space_id, 0
        for log, upto in self.order.stretches(self._there, self.ends(left_out)):
            while (after := self._there.get(log, 0)) < upto:
                if len(self._in_flight) >= _BATCHES_IN_FLIGHT_MAX:
                    return sent
                count_max = min(BATCH_ENVELOPES_MAX, upto - after)
                batch = self._storage.envelopes_after(space, log, after, bytes_max=BATCH_BYTES_MAX, count_max=count_max)
                if not batch:
                    break
                if log == self._space.log_id:
                    note_left(self._storage, space, log, batch[-1].seq)
                send([envelope.data for envelope in batch])
                self._there[log] = batch[-1].seq
                self._in_flight.append((log, batch[-1].seq, len(batch)))
                sent += len(batch)
        return sent


class SendingOrder:
    """The order of one space. Folds the membership only while a change of it is to be sent."""

    def __init__(self, storage: Storage, space: SpaceId) -> None:
        self._storage = storage
        self._space = space
        self._milestones: tuple[int, list[tuple[LogId, int]]] = (-1, [])
        """For so many control entries: their places, each after all that it builds on."""
        self._judged: tuple[tuple[int, int], dict[LogId, int]] = ((-1, -1), {})
        """For so many proofs and these control entries: see `judged_without`."""

    def stretches(self, there: Mapping[LogId, int], ends: Mapping[LogId, int]) -> list[tuple[LogId, int]]:
        """How far to send which log, one after the other.

        Args:
            there: how far each log is at the relay.
            ends: how far each is to be sent.
        """
        controls = self._storage.controls(self._space)
        stretches: list[tuple[LogId, int]] = []
        if any(control.seq > there.get(control.log_id, 0) for control in controls):
            count, places = self._milestones
            if count != len(controls):
                order = fold_here(self._storage, self._space)[1]
                kept = {control.hash for control in controls}
                places = [(envelope.log_id, envelope.seq) for envelope in order if envelope.hash in kept]
                self._milestones = len(controls), places
            stretches = [(log, seq) for log, seq in places if seq <= ends.get(log, 0)]
        return stretches + [(log, ends[log]) for log in self._logs() if log in ends]

    def judged_without(self, left_out: Set[LogId]) -> dict[LogId, int]:
        """How far logs can be sent to a relay that has another past of some: what builds on ours it could not judge. Nor can it
        judge what builds on something that was taken out here to make room for what it has.

        Args:
            left_out: the logs of which it has another past.

        Returns:
            How far at most, for each log for which that says anything.
        """
        if not left_out and not has_taken_out(self._storage, self._space):
            return {}
        evidence = [header for header in self._storage.evidence(self._space) if LogId(header[LOG_ID_AT]) in left_out]
        controls = self._storage.controls(self._space)
        key = len(evidence), hash(tuple(each.hash for each in controls))
        if self._judged[0] != key:
            here = [parse_envelope(each.data) for each in controls]
            orphans = {each.hash for each in orphaned_on(self._storage, self._space, here)}
            forks: dict[LogId, int] = {}
            for header in evidence:
                log, seq = LogId(header[LOG_ID_AT]), int.from_bytes(header[_SEQ_AT], "big")
                forks[log] = min(seq, forks.get(log, seq))
            self._judged = key, self._judge({each.hash for each in controls}, forks, orphans) if forks or orphans else {}
        return self._judged[1]

    def _judge(self, here: Container[bytes], forks: Mapping[LogId, int], orphans: Set[bytes]) -> dict[LogId, int]:
        order = [(each, read_control(each.body)) for each in fold_here(self._storage, self._space)[1]]
        there = {self._added(said) for each, said in order if each.hash not in here and each.hash not in orphans}
        missing = set(orphans)
        added_here = {self._added(said) for each, said in order if each.hash in here}
        added_out = {self._added(said) for each, said in order if each.hash in orphans} - {None} - added_here - there
        ends = {log: 0 for log in added_out if log is not None}
        for each, said in order:
            forked = each.log_id in forks and each.seq >= forks[each.log_id]
            if each.hash in here and (forked or each.log_id in ends or not missing.isdisjoint(said.parents)):
                missing.add(each.hash)
                ends.setdefault(each.log_id, each.seq - 1)
                added = self._added(said)
                if added is not None and added not in there:
                    ends[added] = 0
        return ends

    def _added(self, said: Control) -> LogId | None:
        if not isinstance(said, DeviceAdded | RecoveryAdded | PersonJoined):
            return None
        return log_id(self._space, DeviceId(said.device.signing_key))

    def genesis(self) -> StoredEnvelope | None:
        """The entry that founded the space, if it is here."""
        founder = next(iter(self._logs()), None)
        return next((each for each in self._storage.controls(self._space) if each.log_id == founder and each.seq == 1), None)

    def _logs(self) -> list[LogId]:
        """Those who admit before those whom they admit."""
        return [member.log_id for member in self._storage.members(self._space)]
