"""The relay: merges logs that it cannot read."""
