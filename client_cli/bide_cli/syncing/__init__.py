"""Carrying entries to a relay and back: now, in the background, and while watching; and moving to another relay."""
