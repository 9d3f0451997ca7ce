"""From a home to its open journal: where the key is kept and had, how a home is locked, and changing either."""
