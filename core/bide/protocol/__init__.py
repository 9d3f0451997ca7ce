"""The sync protocol without input or output: frames, codec, state table, sessions."""
