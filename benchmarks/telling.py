"""Who writes what, and when: the plot of the generated history."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from benchmarks import words
from bide.replica import Replica
from bide.testing import FakeClock

REPAIRS = 0.03
HEARINGS = 0.04
EDITS = 0.03
_CHECKINS = 0.6
_CROSSED = 0.1
_RECENT = 200
_MINUTE_MS = 60_000

_STEPS: tuple[tuple[int, str], ...] = (
    (1, "accept"),
    (0, "tell"),
    (1, "hear"),
    (0, "answer"),
    (1, "tell"),
    (0, "hear"),
    (1, "reconnect"),
    (0, "agree"),
    (1, "agree"),
    (0, "settle"),
    (1, "settle"),
)
"""A conversation that goes well: 0 is who invited."""


@dataclass(slots=True)
class _Conversation:
    id: str
    inviter: int
    round: int
    """When its last step was taken: the next one waits until that was exchanged."""
    steps: deque[tuple[int, str]] = field(default_factory=deque)


class Teller:
    """Lets two replicas write, round by round; somebody exchanges their logs in between."""

    def __init__(self, sam: Replica, robin: Replica, random: Random, *, entries: int, rounds: int) -> None:
        """Plan.

        Args:
            sam: slot 0 of the pair.
            robin: slot 1.
            random: all chance comes from here.
            entries: how many stand in the timeline at the end; hearings, edits and steps come on top.
            rounds: over how many rounds.
        """
        self._people = (sam, robin)
        self._random = random
        self._rounds = rounds
        self._repairs_wanted = round(entries * REPAIRS)
        self._plain_wanted = entries - self._repairs_wanted
        self._repairs = 0
        self._plain = 0
        self._conversations: list[_Conversation] = []
        self._recent: tuple[deque[str], deque[str]] = (deque(maxlen=_RECENT), deque(maxlen=_RECENT))
        """What each wrote in earlier rounds, so that the other has it too."""
        self._fresh: tuple[list[str], list[str]] = ([], [])
        self._unanswered: tuple[list[str], list[str]] = ([], [])
        """Hearings of what each wrote, from the round before."""

    def tell(self, number: int, clock: FakeClock, *, begins_ms: int, step_ms: int) -> None:
        """Let both write for one round, each in one transaction."""
        invites = self._due(number, self._repairs_wanted, self._repairs)
        crossed = bool(invites) and self._random.random() < _CROSSED
        inviter = self._random.randrange(2)
        fresh = self._due(number, self._plain_wanted, self._plain)
        mine = sum(self._random.random() < 0.52 for _ in range(fresh))
        heard: tuple[list[str], list[str]] = ([], [])
        for me, count in ((0, mine), (1, fresh - mine)):
            acts: list[Callable[[], None]] = [partial(self._write, me)] * count
            acts += [partial(self._step, c, number) for c in self._conversations if self._turn(c, me, number)]
            acts += [partial(self._answer, me, hearing) for hearing in self._unanswered[me]]
            acts += [partial(self._hear, me, heard[1 - me]) for _ in range(self._chance(HEARINGS, count, 1 - me))]
            acts += [partial(self._edit, me) for _ in range(self._chance(EDITS, count, me))]
            if me == inviter or crossed:
                # Invitations of one round cross; a second one on either side would only make it a lottery which of them.
                wanted = 1 if crossed else invites
                acts += [partial(self._invite, me, number, crossed=crossed)] * wanted
            self._act(me, acts, clock, begins_ms, step_ms)
        for me in (0, 1):
            self._unanswered[me][:] = heard[me]
            self._recent[me].extend(self._fresh[me])
            self._fresh[me].clear()
        self._conversations = [c for c in self._conversations if c.steps]

    def _act(self, me: int, acts: list[Callable[[], None]], clock: FakeClock, begins_ms: int, step_ms: int) -> None:
        self._random.shuffle(acts)
        with self._people[me].storage.transaction():
            for index, act in enumerate(acts):
                clock.set(begins_ms + step_ms * index // len(acts) + self._random.randrange(30 * _MINUTE_MS))
                act()

    def _due(self, number: int, wanted: int, done: int) -> int:
        return wanted * (number + 1) // self._rounds - done

    def _chance(self, share: float, count: int, whose: int) -> int:
        if not self._recent[whose]:
            return 0
        return sum(self._random.random() < share for _ in range(count))

    def _write(self, me: int) -> None:
        checkin = self._random.random() < _CHECKINS
        values = words.checkin(self._random) if checkin else words.appreciation(self._random)
        written = self._people[me].write("checkin" if checkin else "appreciation", values)
        self._fresh[me].append(written.id)
        self._plain += 1

    def _edit(self, me: int) -> None:
        entry = self._people[me].show(self._random.choice(self._recent[me]))
        name = next(name for name in entry["fields"] if name not in ("feelings", "later"))
        text = f"{entry['fields'][name]} {words.text(self._random, 30)}"
        self._people[me].edit(entry["id"], {name: text})

    def _hear(self, me: int, heard: list[str]) -> None:
        entry = self._random.choice(self._recent[1 - me])
        heard.append(self._people[me].hear(entry, words.hearing(self._random)).id)

    def _answer(self, me: int, hearing: str) -> None:
        chance = self._random.random()
        if chance < 0.5:
            self._people[me].answer_hearing(hearing)
        elif chance < 0.6:
            self._people[me].answer_hearing(hearing, verdict="not_quite", clarification=words.text(self._random, 60))

    # Repair conversations

    def _invite(self, me: int, number: int, *, crossed: bool) -> None:
        topic = self._random.choice(words.TOPICS)
        written = self._people[me].invite_to_repair({"topic": topic})
        if crossed and me == 1:
            return  # it folds into the other one, or the other into it: the steps go there by themselves
        steps = deque(_STEPS[1:] if crossed else _STEPS)
        if self._random.random() < 0.25:  # not every conversation is finished
            steps = deque(list(steps)[: self._random.randrange(1, len(steps))])
        self._conversations.append(_Conversation(written.id, me, number, steps))
        self._repairs += 1

    def _turn(self, conversation: _Conversation, me: int, number: int) -> bool:
        who = conversation.steps[0][0] if conversation.steps else None
        return conversation.round < number and who is not None and (me == conversation.inviter) == (who == 0)

    def _step(self, conversation: _Conversation, number: int) -> None:
        who, step = conversation.steps.popleft()
        conversation.round = number
        me = conversation.inviter if who == 0 else 1 - conversation.inviter
        self._people[me].repair_step(conversation.id, step, self._step_values(step))

    def _step_values(self, step: str) -> dict[str, Any]:
        random = self._random
        if step == "tell":
            return {"own_part": words.text(random, 120), "felt": words.text(random, 50)}
        if step == "hear":
            return {"mirrored": words.text(random, 120)}
        if step == "answer":
            return {"verdict": "heard"}
        if step == "reconnect":
            return {"gesture": words.text(random, 60)}
        if step == "agree":
            return {"agreement": words.text(random, 80)}
        return {}
