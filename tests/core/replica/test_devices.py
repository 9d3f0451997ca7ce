"""My devices: adding, naming, revoking; what arrives on which, and what a lost one can read."""

from __future__ import annotations

import pytest
from replicas import sync_all

from bide.crypto.keys import DeviceKeys, GrantBroken, open_grant
from bide.crypto.sealing import epoch_id
from bide.errors import EnvelopeRejected, InputError, NotAllowed, NotFound
from bide.ids import SpaceId
from bide.log.control import Granting, read_control
from bide.log.envelope import parse_envelope
from bide.log.membership import DEVICES_EVER_MAX, DEVICES_PER_PERSON_MAX
from bide.replica import Replica
from bide.replica.derivation.deriving import open_event
from bide.replica.derivation.rebuilding import load_membership
from bide.replica.examining.doctor import NOTE
from bide.replica.joining.enrolling import AddingSession
from bide.replica.own_devices.devices import find_device, rename, revoke
from bide.replica.spaces.personal import device_names, my_devices
from bide.replica.spaces.removal import is_removed, note_turned_away, require_belonging, require_let_in
from bide.replica.views.reading import ON_RELAY
from bide.storage.base import Storage
from bide.testing_replicas import RELAY_URL, MemoryRelay, add_device, give, new_replica, pair_space, pair_up, sync


def texts(replica: Replica) -> list[str]:
    """What a replica shows, in one line each."""
    return sorted(str(entry["fields"]) for entry in replica.timeline())


@pytest.fixture
def relay() -> MemoryRelay:
    return MemoryRelay()


@pytest.fixture
def couple(relay: MemoryRelay) -> tuple[Replica, Replica]:
    """Sam, who is called so in two journals, and Robin; both have written."""
    sam, robin = new_replica("Sam"), new_replica("Robin")
    pair_up(sam, robin)
    sam.write("appreciation", {"noticed": "You drove my mother."})
    sam.write("checkin", {"worry": "Only mine."}, private=True)
    robin.write("appreciation", {"noticed": "You waited up."})
    sync_all(relay, sam, robin)
    return sam, robin


def lost(storage: Storage, relay: MemoryRelay, space: SpaceId) -> int:
    """How many envelopes of a relay whoever has this database can open: with every secret in it, and every grant tried."""
    record = next(record for record in storage.spaces() if record.space_id == space)
    keys = DeviceKeys(record.signing_seed, record.sealing_secret)
    secrets = set(storage.epochs(space).values())
    logs = relay.spaces[space].logs
    for envelope in (each for log in logs.values() for each in log if each.klass == 1):
        statement = read_control(envelope.body)
        assert isinstance(statement, Granting)
        for grant in statement.grants:
            try:
                secrets.add(open_grant(grant.box, keys=keys, parent=envelope.prev_hash))
            except GrantBroken:
                continue
    opened = 0
    for envelope in (each for log in logs.values() for each in log if each.klass == 0):
        for secret in secrets:
            try:
                # Under whatever epoch it says that it is sealed.
                open_event(envelope, space=space, epochs={envelope.epoch_id: secret})
            except EnvelopeRejected:
                continue
            opened += 1
            break
    return opened


