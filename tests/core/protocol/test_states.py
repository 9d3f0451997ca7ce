"""The state table: whole, closed and reachable."""

from __future__ import annotations

import pytest

from bide.protocol.frames import FRAME_NAMES, Error, Frame
from bide.protocol.states import NOT_HERE_CODES, TRANSITIONS, Side, State, next_state


def error(*, fatal: bool = False, code: str = "busy") -> Error:
    return Error(code, "words", fatal, 0, [])


def test_every_frame_has_a_place() -> None:
    placed = {kind for _, _, kind in TRANSITIONS} | {Error}
    assert placed == set(FRAME_NAMES)


def test_every_state_can_be_reached() -> None:
    reached, before = {State.CONNECTED}, set[State]()
    while reached != before:
        before = set(reached)
        reached |= {target for (source, _, _), target in TRANSITIONS.items() if source in before}
        if State.AUTHENTICATING in reached:
            reached.add(State.UNKNOWN_SPACE)
    assert reached == set(State)


def test_nothing_follows_on_the_end() -> None:
    assert not [key for key in TRANSITIONS if key[0] is State.CLOSED]
    assert next_state(State.CLOSED, Side.RELAY, error(fatal=True)) is None
    assert next_state(State.CLOSED, Side.CLIENT, error()) is None


@pytest.mark.parametrize("state", [state for state in State if state is not State.CLOSED])
@pytest.mark.parametrize("side", Side)
def test_an_error_can_come_at_any_time(state: State, side: Side) -> None:
    """A fatal one closes; another changes nothing."""
    assert next_state(state, side, error(fatal=True)) is State.CLOSED
    assert next_state(state, side, error()) is state


@pytest.mark.parametrize("state", [state for state in State if state is not State.CLOSED])
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("code", sorted(NOT_HERE_CODES))
def test_a_space_that_is_not_there_is_an_answer_only_to_an_authentication(state: State, side: Side, code: str) -> None:
    answered = state is State.AUTHENTICATING and side is Side.RELAY
    expected = State.UNKNOWN_SPACE if answered else state
    assert next_state(state, side, error(code=code)) is expected


def test_no_frame_of_a_side_is_of_the_other_side_but_those_of_both() -> None:
    """Only batches and mailbox messages, errors and closings go both ways."""
    sides: dict[type[Frame], set[Side]] = {}
    for _, side, kind in TRANSITIONS:
        sides.setdefault(kind, set()).add(side)
    both = {FRAME_NAMES[kind] for kind, by in sides.items() if len(by) == 2}
    assert both == {"envelopes", "mailbox_message", "mailbox_closed"}
