"""Homes that are written, synced, backed up, put back and copied in any order, at a relay that is wiped and put back.

After every step each home still shows what it showed before it. At the end everybody syncs: nothing that any home held is lost,
what is written then reaches every home, and all show the same, wherever no log was ever written by two.

``BIDE_COPIES=deep`` runs it for long.
"""

from __future__ import annotations

import copy
import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from bide.errors import BideError, ForkDetected, RelayUnreachable
from bide.replica import Replica
from bide.replica.single_writer import copies
from bide.replica.sync import receiving
from bide.storage.memory import MemoryStorage
from bide.testing_replicas import MemoryRelay, copied, new_replica, pair_up, sync, wipe

DEEP = os.environ.get("BIDE_COPIES") == "deep"
HOMES_MAX = 5
ROUNDS = 8


def shown(replica: Replica) -> set[str]:
    """The words of everything that a home shows, its own space included."""
    return {str(entry["fields"].get("noticed") or entry["fields"].get("worry")) for entry in replica.timeline()}


class Copies(RuleBasedStateMachine):
    """Two people, up to five homes, a relay."""

    backups = Bundle("backups")

    def __init__(self) -> None:
        super().__init__()
        self.relay = MemoryRelay()
        self.homes: list[Replica] = []
        self.count = 0
        self.log: list[str] = []

    @initialize()
    def begin(self) -> None:
        sam, robin = new_replica("Sam"), new_replica("Robin")
        pair_up(sam, robin)
        self.homes = [sam, robin]
        for home in (sam, robin, sam):
            self.sync_home(home)
        self.stored = copy.deepcopy(self.relay.spaces)

    def sync_home(self, home: Replica, frames_max: int = 1 << 30) -> bool:
        """Whether it went through; what the relay asks to be tried again is."""
        before = shown(home)
        whole = True
        for space in home.spaces():
            try:
                sync(home, self.relay, space=space.space_id, frames_max=frames_max)
            except (RelayUnreachable, ForkDetected):
                whole = False
            if frames_max > 100:
                assert shown(home) >= before, "a sync took something away"
        return whole

    def home(self, number: int) -> Replica:
        return self.homes[number % len(self.homes)]

    @rule(number=st.integers(0, HOMES_MAX - 1), private=st.booleans())
    def write(self, number: int, private: bool) -> None:
        self.count += 1
        values = {"worry": f"words {self.count}"} if private else {"noticed": f"words {self.count}"}
        self.home(number).write("checkin" if private else "appreciation", values, private=private)

    @rule(number=st.integers(0, HOMES_MAX - 1))
    def sync(self, number: int) -> None:
        self.sync_home(self.home(number))

    @rule(number=st.integers(0, HOMES_MAX - 1), frames=st.integers(3, 16))
    def sync_until_it_breaks(self, number: int, frames: int) -> None:
        self.sync_home(self.home(number), frames)

    @rule(target=backups, number=st.integers(0, HOMES_MAX - 1))
    def back_up(self, number: int) -> tuple[int, MemoryStorage]:
        storage = self.home(number).storage
        assert isinstance(storage, MemoryStorage)
        return number % len(self.homes), storage.copy()

    @rule(backup=backups)
    def put_back(self, backup: tuple[int, MemoryStorage]) -> None:
        """In place of the home that it was made of: what that had and nobody else is gone, as after any loss."""
        self.count += 1
        number, storage = backup
        self.homes[number] = copied(Replica(storage), f"put back {self.count}")

    @rule(backup=backups)
    def copy_home(self, backup: tuple[int, MemoryStorage]) -> None:
        if len(self.homes) < HOMES_MAX:
            self.count += 1
            self.homes.append(copied(Replica(backup[1]), f"copied {self.count}"))

    @rule()
    def wipe_relay(self) -> None:
        wipe(self.relay)

    @rule()
    def back_up_relay(self) -> None:
        self.stored = copy.deepcopy(self.relay.spaces)

    @rule()
    def put_back_relay(self) -> None:
        wipe(self.relay)
        self.relay.spaces = copy.deepcopy(self.stored)

    def teardown(self) -> None:
        if not self.homes:
            return
        everything = set().union(*(shown(home) for home in self.homes))
        self.settle()
        assert set().union(*(shown(home) for home in self.homes)) >= everything
        # Nobody is stuck: what each writes now is shown by all of the pair, and by all homes of the person.
        for number, home in enumerate(self.homes):
            home.write("appreciation", {"noticed": f"at last {number}"})
        self.settle()
        for home in self.homes:
            assert {f"at last {number}" for number in range(len(self.homes))} <= shown(home)
        logs = [next(s.log_id for s in home.spaces() if s.kind == "pair") for home in self.homes]
        assert len(set(logs)) == len(logs), "two homes write the same log"
        for home in self.homes:
            for space in home.spaces():
                assert not copies.is_due(home.storage, space.space_id)
        if not any(home.storage.evidence(space.space_id) for home in self.homes for space in home.spaces()):
            assert len({home.digest()[1]["digest"] for home in self.homes}) == 1
            for home in self.homes:
                assert not [finding for finding in home.doctor() if finding.level == "damage"]

    def settle(self) -> None:
        for _ in range(ROUNDS):
            whole = [self.sync_home(home) for home in self.homes]
        assert all(whole), "somebody is stuck"


def campaign(examples: int, steps: int) -> None:
    """Run it."""
    run_state_machine_as_test(
        Copies,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            derandomize=not DEEP,
            database=None,
            phases=[Phase.generate],
            print_blob=DEEP,
        ),
    )


def test_homes_that_are_copied_and_put_back_lose_nothing_and_meet_again() -> None:
    """In any order, with the relay wiped and put back in between."""
    campaign(1000 if DEEP else 12, 60 if DEEP else 20)


def test_the_campaign_notices_if_nothing_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: what was taken out of a log and is not written into the new one is missed."""
    monkeypatch.setattr(copies, "say_again", lambda replica, space: replica.storage.settle_displaced(space.space_id))
    with pytest.raises(AssertionError):
        campaign(60, 20)


def test_the_campaign_notices_if_copies_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a home that doesn't mind what another copy wrote into its log goes on in that log."""
    monkeypatch.setattr(receiving, "note_arrived", lambda *_: None)
    with pytest.raises((AssertionError, BideError)):
        campaign(60, 20)
