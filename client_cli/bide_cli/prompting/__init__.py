"""What helps somebody begin: decks and their questions, first lines, words for feelings, a practice, sitting."""
