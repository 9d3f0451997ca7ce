"""Taking in envelopes from elsewhere: verify everything first, then store and derive in one transaction."""

from __future__ import annotations

from collections.abc import Sequence

from bide.crypto import sealing
from bide.crypto.keys import DeviceKeys, GrantBroken, open_grant
from bide.errors import EnvelopeRejected, ForkDetected, MembershipRejected, Phrase, StorageDamaged
from bide.ids import EntryId, LogId
from bide.log.chain import Head, Place, empty_head, head_of, place
from bide.log.control import Control, Granting
from bide.log.envelope import HEADER_BYTES, Envelope, EnvelopeClass, parse_envelope, verify_signature
from bide.log.leaving import is_erased
from bide.log.membership import Membership
from bide.replica.derivation.deriving import project, project_again, stored
from bide.replica.derivation.rebuilding import (
    derive_all,
    fold_here,
    has_two_pasts,
    load_membership,
    rebuild_members,
    retry_quarantined,
    take_in,
)
from bide.replica.single_writer.copies import make_room, note_arrived
from bide.replica.single_writer.succession import own_logs
from bide.replica.sync.witnessing import witness
from bide.storage.base import Quarantined, SpaceRecord, Storage

_HELD_MAX = 1024
"""More than any relay cuts off from what vouches for it."""
_BESIDE_MAX = 10_000
"""How much is kept of the other past of one log: whoever writes two has no claim to more."""
_WRONG_SIGNATURE = "A log entry carries a wrong signature and was refused."
_WRONG_KEY = Phrase("A key that was sent to this device is not the one that it is called.")
_FORK_HINT = "Perhaps a home was copied or restored from a backup. Nothing was taken over; bide doctor tells more."


