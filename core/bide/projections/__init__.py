"""Pure folds from events and documents to what is read: timeline rows, search text, repair state."""
