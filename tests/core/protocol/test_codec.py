"""Frames to bytes and back; any bytes become a frame or a remote protocol error."""

from __future__ import annotations

import contextlib
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.errors import RemoteProtocolError
from bide.log.packing import pack
from bide.protocol.codec import decode_frame, encode_frame
from bide.protocol.frames import (
    BATCH_BYTES_MAX,
    BATCH_ENVELOPES_MAX,
    FRAME_BYTES_MAX,
    FRAME_NAMES,
    LOGS_MAX,
    MAILBOX_BYTES_MAX,
    Envelopes,
    Frame,
    Hello,
    LogHead,
    MailboxMessage,
    Stored,
)
from bide.testing import frames, frames_of

HEAD: list[Any] = [bytes(16), 1, bytes(32)]
HELLO: list[Any] = ["hello", [1], bytes(32), bytes(32), bytes(16), {}]
AUTH: list[Any] = ["auth", 1, bytes(16), bytes(32), bytes(32), "relay", bytes(64)]

BAD: dict[str, Any] = {
    "no array": "hello",
    "an empty array": [],
    "a number as type": [1],
    "bytes as type": [b"hello"],
    "an unknown type": ["goodbye"],
    "a type in another case": ["Hello", *HELLO[1:]],
    "a field too few": HELLO[:-1],
    "a field too many": [*HELLO, 0],
    "a field where there is none": ["caught_up", 0],
    "no version": ["hello", [], *HELLO[2:]],
    "version zero": ["hello", [0], *HELLO[2:]],
    "seventeen versions": ["hello", [1] * 17, *HELLO[2:]],
    "a version of text": ["hello", ["1"], *HELLO[2:]],
    "a short key": ["hello", [1], bytes(31), *HELLO[3:]],
    "a long nonce": ["hello", [1], bytes(32), bytes(33), *HELLO[4:]],
    "a key of text": ["hello", [1], "a" * 32, *HELLO[3:]],
    "limits that are an array": [*HELLO[:-1], []],
    "a limit below zero": [*HELLO[:-1], {"a": -1}],
    "a limit of text": [*HELLO[:-1], {"a": "1"}],
    "a limit without a name": [*HELLO[:-1], {"": 1}],
    "thirty-three limits": [*HELLO[:-1], {f"{n}": n for n in range(33)}],
    "an empty host": [*AUTH[:5], "", AUTH[6]],
    "a long host": [*AUTH[:5], "a" * 256, AUTH[6]],
    "a flag as version": ["auth", True, *AUTH[2:]],
    "a short signature": [*AUTH[:6], bytes(63)],
    "a long invite": ["register", "a" * 129, bytes(204)],
    "a genesis shorter than a header": ["register", "", bytes(203)],
    "a number as flag": ["welcome", [], bytes(64), 1],
    "a short head": ["welcome", [HEAD[:2]], bytes(64), False],
    "a head as a map": ["welcome", [{"log_id": bytes(16), "seq": 1, "hash": bytes(32)}], bytes(64), False],
    "too many heads": ["welcome", [HEAD] * (LOGS_MAX + 1), bytes(64), False],
    "a seq below zero": ["want", [[bytes(16), -1]]],
    "a seq beyond all": ["want", [[bytes(16), 2**62 + 1]]],
    "a seq of text": ["want", [[bytes(16), "1"]]],
    "no envelope": ["envelopes", []],
    "too many envelopes": ["envelopes", [bytes(204)] * (BATCH_ENVELOPES_MAX + 1)],
    "an envelope shorter than a header": ["envelopes", [bytes(203)]],
    "an envelope longer than allowed": ["envelopes", [bytes(256 * 1024 + 1)]],
    "an envelope of text": ["envelopes", ["a" * 204]],
    "nothing stored": ["stored", []],
    "an error without a code": ["error", "", "", False, 0, []],
    "an error with a long sentence": ["error", "a", "a" * 257, False, 0, []],
    "an error to be tried again next year": ["error", "a", "", False, 86_400_001, []],
    "three pieces of evidence": ["error", "a", "", False, 0, [b"", b"", b""]],
    "evidence with a body": ["error", "a", "", False, 0, [bytes(205)]],
    "nameplate zero": ["mailbox_claim", 0],
    "a nameplate of seven digits": ["mailbox_claim", 1_000_000],
    "a nameplate of text": ["mailbox_claim", "7"],
    "an empty message": ["mailbox_message", b""],
    "a long message": ["mailbox_message", bytes(MAILBOX_BYTES_MAX + 1)],
    "a closing without a reason": ["mailbox_closed", ""],
    "a frame as a map": {"type": "caught_up"},
    "fields as a map": ["mailbox_claim", {"nameplate": 7}],
}


