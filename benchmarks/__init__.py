"""Figures of Bide that anyone can repeat, each beside its yardstick; see README.md."""
