"""An appreciation: what was noticed, what it did, and what it shows about the other."""

from __future__ import annotations

from bide.entries.fields import Field, FieldKind

FIELDS = (
    Field("noticed", FieldKind.TEXT, "What did you notice?", "Noticed", required=True),
    Field("felt", FieldKind.TEXT, "How did it make you feel?", "It felt"),
    Field("shows", FieldKind.TEXT, "What does it show about them?", "It shows", prompt_named="What does it show about {name}?"),
)

GENERIC_WORDS = frozenset(
    (
        *("amazing", "awesome", "best", "cool", "everything", "fantastic", "good", "great"),
        *("kind", "lovely", "nice", "perfect", "sweet", "thanks", "wonderful"),
    )
)
GENERIC_WORDS_MAX = 6


def is_generic(noticed: str) -> bool:
    """Whether an appreciation names nothing in particular: a gentle word may follow, never a refusal."""
    words = [word.strip(".,!").lower() for word in noticed.split()]
    return len(words) <= GENERIC_WORDS_MAX and not GENERIC_WORDS.isdisjoint(words)
