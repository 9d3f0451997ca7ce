"""Something to lose: what a device and a relay do over a while, on a recorded disk, and what they then rely on."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bide.errors import Locked
from bide.ids import EntryId, LogId, SpaceId
from bide.log.head import Head
from bide.replica import Replica
from bide.replica.authoring.holding import Deed, Do, Held
from bide.replica.examining.doctor import DAMAGE
from bide.storage.opening import rekey_database
from bide.storage.sqlite import SqliteStorage
from bide.testing import FakeClock, SeededRandomness, SpaceBuilder
from bide.testing_replicas import MemoryRelay, new_replica, pair_up, sync
from bide_relay.admin import check_spaces
from bide_relay.committer import Committer, Founding, Outcome, Upload
from bide_relay.service import load_state
from bide_relay.settings import Settings
from bide_relay.storage import sqlite_checkpoints
from bide_relay.storage.base import Identity
from bide_relay.storage.sqlite import SqliteStorage as RelayStorage
from crash.recording import Recording

DATABASE = "bide.db"
_DEEP = 8
"""Every so many-eth image is looked at closely: rebuilt and written to."""
Heads = Mapping[tuple[SpaceId, LogId], Head]


class Relied(NamedTuple):
    """What a device relies on once a command has come back."""

    key: bytes
    heads: Heads
    held: frozenset[EntryId]
    """What waits in the outbox."""


class Turning(NamedTuple):
    """The key of a database is being changed: from now on either may open it."""

    key: bytes


class Device:
    """A person's journal on a recorded disk, and a partner's in memory."""

    def __init__(self, recording: Recording, chance: random.Random) -> None:
        """Pair the two."""
        self._recording = recording
        self._chance = chance
        self._path = Path(recording.folder) / DATABASE
        self._key = chance.randbytes(32)
        self._clock = FakeClock(tick_ms=1000)
        self._sam = Replica.create(
            SqliteStorage(self._path, self._key, create=True),
            name="Sam",
            zone="UTC",
            clock=self._clock,
            randomness=SeededRandomness(f"Sam {chance.random()}"),
        )
        self._robin = new_replica("Robin")
        self._relay = MemoryRelay()
        pair_up(self._sam, self._robin)
        self._sync()
        self._say()

    def steps(self, count: int) -> None:
        """Do things at random."""
        doings = (
            (self._write, 10),
            (self._edit, 4),
            (self._hold, 3),
            (self._send, 2),
            (self._hear_from_partner, 5),
            (self._rebuild, 1),
            (self._reopen, 2),
            (self._turn_key, 1),
        )
        for doing in self._chance.choices([d for d, _ in doings], [weight for _, weight in doings], k=count):
            doing()
            self._say()

    def close(self) -> None:
        """Let go."""
        self._sam.storage.close()

    def _say(self) -> None:
        self._recording.say(Relied(self._key, heads_of(self._sam), frozenset(h.held_id for h in self._sam.storage.outbox())))

    def _write(self) -> None:
        text = "w" * self._chance.choice((5, 50, 3000))
        self._sam.write("appreciation", {"noticed": text}, private=self._chance.random() < 0.3)

    def _edit(self) -> None:
        shown = [entry for entry in self._sam.timeline(limit=5) if entry["by"]["me"]]
        if shown:
            self._sam.edit(self._chance.choice(shown)["id"], {"noticed": "edited" * self._chance.randint(1, 90)})

    def _hold(self) -> None:
        space = self._sam.reader.pair_space()
        deed = Deed(Do.WRITE, kind="appreciation", values={"noticed": "held"})
        held = self._sam.holding.put(deed, minutes=30, space=space)
        assert isinstance(held, Held)

    def _send(self) -> None:
        for record in self._sam.storage.outbox():
            self._sam.holding.send(record.held_id)

    def _hear_from_partner(self) -> None:
        for _ in range(self._chance.randint(0, 5)):
            self._robin.write("appreciation", {"noticed": "from Robin"})
        sync(self._robin, self._relay)
        self._sync()

    def _sync(self) -> None:
        sync(self._sam, self._relay)
        sync(self._robin, self._relay)

    def _rebuild(self) -> None:
        self._sam.rebuild()

    def _reopen(self) -> None:
        self._sam.storage.close()
        self._open()

    def _open(self) -> None:
        self._sam = Replica(SqliteStorage(self._path, self._key), clock=self._clock)

    def _turn_key(self) -> None:
        self._sam.storage.close()
        key = self._chance.randbytes(32)
        self._recording.say(Turning(key))
        rekey_database(self._path, self._key, key)
        self._key = key
        self._open()


def heads_of(replica: Replica) -> Heads:
    """How far each log goes."""
    return {(s.space_id, log): head for s in replica.spaces() for log, head in replica.storage.heads(s.space_id).items()}


class DeviceCheck:
    """Opens a home's database as the next command does after a power cut, and looks for what was relied on.

    Many cuts come out at the same rows in other pages. Every page is checked each time; what follows from the rows, once.
    """

    def __init__(self) -> None:
        """Nothing looked at yet."""
        self._looked = 0
        self._sound: set[bytes] = set()
        """Of all rows that were found sound."""

    def __call__(self, folder: Path, said: list[object]) -> None:
        """Raise AssertionError if something that was acknowledged is not there, or the database is not sound."""
        relied, keys = _relied(said)
        if relied is None:
            return
        storage = _opened(folder / DATABASE, keys)
        try:
            replica = Replica(storage, zone="UTC")
            _assert_reached(relied, replica)
            assert not storage.check()
            rows = _digest_of_rows(storage)
            if rows not in self._sound:
                findings = replica.doctor()
                assert all(finding.level != DAMAGE for finding in findings), findings
                self._sound.add(rows)
            self._looked += 1
            if self._looked % _DEEP == 0:
                _assert_goes_on(replica)
        finally:
            storage.close()


def _digest_of_rows(storage: SqliteStorage) -> bytes:
    """Of every row of every table."""
    digest = hashlib.blake2b()
    for (table,) in list(storage._db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")):
        for row in storage._db.execute(f'SELECT * FROM "{table}"'):
            digest.update(repr((table, row)).encode())
    return digest.digest()


def _relied(said: list[object]) -> tuple[Relied | None, list[bytes]]:
    keys: list[bytes] = []
    for what in reversed(said):
        if isinstance(what, Relied):
            return what, [what.key, *keys]
        assert isinstance(what, Turning)
        keys.append(what.key)
    return None, keys


def _opened(path: Path, keys: list[bytes]) -> SqliteStorage:
    for key in keys:
        try:
            return SqliteStorage(path, key)
        except Locked:
            continue
    raise AssertionError("no key opens the database any more")


def _assert_reached(relied: Relied, replica: Replica) -> None:
    now = heads_of(replica)
    for (space, log), head in relied.heads.items():
        there = now.get((space, log))
        assert there is not None, "a log is gone"
        assert there.seq >= head.seq, f"{head.seq - there.seq} log entries are gone"
        kept = replica.storage.envelope(space, log, head.seq)
        assert kept is not None, "a log entry is gone"
        assert kept.hash == head.hash, "a log has another past"
    for held in relied.held:
        there_still = replica.storage.held(held) is not None or replica.storage.entries_with_id(held)
        assert there_still, "what was held is gone"


def _assert_goes_on(replica: Replica) -> None:
    before = replica.digest()
    replica.rebuild()
    assert replica.digest() == before, "what is shown does not follow from the log"
    replica.write("appreciation", {"noticed": "afterwards"}, private=True)


# The relay


class Stored(NamedTuple):
    """What a relay has told somebody is stored."""

    space: SpaceId
    heads: Mapping[LogId, Head]


class Serving(NamedTuple):
    """Who a relay has said that it is."""

    identity: Identity


OPEN = Settings(registration="open", commit_wait_ms=0)


async def run_relay(recording: Recording, chance: random.Random, *, rounds: int, uploads: int) -> None:
    """Let a relay's storage and its committer serve a few devices; each round ends with a restart."""
    spaces = [SpaceBuilder.found("own", randomness=SeededRandomness(f"{chance.random()}")) for _ in range(3)]
    before = sqlite_checkpoints.CHECKPOINT_PAGES, sqlite_checkpoints.CHECKPOINT_PAGES_URGENT
    # So that checkpoints come often, beside the writer and by it.
    sqlite_checkpoints.CHECKPOINT_PAGES, sqlite_checkpoints.CHECKPOINT_PAGES_URGENT = 15, 40
    try:
        for number in range(rounds):
            storage = RelayStorage(Path(recording.folder))
            recording.say(Serving(storage.identity()))
            await _serve(storage, recording, chance, spaces, uploads, found=number == 0)
            storage.close()
    finally:
        sqlite_checkpoints.CHECKPOINT_PAGES, sqlite_checkpoints.CHECKPOINT_PAGES_URGENT = before


