"""The two ends of a sync connection, without any input or output of their own.

A session is fed what arrived and says what to send. The same classes serve a websocket, a test network and a simulation::

    session = ClientSession()
    frame = session.receive_data(message)     # one websocket message in, one validated frame out
    session.send(Want(have=...))              # checked against the state table
    for message in session.data_to_send():    # bytes for the websocket
        ...

Breaking the protocol ourselves raises `LocalProtocolError`; the peer breaking it raises `RemoteProtocolError`, after which
`data_to_send` holds the goodbye and the connection must be closed.
"""

from __future__ import annotations

from bide.crypto import signing
from bide.errors import LocalProtocolError, RemoteProtocolError
from bide.protocol.codec import decode_frame, encode_frame
from bide.protocol.frames import (
    FRAME_BYTES_BEFORE_AUTH_MAX,
    FRAME_BYTES_MAX,
    FRAME_NAMES,
    SENTENCE_BYTES_MAX,
    VERSION,
    Auth,
    Error,
    Frame,
    Hello,
    LogHead,
    Welcome,
)
from bide.protocol.states import Side, State, next_state

_AUTH_CONTEXT = b"bide.auth\0"
_RELAY_CONTEXT = b"bide.relay\0"
_RELAY_SENDS_LARGE = frozenset({State.SYNCING, State.WELCOMED, State.AUTHENTICATING, State.REGISTERING})


def auth_message(*, relay_key: bytes, host: str, relay_nonce: bytes, nonce: bytes, space: bytes, device: bytes) -> bytes:
    """What a device signs to show that it is itself, here and now, to this relay under this name."""
    name = host.encode()
    return _AUTH_CONTEXT + relay_key + len(name).to_bytes(2, "big") + name + relay_nonce + nonce + space + device


def relay_proof_message(*, relay_nonce: bytes, nonce: bytes, space: bytes) -> bytes:
    """What the relay signs to show that it holds the key that it announced."""
    return _RELAY_CONTEXT + relay_nonce + nonce + space


def as_sentence(words: str) -> str:
    """`words` cut to what an `Error` frame carries: 256 bytes, and some letters take more than one."""
    return words.encode()[:SENTENCE_BYTES_MAX].decode(errors="ignore")


class Session:
    """What both ends share: the state, the outgoing frames, and the checks against the table."""

    side: Side
    peer: Side

    def __init__(self) -> None:
        self.state: State = State.CONNECTED
        self._outgoing: list[bytes] = []

    @property
    def closed(self) -> bool:
        """Whether the connection is over and only `data_to_send` is left to do."""
        return self.state is State.CLOSED

    def frame_bytes_max(self) -> int:
        """The longest message to accept now."""
        return FRAME_BYTES_MAX

    def receive_data(self, data: bytes) -> Frame:
        """Take one message.

        Returns:
            The frame, already accepted by the state table.

        Raises:
            RemoteProtocolError: it is no frame, or not allowed now. The session is closed; send `data_to_send` and hang up.
        """
        if self.closed:
            raise RemoteProtocolError("The other side went on after the end.")
        try:
            frame = decode_frame(data, bytes_max=self.frame_bytes_max())
            state = next_state(self.state, self.peer, frame)
            if state is None:
                raise RemoteProtocolError("The other side sent {frame!r} at the wrong time.", frame=FRAME_NAMES[type(frame)])
            self.check(frame)
        except RemoteProtocolError as error:
            self.fail(error.code, error.message)
            raise
        self.state = state
        return frame

    def check(self, frame: Frame) -> None:
        """Further checks of an incoming frame; raises `RemoteProtocolError`."""

    def send(self, frame: Frame) -> None:
        """Put a frame into `data_to_send`.

        Raises:
            LocalProtocolError: it is not our turn to say that.
        """
        state = next_state(self.state, self.side, frame)
        if state is None:
            name = FRAME_NAMES[type(frame)]
            raise LocalProtocolError("{frame!r} can't be sent while {state}.", frame=name, state=self.state.value)
        self.state = state
        self._outgoing.append(encode_frame(frame))

    def fail(self, code: str, words: str, *, retry_after_ms: int = 0) -> None:
        """Say what is wrong and close. Does nothing when closed already."""
        if not self.closed:
            self.send(Error(code, as_sentence(words), True, retry_after_ms, []))

    def data_to_send(self) -> list[bytes]:
        """The messages to send now, each once."""
        messages, self._outgoing = self._outgoing, []
        return messages


