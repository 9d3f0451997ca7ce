"""Examining a replica: is the log whole, does everything verify, does what is shown follow from it?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest
from typing import NamedTuple

from bide.errors import BideError, Phrase, StorageDamaged
from bide.ids import DeviceId, log_id
from bide.log.chain import Place, empty_head, head_of, place
from bide.log.control import DeviceRevoked, read_control
from bide.log.envelope import Envelope, EnvelopeClass, parse_envelope, verify_signature
from bide.log.head import Head
from bide.log.leaving import is_erased
from bide.replica.derivation.rebuilding import Passed, Progress, counting, load_membership, rebuild
from bide.replica.examining.honesty import examine_honesty
from bide.replica.examining.mending import laid_by, still_missing
from bide.replica.own_devices.phrases import ungiven
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.relays import CANNOT, GIVEN_UP, read_formers
from bide.replica.spaces.removal import is_out, removal_words
from bide.replica.spaces.waiting import go_on_key, is_short, waiting_words
from bide.replica.views.reading import Reader
from bide.storage.aside import Aside
from bide.storage.base import SpaceRecord, Storage

_BATCH_BYTES = 1024 * 1024
_BATCH_COUNT = 500
OK, NOTE, DAMAGE = "ok", "note", "damage"
_STILL_MISSING = (
    "Log entries that this home wrote in {space} were lost ({count}), and no relay has them. Another device may, and brings"
    " them back when it syncs; until then nothing can be written there. To go on without them: bide doctor --repair"
)
_GOES_ON = (
    "Log entries that this home wrote in {space} were lost ({count}), and the next sync goes on without them; until then"
    " nothing can be written there. Run: bide sync"
)
LAID_BY = "Log entries of {space} are laid by until what was before them comes back ({count})."
_OWN_SPACE = Phrase("your own space")
_STANDINGS = {
    "waiting": "Events in {space} wait for something that has not arrived yet ({count}).",
    "newer": "Events in {space} are from a newer Bide and come to life after an upgrade ({count}).",
    "ignored": "Events in {space} were not allowed where they were made; they are kept and not shown ({count}).",
}
_LEFT_BEHIND = {
    GIVEN_UP: "The relay {url} was asked for 30 days to delete {space} and never did; it is not asked any more.",
    CANNOT: "The relay {url} may still hold {space}, sealed: it is of a kind that can't be asked to delete it.",
}
"""Relays that may still hold what they are no longer asked to delete."""
_UNGIVEN = (
    "Perhaps nobody has the words of your recovery phrase: Bide ended before it gave them. New ones: bide recovery rotate"
)
_UNREADABLE = "Something in the database can't be made sense of."
_NOT_THE_HOME = (MemoryError, OSError)
"""What says nothing of the home: the machine has run out of something."""


class Finding(NamedTuple):
    """One thing that was looked at."""

    level: str
    """`OK`, `NOTE` or `DAMAGE`."""
    words: Phrase
    mendable: bool = False
    """`bide.replica.examining.mending` can do something about it."""


def examine(storage: Storage, reader: Reader, progress: Progress | None = None) -> list[Finding]:
    """Look at everything, as it is at this moment; changes nothing. Whatever it stumbles over is a finding.

    Args:
        storage: to look at.
        reader: of the same.
        progress: is told how far it is: each log entry is gone through in its chain, and to derive from it.
    """
    try:
        with storage.snapshot():
            damages = storage.check()
            findings = [Finding(DAMAGE, damage, True) for damage in damages] or [_finding(OK, "The database file is sound.")]
            try:
                findings = [*(Finding(NOTE, words) for words in removal_words(storage, reader.view())), *findings]
                if ungiven(storage):
                    findings.append(_finding(NOTE, _UNGIVEN))
                return findings + _examine_spaces(storage, reader, counting(storage, progress, rounds=2))
            except _NOT_THE_HOME:
                raise
            except Exception:
                return findings if damages else [*findings, Finding(DAMAGE, Phrase(_UNREADABLE), True)]
    except StorageDamaged:
        return [Finding(DAMAGE, Phrase(_UNREADABLE), True)]


def _examine_spaces(storage: Storage, reader: Reader, passed: Passed) -> list[Finding]:
    findings: list[Finding] = []
    view = reader.view()
    spaces = storage.spaces()
    if not any(space.kind == "own" for space in spaces):
        findings.append(Finding(DAMAGE, Phrase("The keys of your own space are missing."), True))
    for space in spaces:
        names = view.others(space.space_id)
        label = Phrase("the space with {name}", {"name": names[0]}) if names else _OWN_SPACE
        log_findings = _examine_log(storage, space, label, passed)
        findings.extend(log_findings)
        if all(finding.level != DAMAGE for finding in log_findings):
            findings.extend(_examine_shown(storage, space, label, passed))
        findings.extend(_examine_derived(storage, space, label))
        for is_damage, words in examine_honesty(storage, space, label, view):
            findings.append(Finding(DAMAGE if is_damage else NOTE, words))
        findings.extend(_examine_mended(storage, space, label))
        pending = reader.pending(space)
        findings.extend(_examine_relays(storage, space, label))
        if not space.relay_url:
            findings.append(_finding(NOTE, "No relay is set for {space}: it stays on this device.", space=label))
        elif pending:
            waiting = "Log entries of yours in {space} are waiting for the relay ({count})."
            findings.append(_finding(NOTE, waiting, count=pending, space=label))
    return findings


def _examine_relays(storage: Storage, space: SpaceRecord, label: Phrase) -> list[Finding]:
    """Relays that may still hold what they are no longer asked to delete."""
    left = [former for former in read_formers(storage, space.space_id) if former.state in _LEFT_BEHIND]
    return [_finding(NOTE, _LEFT_BEHIND[former.state], url=former.url, space=label) for former in left]


def _finding(level: str, words: str, **values: object) -> Finding:
    return Finding(level, Phrase(words, values))


def _examine_log(storage: Storage, space: SpaceRecord, label: Phrase, passed: Passed) -> list[Finding]:
    """Every chain from its first entry, and the signature on each head and each control envelope."""
    mended = is_short(storage, space.space_id)
    if mended and not storage.heads(space.space_id):
        return [_finding(NOTE, "The log of {space} is not here; it comes back with: bide sync", space=label)]
    if not storage.epochs(space.space_id) and not space.pending:
        words = "The keys to what was written in {space} are missing."
        return [Finding(DAMAGE, Phrase(words, {"space": label}), not mended)]
    if space.pending:
        waits_for = waiting_words(storage, space)
        return [Finding(NOTE, waits_for)] if waits_for is not None else []
    try:
        membership = load_membership(storage, space.space_id)
        count = 0
        for log in storage.heads(space.space_id):
            head, last = _walk(storage, space, empty_head(log), passed)
            count += head.seq
            device = membership.devices.get(log)
            if device is None or last is None:
                return [Finding(DAMAGE, Phrase("A log in {space} belongs to no member.", {"space": label}), True)]
            if head != storage.heads(space.space_id)[log]:
                raise BideError
            verify_signature(last, space=space.space_id, device=device.id)
    except BideError:
        words = "The log of {space} does not verify. Don't write here; keep a copy of the home."
        return [Finding(DAMAGE, Phrase(words, {"space": label}), True)]
    words = "The log of {space} is whole: {count} log entries, chains and signatures verified."
    return [_finding(OK, words, space=label, count=count)]


def _walk(storage: Storage, space: SpaceRecord, head: Head, passed: Passed) -> tuple[Head, Envelope | None]:
    last: Envelope | None = None
    while batch := storage.envelopes_after(
        space.space_id, head.log_id, head.seq, bytes_max=_BATCH_BYTES, count_max=_BATCH_COUNT
    ):
        for stored in batch:
            last = parse_envelope(stored.data)
            there = (last.log_id, last.seq, last.hash, last.klass is EnvelopeClass.CONTROL)
            if place(head, last) is not Place.NEXT or there != stored[:4]:
                raise BideError
            head = head_of(last)
        passed(len(batch))
    return head, last


def _examine_shown(storage: Storage, space: SpaceRecord, label: Phrase, passed: Passed) -> list[Finding]:
    """Whether what is shown is what the log says. Left out while something is still to be tried apart."""
    if space.pending or any(not suspect.set_aside for suspect in storage.suspects(space.space_id)):
        return []
    aside = Aside(storage, space)
    try:
        with aside.transaction():
            rebuild(aside, passed)
        fits = _shows_the_same(storage, aside, space)
    except _NOT_THE_HOME:
        raise
    except Exception:
        fits = False
    finally:
        aside.close()
    if fits:
        return [_finding(OK, "What is shown of {space} is what its log says.", space=label)]
    return [Finding(DAMAGE, Phrase("What is shown of {space} is not what its log says.", {"space": label}), True)]


def _shows_the_same(storage: Storage, aside: Storage, space: SpaceRecord) -> bool:
    """Row by row, so that a long history need not be in memory twice."""
    of = space.space_id
    return (
        _are_alike(storage.all_entries(of), aside.all_entries(of))
        and _are_alike(storage.all_events(of), aside.all_events(of))
        and _the_few(storage, space) == _the_few(aside, space)
    )


def _are_alike(some: Iterable[object], others: Iterable[object]) -> bool:
    return all(one == other for one, other in zip_longest(some, others))


def _the_few(storage: Storage, space: SpaceRecord) -> tuple[object, ...]:
    of = space.space_id
    return (
        set(storage.members(of)),  # their order is that in which they were heard of
        storage.citations(of),
        {(item.log_id, item.seq) for item in storage.quarantine(of)},
        read_belonging(storage, of),
    )


def _examine_mended(storage: Storage, space: SpaceRecord, label: Phrase) -> list[Finding]:
    findings = []
    if is_out(storage, space):
        pass  # that is what is told of it; nothing is waited for
    elif missing := still_missing(storage, space):
        words = _GOES_ON if storage.meta(go_on_key(space.space_id)) else _STILL_MISSING
        findings.append(_finding(NOTE, words, count=missing, space=label))
    elif is_short(storage, space.space_id):
        words = "Mended: nothing can be written in {space} before the relay was asked for what is missing. Run: bide sync"
        findings.append(_finding(NOTE, words, space=label))
    if count := len(laid_by(storage, space.space_id)):
        findings.append(_finding(NOTE, LAID_BY, count=count, space=label))
    return findings


def _examine_derived(storage: Storage, space: SpaceRecord, label: Phrase) -> list[Finding]:
    status = storage.standing_counts(space.space_id)
    findings = []
    findings.extend(_examine_pasts(storage, space, label))
    if withheld := _kept_back(storage, space):
        words = (
            "Log entries of {space} came without their words, and nobody erased them ({count}): somebody keeps them back."
            " They are asked for again at every sync, and filled in by whoever has them."
        )
        findings.append(_finding(NOTE, words, space=label, count=withheld))
    for standing, count in sorted(status.items()):
        if standing.value in _STANDINGS:
            findings.append(_finding(NOTE, _STANDINGS[standing.value], count=count, space=label))
    findings.extend(_examine_set_aside(storage, space, label))
    return findings


def _examine_pasts(storage: Storage, space: SpaceRecord, label: Phrase) -> list[Finding]:
    """Logs that were written by two: of this home, which is mended, and of others, which is not for this device to mend."""
    findings = []
    displaced = storage.displaced(space.space_id)
    if waiting := sum(item.waiting for item in displaced):
        words = "Log entries of this home in {space} wait to be moved to a log of its own ({count}). bide sync goes on with it."
        findings.append(_finding(NOTE, words, space=label, count=waiting))
    if storage.former_devices(space.space_id):
        words = (
            "In {space} this home went on as a device of its own, since another copy of it had written, or might have, or the"
            " end of its log was lost."
        )
        if displaced:
            words = (
                "In {space} this home went on as a device of its own, since another copy of it had written, or might have. What"
                " it had written was moved; the log entries as they were are kept ({count})."
            )
        findings.append(_finding(NOTE, words, space=label, count=len(displaced)))
    if forks := len(storage.evidence(space.space_id)):
        words = (
            "There are two pasts of a log in {space}: a device wrote both, or a copy of it did, or it lost the end of its log"
            " and went on without it. This one keeps to the past that came first, the other is kept beside it, and all else"
            " goes on. Signed proof is kept ({count})."
        )
        findings.append(_finding(DAMAGE, words, space=label, count=forks))
    if wrong := _cuts_beside_the_log(storage, space):
        words = (
            "Devices of {space} were removed at a log entry that is not the one here ({count}): their log had two pasts."
            " The removals are the signed proof."
        )
        findings.append(_finding(DAMAGE, words, space=label, count=wrong))
    return findings


def _cuts_beside_the_log(storage: Storage, space: SpaceRecord) -> int:
    """How many removals name another entry as the last that counts than the one that stands here in its place."""
    wrong, beside = 0, {each.hash for each in storage.beside(space.space_id)}
    for control in storage.controls(space.space_id):
        statement = read_control(parse_envelope(control.data).body)
        if isinstance(statement, DeviceRevoked) and statement.cut_seq:
            log = log_id(space.space_id, DeviceId(statement.device))
            here = storage.envelope(space.space_id, log, statement.cut_seq)
            wrong += statement.cut_hash in beside if here is None else here.hash != statement.cut_hash
    return wrong


def _examine_set_aside(storage: Storage, space: SpaceRecord, label: Phrase) -> list[Finding]:
    """What is kept and not taken in, and why: first what stopped a process, which could be safe after an upgrade."""
    findings = []
    suspects = storage.suspects(space.space_id)
    stopping = {(suspect.log_id, suspect.seq) for suspect in suspects if suspect.set_aside}
    if stopping:
        entries = len({suspect.entry_id for suspect in suspects if suspect.set_aside})
        words = (
            "Changes in {space} stop Bide when they are taken in ({count}; entries: {entries}). They were set aside and kept;"
            " all else goes on. After an upgrade, try them again: bide doctor --again"
        )
        findings.append(_finding(NOTE, words, count=len(stopping), entries=entries, space=label))
    if untried := len(suspects) - len(stopping):
        words = "A process ended while it took in changes in {space} ({count}). They are tried apart before they are taken in."
        findings.append(_finding(NOTE, words, count=untried, space=label))
    words = "Log entries in {space} were set aside and kept ({count}): {reason}"
    others = (item for item in storage.quarantine(space.space_id) if (item.log_id, item.seq) not in stopping)
    for reason, count in sorted(Counter(item.reason for item in others).items()):
        findings.append(_finding(NOTE, words, count=count, space=label, reason=Phrase(reason)))
    return findings


def _kept_back(storage: Storage, space: SpaceRecord) -> int:
    """How many log entries are here without a body that was not erased."""
    erased = read_belonging(storage, space.space_id).erased
    return sum(not is_erased(erased, log, seq) for log, seq in storage.bare(space.space_id))
