"""Bide: a journal that two people keep together. This is the library that every client and relay stands on.

The public names are those in `__all__`; each is imported when it is first used, so that reading a timeline stays quick.
Everything else may change without notice.

======================  ===========================================================================================
`Replica`               one device's copy of everything: commands in, read models out, sync sessions handed out
`Storage`               the contract of where a replica lives; `SqliteStorage` and `MemoryStorage` fulfil it
`ClientSession`         the device's end of the sync protocol, without input or output of its own
`RelaySession`          the relay's end of it
`PairingSession`        two replicas find each other by a one-use code
`BideError`             the root of everything raised on purpose; the tree is in `bide.errors`
======================  ===========================================================================================
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bide.errors import BideError
    from bide.protocol.session import ClientSession, RelaySession
    from bide.replica.joining.pairing import PairingSession
    from bide.replica.replica import Replica
    from bide.storage.base import Storage
    from bide.storage.memory import MemoryStorage
    from bide.storage.sqlite import SqliteStorage

__version__ = "0.1.0"

__all__ = [
    "BideError",
    "ClientSession",
    "MemoryStorage",
    "PairingSession",
    "RelaySession",
    "Replica",
    "SqliteStorage",
    "Storage",
    "__version__",
]

_HOMES = {
    "BideError": "bide.errors",
    "ClientSession": "bide.protocol.session",
    "MemoryStorage": "bide.storage.memory",
    "PairingSession": "bide.replica.joining.pairing",
    "RelaySession": "bide.protocol.session",
    "Replica": "bide.replica.replica",
    "SqliteStorage": "bide.storage.sqlite",
    "Storage": "bide.storage.base",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'bide' has no attribute {name!r}")
    return getattr(import_module(home), name)
