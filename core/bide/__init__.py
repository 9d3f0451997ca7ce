"""Bide: the library that a client or a relay stands on."""
