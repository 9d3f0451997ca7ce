"""Pure folds from events and documents to what is read: timeline rows, search text, repair state."""

DERIVATION = "7"
"""Raised whenever the same log leads to another read model, or more event types are understood: the next opening rebuilds."""
