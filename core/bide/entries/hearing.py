"""Reply by hearing: say back what was said, before anything else. The one who was heard says whether it fits."""

from __future__ import annotations

from enum import StrEnum

from bide.entries.fields import Field, FieldKind

FIELDS = (
    Field("mirrored", FieldKind.TEXT, "What did you hear them say?", "I hear"),
    Field("validated", FieldKind.TEXT, "What makes sense about it?", "It makes sense"),
    Field("empathised", FieldKind.TEXT, "What might it feel like?", "It might feel"),
)
CLARIFICATION = Field("clarification", FieldKind.TEXT, "What did you mean?", "What I meant")


class Verdict(StrEnum):
    """What the one who was heard says of it."""

    HEARD = "heard"
    NOT_QUITE = "not_quite"
