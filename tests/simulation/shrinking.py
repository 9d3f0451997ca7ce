"""Making a story short: leaving out whatever it takes not to break it, by delta debugging over its stimuli."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulation.planning import Plan, Stimulus
from simulation.running import kind_of, run

Placed = tuple[int, Stimulus]
"""A stimulus, and in which storm."""


def shrink(plan: Plan, *, tries_max: int = 400, told: Callable[[int, int], None] = lambda size, tries: None) -> Plan:
    """A shorter plan that breaks in the same way.

    Args:
        plan: one that breaks.
        tries_max: worlds to run at most.
        told: called with the size and the tries so far, whenever it became shorter.

    Raises:
        ValueError: nothing breaks in it.
    """
    wanted = kind_of(run(plan).breach)
    if not wanted:
        raise ValueError("nothing breaks in that story")
    tries = 0

    def breaks(stimuli: Sequence[Placed], *, people: int = plan.people) -> bool:
        nonlocal tries
        tries += 1
        return tries <= tries_max and kind_of(run(_with(plan, stimuli)._replace(people=people)).breach) == wanted

    stimuli: list[Placed] = [(number, stimulus) for number, storm in enumerate(plan.storms) for stimulus in storm]
    # What came after the breach is of no use; and one storm is shorter than two.
    for last in range(1, len(plan.storms)):
        early = [each for each in stimuli if each[0] < last]
        if breaks(early):
            stimuli = early
            break
    parts = 2
    while len(stimuli) > 1 and tries < tries_max:
        size = -(-len(stimuli) // parts)
        for at in range(0, len(stimuli), size):
            fewer = stimuli[:at] + stimuli[at + size :]
            if breaks(fewer):
                stimuli, parts = fewer, max(2, parts - 1)
                told(len(stimuli), tries)
                break
        else:
            if size == 1:
                break
            parts = min(len(stimuli), parts * 2)
    short = _with(plan, stimuli)
    for people in range(2, plan.people):
        if breaks(stimuli, people=people):
            short = short._replace(people=people)
            break
    return short


def _with(plan: Plan, stimuli: Sequence[Placed]) -> Plan:
    storms: list[list[Stimulus]] = [[] for _ in range(max((number for number, _ in stimuli), default=0) + 1)]
    for number, stimulus in stimuli:
        storms[number].append(stimulus)
    return plan._replace(storms=storms)
