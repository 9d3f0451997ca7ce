"""Which additions and revocations of one person's devices stand: pure, over acts that were each allowed in their own past.

Strong removal: a revocation stands whatever else happened. An addition by a device that is revoked stands only if every one
of the revocations was made knowing of it; and only if the device that made it belongs by an addition that stands.

One exception: a recovery device dominates. Of a revocation of it by another device nothing counts if it had revoked that device
without knowing of this, or if that device never belonged once this is taken into account: so who has only the stolen laptop
can't undo a recovery by claiming to have been first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from bide.ids import LogId
from bide.log.head import Head


class Act(NamedTuple):
    """One device added or revoked."""

    bit: int
    """Which bit is its own among the acts of its person."""
    place: Head
    """Log, number and hash of the entry."""
    target: LogId
    """The log of the device that it is about."""
    adds: bool
    past: int
    """The bits of what it builds on, itself not included."""
    order: tuple[int, bytes]
    """After everything that it builds on, and the same everywhere."""
    rooted: bool = False
    """It made the person's first device: nobody revokes who could have done that."""
    cut: tuple[int, bytes] | None = None
    """For a revocation: number and hash of the last entry that counts."""
    sealing_key: bytes = b""
    """For an addition: the device's."""
    recovery: bool = False
    """For an addition: of a recovery device."""

    @property
    def author(self) -> LogId:
        """The log of the device that did it."""
        return self.place.log_id

    @property
    def hash(self) -> bytes:
        """The entry's name."""
        return self.place.hash

    def knows(self, other: Act) -> bool:
        """Whether it builds on `other`."""
        return bool(self.past >> other.bit & 1)


class View(NamedTuple):
    """What a set of acts makes of one person's devices."""

    admissions: dict[LogId, tuple[int, bytes]]
    """Of every device that belongs or belonged: the order of the addition that made it so."""
    active: frozenset[LogId]
    void: int = 0
    """The bits of the revocations of recovery devices that don't count."""


def view_of(acts: Sequence[Act], among: int, *, ever_max: int) -> View:
    """Judge the acts whose bits are in `among`, which holds the past of each of them."""
    chosen = sorted((act for act in acts if among >> act.bit & 1), key=lambda act: act.order)
    void = _dominated(chosen, ever_max=ever_max)
    return _judge([act for act in chosen if not void >> act.bit & 1], ever_max=ever_max)._replace(void=void)


def _judge(chosen: Sequence[Act], *, ever_max: int) -> View:
    """The view of acts in their order, of which every revocation counts."""
    revocations = _revocations(chosen)
    standing: defaultdict[LogId, list[Act]] = defaultdict(list)
    admissions: dict[LogId, tuple[int, bytes]] = {}
    for act in chosen:
        if not act.adds or not (act.rooted or _stands(act, revocations[act.author], standing[act.author])):
            continue
        if act.target not in admissions and len(admissions) >= ever_max:
            continue
        standing[act.target].append(act)
        admissions.setdefault(act.target, act.order)
    return View(admissions, frozenset(log for log in admissions if not revocations[log]))


def _dominated(chosen: Sequence[Act], *, ever_max: int) -> int:
    """The bits of the revocations of recovery devices, by other devices, that don't count.

    First it is seen who belongs or belonged if none of them counted. Of those by whoever did, each counts unless the recovery
    device had revoked its author without knowing of it.
    """
    recovery = {act.target for act in chosen if act.recovery}
    contested = [act for act in chosen if not act.adds and act.target in recovery and act.author not in recovery]
    if not contested:
        return 0
    bits = _bits(contested)
    without = _judge([act for act in chosen if not bits >> act.bit & 1], ever_max=ever_max).admissions
    revocations = _revocations(chosen)

    def counts(act: Act) -> bool:
        back = [other for other in revocations[act.author] if other.author == act.target and act.target in without]
        return act.author in without and all(other.knows(act) for other in back)

    return _bits([act for act in contested if not counts(act)])


def _bits(acts: Sequence[Act]) -> int:
    bits = 0
    for act in acts:
        bits |= 1 << act.bit
    return bits


def _stands(addition: Act, against: Sequence[Act], admitted_by: Sequence[Act]) -> bool:
    return all(revocation.knows(addition) for revocation in against) and any(addition.knows(by) for by in admitted_by)


def _revocations(acts: Sequence[Act]) -> defaultdict[LogId, list[Act]]:
    found: defaultdict[LogId, list[Act]] = defaultdict(list)
    for act in acts:
        if not act.adds:
            found[act.target].append(act)
    return found


def cut_of(acts: Sequence[Act], view: View, log: LogId) -> int:
    """How far a revoked log counts: the highest cut among the most trusted of those who revoked it.

    Most trusted is who belongs and was not revoked by somebody who did not know of it; then who belongs or belonged; then the
    rest; and last the device itself, which could otherwise lift the cut that a thief's writing is held to.
    """
    revocations = _revocations([act for act in acts if not view.void >> act.bit & 1])

    def rank(act: Act) -> int:
        if act.author == log:
            return 3
        if act.author not in view.admissions:
            return 2
        return 0 if all(other.knows(act) for other in revocations[act.author]) else 1

    ranked = [(rank(act), act.cut) for act in revocations[log] if act.cut is not None]
    best = min((each for each, _ in ranked), default=0)
    return max((cut[0] for each, cut in ranked if each == best), default=0)
