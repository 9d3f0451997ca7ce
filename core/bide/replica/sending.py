"""In which order the logs of a space are sent: whatever changes the membership after all that it builds on."""

from __future__ import annotations

from collections.abc import Mapping

from bide.ids import LogId, SpaceId
from bide.log.membership import fold
from bide.replica.rebuilding import control_envelopes
from bide.storage.base import Storage, StoredEnvelope


class SendingOrder:
    """The order of one space. Folds the membership only while a change of it is to be sent."""

    def __init__(self, storage: Storage, space: SpaceId) -> None:
        self._storage = storage
        self._space = space
        self._milestones: tuple[int, list[tuple[LogId, int]]] = (-1, [])
        """For so many control entries: their places, each after all that it builds on."""

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

    def genesis(self) -> StoredEnvelope | None:
        """The entry that founded the space, if it is here."""
        founder = next(iter(self._logs()), None)
        return next((each for each in self._storage.controls(self._space) if each.log_id == founder and each.seq == 1), None)

    def _logs(self) -> list[LogId]:
        """Those who admit before those whom they admit."""
        return [member.log_id for member in self._storage.members(self._space)]
