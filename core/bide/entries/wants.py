"""What somebody wishes for from the other when they tell something: the reader sees it beside the words."""

from __future__ import annotations

from bide.entries.fields import Field, FieldKind

WANTS = Field(
    "wants",
    FieldKind.CHOICE,
    "What would help: that they listen, advise, or nothing at all?",
    "Wants",
    choices=("listening", "advice", "nothing"),
)
