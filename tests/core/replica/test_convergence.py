"""Replicas write, edit, reply, talk, sync in any order, are cut off and start again: they always come to the same."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bide.crdt.document import NothingChanged
from bide.errors import BideError, NotAllowed, NotPaired
from bide.replica import Replica
from bide.storage.memory import MemoryStorage
from bide.storage.sqlite import SqliteStorage
from bide.testing import FakeClock, SeededRandomness
from bide.testing_replicas import (
    RELAY_URL,
    MemoryRelay,
    exchange,
    missing,
    new_replica,
    note_handed_over,
    pair_space,
    pair_up,
    receive,
    sync,
)

KEY = bytes(32)
WHO = st.integers(0, 1)
TEXT = st.sampled_from(["tea", "a long walk", "กาแฟ", "🦉", "the dishes, again", "x" * 300])
STEPS = ["accept", "tell", "hear", "answer", "reconnect", "agree", "settle", "later", "rest", "return", "withdraw"]


def content(step: str, text: str) -> dict[str, Any]:
    return {
        "tell": {"own_part": text, "felt": "tired"},
        "hear": {"mirrored": text},
        "answer": {"verdict": "not_quite", "clarification": text} if len(text) % 2 else {"verdict": "heard"},
        "reconnect": {"gesture": text},
        "agree": {"agreement": text},
    }.get(step, {})


def shared(replica: Replica) -> list[dict[str, Any]]:
    """The shared timeline without what depends on who looks: `me`, `delivery`, `next`, and with whom it is shared."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items() if k not in ("me", "delivery", "next", "shared_with")}
        return [plain(item) for item in value] if isinstance(value, list) else value

    return [plain(entry) for entry in replica.timeline() if entry["visibility"] == "shared"]


def digest(replica: Replica) -> str:
    return str(replica.digest()[1]["digest"])


