"""Where a space is: what is believed of what others say of it, and when a relay that was left may forget."""

from __future__ import annotations

import pytest

from bide.errors import NotAllowed
from bide.replica import Replica
from bide.replica.own_devices.moving import Visit, settle
from bide.replica.spaces.relays import (
    FORMERS_MAX,
    MOVED_KEY,
    Former,
    due,
    nobody_needs,
    offered,
    put_formers,
    read_formers,
    relay_key,
)
from bide.replica.sync.refusals import Stance
from bide.storage.base import SpaceRecord
from bide.testing_replicas import (
    RELAY_HOST,
    RELAY_URL,
    MemoryRelay,
    add_device,
    carry,
    exchange,
    new_replica,
    pair_space,
    pair_up,
    sync,
)

NEW = "wss://new.example.org"
BAD = (
    "ws://evil.example:80",
    "file:///etc/passwd",
    "http://evil.example",
    "wss://user:secret@evil.example",
    "wss://evil.example/\x1b[2J\x1b]0;owned\x07",
    "wss://evil.example/" + "a" * 5000,
    "wss://evil.example/\u202emoc.knab",
    "wss://\u0435vil.example",
    "WSS://EVIL.EXAMPLE",
    "wss://evil.example/",
    " wss://evil.example",
    "wss://evil.example?x",
    "",
)


@pytest.fixture
def two() -> tuple[Replica, Replica]:
    sam, robin = new_replica("Sam"), new_replica("Robin")
    pair_up(sam, robin)
    for replica in (sam, robin):
        replica.set_relay(RELAY_URL)
    exchange(sam, robin)
    return sam, robin


def say(replica: Replica, fields: dict[str, str], space: SpaceRecord | None = None) -> None:
    with replica.storage.transaction():
        replica.writer.say_of_person(fields, space=space or pair_space(replica))


@pytest.mark.parametrize("bad", BAD)
def test_an_address_that_could_not_have_been_typed_counts_as_none(two: tuple[Replica, Replica], bad: str) -> None:
    """Of the other person, and of my own other devices as well."""
    sam, robin = two
    say(robin, {MOVED_KEY: bad})
    exchange(sam, robin)
    assert offered(sam.storage, pair_space(sam)) == ""
    assert due(robin.storage, pair_space(robin)) == ""


def test_the_other_side_is_offered_and_my_own_is_due(two: tuple[Replica, Replica]) -> None:
    """Whoever is there already is offered nothing; and what was gone after once is not gone after again."""
    sam, robin = two
    say(robin, {MOVED_KEY: NEW})
    exchange(sam, robin)
    assert (offered(sam.storage, pair_space(sam)), due(sam.storage, pair_space(sam))) == (NEW, "")
    assert (offered(robin.storage, pair_space(robin)), due(robin.storage, pair_space(robin))) == ("", NEW)
    for replica in two:
        move(replica, NEW)
        assert (offered(replica.storage, pair_space(replica)), due(replica.storage, pair_space(replica))) == ("", "")
    robin.set_relay("wss://elsewhere.example.org")
    robin.storage.put_space(pair_space(robin)._replace(relay_url="wss://elsewhere.example.org"))
    assert due(robin.storage, pair_space(robin)) == ""  # set on this device on purpose


def move(replica: Replica, url: str, *, moved: bool = True) -> None:
    """Settle at a relay as if everything were there."""
    visit = Visit(replica, pair_space(replica), url, Stance.MOVING, host=RELAY_HOST)
    settle(replica, [visit], new_home=False, moved=moved)


