"""Whole conversations as targets: a relay that says anything to a client that syncs, a client that says anything to a relay's
session, and a pairing partner that says anything. Each input is a series of moves, so that it gets far past the first frame."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from bide.crypto import signing
from bide.crypto.pairing import Pairing
from bide.crypto.pairing_code import PairingCode
from bide.protocol.codec import encode_frame
from bide.protocol.frames import CaughtUp, Envelopes, Error, Hello, LogHead, Stored, Welcome
from bide.protocol.session import RelaySession, relay_proof_message
from bide.replica import Replica
from bide.testing import SeededRandomness
from bide.testing_replicas import RELAY_URL, new_replica, pair_space, pair_up

MOVES_MAX = 40
HOST = RELAY_URL.partition("://")[2]
_SEED = b"r" * 32
_LIMITS = {"frame_bytes_max": 327_680}
_CODES = ("gap", "fork", "quota", "unknown_space", "revoked_log", "invite_required", "shutting_down", "nonsense")


def _moves(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Each is a kind, a length of two bytes, and so many bytes."""
    at = 0
    for _ in range(MOVES_MAX):
        if at + 3 > len(data):
            return
        size = int.from_bytes(data[at + 1 : at + 3], "big")
        yield data[at], data[at + 3 : at + 3 + size]
        at += 3 + size


@cache
def _couple() -> tuple[Replica, list[bytes], list[LogHead]]:
    """Sam, what Robin has that Sam doesn't, and the heads of Robin's."""
    sam, robin = new_replica("Sam"), new_replica("Robin")
    pair_up(sam, robin)
    for number in range(4):
        sam.write("appreciation", {"noticed": f"tea {number}"})
        robin.write("appreciation", {"noticed": f"coffee {number}"})
    storage, space = robin.storage, pair_space(robin).space_id
    log = pair_space(robin).log_id
    theirs = [each.data for each in storage.envelopes_after(space, log, 0, bytes_max=1 << 20, count_max=99)]
    heads = [*storage.heads(space).values(), *sam.storage.heads(space).values()]
    return sam, theirs, [LogHead(*head) for head in heads]


def relay_says(data: bytes) -> object:
    """A genuine hello and welcome, and then whatever the input says; Sam's replica stays sound."""
    sam, theirs, heads = _couple()
    sync = sam.sync_session(pair_space(sam).space_id, host=HOST, live=True)
    hello = Hello([1], signing.public_key(_SEED), b"n" * 32, b"s" * 16, _LIMITS)
    sync.receive_data(encode_frame(hello))
    relay = RelaySession(hello, signing_seed=_SEED, host=HOST)
    relay.data_to_send()
    for message in sync.data_to_send():
        relay.receive_data(message)
    assert relay.auth is not None
    proof = signing.sign(relay_proof_message(relay_nonce=b"n" * 32, nonce=relay.auth.nonce, space=relay.auth.space), _SEED)
    first = data[:1] or b"\0"
    announced = [head._replace(seq=head.seq + (first[0] >> 4)) for at, head in enumerate(heads) if first[0] >> at & 1]
    sync.receive_data(encode_frame(Welcome(announced, proof, False)))
    for kind, content in _moves(data[1:]):
        sync.data_to_send()
        if sync.closed:
            break
        sync.receive_data(_frame(kind, content, theirs, heads))
        sync.wake()
    return sync.finished


def _frame(kind: int, content: bytes, theirs: list[bytes], heads: list[LogHead]) -> bytes:
    number = content[0] if content else 0
    match kind % 6:
        case 0:
            return content
        case 1:
            head = heads[number % len(heads)]
            return encode_frame(Stored([head._replace(seq=max(0, head.seq - number // 16))]))
        case 2:
            return encode_frame(Envelopes([(content * 204)[: max(204, len(content))] or bytes(204)]))
        case 3:
            return encode_frame(CaughtUp())
        case 4:
            return encode_frame(Error(_CODES[number % len(_CODES)], "words", number > 127, 0, []))
        case _:
            altered = bytearray(theirs[number % len(theirs)])
            for at, byte in zip(content[1::2], content[2::2], strict=False):
                altered[at % len(altered)] ^= byte
            count = number // 64
            return encode_frame(Envelopes([*theirs[:count], bytes(altered)]))


def client_says(data: bytes) -> object:
    """Any frames to the relay's end of a connection, after a genuine proof if the first bit says so."""
    hello = Hello([1], signing.public_key(_SEED), b"n" * 32, b"s" * 16, _LIMITS)
    relay = RelaySession(hello, signing_seed=_SEED, host=HOST)
    if data[:1] >= b"\x80":
        sam, _, heads = _couple()
        sync = sam.sync_session(pair_space(sam).space_id, host=HOST)
        sync.receive_data(relay.data_to_send()[0])
        relay.receive_data(sync.data_to_send()[0])
        relay.welcome([(head.log_id, head.seq, head.hash) for head in heads], provisional=False)
    for kind, content in _moves(data[1:]):
        frame = content if kind % 2 else encode_frame(Envelopes([content + bytes(max(0, 204 - len(content)))]))
        relay.receive_data(frame)
        relay.data_to_send()
    return relay.state


def partner_says(data: bytes) -> object:
    """Any bodies to one who pairs: raw ones, or what an honest partner would send, altered."""
    code = PairingCode.parse("7-able-above-acid@relay.example")
    sides = [
        Pairing.initiate(code, b"k" * 32, offer=b"one", randomness=SeededRandomness("one")),
        Pairing.join(code, b"k" * 32, offer=b"two", randomness=SeededRandomness("two")),
    ]
    for kind, content in _moves(data):
        honest = sides[1].data_to_send()
        body = bytearray(content) if kind % 3 == 0 or not honest else bytearray(honest[0])
        if kind % 3 == 2:
            for at, byte in zip(content[::2], content[1::2], strict=False):
                body[at % max(1, len(body))] ^= byte
        sides[0].receive(bytes(body))
        for answer in sides[0].data_to_send():
            sides[1].receive(answer)
    return sides[0].complete
