"""What relay and client both understand: envelopes, chains, vectors, control statements, membership, events."""
