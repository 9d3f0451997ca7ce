"""A relay that lies, and a partner who sends what makes no sense: noticed, told, and nothing taken over."""

from __future__ import annotations

import os

import pytest
from replicas import new_couple

from bide.crypto import signing
from bide.crypto.keys import new_device_keys
from bide.errors import EnvelopeRejected, RemoteProtocolError, VerificationFailed
from bide.ids import LogId, SpaceId, SystemRandomness
from bide.log.control import DeviceAdded, Grant, write_control
from bide.log.envelope import SIGNED_BYTES, parse_envelope
from bide.protocol.frames import CaughtUp, Envelopes, Frame, Hello, LogHead, Stored
from bide.protocol.session import RelaySession
from bide.replica import Replica
from bide.replica.authoring.founding import Founded, device_record, found_space
from bide.replica.derivation.rebuilding import load_membership
from bide.replica.sync.receiving import Receiver
from bide.replica.sync.syncing import SpaceSync
from bide.testing_replicas import RELAY_HOST, PairingRun, give, missing, new_replica, pair_space

SEED = bytes(range(32))


class LyingRelay:
    """A relay's end that says what a test tells it to say."""

    def __init__(self, replica: Replica) -> None:
        hello = Hello([1], signing.public_key(SEED), os.urandom(32), os.urandom(16), {})
        self.session = RelaySession(hello, signing_seed=SEED, host=RELAY_HOST)
        self.sync: SpaceSync = replica.sync_session(pair_space(replica).space_id, host=RELAY_HOST)
        self.pump()

    def pump(self) -> None:
        for _ in range(2):
            for message in self.session.data_to_send():
                self.sync.receive_data(message)
            for message in self.sync.data_to_send():
                self.session.receive_data(message)

    def welcome(self, heads: list[tuple[bytes, int, bytes]]) -> None:
        self.session.welcome(heads, provisional=False)
        self.pump()

    def say(self, frame: Frame) -> None:
        self.session.send(frame)
        self.pump()


def heads_of(replica: Replica) -> list[tuple[bytes, int, bytes]]:
    return [(h.log_id, h.seq, h.hash) for h in replica.storage.heads(pair_space(replica).space_id).values()]


def sent_by(source: Replica, target: Replica) -> list[bytes]:
    return [envelope.data for batch in missing(source, target) for envelope in batch]


def test_a_relay_that_claims_to_have_what_was_never_sent_is_not_believed() -> None:
    """Words that never left stay "here" and pending, and the lie is told once the relay says that this was all."""
    sam, _ = new_couple()
    written = sam.write("appreciation", {"noticed": "you"})
    own = pair_space(sam).log_id
    relay = LyingRelay(sam)
    relay.welcome([(own, 2**60, os.urandom(32))])
    assert sam.show(written.id)["delivery"] == "here"
    assert sam.reader.pending(pair_space(sam)) > 0
    with pytest.raises(VerificationFailed, match="did not send"):
        relay.say(CaughtUp())
    assert not relay.sync.finished


def test_a_relay_that_announces_a_partner_log_and_sends_none_is_told() -> None:
    """Withholding at the end of a sync doesn't look like being up to date."""
    sam, robin = new_couple()
    robin.write("appreciation", {"noticed": "you"})
    head = robin.storage.heads(pair_space(robin).space_id)[pair_space(robin).log_id]
    relay = LyingRelay(sam)
    relay.welcome([head])
    with pytest.raises(VerificationFailed):
        relay.say(CaughtUp())


def test_acknowledging_nothing_is_a_protocol_error_and_no_progress() -> None:
    """A relay can't keep a sync alive by repeating itself."""
    sam, _ = new_couple()
    head = sam.storage.heads(pair_space(sam).space_id)[pair_space(sam).log_id]
    relay = LyingRelay(sam)
    relay.welcome(heads_of(sam))
    before = relay.sync.progress
    with pytest.raises(RemoteProtocolError):
        relay.say(Stored([LogHead(*head)]))
    assert relay.sync.progress == before


def test_a_known_envelope_is_no_progress() -> None:
    """Sending again what is here changes nothing, the clock of patience included."""
    sam, robin = new_couple()
    space = pair_space(sam).space_id
    known = robin.storage.envelopes_after(space, pair_space(robin).log_id, 0, bytes_max=10**6, count_max=10)
    relay = LyingRelay(sam)
    relay.welcome(heads_of(sam))
    before = relay.sync.progress
    relay.say(Envelopes([envelope.data for envelope in known]))
    assert relay.sync.progress == before
    relay.say(CaughtUp())
    assert relay.sync.progress == before + 1


