"""A generated history: ten years of two people, written and exchanged through the real library.

What they write is the same for the same seed; keys are not, since homes are founded as ``bide init`` founds them. Both write
offline for about a week, then exchange, as often as it takes: so frontiers, repairs that crossed, edits and hearings come
about as they would. The result is two ordinary homes, opened by key file.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from pathlib import Path
from random import Random
from typing import NamedTuple

from benchmarks.measuring import CACHE
from benchmarks.telling import Teller
from bide.crypto.keys import new_device_keys
from bide.ids import DeviceId, SpaceId, log_id
from bide.log.envelope import parse_envelope
from bide.replica import Replica
from bide.replica.authoring.founding import admission, device_record, found_space
from bide.replica.derivation.deriving import stored
from bide.replica.derivation.rebuilding import rebuild_members
from bide.replica.sync.receiving import Receiver
from bide.storage.base import SpaceRecord
from bide.storage.opening import FORMAT, schema_text
from bide.storage.sqlite import SqliteStorage
from bide.testing import FakeClock, SeededRandomness
from bide_cli.building.founding import found_home
from bide_cli.home.folder import DATABASE, KEY_FILE
from bide_cli.unlocking.keeping import Locking

YEARS = 10
ENTRIES = 30_000
FEW = 300
DAY_MS = 86_400_000
END_MS = 1_795_305_600_000
"""2026-11-22: the last entries are of today, as in a home that is used."""
_RECIPE = 2
"""To be raised when the same seed gives another history: what was made before is made anew."""
_ROUND_ENTRIES = 58
"""Entries of both between two exchanges: a week's worth at 30,000 in ten years."""
_TRANSFER_BYTES = 1024 * 1024
_TRANSFER_COUNT = 500


class History(NamedTuple):
    """Two homes with the same whole history."""

    folder: Path
    seconds: float
    """How long it took to make; 0 if it was there."""

    @property
    def sam(self) -> Path:
        """The home of who founded the pair."""
        return self.folder / "sam"

    @property
    def robin(self) -> Path:
        """The home of who joined."""
        return self.folder / "robin"


def key_file(home: Path) -> Path:
    """Where the key of a generated home is."""
    return home.with_name(f"{home.name}.key")


def open_home(home: Path, *, clock: FakeClock | None = None, seed: str = "", zone: str = "UTC") -> Replica:
    """The replica of a generated home."""
    storage = SqliteStorage(home / DATABASE, key_file(home).read_bytes())
    return Replica(storage, zone=zone, clock=clock, randomness=SeededRandomness(seed) if seed else None)


def pair_space(replica: Replica) -> SpaceRecord:
    """The one space that is shared."""
    return next(space for space in replica.spaces() if space.kind == "pair")


def cached(entries: int, *, seed: int = 1) -> History:
    """The history with so many entries, made if it isn't there yet. Never write to it: `copy_home` first."""
    schema = hashlib.sha256(schema_text(FORMAT).encode()).hexdigest()[:8]
    folder = CACHE / f"history-{entries}-{seed}-{_RECIPE}-{schema}"
    finished = folder / "finished"
    if finished.exists():
        return History(folder, 0.0)
    for old in CACHE.glob(f"history-{entries}-{seed}-*"):
        shutil.rmtree(old)
    made = make(folder, entries, seed=seed)
    finished.touch()
    return made


def copy_home(home: Path, target: Path) -> Path:
    """A copy of a home with its key file, to write to."""
    shutil.copytree(home, target)
    shutil.copy2(key_file(home), key_file(target))
    return target


