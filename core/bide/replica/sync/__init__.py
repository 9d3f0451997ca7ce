"""Syncing a space with a relay, or by a file: what to send, and what to take, once it is verified. Bytes in, bytes out."""
