"""The one thread that judges and stores.

Jobs queue up while a commit is under way; the next commit takes all of them. So the cost of a sync is shared by however
many changes arrive meanwhile, and each is acknowledged only after the commit that holds it. Judging happens here too: the
signature checks stay off the event loop, and what is judged is what is stored next, in the same order.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from bide.errors import BideError, EnvelopeRejected, ForkDetected, SequenceGap, StorageError
from bide.ids import DeviceId, LogId, SpaceId
from bide.log.chain import Head
from bide_relay.errors import DiskLow, SpaceForgotten, SpaceUnknown
from bide_relay.service import Admission, Roster, SpaceState, admit, batch_of, forget, found_space, load_state, stay
from bide_relay.settings import Settings
from bide_relay.storage.base import Appended, Conflict, Storage

_SWEEP_ENVELOPES = 500
"""How many envelopes of a forgotten space are deleted in one go, while others wait."""
_DAY_S = 86_400
_ENVELOPE_COST_BYTES = 256
"""What an envelope counts beside its bytes when a commit's size is limited."""


class Outcome(NamedTuple):
    """What became of an upload. Everything in it is durable."""

    envelopes: Sequence[tuple[LogId, int, bytes]]
    """New: log, seq, the envelope."""
    stored: dict[LogId, Head]
    """What to acknowledge."""
    roster: Roster | None
    """Who is in the space, if that changed."""
    refusal: BideError | None


class Upload(NamedTuple):
    """A batch to judge and store."""

    state: SpaceState
    batch: Sequence[bytes]
    size: int
    """Bytes of the batch."""
    done: Callable[[Outcome], None]
    """Called on the event loop."""


class Founding(NamedTuple):
    """A space to begin."""

    space: SpaceId
    genesis: bytes
    invite: str
    done: Callable[[BideError | None], None]
    """Called on the event loop."""


class Use(NamedTuple):
    """A space that is in use today."""

    space: SpaceId
    day: int
    """Since 1970."""


class Forgetting(NamedTuple):
    """A person's wish that a space be forgotten."""

    state: SpaceState
    device: DeviceId
    done: Callable[[bool, BideError | None], None]
    """Called on the event loop: whether the space is gone, or why that can't be noted."""


class Staying(NamedTuple):
    """A device of a space has come: what its person wished before falls."""

    state: SpaceState
    device: DeviceId


class _Sweep(NamedTuple):
    """Some of what forgotten spaces held is to be deleted."""


Job = Upload | Founding | Use | Staying | Forgetting | _Sweep


