"""Every small history of a space, in every order of delivery, through the real fold: what docs/encryption.md promises holds.

A history is a set of control entries of which each builds on a causally closed part of the others. From every history every
device that may say something says everything that the rules let it say, on every part of the history that it may have seen.
All orders of delivery are covered without being listed: a history is reached once for each of its last entries, and must come
to the same membership each time. Signatures, hashes and msgpack are replaced at the seam; the fold is the one that runs.
"""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from bide.crypto import signing
from bide.errors import MembershipRejected
from bide.ids import DeviceId, LogId, SpaceId
from bide.log import membership as membership_module
from bide.log import standing as standing_module
from bide.log.control import (
    Control,
    DeviceAdded,
    DeviceRecord,
    DeviceRevoked,
    EpochMinted,
    Grant,
    Granting,
    PersonJoined,
    RecoveryAdded,
    SpaceCreated,
)
from bide.log.envelope import Envelope, EnvelopeClass
from bide.log.membership import Membership

DEVICES = 4
OPERATIONS = 5
DEEP = os.environ.get("BIDE_MODEL") == "deep"
"""Also what takes minutes: every device enrolled at the start, and five operations from there."""
SPACE = SpaceId(b"S" * 16)
NOBODY = bytes(32)


class Entry(NamedTuple):
    """One control entry of a history."""

    envelope: Envelope
    statement: Control
    past: frozenset[bytes]
    """Hashes of all that it builds on, itself included."""


class State(NamedTuple):
    """A history and what it comes to."""

    entries: dict[bytes, Entry]
    membership: Membership
    parts: frozenset[frozenset[bytes]]
    """Its causally closed parts, itself included, each of which is a history too."""


def device(number: int) -> DeviceId:
    return DeviceId(bytes([number]) * 32)


def log_of(number: int) -> LogId:
    return LogId(bytes([number]) * 16)


