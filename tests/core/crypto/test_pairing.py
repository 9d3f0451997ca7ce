"""Pairing: the two ends together, and everything that somebody in between may try."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bide.crypto import pairing as machine
from bide.crypto.pairing import (
    MESSAGE_BYTES_MAX,
    OFFER_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    SEALED_MESSAGES_MAX,
    Confirmed,
    Pairing,
    PairingNotice,
    PayloadReceived,
    PeerAccepted,
    Role,
    Stage,
)
from bide.crypto.pairing_code import PairingCode
from bide.errors import CodeMismatch, LocalProtocolError, RemoteProtocolError
from bide.protocol.frames import MAILBOX_BYTES_MAX
from bide.testing import SeededRandomness

CODE = PairingCode(7, ("maple", "river", "harbor"))
RELAY = b"\x07" * 32
REFUSED = (CodeMismatch, RemoteProtocolError)


def sam(code: PairingCode = CODE, *, relay: bytes = RELAY, offer: bytes = b"I am Sam", seed: str = "sam") -> Pairing:
    return Pairing.initiate(code, relay, offer=offer, randomness=SeededRandomness(seed))


def robin(code: PairingCode = CODE, *, relay: bytes = RELAY, offer: bytes = b"I am Robin", seed: str = "robin") -> Pairing:
    return Pairing.join(code, relay, offer=offer, randomness=SeededRandomness(seed))


def deliver(source: Pairing, target: Pairing) -> list[PairingNotice]:
    """Everything that waits at `source`, to `target`."""
    return [notice for body in source.data_to_send() for notice in target.receive(body)]


def exchange(one: Pairing, two: Pairing, rounds: int = 3) -> tuple[list[PairingNotice], list[PairingNotice]]:
    """Rounds in which both speak: pake, confirm, offer. Returns what each came to know."""
    known: tuple[list[PairingNotice], list[PairingNotice]] = ([], [])
    for _ in range(rounds):
        first, second = one.data_to_send(), two.data_to_send()
        for body in first:
            known[1].extend(two.receive(body))
        for body in second:
            known[0].extend(one.receive(body))
    return known


def paired() -> tuple[Pairing, Pairing]:
    """Two ends that both accepted."""
    one, two = sam(), robin()
    exchange(one, two)
    one.accept()
    two.accept()
    exchange(one, two, 1)
    return one, two


def up_to(stage: Stage) -> tuple[Pairing, Pairing]:
    """Sam waiting in `stage`, and Robin with the message for it ready to send."""
    if stage is Stage.OPEN:
        one, two = paired()
        two.send(b"payload")
        return one, two
    one, two = sam(), robin()
    steps = [Stage.AWAITING_PAKE, Stage.AWAITING_CONFIRM, Stage.AWAITING_OFFER, Stage.AWAITING_ACCEPT]
    exchange(one, two, steps.index(stage))
    if stage is Stage.AWAITING_ACCEPT:
        two.accept()
    return one, two


def dead(pairing: Pairing) -> None:
    """Nothing goes out or comes in any more."""
    assert pairing.stage is Stage.DEAD
    assert not pairing.complete
    assert pairing.data_to_send() == []
    with pytest.raises(RemoteProtocolError):
        pairing.receive(b"\x01anything")
    with pytest.raises(LocalProtocolError):
        pairing.send(b"payload")
    with pytest.raises(LocalProtocolError):
        pairing.accept()


LIVE: list[Stage] = [stage for stage in Stage if stage is not Stage.DEAD]


# Together


def test_two_with_the_same_code_get_each_others_offer_and_the_same_six_words() -> None:
    known_to_sam, known_to_robin = exchange(sam(), robin())
    [to_sam], [to_robin] = known_to_sam, known_to_robin
    assert isinstance(to_sam, Confirmed)
    assert isinstance(to_robin, Confirmed)
    assert (to_sam.offer, to_robin.offer) == (b"I am Robin", b"I am Sam")
    assert to_sam.safety_words == to_robin.safety_words
    assert len(to_sam.safety_words) == 6


def test_after_both_accepted_payloads_flow_both_ways() -> None:
    one, two = sam(), robin()
    exchange(one, two)
    assert one.safety_words == two.safety_words
    one.accept()
    assert deliver(one, two) == [PeerAccepted()]
    assert not two.complete
    two.accept()
    assert two.complete
    two.send(b"at once")
    assert deliver(two, one) == [PeerAccepted(), PayloadReceived(b"at once")]
    assert one.complete
    for size in (0, 1, 251, 252, 253, PAYLOAD_BYTES_MAX):
        one.send(bytes(size))
        two.send(b"x" * size)
    assert deliver(one, two) == [PayloadReceived(bytes(size)) for size in (0, 1, 251, 252, 253, PAYLOAD_BYTES_MAX)]
    assert len(deliver(two, one)) == 6


@settings(max_examples=15)
@given(st.binary(max_size=OFFER_BYTES_MAX), st.binary(max_size=PAYLOAD_BYTES_MAX))
def test_any_offer_and_payload_arrive_as_they_were_given(offer: bytes, payload: bytes) -> None:
    one, two = sam(offer=offer), robin()
    _, [confirmed] = exchange(one, two)
    assert isinstance(confirmed, Confirmed)
    assert confirmed.offer == offer
    one.accept()
    two.accept()
    exchange(one, two, 1)
    one.send(payload)
    assert deliver(one, two) == [PayloadReceived(payload)]


def test_every_body_fits_into_a_mailbox() -> None:
    assert MESSAGE_BYTES_MAX == MAILBOX_BYTES_MAX
    one, two = sam(offer=bytes(OFFER_BYTES_MAX)), robin()
    exchange(one, two, 2)
    [body] = one.data_to_send()
    assert len(body) <= MAILBOX_BYTES_MAX


def test_the_relay_does_not_learn_how_long_a_name_is() -> None:
    sizes = set()
    for name in (b"", b"Bo", b"Maximiliana von und zu Hohenfels"):
        one, two = sam(offer=name), robin()
        exchange(one, two, 2)
        sizes.add(len(one.data_to_send()[0]))
    assert len(sizes) == 1


def test_other_pairings_have_other_words() -> None:
    words = set()
    for seed in ("a", "b", "c"):
        one, two = sam(seed=seed), robin()
        exchange(one, two)
        words.add(one.safety_words)
    assert len(words) == 3


def test_notices_keep_secrets_out_of_a_repr() -> None:
    assert repr(Confirmed(b"secret", ("maple",))) == "Confirmed()"
    assert repr(PayloadReceived(b"secret")) == "PayloadReceived()"


# Nothing before its time


def test_no_offer_leaves_before_the_others_confirmation_was_right() -> None:
    """Until then, only the exchange and the proof go out: bodies of a fixed size with nothing of the offer in them."""
    one, two = sam(offer=b"OFFER" * 20), robin()
    first = one.data_to_send()
    two.receive(first[0])
    confirmation_only = two.data_to_send()
    one.receive(confirmation_only[0])
    second = one.data_to_send()
    assert [len(body) for body in first + second] == [35, 65]
    assert one.stage is Stage.AWAITING_CONFIRM


def test_nothing_is_accepted_before_there_are_words() -> None:
    one, two = sam(), robin()
    for _ in range(3):
        with pytest.raises(LocalProtocolError):
            one.accept()
        exchange(one, two, 1)
    one.accept()
    with pytest.raises(LocalProtocolError):
        one.accept()


def test_nothing_is_sent_before_both_accepted() -> None:
    one, two = sam(), robin()
    exchange(one, two)
    with pytest.raises(LocalProtocolError):
        one.send(b"early")
    one.accept()
    with pytest.raises(LocalProtocolError):
        one.send(b"early")
    deliver(one, two)
    with pytest.raises(LocalProtocolError):
        two.send(b"early")


def test_a_payload_before_our_own_acceptance_is_refused() -> None:
    """A peer that sends without waiting for this side's person is none of ours."""
    one, two = sam(), robin()
    exchange(one, two)
    two.accept()
    two._seal(machine.Kind.PAYLOAD, b"early")
    accept, payload = two.data_to_send()
    assert one.receive(accept) == [PeerAccepted()]
    with pytest.raises(RemoteProtocolError):
        one.receive(payload)
    dead(one)


