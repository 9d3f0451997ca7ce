"""Syncing one space with a relay: what to send, what to take, and when it is done. Bytes in, bytes out, no network.

The exact answer to "what is missing" is small, since a pair has a handful of logs: the relay tells its heads, this side says
how far it is, and both send what the other lacks, at once. Everything is idempotent by (log, seq, hash), so a connection may
break at any byte and the next one goes on from the heads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from bide.crypto import signing
from bide.errors import (
    BideError,
    EnvelopeRejected,
    ForkDetected,
    MembershipRejected,
    NotAllowed,
    Phrase,
    RelayUnreachable,
    RemoteProtocolError,
    SequenceGap,
    StorageBusy,
    VerificationFailed,
)
from bide.ids import LogId, Randomness
from bide.log.envelope import LOG_ID_AT, is_signed_header
from bide.log.head import Head
from bide.log.leaving import is_erased
from bide.protocol.frames import (
    BATCH_BYTES_MAX,
    BATCH_ENVELOPES_MAX,
    FORGOTTEN_DAYS,
    CaughtUp,
    Envelopes,
    Error,
    Forget,
    Forgotten,
    Hello,
    LogPosition,
    Register,
    Stored,
    Want,
    Welcome,
)
from bide.protocol.session import ClientSession
from bide.protocol.states import FORGOTTEN_CODE, NOT_HERE_CODES, REVOKED_CODE, REVOKED_LOG_CODE, State
from bide.replica import copies, incidents
from bide.replica.belonging import read_belonging
from bide.replica.receiving import Receiver
from bide.replica.refusals import NO_INVITE, Stance, moved_away, refusal
from bide.replica.sending import SendingOrder
from bide.replica.waiting import waiting_words
from bide.storage.base import SpaceRecord, Storage

_BATCHES_IN_FLIGHT_MAX = 8
"""Sent and not yet acknowledged: enough to keep the relay busy, little enough to keep memory flat."""
_INCIDENTS: Mapping[type[BideError], str] = {
    ForkDetected: incidents.TWO_PASTS,
    SequenceGap: incidents.OUT_OF_ORDER,
    EnvelopeRejected: incidents.NOT_GENUINE,
    MembershipRejected: incidents.NOT_GENUINE,
    RemoteProtocolError: incidents.BROKE_RULES,
}
"""What is kept of an error by which a sync ended; of the rest nothing, such as of a relay that is full."""
_WITHHELD_HINT = "It may be holding something back. What is here stays; bide doctor tells more."
_CONTRADICTED = Phrase(
    "Two devices were shown different histories, or one of them has two. Nothing was overwritten; see: bide doctor"
)
_SEQ_AT = slice(24, 32)
_LEFT_OUT = Phrase(
    "The relay has another past of a log than this device. That log is left out, all else goes on; bide doctor tells more."
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
        on_caught_up: Callable[[], Sequence[Phrase]] = lambda: (),
        today: Callable[[], str] = lambda: "",
        stance: Stance = Stance.USUAL,
        may_forget: Callable[[SpaceSync], bool] | None = None,
    ) -> None:
        """Prepare; the relay speaks first.

        Args:
            storage: the replica.
            space: which space.
            host: host and port as dialled; the proof of identity is bound to it.
            live: stay after catching up.
            randomness: for the nonce.
            on_caught_up: called once everything that the relay has is here: what is written then can't fork this device's log.
                Gives what the person is to know.
            today: the person's day, ``YYYY-MM-DD``, for what is kept of what went wrong.
            stance: what this relay is to the space.
            may_forget: with `Stance.LEAVING`: asked once both sides have everything.
        """
        self._stance = stance
        self._may_forget = may_forget
        self._asking = False
        self.asked = False
        """The relay noted that this person needs the space there no more."""
        self.cannot_ask = False
        """It would have been asked to forget, and is of a kind that can't."""
        self.absent = False
        """The relay that was left doesn't hold the space any more."""
        self._on_caught_up = on_caught_up
        self._today = today
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
        self._store_is_new = False
        self._order = SendingOrder(storage, space.space_id)
        self._caught_up = False
        self._same_relay = False
        """This is where it was synced last: a person who chose another relay is no incident."""
        self._suspicion = ""
        """What kind of incident an error that comes up now is, where its class alone doesn't say so."""
        self._claims: list[Head] = []
        """Heads of other pasts, by the relay's welcome: it has to show them."""
        self._disputed: set[LogId] = set()
        """Logs of others of which the relay said that it has another past than is here."""
        self._proofs = len(storage.evidence(space.space_id))
        self._own_upto: int | None = None
        """How far this device's own log may be sent; None: all of it."""
        self._asked_bodies = False
        """Bodies that somebody kept back were asked for again."""
        self._face = b""
        """The seed that this device proved itself with: its own, or that of one that its home was before."""
        self._lost_of_own = False
        """The relay's storage is another one than at the last contact."""
        self.sent = 0
        self.to_send = 0
        self.received = 0
        self.to_receive = 0
        self.notices: list[Phrase] = []
        self.declined = ""
        """The relay's error code, if it doesn't take this space and that is no error for the person."""
        self.refusal = ""
        """The code of the last error that the relay sent."""
        self.progress = 0
        """Goes up with every new envelope, every acknowledgement of something on its way, and when all has come."""

    @property
    def closed(self) -> bool:
        """Whether the connection is over."""
        return self._session.closed

    @property
    def finished(self) -> bool:
        """Whether both sides have everything, durably, as far as this side knows."""
        return self._caught_up and not self._in_flight and not self._unsent() and not self._asking

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
        try:
            self._receive(message)
        except BideError as error:
            # Apart from the transaction of whatever failed, which was undone.
            if kind := self._suspicion or _INCIDENTS.get(type(error)):
                with suppress(StorageBusy):
                    self._note(kind)
            raise

    def _receive(self, message: bytes) -> None:
        self._suspicion = ""
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
            case Forgotten(gone) if self._asking:
                self._asking, self.asked, self.absent = False, True, gone
            case Error() as error:
                self._refused(error)
            case _:
                raise RemoteProtocolError
        self._ask_to_forget()

    def _ask_to_forget(self) -> None:
        """Once nothing is left to exchange with a relay that was left: ask it to forget, if nobody needs it."""
        if self._may_forget is None or self.asked or self.cannot_ask or self.closed or not self.finished:
            return
        hello, may = self._session.hello, self._may_forget(self)
        self._may_forget = None
        if may and hello is not None:
            self.cannot_ask = FORGOTTEN_DAYS not in hello.limits
            if not self.cannot_ask:
                self._asking = True
                self._session.send(Forget())

    def wake(self) -> None:
        """Something may have been written here: send it."""
        if self._session.state is State.SYNCING:
            self._send_more()

    # The steps of a connection

    def _greet(self, hello: Hello) -> None:
        host_key = f"relay_host.{self._space.space_id.hex()}"
        self._same_relay = self._storage.meta(host_key) == self._host
        if not self._same_relay:
            with self._storage.transaction():
                self._storage.put_meta(host_key, self._host)
        key = f"relay_store.{self._space.space_id.hex()}"
        known, now = self._storage.meta(key), (hello.relay_key + hello.store_id).hex()
        if known != now:
            if known:
                self._store_is_new = True
                self.notices.append(Phrase("The relay's storage is new; it gets everything again."))
                if self._same_relay:
                    self._note(incidents.NEW_STORAGE)
            with self._storage.transaction():
                if known:
                    self._lost_of_own = copies.note_loss(self._storage, self._space)
                    # Nothing of it counts as sent any more.
                    for log in self._storage.relay_heads(self._space.space_id):
                        self._storage.put_relay_head(self._space.space_id, Head(log, 0, bytes(32)))
                self._storage.put_meta(key, now)
        seed = self._face = copies.face(self._storage, self._space)
        self._session.authenticate(
            space=self._space.space_id,
            device=signing.public_key(seed),
            signing_seed=seed,
            host=self._host,
            nonce=self._randomness.token(32),
        )

    def _compare(self, welcome: Welcome) -> None:
        """Hold what the relay has against what is here, before anything is sent."""
        if welcome.provisional and self._space.pending:
            self._not_admitted_yet()
            return
        space = self._space.space_id
        heads, known = self._storage.heads(space), self._storage.relay_heads(space)
        asked = {log: head.seq for log, head in heads.items()}
        theirs = {LogId(head.log_id): Head(LogId(head.log_id), head.seq, head.hash) for head in welcome.heads}
        own_logs = copies.own_logs(self._storage, self._space)
        forked = {LogId(header[LOG_ID_AT]) for header in self._storage.evidence(space)}
        beside = {each.log_id: each.seq for each in self._storage.beside(space)}
        for log, head in theirs.items():
            mine = heads.get(log)
            if not self._is_here(head) and log in own_logs:
                # Another copy of this home has written: its log is looked at from the beginning, and nothing is sent before.
                asked[log] = 0
                self._halted = True
                self._claims.append(head)
            elif self._is_here(head):
                self._receiver.left_out.pop(log, None)
            elif mine is not None and (head.seq <= mine.seq or log in forked):
                # Its device has written two pasts: that which is not here is asked for, as far as it is not kept already.
                asked[log] = min(mine.seq, beside.get(log, 0))
                if head.seq <= mine.seq:
                    self._disputed.add(log)
                    self._claims.append(head)
                # What builds on the past that is here the relay can't judge; where they part is known once the other one came.
                self._halted = self._halted or log not in forked
            self._relay[log] = self._announced[log] = self._confirmed[log] = head.seq
            self.to_receive += max(0, head.seq - (mine.seq if mine else 0))
        lost = any(self._relay.get(log, 0) < head.seq for log, head in known.items())
        if lost:
            self.notices.append(Phrase("The relay has lost something that it had; it gets it again."))
            if self._same_relay:
                self._note(incidents.LOST)
        with self._storage.transaction():
            lost_of_own = copies.note_loss(self._storage, self._space) if lost else self._lost_of_own
            if lost_of_own and self._space.log_id in theirs:
                copies.note_refilled(self._storage, self._space, theirs[self._space.log_id])
            for log in known:
                if log not in theirs:
                    self._storage.put_relay_head(space, Head(log, 0, bytes(32)))
            for log, head in theirs.items():
                # Only what is here too can be told from what the relay just says.
                if known.get(log) != head and self._is_here(head):
                    self._storage.put_relay_head(space, head)
        if lost and welcome.provisional and len(own_logs) > 1:
            # It knows none of this home's later devices: the next contact is as the one that brought them in.
            raise RelayUnreachable("The relay has lost something that it had.", hint="Run: bide sync")
        self._look_at_own_log()
        if self._store_is_new and self._space.log_id in self._relay:
            # Whoever filled the new storage may have kept back bodies of this log: sent again, they are filled in.
            self._relay[self._space.log_id] = 0
        self.to_send = self._unsent()
        whole = self._whole_up_to(heads)
        self._session.send(Want([LogPosition(log, min(seq, whole.get(log, seq))) for log, seq in sorted(asked.items())]))
        self._send_more()

    def _is_proved(self, head: Head) -> bool:
        """Whether the relay has shown the other past of a log that it claimed to have."""
        forked = {LogId(header[LOG_ID_AT]) for header in self._storage.evidence(self._space.space_id)}
        return self._is_here(head) or (head.log_id in forked and head.log_id in self._left_out())

    def _is_here(self, head: Head) -> bool:
        here = self._storage.envelope(self._space.space_id, head.log_id, head.seq)
        return here is not None and here.hash == head.hash

    def _look_at_own_log(self) -> None:
        """How far this device's own log may be sent as long as something is to be settled about it."""
        space = self._space.space_id
        self._own_upto = None
        if copies.is_due(self._storage, space):
            self._own_upto = self._confirmed.get(self._space.log_id, 0)
        elif (lost := copies.lost_at(self._storage, space)) is not None:
            self._own_upto = lost

    def _whole_up_to(self, heads: Mapping[LogId, Head]) -> dict[LogId, int]:
        """How far each log is here with all bodies but those that were erased: what somebody kept back is asked for again."""
        erased = read_belonging(self._storage, self._space.space_id).erased
        found = {log: head.seq for log, head in heads.items()}
        if self._storage.meta(self._in_vain_key()) == self._today() != "" and not self._store_is_new:
            return found  # once a day: everything after the first of them is sent again, and somebody may never give it
        for log, seq in self._storage.bare(self._space.space_id):
            if not is_erased(erased, log, seq):
                found[log] = min(found[log], seq - 1)
                self._asked_bodies = True
        return found

    def _in_vain_key(self) -> str:
        return f"asked_bodies.{self._space.space_id.hex()}"

    def _take(self, envelopes: list[bytes]) -> None:
        space = self._space.space_id
        last = {LogId(data[LOG_ID_AT]): int.from_bytes(data[_SEQ_AT], "big") for data in envelopes}
        try:
            with self._storage.transaction():
                new = self._receiver.receive(envelopes, more_follows=True)
                known = self._storage.relay_heads(space)
                for log, seq in last.items():
                    here = self._storage.envelope(space, log, seq)
                    if here is None or log in self._left_out():
                        continue
                    self._relay[log] = max(self._relay.get(log, 0), seq)
                    self._confirmed[log] = max(self._confirmed.get(log, 0), seq)
                    if log not in known or known[log].seq < seq:
                        self._storage.put_relay_head(space, Head(log, seq, here.hash))
        except ForkDetected as fork:
            self._keep_evidence(fork)
            raise
        if self._receiver.contradicted and _CONTRADICTED not in self.notices:
            self.notices.append(_CONTRADICTED)
        self.received += new
        self.progress += new
        self._space = next(s for s in self._storage.spaces() if s.space_id == space)
        self.to_receive = max(self.to_receive, self.received)
        if self._caught_up and copies.is_due(self._storage, space):
            self._all_is_here()
        self._send_more()

    def _catch_up(self) -> None:
        """The relay says that this was all: hold it to its word."""
        self._receiver.finish()
        heads = self._storage.heads(self._space.space_id)
        left_out = self._left_out()
        lacking = [log for log, seq in self._announced.items() if log not in heads or heads[log].seq < seq]
        if any(log not in left_out for log in lacking) or any(not self._is_proved(head) for head in self._claims):
            self._suspicion = incidents.NOT_SENT
            raise VerificationFailed("The relay announced entries that it did not send.", hint=_WITHHELD_HINT)
        self._announced.clear()
        if not self._caught_up:
            self.progress += 1
            self._caught_up = True
            if self._asked_bodies:
                with self._storage.transaction():
                    self._storage.put_meta(self._in_vain_key(), self._today())
            if len(self._storage.evidence(self._space.space_id)) > self._proofs:  # told once; doctor tells it on
                self.notices.append(_LEFT_OUT)
            self._all_is_here()
            if self._halted:
                self._halted = False
                self._relay = dict(self._confirmed)
            self._send_more()

    def _note(self, kind: str) -> None:
        """Keep for doctor what is otherwise said only in passing."""
        with self._storage.transaction():
            incidents.note_incident(self._storage, self._space.space_id, kind, self._today())

    def _all_is_here(self) -> None:
        """What is written now follows on all that the relay has."""
        self.notices.extend(self._on_caught_up())
        self._space = next(s for s in self._storage.spaces() if s.space_id == self._space.space_id)
        before, self._receiver = self._receiver, Receiver(self._storage, self._space)
        self._receiver.left_out = before.left_out
        self._receiver.contradicted = before.contradicted
        self._look_at_own_log()

    def _left_out(self) -> set[LogId]:
        """Logs of others of which the relay shows another past than is here."""
        return self._disputed | self._receiver.left_out.keys()

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
                    self._suspicion = incidents.FALSE_RECEIPT
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
        for log, upto in self._order.stretches(self._relay, self._sendable()):
            while self._relay.get(log, 0) < upto:
                if len(self._in_flight) >= _BATCHES_IN_FLIGHT_MAX:
                    return
                after = self._relay.get(log, 0)
                count_max = min(BATCH_ENVELOPES_MAX, upto - after)
                batch = self._storage.envelopes_after(space, log, after, bytes_max=BATCH_BYTES_MAX, count_max=count_max)
                if not batch:
                    break
                if log == self._space.log_id:
                    copies.note_left(self._storage, space, log, batch[-1].seq)
                self._session.send(Envelopes([envelope.data for envelope in batch]))
                self._relay[log] = batch[-1].seq
                self._in_flight.append((log, batch[-1].seq))
                self.sent += len(batch)
        self.to_send = max(self.to_send, self.sent + self._unsent())

    def passed_on(self) -> dict[LogId, int]:
        """How far each log has to be on a relay for nothing to be missing there."""
        return self._sendable()

    def _sendable(self) -> dict[LogId, int]:
        """How far each log is passed on: all of it, or as far as that of a removed device is needed."""
        needed = read_belonging(self._storage, self._space.space_id).needed
        heads = self._storage.heads(self._space.space_id)
        left_out = self._left_out()
        ends = {log: min(head.seq, needed.get(log, head.seq)) for log, head in heads.items() if log not in left_out}
        if left_out:
            for log, upto in self._order.judged_without(left_out).items():
                if log in ends:
                    ends[log] = min(ends[log], upto)
        if self._own_upto is not None and self._space.log_id in ends:
            ends[self._space.log_id] = min(ends[self._space.log_id], self._own_upto)
        return ends

    def _not_admitted_yet(self) -> None:
        if (words := waiting_words(self._storage, self._space)) is not None:
            self.notices.append(words)
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

    def _refused_as_fork(self, error: Error) -> None:
        """Somebody was there first since the relay told what it has: the next contact sees it before it sends."""
        space, header = self._space, error.evidence[0] if error.evidence else b""
        devices = {member.log_id: member.device_id for member in self._storage.members(space.space_id)}
        log = LogId(header[LOG_ID_AT])
        if log in devices and log not in copies.own_logs(self._storage, space):
            if is_signed_header(header, space=space.space_id, device=devices[log]):
                self._keep_evidence(ForkDetected(evidence=header))
            raise RelayUnreachable("The relay has got another past of a log meanwhile.", hint="Run: bide sync")
        raise RelayUnreachable("Another copy of this home has written meanwhile.", hint="Nothing is lost. Run: bide sync")

    def _refused(self, error: Error) -> None:
        self.refusal = error.code
        elsewhere = self._stance in (Stance.LEAVING, Stance.FOLLOWING)
        if error.code in NOT_HERE_CODES and (elsewhere or (error.code == FORGOTTEN_CODE and self._stance is Stance.USUAL)):
            self._not_here()
            return
        if error.code in NOT_HERE_CODES and not error.fatal and self._session.state is not State.SYNCING:
            if self._space.pending:
                self._not_admitted_yet()
                return
            genesis = self._order.genesis()
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
        if error.code == ForkDetected.code:
            self._refused_as_fork(error)
        if error.code == REVOKED_CODE and self._face:
            with self._storage.transaction():
                was_before = copies.note_refused(self._storage, self._space, self._face)
            if was_before:
                raise RelayUnreachable("The relay knows what this home was before as removed.", hint="Run: bide sync")
        alone = len(self._storage.spaces()) == 1
        if error.code == "invite_required" and self._space.kind == "own" and not alone and self._stance is not Stance.MOVING:
            # Someone who joined another's space has no invite of their own, and needs none for what they share.
            self.notices.append(NO_INVITE)
            self.declined = error.code
            self._session.fail("no_invite", "There is no invite for this space.")
            return
        raise refusal(error, self._space, self._stance)

    def _not_here(self) -> None:
        """The relay doesn't hold the space, and it is not begun there: it would go on in two places."""
        self._session.fail("not_here", "Nothing is begun here.")
        if self._stance is Stance.LEAVING:
            self.absent = True
        elif self._stance is Stance.FOLLOWING:
            raise NotAllowed("That relay doesn't hold this journal.", hint="Is the address right? bide relay shows it.")
        else:
            raise moved_away(self._space)
