"""A relay that is not honest: real frames between a real client and a real relay, and a lie in between.

A lie sees every frame of one connection, either way, and says what goes on to whom. It can do all that a relay can: it holds
every envelope that was ever sent to it (`Archive`), and no key of anybody. The same lies are told in memory (`talk`) and on a
websocket in front of a ``bide-relay`` process (`DishonestRelay`).
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Self

from websockets.asyncio.client import connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from bide.crypto.keys import DeviceKeys, new_device_keys
from bide.errors import BideError
from bide.ids import LogId, SpaceId, SystemRandomness, log_id
from bide.log.control import (
    DeviceAdded,
    DeviceRevoked,
    Grant,
    PersonJoined,
    SpaceCreated,
    Statement,
    read_control,
    write_control,
)
from bide.log.envelope import (
    HEADER_BYTES,
    SIGNED_BYTES,
    ZERO_HASH,
    Envelope,
    EnvelopeClass,
    authenticated_prefix,
    body_hash,
    entry_hash,
    parse_envelope,
    write_envelope,
)
from bide.protocol.codec import decode_frame, encode_frame
from bide.protocol.frames import Auth, CaughtUp, Envelopes, Frame, LogHead, Register, Stored, Welcome
from bide.replica import Replica
from bide.replica.authoring.founding import device_record
from bide.replica.sync.syncing import SpaceSync
from bide.testing_replicas import MemoryRelay, pair_space


class Way(Enum):
    """Where a frame goes on to."""

    UP = "relay"
    DOWN = "client"


Going = tuple[Way, Frame]
UP, DOWN = Way.UP, Way.DOWN
_FRAMES_MAX = 2000
_PORT_HOST = "127.0.0.1"


class Archive:
    """Every envelope that went through, as whoever runs a relay has it."""

    def __init__(self) -> None:
        self.datas: dict[tuple[bytes, int], bytes] = {}

    def keep(self, frame: Frame) -> None:
        """Look at what a client sends."""
        datas = frame.envelopes if isinstance(frame, Envelopes) else [frame.genesis] if isinstance(frame, Register) else []
        for data in datas:
            log, seq = place_of(data)
            self.datas.setdefault((log, seq), data)

    def head(self, log: bytes, seq: int) -> LogHead:
        return LogHead(log, seq, entry_hash(self.datas[log, seq][:SIGNED_BYTES]))

    def log(self, log: bytes, *, after: int = 0) -> list[bytes]:
        return [self.datas[place] for place in sorted(self.datas) if place[0] == log and place[1] > after]

    def heads(self) -> dict[bytes, int]:
        """How far each log goes."""
        furthest: dict[bytes, int] = {}
        for log, seq in self.datas:
            furthest[log] = max(seq, furthest.get(log, 0))
        return furthest


def place_of(data: bytes) -> tuple[bytes, int]:
    return data[8:24], int.from_bytes(data[24:32], "big")


class Lie:
    """What a relay does with one connection; this one is honest."""

    archive: Archive

    def begin(self, archive: Archive) -> None:
        self.archive = archive

    def from_relay(self, frame: Frame) -> Iterable[Going]:
        yield DOWN, frame

    def from_client(self, frame: Frame) -> Iterable[Going]:
        yield UP, frame


@dataclass
class Withholds(Lie):
    """Sends no more of these logs than so many entries, and says that this is all; or announces them and sends none."""

    upto: Mapping[bytes, int]
    announces: bool = False

    def from_relay(self, frame: Frame) -> Iterable[Going]:
        if isinstance(frame, Welcome) and not self.announces:
            held = [self._held(head) for head in frame.heads]
            frame = frame._replace(heads=[head for head in held if head.seq])
        elif isinstance(frame, Envelopes):
            left = [data for data in frame.envelopes if place_of(data)[1] <= self.upto.get(place_of(data)[0], 2**62)]
            if not left:
                return
            frame = Envelopes(left)
        yield DOWN, frame

    def _held(self, head: LogHead) -> LogHead:
        upto = min(head.seq, self.upto.get(head.log_id, head.seq))
        return self.archive.head(head.log_id, upto) if upto else LogHead(head.log_id, 0, bytes(32))


class CatchesUpEarly(Withholds):
    """Says that everything was sent, and sends nothing."""

    def __init__(self) -> None:
        super().__init__({}, announces=True)

    def from_relay(self, frame: Frame) -> Iterable[Going]:
        if not isinstance(frame, Envelopes):
            yield DOWN, frame


class Repeats(Lie):
    """Sends everything twice, and at the end once more all that it ever had."""

    def from_relay(self, frame: Frame) -> Iterable[Going]:
        yield DOWN, frame
        if isinstance(frame, Envelopes):
            yield DOWN, frame
        if isinstance(frame, CaughtUp):
            for log in sorted(self.archive.heads()):
                for data in self.archive.log(log):
                    yield DOWN, Envelopes([data])


@dataclass
class RepeatsConnection(Lie):
    """Welcomes with what it said on an earlier connection, proof and all."""

    recorded: Sequence[Frame]

    def from_relay(self, frame: Frame) -> Iterable[Going]:
        yield DOWN, next(old for old in self.recorded if isinstance(old, Welcome)) if isinstance(frame, Welcome) else frame


@dataclass
class Records(Lie):
    """Honest, and keeps what it said."""

    frames: list[Frame] = field(default_factory=list)

    def from_relay(self, frame: Frame) -> Iterable[Going]:
        self.frames.append(frame)
        yield DOWN, frame


@dataclass
class Shuffles(Lie):
    """Sends one by one, in another order: of the logs among each other, or within them too."""

    seed: int
    within: bool

    def begin(self, archive: Archive) -> None:
        super().begin(archive)
        self._held: list[bytes] = []

    def from_relay(self, frame: Frame) -> Iterable[Going]:
        if isinstance(frame, Envelopes):
            self._held += frame.envelopes
            return
        if isinstance(frame, CaughtUp):
            for data in self._shuffled():
                yield DOWN, Envelopes([data])
            self._held = []
        yield DOWN, frame

    def _shuffled(self) -> list[bytes]:
        chance = random.Random(self.seed)
        if self.within:
            return chance.sample(self._held, len(self._held))
        # What admits goes first, as an honest relay sends it: else nobody could judge what comes after.
        controls = [data for data in self._held if data[4] == EnvelopeClass.CONTROL]
        order = [place_of(data)[0] for data in self._held if data[4] != EnvelopeClass.CONTROL]
        chance.shuffle(order)
        left = {
            log: deque(d for d in self._held if d[4] != EnvelopeClass.CONTROL and place_of(d)[0] == log) for log in set(order)
        }
        return controls + [left[log].popleft() for log in order]


ALTERATIONS = ("body", "body and hash", "swapped", "truncated", "truncated and its length", "emptied", "place", "epoch")


@dataclass
class Alters(Lie):
    """Changes the last data envelope of each batch."""

    how: str

    def from_relay(self, frame: Frame) -> Iterable[Going]:
        if isinstance(frame, Envelopes):
            at = [number for number, data in enumerate(frame.envelopes) if data[4] == EnvelopeClass.DATA]
            if at:
                datas = list(frame.envelopes)
                datas[at[-1]] = self.altered(datas[at[-1]])
                frame = Envelopes(datas)
        yield DOWN, frame

    def altered(self, data: bytes) -> bytes:
        head, body = bytearray(data[:HEADER_BYTES]), bytearray(data[HEADER_BYTES:])
        if self.how.startswith("body"):
            body[len(body) // 2] ^= 1
        elif self.how == "swapped":
            other = next(d for d in self.archive.datas.values() if d[4] == EnvelopeClass.DATA and d != data)
            body = bytearray(other[HEADER_BYTES:])
            head[104:108] = len(body).to_bytes(4, "big")
        elif self.how.startswith("truncated"):
            body = body[:-16]
        elif self.how == "emptied":
            body = bytearray()
        elif self.how == "place":
            head[31] ^= 2
        elif self.how == "epoch":
            head[70] ^= 1
        if self.how in ("truncated and its length", "emptied"):
            head[104:108] = len(body).to_bytes(4, "big")
        if self.how in ("body and hash", "truncated and its length", "swapped", "emptied"):
            head[108:140] = body_hash(bytes(body))
        return bytes(head) + bytes(body)


FORGERIES = ("space.created", "person.joined", "device.added", "device.revoked", "in their name", "into their log")


@dataclass
class Forges(Lie):
    """Sends a change of membership that it made itself, at the end, after all that is genuine."""

    what: str
    space: SpaceId
    victim: bytes
    """The log of the person in whose name it speaks."""
    keys: DeviceKeys = field(default_factory=lambda: new_device_keys(SystemRandomness()))

    def from_relay(self, frame: Frame) -> Iterable[Going]:
        if isinstance(frame, CaughtUp):
            yield DOWN, Envelopes([self.forged().data])
        yield DOWN, frame

    def forged(self) -> Envelope:
        end = self.archive.heads()[self.victim]
        parents = [self._last_control()]
        record = device_record(self.keys, space=self.space, slot=1)
        log, seq, before = log_id(self.space, self.keys.device_id), 1, ZERO_HASH
        statement: Statement = DeviceAdded("device.added", 1, parents, record, [])
        if self.what == "space.created":
            grant = self._grant_of_the_genesis()
            statement = SpaceCreated("space.created", 1, [], "pair", os.urandom(16), record, [grant])
        elif self.what == "person.joined":
            statement = PersonJoined("person.joined", 1, parents, record, [self._grant_of_the_genesis()])
        elif self.what == "device.revoked":
            statement = DeviceRevoked("device.revoked", 1, parents, self.keys.device_id, 0, bytes(32), [])
        elif self.what == "in their name":
            # A genuine statement of theirs, said once more by a device of the relay.
            statement = DeviceAdded("device.added", 1, parents, record._replace(proof=os.urandom(64)), [])
        if self.what in ("in their name", "into their log", "device.revoked"):
            log, seq, before = LogId(self.victim), end + 1, self.archive.head(self.victim, end).hash
        prefix = authenticated_prefix(
            klass=EnvelopeClass.CONTROL, log_id=log, seq=seq, prev_hash=before, epoch_id=bytes(16), nonce=bytes(24)
        )
        return write_envelope(prefix, write_control(statement), space=self.space, signing_seed=self.keys.signing_seed)

    def _last_control(self) -> bytes:
        """What the founder last said of who belongs: it knows of the person in whose name this is."""
        controls = [place for place, data in self.archive.datas.items() if data[4] == EnvelopeClass.CONTROL]
        founder = next(log for log, seq in controls if seq == 1)
        return self.archive.head(founder, max(seq for log, seq in controls if log == founder)).hash

    def _grant_of_the_genesis(self) -> Grant:
        genesis = next(data for (_, seq), data in self.archive.datas.items() if seq == 1 and data[4] == EnvelopeClass.CONTROL)
        statement = read_control(parse_envelope(genesis).body)
        assert isinstance(statement, SpaceCreated)
        return statement.grants[0]


class FalselyStores(Lie):
    """Confirms everything, and keeps nothing."""

    def from_client(self, frame: Frame) -> Iterable[Going]:
        if not isinstance(frame, Envelopes):
            yield UP, frame
            return
        last = {place_of(data)[0]: data for data in frame.envelopes}
        yield DOWN, Stored([LogHead(*place_of(data), entry_hash(data[:SIGNED_BYTES])) for data in last.values()])


@dataclass
class StoresUnsent(Lie):
    """Confirms something that was not sent."""

    head: LogHead

    def from_relay(self, frame: Frame) -> Iterable[Going]:
        yield DOWN, frame
        if isinstance(frame, Welcome):
            yield DOWN, Stored([self.head])


@dataclass
class Claims(Lie):
    """Says in its welcome that it has something else, or more, than it has."""

    heads: Sequence[LogHead]

    def from_relay(self, frame: Frame) -> Iterable[Going]:
        if isinstance(frame, Welcome):
            said = {head.log_id: head for head in (*frame.heads, *self.heads)}
            frame = frame._replace(heads=list(said.values()))
        yield DOWN, frame


class Disowns(Lie):
    """Says to a member that it isn't one yet, takes what it brings, and gives nothing."""

    def from_relay(self, frame: Frame) -> Iterable[Going]:
        if isinstance(frame, Welcome):
            frame = frame._replace(heads=[], provisional=True)
        if not isinstance(frame, Envelopes):
            yield DOWN, frame