def test_what_is_too_long_is_refused_here() -> None:
    with pytest.raises(LocalProtocolError):
        sam(offer=bytes(OFFER_BYTES_MAX + 1))
    one, _ = paired()
    with pytest.raises(LocalProtocolError):
        one.send(bytes(PAYLOAD_BYTES_MAX + 1))


def test_a_pairing_carries_a_bounded_number_of_messages() -> None:
    one, two = paired()
    for _ in range(SEALED_MESSAGES_MAX - 2):
        one.send(b"")
    with pytest.raises(LocalProtocolError):
        one.send(b"")
    assert len(deliver(one, two)) == SEALED_MESSAGES_MAX - 2
    one._seal(machine.Kind.PAYLOAD, b"")
    with pytest.raises(RemoteProtocolError):
        deliver(one, two)


# Wrong codes


@pytest.mark.parametrize(
    "other",
    [
        lambda: robin(PairingCode(7, ("maple", "river", "ocean"))),
        lambda: robin(PairingCode(7, ("river", "maple", "harbor"))),
        lambda: robin(PairingCode(8, CODE.words)),
        lambda: robin(relay=b"\x08" * 32),
    ],
    ids=["another word", "another order", "another nameplate", "another relay key"],
)
def test_a_wrong_code_is_told_to_both_and_shares_nothing(other: Callable[[], Pairing]) -> None:
    one, two = sam(), other()
    exchange(one, two, 1)
    first, second = one.data_to_send(), two.data_to_send()
    for end, body in ((two, first[0]), (one, second[0])):
        with pytest.raises(CodeMismatch):
            end.receive(body)
        dead(end)
        assert end.safety_words == ()


