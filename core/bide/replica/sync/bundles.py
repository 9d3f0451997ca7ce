"""Bundle files: the frames of the sync protocol in a file, so that two devices exchange everything without any relay.

A file is written by a sync session that talks to a relay which has nothing, and read by one that talks to a relay which has
what is in the file: so what is compared, verified and refused is the same. Neither touches what is known of the real relay::

    bytes     magic "bide.bun", version 1
    records   u32be length ‖ msgpack:
              ["space", space 16, [[log, seq, hash], …]]     then its frames: envelopes …, caught_up
              ["end", BLAKE2b-256 of everything before]

Everything in it is sealed and signed. What stays visible is what a relay sees: how many spaces, devices and entries, how large.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from bide.crypto import signing
from bide.errors import BideError, InputError, NewerFormat, RemoteProtocolError, VerificationFailed
from bide.ids import LOG_ID_BYTES, SPACE_ID_BYTES, LogId, Randomness, SpaceId
from bide.log.head import Head
from bide.log.packing import pack, unpack
from bide.protocol.codec import decode_frame, encode_frame
from bide.protocol.frames import FRAME_BYTES_MAX, LOGS_MAX, VERSION, Auth, CaughtUp, Envelopes, Hello, LogHead, Stored, Want
from bide.protocol.session import RelaySession
from bide.replica.single_writer.outgoing import LEFT_PREFIX
from bide.replica.sync.syncing import SpaceSync
from bide.storage.base import SpaceRecord, Storage

MAGIC = b"bide.bun"
FORMAT = 1
SPACES_MAX = 256
HOST = "bundle"
"""What stands in a proof of identity in place of a relay's name. It never leaves the process."""
_LENGTH_BYTES = 4
_OF_A_RELAY = ("relay_store.", "relay_host.", "asked_bodies.")
"""What a session keeps of the relay that it talks to."""
_PERSON = b"bide.bundle"
_NO_BUNDLE = "That is not a bundle file of Bide."


class Taken(NamedTuple):
    """What came of one space of a bundle."""

    space: SpaceId
    session: SpaceSync | None
    """None: the space takes nothing here."""
    error: BideError | None


class BesideRelay:
    """A storage whose knowledge of the relay is not changed: what a file holds says nothing about a relay."""

    def __init__(self, storage: Storage, *, writes: bool = False) -> None:
        """Stand before a storage; `writes`: what is sent goes into a file, and so to somebody."""
        self._storage = storage
        self._writes = writes
        self.compared = False
        """Whether the heads in a file were looked at. Before, nothing of a relay is known, so that nothing seems lost. After
        that, what the relay has counts: it decides how a home that exists twice is mended."""

    def __getattr__(self, name: str) -> Any:
        """Everything else is the storage's."""
        return getattr(self._storage, name)

    def meta(self, key: str) -> str:
        """As the storage's, but of no relay."""
        return "" if key.startswith(_OF_A_RELAY) else self._storage.meta(key)

    def put_meta(self, key: str, value: str) -> None:
        """As the storage's, but of no relay."""
        if not key.startswith(_OF_A_RELAY) and (self._writes or not key.startswith(LEFT_PREFIX)):
            self._storage.put_meta(key, value)

    def relay_heads(self, space: SpaceId) -> dict[LogId, Head]:
        """As the storage's, once the file was compared."""
        return self._storage.relay_heads(space) if self.compared else {}

    def put_relay_head(self, space: SpaceId, head: Head) -> None:
        """Only what is here no more is noted."""
        known = self._storage.relay_heads(space).get(head.log_id)
        if self.compared and known is not None and head.seq < known.seq:
            self._storage.put_relay_head(space, head)

    def as_storage(self) -> Storage:
        """This, for who takes a storage."""
        beside: Any = self
        found: Storage = beside
        return found


