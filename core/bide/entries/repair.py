"""The repair conversation: one state, derived alike on both sides from whatever events have arrived.

`ALLOWED` is the whole table; the diagram in docs/repair.md is drawn from it. Turns guide, they never lock: several steps are
open in each phase. A step that the state doesn't allow is kept, marked and ignored. Withdrawal wins, whatever came with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import NamedTuple

from bide.entries.fields import Field, FieldKind

INVITE_FIELDS = (Field("topic", FieldKind.LINE, "What is it about, in one line?", "About", required=True),)
TELL_FIELDS = (
    Field("own_part", FieldKind.TEXT, "What was your own part in it?", "My part", required=True),
    Field("felt", FieldKind.TEXT, "What did you feel?", "I felt", required=True),
    Field("question_for_you", FieldKind.TEXT, "Is there something you would like to ask?", "I'd like to ask"),
)
GESTURE_FIELD = Field("gesture", FieldKind.TEXT, "What small thing would bring you closer again?", "A gesture")
AGREEMENT_FIELD = Field("agreement", FieldKind.TEXT, "What do you two agree on? Both can edit this.", "We agree")


class Phase(StrEnum):
    """Where a conversation stands."""

    INVITED = "invited"
    OPEN = "open"
    TOLD = "told"
    HEARD = "heard"
    RECONNECTING = "reconnecting"
    SETTLED = "settled"
    LATER = "later"
    RESTING = "resting"
    WITHDRAWN = "withdrawn"


class Step(Enum):
    """What a person can do: the end of its event type, and the keys it may write."""

    INVITE = ("invited", ("topic", "calm", "agreement"))
    ACCEPT = ("accepted", ("accept.{slot}",))
    TELL = ("told", ("tell.{slot}.own_part", "tell.{slot}.felt", "tell.{slot}.question_for_you"))
    HEAR = ("heard", ("hear.{slot}.mirrored", "hear.{slot}.validated", "hear.{slot}.empathised"))
    ANSWER = ("answered", ("answer.{slot}.verdict", "answer.{slot}.clarification"))
    RECONNECT = ("reconnected", ("gesture.{slot}",))
    AGREE = ("agreed", ("agree.{slot}",))
    SETTLE = ("settled", ("settle.{slot}",))
    LATER = ("postponed", ("pause.{slot}",))
    REST = ("rested", ("pause.{slot}",))
    RETURN = ("returned", ("pause.{slot}",))
    WITHDRAW = ("withdrawn", ("withdraw.{slot}",))

    @property
    def event(self) -> str:
        """What follows ``repair.`` in the event type."""
        name: str = self.value[0]
        return name

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys it may write, see `bide.entries.kinds.EventType.keys`."""
        keys: tuple[str, ...] = self.value[1]
        return keys


STEP_BY_EVENT: Mapping[str, Step] = {f"repair.{step.event}": step for step in Step}


class Who(Enum):
    """Whose step it is."""

    EITHER = "either of the two"
    INVITED = "the one who was invited"
    LISTENER = "the one whom the other has told"
    TELLER = "the one whom the other has heard"
    PAUSED = "the one who paused"


_PAUSES = {Step.LATER: Who.EITHER, Step.REST: Who.EITHER, Step.WITHDRAW: Who.EITHER}
_TALK = {Step.TELL: Who.EITHER, Step.HEAR: Who.LISTENER, Step.ANSWER: Who.TELLER}
_CLOSE = {Step.RECONNECT: Who.EITHER, Step.AGREE: Who.EITHER}

ALLOWED: Mapping[Phase, Mapping[Step, Who]] = {
    Phase.INVITED: {Step.ACCEPT: Who.INVITED, Step.TELL: Who.EITHER, **_PAUSES},
    Phase.OPEN: {Step.TELL: Who.EITHER, **_PAUSES},
    Phase.TOLD: {**_TALK, **_PAUSES},
    Phase.HEARD: {**_TALK, **_CLOSE, **_PAUSES},
    Phase.RECONNECTING: {**_TALK, **_CLOSE, Step.SETTLE: Who.EITHER, **_PAUSES},
    Phase.SETTLED: {Step.WITHDRAW: Who.EITHER},
    Phase.LATER: {Step.ACCEPT: Who.INVITED, **_TALK, **_CLOSE, Step.RETURN: Who.PAUSED, **_PAUSES},
    Phase.RESTING: {Step.ACCEPT: Who.INVITED, **_TALK, **_CLOSE, Step.RETURN: Who.PAUSED, **_PAUSES},
    Phase.WITHDRAWN: {},
}
"""Who may take which step in which phase."""


