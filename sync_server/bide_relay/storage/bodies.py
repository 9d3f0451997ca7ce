"""Dropping bodies that were erased, and filling in those that somebody had kept back: the SQL of it."""

from __future__ import annotations

import apsw

from bide.log.envelope import HEADER_BYTES
from bide_relay.storage.base import Batch

_BODILESS = f"class = 0 AND length(data) = {HEADER_BYTES} AND substr(data, 105, 4) <> x'00000000'"
IS_BARE = f"SELECT 1 FROM envelopes WHERE space_id = ? AND log_id = ? AND seq = ? AND {_BODILESS}"  # noqa: S608 constants
BARE = f"SELECT log_id, seq FROM envelopes WHERE space_id = ? AND {_BODILESS}"  # noqa: S608 constants
_FILL = (
    "UPDATE envelopes SET data = ?4 WHERE space_id = ?1 AND log_id = ?2 AND seq = ?3 "  # noqa: S608 constants
    f"AND {_BODILESS} AND substr(?4, 1, {HEADER_BYTES}) = data"
)
_RANGE = "space_id = ? AND log_id = ? AND seq BETWEEN ? AND ? AND class = 0"
_DROP = (
    f"UPDATE envelopes SET data = substr(data, 1, {HEADER_BYTES}) "  # noqa: S608 constants
    f"WHERE {_RANGE} AND length(data) > {HEADER_BYTES}"
)
_BODIES = f"SELECT coalesce(sum(length(data) - {HEADER_BYTES}), 0) FROM envelopes WHERE {_RANGE}"  # noqa: S608 constants
_RESIZE = "UPDATE logs SET bytes = bytes + ? WHERE space_id = ? AND log_id = ?"


def fill(connection: apsw.Connection, batch: Batch) -> int:
    """Bring in the bodies of what is here without; returns how many bytes."""
    total = 0
    for envelope in batch.fills:
        connection.execute(_FILL, (batch.space, envelope.log_id, envelope.seq, envelope.data))
        if connection.changes():
            size = len(envelope.data) - HEADER_BYTES
            connection.execute(_RESIZE, (size, batch.space, envelope.log_id))
            total += size
    return total


def erase(connection: apsw.Connection, batch: Batch) -> int:
    """Drop bodies; returns how many bytes."""
    total = 0
    for stretch in batch.erased:
        size: int = connection.execute(_BODIES, (batch.space, *stretch)).get
        if size:
            connection.execute(_DROP, (batch.space, *stretch))
            connection.execute(_RESIZE, (-size, batch.space, stretch.log_id))
            total += size
    return total