class ClientSession(Session):
    """The device's end."""

    side = Side.CLIENT
    peer = Side.RELAY

    def __init__(self) -> None:
        super().__init__()
        self.hello: Hello | None = None
        self._nonce = b""
        self._space = b""

    def authenticate(self, *, space: bytes, device: bytes, signing_seed: bytes, host: str, nonce: bytes) -> None:
        """Answer the hello: prove that this device is itself.

        Args:
            space: 16 bytes.
            device: its Ed25519 public key in that space.
            signing_seed: the 32 bytes behind it.
            host: host and port as dialled, e.g. ``relay.example.org`` or ``127.0.0.1:8765``.
            nonce: 32 fresh random bytes.
        """
        if self.hello is None:
            raise LocalProtocolError("There was no hello to answer.")
        message = auth_message(
            relay_key=self.hello.relay_key,
            host=host,
            relay_nonce=self.hello.nonce,
            nonce=nonce,
            space=space,
            device=device,
        )
        self.send(Auth(VERSION, space, device, nonce, host, signing.sign(message, signing_seed)))
        self._nonce, self._space = nonce, space

    def check(self, frame: Frame) -> None:
        """Keep the hello; verify the relay's proof in its welcome."""
        if isinstance(frame, Hello):
            if VERSION not in frame.versions:
                raise RemoteProtocolError("The relay speaks only other versions of the protocol: one side is too old.")
            self.hello = frame
        elif isinstance(frame, Welcome):
            assert self.hello is not None  # the table allows a welcome only after a hello
            message = relay_proof_message(relay_nonce=self.hello.nonce, nonce=self._nonce, space=self._space)
            if not signing.verify(message, frame.proof, self.hello.relay_key):
                raise RemoteProtocolError("The relay does not hold the key that it announced.")


class RelaySession(Session):
    """The relay's end. Verifies who a device is; whether it may do something is the service's to say."""

    side = Side.RELAY
    peer = Side.CLIENT

    def __init__(self, hello: Hello, *, signing_seed: bytes, host: str) -> None:
        """Greet.

        Args:
            hello: what to say, with a fresh nonce.
            signing_seed: the 32 bytes behind its relay key.
            host: host and port that this connection came to, as the client must have dialled them.
        """
        super().__init__()
        self._hello = hello
        self._seed = signing_seed
        self._host = host
        self.auth: Auth | None = None
        """The verified proof, once there is one."""
        self.send(hello)

    def frame_bytes_max(self) -> int:
        """4 KiB before a device is known, 320 KiB after."""
        if self.state in _RELAY_SENDS_LARGE:
            return FRAME_BYTES_MAX
        return FRAME_BYTES_BEFORE_AUTH_MAX

    def check(self, frame: Frame) -> None:
        """Verify an authentication."""
        if not isinstance(frame, Auth):
            return
        if frame.version != VERSION:
            raise RemoteProtocolError("The client speaks another version of the protocol.")
        message = auth_message(
            relay_key=self._hello.relay_key,
            host=frame.host,
            relay_nonce=self._hello.nonce,
            nonce=frame.nonce,
            space=frame.space,
            device=frame.device,
        )
        if frame.host != self._host or not signing.verify(message, frame.signature, frame.device):
            raise RemoteProtocolError("That authentication is not for this connection.")
        self.auth = frame

    def welcome(self, heads: list[tuple[bytes, int, bytes]], *, provisional: bool) -> None:
        """Accept the device, and say what is here."""
        if self.auth is None:
            raise LocalProtocolError("There is nobody to welcome yet.")
        message = relay_proof_message(relay_nonce=self._hello.nonce, nonce=self.auth.nonce, space=self.auth.space)
        proof = signing.sign(message, self._seed)
        self.send(Welcome([LogHead(*head) for head in heads], proof, provisional))