async def _serve(
    storage: RelayStorage, recording: Recording, chance: random.Random, spaces: list[SpaceBuilder], uploads: int, *, found: bool
) -> None:
    failures: list[BaseException] = []
    loop = asyncio.get_running_loop()
    committer = Committer(storage, OPEN, loop=loop, fail=failures.append)
    if found:
        for space in spaces:
            done: asyncio.Future[Any] = loop.create_future()
            committer.submit(Founding(space.id, space.envelopes[0].data, "", done.set_result))
            assert await done is None
            recording.say(Stored(space.id, {space.founder.log_id: _head(space)}))
    states = {space.id: load_state(storage, space.id) for space in spaces}
    waiting: list[asyncio.Future[Outcome]] = []
    for _ in range(uploads):
        space = chance.choice(spaces)
        state = states[space.id]
        assert state is not None
        batch = [space.write(space.founder).data for _ in range(chance.choice((1, 1, 2, 10)))]
        outcome: asyncio.Future[Outcome] = loop.create_future()

        def told(what: Outcome, space: SpaceBuilder = space, outcome: asyncio.Future[Outcome] = outcome) -> None:
            recording.say(Stored(space.id, dict(what.stored)))
            outcome.set_result(what)

        committer.submit(Upload(state, batch, sum(map(len, batch)), told))
        waiting.append(outcome)
        if chance.random() < 0.5:
            await asyncio.gather(*waiting)
            waiting.clear()
    await asyncio.gather(*waiting)
    assert await asyncio.to_thread(committer.stop, 10)
    assert not failures


