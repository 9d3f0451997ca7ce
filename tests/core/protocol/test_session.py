"""Both ends of a connection: the table is obeyed, proofs are checked, and a broken rule closes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.crypto import signing
from bide.errors import LocalProtocolError, RemoteProtocolError
from bide.protocol.codec import decode_frame, encode_frame
from bide.protocol.frames import (
    FRAME_BYTES_BEFORE_AUTH_MAX,
    FRAME_BYTES_MAX,
    FRAME_NAMES,
    Auth,
    CaughtUp,
    Envelopes,
    Error,
    Forget,
    Forgotten,
    Frame,
    Hello,
    LogHead,
    LogPosition,
    MailboxClaim,
    MailboxClosed,
    MailboxMessage,
    MailboxOpen,
    MailboxOpened,
    MailboxReady,
    Register,
    Stored,
    Want,
    Welcome,
)
from bide.protocol.session import ClientSession, RelaySession, Session, auth_message
from bide.protocol.states import Side, State, next_state
from bide.testing import HOST, SeededRandomness, SessionPair, SpaceBuilder

SPACE = SpaceBuilder.found()
ROBIN = SPACE.join()
HEADS = [LogHead(*head) for head in SPACE.heads()]
SAMPLES: dict[type[Frame], Frame] = {
    Hello: Hello([1], bytes(32), bytes(32), bytes(16), {}),
    Auth: Auth(1, bytes(16), bytes(32), bytes(32), HOST, bytes(64)),
    Register: Register("", bytes(204)),
    Welcome: Welcome([], bytes(64), False),
    Want: Want([LogPosition(bytes(16), 0)]),
    Envelopes: Envelopes([SPACE.controls[0].data]),
    Stored: Stored(HEADS),
    CaughtUp: CaughtUp(),
    Forget: Forget(),
    Forgotten: Forgotten(False),
    Error: Error("busy", "words", False, 0, []),
    MailboxOpen: MailboxOpen(),
    MailboxOpened: MailboxOpened(7, 600),
    MailboxClaim: MailboxClaim(7),
    MailboxReady: MailboxReady(),
    MailboxMessage: MailboxMessage(b"body"),
    MailboxClosed: MailboxClosed("done"),
}
EVERY = [(state, side, kind) for state in State for side in Side for kind in FRAME_NAMES]
FORBIDDEN = [(state, side, kind) for state, side, kind in EVERY if next_state(state, side, SAMPLES[kind]) is None]
ALLOWED = [key for key in EVERY if key not in FORBIDDEN]


def session_of(side: Side) -> Session:
    """A fresh end, with what it says by itself taken away."""
    pair = SessionPair()
    session = pair.client if side is Side.CLIENT else pair.relay
    session.data_to_send()
    return session


def last_words(session: Session) -> Error:
    frame = decode_frame(session.data_to_send()[-1])
    assert isinstance(frame, Error)
    return frame


# The table


def test_both_ends_obey_the_whole_table() -> None:
    """Every (state, side, frame) that is not in the table is refused: by the receiver as the other's fault, and closing;
    by the sender as our own, changing nothing."""
    assert len(FORBIDDEN) > 250
    for state, side, kind in FORBIDDEN:
        sender = session_of(side)
        sender.state = state
        with pytest.raises(LocalProtocolError):
            sender.send(SAMPLES[kind])
        assert (sender.state, sender.data_to_send()) == (state, [])
        receiver = session_of(Side.RELAY if side is Side.CLIENT else Side.CLIENT)
        receiver.state = state
        with pytest.raises(RemoteProtocolError):
            receiver.receive_data(encode_frame(SAMPLES[kind]))
        assert receiver.closed
        assert bool(receiver.data_to_send()) == (state is not State.CLOSED)


def test_what_the_table_allows_can_be_sent() -> None:
    for state, side, kind in ALLOWED:
        sender = session_of(side)
        sender.state = state
        sender.send(SAMPLES[kind])
        assert sender.state is next_state(state, side, SAMPLES[kind])
        assert [decode_frame(data) for data in sender.data_to_send()] == [SAMPLES[kind]]


def test_what_the_table_allows_can_be_received() -> None:
    """Apart from what needs a proof, which has its own tests."""
    for state, side, kind in ALLOWED:
        if kind in (Auth, Welcome):
            continue
        receiver = session_of(Side.RELAY if side is Side.CLIENT else Side.CLIENT)
        receiver.state = state
        assert receiver.receive_data(encode_frame(SAMPLES[kind])) == SAMPLES[kind]
        assert receiver.state is next_state(state, side, SAMPLES[kind])


# The way through


def test_a_device_gets_in_and_syncs() -> None:
    pair = SessionPair()
    pair.authenticate(SPACE, ROBIN)
    assert pair.relay.auth is not None
    assert pair.relay.auth.device == ROBIN.device_id
    pair.relay.welcome(list(SPACE.heads()), provisional=False)
    [(side, welcome)] = pair.flush()
    assert side is Side.RELAY
    assert isinstance(welcome, Welcome)
    assert welcome.heads == HEADS
    pair.send(Side.CLIENT, Want([]))
    envelopes = Envelopes([e.data for e in SPACE.controls])
    assert pair.send(Side.RELAY, envelopes) == [(Side.RELAY, envelopes)]
    assert pair.send(Side.CLIENT, envelopes) == [(Side.CLIENT, envelopes)]
    assert pair.send(Side.RELAY, Stored(HEADS)) == [(Side.RELAY, Stored(HEADS))]
    assert pair.send(Side.RELAY, CaughtUp()) == [(Side.RELAY, CaughtUp())]
    assert pair.client.state is pair.relay.state is State.SYNCING


def test_an_unknown_space_is_registered() -> None:
    pair = SessionPair()
    pair.authenticate(SPACE, ROBIN)
    pair.send(Side.RELAY, Error("unknown_space", "I don't have that space.", False, 0, []))
    assert pair.client.state is State.UNKNOWN_SPACE
    pair.send(Side.CLIENT, Register("invite", SPACE.controls[0].data))
    pair.relay.welcome([], provisional=True)
    [(_, welcome)] = pair.flush()
    assert isinstance(welcome, Welcome)
    assert welcome.provisional


def test_two_meet_in_a_mailbox() -> None:
    pair = SessionPair()
    pair.flush()
    pair.send(Side.CLIENT, MailboxOpen())
    pair.send(Side.RELAY, MailboxOpened(7, 600))
    pair.send(Side.RELAY, MailboxReady())
    pair.send(Side.CLIENT, MailboxMessage(b"to you"))
    pair.send(Side.RELAY, MailboxMessage(b"to me"))
    pair.send(Side.CLIENT, MailboxClosed("done"))
    assert pair.client.closed
    assert pair.relay.closed


# Proofs


def test_the_relay_proves_the_key_that_it_announced() -> None:
    pair = SessionPair()
    pair.authenticate(SPACE, ROBIN)
    pair.relay.welcome([], provisional=False)
    [data] = pair.relay.data_to_send()
    welcome = decode_frame(data)
    assert isinstance(welcome, Welcome)
    for forged in (bytes(64), signing.sign(b"else", pair.relay_seed), welcome.proof[:-1] + b"\0"):
        victim = SessionPair()
        victim.authenticate(SPACE, ROBIN)
        with pytest.raises(RemoteProtocolError, match="does not hold the key"):
            victim.client.receive_data(encode_frame(welcome._replace(proof=forged)))
        assert victim.client.closed
    assert pair.client.receive_data(data) == welcome


def test_a_relays_proof_is_for_one_connection() -> None:
    """A welcome recorded elsewhere is refused: it covers both nonces."""
    one = SessionPair()
    one.authenticate(SPACE, ROBIN)
    one.relay.welcome([], provisional=False)
    recorded = one.relay.data_to_send()
    two = SessionPair(randomness=SeededRandomness("later"))
    two.authenticate(SPACE, ROBIN)
    with pytest.raises(RemoteProtocolError):
        two.client.receive_data(recorded[0])


def test_an_authentication_replayed_on_another_connection_is_refused() -> None:
    one = SessionPair()
    one.flush()
    one.client.authenticate(
        space=SPACE.id, device=ROBIN.device_id, signing_seed=ROBIN.keys.signing_seed, host=HOST, nonce=bytes(32)
    )
    [recorded] = one.client.data_to_send()
    hello = one.client.hello
    assert hello is not None
    later = RelaySession(hello._replace(nonce=b"\x09" * 32), signing_seed=one.relay_seed, host=HOST)
    with pytest.raises(RemoteProtocolError, match="not for this connection"):
        later.receive_data(recorded)
    assert later.auth is None
    assert later.closed
    assert one.relay.receive_data(recorded)


def test_an_authentication_passed_on_to_another_relay_is_refused() -> None:
    """The key of the relay and the host that was dialled are in the signature."""
    one = SessionPair()
    one.flush()
    one.client.authenticate(
        space=SPACE.id, device=ROBIN.device_id, signing_seed=ROBIN.keys.signing_seed, host="evil.test", nonce=bytes(32)
    )
    [passed_on] = one.client.data_to_send()
    with pytest.raises(RemoteProtocolError):
        one.relay.receive_data(passed_on)
    auth = decode_frame(passed_on)
    assert isinstance(auth, Auth)
    two = SessionPair()
    with pytest.raises(RemoteProtocolError):
        two.relay.receive_data(encode_frame(auth._replace(host=HOST)))


@pytest.mark.parametrize("field", ["space", "device", "nonce", "signature"])
def test_every_field_of_an_authentication_is_under_the_signature(field: str) -> None:
    pair = SessionPair()
    pair.flush()
    pair.client.authenticate(
        space=SPACE.id, device=ROBIN.device_id, signing_seed=ROBIN.keys.signing_seed, host=HOST, nonce=bytes(32)
    )
    auth = decode_frame(pair.client.data_to_send()[0])
    assert isinstance(auth, Auth)
    altered = bytes([getattr(auth, field)[0] ^ 1]) + getattr(auth, field)[1:]
    with pytest.raises(RemoteProtocolError):
        pair.relay.receive_data(encode_frame(auth._replace(**{field: altered})))


def test_host_and_what_follows_cannot_be_shifted_into_each_other() -> None:
    def message(host: str, nonce: bytes) -> bytes:
        return auth_message(relay_key=b"", host=host, relay_nonce=nonce, nonce=b"", space=b"", device=b"")

    assert message("ab", b"c") != message("a", b"bc")


# Versions


def test_a_relay_of_other_versions_only_is_refused() -> None:
    client = ClientSession()
    hello = SAMPLES[Hello]
    assert isinstance(hello, Hello)
    with pytest.raises(RemoteProtocolError, match="too old"):
        client.receive_data(encode_frame(hello._replace(versions=[2, 3])))


def test_a_client_of_another_version_is_refused() -> None:
    pair = SessionPair()
    auth = SAMPLES[Auth]
    assert isinstance(auth, Auth)
    with pytest.raises(RemoteProtocolError, match="another version"):
        pair.relay.receive_data(encode_frame(auth._replace(version=2)))


# Breaking the rules


@given(st.binary(max_size=200), st.sampled_from(Side))
def test_any_bytes_are_a_frame_or_close_the_connection(data: bytes, side: Side) -> None:
    session = session_of(side)
    try:
        session.receive_data(data)
    except RemoteProtocolError:
        assert session.closed
        goodbye = last_words(session)
        assert goodbye.fatal
        assert goodbye.code == "remote_protocol"


def test_nothing_is_heard_after_the_end() -> None:
    session = session_of(Side.CLIENT)
    session.fail("bye", "Enough.")
    with pytest.raises(RemoteProtocolError, match="after the end"):
        session.receive_data(encode_frame(SAMPLES[Hello]))
    assert last_words(session) == Error("bye", "Enough.", True, 0, [])
    session.fail("bye", "Again.")
    assert session.data_to_send() == []


def test_last_words_fit_into_a_frame_in_any_language() -> None:
    session = session_of(Side.RELAY)
    session.fail("bye", "ü" * 300, retry_after_ms=500)
    goodbye = last_words(session)
    assert goodbye.words == "ü" * 128
    assert goodbye.retry_after_ms == 500


def test_a_relay_takes_little_before_it_knows_the_device() -> None:
    """4 KiB until then, 320 KiB afterwards; a client always takes 320 KiB."""
    pair = SessionPair()
    assert pair.relay.frame_bytes_max() == FRAME_BYTES_BEFORE_AUTH_MAX
    assert pair.client.frame_bytes_max() == FRAME_BYTES_MAX
    with pytest.raises(RemoteProtocolError, match="larger"):
        pair.relay.receive_data(bytes(FRAME_BYTES_BEFORE_AUTH_MAX + 1))
    pair = SessionPair()
    pair.start_sync(SPACE, ROBIN)
    assert pair.relay.frame_bytes_max() == FRAME_BYTES_MAX


def test_there_is_nothing_to_answer_before_the_hello() -> None:
    client = ClientSession()
    with pytest.raises(LocalProtocolError):
        client.authenticate(space=bytes(16), device=bytes(32), signing_seed=bytes(32), host=HOST, nonce=bytes(32))


def test_there_is_nobody_to_welcome_before_the_authentication() -> None:
    with pytest.raises(LocalProtocolError):
        SessionPair().relay.welcome([], provisional=False)


def test_a_second_authentication_leaves_the_first_one_standing() -> None:
    pair = SessionPair()
    pair.authenticate(SPACE, ROBIN)
    with pytest.raises(LocalProtocolError):
        pair.authenticate(SPACE, ROBIN)
    pair.relay.welcome([], provisional=False)
    assert isinstance(pair.flush()[0][1], Welcome)