class Receiver:
    """Takes envelopes of one space into a replica. Keeps the membership between batches, nothing else."""

    def __init__(self, storage: Storage, space: SpaceRecord) -> None:
        self._storage = storage
        self._space = space
        self._membership: Membership | None = None
        self._left_at: dict[LogId, Head] = {}
        """Where the logs were after the last batch."""
        self._held: list[Envelope] = []
        """The end of the last batch, if no valid signature vouches for it yet."""
        self.contradicted = False
        """Some device says that it had something else than what is here."""
        self._touched: set[EntryId] = set()
        """Entries that something was taken out of by this batch."""
        self.left_out: dict[LogId, bytes] = {}
        """Logs of others of which another past was shown than stands here, with the signed header that proves it: what follows
        in it is put beside. And, with no header, logs that build on what is not here."""
        for beside in storage.beside(space.space_id):
            self.left_out[beside.log_id] = beside.data[:HEADER_BYTES]

    def receive(self, datas: Sequence[bytes], *, more_follows: bool = False) -> int:
        """Verify, store and derive a batch, all or nothing, durable on return.

        Every envelope's place in its chain is checked, every control envelope's signature, and of each log's run of data
        envelopes the signature of the last: it vouches for the chain beneath it.

        Args:
            datas: envelopes, each log's in order.
            more_follows: the batch may have been cut anywhere. What no valid signature vouches for is then held back until
                the next batch, instead of refused; `finish` tells if nothing came.

        Returns:
            How many envelopes were new.

        Raises:
            EnvelopeRejected: altered, forged, or not by a member; also as `SequenceGap` and `ForkDetected`.
            MembershipRejected: a control envelope breaks the rules.
        """
        envelopes = self._held + [parse_envelope(data) for data in datas]
        left_out = dict(self.left_out)
        try:
            with self._storage.transaction():
                new = self._take(envelopes)
                if self._held and (not more_follows or len(self._held) > _HELD_MAX):
                    raise EnvelopeRejected(_WRONG_SIGNATURE)
                return new
        except BaseException:
            self._membership = None  # what the batch admitted was undone
            self._held = []
            self._touched = set()
            self.left_out = left_out
            raise

    def finish(self) -> None:
        """Nothing more follows.

        Raises:
            EnvelopeRejected: something was held back that no valid signature vouches for.
        """
        if self._held:
            self._held = []
            raise EnvelopeRejected(_WRONG_SIGNATURE)

    def _take(self, envelopes: Sequence[Envelope]) -> int:
        space_id = self._space.space_id
        heads = self._storage.heads(space_id)
        if heads != self._left_at:
            self._membership = None  # since the last batch something was written here, which may say who belongs
        membership = self._membership = self._membership or self._load(envelopes)
        fresh: list[Envelope] = []
        self._touched = set()
        whole: list[Envelope] = []
        unsigned: dict[LogId, Envelope] = {}
        admitted = False
        was_pending = self._space.pending
        epochs_before = self._storage.epochs(space_id).keys()
        for envelope in envelopes:
            head = heads.get(envelope.log_id, empty_head(envelope.log_id))
            if envelope.log_id in self.left_out and envelope.prev_hash != head.hash:
                admitted |= self._put_beside(envelope)
                continue
            try:
                if self._is_known(envelope, head, fresh):
                    if envelope.klass is EnvelopeClass.DATA and not envelope.is_bare:
                        whole.append(envelope)
                    continue
            except ForkDetected as fork:
                admitted = True
                if not self._resolve(envelope, fork, heads, fresh):
                    self._put_beside(envelope)
                    continue
                membership = self._membership or membership
            if envelope.log_id not in membership.devices:
                if self.left_out:
                    self.left_out[envelope.log_id] = b""
                    continue
                raise EnvelopeRejected("A log entry is by a device that is not a member.")
            if envelope.klass is EnvelopeClass.CONTROL:
                try:
                    statement = membership.admit(envelope)
                except MembershipRejected:
                    if not self.left_out:
                        raise
                    self.left_out[envelope.log_id] = b""  # it builds on what is left out
                    continue
                self._take_grants(envelope, statement)
                admitted = True
                # Its signature was checked, and vouches for all beneath it in its log.
                unsigned.pop(envelope.log_id, None)
            else:
                unsigned[envelope.log_id] = envelope
            heads[envelope.log_id] = head_of(envelope)
            fresh.append(envelope)
        fresh = self._hold_back(fresh, unsigned)
        if admitted and has_two_pasts(self._storage, space_id):
            # What had to be known to judge the batch may count no more, now that all of it is here.
            controls = [envelope for envelope in fresh if envelope.klass is EnvelopeClass.CONTROL]
            membership = self._membership = fold_here(self._storage, space_id, controls)[0]
            if any(envelope.log_id not in membership.devices for envelope in fresh):
                raise EnvelopeRejected("A log entry is by a device that is not a member.")
        erased = membership.erased()
        fresh = [e.bare() if e.klass is EnvelopeClass.DATA and is_erased(erased, e.log_id, e.seq) else e for e in fresh]
        for envelope in fresh:
            self._storage.append(space_id, stored(envelope))
        # The place and the hash are those of the entry that is here: its signature vouches for the body too.
        missing = (e for e in whole if not is_erased(erased, e.log_id, e.seq))
        filled = [envelope for envelope in missing if self._storage.fill_body(space_id, stored(envelope))]
        if admitted:
            rebuild_members(self._storage, space_id, membership)
        note_arrived(self._storage, self._space, fresh)
        if was_pending and not self._space.pending:
            derive_all(self._storage, space_id)
        elif not self._space.pending:
            slots = {log: device.slot for log, device in membership.devices.items()}
            take_in(self._storage, space_id, [*fresh, *filled], slots=slots)
            if filled:
                project_again(self._storage, space_id)
            if admitted and (new := self._storage.epochs(space_id).keys() - epochs_before):
                retry_quarantined(self._storage, space_id, set(new))
        if self._touched:
            project(self._storage, space_id, self._touched)
        if fresh and witness(self._storage, space_id, None if admitted else {envelope.log_id for envelope in fresh}):
            self.contradicted = True
        self._left_at = self._storage.heads(space_id)
        return len(fresh) + len(filled)

    def _load(self, envelopes: Sequence[Envelope]) -> Membership:
        """The membership as it is here; where nothing is, as the first envelope makes it, which the space's id vouches for."""
        space = self._space.space_id
        if envelopes and not self._storage.controls(space):
            return Membership.found(space, envelopes[0])
        return load_membership(self._storage, space)

    def _resolve(self, envelope: Envelope, fork: ForkDetected, heads: dict[LogId, Head], fresh: list[Envelope]) -> bool:
        """Another past of a log than the one here, signed by its device.

        In a log of this home's own another copy of it wrote: what stands here is displaced. A log of somebody else is left out.

        Returns:
            Whether to take the entry in.
        """
        storage, space, log = self._storage, self._space, envelope.log_id
        here = storage.envelope(space.space_id, log, envelope.seq)
        if log not in own_logs(storage, space) or space.pending:
            self.left_out[log] = fork.evidence
            if fork.evidence:
                storage.put_evidence(space.space_id, fork.evidence)
            return False
        if here is None or any(each.log_id == log and each.seq >= envelope.seq for each in fresh):
            raise fork  # two pasts in one breath, or one that hangs in the air
        self._space, touched, changed = make_room(storage, space, envelope)
        self._touched |= touched
        heads.clear()
        heads.update(storage.heads(space.space_id) | {each.log_id: head_of(each) for each in fresh})
        if place(heads.get(log, empty_head(log)), envelope) is not Place.NEXT:
            raise fork
        if changed:
            controls = [each for each in fresh if each.klass is EnvelopeClass.CONTROL]
            self._membership = fold_here(storage, space.space_id, controls)[0]
        return True

    def _put_beside(self, envelope: Envelope) -> bool:
        """Keep what follows in another past of somebody else's log. What it says of who belongs counts: others build on it.

        Returns:
            Whether it says something of who belongs.
        """
        storage, space, log = self._storage, self._space.space_id, envelope.log_id
        membership = self._membership
        assert membership is not None  # it was loaded to judge the batch
        before = {each.hash for each in storage.beside(space) if each.log_id == log}
        here = storage.envelope(space, log, envelope.seq - 1)
        follows = envelope.seq == 1 or envelope.prev_hash in before or (here is not None and here.hash == envelope.prev_hash)
        there = storage.envelope(space, log, envelope.seq)
        known = envelope.hash in before or (there is not None and there.hash == envelope.hash)
        if known or not follows or log not in membership.devices or len(before) >= _BESIDE_MAX:
            return False
        verify_signature(envelope, space=space, device=membership.devices[log].id)
        if envelope.klass is EnvelopeClass.CONTROL:
            try:
                self._take_grants(envelope, membership.admit(envelope, aside=True))
            except MembershipRejected:
                return False
        # Nobody reads the words of another past: its headers prove it, and whoever means them says them again. Kept here, they
        # would outlast their being erased.
        storage.put_beside(space, stored(envelope.bare() if envelope.klass is EnvelopeClass.DATA else envelope))
        return envelope.klass is EnvelopeClass.CONTROL

    def _hold_back(self, fresh: list[Envelope], unsigned: dict[LogId, Envelope]) -> list[Envelope]:
        """What a valid signature vouches for; the rest is held."""
        held: set[bytes] = set()
        for log in unsigned:
            for envelope in reversed([envelope for envelope in fresh if envelope.log_id == log]):
                if envelope.klass is EnvelopeClass.CONTROL or self._is_signed(envelope):
                    break
                held.add(envelope.hash)
        self._held = [envelope for envelope in fresh if envelope.hash in held]
        return [envelope for envelope in fresh if envelope.hash not in held] if held else fresh

    def _is_signed(self, envelope: Envelope) -> bool:
        assert self._membership is not None  # it was loaded to judge the batch
        device = self._membership.devices[envelope.log_id].id
        try:
            verify_signature(envelope, space=self._space.space_id, device=device)
        except EnvelopeRejected:
            return False
        return True

    def _is_known(self, envelope: Envelope, head: Head, fresh: Sequence[Envelope]) -> bool:
        try:
            if place(head, envelope) is Place.NEXT:
                return False
        except ForkDetected:
            raise self._fork(envelope, head.seq, fresh) from None
        there = self._storage.envelope(self._space.space_id, envelope.log_id, envelope.seq)
        here = there.hash if there is not None else None
        if here is None:  # it came earlier in this same batch
            here = next((e.hash for e in fresh if (e.log_id, e.seq) == (envelope.log_id, envelope.seq)), None)
        if here is None:
            raise StorageDamaged  # its log is here further than this, and it is not
        if here != envelope.hash:
            raise self._fork(envelope, envelope.seq, fresh)
        return True

    def _fork(self, envelope: Envelope, seq: int, fresh: Sequence[Envelope]) -> EnvelopeRejected:
        """The error for an entry that contradicts what is at `seq`: a fork only if its author signed both.

        What is stored is vouched for; what came in the same batch may have been altered on its way, before an honest entry.
        """
        membership = self._membership
        device = membership.devices.get(envelope.log_id) if membership else None
        if device is None:
            return EnvelopeRejected("A log entry is by a device that is not a member.")
        try:
            verify_signature(envelope, space=self._space.space_id, device=device.id)
        except EnvelopeRejected as error:
            return error
        there = next((other for other in fresh if (other.log_id, other.seq) == (envelope.log_id, seq)), None)
        if there is not None and not self._is_signed(there):
            return EnvelopeRejected(_WRONG_SIGNATURE)
        return ForkDetected(hint=_FORK_HINT, evidence=envelope.header)

    def _take_grants(self, envelope: Envelope, statement: Control) -> None:
        """Open the epoch secrets that a control envelope seals to this device, or to one that its home was before."""
        if not isinstance(statement, Granting):
            return
        space = self._space
        # Who said it may not have heard yet that this home went on as another device, and be gone before they do.
        formers = self._storage.former_devices(space.space_id)
        faces = [DeviceKeys(space.signing_seed, space.sealing_secret)]
        faces += [DeviceKeys(each.signing_seed, each.sealing_secret) for each in formers]
        mine: dict[bytes, DeviceKeys] = {face.device_id: face for face in faces}
        for grant in statement.grants:
            if (keys := mine.get(grant.recipient)) is None:
                continue
            try:
                secret = open_grant(grant.box, keys=keys, parent=envelope.prev_hash)
            except GrantBroken as error:
                self._set_aside(envelope, Phrase(error.template, error.values))
                continue
            if sealing.epoch_id(secret) != grant.epoch_id:
                self._set_aside(envelope, _WRONG_KEY)
                continue
            self._storage.put_epoch(space.space_id, grant.epoch_id, secret)
            if space.pending:
                space = space._replace(epoch_id=grant.epoch_id, pending=False)
                self._storage.put_space(space)
        self._space = space

    def _set_aside(self, envelope: Envelope, reason: Phrase) -> None:
        """A part of a control envelope makes no sense here. The rest of it counts, and everything after it too."""
        self._storage.put_quarantine(Quarantined(self._space.space_id, envelope.log_id, envelope.seq, str(reason)))
