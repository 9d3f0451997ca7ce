"""Keys, sealing, signing, pairing, wrapping. The only importer of the cryptography libraries."""
