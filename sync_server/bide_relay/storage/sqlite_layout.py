"""The versions of the relay's database, and what a file of each holds."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import apsw

from bide.errors import NewerFormat, StorageError
from bide_relay.storage.base import StorageDamaged

_PAGE_BYTES_MIN = 512
_SCHEMA_NAME = re.compile(r"(\d{4})_\w+\.sql")


def schemas() -> list[tuple[int, str]]:
    """Number and script of every version."""
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


def refuse_strange(path: Path, *, busy_timeout_ms: int) -> None:
    """Look at version and tables without a connection that could write.

    Raises:
        StorageDamaged: it is less than a page.
        NewerFormat: a newer relay wrote it.
        StorageError: no relay did.
        apsw.Error: it can't be read.
    """
    size = path.stat().st_size
    if size == 0:
        return
    if size < _PAGE_BYTES_MIN and not path.with_name(f"{path.name}-journal").exists():
        # SQLite would take it for a new one. With a journal it was being made when the power went.
        raise StorageDamaged
    try:
        version, here = _look(path, apsw.SQLITE_OPEN_READONLY, busy_timeout_ms)
    except apsw.ReadOnlyError:
        # Power went while it was made: only a connection that may write can take back what was half there.
        version, here = _look(path, apsw.SQLITE_OPEN_READWRITE, busy_timeout_ms)
    if version > schemas()[-1][0]:
        raise NewerFormat(
            "This database was written by a newer bide-relay and was left untouched.", hint="Install the newest one."
        )
    # What an operator adds does no harm; but at version 0 there is nothing yet.
    if version < 0 or not layout_of(version) <= here or (version == 0 and here):
        raise StorageError(f"The file {path.name} in that folder was not made by bide-relay; it was left untouched.", hint="")


def _look(path: Path, flags: int, busy_timeout_ms: int) -> tuple[int, set[tuple[str, str, str]]]:
    connection = apsw.Connection(str(path), flags=flags)
    try:
        connection.set_busy_timeout(busy_timeout_ms)
        return int(connection.execute("PRAGMA user_version").get), layout(connection)
    finally:
        connection.close()
