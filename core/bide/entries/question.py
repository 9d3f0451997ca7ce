"""A question to each other, and the answers to it. Who skips one leaves no trace."""

from __future__ import annotations

from enum import StrEnum

from bide.entries.fields import Field, FieldKind


class Reveal(StrEnum):
    """When an answer can be read by the other."""

    AT_ONCE = "at_once"
    BOTH = "both"
    """Once both have answered. Bide keeps it closed until then; a device that was tampered with could look."""


CLOSED = "closed"
"""The state of an answer that opens once both have answered."""

FIELDS = (
    Field("question", FieldKind.TEXT, "What would you like to ask?", "Question", required=True),
    Field(
        "reveal",
        FieldKind.CHOICE,
        "When do the answers open: at once, or when both have answered?",
        "Opens",
        choices=tuple(Reveal),
    ),
    Field("deck", FieldKind.LINE, "From which deck is it?", "Deck", asked=False),
    Field("item", FieldKind.LINE, "Which card of the deck is it?", "Card", asked=False),
)
ANSWER_FIELDS = (Field("answer", FieldKind.TEXT, "What is your answer?", "Answer", required=True),)
