"""``bide`` as it was before there were feelings: the same code with that kind taken out, and so with another derivation."""

from __future__ import annotations

from bide.entries import kinds
from bide.replica import replica
from bide_cli import main

LATER = "feeling"

for event in kinds.KINDS.pop(LATER).events:
    del kinds.EVENT_TYPES[event.name]
replica.DERIVATION = "older"

if __name__ == "__main__":
    main.entry()