def make(folder: Path, entries: int, *, seed: int = 1) -> History:
    """Write a history into `folder`, which must not hold one."""
    began_s = time.perf_counter()
    clock = FakeClock(END_MS - YEARS * 365 * DAY_MS, tick_ms=1)
    replicas = []
    for name, zone in (("Sam", "Europe/Berlin"), ("Robin", "Asia/Bangkok")):
        home = folder / name.lower()
        found_home(home, name=name, locking=Locking(KEY_FILE, key_file(home)))
        replicas.append(open_home(home, clock=clock, seed=f"{name} {seed}", zone=zone))
    sam, robin = replicas
    _pair(sam, robin)
    exchange = _Exchange(sam, robin)
    rounds = max(20, entries // _ROUND_ENTRIES)
    teller = Teller(sam, robin, Random(seed), entries=entries, rounds=rounds)
    step_ms = YEARS * 365 * DAY_MS // rounds
    for number in range(rounds):
        teller.tell(number, clock, begins_ms=END_MS - (rounds - number) * step_ms, step_ms=step_ms)
        exchange.both_ways()
        if sys.stderr.isatty():
            sys.stderr.write(f"\rwriting ten years: {100 * (number + 1) // rounds} %")
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    digests = [replica.digest()[1]["digest"] for replica in replicas]
    if digests[0] != digests[1]:
        raise RuntimeError("The two homes differ: this is a bug in Bide.")
    for replica in replicas:
        replica.storage.close()
    return History(folder, time.perf_counter() - began_s)


def _pair(sam: Replica, robin: Replica) -> None:
    """What pairing by code comes to, without the code."""
    founded = found_space("pair", relay_url="", randomness=sam.randomness)
    space = founded.space
    keys = new_device_keys(robin.randomness)
    with sam.storage.transaction():
        sam.storage.put_space(space)
        sam.storage.put_epoch(space.space_id, space.epoch_id, founded.epoch_secret)
        sam.storage.append(space.space_id, stored(founded.genesis))
        body = admission(
            device_record(keys, space=space.space_id, slot=1),
            parents=[founded.genesis.hash],
            epochs={space.epoch_id: founded.epoch_secret},
            prev_hash=founded.genesis.hash,
        )
        joined = sam.writer.appender.control(body, space=space)
        rebuild_members(sam.storage, space.space_id)
        sam.writer.name_person("Sam", space=space)
    log = log_id(space.space_id, DeviceId(keys.device_id))
    pending = SpaceRecord(space.space_id, "pair", 1, log, keys.signing_seed, keys.sealing_secret, b"", "", pending=True)
    keep_pending(robin, pending, founded.genesis.data)
    Receiver(robin.storage, pending).receive([joined.data])
    with robin.storage.transaction():
        robin.writer.name_person("Robin", space=pair_space(robin))


def keep_pending(replica: Replica, pending: SpaceRecord, genesis: bytes) -> None:
    """Note a space of which nothing but its beginning is here."""
    with replica.storage.transaction():
        replica.storage.put_space(pending)
        replica.storage.append(pending.space_id, stored(parse_envelope(genesis)))
        rebuild_members(replica.storage, pending.space_id)


class _Exchange:
    """Two replicas that hand each other what the other lacks."""

    def __init__(self, sam: Replica, robin: Replica) -> None:
        self._sides = [(replica, Receiver(replica.storage, pair_space(replica))) for replica in (sam, robin)]
        self._space: SpaceId = pair_space(sam).space_id

    def both_ways(self) -> None:
        """Bring both up to date, each in one transaction."""
        (one, to_one), (two, to_two) = self._sides
        self._hand(one, two, to_two)
        self._hand(two, one, to_one)

    def _hand(self, source: Replica, target: Replica, receiver: Receiver) -> None:
        with target.storage.transaction():
            for log, head in source.storage.heads(self._space).items():
                at = target.storage.heads(self._space).get(log)
                seq = at.seq if at else 0
                while seq < head.seq:
                    batch = source.storage.envelopes_after(
                        self._space, log, seq, bytes_max=_TRANSFER_BYTES, count_max=_TRANSFER_COUNT
                    )
                    receiver.receive([envelope.data for envelope in batch])
                    seq = batch[-1].seq
