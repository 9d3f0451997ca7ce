"""Reading what can still be read of a damaged database, and taking it into a fresh one. Never touches the damaged file itself.

Every page of the file is authenticated (ChaCha20-Poly1305), so a page with as little as one wrong bit can't be read at all, and
whatever can be read is what was written. What is lost is a page at a time: some rows of one table or index.

Where the first page or another page of the schema is lost nothing could be found any more. But the first format's tables are
made in an empty file, always in the same order, so they begin on the same pages everywhere: the schema's pages of a fresh
database under the same key are put in the place of the lost ones, in a copy.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from bide.storage.opening import FORMAT, PAGE_BYTES, NoRoom, schema_text
from bide.storage.sqlite import DERIVED_TABLES, SqliteStorage

_NOT_COPIED = (*DERIVED_TABLES, "envelope", "log_head", "relay_head", "applying_key", "space_copy")
"""What is built anew, or verified before it is taken in."""
_STEP_MAX = 1 << 32
_Row = Mapping[str, Any]


class Salvaged(NamedTuple):
    """What could be read of a damaged database."""

    rows: Mapping[str, Sequence[_Row]]
    """Of each table, by the names of its columns."""
    torn: frozenset[str]
    """The tables of which some rows can't be read any more."""

    def table(self, name: str) -> Sequence[_Row]:
        """The rows of a table."""
        return self.rows.get(name, ())


def salvage(copy: Path, key: bytes, *, scratch: Path) -> Iterator[Salvaged]:
    """What can be read, as it is and then with other databases' schema pages in the place of lost ones.

    Args:
        copy: of the database, with its -wal file if it had one; it may be changed.
        key: 32 bytes.
        scratch: a folder for copies, which stay encrypted.

    Yields:
        One for each way in which anything at all can be read. None: that is not the key, or nothing is left.
    """
    found = _read(copy, key)
    if found is not None:
        yield found
    for number in (FORMAT, 1):
        found = _read(_grafted(copy, key, scratch, number), key)
        if found is not None:
            yield found


def adopt(storage: SqliteStorage, found: Salvaged, spaces: Sequence[_Row]) -> None:
    """Take what is no log and not derived into a fresh database, of these spaces only. Inside a transaction.

    Tables are copied by the names of their columns, so that one that a later format adds is copied as well. Rows that break a
    rule of the schema are left out: they were read by a wrong root page.
    """
    database = storage._db
    kept = {bytes(row["space_id"]) for row in spaces}
    tables = [row[1] for row in database.execute("PRAGMA table_list") if row[2] == "table" and not row[1].startswith("sqlite_")]
    for table in sorted(tables, key=lambda name: name != "space"):
        if table in _NOT_COPIED or table.startswith("search"):
            continue
        known = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        for row in spaces if table == "space" else found.table(table):
            columns = [name for name in known if name in row]
            if not columns or ("space_id" in row and row["space_id"] not in kept):
                continue
            marks = ", ".join("?" * len(columns))
            try:
                database.execute(
                    f"INSERT OR IGNORE INTO {table} ({', '.join(columns)}) VALUES ({marks})",  # noqa: S608 names of the schema
                    [row[name] for name in columns],
                )
            except apsw.ConstraintError:
                continue


def _read(path: Path, key: bytes) -> Salvaged | None:
    database = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        database.execute("PRAGMA cipher = 'chacha20'")
        database.execute(f"PRAGMA key = 'raw:{key.hex()}'")
        # EXCLUSIVE: alone here, so that no -shm file is needed, for which there may be no room.
        database.execute("PRAGMA temp_store = MEMORY; PRAGMA trusted_schema = OFF; PRAGMA locking_mode = EXCLUSIVE")
        tables = [row[1:] for row in database.execute("PRAGMA table_list") if row[2] == "table"]
        rows: dict[str, list[_Row]] = {}
        torn: set[str] = set()
        for name, _, _, without_rowid, *_ in tables:
            if name.startswith(("sqlite_", "search")) or name in DERIVED_TABLES:
                continue
            found, whole = _read_keyed(database, name) if without_rowid else _read_numbered(database, name)
            rows[name] = found
            if not whole:
                torn.add(name)
        return Salvaged(rows, frozenset(torn)) if any(rows.values()) else None
    except apsw.FullError as error:
        raise NoRoom from error
    except apsw.Error:
        return None
    finally:
        database.close()