def write_bundle(storage: Storage, spaces: Sequence[SpaceRecord], *, randomness: Randomness) -> Iterator[bytes]:
    """Write the log of these spaces, piece by piece."""
    digest = hashlib.blake2b(digest_size=32, person=_PERSON)

    def counted(piece: bytes) -> bytes:
        digest.update(piece)
        return piece

    yield counted(MAGIC + bytes([FORMAT]))
    for space in spaces[:SPACES_MAX]:
        for body in _bodies(storage, space, randomness):
            yield counted(_record(body))
    yield _record(pack(["end", digest.digest()]))


def read_bundle(
    read: Callable[[int], bytes], storage: Storage, session_for: Callable[[SpaceId, Storage], SpaceSync | None]
) -> Iterator[Taken | None]:
    """Take in a bundle, space by space.

    Args:
        read: gives up to so many bytes of the file, fewer only at its end.
        storage: the replica.
        session_for: makes a session of a space over the storage that it is given; None: the space is not for here.

    Returns:
        For each space what came of it; None for one that is not for here.

    Raises:
        InputError: it is no bundle.
        NewerFormat: it is one of a newer version.
        VerificationFailed: it ends too early, or was altered. What was yielded before was taken in.
    """
    records = _Records(read)
    record = records.next()
    count = 0
    while not records.ended:
        count += 1
        space, heads = _read_space(record)
        if count > SPACES_MAX:
            raise _BrokenError
        beside = BesideRelay(storage)
        frames = records.frames()
        session: SpaceSync | None = None
        refused: BideError | None = None
        try:
            session = session_for(space, beside.as_storage())
        except BideError as wrong:  # such as of what is paused: the others go on
            refused = wrong
        if session is None:
            yield Taken(space, None, refused) if refused is not None else None
        else:
            error: BideError | None = None
            try:
                _play(session, beside, space, heads, frames)
            except (_CutError, _BrokenError):
                raise
            except BideError as wrong:
                error = wrong
            yield Taken(space, session, error)
        for _ in frames:
            pass  # of a space that is not for here, or went wrong
        record = records.next()


class _CutError(VerificationFailed):
    """The bundle file ends too early; what came before that was taken in."""

    code = "bundle_cut"


class _BrokenError(VerificationFailed):
    """The bundle file is damaged."""

    code = "bundle_damaged"


class _Records:
    """The records of a file, one at a time, never more in memory than one."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._digest = hashlib.blake2b(digest_size=32, person=_PERSON)
        self.ended = False
        head = read(len(MAGIC) + 1)
        if head[: len(MAGIC)] != MAGIC or len(head) <= len(MAGIC):
            raise InputError(_NO_BUNDLE, hint="bide bundle export makes one.")
        if head[-1] != FORMAT:
            raise NewerFormat("The bundle file is of a newer version of Bide.", hint="Upgrade Bide.")
        self._digest.update(head)

    def next(self) -> bytes:
        """The next record; empty at the end, which is checked."""
        size = self._exactly(_LENGTH_BYTES)
        count = int.from_bytes(size, "big")
        if count > FRAME_BYTES_MAX:
            raise _BrokenError
        body = self._exactly(count)
        if body[1:5] == b"\xa3end":
            self._end(body)
            return b""
        self._digest.update(size + body)
        return body

    def frames(self) -> Iterator[bytes]:
        """The frames of a space, up to its ``caught_up``, which is the last."""
        while True:
            body = self.next()
            if self.ended:
                raise _BrokenError
            yield body
            if body == _CAUGHT_UP:
                return

    def _end(self, body: bytes) -> None:
        try:
            value = unpack(body, bytes_max=FRAME_BYTES_MAX)
        except BideError:
            raise _BrokenError from None
        if value != ["end", self._digest.digest()] or self._read(1):
            raise _BrokenError
        self.ended = True

    def _exactly(self, count: int) -> bytes:
        data = self._read(count)
        if len(data) != count:
            raise _CutError
        return data


_CAUGHT_UP = encode_frame(CaughtUp())


def _record(body: bytes) -> bytes:
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


def _read_space(record: bytes) -> tuple[SpaceId, list[tuple[bytes, int, bytes]]]:
    try:
        value = unpack(record, bytes_max=FRAME_BYTES_MAX)
    except BideError:
        raise _BrokenError from None
    if not isinstance(value, list) or len(value) != 3 or value[0] != "space" or not isinstance(value[2], list):
        raise _BrokenError
    _, space, heads = value
    if not isinstance(space, bytes) or len(space) != SPACE_ID_BYTES or len(heads) > LOGS_MAX:
        raise _BrokenError
    if not all(isinstance(head, list) and len(head) == 3 and _is_head(*head) for head in heads):
        raise _BrokenError
    return SpaceId(space), [(log, seq, digest) for log, seq, digest in heads]


def _is_head(log: object, seq: object, digest: object) -> bool:
    return (
        isinstance(log, bytes)
        and len(log) == LOG_ID_BYTES
        and type(seq) is int
        and 0 < seq <= 2**62
        and isinstance(digest, bytes)
        and len(digest) == 32
    )


def _greeting(randomness: Randomness) -> RelaySession:
    """The relay's end, played by a file, with a key for this once."""
    seed = randomness.token(signing.SEED_BYTES)
    hello = Hello([VERSION], signing.public_key(seed), randomness.token(32), randomness.token(16), {})
    return RelaySession(hello, signing_seed=seed, host=HOST)