class Model:
    """All histories up to so many operations, from a beginning on."""

    def __init__(self, owners: tuple[int, ...], recovery: frozenset[int] = frozenset()) -> None:
        """Begin with the person that each device belongs to, and which are on paper: its own signature says so."""
        self.owners = owners
        self.recovery = recovery
        self.statements: dict[bytes, Control] = {}
        self.states: dict[frozenset[bytes], State] = {}
        self.deliveries = 0
        self.refusals = 0

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Put the model's entries in place of bytes: a body is the hash of its entry."""
        monkeypatch.setattr(membership_module, "verify_signature", lambda *_, **__: None)
        monkeypatch.setattr(signing, "verify", lambda *_: True)
        monkeypatch.setattr(membership_module, "read_control", lambda body: self.statements[body])
        monkeypatch.setattr(membership_module, "log_id", lambda _, key: LogId(key[:16]))
        monkeypatch.setattr(membership_module, "space_id", lambda *_: SPACE)
        monkeypatch.setattr(Envelope, "body", property(lambda envelope: envelope.data))

    def entry(self, author: int, seq: int, statement: Control, past: frozenset[bytes]) -> Entry:
        key = hashlib.blake2b(repr((author, seq, statement)).encode(), digest_size=32).digest()
        if isinstance(statement, DeviceRevoked | EpochMinted):  # the fresh epoch is named after the entry that makes it
            fresh = [grant._replace(epoch_id=key[:16]) if not any(grant.epoch_id) else grant for grant in statement.grants]
            statement = statement._replace(grants=fresh)
        self.statements[key] = statement
        envelope = Envelope(key, EnvelopeClass.CONTROL, log_of(author), seq, NOBODY, bytes(16), bytes(24), key)
        return Entry(envelope, statement, past | {key})

    def begin(self) -> State:
        pair = 1 in self.owners
        record = DeviceRecord(device(0), NOBODY, bytes(64))
        grant = Grant(b"e" * 16, device(0), b"")
        created = SpaceCreated("space.created", 1, [], "pair" if pair else "own", bytes(16), record, [grant])
        genesis = self.entry(0, 1, created, frozenset())
        membership = Membership.found(SPACE, genesis.envelope)
        key = genesis.envelope.hash
        state = State({key: genesis}, membership, frozenset({frozenset({key})}))
        self.states[frozenset(state.entries)] = state
        if pair:
            record = DeviceRecord(device(1), NOBODY, bytes(64))
            joined = PersonJoined("person.joined", 1, [key], record, [grant._replace(recipient=device(1))])
            state = self.deliver(state, self.entry(0, 2, joined, frozenset({key})))
        return state

    def enrol(self, state: State) -> State:
        """Let the first device of its person add the next one, which everybody has seen."""
        whole = frozenset(state.entries)
        owner = self.owners[len(state.membership.devices)]
        entries = (e for e in self.sayings(state, whole) if e.envelope.log_id == log_of(self.owners.index(owner)))
        return self.deliver(state, next(e for e in entries if isinstance(e.statement, DeviceAdded | RecoveryAdded)))

    def deliver(self, state: State, entry: Entry) -> State:
        """The history with one entry more; if it was reached before, the membership must be the same."""
        self.deliveries += 1
        membership = copied(state.membership)
        membership.admit(entry.envelope)
        key = entry.envelope.hash
        whole = frozenset((*state.entries, key))
        known = self.states.get(whole)
        if known is not None:
            assert known.membership == membership
            return known
        below = entry.past - {key}
        parts = state.parts | {part | {key} for part in state.parts if below <= part}
        found = State({**state.entries, key: entry}, membership, parts)
        self.states[whole] = found
        check(found, state)
        return found

    def explore(self, start: State, operations: int) -> None:
        """Every history that begins with `start`."""
        layer = {frozenset(start.entries): start}
        for _ in range(operations):
            following: dict[frozenset[bytes], State] = {}
            for state in layer.values():
                for part in state.parts:
                    if frozenset(start.entries) <= part:
                        for entry in self.sayings(state, part):
                            found = self.deliver(state, entry)
                            following[frozenset(found.entries)] = found
            layer = following

    def sayings(self, state: State, part: frozenset[bytes]) -> Iterator[Entry]:
        """What each device may say next, having seen `part`; what the rules forbid is tried and must be refused."""
        view = self.states[part].membership
        heads = sorted(view.heads)
        for author in range(DEVICES):
            log = log_of(author)
            own = [e for e in state.entries.values() if e.envelope.log_id == log]
            if log not in state.membership.devices or any(e.envelope.hash not in part for e in own):
                continue
            seq = len(own) + 1
            for statement in self.statements_of(author, view, heads):
                entry = self.entry(author, seq, statement, part)
                if allowed(author, statement, view):
                    yield entry
                elif log in view.devices:
                    self.refusals += 1
                    before = copied(view)
                    with pytest.raises(MembershipRejected):
                        view.admit(entry.envelope)
                    assert view == before

    def statements_of(self, author: int, view: Membership, heads: list[bytes]) -> Iterator[Control]:
        known = [number for number in range(DEVICES) if log_of(number) in view.devices]
        held = sorted(epoch for epoch, who in view.recipients.items() if device(author) in who)
        mine = [number for number in range(DEVICES) if self.owners[number] == self.owners[author]]
        free = next((number for number in mine if number not in known), None)
        if free is not None:
            record = DeviceRecord(device(free), NOBODY, bytes(64))
            grants = [Grant(epoch, device(free), b"") for epoch in held]
            if free in self.recovery:
                yield RecoveryAdded("recovery.added", 1, heads, record, grants)
            else:
                yield DeviceAdded("device.added", 1, heads, record, grants)
        for target in known:
            left = [each.id for each in view.active_devices() if each.id != device(target)]
            cut = view.counts.get(log_of(target), 0)
            grants = [Grant(bytes(16), each, b"") for each in left]
            digest = bytes([cut]) * 32
            yield DeviceRevoked("device.revoked", 1, heads, device(target), cut, digest, grants)
        if not view.eligible_epochs():
            yield EpochMinted("epoch.minted", 1, heads, [Grant(bytes(16), each.id, b"") for each in view.active_devices()])


def copied(membership: Membership) -> Membership:
    twin = copy.copy(membership)
    twin.devices, twin.seen, twin.heads = dict(membership.devices), set(membership.seen), set(membership.heads)
    twin.counts = dict(membership.counts)
    twin.recipients = {epoch: set(who) for epoch, who in membership.recipients.items()}
    twin._acts = (list(membership._acts[0]), list(membership._acts[1]))
    twin._pasts, twin._last, twin._views = dict(membership._pasts), dict(membership._last), dict(membership._views)
    twin._links = dict(membership._links)
    return twin


def allowed(author: int, statement: Control, view: Membership) -> bool:
    """The rules in a line each, on what the author had seen."""
    log = log_of(author)
    if log not in view.active:
        return False
    if isinstance(statement, DeviceRevoked):
        target = LogId(statement.device[:16])
        return target in view.active and view.devices[target].slot == view.devices[log].slot
    return True


