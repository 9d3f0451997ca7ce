"""Writing a whole copy of a relay's database to a new file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import apsw

from bide.errors import StorageError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def copy_to(connection: apsw.Connection, target: Path) -> None:
    """Write what a connection reads to a new file, durably. Nothing is left of a copy that could not be made whole.

    Raises:
        StorageError: the file is there already, or can't be written.
        apsw.Error: the database can't be read.
    """
    part = target.with_name(target.name + ".part")
    begun = False
    try:
        if target.exists():
            raise StorageError("There is a file of that name already; it was left untouched.", hint="")
        # What a backup that was killed left may be the same file as a whole backup: never written over.
        part.unlink(missing_ok=True)
        # Made here, with its mode: SQLite fills a file that is empty.
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        begun = True
        _fill(connection, part)
        sync_path(part)
        os.link(part, target)
        part.unlink()
        begun = False
        sync_path(target.parent)
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageError("The disk of the copy is full.", hint="Make room there, or give another place.") from error
        raise StorageError(f"The copy can't be written: {error.strerror}.", hint="") from error
    finally:
        if begun:
            part.unlink(missing_ok=True)


def _fill(connection: apsw.Connection, part: Path) -> None:
    try:
        connection.execute("VACUUM INTO ?", (str(part),))
    except (apsw.FullError, apsw.IOError) as error:
        # It writes to the copy alone.
        if isinstance(error, apsw.FullError) or connection.system_errno in _NO_ROOM:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
        raise


def sync_path(path: Path) -> None:
    """See to it that a file, or the names in a folder, are on the medium."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