class Committer:
    """Owns every `SpaceState` and the writing side of the storage."""

    def __init__(
        self,
        storage: Storage,
        settings: Settings,
        *,
        loop: asyncio.AbstractEventLoop,
        fail: Callable[[BaseException], None],
    ) -> None:
        """Start.

        Args:
            storage: written to by this thread only.
            settings: quota, free disk, group limits.
            loop: where results are delivered.
            fail: called in this thread when nothing can be promised any more; it must end the process.
        """
        self._storage = storage
        self._settings = settings
        self._loop = loop
        self._fail = fail
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.disk_low = False
        """Whether writes are refused for lack of disk, as far as was looked."""
        self.commits = 0
        """Commits so far, for the log."""
        self.envelopes = 0
        """Envelopes stored so far, for the log."""
        self.forgotten = 0
        """Spaces deleted so far because everybody in them asked for it, for the log."""
        self.submit(_Sweep())
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job. Its `done` is called on the loop, once, in the order of submission."""
        self._jobs.put(job)

    def stop(self, timeout_s: float) -> bool:
        """Finish what is queued and end. Blocks; returns whether it came to the end in time."""
        self._jobs.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            crowded = False
            while True:
                group, more = self._collect(crowded=crowded)
                crowded = len(group) > 1
                results = self.work_off(group)
                if results:
                    self._loop.call_soon_threadsafe(_deliver, results)
                if not more:
                    return
        except BaseException as error:  # the process must not go on acknowledging
            self._fail(error)

    def work_off(self, group: Sequence[Job]) -> list[Callable[[], None]]:
        """Judge and store a group of jobs. What is returned is to be called on the event loop, in this order.

        Raises:
            StorageError: nothing can be promised any more; the process must end.
        """
        results: list[Callable[[], None]] = []
        uploads = [job for job in group if isinstance(job, Upload)]
        if uploads:
            results += self._store(uploads)
        results += [self._found(job) for job in group if isinstance(job, Founding)]
        self._stay([job for job in group if isinstance(job, Staying)])
        results += [self._forget(job) for job in group if isinstance(job, Forgetting)]
        self._touch([job for job in group if isinstance(job, Use)])
        if any(isinstance(job, _Sweep) for job in group):
            self._sweep()
        return results

    def _collect(self, *, crowded: bool) -> tuple[list[Job], bool]:
        """The next group: what is queued, and what comes in a moment if things are busy. False: the last one."""
        job = self._jobs.get()
        if job is None:
            return [], False
        group = [job]
        size = _cost(job)
        until_s = time.monotonic() + self._settings.commit_wait_ms / 1000 if crowded else 0.0
        while size < self._settings.commit_bytes_max:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                left_s = until_s - time.monotonic() if crowded else 0.0
                if left_s <= 0:
                    break
                # Asleep without polling: whoever comes meanwhile finds the queue open.
                time.sleep(left_s)
                continue
            if job is None:
                return group, False
            group.append(job)
            size += _cost(job)
        return group, True

    def _store(self, uploads: Sequence[Upload]) -> list[Callable[[], None]]:
        if self._out_of_disk():
            return [_result(job, _refused(DiskLow())) for job in uploads]
        admissions = [self._admit(job) for job in uploads]
        batches = [batch_of(job.state, a) for job, a in zip(uploads, admissions, strict=True) if _writes(a)]
        try:
            appended = iter(self._storage.append(batches) if batches else [])
        except (DiskLow, SpaceUnknown) as error:
            for job in uploads:
                job.state.stale = True
            return [_result(job, _refused(error)) for job in uploads]
        results = []
        for job, admission in zip(uploads, admissions, strict=True):
            job.state.pending.clear()
            outcome = _outcome(job.state, admission, next(appended) if _writes(admission) else None)
            self.envelopes += len(outcome.envelopes)
            results.append(_result(job, outcome))
        self.commits += bool(batches)
        return results

    def _admit(self, job: Upload) -> Admission:
        state = job.state
        if state.gone:
            return Admission([], {}, False, SpaceForgotten())
        if state.stale:
            fresh = load_state(self._storage, state.space)
            if fresh is None:
                return Admission([], {}, False, SpaceUnknown())
            state.membership, state.heads, state.milestones = fresh.membership, fresh.heads, fresh.milestones
            state.entries, state.bytes, state.stale = fresh.entries, fresh.bytes, False
            state.erased = fresh.erased
            state.pending.clear()
        space = state.space
        return admit(
            state,
            job.batch,
            settings=self._settings,
            header=lambda log, seq: self._storage.header(space, log, seq),
            is_bare=lambda log, seq: self._storage.is_bare(space, log, seq),
        )

    def _found(self, job: Founding) -> Callable[[], None]:
        refusal: BideError | None = None
        try:
            if self._out_of_disk():
                raise DiskLow
            found_space(self._storage, self._settings, space=job.space, genesis=job.genesis, invite=job.invite)
        except StorageError:
            raise
        except BideError as error:
            refusal = error
        return lambda: job.done(refusal)

    def _stay(self, jobs: Sequence[Staying]) -> None:
        # Without room nothing is forgotten either: that takes a note as well.
        with contextlib.suppress(DiskLow):
            for job in jobs:
                stay(self._storage, job.state, job.device)

    def _forget(self, job: Forgetting) -> Callable[[], None]:
        gone, refusal = False, None
        try:
            gone = forget(self._storage, job.state, job.device, day=_today())
        except StorageError:
            raise
        except BideError as error:
            refusal = error
        if gone:
            self.forgotten += 1
            self.submit(_Sweep())
        return lambda: job.done(gone, refusal)

    def _sweep(self) -> None:
        """A piece at a time: what others bring goes in between. A stop leaves the rest to the next start."""
        settings = self._settings
        with contextlib.suppress(DiskLow):
            more = self._storage.sweep(
                envelopes_max=_SWEEP_ENVELOPES,
                before_day=_today() - settings.forgotten_days,
                known_max=settings.forgotten_max,
            )
            if more:
                self.submit(_Sweep())

    def _touch(self, jobs: Sequence[Use]) -> None:
        # A day is of no use to anybody if there is no room for what people write.
        if jobs and not self._out_of_disk():
            with contextlib.suppress(DiskLow):
                self._storage.touch({job.space for job in jobs}, max(job.day for job in jobs))

    def _out_of_disk(self) -> bool:
        # Every time: a look costs microseconds, and a commit may take megabytes.
        self.disk_low = self._storage.free_bytes() < self._settings.disk_free_bytes_min
        return self.disk_low


def _today() -> int:
    return int(time.time() // _DAY_S)


def _cost(job: Job) -> int:
    if isinstance(job, Upload):
        return job.size + _ENVELOPE_COST_BYTES * len(job.batch)
    return _ENVELOPE_COST_BYTES


def _writes(admission: Admission) -> bool:
    return bool(admission.envelopes or admission.fills)


def _refused(error: BideError) -> Outcome:
    return Outcome([], {}, None, error)


def _outcome(state: SpaceState, admission: Admission, appended: Appended | None) -> Outcome:
    """What an upload came to, after the commit."""
    if appended is not None and appended.conflict is not None:
        # Another writer got between: what was admitted here is not what is stored.
        state.stale = True
        error: EnvelopeRejected = SequenceGap()
        if appended.conflict is Conflict.FORK:
            error = ForkDetected(evidence=appended.evidence)
        return Outcome([], {}, None, error)
    if appended is not None:
        state.bytes += appended.bodies
    new = [(envelope.log_id, envelope.seq, envelope.data) for envelope in admission.envelopes]
    roster = state.roster() if admission.membership_changed else None
    return Outcome(new, admission.stored, roster, admission.refusal)


def _result(job: Upload, outcome: Outcome) -> Callable[[], None]:
    return lambda: job.done(outcome)


def _deliver(results: Sequence[Callable[[], None]]) -> None:
    for result in results:
        result()