def test_any_cut_of_a_batch_is_taken() -> None:
    """A flipped signature in the middle is vouched for by a later one, wherever the relay cuts."""
    sam, robin = new_couple()
    for number in range(6):
        robin.write("appreciation", {"noticed": f"number {number}"})
    datas = sent_by(robin, sam)
    middle = bytearray(datas[2])
    middle[SIGNED_BYTES] ^= 1
    datas[2] = bytes(middle)
    receiver = Receiver(sam.storage, pair_space(sam))
    assert receiver.receive(datas[:3], more_follows=True) == 2
    assert receiver.receive(datas[3:], more_follows=True) == 4
    receiver.finish()
    assert len(sam.timeline()) == 6


def test_an_end_that_nobody_vouches_for_is_refused() -> None:
    """At the end of what comes the signature counts: what stood before it stays."""
    sam, robin = new_couple()
    for number in range(3):
        robin.write("appreciation", {"noticed": f"number {number}"})
    datas = sent_by(robin, sam)
    last = bytearray(datas[-1])
    last[SIGNED_BYTES] ^= 1
    receiver = Receiver(sam.storage, pair_space(sam))
    assert receiver.receive([*datas[:-1], bytes(last)], more_follows=True) == 2
    with pytest.raises(EnvelopeRejected):
        receiver.finish()
    assert len(sam.timeline()) == 2


@pytest.mark.parametrize("label", ["garbage", "another epoch"])
def test_a_broken_key_doesnt_stop_what_comes_after(label: str) -> None:
    """A grant that can't be opened, or is not what it is called, is set aside and told; the rest goes on."""
    sam, robin = new_couple()
    space, keys = pair_space(robin), new_device_keys(SystemRandomness())
    mine = next(m.device_id for m in robin.storage.members(space.space_id) if m.slot == 0)
    epoch = os.urandom(16)
    grant = Grant(epoch, mine, os.urandom(160))
    record = device_record(keys, space=space.space_id, slot=1)
    parents = sorted(load_membership(robin.storage, space.space_id).heads)
    statement = DeviceAdded("device.added", 1, parents, record, [grant])
    with robin.storage.transaction():
        robin.writer.appender.control(write_control(statement), space=space)
    written = robin.write("appreciation", {"noticed": "afterwards"})
    give(robin, sam)
    assert sam.show(written.id)["fields"] == {"noticed": "afterwards"}
    assert any("key" in str(finding.words) for finding in sam.doctor())
    assert epoch not in sam.storage.epochs(pair_space(sam).space_id)


def offer(sam: Replica, robin: Replica, founded: Founded, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sam runs a pairing with a space of his choice; Robin's side refuses it."""
    monkeypatch.setattr("bide.replica.joining.pairing.found_space", lambda *_, **__: founded)
    run = PairingRun(sam, robin).finish()
    assert isinstance(run.errors[1], VerificationFailed)
    assert run.paired == (False, False)


def test_nobody_can_offer_a_space_that_is_here_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pairing once more with the genesis of the shared space is refused; everything in it stays, unsent words too."""
    sam, robin = new_couple()
    unsent = robin.write("appreciation", {"noticed": "mine"})
    space = pair_space(sam)
    genesis = sam.storage.envelope(space.space_id, space.log_id, 1)
    assert genesis is not None
    offer(sam, robin, Founded(space, parse_envelope(genesis.data), b"s" * 32), monkeypatch)
    assert not pair_space(robin).pending
    assert robin.show(unsent.id)["fields"] == {"noticed": "mine"}
    robin.write("appreciation", {"noticed": "still works"})


def test_nobody_can_offer_ones_own_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """A space of kind own is no space to join."""
    sam, robin = new_replica("Sam"), new_replica("Robin")
    offer(sam, robin, found_space("own", relay_url="", randomness=SystemRandomness()), monkeypatch)
    assert [space.kind for space in robin.spaces()] == ["own"]


def test_heads_of_unknown_logs_are_not_kept() -> None:
    """What a relay says of logs that nobody here writes leaves no trace."""
    sam, _ = new_couple()
    space = pair_space(sam).space_id
    stranger = LogId(os.urandom(16))
    relay = LyingRelay(sam)
    relay.welcome([(stranger, 5, os.urandom(32))])
    assert stranger not in sam.storage.relay_heads(SpaceId(space))
