"""Something that the two did together: what it was, whose idea, and what stays."""

from __future__ import annotations

from enum import StrEnum

from bide.entries.fields import Field, FieldKind


class Idea(StrEnum):
    """Whose idea it was, said by the one who writes."""

    MINE = "mine"
    THEIRS = "theirs"
    BOTH = "both"


FIELDS = (
    Field("what", FieldKind.TEXT, "What did you do together?", "What", required=True),
    Field("idea", FieldKind.CHOICE, "Whose idea was it: mine, theirs, or both?", "Idea", choices=tuple(Idea)),
    Field("memory", FieldKind.TEXT, "What do you want to remember of it?", "To remember"),
)
