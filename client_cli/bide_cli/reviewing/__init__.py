"""``bide review``: a look back, drawn in the terminal and as a page of its own."""