@dataclass
class Injects(Lie):
    """Hands on, at the end, what this connection's relay doesn't have: from another store of the same relay."""

    datas: Sequence[bytes]

    def from_relay(self, frame: Frame) -> Iterable[Going]:
        if isinstance(frame, CaughtUp):
            yield DOWN, Envelopes(list(self.datas))
        yield DOWN, frame


@dataclass
class OnlyIn(Lie):
    """Lies about one space, and is honest about all others."""

    space: SpaceId
    lie: Lie
    _on: bool = False

    def begin(self, archive: Archive) -> None:
        super().begin(archive)
        self.lie.begin(archive)

    def from_relay(self, frame: Frame) -> Iterable[Going]:
        return self.lie.from_relay(frame) if self._on else super().from_relay(frame)

    def from_client(self, frame: Frame) -> Iterable[Going]:
        if isinstance(frame, Auth):
            self._on = frame.space == self.space
        return self.lie.from_client(frame) if self._on else super().from_client(frame)


# In memory


def talk(
    replica: Replica, relay: MemoryRelay, archive: Archive, lie: Lie | None = None, *, space: SpaceId | None = None
) -> tuple[SpaceSync, BideError | None]:
    """Sync through a relay in memory, with a lie in between, until nothing is left to say.

    Returns:
        The session, and the error by which it ended if it did.
    """
    lie = lie or Lie()
    lie.begin(archive)
    session = replica.sync_session(space or pair_space(replica).space_id, host=relay.host)
    connection = relay.connect()
    to_client: deque[bytes] = deque()

    def send(going: Iterable[Going]) -> None:
        for way, frame in going:
            if way is DOWN:
                to_client.append(encode_frame(frame))
            elif not connection.session.closed:
                archive.keep(frame)
                connection.receive_data(encode_frame(frame))

    for _ in range(_FRAMES_MAX):
        for message in connection.data_to_send():
            send(lie.from_relay(decode_frame(message)))
        try:
            if to_client and not session.closed:
                session.receive_data(to_client.popleft())
        except BideError as error:
            return session, error
        sent = session.data_to_send()
        for message in sent:
            send(lie.from_client(decode_frame(message)))
        if not sent and (not to_client or session.closed):
            break
    return session, None


