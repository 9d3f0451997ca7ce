"""The versions of the relay's database, and what each holds."""

from __future__ import annotations

import re
from importlib import resources

import apsw

_SCHEMA_NAME = re.compile(r"(\d{4})_\w+\.sql")


def schemas() -> list[tuple[int, str]]:
    """Number and SQL of every version, in order."""
    folder = resources.files("bide_relay.storage") / "schema"
    numbered = ((_SCHEMA_NAME.fullmatch(item.name), item) for item in folder.iterdir())
    return sorted((int(match[1]), item.read_text(encoding="utf-8")) for match, item in numbered if match)


def layout(connection: apsw.Connection) -> set[tuple[str, str, str]]:
    """Type, name and definition of everything in a database."""
    query = "SELECT type, name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    return set(connection.execute(query))


def layout_of(version: int) -> set[tuple[str, str, str]]:
    """What a database of a version holds at least."""
    connection = apsw.Connection(":memory:")
    try:
        for number, script in schemas():
            if number <= version:
                connection.execute(script)
        return layout(connection)
    finally:
        connection.close()
