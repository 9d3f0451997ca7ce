"""Opening the encrypted database of a replica: key, settings, format version.

The whole file is encrypted by SQLite3 Multiple Ciphers (ChaCha20-Poly1305) under a random 32-byte key, so opening costs no
derivation. A key that was forgotten would silently make a plain file: that is checked for.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import apsw

from bide.errors import Locked, NewerFormat, StorageBusy, StorageDamaged, StorageError

KEY_BYTES = 32
PAGE_BYTES = 4096
FORMAT = 7
"""Number of the last schema file."""
BUSY_TIMEOUT_MS = 15_000
REKEY_WAIT_MS = 5_000
_COPY_HINT = "Copy the whole folder to where it can be written, and open it there: bide --home FOLDER timeline"
_SHM_BYTES = 32 * 1024
"""What the -shm file has at first."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
"""What the system says of a disk that is full, or of a share of it."""
_PLAIN_MAGIC = b"SQLite format 3\0"


def open_database(path: Path | None, key: bytes, *, create: bool = False) -> apsw.Connection:
    """A connection to the database at `path`, ready for use.

    Args:
        path: the file; None for one in memory.
        key: 32 random bytes.
        create: make the file if it is missing.

    Raises:
        Locked: the key does not open it.
        NewerFormat: a newer Bide wrote it; it was left as it is.
        StorageDamaged: some of it can't be read.
        NoRoom: it is to be made or brought up to date, and the disk is full.
        StorageError: it is missing, or not encrypted.
    """
    if len(key) != KEY_BYTES:
        raise Locked
    if path is not None and not create and path.exists() and path.stat().st_size == 0:
        # SQLite would take it for a new one, and begin a journal in it.
        raise StorageDamaged
    is_new = path is not None and not (path.exists() and path.stat().st_size)
    if path is not None and not is_new:
        _require_encrypted(path)
    read_only = path is not None and not create and _is_read_only(path)
    try:
        connection = _connect(path, create=create, read_only=read_only)
    except apsw.CantOpenError as error:
        raise StorageError("There is no database here.", hint="bide init makes one.") from error
    try:
        alone = path is not None and not read_only and _has_no_room_to_share(path)
        try:
            _set_up(connection, key, path=path, read_only=read_only, alone=alone)
        except NoRoom:
            if alone:
                raise
            # Mostly it is the -shm file that lacks room: without it everything can still be read.
            connection.close()
            connection = _connect(path, create=create, read_only=read_only)
            _set_up(connection, key, path=path, read_only=read_only, alone=True)
        _migrate(connection, read_only=read_only)
    except BaseException:
        connection.close()
        raise
    if path is not None and is_new:
        # The file is looked at while nobody here has it open: closing it would let go of SQLite's locks on it, all of them.
        connection.close()
        return open_database(path, key)
    return connection


def rekey_database(path: Path, key: bytes, new_key: bytes) -> None:
    """Encrypt the whole database anew, in place.

    It is one transaction of SQLite: a process that ends in the middle leaves the old pages in a journal that is itself
    encrypted under the old key, and the next opening with that key puts them back. So the database always opens with exactly
    one of the two. In place, because a process that waits to open the old file would write into it after another took its name.

    Args:
        path: the file.
        key: what it opens with now.
        new_key: what it is to open with; 32 random bytes.

    Raises:
        StorageBusy: another process has it open.
        Locked, NewerFormat, StorageError: as `open_database`.
    """
    if len(new_key) != KEY_BYTES:
        raise Locked
    connection = open_database(path, key)
    try:
        connection.set_busy_timeout(REKEY_WAIT_MS)
        # Whoever opens it meanwhile waits from here to the end. And pages of the write-ahead log would stay under the old key.
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        if connection.pragma("journal_mode", "delete") != "delete":
            raise StorageError("The key of the database could not be changed.")
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute(f"PRAGMA rekey = 'raw:{new_key.hex()}'")
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StorageBusy from error
    except apsw.FullError as error:
        raise StorageError("There is no room left on the disk; nothing was changed.", hint="Make room.") from error
    except apsw.Error as error:
        raise StorageError("The key of the database could not be changed.") from error
    finally:
        connection.close()


def _connect(path: Path | None, *, create: bool, read_only: bool) -> apsw.Connection:
    if path is None:
        return apsw.Connection(":memory:")
    if read_only:
        from urllib.parse import quote

        # Immutable: without it SQLite wants to make its -shm file, and can't.
        flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
        return apsw.Connection(f"file:{quote(str(path))}?immutable=1", flags=flags)
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if create else 0))


