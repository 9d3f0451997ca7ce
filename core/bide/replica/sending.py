"""In which order the logs of a space are sent: whatever changes the membership after all that it builds on."""

from __future__ import annotations

from collections.abc import Container, Mapping

from bide.ids import DeviceId, LogId, SpaceId, log_id
from bide.log.control import Control, DeviceAdded, PersonJoined, RecoveryAdded, read_control
from bide.log.envelope import LOG_ID_AT
from bide.log.membership import fold
from bide.replica.rebuilding import control_envelopes
from bide.storage.base import Storage, StoredEnvelope

_SEQ_AT = slice(24, 32)


class SendingOrder:
    """The order of one space. Folds the membership only while a change of it is to be sent."""

    def __init__(self, storage: Storage, space: SpaceId) -> None:
        self._storage = storage
        self._space = space
        self._milestones: tuple[int, list[tuple[LogId, int]]] = (-1, [])
        """For so many control entries: their places, each after all that it builds on."""
        self._judged: tuple[tuple[int, int], dict[LogId, int]] = ((-1, -1), {})
        """For so many control entries and proofs: see `judged_without`."""

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
                order = fold(self._space, control_envelopes(self._storage, self._space))[1]
                kept = {control.hash for control in controls}
                places = [(envelope.log_id, envelope.seq) for envelope in order if envelope.hash in kept]
                self._milestones = len(controls), places
            stretches = [(log, seq) for log, seq in places if seq <= ends.get(log, 0)]
        return stretches + [(log, ends[log]) for log in self._logs() if log in ends]

    def judged_without(self, left_out: Container[LogId]) -> dict[LogId, int]:
        """How far logs can be sent to a relay that has another past of some: what builds on ours it could not judge.

        Args:
            left_out: the logs of which it has another past.

        Returns:
            How far at most, for each log for which that says anything.
        """
        evidence = [header for header in self._storage.evidence(self._space) if LogId(header[LOG_ID_AT]) in left_out]
        controls = self._storage.controls(self._space)
        if not evidence:
            return {}
        if self._judged[0] != (len(controls), len(evidence)):
            forks: dict[LogId, int] = {}
            for header in evidence:
                log, seq = LogId(header[LOG_ID_AT]), int.from_bytes(header[_SEQ_AT], "big")
                forks[log] = min(seq, forks.get(log, seq))
            self._judged = (len(controls), len(evidence)), self._judge({each.hash for each in controls}, forks)
        return self._judged[1]

    def _judge(self, here: Container[bytes], forks: Mapping[LogId, int]) -> dict[LogId, int]:
        order = [
            (each, read_control(each.body)) for each in fold(self._space, control_envelopes(self._storage, self._space))[1]
        ]
        there = {self._added(said) for each, said in order if each.hash not in here}
        missing: set[bytes] = set()
        ends: dict[LogId, int] = {}
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