class Couple(RuleBasedStateMachine):
    """Sam in memory and Robin in an encrypted file, a relay, and a connection that breaks."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="bide-test-")
        self.path = Path(self.folder.name) / "robin.db"
        self.replicas = [
            new_replica("Sam", MemoryStorage()),
            new_replica("Robin", SqliteStorage(self.path, KEY, create=True), clock=FakeClock(1_767_225_600_500, tick_ms=700)),
        ]
        pair_up(*self.replicas)
        self.relay = MemoryRelay()
        for replica in self.replicas:
            replica.set_relay(RELAY_URL)
        self.written: dict[str, tuple[int, bool]] = {}
        """Acknowledged id to (who, private)."""
        self.reopened = self.wiped = 0
        self.erased = self.ended = False

    def teardown(self) -> None:
        if hasattr(self, "replicas"):
            self.settle_down()
            self.replicas[1].storage.close()
            self.folder.cleanup()

    # Writing

    @rule(who=WHO, text=TEXT, private=st.booleans(), kind=st.sampled_from(["checkin", "appreciation"]))
    def write(self, who: int, text: str, private: bool, kind: str) -> None:
        field = "went_well" if kind == "checkin" else "noticed"
        try:
            written = self.replicas[who].write(kind, {field: text}, private=private)
        except NotPaired:
            assert self.ended
            assert not private
        else:
            self.written[written.id] = (who, private)

    @rule(who=WHO, text=TEXT)
    def invite(self, who: int, text: str) -> None:
        try:
            written = self.replicas[who].invite_to_repair({"topic": text[:100]})
        except NotPaired:
            assert self.ended
        else:
            self.written[written.id] = (who, False)

    @rule(who=WHO, text=TEXT, pick=st.integers(0, 50), what=st.sampled_from(["edit", "hear", "answer"]))
    def continue_something(self, who: int, text: str, pick: int, what: str) -> None:
        replica = self.replicas[who]
        entries = replica.timeline(kinds=["checkin", "appreciation"])
        if what == "answer":
            entries = [reply for entry in entries for reply in entry["replies"]]
        if not entries:
            return
        entry = entries[pick % len(entries)]
        try:
            if what == "edit":
                replica.edit(entry["id"], {"noticed" if entry["kind"] == "appreciation" else "hard": text})
            elif what == "hear":
                written = replica.hear(entry["id"], {"mirrored": text})
                self.written[written.id] = (who, False)
            else:
                verdict = "heard" if pick % 2 else "not_quite"
                replica.answer_hearing(entry["id"], verdict=verdict, clarification=text)
        except BideError:
            pass  # not theirs to do, or nothing changed

    @rule(who=WHO, text=TEXT, pick=st.integers(0, 50), step=st.sampled_from(STEPS))
    def talk(self, who: int, text: str, pick: int, step: str) -> None:
        conversations = self.replicas[who].conversations()
        if not conversations:
            return
        conversation = conversations[pick % len(conversations)]
        try:
            self.replicas[who].repair_step(conversation["id"], step, content(step, text))
        except NothingChanged:
            pass
        except NotAllowed:
            assert self.ended or step not in conversation["next"]

    # Leaving

    @rule(who=WHO, pick=st.integers(0, 50))
    def erase(self, who: int, pick: int) -> None:
        """Own words of an entry, of a reply or of a conversation."""
        entries = [e for e in self.replicas[who].timeline() if e["visibility"] == "shared"]
        entries += [reply for entry in entries for reply in entry["replies"]]
        if entries:
            self.erase_one(who, entries[pick % len(entries)]["id"])

    def erase_one(self, who: int, entry: str) -> None:
        try:
            self.replicas[who].erase([entry])
        except NotAllowed:
            return  # none of it is theirs
        self.erased = True
        self.written = {known: said for known, said in self.written.items() if said[1]}

    @precondition(lambda self: len(self.written) > 6)
    @rule(who=WHO, often=st.integers(0, 3))
    def end(self, who: int, often: int) -> None:
        if not often and not self.ended:
            self.ended = True
            self.replicas[who].leave()

    # Meeting

    @rule(who=WHO, cuts=st.lists(st.integers(1, 4), min_size=1, max_size=3))
    def give_some(self, who: int, cuts: list[int]) -> None:
        """A part of each log, in batches that end anywhere."""
        source, target = self.replicas[who], self.replicas[1 - who]
        note_handed_over(source)
        for log in missing(source, target):
            at = 0
            for size in cuts:
                if log[at : at + size]:
                    receive(target, [envelope.data for envelope in log[at : at + size]])
                at += size

    @rule(who=WHO)
    def give_again(self, who: int) -> None:
        """What is there already changes nothing."""
        source, target = self.replicas[who], self.replicas[1 - who]
        before = digest(target)
        heads = target.storage.heads(pair_space(target).space_id)
        for log, head in heads.items():
            known = source.storage.envelopes_after(pair_space(source).space_id, log, 0, bytes_max=1 << 20, count_max=head.seq)
            assert receive(target, [envelope.data for envelope in known[: head.seq]]) == 0
        assert digest(target) == before

    @rule(who=WHO, frames=st.integers(1, 12))
    def sync_and_break_off(self, who: int, frames: int) -> None:
        sync(self.replicas[who], self.relay, frames_max=frames)

    @rule(who=WHO)
    def sync_through(self, who: int) -> None:
        assert sync(self.replicas[who], self.relay).finished
        assert self.replicas[who].reader.pending(pair_space(self.replicas[who])) == 0

    @rule()
    def the_relay_loses_everything(self) -> None:
        self.wiped += 1
        self.relay = MemoryRelay(store_id=bytes([self.wiped]) * 16)

    # Starting again

    @precondition(lambda self: self.reopened < 5)
    @rule()
    def robin_opens_again(self) -> None:
        old = self.replicas[1]
        before = old.digest()
        old.storage.close()
        self.reopened += 1
        self.replicas[1] = Replica(
            SqliteStorage(self.path, KEY), clock=old.clock, randomness=SeededRandomness(f"again {self.reopened}")
        )
        assert self.replicas[1].digest() == before

    @rule(who=WHO)
    def rebuild(self, who: int) -> None:
        replica = self.replicas[who]
        before, timeline, status = replica.digest(), replica.timeline(), replica.status()
        replica.rebuild()
        assert replica.digest() == before
        assert replica.timeline() == timeline
        assert replica.status() == status

    # What always holds

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        for entry, (who, private) in self.written.items():
            self.replicas[who].show(entry)
            if private:
                record = self.replicas[who].reader.find(entry)
                assert self.replicas[1 - who].storage.entries_with_id(record.entry_id) == []

    @rule()
    def settle_down(self) -> None:
        """After a full exchange both are the same, and rebuilding changes nothing."""
        sam, robin = self.replicas
        exchange(sam, robin)
        assert digest(sam) == digest(robin)
        assert json.dumps(shared(sam)) == json.dumps(shared(robin))
        for replica in self.replicas:
            assert all(finding.level != "damage" for finding in replica.doctor())
            counts = replica.status()["spaces"][1]
            assert (counts["waiting"], counts["newer"], counts["ignored"]) == (0, 0, 0)
            assert not counts["quarantined"]
            assert not any(
                "kept back" in str(finding.words) or "keeps them back" in str(finding.words) for finding in replica.doctor()
            )
            before = replica.digest()
            replica.rebuild()
            assert replica.digest() == before


TestCouple = Couple.TestCase
TestCouple.settings = settings(max_examples=settings().max_examples // 2, stateful_step_count=30)
