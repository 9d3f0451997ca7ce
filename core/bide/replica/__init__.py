"""A replica: one device's copy of everything. `Replica` is the one facade of the library.

Beneath it are rooms, which import downwards only; each says in its `__init__` what belongs there, and docs/architecture.md has
all of them. In short: `authoring` puts events into this device's own log, `sync` sends the logs and verifies what comes,
`derivation` builds the read model of them, `views` answers from that.
"""

from bide.replica.replica import Replica

__all__ = ["Replica"]
