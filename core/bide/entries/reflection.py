"""A reflection: something for oneself. It stays in the own space until its writer releases it."""

from __future__ import annotations

from bide.entries.fields import Field, FieldKind

FIELDS = (
    Field("prompt", FieldKind.TEXT, "Which thought did you begin with?", "Begun with", asked=False),
    Field("text", FieldKind.TEXT, "What is on your mind?", "Thoughts", required=True),
    Field("feelings", FieldKind.FEELINGS, "What goes with it, in up to three words?", "Feeling"),
)
