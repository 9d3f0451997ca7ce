"""What two people are to each other, as it is said on the screen."""

from __future__ import annotations

from bide_cli.language import N_, _

WORDS = {"partner": N_("partner"), "friend": N_("friend"), "family": N_("family")}
"""By `bide.entries.person.RELATIONS`."""


def relation_word(relation: str) -> str:
    """The word for it in the language of this call."""
    return _(WORDS.get(relation, relation))
