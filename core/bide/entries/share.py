"""A share: something about oneself, said aloud. The one who tells chooses how deep it goes."""

from __future__ import annotations

from bide.entries.fields import Field, FieldKind
from bide.entries.wants import WANTS

FIELDS = (
    Field("text", FieldKind.TEXT, "What would you like to tell?", "In my words", required=True),
    Field("depth", FieldKind.CHOICE, "How deep does it go for you, from 1 to 3?", "Depth", choices=("1", "2", "3")),
    Field("feelings", FieldKind.FEELINGS, "What goes with it, in up to three words?", "Feeling"),
    WANTS,
)
