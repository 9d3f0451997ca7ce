"""One Automerge document per entry. The only importer of automerge."""