def _head(space: SpaceBuilder) -> Head:
    return next(Head(*head) for head in space.heads() if head.log_id == space.founder.log_id)


class RelayCheck:
    """Opens a relay's database as its next start does, checks all of it, and looks for what was acknowledged."""

    def __init__(self) -> None:
        """Nothing looked at yet."""
        self._looked = 0

    def __call__(self, folder: Path, said: list[object]) -> None:
        """Raise AssertionError if something that was acknowledged is not there, or the database is not sound."""
        storage = RelayStorage(folder)
        try:
            storage.quick_check()
            check_spaces(storage)
            here = set(storage.spaces())
            for (space, log), head in _acknowledged(said).items():
                assert space in here, "a space is gone"
                there = storage.heads(space).get(log)
                assert there is not None, "a log is gone"
                assert there.seq >= head.seq, f"{head.seq - there.seq} log entries are gone"
            for what in said:
                if isinstance(what, Serving):
                    assert storage.identity() == what.identity, "it has become another relay"
                    break
            self._looked += 1
            if self._looked % _DEEP == 0:
                storage.renew_store_id()
        finally:
            storage.close()


def _acknowledged(said: list[object]) -> Heads:
    heads: dict[tuple[SpaceId, LogId], Head] = {}
    for what in said:
        if isinstance(what, Stored):
            heads.update({(what.space, log): head for log, head in what.heads.items()})
    return heads