def test_a_relay_is_needed_until_everybody_said_that_they_left(two: tuple[Replica, Replica]) -> None:
    """All devices of mine, and the other person with one; not if one of theirs says that it is still there."""
    sam, robin = two
    phone = add_device(sam, "phone")
    relay = MemoryRelay()
    own = sam.reader.own_space().space_id
    for replica in (sam, phone, sam):
        sync(replica, relay, space=own)
    for replica in (sam, robin, phone, sam, robin):
        sync(replica, relay)
    phone_log = pair_space(phone).log_id

    def needed() -> bool:
        return not nobody_needs(sam.storage, pair_space(sam), RELAY_URL)

    move(sam, NEW)
    assert needed()
    say(sam, {relay_key(phone_log): NEW})
    assert needed()
    move(robin, NEW)
    exchange(sam, robin)
    assert not needed()
    say(sam, {relay_key(phone_log): RELAY_URL})
    assert needed()


def test_the_last_relays_are_remembered_and_no_more(two: tuple[Replica, Replica]) -> None:
    """And none twice, however often somebody goes back and forth."""
    sam, _ = two
    for number in range(6):
        move(sam, f"wss://relay{number}.example.org")
    kept = [former.url for former in read_formers(sam.storage, pair_space(sam).space_id)]
    assert kept == [f"wss://relay{number}.example.org" for number in (4, 3, 2, 1)]
    assert len(kept) == FORMERS_MAX
    move(sam, "wss://relay3.example.org")
    kept = [former.url for former in read_formers(sam.storage, pair_space(sam).space_id)]
    assert kept == [f"wss://relay{number}.example.org" for number in (5, 4, 2, 1)]


def test_a_relay_that_is_away_is_tried_less_and_less_often() -> None:
    """Up to an hour apart; a clock that was set back does not make it wait longer."""
    former = Former(RELAY_URL, tried_ms=1_000_000_000, failures=3)
    assert former.rests(1_000_000_000 + 8 * 60_000 - 1)
    assert not former.rests(1_000_000_000 + 8 * 60_000)
    assert not former.rests(1_000_000_000 - 1)
    assert not former._replace(failures=40).rests(1_000_000_000 + 3_600_000)
    assert not former._replace(failures=0).rests(1_000_000_000)


def test_a_relay_that_can_not_forget_is_not_asked(two: tuple[Replica, Replica]) -> None:
    """An older one would take it for a breach of the protocol. The relay in memory is such a one: it names no limits."""
    sam, _ = two
    relay = MemoryRelay()
    sync(sam, relay)
    sync(sam, relay, space=sam.reader.own_space().space_id)
    space = pair_space(sam)
    visit = Visit(sam, space, RELAY_URL, Stance.LEAVING, host=RELAY_HOST, may_forget=lambda _: True)
    connection = relay.connect()
    going = True
    while going:
        going = False
        for message in connection.data_to_send():
            visit.sync.receive_data(message)
            going = True
        for message in visit.sync.data_to_send():
            connection.receive_data(message)
            going = True
    assert visit.sync.finished
    assert (visit.sync.cannot_ask, visit.sync.asked, visit.sync.absent) == (True, False, False)


@pytest.mark.parametrize("stance", [Stance.LEAVING, Stance.FOLLOWING])
def test_nothing_is_begun_on_a_relay_that_is_left_or_that_should_have_it(two: tuple[Replica, Replica], stance: Stance) -> None:
    """It would go on in two places."""
    sam, _ = two
    relay = MemoryRelay()
    visit = Visit(sam, pair_space(sam), RELAY_URL, stance, host=RELAY_HOST)
    connection = relay.connect()
    for message in connection.data_to_send():
        visit.sync.receive_data(message)
    for message in visit.sync.data_to_send():
        connection.receive_data(message)
    answers = connection.data_to_send()
    if stance is Stance.FOLLOWING:
        with pytest.raises(NotAllowed, match="doesn't hold"):
            visit.sync.receive_data(answers[0])
    else:
        visit.sync.receive_data(answers[0])
        assert visit.sync.absent
    assert visit.sync.closed
    assert not relay.spaces


