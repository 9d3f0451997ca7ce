"""What is fuzzed: each reader of bytes from outside, and the errors that it may answer with. Anything else is a finding."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from bide.crdt.change import read_change
from bide.crdt.document import EntryDocument, amend_change, create_change
from bide.crypto.pairing_code import PairingCode
from bide.crypto.recovery import RecoveryPhrase
from bide.entries.records import EventRecord, Standing
from bide.errors import (
    BideError,
    ChangeRejected,
    CodeMismatch,
    EnvelopeRejected,
    InputError,
    MembershipRejected,
    NotAllowed,
    RelayUnreachable,
    RemoteProtocolError,
    VerificationFailed,
)
from bide.ids import EntryId, LogId, SpaceId
from bide.log.control import read_control
from bide.log.envelope import parse_envelope
from bide.log.event import read_event
from bide.log.packing import unpack
from bide.projections.entry import project_entry
from bide.projections.order import judge
from bide.projections.repair import project_group
from bide.protocol.codec import decode_frame
from bide.replica.sync.bundles import read_bundle
from bide.storage.memory import MemoryStorage
from bide.testing import SeededRandomness
from bide.words.deckfiles import parse_deck
from fuzz import sessions

RUN_S_MAX = 10
"""One input that takes longer is a finding."""
_SPACE, _LOG = SpaceId(b"s" * 16), LogId(b"l" * 16)
_ENTRY = EntryId(b"e" * 15 + b"\x01")


class Target(NamedTuple):
    """Something that reads bytes."""

    run: Callable[[bytes], object]
    errors: tuple[type[Exception], ...] = ()


def with_body(body: bytes) -> bytes:
    """A plain change around `body`, with the right checksum: else nothing would ever get past it."""
    size, length = bytearray(), len(body)
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    digest = hashlib.sha256(b"\x01" + size + body).digest()
    return b"\x85\x6f\x4a\x83" + digest[:4] + b"\x01" + bytes(size) + body


@cache
def base_changes() -> tuple[bytes, bytes, bytes]:
    """A conversation, a step in it and a check-in, for changes to be made of and to stand on."""
    random = SeededRandomness("fuzz")
    one = create_change({"topic": "dishes", "calm": True}, texts={"agreement": "we wash"}, slot=1, randomness=random)
    two = amend_change([one], {"tell.1.felt": "tired"}, texts={"agreement": "we both wash"}, slot=1, randomness=random)
    return one, two, create_change({"hard": "rain", "wants": "listening"}, slot=1, randomness=random)


def _change(data: bytes) -> object:
    """The header, and Automerge."""
    change = with_body(data)
    header = read_change(change)
    document = EntryDocument([change] if not header.deps else [base_changes()[0], change])
    document.fields()
    document.fields_at(header.hash)
    return document.heads


def _raw_change(data: bytes) -> object:
    return read_change(data)


def _events(data: bytes) -> object:
    """Two further events of an entry: judged, shown and written to. Never an error: what makes no sense doesn't count."""
    cut = int.from_bytes(data[:2], "big")
    bodies = [data[2:][:cut], data[2:][cut:]]
    changes = [base_changes()[0], *(with_body(body) for body in bodies if body)]
    kinds = ("repair.invited", "repair.told", "repair.agreed")
    events = [
        EventRecord(_SPACE, _ENTRY, _LOG, number + 1, 1, kind, 1, 1, 0, "UTC", "2026-01-01", change, (), Standing.WAITING)
        for number, (kind, change) in enumerate(zip(kinds, changes, strict=False))
    ]
    judged = judge(events)
    assert len(judged.standings) == len(events)
    with contextlib.suppress(ChangeRejected):
        amend_change(
            [item.event.change for item in judged.applied], {"settle.0": True}, slot=0, randomness=SeededRandomness("x")
        )
    if judged.kind is None or judged.kind.name != "repair":
        return project_entry(judged)
    return project_group([judged])


def _import(name: str) -> Callable[[bytes], object]:
    def run(data: bytes) -> object:
        return import_module(f"bide_cli.importing.{name}").read(str(_file(data)), zone="UTC")

    return run


def _config(data: bytes) -> object:
    from bide_cli.home.folder import read_config

    return read_config(_file(data, name="config.toml").parent)


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="bide-fuzz-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))


def _file(data: bytes, *, name: str = "input") -> Path:
    path = _folder() / name
    path.write_bytes(data)
    return path


TARGETS = {
    "change": Target(_change, (ChangeRejected,)),
    "raw-change": Target(_raw_change, (ChangeRejected,)),
    "events": Target(_events),
    "envelope": Target(parse_envelope, (EnvelopeRejected,)),
    "control": Target(read_control, (MembershipRejected,)),
    "event": Target(read_event, (EnvelopeRejected,)),
    "packing": Target(lambda data: unpack(data, bytes_max=1 << 16, maps=True), (EnvelopeRejected,)),
    "frame": Target(decode_frame, (RemoteProtocolError,)),
    "code": Target(lambda data: PairingCode.parse(data.decode(errors="replace")), (InputError,)),
    "phrase": Target(lambda data: RecoveryPhrase.parse(data.decode(errors="replace")), (InputError,)),
    "bundle": Target(lambda data: list(read_bundle(io.BytesIO(data).read, MemoryStorage(), lambda *_: None)), (BideError,)),
    "deck": Target(lambda data: parse_deck(data, name="mine", file="mine.toml"), (InputError,)),
    "config": Target(_config, (BideError,)),
    "jrnl": Target(_import("jrnl"), (InputError,)),
    "dayone": Target(_import("dayone"), (InputError,)),
    "daylio": Target(_import("daylio"), (InputError,)),
    "bide-json": Target(_import("bide_json"), (InputError,)),
    # A target for bundle files belongs here as soon as there is a reader of them.
    "relay-says": Target(sessions.relay_says, (RemoteProtocolError, VerificationFailed, NotAllowed, RelayUnreachable)),
    "client-says": Target(sessions.client_says, (RemoteProtocolError,)),
    "partner-says": Target(sessions.partner_says, (RemoteProtocolError, CodeMismatch)),
}


def run(name: str, data: bytes) -> None:
    """Read bytes; whatever isn't a result or a declared error gets out."""
    target = TARGETS[name]
    with contextlib.suppress(*target.errors):
        target.run(data)
