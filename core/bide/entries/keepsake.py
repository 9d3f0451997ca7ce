"""A keepsake: an entry of another journal, brought along."""

from __future__ import annotations

from bide.entries.fields import Field, FieldKind

ORIGINAL = Field("original", FieldKind.TEXT, "What did it look like there?", "Original", asked=False)
"""JSON: what the other journal noted besides the words. Not shared when the words are."""

FIELDS = (
    Field("title", FieldKind.LINE, "What is it called?", "Title"),
    Field("text", FieldKind.TEXT, "What does it say?", "Text"),
    Field("feelings", FieldKind.FEELINGS, "What goes with it, in up to three words?", "Feeling"),
    Field("tags", FieldKind.LINES, "Under which words was it kept?", "Tags"),
    Field("source", FieldKind.LINE, "Which journal is it from?", "From", asked=False),
    Field("by_name", FieldKind.LINE, "Who wrote it?", "By", asked=False),
    ORIGINAL,
)
