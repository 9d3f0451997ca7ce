"""What a person says of themselves in a space: their name, and what they call what the two are to each other."""

from __future__ import annotations

from bide.errors import InputError

PARTNER, FRIEND, FAMILY = "partner", "friend", "family"
RELATIONS = (PARTNER, FRIEND, FAMILY)
"""What two people can be to each other here. It chooses decks and words, and nothing that is allowed depends on it."""
NAME_KEY, RELATION_KEY = "name", "relation"
"""Keys of the document that a person has in each space."""


def clean_relation(text: str) -> str:
    """One of `RELATIONS`, as it was typed.

    Raises:
        InputError: it is none of them.
    """
    typed = text.strip().lower()
    if typed in RELATIONS:
        return typed
    from difflib import get_close_matches

    near = get_close_matches(typed[:40], RELATIONS, n=1)
    if near:
        raise InputError(
            "{relation!r} is none of the kinds of people here. Did you mean {near}?",
            hint="The kinds are: {known}",
            relation=text[:40],
            near=near[0],
            known=", ".join(RELATIONS),
        )
    raise InputError(
        "{relation!r} is none of the kinds of people here.",
        hint="The kinds are: {known}",
        relation=text[:40],
        known=", ".join(RELATIONS),
    )