@given(frames())
def test_what_is_encoded_is_decoded(frame: Frame) -> None:
    assert decode_frame(encode_frame(frame)) == frame


@pytest.mark.parametrize("kind", FRAME_NAMES, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_type_of_frame_comes_back_as_itself(kind: type[Frame], data: st.DataObject) -> None:
    frame = data.draw(frames_of(kind))
    assert type(decode_frame(encode_frame(frame))) is kind


@given(st.binary(max_size=300))
def test_any_bytes_are_a_frame_or_refused(data: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        decode_frame(data)


@given(
    st.sampled_from(list(FRAME_NAMES.values())),
    st.recursive(
        st.one_of(
            st.none(), st.booleans(), st.integers(-5, 2**63), st.binary(max_size=70), st.text("ab", max_size=5), st.floats()
        ),
        lambda inner: st.one_of(st.lists(inner, max_size=6), st.dictionaries(st.text("ab", max_size=3), inner, max_size=3)),
    ),
)
def test_any_fields_are_a_frame_or_refused(name: str, rest: Any) -> None:
    """What is taken for a frame is also written the same way: there are no two spellings of one frame."""
    try:
        frame = decode_frame(msgpack.packb([name, *(rest if isinstance(rest, list) else [rest])]))
    except RemoteProtocolError:
        return
    assert decode_frame(encode_frame(frame)) == frame


@given(frames(), st.data())
def test_an_altered_frame_is_a_frame_or_refused(frame: Frame, data: st.DataObject) -> None:
    encoded = bytearray(encode_frame(frame))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(RemoteProtocolError):
        decode_frame(bytes(encoded))


@pytest.mark.parametrize("name", BAD)
def test_a_frame_out_of_its_limits_is_refused(name: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_frame(msgpack.packb(BAD[name]))
    assert caught.value.__suppress_context__ or not isinstance(caught.value.__context__, ValueError)


@pytest.mark.parametrize("bomb", [b"\x91" * 2000, b"\xdd\xff\xff\xff\xff", b"\x92\xa5hello\xc6\xff\xff\xff\xff", b"\xc1", b""])
def test_bombs_are_refused(bomb: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_frame(bomb)


def test_a_message_is_as_long_as_allowed_and_no_longer() -> None:
    encoded = encode_frame(MailboxMessage(bytes(100)))
    assert decode_frame(encoded, bytes_max=len(encoded))
    with pytest.raises(RemoteProtocolError, match="larger"):
        decode_frame(encoded, bytes_max=len(encoded) - 1)
    with pytest.raises(RemoteProtocolError, match="larger"):
        decode_frame(bytes(FRAME_BYTES_MAX + 1))


def test_the_largest_batches_fit_into_a_frame() -> None:
    """256 KiB of envelopes, as one or as many, and the heads of all logs."""
    for batch in ([bytes(BATCH_BYTES_MAX)], [bytes(BATCH_BYTES_MAX // BATCH_ENVELOPES_MAX)] * BATCH_ENVELOPES_MAX):
        assert decode_frame(encode_frame(Envelopes(batch))) == Envelopes(batch)
    stored = Stored([LogHead(bytes(16), 2**62, bytes(32))] * LOGS_MAX)
    assert decode_frame(encode_frame(stored)) == stored


def test_a_newer_frame_is_said_to_be_newer() -> None:
    with pytest.raises(RemoteProtocolError, match="newer"):
        decode_frame(pack(["presence", 1]))


def test_only_a_hello_holds_a_map() -> None:
    hello = Hello([1], bytes(32), bytes(32), bytes(16), {"entry_bytes_max": 262_144})
    assert decode_frame(encode_frame(hello)) == hello