def check(state: State, before: State) -> None:
    """The invariants; the numbers are those of docs/encryption.md."""
    membership, entries = state.membership, state.entries.values()
    revocations = [e for e in entries if isinstance(e.statement, DeviceRevoked)]
    additions = [e for e in entries if isinstance(e.statement, DeviceAdded | RecoveryAdded | PersonJoined | SpaceCreated)]
    check_domination(membership, additions, revocations)
    revocations = counting(additions, revocations)
    revoked = {LogId(e.statement.device[:16]) for e in revocations if isinstance(e.statement, DeviceRevoked)}
    # 2: every device has one person for good, and was added and revoked by that person's devices alone.
    for log, each in before.membership.devices.items():
        assert membership.devices[log].slot == each.slot
    for entry in (e for e in entries if isinstance(e.statement, DeviceRevoked)):
        assert isinstance(entry.statement, DeviceRevoked)
        target = membership.devices[LogId(entry.statement.device[:16])]
        assert target.slot == membership.devices[entry.envelope.log_id].slot
    # 3: a revocation stands, whatever else is said; nobody comes back. The one exception is 9.
    assert not revoked & membership.active
    # 4: active is exactly who belongs by an unbroken line of additions that stand.
    assert membership.active == standing(additions, revocations) - revoked
    assert membership.ends.keys() == membership.devices.keys() - membership.active
    # 5: a log that ends does so at a cut that was named for it, or counts nothing.
    needed = membership.needed()
    for log, end in membership.ends.items():
        cuts = [
            e.statement.cut_seq
            for e in revocations
            if isinstance(e.statement, DeviceRevoked) and e.statement.device[:16] == log
        ]
        assert end in cuts or (end == 0 and log not in standing(additions, revocations))
        assert needed[log] >= end
    # 6: of an epoch that may be sealed under every active device has the secret, and nobody else.
    active = {each.id for each in membership.active_devices()}
    holders = {epoch: holders_of(epoch, state) for epoch in membership.recipients}
    for epoch in membership.eligible_epochs():
        assert holders[epoch] == active
    # 7: whoever is revoked knows no epoch that was made by a device that knew of it.
    for entry in entries:
        if isinstance(entry.statement, DeviceRevoked | EpochMinted):
            known = {
                e.statement.device
                for e in revocations
                if isinstance(e.statement, DeviceRevoked) and e.envelope.hash in entry.past
            }
            assert not known & {grant.recipient for grant in entry.statement.grants}
    # 8: whatever still counts can be passed on whole: what a needed entry builds on is needed too.
    for entry in entries:
        if passed_on(needed, entry):
            assert all(passed_on(needed, state.entries[below]) for below in entry.past)


def target_of(entry: Entry) -> LogId:
    assert isinstance(entry.statement, DeviceRevoked)
    return LogId(entry.statement.device[:16])


def answers(entry: Entry, revocations: list[Entry]) -> list[Entry]:
    """Where the revoked device revokes the author of `entry` without having known of it."""
    author, target = entry.envelope.log_id, target_of(entry)
    back = [e for e in revocations if e.envelope.log_id == target and target_of(e) == author]
    return [e for e in back if entry.envelope.hash not in e.past]


def contested(additions: list[Entry], revocations: list[Entry]) -> list[Entry]:
    on_paper = {LogId(e.statement.device.signing_key[:16]) for e in additions if isinstance(e.statement, RecoveryAdded)}
    return [e for e in revocations if target_of(e) in on_paper and e.envelope.log_id not in on_paper]


def counting(additions: list[Entry], revocations: list[Entry]) -> list[Entry]:
    """The revocations that count, worked out anew: all but those by which a recovery device was dominated in vain."""
    doubtful = contested(additions, revocations)
    belongs = standing(additions, [e for e in revocations if e not in doubtful])
    void = [e for e in doubtful if e.envelope.log_id not in belongs or (target_of(e) in belongs and answers(e, revocations))]
    return [e for e in revocations if e not in void]


def check_domination(membership: Membership, additions: list[Entry], revocations: list[Entry]) -> None:
    """9: what a recovery device did not know of can't undo its recovery; what it knew of, and what it never answered, can."""
    doubtful = contested(additions, revocations)
    belongs = standing(additions, [e for e in revocations if e not in doubtful])
    for log in {target_of(e) for e in doubtful} & belongs:
        against = [e for e in revocations if target_of(e) == log]
        if all(e in doubtful and answers(e, revocations) for e in against):
            assert log in membership.active
            assert not {e.envelope.log_id for e in against} & membership.active
        if any(e.envelope.log_id in belongs and not answers(e, revocations) for e in against):
            assert log not in membership.active


def passed_on(needed: dict[LogId, int], entry: Entry) -> bool:
    return entry.envelope.seq <= needed.get(entry.envelope.log_id, entry.envelope.seq)


