"""Beginnings: a line from a deck above a question, another one each day, for whoever looks for words."""

from __future__ import annotations

import time

from bide.entries.fields import Field
from bide_cli.language import language

ASKING = ("checkin",)
"""Decks whose lines are questions to the one who writes; those of others are beginnings of what could be said."""
_DAY_SECONDS = 86_400


def day_number() -> int:
    """The number of this day since 1970, by the local clock: what changes a choice from day to day and keeps it within one."""
    now = time.time()
    return int(now + time.localtime(now).tm_gmtoff) // _DAY_SECONDS


class Starters:
    """The beginnings that a deck has for the fields of an entry."""

    def __init__(self, deck: str) -> None:
        """Choose a deck.

        Args:
            deck: its name; its parts are named like the fields.
        """
        self._deck = deck
        self._day = day_number()

    def __call__(self, field: Field) -> str:
        """Today's line for a field; empty where the deck has none."""
        from bide.words import deck

        items = deck(self._deck, language()).in_part(field.name)
        return items[self._day % len(items)].text if items else ""