def _is_read_only(path: Path) -> bool:
    """Whether the file is there and can only be read, on a read-only disk for example.

    Raises:
        StorageError: the last writes still wait in the -wal file, which can't be read in without writing.
    """
    if not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        return False
    wal = path.with_name(f"{path.name}-wal")
    if wal.exists() and wal.stat().st_size:
        raise StorageError("This home can't be written, and its last writes still wait to be put in place.", hint=_COPY_HINT)
    return True


def _has_no_room_to_share(path: Path) -> bool:
    """Whether the -shm file is yet to be made, on a disk that is about full.

    SQLite maps that file into memory. Where a block is smaller than a page it may be made and lack room all the same, and
    then it is not an error that comes of it: the system ends the process.
    """
    try:
        disk = os.statvfs(path.parent)
        if not disk.f_blocks or disk.f_bavail * disk.f_frsize >= 2 * _SHM_BYTES:
            return False
        return path.with_name(f"{path.name}-shm").stat().st_size < _SHM_BYTES
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _set_up(connection: apsw.Connection, key: bytes, *, path: Path | None, read_only: bool, alone: bool = False) -> None:
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    if path is not None:
        connection.execute("PRAGMA cipher = 'chacha20'")
        connection.execute(f"PRAGMA key = 'raw:{key.hex()}'")
    try:
        if alone:
            # Said before anything is read, it keeps the index of the write-ahead log in memory, at the cost that others wait.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # The order matters: nothing is read before the key is set, and sorting never spills to a plain temporary file.
        connection.execute(
            "PRAGMA temp_store = MEMORY; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;"
            "PRAGMA cache_size = -8000; PRAGMA user_version"
        )
        if not read_only:
            connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
    except apsw.NotADBError as error:
        if path is not None and begins_blank(path):
            raise StorageDamaged from error
        raise Locked(
            "That key doesn't open this home.", hint="If it is the right one, the file is damaged. bide doctor tells."
        ) from error
    except apsw.BusyError as error:
        raise StorageBusy from error
    except apsw.CorruptError as error:
        raise StorageDamaged from error
    except apsw.Error as error:
        if lacks_room(connection, error):
            raise NoRoom from error
        raise StorageError from error


def begins_blank(path: Path) -> bool:
    """Whether the first page of a database is missing or all zeros: of a whole one it never is, whatever the key.

    So begins what `bide doctor --repair` has not finished to put in place, and what some broken disks leave.
    """
    with path.open("rb") as file:
        return not any(file.read(PAGE_BYTES))


def _migrate(connection: apsw.Connection, *, read_only: bool) -> None:
    try:
        version = connection.pragma("user_version")
    except apsw.Error as error:
        raise (NoRoom if lacks_room(connection, error) else StorageError) from error
    if version == FORMAT:
        return
    if version > FORMAT:
        raise NewerFormat
    if read_only:
        raise StorageError("This home is from an older Bide, and can't be brought up to date where it is.", hint=_COPY_HINT)
    try:
        connection.execute("BEGIN IMMEDIATE")
        # Another process may have been first.
        for number in range(int(connection.pragma("user_version")) + 1, FORMAT + 1):
            connection.execute(schema_text(number))
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except apsw.BusyError as error:
        raise StorageBusy from error
    except apsw.CorruptError as error:
        raise StorageDamaged from error
    except apsw.Error as error:
        if lacks_room(connection, error):
            raise NoRoom from error
        raise StorageError("The database could not be brought to the current format.") from error


class NoRoom(StorageError):
    """There is no room left on the disk; nothing was written."""

    hint_default = "Make room."


def lacks_room(connection: apsw.Connection, error: BaseException) -> bool:
    """Whether an error of SQLite only says that the disk is full: some such come as errors of reading and writing."""
    if isinstance(error, apsw.FullError):
        return True
    return isinstance(error, (apsw.IOError, apsw.CantOpenError)) and connection.system_errno in NO_ROOM


def schema_text(number: int) -> str:
    """The SQL that leads from format `number - 1` to `number`."""
    from importlib import resources  # only a new or old database needs it

    folder = resources.files("bide.storage") / "schema"
    name = next(item for item in sorted(p.name for p in folder.iterdir()) if item.startswith(f"{number:04d}_"))
    return (folder / name).read_text(encoding="utf-8")


def _require_encrypted(path: Path) -> None:
    try:
        with path.open("rb") as file:
            begins = file.read(len(_PLAIN_MAGIC))
    except OSError:
        return  # SQLite says what is wrong with it
    if begins == _PLAIN_MAGIC:
        raise StorageError("The database on disk is not encrypted; it was not used.")
