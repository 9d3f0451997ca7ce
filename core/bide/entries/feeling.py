"""A feeling, said by itself."""

from __future__ import annotations

from bide.entries.fields import Field, FieldKind

FIELDS = (
    Field("feelings", FieldKind.FEELINGS, "What do you feel, in up to three words?", "Feeling", required=True),
    Field("note", FieldKind.TEXT, "Anything to add?", "Note"),
)
