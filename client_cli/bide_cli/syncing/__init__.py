"""Carrying entries to a relay and back: now, in the background, and while watching; moving, and leaving."""
