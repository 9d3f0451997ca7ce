"""Changes that may stop a process: noted before they are taken in, and tried apart if a process died at them.

Bytes from a member are held against every limit before Automerge sees them (`bide.crdt.change`, `bide.projections.order`).
Should it die of some all the same, or never come back, it does so once:

1. Before anything of others is taken in, a mark says what, in a way that outlives the process (`bide.storage.mark`).
2. The next process that writes finds the mark. Many processes die of other things, so nothing is concluded from that: what
   was marked is only *suspect*.
3. When a suspect is to be taken in, another process tries it first, with bounded time and memory
   (`bide.replica.derivation.trial`). If that one lives, all is well. If not, the change at which it died is *set aside*: kept
   in its log, never taken in, and named by ``bide doctor``. Everything else goes on; what builds on it waits.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bide.entries.records import EventRecord
from bide.ids import EntryId, LogId, SpaceId
from bide.log.envelope import parse_envelope
from bide.replica.derivation.citing import cite_again
from bide.storage.base import Quarantined, SpaceRecord, Storage, Suspect

if TYPE_CHECKING:
    from bide.replica.derivation.trial import Unit

TAKING_IN_S_MAX = 60
"""How long the events of one batch may take: a thousand times what they do. Then the process is ended, and finds the mark."""
TRIAL_S_MAX = 40
_ADDED_MAX = 64
"""How many suspects of one entry are told apart. Of more than that, none is taken in."""
TRIALS_S_MAX = 120
"""How long trying may take in all, while nothing else can write. Whatever is suspect after that is set aside untried."""
STOPPED = "Taking it in stopped a process."

Places = set[tuple[LogId, int]]


@contextlib.contextmanager
def taking_in(
    storage: Storage, space: SpaceId, records: Sequence[EventRecord]
) -> Iterator[tuple[list[EventRecord], set[EntryId]]]:
    """Vet events, mark those of others, and watch the time until they are taken in. Inside a transaction.

    Yields:
        The events to take in, and entries of which something was taken back.
    """
    sound, stopped = _vet(storage, space, records)
    own = next((found.log_id for found in storage.spaces() if found.space_id == space), None)
    others = [(record.log_id, record.seq) for record in sound if record.log_id != own]
    if not others:
        yield sound, stopped
        return
    storage.begin_applying(space, others, durable=True)
    with _watch():
        yield sound, stopped


def before_amending(storage: Storage, space: SpaceRecord, entry: EntryId) -> None:
    """An entry is about to be loaded in order to write to it: vet and mark what others wrote last. Inside a transaction."""
    events = storage.events(space.space_id, entry)
    newest = {event.log_id: event.seq for event in events if event.log_id != space.log_id}
    if not newest:
        return
    _, stopped = _vet(storage, space.space_id, [])
    if stopped:
        from bide.replica.derivation.deriving import project_again

        project_again(storage, space.space_id, stopped)
    storage.begin_applying(space.space_id, sorted(newest.items()), durable=False)


def look_again(storage: Storage) -> tuple[int, int]:
    """Try once more what was set aside, as after an upgrade. Inside a transaction.

    Returns:
        How many were taken in, and how many stay set aside.
    """
    from bide.replica.derivation.deriving import derive, project_again

    before = after = 0
    for space in storage.spaces():
        set_aside = [suspect for suspect in storage.suspects(space.space_id) if suspect.set_aside]
        before += len(set_aside)
        envelopes = []
        for suspect in set_aside:
            storage.put_suspect(suspect._replace(set_aside=False))
            storage.remove_quarantine(*suspect[:3])
            found = storage.envelope(*suspect[:3])
            if found is not None:
                envelopes.append(parse_envelope(found.data))
        slots = {member.log_id: member.slot for member in storage.members(space.space_id)}
        derive(storage, space.space_id, envelopes, slots=slots)
        project_again(storage, space.space_id)
        after += sum(suspect.set_aside for suspect in storage.suspects(space.space_id))
    return before - after, after


def _vet(storage: Storage, space: SpaceId, records: Sequence[EventRecord]) -> tuple[list[EventRecord], set[EntryId]]:
    """What of `records` is to be taken in. Tries the suspects, here and coming, and takes out what stops a process."""
    suspects = {(suspect.log_id, suspect.seq): suspect for suspect in storage.suspects(space)}
    if not suspects:
        return list(records), set()
    coming = {(record.log_id, record.seq): record for record in records}
    here = {place: storage.event(space, *place) for place in suspects if place not in coming}
    found = {place: event for place, event in (coming | here).items() if event is not None and place in suspects}
    bad = {place for place in found if suspects[place].set_aside}
    units: list[Unit] = []
    for entry in sorted({event.entry_id for place, event in found.items() if place not in bad}):
        events = {(event.log_id, event.seq): event for event in storage.events(space, entry)}
        events |= {place: record for place, record in coming.items() if record.entry_id == entry}
        base = [event for place, event in sorted(events.items()) if place not in suspects]
        doubtful = [event for place, event in sorted(events.items()) if place in found and place not in bad]
        units.append((base, doubtful))
    try:
        bad |= {(event.log_id, event.seq) for event in stopping(units)}
    except _NoTrial:
        # What is coming waits, set aside, until it can be tried. What is here was taken in before, and stays as it is.
        bad |= {place for place in found if place in coming}
        found = {place: event for place, event in found.items() if place in bad}
    stopped: set[EntryId] = set()
    for place, event in found.items():
        if place not in bad:
            storage.remove_suspect(suspects[place])
            continue
        storage.put_suspect(Suspect(space, *place, event.entry_id, True))
        storage.put_quarantine(Quarantined(space, *place, STOPPED))
        storage.remove_event(space, *place)
        stopped.add(event.entry_id)
    cite_again(storage, space, sorted({log for log, _ in bad}))
    return [record for place, record in coming.items() if place not in bad], stopped


def stopping(units: Sequence[Unit]) -> list[EventRecord]:
    """Which of the doubtful events stop a process, by trying.

    Args:
        units: of each entry what counts already, and what is in doubt.

    Raises:
        _NoTrial: no process could be started.
    """
    left = _Trials()
    whole: list[Unit] = [([*base, *doubtful], []) for base, doubtful in units]
    found: list[EventRecord] = []
    at = 0
    while at < len(units):
        at += left.run(whole[at:])
        if at < len(units):
            found += _stopping_in(*units[at], left)
            at += 1
    return found


def _stopping_in(base: Sequence[EventRecord], doubtful: Sequence[EventRecord], left: _Trials) -> list[EventRecord]:
    if len(doubtful) > _ADDED_MAX:
        return list(doubtful)
    kept = list(base)
    found: list[EventRecord] = []
    rest = list(doubtful)
    while rest:
        steps = left.run([(kept, rest)])
        if steps > len(rest):
            break
        if steps == 0:  # not even what counted before
            return [*found, *rest]
        kept += rest[: steps - 1]
        found.append(rest[steps - 1])
        rest = rest[steps:]
    return found


class _NoTrial(Exception):
    """A process to try in could not be started."""


class _Trials:
    """Trials may be made for so long, and no longer."""

    def __init__(self) -> None:
        self._until = time.monotonic() + TRIALS_S_MAX

    def run(self, units: Sequence[Unit]) -> int:
        """Take these in, in a process of their own.

        Returns:
            How many steps it survived: for each unit one, and one for each event that is added to it.

        Raises:
            _NoTrial: it could not be started.
        """
        import subprocess

        from bide.replica.derivation.trial import pack

        left_s = self._until - time.monotonic()
        if left_s <= 0:
            return 0
        command = [sys.executable, "-P", "-m", "bide.replica.derivation.trial"]
        try:
            done = subprocess.run(  # noqa: S603 this same Python, and nothing that came from elsewhere
                command,
                input=pack(units),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=min(TRIAL_S_MAX, left_s),
                check=False,
            )
            said = done.stdout
        except subprocess.TimeoutExpired as error:
            said = error.stdout or b""
        except OSError as error:
            raise _NoTrial from error
        if not said:
            raise _NoTrial
        return len(said) - 1  # the first says that it is ready


@contextlib.contextmanager
def _watch() -> Iterator[None]:
    """End the process if this takes too long: by a thread without Python, since Automerge lets no other one run meanwhile."""
    import faulthandler

    with Path(os.devnull).open("wb") as nowhere:
        faulthandler.dump_traceback_later(TAKING_IN_S_MAX, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
