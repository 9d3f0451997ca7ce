"""Syncing one space with a relay: what to send, what to take, and when it is done. Bytes in, bytes out, no network.

What is missing is quickly said, as a pair has a handful of logs: each side tells how far it is and sends what the other lacks.
Everything is idempotent by (log, seq, hash): a connection may break at any byte, and the next one goes on from the heads.
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
from bide.log.envelope import LOG_ID_AT
from bide.log.head import Head
from bide.log.leaving import is_erased
from bide.protocol.frames import (
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
from bide.replica.single_writer import copies, outgoing, succession
from bide.replica.spaces.belonging import read_belonging
from bide.replica.spaces.waiting import waiting_words
from bide.replica.sync import healing, incidents
from bide.replica.sync.heads import compare, forked_logs, is_here
from bide.replica.sync.receiving import Receiver
from bide.replica.sync.refusals import NO_INVITE, Stance, moved_away, refusal, refused_fork
from bide.replica.sync.sending import Sender
from bide.storage.base import SpaceRecord, Storage, find_space

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
        rests: Callable[[], bool] = lambda: False,
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
            rests: whether this person has paused or left the space meanwhile: then nothing more is sent.
        """
        self._stance, self._may_forget, self._rests = stance, may_forget, rests
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
        self._host, self._live, self._randomness = host, live, randomness
        self._session = ClientSession()
        self._receiver = Receiver(storage, space)
        self._announced: dict[LogId, Head] = {}
        """How far each log is at the relay, by its welcome: it has to send that much."""
        self._halted = False
        """The relay refused what a removed device wrote: what else there is goes once it is known here how far that counts."""
        self._refused_some = self._store_is_new = self._lost_of_own = False
        self._sender = Sender(storage, space)
        self._caught_up = self._same_relay = False
        """All has come; and this is where it was synced last, since a person who chose another relay is no incident."""
        self._suspicion = ""
        """What kind of incident an error that comes up now is, where its class alone doesn't say so."""
        self._claims: list[Head] = []
        self._disputed: set[LogId] = set()
        self._proofs = len(storage.evidence(space.space_id))
        self._asked_bodies = False
        """Bodies that somebody kept back were asked for again."""
        self._face = b""
        """The seed that this device proved itself with: its own, or that of one that its home was before."""
        self.sent = self.to_send = self.received = self.to_receive = 0
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
        return self._caught_up and not self._sender.on_its_way and not self._unsent() and not self._asking

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
                self.notices.append(Phrase("The relay's storage is new; it gets everything again as soon as it takes it."))
                if self._same_relay:
                    self._note(incidents.NEW_STORAGE)
            with self._storage.transaction():
                if known:
                    self._lost_of_own = outgoing.note_loss(self._storage, self._space)
                    # Nothing of it counts as sent any more.
                    for log in self._storage.relay_heads(self._space.space_id):
                        self._storage.put_relay_head(self._space.space_id, Head(log, 0, bytes(32)))
                self._storage.put_meta(key, now)
        seed = self._face = succession.face(self._storage, self._space)
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
        known = self._storage.relay_heads(space)
        theirs = {LogId(head.log_id): Head(LogId(head.log_id), head.seq, head.hash) for head in welcome.heads}
        found = compare(self._storage, self._space, theirs.values())
        self._halted, self._claims, self._disputed = found.halted, found.claims, found.disputed
        self.to_receive += found.to_receive
        for log, head in theirs.items():
            self._announced[log] = head
            self._sender.begin(log, head.seq)
        for log in found.same:
            self._receiver.left_out.pop(log, None)
        unknown = welcome.provisional and succession.is_new_there(self._storage, self._space, self._face)
        lost = not unknown and any(self._sender.confirmed.get(log, 0) < head.seq for log, head in known.items())
        if lost:
            self.notices.append(Phrase("The relay has lost something that it had; it gets it again."))
            if self._same_relay:
                self._note(incidents.LOST)
        with self._storage.transaction():
            if not welcome.provisional:
                succession.note_welcomed(self._storage, self._space, self._face)
            lost_of_own = outgoing.note_loss(self._storage, self._space) if lost else self._lost_of_own
            if lost_of_own and self._space.log_id in theirs:
                outgoing.note_refilled(self._storage, self._space, theirs[self._space.log_id])
            for log in known if not unknown else ():
                if log not in theirs:
                    self._storage.put_relay_head(space, Head(log, 0, bytes(32)))
            for log, head in theirs.items():
                # Only what is here too can be told from what the relay just says.
                if known.get(log) != head and log in found.same:
                    self._storage.put_relay_head(space, head)
        if lost and welcome.provisional and len(succession.own_logs(self._storage, self._space)) > 1:
            # It knows none of this home's later devices: the next contact is as the one that brought them in.
            raise RelayUnreachable("The relay has lost something that it had.", hint="Run: bide sync")
        self._look_at_own_log()
        if self._store_is_new:
            # Whoever filled the new storage may have kept back bodies of this log: sent again, they are filled in.
            self._sender.again(self._space.log_id)
        self.to_send = self._unsent()
        whole = self._whole_up_to(self._storage.heads(space))
        self._session.send(Want([LogPosition(log, min(seq, whole.get(log, seq))) for log, seq in sorted(found.asked.items())]))
        self._send_more()

    def _is_proved(self, head: Head) -> bool:
        """Whether the relay has shown the other past of a log that it claimed to have."""
        shown = head.log_id in forked_logs(self._storage, self._space) and head.log_id in self._left_out()
        return shown or is_here(self._storage, self._space, head)

    def _look_at_own_log(self) -> None:
        """How far this device's own log may be sent as long as something is to be settled about it."""
        space = self._space.space_id
        self._sender.own_upto = None
        if copies.is_due(self._storage, space):
            self._sender.own_upto = self._sender.confirmed.get(self._space.log_id, 0)
        elif (lost := outgoing.lost_at(self._storage, space)) is not None:
            self._sender.own_upto = lost

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
                    self._sender.arrived(log, seq)
                    if log not in known or known[log].seq < seq:
                        self._storage.put_relay_head(space, Head(log, seq, here.hash))
        except ForkDetected as fork:
            self._keep_evidence(fork.evidence)
            raise
        if self._receiver.contradicted and _CONTRADICTED not in self.notices:
            self.notices.append(_CONTRADICTED)
        self.received += new
        self.progress += new
        self._look_up_space()
        self.to_receive = max(self.to_receive, self.received)
        if self._caught_up and copies.may_be_settled(self._storage, space):
            self._all_is_here()
        self._send_more()

    def _catch_up(self) -> None:
        """The relay says that this was all: hold it to its word."""
        self._receiver.finish()
        heads = self._storage.heads(self._space.space_id)
        left_out = self._left_out()
        lacking = [log for log, head in self._announced.items() if log not in heads or heads[log].seq < head.seq]
        if any(log not in left_out for log in lacking) or any(not self._is_proved(head) for head in self._claims):
            self._suspicion = incidents.NOT_SENT
            raise VerificationFailed("The relay announced entries that it did not send.", hint=_WITHHELD_HINT)
        healing.make_room_for(self._storage, self._space, self._announced.values())
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
                self._sender.begin_anew()
            self._send_more()

    def _note(self, kind: str) -> None:
        """Keep for doctor what is otherwise said only in passing."""
        with self._storage.transaction():
            incidents.note_incident(self._storage, self._space.space_id, kind, self._today())

    def _all_is_here(self) -> None:
        """What is written now follows on all that the relay has."""
        self.notices.extend(self._on_caught_up())
        self._look_up_space()
        before, self._receiver = self._receiver, Receiver(self._storage, self._space)
        self._receiver.left_out = before.left_out
        self._receiver.contradicted = before.contradicted
        self._look_at_own_log()

    def _look_up_space(self) -> None:
        """This home may be another device of it now."""
        self._space = find_space(self._storage, self._space.space_id)
        self._sender.go_on_as(self._space)

    def _left_out(self) -> set[LogId]:
        """Logs of others of which the relay shows another past than is here."""
        return self._disputed | self._receiver.left_out.keys()

    def _keep_evidence(self, header: bytes) -> None:
        """Two signed entries at one place prove that a device, or a copy of it, wrote two pasts. Doctor tells of it."""
        if header:
            with self._storage.transaction():
                self._storage.put_evidence(self._space.space_id, header)

    def _acknowledge(self, heads: list[Head]) -> None:
        space, on_its_way = self._space.space_id, self._sender.on_its_way
        known = self._storage.relay_heads(space)
        with self._storage.transaction():
            for head in heads:
                here = self._storage.envelope(space, head.log_id, head.seq)
                if here is None or here.hash != head.hash or not (on_its_way or self._refused_some):
                    self._suspicion = incidents.FALSE_RECEIPT
                    raise RemoteProtocolError("The relay acknowledged something that was not sent.")
                if head.log_id not in known or known[head.log_id].seq < head.seq:
                    self._storage.put_relay_head(space, head)
                self.sent += self._sender.acknowledged(head)
        self.progress += on_its_way - self._sender.on_its_way
        self._send_more()

    def _send_more(self) -> None:
        """Send what there is to send, unless something is to be settled first."""
        if not self._halted and self._unsent() and self._rests():
            self._session.fail("resting", "Nothing more is sent.")
        elif not self._halted:
            self._sender.send(lambda batch: self._session.send(Envelopes(batch)), self._left_out())
            self.to_send = max(self.to_send, self.sent + self._sender.entries_on_their_way + self._unsent())

    def passed_on(self) -> dict[LogId, int]:
        """How far each log has to be on a relay for nothing to be missing there."""
        return self._sender.ends(self._left_out())

    def _not_admitted_yet(self) -> None:
        if (words := waiting_words(self._storage, self._space)) is not None:
            self.notices.append(words)
        self._session.fail("not_admitted", "This device has not been admitted yet.")

    def _unsent(self) -> int:
        return self._sender.unsent(self._left_out())

    def _refused_a_log(self) -> None:
        """What was sent is by a removed device: begin anew from what the relay has, once it is known how far that counts."""
        if self._refused_some and self._caught_up:
            raise NotAllowed("The relay no longer takes what a removed device wrote.", hint="Run: bide sync")
        self._refused_some = True
        self._halted = not self._caught_up
        self._sender.begin_anew()
        self.progress += 1
        self._send_more()

    def _refused(self, error: Error) -> None:
        self.refusal = error.code
        elsewhere = self._stance in (Stance.LEAVING, Stance.FOLLOWING)
        if error.code in NOT_HERE_CODES and (elsewhere or (error.code == FORGOTTEN_CODE and self._stance is not Stance.MOVING)):
            self._not_here()
            return
        if error.code in NOT_HERE_CODES and not error.fatal and self._session.state is not State.SYNCING:
            if self._space.pending:
                self._not_admitted_yet()
                return
            genesis = self._sender.order.genesis()
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
            proof, raised = refused_fork(error, self._storage, self._space)
            self._keep_evidence(proof)
            raise raised
        if error.code == REVOKED_CODE and self._face and succession.note_refused(self._storage, self._space, self._face):
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
        if self._stance in (Stance.LEAVING, Stance.BESIDE):
            self.absent = True
        elif self._stance is Stance.FOLLOWING:
            raise NotAllowed("That relay doesn't hold this journal.", hint="Is the address right? bide relay shows it.")
        else:
            raise moved_away(self._space)
