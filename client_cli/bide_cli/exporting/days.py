"""Days as options give them: ``2026-11-22``, ``today`` or ``yesterday``."""

from __future__ import annotations

import time

from bide.errors import InputError
from bide_cli.dates import iso_day, today

_NEAR = {"today": 0, "yesterday": 1}


def check_day(text: str, option: str) -> None:
    """See to it that an option gives a day, or nothing.

    Raises:
        InputError: it gives something else.
    """
    if not text or text in _NEAR:
        return
    try:
        if len(text) != len("2026-11-22") or not text.isascii():
            raise ValueError
        time.strptime(text, "%Y-%m-%d")
    except ValueError:
        raise InputError("{option} takes a day.", hint="For example: 2026-11-22, today, yesterday", option=option) from None


def day_of(text: str, day_starts_min: int) -> str:
    """A day that was checked, as entries have it. What is written after midnight still belongs to the day before."""
    return iso_day(today(day_starts_min) - _NEAR[text]) if text in _NEAR else text
