"""A replica: one device's copy of everything. `Replica` is the one facade of the library.

`reading` answers, `writing` makes events, `receiving` verifies what came, `deriving` builds the read model, `syncing` and
`pairing` talk to a relay without a network of their own, `founding` makes spaces, `doctor` examines.
"""

from bide.replica.replica import Replica

__all__ = ["Replica"]