def _read_keyed(database: apsw.Connection, table: str) -> tuple[list[_Row], bool]:
    """A table that is kept by its primary key: from the front as far as it goes, and then from the back."""
    try:
        info = [(row[1], row[5]) for row in database.execute(f"PRAGMA table_info({table})")]
    except apsw.Error:
        return [], False
    keys = [name for name, place in sorted(info, key=lambda each: each[1]) if place]
    found: dict[tuple[Any, ...], _Row] = {}
    whole = False
    for order in ("ASC", "DESC"):
        by = ", ".join(f"{name} {order}" for name in keys)
        try:
            for row in database.execute(f"SELECT * FROM {table} ORDER BY {by}"):  # noqa: S608 names of the schema
                named = dict(zip((name for name, _ in info), row, strict=True))
                found.setdefault(tuple(named[name] for name in keys), named)
            whole = True
            break
        except apsw.Error:
            continue
    return list(found.values()), whole


def _read_numbered(database: apsw.Connection, table: str) -> tuple[list[_Row], bool]:
    """A table that is kept by row number: past each page that can't be read, to the first number that can."""
    try:
        names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
    except apsw.Error:
        return [], False
    found: list[_Row] = []
    whole, after = True, 0
    while True:
        try:
            # NOT INDEXED: an index would be another page to lose.
            rows = database.execute(
                f"SELECT rowid, * FROM {table} NOT INDEXED WHERE rowid > ? ORDER BY rowid",  # noqa: S608 names of the schema
                (after,),
            )
            for number, *values in rows:
                found.append(dict(zip(names, values, strict=True)))
                after = number
            return found, whole
        except apsw.Error:
            whole = False
            further = _next_readable(database, table, after)
            if further is None:
                return found, whole
            after = further


def _next_readable(database: apsw.Connection, table: str, after: int) -> int | None:
    """The lowest number above `after` behind which something can be read, or nothing is; None: there is none."""

    def readable(number: int) -> bool:
        try:
            database.execute(
                f"SELECT rowid, * FROM {table} NOT INDEXED WHERE rowid > ? ORDER BY rowid LIMIT 1",  # noqa: S608
                (number,),
            ).fetchall()
        except apsw.Error:
            return False
        return True

    step = 1
    while not readable(after + step):
        step *= 2
        if step > _STEP_MAX:
            return None
    low, high = after + step // 2, after + step
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if readable(middle) else (middle, high)
    return high


def _grafted(copy: Path, key: bytes, scratch: Path, number: int) -> Path:
    """A copy with the schema's pages of a fresh database of the format `number` in their place."""
    template, grafted = scratch / f"template-{number}.db", scratch / f"grafted-{number}.db"
    for path in (template, grafted):
        path.unlink(missing_ok=True)
        path.touch(0o600)
    shutil.copyfile(copy, grafted)
    wal = copy.with_name(copy.name + "-wal")
    if wal.exists():
        shutil.copyfile(wal, grafted.with_name(grafted.name + "-wal"))
    database = apsw.Connection(str(template))
    try:
        database.execute("PRAGMA cipher = 'chacha20'")
        database.execute(f"PRAGMA key = 'raw:{key.hex()}'")
        database.execute("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF")
        for each in range(1, number + 1):
            database.execute(schema_text(each))
        # The first page says how many pages there are: at least as many as the damaged file has.
        database.execute("INSERT INTO meta VALUES ('', ?)", ("." * copy.stat().st_size,))
        pages = [row[0] for row in database.execute("SELECT pageno FROM dbstat WHERE name = 'sqlite_schema'")]
    except apsw.FullError as error:
        raise NoRoom from error
    finally:
        database.close()
    size = max(template.stat().st_size, grafted.stat().st_size)
    with template.open("rb") as source, grafted.open("r+b") as target:
        for page in pages:
            source.seek((page - 1) * PAGE_BYTES)
            target.seek((page - 1) * PAGE_BYTES)
            target.write(source.read(PAGE_BYTES))
        target.truncate(size)
    template.unlink()
    return grafted
