"""Worlds with recovery phrases, files, moves and leaving quietly: they hold, what they are about happens, and they can fail."""

from __future__ import annotations

from collections import Counter

import pytest

from simulation import faults, files
from simulation.controls import SAFETIES
from simulation.moving import MOVES
from simulation.quiet import QUIET
from simulation.recovery import RECOVERY
from simulation.running import plan_of, run
from simulation.test_simulation import WHAT_BREAKS

OFTEN = {
    RECOVERY: ("make_phrase", "use_phrase"),
    files.BUNDLES: ("export_bundle", "import_bundle"),
    MOVES: ("move_relay", "follow_relay"),
    QUIET: ("leave_quietly",),
}
"""What is done more often where it is what a world is about."""
SEEN = {
    RECOVERY: ("came back by the words", "tried to read with words that were ended", "lose_device"),
    files.BUNDLES: ("took in a whole bundle", *files.FIRES),
    MOVES: ("a relay forgets", "synced again after another relay"),
    QUIET: ("looked at what was left quietly",),
}
"""What has to have come of it."""
WORLDS = 6
BEGIN = {RECOVERY: 1, files.BUNDLES: 1, MOVES: 1, QUIET: 7}
"""Where these are short."""
CONTROLS = {
    "a recovery removes nobody": (RECOVERY, "is still a member"),
    "bundle files are not summed up": (files.BUNDLES, "for a whole one"),
    "a relay forgets before all have moved": (MOVES, "a relay forgot a space that"),
    "what was left quietly is synced": (QUIET, "sent something of it afterwards"),
}


@pytest.mark.parametrize("switch", SEEN)
def test_such_worlds_hold_and_what_they_are_about_happens(switch: str) -> None:
    """Until all of it has happened, no world breaks."""
    seen: Counter[str] = Counter()
    for number in range(BEGIN[switch], BEGIN[switch] + WORLDS):
        plan = plan_of(f"{switch}.{number}", switches=frozenset({switch}), often=OFTEN[switch])
        storms = plan.storms if switch == RECOVERY else plan.storms[:1]
        result = run(plan._replace(sqlite=False, people=2, storms=storms))
        assert not result.breach, f"{result.breach}\n  {switch}.{number}"
        seen += result.counts + result.deeds
        if all(seen[name] for name in SEEN[switch]):
            return
    assert not [name for name in SEEN[switch] if not seen[name]]


@pytest.mark.parametrize("control", CONTROLS)
def test_without_its_safety_such_a_world_breaks(control: str) -> None:
    """Within a few seeds, and by what the safety is for."""
    switch, what = CONTROLS[control]
    for number in range(WORLDS):
        plan = plan_of(f"control.{number}", controls=(control,), switches=frozenset({switch}), often=OFTEN[switch])
        plan = plan._replace(sqlite=False, people=2)
        result = run(plan)
        if result.breach:
            assert what in result.breach
            return
    pytest.fail(f"nothing broke without it: {control}")


def test_what_is_switched_on_is_counted() -> None:
    """A fault that never fires is told."""
    assert {"lose_device", "recovery is killed"} <= set(faults.counted(frozenset({RECOVERY})))


def test_every_safety_has_a_control() -> None:
    """What can be taken out is taken out here or beside the usual worlds."""
    assert set(SAFETIES) == {*CONTROLS, *WHAT_BREAKS}