class RepairState(NamedTuple):
    """Everything that has been derived about one conversation."""

    inviters: frozenset[int]
    accepted: bool = False
    told: frozenset[int] = frozenset()
    heard: frozenset[int] = frozenset()
    """Slots that have said back what the other told, and were not asked to try again."""
    answered: frozenset[int] = frozenset()
    """Slots that have said of the other's last hearing whether it fits."""
    reconnecting: bool = False
    settled: frozenset[int] = frozenset()
    pauses: Mapping[int, Phase] = MappingProxyType({})
    withdrawn: bool = False

    @property
    def phase(self) -> Phase:
        """The one word for where it stands."""
        if self.withdrawn:
            return Phase.WITHDRAWN
        if len(self.settled) == 2:
            return Phase.SETTLED
        if self.pauses:
            return Phase.RESTING if Phase.RESTING in self.pauses.values() else Phase.LATER
        if self.reconnecting or len(self.heard) == 2:
            return Phase.RECONNECTING
        if self.heard:
            return Phase.HEARD
        if self.told:
            return Phase.TOLD
        # Two who invited each other at the same time have both said yes.
        return Phase.OPEN if self.accepted or len(self.inviters) == 2 else Phase.INVITED

    def allows(self, step: Step, slot: int) -> bool:
        """Whether the person in `slot` can take `step` now."""
        who = ALLOWED[self.phase].get(step)
        other = 1 - slot
        return {
            None: False,
            Who.EITHER: True,
            Who.INVITED: slot not in self.inviters,
            Who.LISTENER: other in self.told,
            Who.TELLER: other in self.heard,
            Who.PAUSED: slot in self.pauses,
        }[who]

    def after(self, step: Step, slot: int, *, not_quite: bool = False) -> RepairState:
        """The state after `slot` took `step`, which the state allows.

        Args:
            step: what was done.
            slot: by whom.
            not_quite: for `Step.ANSWER`: the hearing goes back to the other.
        """
        other = 1 - slot
        state = self
        if step not in (Step.LATER, Step.REST, Step.WITHDRAW) and slot in self.pauses:
            state = state._replace(pauses={s: p for s, p in self.pauses.items() if s != slot})
        match step:
            case Step.ACCEPT:
                return state._replace(accepted=True)
            case Step.TELL:
                # Telling again asks to be heard again.
                return state._replace(accepted=True, told=state.told | {slot}, heard=state.heard - {other})
            case Step.HEAR:
                return state._replace(heard=state.heard | {slot}, answered=state.answered - {other})
            case Step.ANSWER:
                heard = state.heard - {other} if not_quite else state.heard
                return state._replace(heard=heard, answered=state.answered | {slot})
            case Step.RECONNECT | Step.AGREE:
                # Both settle for what is there: a new gesture or another agreement is looked at again.
                return state._replace(reconnecting=True, settled=frozenset())
            case Step.SETTLE:
                return state._replace(settled=state.settled | {slot})
            case Step.LATER:
                return state._replace(pauses={**state.pauses, slot: Phase.LATER})
            case Step.REST:
                return state._replace(pauses={**state.pauses, slot: Phase.RESTING})
            case Step.WITHDRAW:
                return state._replace(withdrawn=True)
            case _:
                return state

    def next_steps(self, slot: int) -> list[Step]:
        """The steps open to `slot`, the most likely first."""
        order = [Step.ACCEPT, Step.HEAR, Step.TELL, Step.ANSWER, Step.RECONNECT, Step.AGREE, Step.SETTLE, Step.RETURN]
        order += [Step.LATER, Step.REST, Step.WITHDRAW]
        steps = [step for step in order if self.allows(step, slot)]
        # What has been done already is still possible, and comes after what has not.
        taken = (
            (Step.TELL, self.told),
            (Step.HEAR, self.heard),
            (Step.ANSWER, self.answered),
            (Step.SETTLE, self.settled),
        )
        done = {step for step, slots in taken if slot in slots}
        return [s for s in steps if s not in done] + [s for s in steps if s in done]


def fold_steps(inviters: Iterable[int], steps: Iterable[tuple[Step, int, bool]]) -> tuple[RepairState, list[bool]]:
    """The state that a sequence of steps leads to, and for each step whether it counted.

    Args:
        inviters: the slots that invited.
        steps: (step, slot, not_quite) in an order that is the same on every device.
    """
    state = RepairState(frozenset(inviters))
    counted: list[bool] = []
    for step, slot, not_quite in steps:
        allowed = state.allows(step, slot)
        counted.append(allowed)
        if allowed:
            state = state.after(step, slot, not_quite=not_quite)
    return state, counted
