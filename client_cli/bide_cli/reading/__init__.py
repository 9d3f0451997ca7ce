"""What is shown of a journal: its entries in words, drawn for a person. Imports nothing that writes or syncs."""
