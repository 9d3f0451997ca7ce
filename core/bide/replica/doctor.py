"""Examining a replica: is the log whole, does everything verify, does what is shown follow from it?"""

from __future__ import annotations

from bide.errors import BideError
from bide.ids import LogId
from bide.log.chain import Place, empty_head, head_of, place
from bide.log.envelope import Envelope, parse_envelope, verify_signature
from bide.log.head import Head
from bide.replica.reading import Reader
from bide.replica.rebuilding import load_membership
from bide.storage.base import SpaceRecord, Storage

_BATCH_BYTES = 1024 * 1024
_BATCH_COUNT = 500
OK, NOTE, DAMAGE = "ok", "note", "damage"


def examine(storage: Storage, reader: Reader) -> list[dict[str, str]]:
    """Findings, each with a `level` (``ok``, ``note``, ``damage``) and `words`."""
    damages = storage.check()
    findings = [_finding(DAMAGE, words) for words in damages] or [_finding(OK, "The database file is sound.")]
    view = reader.view()
    for space in storage.spaces():
        names = view.others(space.space_id)
        label = f"the space with {names[0]}" if names else "your own space"
        findings.extend(_examine_log(storage, space, label))
        findings.extend(_examine_derived(storage, space, label))
        pending = reader.pending(space)
        if not space.relay_url:
            findings.append(_finding(NOTE, f"No relay is set for {label}: it stays on this device."))
        elif pending:
            findings.append(_finding(NOTE, f"{pending} of your log entries in {label} are waiting for the relay."))
    return findings


def _finding(level: str, words: str) -> dict[str, str]:
    return {"level": level, "words": words}


def _examine_log(storage: Storage, space: SpaceRecord, label: str) -> list[dict[str, str]]:
    """Every chain from its first entry, and the signature on each head and each control envelope."""
    if space.pending:
        return [_finding(NOTE, "A pairing has not been finished on the other side yet; the next sync may complete it.")]
    try:
        membership = load_membership(storage, space.space_id)
        count = 0
        for log in storage.heads(space.space_id):
            head, last = _walk(storage, space, empty_head(log))
            count += head.seq
            device = membership.devices.get(log)
            if device is None or last is None:
                return [_finding(DAMAGE, f"A log in {label} belongs to no member.")]
            verify_signature(last, space=space.space_id, device=device.id)
    except BideError:
        return [_finding(DAMAGE, f"The log of {label} does not verify. Don't write here; keep a copy of the home.")]
    return [_finding(OK, f"The log of {label} is whole: {count} entries, chains and signatures verified.")]


def _walk(storage: Storage, space: SpaceRecord, head: Head) -> tuple[Head, Envelope | None]:
    last: Envelope | None = None
    while batch := storage.envelopes_after(
        space.space_id, head.log_id, head.seq, bytes_max=_BATCH_BYTES, count_max=_BATCH_COUNT
    ):
        for stored in batch:
            last = parse_envelope(stored.data)
            if place(head, last) is not Place.NEXT:
                raise BideError
            head = head_of(last)
    return head, last


def _examine_derived(storage: Storage, space: SpaceRecord, label: str) -> list[dict[str, str]]:
    status = storage.standing_counts(space.space_id)
    findings = []
    if forks := len(storage.evidence(space.space_id)):
        words = f"There are two pasts of a log in {label}: a home was copied or restored. Signed proof is kept ({forks})."
        findings.append(_finding(DAMAGE, words))
    if missing := _cited_and_missing(storage, space):
        words = f"{missing} log entries of {label} are referred to and have not come. The relay may be holding them back."
        findings.append(_finding(NOTE, words))
    meanings = {
        "waiting": "wait for something that has not arrived yet",
        "newer": "are from a newer Bide and come to life after an upgrade",
        "ignored": "were not allowed where they were made; they are kept and not shown",
    }
    for standing, count in sorted(status.items()):
        if standing.value in meanings:
            findings.append(_finding(NOTE, f"{count} events in {label} {meanings[standing.value]}."))
    set_aside = storage.quarantine(space.space_id)
    findings.extend(_finding(NOTE, f"An entry in {label} was set aside and kept: {item.reason}") for item in set_aside)
    return findings


def _cited_and_missing(storage: Storage, space: SpaceRecord) -> int:
    """How many log entries somebody's events cite that are not here: a relay that withholds shows itself so."""
    heads = storage.heads(space.space_id)
    furthest: dict[LogId, int] = {}
    for (log, _), seq in storage.citations(space.space_id).items():
        furthest[log] = max(seq, furthest.get(log, 0))
    return sum(max(0, seq - (heads[log].seq if log in heads else 0)) for log, seq in furthest.items())
