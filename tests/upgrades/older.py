"""``bide`` as it was before there were feelings: the same code with that kind taken out, and so with another derivation."""

from __future__ import annotations

from bide import projections
from bide.entries import kinds
from bide_cli import main

LATER = "feeling"

for event in kinds.KINDS.pop(LATER).events:
    del kinds.EVENT_TYPES[event.name]
projections.DERIVATION = "older"  # `bide.replica` is imported only when the command runs

if __name__ == "__main__":
    main.entry()
