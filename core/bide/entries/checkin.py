"""The daily check-in: how it is, before how it has to be organised."""

from __future__ import annotations

from bide.entries.fields import Field, FieldKind
from bide.entries.wants import WANTS

FIELDS = (
    Field("feelings", FieldKind.FEELINGS, "How are you, in up to three words?", "Feeling"),
    Field("went_well", FieldKind.TEXT, "What went well?", "Went well"),
    Field("hard", FieldKind.TEXT, "What was hard?", "Hard"),
    Field("worry", FieldKind.TEXT, "What is on your mind?", "On my mind"),
    Field("lift", FieldKind.TEXT, "What gave you a lift?", "A lift"),
    Field("grateful", FieldKind.TEXT, "What are you grateful for?", "Grateful for"),
    Field("proud", FieldKind.TEXT, "What are you a little proud of?", "Proud of"),
    WANTS,
    Field("later", FieldKind.LINES, "Anything to organise, for later?", "For later"),
)
