"""docs/protocol.md is exact enough: its formulas, written down again with nothing of Bide, fit the vectors and the code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import msgpack
import nacl.bindings as sodium
import pytest

from bide.crypto.sealing import padded_size
from bide.ids import EntryId, SpaceId, entry_slot, person_entry_id
from bide.protocol.session import auth_message, relay_proof_message

VECTORS = Path(__file__).parents[1] / "vectors"


def vectors(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    return value


def blake2b(data: bytes, bits: int, person: str, key: bytes = b"", salt: bytes = b"") -> bytes:
    return hashlib.blake2b(data, digest_size=bits // 8, person=person.encode(), key=key, salt=salt).digest()


def bucket(n: int) -> int:
    if n <= 64 * 1024:
        power = 256
        while power < n:
            power *= 2
        return power
    e = n.bit_length() - 1  # floor(log2 n)
    low = e - e.bit_length()
    return (n + (1 << low) - 1) >> low << low


@pytest.fixture
def known() -> dict[str, Any]:
    found = vectors("envelopes")
    return {key: bytes.fromhex(value) if isinstance(value, str) else value for key, value in found.items()}


def test_the_ids_follow_from_the_page(known: dict[str, Any]) -> None:
    assert known["log_id"] == blake2b(known["space"] + known["device"], 128, "bide.log")
    assert known["epoch_id"] == blake2b(b"", 128, "bide.epoch", key=known["epoch_secret"])
    for slot in (0, 1):
        digest = bytearray(blake2b(known["space"] + bytes([slot]), 128, "bide.person"))
        digest[-1] = digest[-1] & 0xFE | slot
        assert person_entry_id(SpaceId(known["space"]), slot) == bytes(digest)
        assert entry_slot(EntryId(bytes(digest))) == slot


def test_an_envelope_is_checked_and_opened_as_the_page_says(known: dict[str, Any]) -> None:
    data = bytes.fromhex(known["good"][0]["hex"])
    body, signature = data[204:], data[140:204]
    assert (data[:2], data[2:8]) == (b"BD", bytes([1, 1, 0, 0, 0, 0]))
    assert int.from_bytes(data[104:108], "big") == len(body)
    assert data[108:140] == blake2b(body, 256, "bide.body")
    name = blake2b(data[:140], 256, "bide.entry")
    assert name == known["hash"]
    sodium.crypto_sign_open(signature + b"bide.sig\0" + known["space"] + name, known["device"])

    key = blake2b(b"", 256, "bide.msg", key=known["epoch_secret"], salt=data[8:24])
    assert key == known["message_key"]
    padded = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(body, data[:104] + known["space"], data[80:104], key)
    length = int.from_bytes(padded[:4], "big")
    assert padded[4 : 4 + length] == known["plaintext"]
    assert len(padded) == bucket(4 + length)
    assert not any(padded[4 + length :])
    assert len(msgpack.unpackb(known["plaintext"])) == 10


def test_the_buckets_are_those_of_the_page() -> None:
    for size in [*range(4, 70_000, 37), *range(65_530, 65_545), *range(65_536, 262_144, 997)]:
        assert padded_size(size) == bucket(size)


def test_the_signed_messages_are_those_of_the_page() -> None:
    relay_key, relay_nonce, nonce, space, device = (bytes([n]) * size for n, size in enumerate((32, 32, 32, 16, 32), 1))
    host = "relay.example.org:8765"
    message = b"bide.auth\0" + relay_key + len(host).to_bytes(2, "big") + host.encode() + relay_nonce + nonce + space + device
    assert message == auth_message(
        relay_key=relay_key, host=host, relay_nonce=relay_nonce, nonce=nonce, space=space, device=device
    )
    assert relay_proof_message(relay_nonce=relay_nonce, nonce=nonce, space=space) == (
        b"bide.relay\0" + relay_nonce + nonce + space
    )


def test_control_records_prove_themselves_as_the_page_says() -> None:
    found = vectors("membership")
    space = bytes.fromhex(found["space"])
    data = bytes.fromhex(next(item["hex"] for item in found["good"] if item["name"] == "space.created"))
    name, version, parents, kind, salt, (signing_key, sealing_key, proof), grants = msgpack.unpackb(data[204:])
    assert (name, version, parents, kind) == ("space.created", 1, [], "pair")
    assert space == blake2b(signing_key + salt, 128, "bide.space")
    sodium.crypto_sign_open(proof + b"bide.dev\0" + space + bytes([0]) + signing_key + sealing_key, signing_key)
    assert [len(grant) for grant in grants] == [3]
    assert not any(data[64:104])


def test_a_whole_pairing_follows_from_the_page() -> None:
    from bide.crypto.pairing import Confirmed, Pairing, PayloadReceived
    from bide.crypto.pairing_code import PairingCode, words
    from bide.testing import SeededRandomness

    code, relay_key = PairingCode.parse("7-maple-river-harbor"), bytes(range(32))
    sides = {
        "initiator": Pairing.initiate(code, relay_key, offer=b"I am Sam", randomness=SeededRandomness("a")),
        "joiner": Pairing.join(code, relay_key, offer=b"I am Robin", randomness=SeededRandomness("b")),
    }
    said: dict[str, list[bytes]] = {"initiator": [], "joiner": []}
    shown: dict[str, tuple[str, ...]] = {}

    def exchange() -> None:
        for role, other in (("initiator", "joiner"), ("joiner", "initiator")):
            for body in sides[role].data_to_send():
                said[role].append(body)
                for notice in sides[other].receive(body):
                    if isinstance(notice, Confirmed):
                        shown[other] = notice.safety_words
                    assert not isinstance(notice, PayloadReceived)

    sides_key = None
    for _ in range(4):
        exchange()
        sides_key = sides["initiator"]._key or sides_key
    assert sides_key is not None
    assert shown["initiator"] == shown["joiner"]

    context = (7).to_bytes(4, "big") + relay_key
    pakes = {role: bodies[0] for role, bodies in said.items()}
    assert all(pake[:2] == bytes([1, 1]) and len(pake) == 2 + 33 for pake in pakes.values())
    transcript = blake2b(context + pakes["initiator"][2:] + pakes["joiner"][2:], 256, "bide.pair.log")
    parts = {}
    for role, offer in (("initiator", b"I am Sam"), ("joiner", b"I am Robin")):
        label = role.encode() + b"\0" + transcript
        confirm, sealed = said[role][1], said[role][2]
        tag, commitment = confirm[1:33], confirm[33:]
        assert confirm[0] == 2
        assert tag == blake2b(label + commitment, 256, "bide.pair.tag", key=sides_key)
        key = blake2b(label, 256, "bide.pair.seal", key=sides_key)
        padded = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed[1:], bytes([3]) + bytes(8), bytes(24), key)
        assert len(padded) % 256 == 0
        plain = padded[4 : 4 + int.from_bytes(padded[:4], "big")]
        opening = plain[:32]
        assert plain[32:] == offer
        assert commitment == blake2b(label + offer, 256, "bide.pair.offer", key=opening)
        parts[role] = opening + len(offer).to_bytes(4, "big") + offer
    digest = blake2b(transcript + parts["initiator"] + parts["joiner"], 72, "bide.pair.words", key=sides_key)
    number = int.from_bytes(digest, "big") >> (72 - 66)
    spelled = tuple(words()[number >> (11 * at) & 2047] for at in range(5, -1, -1))
    assert spelled == shown["initiator"]
