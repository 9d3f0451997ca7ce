"""The table of a repair conversation, walked through to the end, and the rules that it stands for."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bide.entries.kinds import REPAIR
from bide.entries.repair import ALLOWED, Phase, RepairState, Step, Who, fold_steps

STEPS = [step for step in Step if step is not Step.INVITE]
MOVES = [
    (step, slot, flag) for step in STEPS for slot in (0, 1) for flag in ((False, True) if step is Step.ANSWER else (False,))
]
Move = tuple[Step, int] | tuple[Step, int, bool]
OTHERS_ARE_NEVER_ASKED = (Step.LATER, Step.REST, Step.WITHDRAW)


def key(state: RepairState) -> tuple[object, ...]:
    pauses = tuple(sorted(state.pauses.items()))
    sets = (state.inviters, state.told, state.heard, state.settled)
    return (*sets, state.accepted, state.reconnecting, state.withdrawn, pauses)


def every_state() -> list[RepairState]:
    """All states that any steps lead to from any beginning."""
    reached: dict[tuple[object, ...], RepairState] = {}
    waiting = [RepairState(frozenset(inviters)) for inviters in ({0}, {1}, {0, 1})]
    while waiting:
        state = waiting.pop()
        if key(state) in reached:
            continue
        reached[key(state)] = state
        for step, slot, not_quite in MOVES:
            if state.allows(step, slot):
                waiting.append(state.after(step, slot, not_quite=not_quite))
    return list(reached.values())


STATES = every_state()


def told(*steps: Move, inviters: tuple[int, ...] = (0,)) -> tuple[RepairState, list[bool]]:
    return fold_steps(inviters, [step if len(step) == 3 else (*step, False) for step in steps])


def phase(*steps: Move, inviters: tuple[int, ...] = (0,)) -> Phase:
    state, counted = told(*steps, inviters=inviters)
    assert all(counted), "a step of the story did not count"
    return state.phase


def test_every_phase_can_be_reached_and_no_other() -> None:
    """The walk through the table ends, and comes by every phase."""
    assert {state.phase for state in STATES} == set(Phase)
    assert len(STATES) < 5000


def test_the_table_is_what_is_allowed_and_nothing_else() -> None:
    """In every state a step is open to a person exactly if the phase's row says so for them."""
    for state, step, slot in itertools.product(STATES, STEPS, (0, 1)):
        who = ALLOWED[state.phase].get(step)
        expected = {
            None: False,
            Who.EITHER: True,
            Who.INVITED: slot not in state.inviters,
            Who.LISTENER: 1 - slot in state.told,
            Who.TELLER: 1 - slot in state.heard,
            Who.PAUSED: slot in state.pauses,
        }[who]
        assert state.allows(step, slot) is expected
        assert (step in state.next_steps(slot)) is expected


def test_nobody_can_invite_into_a_conversation() -> None:
    """The invitation begins it, and is no step in any phase."""
    assert all(Step.INVITE not in steps for steps in ALLOWED.values())
    assert set(ALLOWED) == set(Phase)


def test_a_pause_and_a_way_out_are_open_to_both_until_it_is_over() -> None:
    """Later, rest and withdraw need no reason, no turn and no consent."""
    for state, slot in itertools.product(STATES, (0, 1)):
        if state.phase not in (Phase.SETTLED, Phase.WITHDRAWN):
            assert all(state.allows(step, slot) for step in OTHERS_ARE_NEVER_ASKED)
        assert state.allows(Step.WITHDRAW, slot) is (state.phase is not Phase.WITHDRAWN)


def test_withdrawing_ends_it_whatever_comes_after() -> None:
    """From every state, and no step leads out of it."""
    for state, slot in itertools.product(STATES, (0, 1)):
        if state.phase is Phase.WITHDRAWN:
            assert not any(state.allows(step, slot) for step in STEPS)
            assert state.next_steps(slot) == []
        else:
            assert state.after(Step.WITHDRAW, slot).phase is Phase.WITHDRAWN


def test_the_straight_way() -> None:
    """Invited, open, told, heard, reconnecting, settled."""
    story = [
        ((Step.ACCEPT, 1), Phase.OPEN),
        ((Step.TELL, 0), Phase.TOLD),
        ((Step.HEAR, 1), Phase.HEARD),
        ((Step.TELL, 1), Phase.HEARD),
        ((Step.HEAR, 0), Phase.RECONNECTING),
        ((Step.RECONNECT, 1), Phase.RECONNECTING),
        ((Step.AGREE, 0), Phase.RECONNECTING),
        ((Step.SETTLE, 1), Phase.RECONNECTING),
        ((Step.SETTLE, 0), Phase.SETTLED),
    ]
    assert phase() is Phase.INVITED
    for end in range(1, len(story) + 1):
        assert phase(*(step for step, _ in story[:end])) is story[end - 1][1]


