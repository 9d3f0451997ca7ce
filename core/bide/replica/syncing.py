"""Syncing one space with a relay: what to send, what to take, and when it is done. Bytes in, bytes out, no network.

The exact answer to "what is missing" is small, since a pair has a handful of logs: the relay tells its heads, this side says
how far it is, and both send what the other lacks, at once. Everything is idempotent by (log, seq, hash), so a connection may
break at any byte and the next one goes on from the heads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bide.crypto import signing
from bide.errors import (
    BideError,
    ForkDetected,
    NotAllowed,
    Phrase,
    RelayUnreachable,
    RemoteProtocolError,
    VerificationFailed,
)
from bide.ids import LogId, Randomness
from bide.log.envelope import LOG_ID_AT, parse_envelope
from bide.log.head import Head
from bide.log.membership import fold
from bide.protocol.frames import (
    BATCH_BYTES_MAX,
    BATCH_ENVELOPES_MAX,
    CaughtUp,
    Envelopes,
    Error,
    Hello,
    LogPosition,
    Register,
    Stored,
    Want,
    Welcome,
)
from bide.protocol.session import ClientSession
from bide.protocol.states import REVOKED_LOG_CODE, UNKNOWN_SPACE_CODE, State
from bide.replica.belonging import read_belonging
from bide.replica.receiving import Receiver
from bide.storage.base import SpaceRecord, Storage, StoredEnvelope

_BATCHES_IN_FLIGHT_MAX = 8
"""Sent and not yet acknowledged: enough to keep the relay busy, little enough to keep memory flat."""
_RELAY_ERRORS: Mapping[str, tuple[type[BideError], str]] = {
    "revoked": (NotAllowed, "This device was removed from the devices of this journal."),
    "not_a_member": (VerificationFailed, "The relay doesn't know this device as a member of the space."),
    "invite_required": (NotAllowed, "This relay asks for an invite."),
    "invite_spent": (NotAllowed, "That invite has been used up or is not of this relay."),
    "quota": (NotAllowed, "The relay has no more room for this space."),
    "disk_low": (RelayUnreachable, "The relay's disk is full; it takes nothing just now."),
    "rate_limited": (RelayUnreachable, "The relay asks for patience."),
    "error": (RelayUnreachable, "Something went wrong at the relay."),
    "gap": (VerificationFailed, "The relay lacks something that comes before what was sent."),
    "envelope_rejected": (VerificationFailed, "The relay refused an entry as not genuine."),
    "membership_rejected": (VerificationFailed, "The relay refused a change of who belongs to the space."),
    "too_many_connections": (RelayUnreachable, "The relay is busy."),
    "shutting_down": (RelayUnreachable, "The relay is being restarted."),
    "fork": (ForkDetected, "The relay holds another past of this device's log."),
}
_INVITE_HINT = "Ask whoever runs it for one, then: bide relay set URL --invite TOKEN"


_FOUNDER_INVITE_HINT = "They ask whoever runs the relay for one, then: bide relay set URL --invite TOKEN, and bide sync"
_NO_INVITE = Phrase(
    "This relay takes your private entries only with an invite of your own; they stay on this device. "
    "With one: bide relay set URL --invite TOKEN"
)


class SpaceSync:
    """One connection's worth of syncing one space."""

    def __init__(
        self,
        storage: Storage,
        space: SpaceRecord,
        *,
        host: str,
        live: bool,
        randomness: Randomness,
        on_caught_up: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare; the relay speaks first.

        Args:
            storage: the replica.
            space: which space.
            host: host and port as dialled; the proof of identity is bound to it.
            live: stay after catching up.
            randomness: for the nonce.
            on_caught_up: called once everything that the relay has is here: what is written then can't fork this device's log.
        """
        self._on_caught_up = on_caught_up
        self._storage = storage
        self._space = space
        self._host = host
        self._live = live
        self._randomness = randomness
        self._session = ClientSession()
        self._receiver = Receiver(storage, space)
        self._announced: dict[LogId, int] = {}
        """How far each log is at the relay, by its welcome: it has to send that much."""
        self._relay: dict[LogId, int] = {}
        """How far each log is at the relay, as it said or as was sent."""
        self._in_flight: list[tuple[LogId, int]] = []
        """The last entry of each batch that is not yet acknowledged."""
        self._confirmed: dict[LogId, int] = {}
        """How far each log is at the relay, as it said."""
        self._halted = False
        """The relay refused what a removed device wrote: what else there is goes once it is known here how far that counts."""
        self._refused_some = False
        self._milestones: tuple[int, list[tuple[LogId, int]]] = (-1, [])
        """For so many control entries: their places, each after all that it builds on."""
        self._caught_up = False
        self.sent = 0
        self.to_send = 0
        self.received = 0
        self.to_receive = 0
        self.notices: list[Phrase] = []
        self.declined = ""
        """The relay's error code, if it doesn't take this space and that is no error for the person."""
        self.progress = 0
        """Goes up with every new envelope, every acknowledgement of something on its way, and when all has come."""

    @property
    def closed(self) -> bool:
        """Whether the connection is over."""
        return self._session.closed

    @property
    def finished(self) -> bool:
        """Whether both sides have everything, durably, as far as this side knows."""
        return self._caught_up and not self._in_flight and not self._unsent()

    @property
    def live(self) -> bool:
        """Whether to stay after `finished`."""
        return self._live

    def data_to_send(self) -> list[bytes]:
        """The messages to send now."""
        return self._session.data_to_send()

    def receive_data(self, message: bytes) -> None:
        """Take one message from the relay.

        Raises:
            RemoteProtocolError: the relay broke the protocol.
            VerificationFailed: what it sent is not genuine; also as `ForkDetected`, `EnvelopeRejected`.
            NotAllowed: it wants an invite, or has no room.
            RelayUnreachable: it takes nothing just now.
        """
        match self._session.receive_data(message):
            case Hello() as hello:
                self._greet(hello)
            case Welcome() as welcome:
                self._compare(welcome)
            case Envelopes(envelopes):
                self._take(envelopes)
            case Stored(heads):
                self._acknowledge([Head(LogId(log), seq, digest) for log, seq, digest in heads])
            case CaughtUp():
                self._catch_up()
            case Error() as error:
                self._refused(error)
            case _:
                raise RemoteProtocolError

    def wake(self) -> None:
        """Something may have been written here: send it."""
        if self._session.state is State.SYNCING:
            self._send_more()

    # The steps of a connection

    def _greet(self, hello: Hello) -> None:
        key = f"relay_store.{self._space.space_id.hex()}"
        known, now = self._storage.meta(key), (hello.relay_key + hello.store_id).hex()
        if known != now:
            if known:
                self.notices.append(Phrase("The relay's storage is new; it gets everything again."))
            with self._storage.transaction():
                self._storage.put_meta(key, now)
        self._session.authenticate(
            space=self._space.space_id,
            device=signing.public_key(self._space.signing_seed),
            signing_seed=self._space.signing_seed,
            host=self._host,
            nonce=self._randomness.token(32),
        )

    def _compare(self, welcome: Welcome) -> None:
        """Hold what the relay has against what is here, before anything is sent."""
        if welcome.provisional and self._space.pending:
            self._not_admitted_yet()
            return
        heads = self._storage.heads(self._space.space_id)
        known = self._storage.relay_heads(self._space.space_id)
        theirs = {LogId(head.log_id): Head(LogId(head.log_id), head.seq, head.hash) for head in welcome.heads}
        for log, head in theirs.items():
            mine = heads.get(log)
            if mine is not None and head.seq <= mine.seq:
                here = self._storage.envelope(self._space.space_id, log, head.seq)
                if here is not None and here.hash != head.hash:
                    raise ForkDetected(
                        "The relay holds another past of a log than this device.",
                        hint="Perhaps this home was copied or restored. Nothing was sent. See: bide doctor",
                    )
            self._relay[log] = self._announced[log] = self._confirmed[log] = head.seq
            self.to_receive += max(0, head.seq - (mine.seq if mine else 0))
        if any(self._relay.get(log, 0) < head.seq for log, head in known.items()):
            self.notices.append(Phrase("The relay has lost something that it had; it gets it again."))
        with self._storage.transaction():
            for log in known:
                if log not in theirs:
                    self._storage.put_relay_head(self._space.space_id, Head(log, 0, bytes(32)))
            for log, head in theirs.items():
                # Only what is here too can be told from what the relay just says.
                if log in heads and head.seq <= heads[log].seq and known.get(log) != head:
                    self._storage.put_relay_head(self._space.space_id, head)
        self.to_send = self._unsent()
        self._session.send(Want([LogPosition(log, head.seq) for log, head in sorted(heads.items())]))
        self._send_more()

    def _take(self, envelopes: list[bytes]) -> None:
        space = self._space.space_id
        try:
            with self._storage.transaction():
                new = self._receiver.receive(envelopes, more_follows=True)
                heads = self._storage.heads(space)
                for log in {LogId(data[LOG_ID_AT]) for data in envelopes} & heads.keys():
                    self._relay[log] = max(self._relay.get(log, 0), heads[log].seq)
                    self._confirmed[log] = max(self._confirmed.get(log, 0), heads[log].seq)
                    if new:
                        self._storage.put_relay_head(space, heads[log])
        except ForkDetected as fork:
            self._keep_evidence(fork)
            raise
        self.received += new
        self.progress += new
        if self._space.pending:
            self._space = next(s for s in self._storage.spaces() if s.space_id == space)
        self.to_receive = max(self.to_receive, self.received)
        self._send_more()

    def _catch_up(self) -> None:
        """The relay says that this was all: hold it to its word."""
        self._receiver.finish()
        heads = self._storage.heads(self._space.space_id)
        if any(log not in heads or heads[log].seq < seq for log, seq in self._announced.items()):
            raise VerificationFailed("The relay announced entries that it did not send.")
        self._announced.clear()
        if not self._caught_up:
            self.progress += 1
            self._caught_up = True
            if self._halted:
                self._halted = False
                self._relay = dict(self._confirmed)
            self._on_caught_up()
            self._send_more()

    def _keep_evidence(self, fork: ForkDetected) -> None:
        """Two signed entries at one place prove that a device, or a copy of it, wrote two pasts. Doctor tells of it."""
        if fork.evidence:
            with self._storage.transaction():
                self._storage.put_evidence(self._space.space_id, fork.evidence)

    def _acknowledge(self, heads: list[Head]) -> None:
        space, on_its_way = self._space.space_id, len(self._in_flight)
        known = self._storage.relay_heads(space)
        with self._storage.transaction():
            for head in heads:
                here = self._storage.envelope(space, head.log_id, head.seq)
                if here is None or here.hash != head.hash or not (on_its_way or self._refused_some):
                    raise RemoteProtocolError("The relay acknowledged something that was not sent.")
                self._confirmed[head.log_id] = max(self._confirmed.get(head.log_id, 0), head.seq)
                if head.log_id not in known or known[head.log_id].seq < head.seq:
                    self._storage.put_relay_head(space, head)
                self._in_flight = [(log, seq) for log, seq in self._in_flight if log != head.log_id or seq > head.seq]
        self.progress += on_its_way - len(self._in_flight)
        self._send_more()

    def _send_more(self) -> None:
        """Send batches, each log in order, until nothing is left or enough is on its way."""
        if self._halted:
            return
        space = self._space.space_id
        for log, upto in self._stretches():
            while self._relay.get(log, 0) < upto:
                if len(self._in_flight) >= _BATCHES_IN_FLIGHT_MAX:
                    return
                after = self._relay.get(log, 0)
                count_max = min(BATCH_ENVELOPES_MAX, upto - after)
                batch = self._storage.envelopes_after(space, log, after, bytes_max=BATCH_BYTES_MAX, count_max=count_max)
                if not batch:
                    break
                self._session.send(Envelopes([envelope.data for envelope in batch]))
                self._relay[log] = batch[-1].seq
                self._in_flight.append((log, batch[-1].seq))
                self.sent += len(batch)
        self.to_send = max(self.to_send, self.sent + self._unsent())

    def _stretches(self) -> list[tuple[LogId, int]]:
        """How far to send which log, one after the other: whatever changes the membership after all that it builds on."""
        space = self._space.space_id
        ends = self._sendable()
        controls = self._storage.controls(space)
        stretches: list[tuple[LogId, int]] = []
        if any(control.seq > self._relay.get(control.log_id, 0) for control in controls):
            count, places = self._milestones
            if count != len(controls):
                order = fold(space, [parse_envelope(control.data) for control in controls])[1]
                places = [(envelope.log_id, envelope.seq) for envelope in order]
                self._milestones = len(controls), places
            stretches = [(log, seq) for log, seq in places if seq <= ends.get(log, 0)]
        return stretches + [(log, ends[log]) for log in self._logs_in_order() if log in ends]

    def _sendable(self) -> dict[LogId, int]:
        """How far each log is passed on: all of it, or as far as that of a removed device is needed."""
        needed = read_belonging(self._storage, self._space.space_id).needed
        heads = self._storage.heads(self._space.space_id)
        return {log: min(head.seq, needed.get(log, head.seq)) for log, head in heads.items()}

    def _logs_in_order(self) -> list[LogId]:
        """Those who admit before those whom they admit."""
        return [member.log_id for member in self._storage.members(self._space.space_id)]

    def _founds(self, envelope: StoredEnvelope) -> bool:
        logs = self._logs_in_order()
        return envelope.seq == 1 and bool(logs) and envelope.log_id == logs[0]

    def _not_admitted_yet(self) -> None:
        self.notices.append(Phrase("The other device has not finished pairing on its side yet."))
        self._session.fail("not_admitted", "This device has not been admitted yet.")

    def _unsent(self) -> int:
        return sum(max(0, seq - self._relay.get(log, 0)) for log, seq in self._sendable().items())

    def _refused_a_log(self) -> None:
        """What was sent is by a removed device: begin anew from what the relay has, once it is known how far that counts."""
        if self._refused_some and self._caught_up:
            raise NotAllowed("The relay no longer takes what a removed device wrote.", hint="Run: bide sync")
        self._refused_some = True
        self._halted = not self._caught_up
        self._in_flight.clear()
        self._relay = dict(self._confirmed)
        self.progress += 1
        self._send_more()

    def _refused(self, error: Error) -> None:
        if error.code == UNKNOWN_SPACE_CODE and not error.fatal and self._session.state is not State.SYNCING:
            if self._space.pending:
                self._not_admitted_yet()
                return
            genesis = next((each for each in self._storage.controls(self._space.space_id) if self._founds(each)), None)
            if genesis is None:
                raise NotAllowed(
                    "Neither this device nor the relay has the beginning of this journal.",
                    hint="Another device of it brings it back to the relay: sync there first.",
                )
            self._session.send(Register(self._storage.meta("relay_invite"), genesis.data))
            return
        if error.code == REVOKED_LOG_CODE and not error.fatal:
            self._refused_a_log()
            return
        if error.code == "invite_required" and self._space.kind == "own" and len(self._storage.spaces()) > 1:
            # Someone who joined another's space has no invite of their own, and needs none for what they share.
            self.notices.append(_NO_INVITE)
            self.declined = error.code
            self._session.fail("no_invite", "There is no invite for this space.")
            return
        if error.code.startswith("invite") and self._space.slot == 1:
            raise NotAllowed("This relay asks for an invite of the one who founded the space.", hint=_FOUNDER_INVITE_HINT)
        if error.code not in _RELAY_ERRORS:
            raise RemoteProtocolError("The relay refused: {words}", words=plain_words(error.words))
        kind, words = _RELAY_ERRORS[error.code]
        raise kind(words, hint=_INVITE_HINT if error.code.startswith("invite") else None)


def plain_words(words: str) -> str:
    """A relay's words, fit for a terminal."""
    return "".join(character if character.isprintable() else " " for character in words)[:200]
