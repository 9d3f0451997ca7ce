"""The wire formats, byte for byte, as files in ``tests/vectors/``: good ones and bad ones, in hex.

Other clients can test against these files. They are made here from fixed seeds; a test fails as soon as what is made
differs from what is kept, so that no format changes unnoticed. After a deliberate change, write them anew with

    BIDE_WRITE_VECTORS=1 .venv/bin/pytest tests/core/test_vectors.py

and look at the difference before committing it. Sealed boxes (the grants) are never the same twice, so the control
vectors carry bytes of the right length in their place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bide.crypto.keys import new_device_keys
from bide.crypto.pairing import Pairing
from bide.crypto.pairing_code import PairingCode
from bide.crypto.recovery import KEYS_MAX, RecoveryPhrase
from bide.crypto.sealing import epoch_id, message_key, pad, seal, unpad, unseal
from bide.crypto.wrapping import MEMORY_BYTES_MIN, unwrap_with_passphrase, wrap_with_passphrase
from bide.errors import (
    BideError,
    CodeMismatch,
    EnvelopeRejected,
    InputError,
    Locked,
    MembershipRejected,
    NewerFormat,
    RemoteProtocolError,
    StorageError,
)
from bide.ids import DeviceId, EntryId, LogId, SpaceId, log_id, space_id
from bide.log.chain import Head, empty_head
from bide.log.control import (
    BodiesErased,
    DeviceAdded,
    Grant,
    PersonJoined,
    RecoveryAdded,
    SpaceCreated,
    SpaceEnded,
    Span,
    read_control,
    write_control,
)
from bide.log.envelope import EnvelopeClass, authenticated_prefix, parse_envelope, verify_signature, write_envelope
from bide.log.event import Event, MalformedEvent, read_event, write_event
from bide.log.membership import Membership
from bide.log.packing import pack, unpack
from bide.protocol import frames
from bide.protocol.codec import decode_frame, encode_frame
from bide.replica.own_devices.phrases import blank_of
from bide.testing import Member, SeededRandomness, control_envelope, device_record

FOLDER = Path(__file__).parent.parent / "vectors"
Vectors = dict[str, Any]

SOURCE = SeededRandomness("vectors")
SAM, ROBIN = new_device_keys(SOURCE), new_device_keys(SOURCE)
SALT, SECRET, NONCE = SOURCE.token(16), SOURCE.token(32), SOURCE.token(24)
SPACE = space_id(SAM.device_id, SALT)
SAM_LOG, ROBIN_LOG = log_id(SPACE, SAM.device_id), log_id(SPACE, ROBIN.device_id)
BOX_1, BOX_2 = SOURCE.token(160), SOURCE.token(160)
CREATED = SpaceCreated(
    "space.created",
    1,
    [],
    "pair",
    SALT,
    device_record(SPACE, 0, SAM),
    [Grant(epoch_id(SECRET), SAM.device_id, BOX_1)],
)
GENESIS = control_envelope(SPACE, Member(SAM, 0, SAM_LOG, empty_head(SAM_LOG)), write_control(CREATED))
JOINED = PersonJoined(
    "person.joined",
    1,
    [GENESIS.hash],
    device_record(SPACE, 1, ROBIN),
    [Grant(epoch_id(SECRET), ROBIN.device_id, BOX_2)],
)
JOINING = control_envelope(SPACE, Member(SAM, 0, SAM_LOG, Head(SAM_LOG, 1, GENESIS.hash)), write_control(JOINED))
PHRASE = RecoveryPhrase(SeededRandomness("paper").token(16), SPACE)
EVENT = Event(
    "appreciation.given",
    1,
    1,
    EntryId(bytes.fromhex("019b76daa8007690b3b2fb3c91eda709")),
    1_767_225_600_000,
    "Europe/Lisbon",
    "2026-01-01",
    b"an Automerge change",
    (Head(SAM_LOG, 2, JOINING.hash),),
)


def named(pairs: dict[str, bytes]) -> list[dict[str, str]]:
    return [{"name": name, "hex": data.hex()} for name, data in pairs.items()]


def flipped(data: bytes, offset: int) -> bytes:
    return data[:offset] + bytes([data[offset] ^ 1]) + data[offset + 1 :]


def make_frames() -> Vectors:
    """Every frame once; and what must be refused."""
    source = SeededRandomness("frames")
    head = frames.LogHead(source.token(16), 412, source.token(32))
    good: list[frames.Frame] = [
        frames.Hello([1], source.token(32), source.token(32), source.token(16), {"entry_bytes_max": 262_144}),
        frames.Auth(1, SPACE, SAM.device_id, source.token(32), "relay.example.org", source.token(64)),
        frames.Register("", GENESIS.data),
        frames.Welcome([head], source.token(64), False),
        frames.Want([frames.LogPosition(head.log_id, 0)]),
        frames.Envelopes([GENESIS.data, JOINING.data]),
        frames.Stored([head]),
        frames.CaughtUp(),
        frames.Forget(),
        frames.Forgotten(True),
        frames.Error("fork", "Two things at one place.", False, 60_000, [GENESIS.header]),
        frames.MailboxOpen(),
        frames.MailboxOpened(7, 600),
        frames.MailboxClaim(7),
        frames.MailboxReady(),
        frames.MailboxMessage(source.token(35)),
        frames.MailboxClosed("done"),
    ]
    caught_up = encode_frame(frames.CaughtUp())
    bad = {
        "nothing": b"",
        "trailing byte": caught_up + b"\0",
        "unknown type": pack(["presence"]),
        "a field too many": pack(["caught_up", 0]),
        "nameplate zero": pack(["mailbox_claim", 0]),
        "head as a map": b"\x92" + pack("want") + b"\x91" + pack({"log_id": bytes(16), "seq": 1}),
        "float": b"\x92" + pack("mailbox_claim") + b"\xca\x40\xe0\x00\x00",
        "extension type": b"\x92" + pack("mailbox_claim") + b"\xd4\x05\x00",
        "array of four billion": b"\xdd\xff\xff\xff\xff",
        "nested too deep": b"\x91" * 20 + b"\0",
    }
    return {"good": named({frames.FRAME_NAMES[type(f)]: encode_frame(f) for f in good}), "bad": named(bad)}


def make_events() -> Vectors:
    plain = write_event(EVENT)
    fields = list(unpack(plain, bytes_max=10_000))  # type: ignore[arg-type]
    bad = {
        "nothing": b"",
        "another format": pack([2, *fields[1:]]),
        "a field missing": pack(fields[:-1]),
        "type in capitals": pack([*fields[:2], "Appreciation.Given", *fields[3:]]),
        "needs more than its own version": pack([*fields[:4], 2, *fields[5:]]),
        "short entry id": pack([*fields[:5], bytes(15), *fields[6:]]),
        "the 31st of February": pack([*fields[:8], "2026-02-31", fields[9]]),
    }
    good = {"plain": plain, "with a field of a newer version": pack([*fields, "new"])}
    return {"good": named(good), "bad": named(bad)}


def make_envelopes() -> Vectors:
    prefix = authenticated_prefix(
        klass=EnvelopeClass.DATA, log_id=ROBIN_LOG, seq=1, prev_hash=bytes(32), epoch_id=epoch_id(SECRET), nonce=NONCE
    )
    body = seal(write_event(EVENT), secret=SECRET, log=ROBIN_LOG, nonce=NONCE, associated=prefix + SPACE)
    data = write_envelope(prefix, body, space=SPACE, signing_seed=ROBIN.signing_seed).data
    bad = {
        "nothing": b"",
        "header alone": data[:204],
        "magic": flipped(data, 0),
        "version": flipped(data, 2),
        "suite": flipped(data, 3),
        "class": data[:4] + b"\x02" + data[5:],
        "bytes that must be zero": flipped(data, 5),
        "log": flipped(data, 8),
        "seq zero": flipped(data, 31),
        "previous hash of a first entry": flipped(data, 32),
        "epoch": flipped(data, 64),
        "nonce": flipped(data, 80),
        "body length": flipped(data, 107),
        "body hash": flipped(data, 108),
        "signature": flipped(data, 140),
        "body": flipped(data, len(data) - 1),
        "trailing byte": data + b"\0",
        "signed by another device": write_envelope(prefix, body, space=SPACE, signing_seed=SAM.signing_seed).data,
        "signed for another space": write_envelope(
            prefix, body, space=SpaceId(bytes(16)), signing_seed=ROBIN.signing_seed
        ).data,
    }
    return {
        "space": SPACE.hex(),
        "salt": SALT.hex(),
        "device": ROBIN.device_id.hex(),
        "signing_seed": ROBIN.signing_seed.hex(),
        "log_id": ROBIN_LOG.hex(),
        "epoch_secret": SECRET.hex(),
        "epoch_id": epoch_id(SECRET).hex(),
        "message_key": message_key(SECRET, ROBIN_LOG).hex(),
        "plaintext": write_event(EVENT).hex(),
        "hash": parse_envelope(data).hash.hex(),
        "good": named({"data": data}),
        "bad": named(bad),
    }


def added_log(added: DeviceAdded) -> LogId:
    return log_id(SPACE, DeviceId(added.device.signing_key))


def make_membership() -> Vectors:
    """A genesis and what may follow on it, in order; and what may not, each following on the good ones."""
    source = SeededRandomness("more devices")
    added = DeviceAdded("device.added", 1, [JOINING.hash], device_record(SPACE, 1, new_device_keys(source)), [])
    robin = Member(ROBIN, 1, ROBIN_LOG, empty_head(ROBIN_LOG))
    adding = control_envelope(SPACE, robin, write_control(added))
    robin.head = Head(ROBIN_LOG, 1, adding.hash)
    on_paper = RecoveryAdded("recovery.added", 1, [adding.hash], blank_of(PHRASE, 1).record(1), [])
    noting = control_envelope(SPACE, robin, write_control(on_paper))
    robin.head = Head(ROBIN_LOG, 2, noting.hash)
    other_slot = on_paper._replace(device=blank_of(PHRASE, 2).record(0))
    for_sam = device_record(SPACE, 0, new_device_keys(source))
    unproven = added.device._replace(sealing_key=bytes(32), signing_key=for_sam.signing_key)
    bad = {
        "no statement": control_envelope(SPACE, robin, b"\xc1"),
        "a second beginning": control_envelope(SPACE, robin, write_control(CREATED)),
        "a second joiner": control_envelope(SPACE, robin, write_control(JOINED)),
        "a device of the other person": control_envelope(SPACE, robin, write_control(added._replace(device=for_sam))),
        "a device that is there": control_envelope(SPACE, robin, write_control(added)),
        "a device without proof": control_envelope(SPACE, robin, write_control(added._replace(device=unproven))),
        "a recovery phrase of the other person": control_envelope(SPACE, robin, write_control(other_slot)),
        "a missing parent": control_envelope(SPACE, robin, write_control(added._replace(parents=[bytes(32)]))),
    }
    erased = BodiesErased("bodies.erased", 1, [noting.hash], [Span(added_log(added), 1, 7), Span(ROBIN_LOG, 1, 1)])
    erasing = control_envelope(SPACE, robin, write_control(erased))
    robin.head = Head(ROBIN_LOG, 3, erasing.hash)
    ending = control_envelope(SPACE, robin, write_control(SpaceEnded("space.ended", 1, [erasing.hash], "2026-11-23")))
    robin.head = Head(ROBIN_LOG, 4, ending.hash)
    bad |= {
        "an end on no day": control_envelope(SPACE, robin, pack(["space.ended", 1, [ending.hash], "2026-02-30"])),
        "erasing the other's": control_envelope(SPACE, robin, write_control(erased._replace(spans=[Span(SAM_LOG, 1, 1)]))),
        "erasing what is to come": control_envelope(
            SPACE, robin, write_control(erased._replace(spans=[Span(ROBIN_LOG, 1, 5)]))
        ),
        "erasing backwards": control_envelope(SPACE, robin, write_control(erased._replace(spans=[Span(ROBIN_LOG, 2, 1)]))),
    }
    good = {
        "space.created": GENESIS,
        "person.joined": JOINING,
        "device.added": adding,
        "recovery.added": noting,
        "bodies.erased": erasing,
        "space.ended": ending,
    }
    return {
        "space": SPACE.hex(),
        "good": named({name: envelope.data for name, envelope in good.items()}),
        "bad": named({name: envelope.data for name, envelope in bad.items()}),
    }


def make_padding() -> Vectors:
    good = {str(size): pad(b"x" * size) for size in (0, 1, 252, 253, 1000)}
    bad = {
        "nothing": b"",
        "not zeros": pad(b"hello")[:-1] + b"\x01",
        "longer than there is": b"\0\0\x01\0" + bytes(252),
        "another bucket": pad(b"hello") + bytes(256),
    }
    return {"good": named(good), "bad": named(bad)}


def make_recovery() -> Vectors:
    """A phrase with the public keys that follow from it; and what is no phrase."""
    words = [*PHRASE.words()]
    keys = {
        str(index): {
            "signing_seed": PHRASE.keys(index).signing_seed.hex(),
            "sealing_secret": PHRASE.keys(index).sealing_secret.hex(),
            "signing_key": PHRASE.keys(index).device_id.hex(),
            "sealing_key": PHRASE.keys(index).sealing_key.hex(),
            "proofs": [proof.hex() for proof in blank_of(PHRASE, index).proofs],
        }
        for index in (0, 1, KEYS_MAX - 1)
    }
    bad = {
        "nothing": "",
        "a word too few": " ".join(words[:23]),
        "a word too many": " ".join([*words, "abandon"]),
        "another last word": " ".join([*words[:23], "abandon"]),
        "no word of the list": " ".join(["xylophonist", *words[1:]]),
    }
    return {
        "secret": PHRASE.secret.hex(),
        "anchor": PHRASE.anchor.hex(),
        "words": " ".join(words),
        "keys": keys,
        "bad": [{"name": name, "hex": text.encode().hex()} for name, text in bad.items()],
    }


CODE = "7-maple-river-harbor@relay.example.org"
RELAY_KEY = bytes(range(32))


def run_pairing() -> tuple[Pairing, Pairing, list[dict[str, str]]]:
    """A whole pairing, with every message in the order in which it arrived."""
    code = PairingCode.parse(CODE)
    initiator = Pairing.initiate(code, RELAY_KEY, offer=b"I am Sam", randomness=SeededRandomness("sam"))
    joiner = Pairing.join(code, RELAY_KEY, offer=b"I am Robin", randomness=SeededRandomness("robin"))
    messages: list[dict[str, str]] = []

    def exchange() -> None:
        for name, source, target in (("initiator", initiator, joiner), ("joiner", joiner, initiator)):
            for body in source.data_to_send():
                messages.append({"from": name, "hex": body.hex()})
                target.receive(body)

    for _ in range(4):
        exchange()
    initiator.accept()
    joiner.accept()
    exchange()
    initiator.send(b"payload of Sam")
    joiner.send(b"payload of Robin")
    exchange()
    return initiator, joiner, messages


def make_pairing() -> Vectors:
    initiator, _, messages = run_pairing()
    return {
        "code": CODE,
        "relay_key": RELAY_KEY.hex(),
        "initiator_offer": b"I am Sam".hex(),
        "joiner_offer": b"I am Robin".hex(),
        "safety_words": list(initiator.safety_words),
        "messages": messages,
        "bad_first_messages": named(
            {
                "nothing": b"",
                "another kind": b"\x02" + bytes(64),
                "another version": b"\x01\x02B" + bytes(32),
                "the other role": b"\x01\x01A" + bytes.fromhex(messages[1]["hex"])[3:],
                "no point of the curve": b"\x01\x01B\x02" + bytes(31),
                "a point of small order": b"\x01\x01B" + bytes(32),
                "too short": b"\x01\x01B" + bytes(31),
            }
        ),
    }


def make_wrapping() -> Vectors:
    passphrase, key = "café au lait", bytes(range(32))
    blob = wrap_with_passphrase(key, passphrase, SeededRandomness("wrap"), memory_bytes=MEMORY_BYTES_MIN, iterations=1)
    bad = {
        "nothing": b"",
        "cut": blob[:-1],
        "damaged header": flipped(blob, 8),
        "damaged key": flipped(blob, 60),
        "damaged checksum": flipped(blob, 119),
        "newer": blob[:4] + b"\x02" + blob[5:],
    }
    return {"passphrase": passphrase, "key": key.hex(), "good": named({"argon2id": blob}), "bad": named(bad)}


MAKERS: dict[str, Callable[[], Vectors]] = {
    "frames": make_frames,
    "events": make_events,
    "envelopes": make_envelopes,
    "membership": make_membership,
    "padding": make_padding,
    "pairing": make_pairing,
    "wrapping": make_wrapping,
    "recovery": make_recovery,
}


def kept(name: str) -> Vectors:
    vectors: Vectors = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return vectors


def each(vectors: Vectors, which: str) -> list[tuple[str, bytes]]:
    return [(item["name"], bytes.fromhex(item["hex"])) for item in vectors[which]]


def all_refused(name: str, read: Callable[[bytes], object], *errors: type[BideError]) -> None:
    for what, data in each(kept(name), "bad"):
        try:
            read(data)
        except errors:
            continue
        pytest.fail(f"{name}: {what} was not refused")


@pytest.mark.parametrize("name", MAKERS)
def test_the_formats_are_what_the_files_keep(name: str) -> None:
    """What this version writes is, byte for byte, what the file holds. See the module for how to write it anew."""
    text = json.dumps(MAKERS[name](), indent=2, ensure_ascii=False) + "\n"
    path = FOLDER / f"{name}.json"
    if os.environ.get("BIDE_WRITE_VECTORS") == "1":
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def test_every_file_is_checked() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} >= set(MAKERS)


def test_frames() -> None:
    good = each(kept("frames"), "good")
    assert [name for name, _ in good] == list(frames.FRAME_NAMES.values())
    for name, data in good:
        frame = decode_frame(data)
        assert frames.FRAME_NAMES[type(frame)] == name
        assert encode_frame(frame) == data
    all_refused("frames", decode_frame, RemoteProtocolError)


def test_events() -> None:
    for _, data in each(kept("events"), "good"):
        assert read_event(data) == EVENT
    all_refused("events", read_event, MalformedEvent)


def test_envelopes() -> None:
    vectors = kept("envelopes")
    space, device = SpaceId(bytes.fromhex(vectors["space"])), DeviceId(bytes.fromhex(vectors["device"]))

    def read(data: bytes) -> bytes:
        envelope = parse_envelope(data)
        verify_signature(envelope, space=space, device=device)
        secret = bytes.fromhex(vectors["epoch_secret"])
        associated = data[:104] + space
        return unseal(envelope.body, secret=secret, log=envelope.log_id, nonce=envelope.nonce, associated=associated)

    [(_, data)] = each(vectors, "good")
    assert read(data).hex() == vectors["plaintext"]
    assert parse_envelope(data).hash.hex() == vectors["hash"]
    all_refused("envelopes", read, EnvelopeRejected)


def test_membership() -> None:
    vectors = kept("membership")
    space = SpaceId(bytes.fromhex(vectors["space"]))
    controls = [parse_envelope(data) for _, data in each(vectors, "good")]
    names = [name for name, _ in each(vectors, "good")]
    statements = [read_control(envelope.body) for envelope in controls]
    assert [statement.type for statement in statements] == names
    membership = Membership.replay(space, controls)
    assert [device.slot for device in membership.devices.values()] == [0, 1, 1, 1]
    all_refused("membership", lambda data: membership.admit(parse_envelope(data)), MembershipRejected)


def test_padding() -> None:
    for name, data in each(kept("padding"), "good"):
        assert unpad(data) == b"x" * int(name)
    all_refused("padding", unpad, EnvelopeRejected)


def test_pairing() -> None:
    """One end alone, fed with the other's messages from the file, comes to the same words."""
    vectors = kept("pairing")
    code, relay_key = PairingCode.parse(vectors["code"]), bytes.fromhex(vectors["relay_key"])

    def initiate() -> Pairing:
        return Pairing.initiate(code, relay_key, offer=b"I am Sam", randomness=SeededRandomness("sam"))

    initiator = initiate()
    theirs = [bytes.fromhex(m["hex"]) for m in vectors["messages"] if m["from"] == "joiner"]
    for body in theirs[:3]:
        initiator.receive(body)
    assert list(initiator.safety_words) == vectors["safety_words"]
    ours = [m["hex"] for m in vectors["messages"] if m["from"] == "initiator"]
    assert [body.hex() for body in initiator.data_to_send()] == ours[:3]
    for name, body in each(vectors, "bad_first_messages"):
        with pytest.raises((RemoteProtocolError, CodeMismatch)):
            pytest.fail(f"{name}: {initiate().receive(body)}")


def test_recovery() -> None:
    vectors = kept("recovery")
    phrase = RecoveryPhrase.parse(vectors["words"])
    assert (phrase.secret.hex(), phrase.anchor.hex()) == (vectors["secret"], vectors["anchor"])
    for index, keys in vectors["keys"].items():
        assert phrase.keys(int(index)).device_id.hex() == keys["signing_key"]
        assert phrase.keys(int(index)).sealing_key.hex() == keys["sealing_key"]
    all_refused("recovery", lambda data: RecoveryPhrase.parse(data.decode()), InputError)


def test_wrapping() -> None:
    vectors = kept("wrapping")
    [(_, blob)] = each(vectors, "good")
    assert unwrap_with_passphrase(blob, vectors["passphrase"]).hex() == vectors["key"]
    with pytest.raises(Locked):
        unwrap_with_passphrase(blob, "tea")
    all_refused("wrapping", lambda data: unwrap_with_passphrase(data, vectors["passphrase"]), StorageError, NewerFormat)
