"""What a connection is sent next: cursors, spans and the recent envelopes."""

from __future__ import annotations

from bide.ids import DeviceId, LogId
from bide.testing import SpaceBuilder
from bide_relay.committer import Outcome
from bide_relay.rooms import Cursor, Room
from bide_relay.service import load_state
from bide_relay.settings import Settings
from bide_relay.storage.base import Batch, Span
from bide_relay.storage.memory import MemoryStorage


class Ear:
    """A listener that counts its wakings."""

    device = DeviceId(bytes(32))

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def room_of(space: SpaceBuilder, **settings: int) -> Room:
    storage = MemoryStorage()
    storage.found(space.id, space.envelopes[0], invite=None)
    storage.append([Batch(space.id, space.envelopes)])
    state = load_state(storage, space.id)
    assert state is not None
    return Room(state, Settings.model_validate(settings))


def stored(space: SpaceBuilder, count: int) -> Outcome:
    """The outcome of uploading the founder's next `count` envelopes."""
    envelopes = [space.write(space.founder) for _ in range(count)]
    return Outcome([(e.log_id, e.seq, e.data) for e in envelopes], {space.founder.log_id: space.founder.head}, None, None)


def test_a_new_reader_is_led_from_admission_to_admission(space: SpaceBuilder) -> None:
    """A log is followed up to each control entry in the order of admission, and only then to its end."""
    sam, robin = space.members
    space.write(sam)
    two = space.add_device(robin)
    three = space.add_device(sam)
    for member in (sam, robin, two, three):
        space.write(member)
    room = room_of(space)
    assert room.spans(Cursor({})) == [
        Span(sam.log_id, 0, 2),
        Span(robin.log_id, 0, 1),
        Span(sam.log_id, 2, 4),
        Span(sam.log_id, 4, 5),
        Span(robin.log_id, 1, 2),
        Span(two.log_id, 0, 1),
        Span(three.log_id, 0, 1),
    ]
    cursor = Cursor({sam.log_id: 5, robin.log_id: 1})
    assert [span.log_id for span in room.spans(cursor)] == [robin.log_id, two.log_id, three.log_id]
    assert cursor.milestones_passed == 4


def test_recent_envelopes_need_no_storage(space: SpaceBuilder) -> None:
    """What just came is sent from memory; with a hole before it, storage is asked first."""
    room = room_of(space)
    sam = space.founder
    outcome = stored(space, 3)
    room.apply(outcome, Ear())
    data = [envelope for _, _, envelope in outcome.envelopes]
    behind, level = room.spans(Cursor({})), room.spans(Cursor({sam.log_id: 2}))
    assert level == [Span(sam.log_id, 2, 5)]
    assert [e.data for e in room.recent(level, bytes_max=10**6, envelopes_max=512)] == data
    assert len(room.recent(level, bytes_max=1, envelopes_max=512)) == 1
    assert len(room.recent(level, bytes_max=10**6, envelopes_max=2)) == 2
    assert room.recent(behind, bytes_max=10**6, envelopes_max=512) == []


def test_memory_of_a_room_is_bounded(space: SpaceBuilder) -> None:
    """The oldest envelopes make way."""
    room = room_of(space, recent_bytes_per_space_max=5_000)
    room.apply(stored(space, 50), Ear())
    assert sum(map(len, room._recent.values())) <= 5_000
    assert len(room._recent) == len(room._recent_order) > 0
    last = room.spans(Cursor({space.founder.log_id: 51}))
    assert len(room.recent(last, bytes_max=10**6, envelopes_max=512)) == 1


def test_everybody_but_the_uploader_is_woken(space: SpaceBuilder) -> None:
    """And nobody if nothing new came."""
    room = room_of(space)
    uploader, other = Ear(), Ear()
    room.listeners = {uploader: None, other: None}
    room.apply(stored(space, 1), uploader)
    assert (uploader.woken, other.woken) == (0, 1)
    room.apply(Outcome([], {space.founder.log_id: space.founder.head}, None, None), uploader)
    assert (uploader.woken, other.woken) == (0, 1)


def test_a_cursor_never_goes_back_and_never_jumps(space: SpaceBuilder) -> None:
    """What one uploaded isn't sent back to it, unless it lacks what comes before."""
    log = LogId(b"l" * 16)
    cursor = Cursor({log: 3})
    cursor.advance(log, 2)
    assert cursor.seqs[log] == 3
    cursor.uploaded([(log, 4, 6)])
    assert cursor.seqs[log] == 6
    cursor.uploaded([(log, 9, 10)])
    assert cursor.seqs[log] == 6
