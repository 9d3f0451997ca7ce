"""Spaces that are left for another relay, in SQLite: who needs them no more, and what is deleted when nobody does.

Each function works inside a transaction of its caller.
"""

from __future__ import annotations

from collections.abc import Collection

import apsw

from bide.ids import SpaceId
from bide_relay.errors import SpaceUnknown


def forget(connection: apsw.Connection, space: SpaceId, slot: int, *, of: Collection[int], day: int) -> bool:
    """As the contract says: note a wish, and have the space gone when all have it. Its envelopes are left to `sweep`."""
    if connection.execute("SELECT 1 FROM spaces WHERE space_id = ?", (space,)).get is None:
        raise SpaceUnknown
    connection.execute("INSERT OR IGNORE INTO moved_on (space_id, slot) VALUES (?, ?)", (space, slot))
    if not leaving(connection, space) >= set(of):
        return False
    for table in ("moved_on", "logs", "spaces"):
        connection.execute(f"DELETE FROM {table} WHERE space_id = ?", (space,))  # noqa: S608
    connection.execute("INSERT OR REPLACE INTO forgotten (space_id, day, swept) VALUES (?, ?, 0)", (space, day))
    return True


def leaving(connection: apsw.Connection, space: SpaceId) -> set[int]:
    """The slots of those who have asked to forget a space that is still here."""
    return {row[0] for row in connection.execute("SELECT slot FROM moved_on WHERE space_id = ?", (space,))}


def stay(connection: apsw.Connection, space: SpaceId, slot: int) -> None:
    """As the contract says: what a person wished falls."""
    connection.execute("DELETE FROM moved_on WHERE space_id = ? AND slot = ?", (space, slot))


def begin_anew(connection: apsw.Connection, space: SpaceId) -> None:
    """See to it that nothing is left of a space of that id, should it have been forgotten: it is about to be founded."""
    if connection.execute("DELETE FROM forgotten WHERE space_id = ? RETURNING swept", (space,)).get == 0:
        connection.execute("DELETE FROM envelopes WHERE space_id = ?", (space,))


def sweep(connection: apsw.Connection, envelopes_max: int, *, before_day: int, known_max: int) -> bool:
    """As the contract says: delete some envelopes of one forgotten space; if there are none, what is known for too long."""
    space = connection.execute("SELECT space_id FROM forgotten WHERE swept = 0 LIMIT 1").get
    if space is None:
        connection.execute("DELETE FROM forgotten WHERE day < ?", (before_day,))
        connection.execute(
            "DELETE FROM forgotten WHERE space_id IN "
            "(SELECT space_id FROM forgotten ORDER BY day DESC, space_id LIMIT -1 OFFSET ?)",
            (known_max,),
        )
        return False
    connection.execute(
        "DELETE FROM envelopes WHERE rowid IN (SELECT rowid FROM envelopes WHERE space_id = ? LIMIT ?)", (space, envelopes_max)
    )
    if connection.changes() < envelopes_max:
        connection.execute("UPDATE forgotten SET swept = 1 WHERE space_id = ?", (space,))
    return True