# On a websocket


class DishonestRelay:
    """A websocket server in a thread of its own, in front of a ``bide-relay``.

    ``relay.lie`` says which lie the next connections are told: commands are run one after the other, so each person can be
    told something else. ``relay.upstream`` says which store is behind it.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.lie: Callable[[], Lie] = Lie
        self.archive = Archive()
        self.url = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._stop: asyncio.Event

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        async with serve(self._handle, _PORT_HOST, 0, compression=None, max_size=None) as server:
            self.url = f"ws://{_PORT_HOST}:{port_of(server)}"
            self._ready.set()
            await self._stop.wait()

    async def _handle(self, client: ServerConnection) -> None:
        lie = self.lie()
        lie.begin(self.archive)
        # The relay takes the name from the proof of the one who dials: here that is this server's own.
        async with connect(self.upstream, compression=None, max_size=None) as relay:

            async def send(going: Iterable[Going]) -> None:
                for way, frame in going:
                    if way is UP:
                        self.archive.keep(frame)
                    await (relay if way is UP else client).send(encode_frame(frame))

            async def down() -> None:
                async for message in relay:
                    assert isinstance(message, bytes)
                    await send(lie.from_relay(decode_frame(message)))

            async def up() -> None:
                async for message in client:
                    assert isinstance(message, bytes)
                    await send(lie.from_client(decode_frame(message)))

            ends = [asyncio.create_task(down()), asyncio.create_task(up())]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
            for outcome in await asyncio.gather(*ends, return_exceptions=True):
                if isinstance(outcome, Exception) and not isinstance(outcome, ConnectionClosed):
                    raise outcome


def port_of(server: Server) -> int:
    return int(next(iter(server.sockets)).getsockname()[1])