def _bodies(storage: Storage, space: SpaceRecord, randomness: Randomness) -> Iterator[bytes]:
    """What the file has of a space, and what a session sends to a relay that has nothing."""
    session = SpaceSync(BesideRelay(storage, writes=True).as_storage(), space, host=HOST, live=False, randomness=randomness)
    relay = _greeting(randomness)
    while True:
        for message in relay.data_to_send():
            session.receive_data(message)
        sent = session.data_to_send()
        if not sent:
            break
        for message in sent:
            match relay.receive_data(message):
                case Auth():
                    relay.welcome([], provisional=False)
                case Want():
                    # Not more than is passed on: who misses what was announced takes it for withheld.
                    ends = sorted(session.passed_on().items())[:LOGS_MAX]
                    announced = [list(_head_at(storage, space, log, seq)) for log, seq in ends if seq]
                    yield pack(["space", space.space_id, announced])
                case Envelopes(envelopes):
                    yield message
                    last = {LogId(data[8:24]): data for data in envelopes}
                    heads = [_head_in(storage, space, data) for data in last.values()]
                    relay.send(Stored(heads))
    yield _CAUGHT_UP


def _head_in(storage: Storage, space: SpaceRecord, data: bytes) -> LogHead:
    return _head_at(storage, space, LogId(data[8:24]), int.from_bytes(data[24:32], "big"))


def _head_at(storage: Storage, space: SpaceRecord, log: LogId, seq: int) -> LogHead:
    there = storage.envelope(space.space_id, log, seq)
    assert there is not None  # it is sent from there
    return LogHead(log, seq, there.hash)


def _play(
    session: SpaceSync,
    beside: BesideRelay,
    space: SpaceId,
    heads: list[tuple[bytes, int, bytes]],
    frames: Iterator[bytes],
) -> None:
    """Let a session talk to a relay that has what the file holds. What it wants to send is not for the file."""
    from bide.ids import SystemRandomness

    relay = _greeting(SystemRandomness())
    wanted = False
    while not wanted:
        for message in relay.data_to_send():
            session.receive_data(message)
        sent = session.data_to_send()
        if not sent or session.closed:
            return
        for message in sent:
            match relay.receive_data(message):
                case Auth() as auth:
                    if auth.space != space:
                        raise RemoteProtocolError
                    relay.welcome(heads, provisional=False)
                case Want():
                    wanted = beside.compared = True
    for frame in frames:
        if not isinstance(decode_frame(frame), Envelopes | CaughtUp):
            raise _BrokenError
        session.receive_data(frame)
        session.data_to_send()
        if session.closed:
            return
