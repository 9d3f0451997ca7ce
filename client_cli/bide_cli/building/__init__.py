"""A home is there whole or not at all: making one, and mending a damaged one."""
