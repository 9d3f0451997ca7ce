"""The documents, and what generates the parts of them that follow from the program."""