def test_the_name_of_the_relay_in_a_code_may_differ() -> None:
    """One may have it set and the other typed; what counts is its key."""
    one, two = sam(PairingCode(7, CODE.words, "relay.example.org")), robin()
    exchange(one, two)
    assert one.safety_words == two.safety_words != ()


# Somebody in between


@pytest.mark.parametrize("stage", LIVE)
def test_every_altered_byte_ends_the_pairing(stage: Stage) -> None:
    one, two = up_to(stage)
    [body] = two.data_to_send()
    for offset in range(0, len(body), 1 if len(body) < 100 else 9):
        victim, _ = up_to(stage)
        altered = bytearray(body)
        altered[offset] ^= 0x01
        # An altered key is noticed by the confirmation at the latest.
        with pytest.raises(REFUSED):
            receive_both(victim, bytes(altered), confirmation_after_pake())
        dead(victim)
    one.receive(body)


def receive_both(end: Pairing, first: bytes, second: bytes) -> None:
    end.receive(first)
    end.receive(second)


def confirmation_after_pake() -> bytes:
    one, two = sam(), robin()
    exchange(one, two, 1)
    return two.data_to_send()[0]


@pytest.mark.parametrize("stage", LIVE)
@pytest.mark.parametrize("cut", [0, 1, 2, 17, 34, -1])
def test_every_cut_ends_the_pairing(stage: Stage, cut: int) -> None:
    one, two = up_to(stage)
    [body] = two.data_to_send()
    with pytest.raises(REFUSED):
        one.receive(body[:cut])
    dead(one)


@pytest.mark.parametrize("stage", LIVE)
def test_a_longer_message_ends_the_pairing(stage: Stage) -> None:
    for tail in (b"\0", bytes(MESSAGE_BYTES_MAX)):
        one, two = up_to(stage)
        [body] = two.data_to_send()
        with pytest.raises(REFUSED):
            one.receive(body + tail)
        dead(one)


@pytest.mark.parametrize("stage", LIVE)
def test_a_reflected_message_ends_the_pairing(stage: Stage) -> None:
    one, _two = up_to(stage)
    if stage is Stage.AWAITING_ACCEPT:
        one.accept()
    if stage is Stage.OPEN:
        one.send(b"payload")
    [own] = one.data_to_send()
    with pytest.raises(REFUSED):
        one.receive(own)
    dead(one)


@pytest.mark.parametrize("stage", LIVE)
def test_a_repeated_message_ends_the_pairing(stage: Stage) -> None:
    one, two = up_to(stage)
    [body] = two.data_to_send()
    one.receive(body)
    with pytest.raises(REFUSED):
        one.receive(body)
    dead(one)


def test_a_lost_or_reordered_payload_ends_the_pairing() -> None:
    one, two = paired()
    two.send(b"first")
    two.send(b"second")
    _, second = two.data_to_send()
    with pytest.raises(RemoteProtocolError):
        one.receive(second)
    dead(one)