def test_two_who_invited_each_other_need_no_accepting() -> None:
    """Both have said yes."""
    state, _ = told(inviters=(0, 1))
    assert state.phase is Phase.OPEN
    assert not state.allows(Step.ACCEPT, 0)
    assert not state.allows(Step.ACCEPT, 1)


def test_not_quite_gives_the_hearing_back() -> None:
    """The hearer hears again; a plain 'heard' changes nothing; both are counted."""
    heard = [(Step.TELL, 0), (Step.HEAR, 1)]
    assert phase(*heard, (Step.ANSWER, 0, False)) is Phase.HEARD
    assert phase(*heard, (Step.ANSWER, 0, True)) is Phase.TOLD
    assert phase(*heard, (Step.ANSWER, 0, True), (Step.HEAR, 1)) is Phase.HEARD
    state, counted = told(*heard, (Step.ANSWER, 1, True))
    assert counted == [True, True, False]
    assert state.phase is Phase.HEARD


def test_telling_again_asks_to_be_heard_again() -> None:
    """Only for who tells again."""
    both = [(Step.TELL, 0), (Step.TELL, 1), (Step.HEAR, 0), (Step.HEAR, 1)]
    state, _ = told(*both, (Step.TELL, 0))
    assert (state.phase, state.heard) == (Phase.HEARD, frozenset({0}))


@pytest.mark.parametrize(("pause", "named"), [(Step.LATER, Phase.LATER), (Step.REST, Phase.RESTING)])
def test_a_pause_ends_with_a_return_or_with_any_step_of_who_paused(pause: Step, named: Phase) -> None:
    """The other's steps don't end it, and nothing is forgotten meanwhile."""
    before = [(Step.ACCEPT, 1), (Step.TELL, 0)]
    assert phase(*before, (pause, 1)) is named
    assert phase(*before, (pause, 1), (Step.TELL, 0)) is named
    assert phase(*before, (pause, 1), (Step.RETURN, 1)) is Phase.TOLD
    assert phase(*before, (pause, 1), (Step.HEAR, 1)) is Phase.HEARD
    assert phase(*before, (pause, 1), (pause, 0), (Step.RETURN, 1)) is named
    state, counted = told(*before, (pause, 1), (Step.RETURN, 0))
    assert (state.phase, counted[-1]) == (named, False)


def test_resting_is_said_before_later() -> None:
    """Of two pauses the longer one names the state."""
    assert phase((Step.LATER, 0), (Step.REST, 1)) is Phase.RESTING
    assert phase((Step.REST, 0), (Step.LATER, 0)) is Phase.LATER


def test_what_is_not_allowed_is_marked_and_changes_nothing() -> None:
    """Ignored, never an error, and what follows counts as if it had not been."""
    state, counted = told((Step.SETTLE, 0), (Step.HEAR, 1), (Step.ACCEPT, 0), (Step.ACCEPT, 1), (Step.ACCEPT, 1))
    assert counted == [False, False, False, True, False]
    assert key(state) == key(told((Step.ACCEPT, 1))[0])


@given(st.sets(st.integers(0, 1), min_size=1), st.lists(st.sampled_from(MOVES), max_size=30))
def test_any_steps_lead_somewhere_and_ignored_ones_lead_nowhere(
    inviters: set[int], moves: list[tuple[Step, int, bool]]
) -> None:
    """A fold of only what counted comes to the same state, and all of it counts again."""
    state, counted = fold_steps(inviters, moves)
    assert len(counted) == len(moves)
    kept = [move for move, counts in zip(moves, counted, strict=True) if counts]
    again, all_counted = fold_steps(inviters, kept)
    assert key(again) == key(state)
    assert all(all_counted)


def test_each_step_has_an_event_that_may_write_only_its_own_keys() -> None:
    """No two steps of different meaning share a key, and every key names its writer, the invitation's apart."""
    events = {event.name: event for event in REPAIR.events}
    for step in STEPS:
        event = events[f"repair.{step.event}"]
        assert event.keys == step.keys
        assert all("{slot}" in name for name in event.keys)
        assert event.edits_text is (step is Step.AGREE)