def test_a_new_device_gets_all_spaces_with_their_whole_history(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    assert texts(phone) == texts(sam)
    assert len(texts(phone)) == 3
    assert phone.digest() == sam.digest()
    assert not any(space.pending for space in phone.spaces())
    assert {space.log_id for space in phone.spaces()}.isdisjoint(space.log_id for space in sam.spaces())


def test_both_devices_write_as_one_person(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    phone.write("appreciation", {"noticed": "From the phone."})
    phone.write("checkin", {"lift": "Private, from the phone."}, private=True)
    sync_all(relay, phone, sam, robin)
    assert texts(phone) == texts(sam)
    assert len(texts(sam)) == 5
    found = next(entry for entry in robin.timeline() if "From the phone." in str(entry["fields"]))
    assert found["by"]["name"] == "Sam"
    assert {line["digest"] for line in sam.digest()} == {line["digest"] for line in phone.digest()}


def test_both_people_see_the_devices_by_name(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    assert [(each.name, each.this, each.active) for each in my_devices(phone.storage)] == [
        ("device 1", False, True),
        ("phone", True, True),
    ]
    theirs = [each for each in device_names(robin.storage, pair_space(robin)) if not each.mine]
    assert [each.name for each in theirs] == ["device 1", "phone"]
    rename(phone, find_device(phone.storage, "device 1"), "laptop")
    sync_all(relay, phone, sam, robin)
    theirs = [each for each in device_names(robin.storage, pair_space(robin)) if not each.mine]
    assert [each.name for each in theirs] == ["laptop", "phone"]
    assert [each.name for each in my_devices(sam.storage)] == ["laptop", "phone"]


def test_names_tell_devices_apart(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, _ = couple
    add_device(sam, "phone")
    with pytest.raises(InputError, match="already"):
        rename(sam, find_device(sam.storage, "device 1"), "Phone")
    with pytest.raises(NotFound):
        find_device(sam.storage, "toaster")
    assert find_device(sam.storage, "PH").name == "phone"


def test_nothing_written_after_a_removal_can_be_read_with_what_the_lost_device_holds(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    """With its whole database, its keys, and everything that the relay has."""
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    phone.write("appreciation", {"noticed": "From the phone."})
    sync_all(relay, phone, sam, robin)
    before = {space.space_id: lost(phone.storage, relay, space.space_id) for space in sam.spaces()}
    assert all(before.values())
    assert sorted(revoke(sam, find_device(sam.storage, "phone"))) == sorted(before)
    sync_all(relay, sam, robin)
    sam.write("appreciation", {"noticed": "After it was lost."})
    sam.write("checkin", {"worry": "Private, after."}, private=True)
    robin.write("appreciation", {"noticed": "Robin, after."})
    sync_all(relay, sam, robin)
    after = {space.space_id: lost(phone.storage, relay, space.space_id) for space in sam.spaces()}
    assert after == before
    assert len(texts(robin)) == 5
    assert texts(robin) == sorted(str(e["fields"]) for e in sam.timeline(with_="Robin"))


def test_the_relay_sends_a_removed_device_away(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    revoke(sam, find_device(sam.storage, "phone"))
    sync_all(relay, sam)
    phone.write("appreciation", {"noticed": "It does not know yet."})
    with pytest.raises(NotAllowed, match="removed"):
        sync(phone, relay)


def test_a_device_that_was_sent_away_is_known_as_removed_from_that_space_alone(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    revoke(sam, find_device(sam.storage, "phone"))
    sync(sam, relay)
    with pytest.raises(NotAllowed, match="removed"):
        sync(phone, relay)
    shared, own = pair_space(phone), phone.reader.own_space()
    assert [is_removed(phone.storage, space) for space in (own, shared)] == [False, True]
    require_belonging(phone.storage, shared)  # a relay's word alone keeps nobody from writing
    require_let_in(phone.storage)
    give(sam, phone)  # now the statement is here
    with pytest.raises(NotAllowed, match="removed"):
        require_belonging(phone.storage, shared)
    require_belonging(phone.storage, own)
    assert [space["state"] for space in phone.status()["spaces"]] == ["active", "removed"]
    first = phone.doctor()[0]
    assert (first.level, first.words.values) == (NOTE, {"name": "Robin"})


def test_what_a_relay_said_of_a_removal_holds_until_it_lets_the_device_in(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    """It may have said so wrongly; nothing that is said elsewhere, as in a file, takes it back."""
    sam, _ = couple
    sync_all(relay, *couple)
    with sam.storage.transaction():
        note_turned_away(sam.storage, pair_space(sam))
    assert is_removed(sam.storage, pair_space(sam))
    sync(sam, relay)
    assert not is_removed(sam.storage, pair_space(sam))


def test_what_a_removed_device_wrote_beyond_the_cut_is_kept_and_not_shown(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    """Whatever arrives first, and again after a rebuild."""
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    phone.write("appreciation", {"noticed": "Known to Sam."})
    sync_all(relay, phone, sam)
    phone.write("appreciation", {"noticed": "Never came to Sam."})
    sync(phone, relay)
    sync_all(relay, robin)
    assert "Never came to Sam." in str(texts(robin))
    revoke(sam, find_device(sam.storage, "phone"))
    sync_all(relay, sam, robin)
    for replica in (sam, robin):
        assert "Never came to Sam." not in str(texts(replica))
        assert "Known to Sam." in str(texts(replica))
        [set_aside] = replica.storage.quarantine(pair_space(replica).space_id)
        assert "removed" in set_aside.reason
        digest = replica.digest()
        replica.rebuild()
        assert replica.digest() == digest
    robin_pair = next(line["digest"] for line in robin.digest() if line["kind"] == "pair")
    assert robin_pair == next(line["digest"] for line in sam.digest() if line["kind"] == "pair")


def test_a_device_that_hears_of_its_removal_writes_no_more(couple: tuple[Replica, Replica]) -> None:
    sam, _ = couple
    relay = MemoryRelay()
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone)
    revoke(sam, find_device(sam.storage, "phone"))
    give(sam, phone)
    with pytest.raises(NotAllowed, match="removed"):
        phone.write("appreciation", {"noticed": "Too late."})
    assert len(texts(phone)) == 3  # what is here stays readable


def test_a_device_can_neither_remove_itself_nor_be_removed_twice(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, _ = couple
    with pytest.raises(NotAllowed, match="this device"):
        revoke(sam, my_devices(sam.storage)[0])
    add_device(sam, "phone")
    phone = find_device(sam.storage, "phone")
    revoke(sam, phone)
    with pytest.raises(NotAllowed, match="already"):
        revoke(sam, find_device(sam.storage, "phone"))


def test_two_devices_that_remove_each_other_are_both_out(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phone = add_device(sam, "phone")
    tablet = add_device(sam, "tablet")
    sync_all(relay, sam, phone, tablet, robin)
    revoke(phone, find_device(phone.storage, "tablet"))
    revoke(tablet, find_device(tablet.storage, "phone"))
    for source, target in ((phone, sam), (tablet, sam), (phone, robin), (tablet, robin)):
        give(source, target)
    for replica in (sam, robin):
        membership = load_membership(replica.storage, pair_space(replica).space_id)
        assert membership.active == {pair_space(sam).log_id, pair_space(robin).log_id}
    # Neither of the two fresh epochs is right any more: each is known to one who is out.
    before = lost(phone.storage, relay, pair_space(sam).space_id), lost(tablet.storage, relay, pair_space(sam).space_id)
    sam.write("appreciation", {"noticed": "Among those who remain."})
    sync_all(relay, sam, robin)
    assert "Among those who remain." in str(texts(robin))
    after = lost(phone.storage, relay, pair_space(sam).space_id), lost(tablet.storage, relay, pair_space(sam).space_id)
    assert after == before


def test_a_removal_by_a_device_that_is_not_let_in_everywhere_is_finished_by_one_that_is(relay: MemoryRelay) -> None:
    """The phone removes the laptop before it was let into what Sam shares: the tablet, which is in it, does so there."""
    sam, robin = new_replica("Sam"), new_replica("Robin")
    for replica in (sam, robin):
        replica.set_relay(RELAY_URL)
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone)
    pair_up(sam, robin)
    tablet = add_device(sam, "tablet")
    sync_all(relay, sam, robin, tablet)
    sync(phone, relay, space=phone.spaces()[0].space_id)
    revoke(phone, next(each for each in my_devices(phone.storage) if each.log_id == sam.spaces()[0].log_id))
    sync(phone, relay, space=phone.spaces()[0].space_id)
    space = pair_space(sam)
    assert load_membership(tablet.storage, space.space_id).is_active(space.log_id)
    sync_all(relay, tablet, robin, phone, tablet, robin)
    for home in (tablet, robin):
        assert not load_membership(home.storage, space.space_id).is_active(space.log_id)
    robin.write("appreciation", {"noticed": "Said after it was lost."})
    sync_all(relay, robin, tablet, phone)
    for home in (tablet, phone):
        assert "Said after it was lost." in str(texts(home))
    assert lost(sam.storage, relay, space.space_id) < lost(tablet.storage, relay, space.space_id)


def test_a_device_added_while_another_is_removed_gets_every_key(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """The one who adds does not know of the fresh epoch, and the one who made it does not know of the device."""
    sam, robin = couple
    phone, tablet = add_device(sam, "phone"), add_device(sam, "tablet")
    sync_all(relay, sam, phone, tablet, robin)
    revoke(phone, find_device(phone.storage, "tablet"))
    phone.write("appreciation", {"noticed": "Under the fresh epoch."})
    desktop = add_device(sam, "desktop")
    sync_all(relay, phone, sam, desktop, robin, rounds=3)
    for replica in (desktop, sam, robin, phone):
        assert "Under the fresh epoch." in str(texts(replica)), replica.name
        assert not replica.storage.quarantine(pair_space(replica).space_id)
    desktop.write("appreciation", {"noticed": "From the desktop."})
    before = lost(tablet.storage, relay, pair_space(sam).space_id)
    sync_all(relay, desktop, sam, phone, robin)
    assert "From the desktop." in str(texts(robin))
    assert lost(tablet.storage, relay, pair_space(sam).space_id) == before


def test_a_new_relay_is_refilled_by_any_member(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """Every log in an order that the relay accepts, however the control entries lie among them."""
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    sam.write("appreciation", {"noticed": "Between."})
    sync_all(relay, sam, phone, robin)
    tablet = add_device(phone, "tablet")
    phone.write("appreciation", {"noticed": "After adding."})
    sync_all(relay, sam, phone, tablet, robin, rounds=3)
    revoke(tablet, find_device(tablet.storage, "phone"))
    tablet.write("appreciation", {"noticed": "After removing."})
    sync_all(relay, tablet, sam, robin)
    for uploader, others in ((robin, (sam, tablet)), (tablet, (sam, robin)), (sam, (tablet, robin))):
        fresh = MemoryRelay(store_id=uploader.name.encode().ljust(16, b"."), host=relay.host)
        space = pair_space(uploader).space_id
        sync(uploader, fresh, space=space)
        newcomer_heads = {log: len(entries) for log, entries in fresh.spaces[space].logs.items()}
        assert newcomer_heads == {log: head.seq for log, head in uploader.storage.heads(space).items()}
        for other in others:
            assert sync(other, fresh, space=space).finished


def test_the_log_of_a_removed_device_is_refilled_up_to_its_cut(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    phone.write("appreciation", {"noticed": "Never came to Sam."})
    give(phone, robin)
    revoke(sam, find_device(sam.storage, "phone"))
    give(sam, robin)
    fresh = MemoryRelay(store_id=b"n" * 16)
    space, log = pair_space(robin).space_id, pair_space(phone).log_id
    assert sync(robin, fresh).finished
    cut = load_membership(robin.storage, space).ends[log]
    assert len(fresh.spaces[space].logs.get(log, [])) == cut < robin.storage.heads(space)[log].seq


def test_who_has_not_heard_of_a_removal_goes_on_syncing(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """They bring what the removed device wrote, in good faith; the relay doesn't take it, and all the rest goes."""
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    phone.write("appreciation", {"noticed": "Never came to Sam."})
    give(phone, robin)
    robin.write("appreciation", {"noticed": "Robin writes on."})
    revoke(sam, find_device(sam.storage, "phone"))
    sync_all(relay, sam)
    assert sync(robin, relay).finished
    sync_all(relay, sam)
    assert "Robin writes on." in str(texts(sam))
    assert "Never came to Sam." not in str(texts(robin))


def test_quarantined_events_come_to_life_when_their_key_arrives(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """Without a rebuild: a device that was left out of a fresh epoch is handed its key later."""
    sam, robin = couple
    phone, tablet = add_device(sam, "phone"), add_device(sam, "tablet")
    sync_all(relay, sam, phone, tablet, robin)
    desktop = add_device(sam, "desktop")
    sync_all(relay, sam, desktop)
    revoke(phone, find_device(phone.storage, "tablet"))  # has not heard of the desktop
    phone.write("appreciation", {"noticed": "Not for the desktop yet."})
    give(phone, desktop)
    space = pair_space(desktop).space_id
    assert desktop.storage.quarantine(space)
    assert "Not for the desktop yet." not in str(texts(desktop))
    give(phone, sam)
    sync(sam, relay)
    sync(desktop, relay)
    assert not desktop.storage.quarantine(space)
    assert "Not for the desktop yet." in str(texts(desktop))


def test_delivery_is_told_of_what_another_device_wrote(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    phone.write("appreciation", {"noticed": "Sent."})
    sync_all(relay, phone, sam)
    shown = next(entry for entry in sam.timeline() if "Sent." in str(entry["fields"]))
    assert shown["delivery"] == ON_RELAY


def test_every_epoch_that_is_sealed_under_is_known_to_those_alone_who_belonged(
    couple: tuple[Replica, Replica], relay: MemoryRelay
) -> None:
    """The epoch that an envelope names was for exactly the devices that its author knew."""
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    space = pair_space(sam)
    old = next(s.epoch_id for s in sam.spaces() if s.space_id == space.space_id)
    revoke(sam, find_device(sam.storage, "phone"))
    written = sam.write("appreciation", {"noticed": "Fresh."})
    assert written.kind == "appreciation"
    head = sam.storage.heads(space.space_id)[space.log_id]
    stored = sam.storage.envelope(space.space_id, space.log_id, head.seq)
    assert stored is not None
    envelope = parse_envelope(stored.data)
    assert envelope.epoch_id != old
    assert {epoch_id(secret) for secret in sam.storage.epochs(space.space_id).values()} >= {old, envelope.epoch_id}


def test_a_space_that_is_founded_later_reaches_every_device(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """Whichever of them pairs; and with its name, and so that it can be removed from there as well."""
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin)
    kim = new_replica("Kim")
    pair_up(kim, phone)
    kim.write("appreciation", {"noticed": "Words of Kim."})
    sync_all(relay, kim, phone, sam, rounds=4)
    assert "Words of Kim." in str(texts(sam))
    assert texts(sam) == texts(phone)
    sam.write("appreciation", {"noticed": "From the laptop."}, with_="Kim")
    sync_all(relay, sam, kim)
    assert "From the laptop." in str(texts(kim))
    assert len(revoke(sam, find_device(sam.storage, "phone"))) == 3
    sync_all(relay, sam, kim)
    space = pair_space(kim).space_id
    before = lost(phone.storage, relay, space)
    kim.write("appreciation", {"noticed": "After the phone was lost."})
    sync_all(relay, kim, sam)
    assert "After the phone was lost." in str(texts(sam))
    assert lost(phone.storage, relay, space) == before


def test_devices_that_have_everything_say_nothing_more(couple: tuple[Replica, Replica], relay: MemoryRelay) -> None:
    """Syncing comes to rest: no device goes on answering another."""
    sam, robin = couple
    phone = add_device(sam, "phone")
    sync_all(relay, sam, phone, robin, rounds=4)
    before = [replica.digest() for replica in (sam, phone, robin)]
    sync_all(relay, sam, phone, robin, rounds=3)
    assert [replica.digest() for replica in (sam, phone, robin)] == before


def test_where_no_more_devices_can_be_no_code_is_made() -> None:
    """It is said before a second device has made a home and waits to be let in."""
    sam = new_replica("Sam")
    for number in range(DEVICES_PER_PERSON_MAX - 1):
        add_device(sam, f"number {number}")
    with pytest.raises(NotAllowed, match="16 devices"):
        AddingSession(sam, "ws://127.0.0.1")
    for number in range(DEVICES_EVER_MAX - DEVICES_PER_PERSON_MAX):
        revoke(sam, my_devices(sam.storage)[1 + number])
        AddingSession(sam, "ws://127.0.0.1")
        add_device(sam, f"later {number}")
    revoke(sam, find_device(sam.storage, "later 15"))
    with pytest.raises(NotAllowed, match="32 devices in all"):
        AddingSession(sam, "ws://127.0.0.1")
