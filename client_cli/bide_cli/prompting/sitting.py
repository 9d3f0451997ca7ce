"""Sitting: time that passes, and a breath to follow. It asks nothing, keeps nothing and sends nothing.

On a terminal one line breathes. Elsewhere, and for who listens to the screen, there are words at the beginning, in the middle
and at the end, and silence in between.
"""

from __future__ import annotations

import sys
import time
from typing import NamedTuple

from bide_cli.language import _, plural
from bide_cli.terminal.quiet import Left, QuietTerminal
from bide_cli.terminal.shell import Shell

BREATH_S = 10.0
"""In and out, where no other pace was asked for."""
IN_SHARE = 0.4
"""Of a breath: the way in. The way out is a little slower."""
DOTS = 12
BELL = "\a"
_TICK_S = 0.1


class Sitting(NamedTuple):
    """How long to sit, and what is said."""

    seconds: float
    half: str = ""
    """Words for the middle."""
    breaths: int = 0
    """Breaths to follow; 0: only time passes."""


def sit(shell: Shell, sitting: Sitting, *, bell: bool = False) -> bool:
    """Let the time pass.

    Args:
        shell: where.
        sitting: how long.
        bell: ring softly at the end.

    Returns:
        Whether it went to its end; False if the person stopped early.
    """
    terminal = QuietTerminal(shell)
    try:
        terminal.begin()
        _pass(sitting, terminal)
    except (Left, KeyboardInterrupt):
        return False
    finally:
        terminal.end()
    if bell and not shell.as_json:
        sys.stdout.write(BELL)
        sys.stdout.flush()
    return True


def _pass(sitting: Sitting, terminal: QuietTerminal) -> None:
    begun = time.monotonic()
    said = not sitting.half
    while (gone := time.monotonic() - begun) < sitting.seconds:
        if not said and gone >= sitting.seconds / 2:
            said = True
            terminal.say(sitting.half)
        left = (sitting.seconds if said else sitting.seconds / 2) - gone
        if terminal.draws:
            terminal.draw(describe(sitting, gone))
            left = min(left, _TICK_S)
        terminal.wait(max(0.0, left))


def describe(sitting: Sitting, gone: float) -> str:
    """The line that breathes, after `gone` seconds."""
    breath_s = sitting.seconds / sitting.breaths if sitting.breaths else BREATH_S
    number, within = divmod(gone, breath_s)
    share = within / breath_s
    inward = share < IN_SHARE
    dots = _dots(share / IN_SHARE if inward else (1 - share) / (1 - IN_SHARE))
    if not sitting.breaths:
        # Whole minutes: seconds that run would hurry people.
        left = max(1, -int(-(sitting.seconds - gone) // 60))
        return f"  {dots}  " + plural("about {n} minute left", "about {n} minutes left", left)
    ways = (_("breathe in"), _("breathe out"))
    way = ways[0 if inward else 1].ljust(max(map(len, ways)))
    place = _("{number} of {all}").format(number=min(int(number) + 1, sitting.breaths), all=sitting.breaths)
    return f"  {way}  {dots}  {place}"


def _dots(full: float) -> str:
    mark = "•" if (sys.stdout.encoding or "").lower().replace("-", "") == "utf8" else "o"
    return (mark * round(full * DOTS)).ljust(DOTS)
