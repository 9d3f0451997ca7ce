"""``bide sit``."""

from __future__ import annotations

import click

from bide.errors import InputError
from bide_cli.options import OneOf, shell_options
from bide_cli.prompting.sitting import BREATH_S, Sitting, sit
from bide_cli.terminal.quiet import may_draw
from bide_cli.terminal.shell import Shell

MINUTES_MIN, MINUTES_MAX = 0.01, 180.0
BREATHS_MAX = 500
PACE_MIN_S, PACE_MAX_S = 1.0, 60.0


PRACTICES = {"talk": 30.0, "gaze": 3.0, "breathe": 0.0}
"""Minutes of each unless the person says otherwise; 0: it is counted in breaths."""
BREATHS = 7


@click.command(
    epilog="\b\nExamples:\n  bide sit talk\n  bide sit talk --minutes 20 --bell\n  bide sit gaze\n  bide sit breathe"
)
@click.argument("practice", type=OneOf(tuple(PRACTICES)))
@click.option(
    "--minutes",
    type=click.FloatRange(MINUTES_MIN, MINUTES_MAX),
    metavar="N",
    help="How long. Default: 30 for talk, 3 for gaze (2 to 5 is a good length).",
)
@click.option("--breaths", type=click.IntRange(1, BREATHS_MAX), metavar="N", help="How many breaths, for breathe. Default: 7.")
@click.option(
    "--pace",
    type=click.FloatRange(PACE_MIN_S, PACE_MAX_S),
    metavar="SECONDS",
    help="How long one breath is, in and out. Default: 10.",
)
@click.option("--bell", is_flag=True, help="Ring softly at the end.")
@shell_options
def command(shell: Shell, practice: str, minutes: float | None, breaths: int | None, pace: float | None, bell: bool) -> None:
    """Sit together: talk, look, or breathe.

    A quiet timer. talk gives each of you half of the time, uninterrupted; gaze is for looking at each other; breathe paces a
    few slow breaths. Nothing is typed, kept or sent. Enter, q or Ctrl-C stops early, and that is fine.
    """
    if PRACTICES[practice] and (breaths or pace):
        raise InputError("--breaths and --pace belong to breathe; here it is --minutes.")
    if minutes and not PRACTICES[practice]:
        raise InputError("breathe is counted in breaths: --breaths {breaths}", breaths=BREATHS)
    if (minutes or 0) != (minutes or 0) or (pace or 0) != (pace or 0):
        raise InputError("That is no number of minutes or seconds.")
    from bide.words import deck
    from bide_cli.language import _, language
    from bide_cli.terminal.layout import wrap

    words = deck("sitting", language())

    def say(part: str) -> None:
        for item in words.in_part(part):
            shell.out("\n".join(wrap(item.text, shell.width)))

    count = 0 if PRACTICES[practice] else breaths or BREATHS
    seconds = count * (pace or BREATH_S) if count else (minutes or PRACTICES[practice]) * 60
    try:
        say(f"{practice}-before")
        if shell.may_ask:
            shell.out(_("Enter stops, whenever you like."))
        # Words in the middle of a breath that somebody follows would only disturb it.
        half = "" if count and may_draw(shell) else " ".join(item.text for item in words.in_part(f"{practice}-half"))
        whole = sit(shell, Sitting(seconds, half, count), bell=bell)
    except KeyboardInterrupt:  # between two lines
        whole = False
    say(f"{practice}-after" if whole else "early")
    if shell.as_json:
        shell.emit("sit", practice=practice, seconds=round(seconds, 3), whole=whole)
