"""Control payloads: the clear, signed statements that make a space's membership.

A payload is the msgpack array ``[type, version, parents, …]``. `parents` are the hashes of the control entries that the
author had seen last, so that all control entries of a space form a DAG. Kinds that this version does not know parse as
`UnknownControl`: they are kept and passed on, and change nothing here.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError

from bide.errors import MembershipRejected
from bide.log.envelope import SEQ_MAX
from bide.log.packing import MalformedPacking, pack, unpack

CONTROL_BYTES_MAX = 64 * 1024
"""Of one payload: room for 256 grants, and little to hoard. All control entries of a space are read on every fold."""

Bytes16 = Annotated[bytes, Field(min_length=16, max_length=16, strict=True)]
Bytes32 = Annotated[bytes, Field(min_length=32, max_length=32, strict=True)]
Bytes64 = Annotated[bytes, Field(min_length=64, max_length=64, strict=True)]
Box = Annotated[bytes, Field(min_length=48, max_length=512, strict=True)]
Parents = Annotated[list[Bytes32], Field(max_length=64)]
SPANS_MAX = 256
"""Of one statement that bodies are erased."""


def _day(text: str) -> str:
    if date.fromisoformat(text).isoformat() != text:
        raise ValueError
    return text


Day = Annotated[str, Field(min_length=10, max_length=10, strict=True), AfterValidator(_day)]


class DeviceRecord(NamedTuple):
    """A device's public keys in one space, with its own signature over them."""

    signing_key: Bytes32
    sealing_key: Bytes32
    proof: Bytes64
    """Ed25519 over "bide.dev\\0" ‖ space ‖ slot ‖ both keys: the device holds what it claims."""


class Grant(NamedTuple):
    """An epoch secret, sealed to one device."""

    epoch_id: Bytes16
    recipient: Bytes32
    box: Box


class SpaceCreated(NamedTuple):
    """The first entry of a space, in its founder's log."""

    type: Literal["space.created"]
    version: Literal[1]
    parents: Annotated[list[Bytes32], Field(max_length=0)]
    kind: Literal["own", "pair"]
    salt: Bytes16
    device: DeviceRecord
    grants: Annotated[list[Grant], Field(min_length=1, max_length=8)]
    """Few, so that registering a space fits into what a relay accepts from a stranger."""


class PersonJoined(NamedTuple):
    """The second person of a pair, admitted by the founding device in its second entry."""

    type: Literal["person.joined"]
    version: Literal[1]
    parents: Parents
    device: DeviceRecord
    grants: Annotated[list[Grant], Field(min_length=1, max_length=256)]


class DeviceAdded(NamedTuple):
    """Another device of the author's person."""

    type: Literal["device.added"]
    version: Literal[1]
    parents: Parents
    device: DeviceRecord
    grants: Annotated[list[Grant], Field(max_length=256)]


class RecoveryAdded(NamedTuple):
    """A device on paper of the author's person: a recovery phrase.

    The proof in its record is over "bide.rec", a zero byte, slot and both keys. It names no space: so devices that don't know
    the words can enrol keys that were made with them into spaces that came later.
    """

    type: Literal["recovery.added"]
    version: Literal[1]
    parents: Parents
    device: DeviceRecord
    grants: Annotated[list[Grant], Field(max_length=256)]


class DeviceRevoked(NamedTuple):
    """A device of the author's person that belongs no more, and how far its log counts."""

    type: Literal["device.revoked"]
    version: Literal[1]
    parents: Parents
    device: Bytes32
    """Its signing key."""
    cut_seq: Annotated[int, Field(ge=0, le=SEQ_MAX, strict=True)]
    """The last entry of its log that counts; 0: none."""
    cut_hash: Bytes32
    """The hash of that entry; zeros for none."""
    grants: Annotated[list[Grant], Field(max_length=256)]
    """A fresh epoch for every device that remains."""


class EpochMinted(NamedTuple):
    """Epoch secrets for devices that lack them: a fresh one for all, or earlier ones handed on."""

    type: Literal["epoch.minted"]
    version: Literal[1]
    parents: Parents
    grants: Annotated[list[Grant], Field(min_length=1, max_length=256)]


class SpaceEnded(NamedTuple):
    """Nothing more is written in this space. Any device of either person says so, and nobody has to agree."""

    type: Literal["space.ended"]
    version: Literal[1]
    parents: Parents
    day: Day
    """The author's local day. It says no more than the relay sees."""


class Span(NamedTuple):
    """A stretch of one log, both ends included."""

    log_id: Bytes16
    first: Annotated[int, Field(ge=1, le=SEQ_MAX, strict=True)]
    last: Annotated[int, Field(ge=1, le=SEQ_MAX, strict=True)]


class BodiesErased(NamedTuple):
    """The bodies of these events are to be dropped wherever they are. Headers and control entries stay."""

    type: Literal["bodies.erased"]
    version: Literal[1]
    parents: Parents
    spans: Annotated[list[Span], Field(min_length=1, max_length=SPANS_MAX)]


class UnknownControl(NamedTuple):
    """A statement from a newer version: kept, not understood."""

    type: str
    version: int
    parents: list[bytes]


Granting = SpaceCreated | PersonJoined | DeviceAdded | RecoveryAdded | DeviceRevoked | EpochMinted
"""What can hand on epoch secrets."""
Statement = Granting | SpaceEnded | BodiesErased
"""What this version can say."""
Control = Statement | UnknownControl

_KNOWN: dict[
    tuple[str, int],
    TypeAdapter[SpaceCreated]
    | TypeAdapter[PersonJoined]
    | TypeAdapter[DeviceAdded]
    | TypeAdapter[RecoveryAdded]
    | TypeAdapter[DeviceRevoked]
    | TypeAdapter[EpochMinted]
    | TypeAdapter[SpaceEnded]
    | TypeAdapter[BodiesErased],
] = {
    ("space.created", 1): TypeAdapter(SpaceCreated),
    ("person.joined", 1): TypeAdapter(PersonJoined),
    ("device.added", 1): TypeAdapter(DeviceAdded),
    ("recovery.added", 1): TypeAdapter(RecoveryAdded),
    ("device.revoked", 1): TypeAdapter(DeviceRevoked),
    ("epoch.minted", 1): TypeAdapter(EpochMinted),
    ("space.ended", 1): TypeAdapter(SpaceEnded),
    ("bodies.erased", 1): TypeAdapter(BodiesErased),
}
_PARENTS: TypeAdapter[list[bytes]] = TypeAdapter(Parents)


def write_control(statement: Statement) -> bytes:
    """The body of a control envelope."""
    return pack([list(item) if isinstance(item, tuple) else _plain(item) for item in statement])


def _plain(item: object) -> object:
    if isinstance(item, list):
        return [list(value) if isinstance(value, tuple) else value for value in item]
    return item


def read_control(body: bytes) -> Control:
    """The statement that a control body makes.

    Raises:
        MembershipRejected: it makes none that could ever be valid.
    """
    try:
        value = unpack(body, bytes_max=CONTROL_BYTES_MAX)
    except MalformedPacking as error:
        raise MembershipRejected from error
    if not isinstance(value, list) or len(value) < 3:
        raise MembershipRejected
    name, version, parents = value[:3]
    if not isinstance(name, str) or not name or type(version) is not int or version < 1:
        raise MembershipRejected
    try:
        adapter = _KNOWN.get((name, version))
        if adapter is None:
            return UnknownControl(name, version, _PARENTS.validate_python(parents))
        return adapter.validate_python(value)
    except ValidationError as error:
        raise MembershipRejected from error