def test_what_is_kept_of_the_space_s_own_relay_is_not_touched_by_a_visit(two: tuple[Replica, Replica]) -> None:
    """What was delivered where is told of the own relay alone, until the space settles at the other."""
    sam, robin = two
    relay, other = MemoryRelay(), MemoryRelay(store_id=b"o" * 16)
    sync(sam, relay)
    space = pair_space(sam).space_id
    before = sam.storage.relay_heads(space), sam.storage.meta(f"relay_store.{space.hex()}")
    exchange(sam, robin)
    visit = Visit(sam, pair_space(sam), NEW, Stance.MOVING, host=RELAY_HOST)
    connection = other.connect()
    for _ in range(20):
        for message in connection.data_to_send():
            visit.sync.receive_data(message)
        for message in visit.sync.data_to_send():
            connection.receive_data(message)
    assert visit.sync.finished
    assert (sam.storage.relay_heads(space), sam.storage.meta(f"relay_store.{space.hex()}")) == before
    settle(sam, [visit], new_home=False)
    assert sam.storage.meta(f"relay_store.{space.hex()}") != before[1]
    assert pair_space(sam).relay_url == NEW
    assert sam.reader.pending(pair_space(sam)) == 1  # that it moved
    put_formers(sam.storage, space, [])
    assert read_formers(sam.storage, space) == []


def test_a_space_that_a_device_waits_to_be_let_into_is_looked_for_where_it_was_moved(two: tuple[Replica, Replica]) -> None:
    """It was offered with the relay before; the offer says the new one, and nothing that is no address."""
    sam, _ = two
    relay = MemoryRelay()
    own = sam.reader.own_space().space_id
    for space in (own, pair_space(sam).space_id):
        sync(sam, relay, space=space)
    phone = add_device(sam, "phone")
    for replica in (sam, phone, sam, phone):
        sync(replica, relay, space=own)
    kim = new_replica("Kim")
    pair_up(sam, kim)
    kims = sam.spaces()[-1].space_id
    sam.storage.put_space(sam.spaces()[-1]._replace(relay_url=RELAY_URL))
    for replica in (sam, phone):
        sync(replica, relay, space=own)
    waiting = next(space for space in phone.spaces() if space.space_id == kims)
    assert (waiting.pending, waiting.relay_url) == (True, RELAY_URL)
    visit = Visit(sam, sam.spaces()[-1], NEW, Stance.MOVING, host=RELAY_HOST)
    settle(sam, [visit], new_home=False)
    for replica in (sam, phone):
        sync(replica, relay, space=own)
    assert next(space for space in phone.spaces() if space.space_id == kims).relay_url == NEW


def test_what_a_relay_that_was_left_has_lost_is_brought_back_while_somebody_is_there(two: tuple[Replica, Replica]) -> None:
    """Who has yet to hear of the move may be unable to begin the space anew; once nobody is there, nothing is begun."""
    sam, _ = two
    old = MemoryRelay()
    for stance, spaces in ((Stance.LEAVING, 0), (Stance.BESIDE, 1)):
        visit = Visit(sam, pair_space(sam), RELAY_URL, stance, host=RELAY_HOST)
        carry(visit.sync, old)
        assert (len(old.spaces), visit.sync.absent) == (spaces, stance is Stance.LEAVING)


def test_nothing_more_is_sent_in_a_sync_that_was_under_way_when_its_space_was_paused(two: tuple[Replica, Replica]) -> None:
    """What is written after it waits, as it does for who begins to sync then."""
    sam, _ = two
    relay = MemoryRelay()
    sync(sam, relay)
    space = pair_space(sam).space_id
    live = sam.sync_session(space, host=RELAY_HOST, live=True)
    carry(live, relay)
    sam.write("appreciation", {"noticed": "Goes."})
    live.wake()
    assert b"envelopes" in b"".join(live.data_to_send())
    sam.write("appreciation", {"noticed": "Waits."})
    sam.pause()
    live.wake()
    assert live.closed
    assert b"envelopes" not in b"".join(live.data_to_send())
