"""What is shown of the read model: timeline, entries, status, a look back. Imports nothing heavy."""
