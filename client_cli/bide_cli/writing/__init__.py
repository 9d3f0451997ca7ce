"""From what a person gives to an entry, to what is told of it; what waits before it goes, and conversations."""