def standing(additions: list[Entry], revocations: list[Entry]) -> set[LogId]:
    """Who belongs or belonged, worked out anew and without haste."""
    found: dict[LogId, list[Entry]] = {}
    for entry in sorted(additions, key=lambda e: len(e.past)):
        author = entry.envelope.log_id
        against = [e for e in revocations if isinstance(e.statement, DeviceRevoked) and e.statement.device[:16] == author]
        if isinstance(entry.statement, DeviceAdded | RecoveryAdded) and (
            any(entry.envelope.hash not in e.past for e in against)
            or not any(by.envelope.hash in entry.past for by in found.get(author, []))
        ):
            continue
        assert isinstance(entry.statement, DeviceAdded | RecoveryAdded | PersonJoined | SpaceCreated)
        found.setdefault(LogId(entry.statement.device.signing_key[:16]), []).append(entry)
    return set(found)


def holders_of(epoch: bytes, state: State) -> set[DeviceId]:
    """Everybody who was ever sent a secret, and whoever sent it."""
    found: set[DeviceId] = set()
    for entry in state.entries.values():
        assert isinstance(entry.statement, Granting)
        for grant in entry.statement.grants:
            if grant.epoch_id == epoch:
                found |= {DeviceId(grant.recipient), state.membership.devices[entry.envelope.log_id].id}
    return found


@pytest.mark.parametrize(
    ("owners", "enrolled", "operations"),
    [
        ((0, 0, 0, 0), 1, OPERATIONS),
        ((0, 1, 0, 0), 2, OPERATIONS),
        ((0, 1, 0, 1), 2, OPERATIONS),
        ((0, 1, 0, 1), 4, OPERATIONS if DEEP else OPERATIONS - 1),
        ((0, 0, 0, 0), 3, OPERATIONS - 1 if DEEP else OPERATIONS - 2),
        ((0, 0, 0, 0), 4, OPERATIONS - 1 if DEEP else OPERATIONS - 2),
    ],
)
def test_every_history_comes_to_the_same_whatever_arrives_first(
    monkeypatch: pytest.MonkeyPatch,
    owners: tuple[int, ...],
    enrolled: int,
    operations: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Four devices and five operations, of one person and of two: no order of delivery makes a difference."""
    model = Model(owners)
    model.patch(monkeypatch)
    start = model.begin()
    while len(start.membership.devices) < enrolled:
        start = model.enrol(start)
    model.explore(start, operations)
    with capsys.disabled():
        print(f"\n{len(model.states):,} histories, {model.deliveries:,} deliveries, {model.refusals:,} refusals")
    assert model.refusals > 0


@pytest.mark.parametrize(
    ("owners", "recovery", "enrolled", "operations"),
    [
        ((0, 0, 0, 0), {1}, 2, OPERATIONS if DEEP else OPERATIONS - 1),
        ((0, 0, 0, 0), {2}, 3, OPERATIONS - 1 if DEEP else OPERATIONS - 2),
        ((0, 0, 0, 0), {1, 2}, 3, OPERATIONS - 1 if DEEP else OPERATIONS - 2),
        ((0, 0, 0, 0), {3}, 4, OPERATIONS - 1 if DEEP else OPERATIONS - 2),
        ((0, 1, 0, 1), {2, 3}, 4, OPERATIONS - 1 if DEEP else OPERATIONS - 2),
        ((0, 1, 0, 0), {2}, 3, OPERATIONS - 1 if DEEP else OPERATIONS - 2),
    ],
)
def test_every_history_with_a_recovery_device_comes_to_the_same(
    monkeypatch: pytest.MonkeyPatch,
    owners: tuple[int, ...],
    recovery: set[int],
    enrolled: int,
    operations: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same with devices on paper, enrolled at the start or on the way: of one person, of both, and two of one."""
    model = with_recovery(monkeypatch, owners, recovery, enrolled, operations)
    with capsys.disabled():
        print(f"\n{len(model.states):,} histories, {model.deliveries:,} deliveries, {model.refusals:,} refusals")
    dominated = [s for s in model.states.values() if any(view.void for view in s.membership._views.values())]
    assert dominated


def test_without_the_rule_the_model_finds_a_recovery_that_was_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the invariant is one that the other rules don't keep by themselves."""
    monkeypatch.setattr(standing_module, "_dominated", lambda *_, **__: 0)
    with pytest.raises(AssertionError):
        with_recovery(monkeypatch, (0, 0, 0, 0), {1}, 2, OPERATIONS - 2)


def with_recovery(
    monkeypatch: pytest.MonkeyPatch, owners: tuple[int, ...], recovery: set[int], enrolled: int, operations: int
) -> Model:
    model = Model(owners, frozenset(recovery))
    model.patch(monkeypatch)
    start = model.begin()
    while len(start.membership.devices) < enrolled:
        start = model.enrol(start)
    model.explore(start, operations)
    return model
