"""A reception: thanking the one who told something, for telling it. Only ever by choice; nothing happens without it."""

from __future__ import annotations

from bide.entries.fields import Field, FieldKind

FIELDS = (Field("words", FieldKind.TEXT, "What would you like to say to them for telling you?", "Received"),)