@pytest.mark.parametrize("stage", LIVE)
def test_a_message_from_another_pairing_with_the_same_code_ends_this_one(stage: Stage) -> None:
    one, _ = up_to(stage)
    other, peer = sam(seed="s2"), robin(seed="r2")
    bodies: list[bytes] = []
    for _ in range(3):
        first, second = other.data_to_send(), peer.data_to_send()
        bodies += second
        for body in second:
            other.receive(body)
        for body in first:
            peer.receive(body)
    other.accept()
    peer.accept()
    deliver(other, peer)
    peer.send(b"payload")
    bodies += peer.data_to_send()
    # The key exchange itself may come from anybody; what follows then doesn't fit.
    with pytest.raises(REFUSED):
        receive_both(one, bodies[LIVE.index(stage)], bodies[4])
    dead(one)


@pytest.mark.parametrize("stage", LIVE)
@settings(max_examples=25)
@given(data=st.data())
def test_any_bytes_at_any_time_end_the_pairing(stage: Stage, data: st.DataObject) -> None:
    one, _ = up_to(stage)
    noise = st.binary(max_size=120)
    body = data.draw(st.one_of(noise, noise.map(lambda tail: bytes([LIVE.index(stage) + 1, 1, 0x42]) + tail)))
    if stage is Stage.AWAITING_PAKE and len(body) == 35:
        return  # one in eight such bodies is a point of the curve, and then a wrong code
    with pytest.raises(REFUSED):
        one.receive(body)
    dead(one)


@pytest.mark.parametrize(
    "point",
    [bytes(32), b"\x01" + bytes(31), b"\xff" * 32, b"\xec" + b"\xff" * 30 + b"\x7f", b"\x02" + bytes(31)],
    ids=["order four", "zero", "too large", "order two", "off the curve"],
)
def test_keys_that_are_no_proper_point_are_refused(point: bytes) -> None:
    one = sam()
    with pytest.raises(RemoteProtocolError):
        one.receive(b"\x01\x01B" + point)
    dead(one)


def test_two_initiators_do_not_pair() -> None:
    one, two = sam(), sam(seed="another")
    with pytest.raises(RemoteProtocolError):
        deliver(two, one)
    dead(one)


def test_a_newer_way_of_pairing_is_said_plainly() -> None:
    one, two = sam(), robin()
    body = two.data_to_send()[0]
    with pytest.raises(RemoteProtocolError, match="newer Bide"):
        one.receive(body[:1] + b"\x02" + body[2:])


def test_somebody_in_between_with_the_code_gets_other_words() -> None:
    """Who overheard the code can pair with each side, but the two screens don't agree."""
    one, to_one, to_two, two = sam(), robin(seed="m1"), sam(seed="m2"), robin()
    exchange(one, to_one)
    exchange(to_two, two)
    assert one.safety_words != two.safety_words


def test_an_offer_other_than_the_announced_one_is_refused() -> None:
    """So nobody in between can try offers until the words agree."""
    for change in ({"_offer": b"another"}, {"_opening": bytes(32)}, {"_opening": b"", "_offer": b"short"}):
        one, two = sam(), robin()
        exchange(one, two, 1)
        confirm_one, confirm_two = one.data_to_send(), two.data_to_send()
        for name, value in change.items():
            setattr(two, name, value)
        two.receive(confirm_one[0])
        one.receive(confirm_two[0])
        with pytest.raises(RemoteProtocolError):
            deliver(two, one)
        dead(one)


def test_an_acceptance_that_says_more_is_refused() -> None:
    one, two = sam(), robin()
    exchange(one, two)
    two._seal(machine.Kind.ACCEPT, b"more")
    with pytest.raises(RemoteProtocolError):
        deliver(two, one)


@pytest.mark.parametrize(
    "padded", [b"", bytes(255), b"\xff" * 256, bytes(512), bytes(255) + b"\x01", b"\0\0\0\xfd" + bytes(252)]
)
def test_wrong_padding_is_refused(padded: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        machine._unpad(padded)


def test_a_pairing_can_be_given_up_at_any_time() -> None:
    for stage in LIVE:
        one, _ = up_to(stage)
        one.abort()
        dead(one)


def test_roles_are_each_others_other() -> None:
    assert Role.INITIATOR.other is Role.JOINER
    assert Role.JOINER.other is Role.INITIATOR
    assert (sam().role, robin().role) == (Role.INITIATOR, Role.JOINER)
