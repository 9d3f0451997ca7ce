"""``bide doctor --repair``: keep the damaged database, read from a copy what can be read, and put a whole one in its place.

At every moment one of three things is in the home, and a process that is killed leaves one of them:

1. the damaged database as it was, perhaps with a copy of it in ``damaged-DATE``;
2. a database whose first page is blank, which nothing opens, and the whole new one in ``mending/ready.db``: the next
   ``bide doctor --repair`` goes on copying;
3. the whole new one.

It is written over the old one, while no other process has it open, and not put in its place: a process that waits for the old
file would else write into it after another took its name.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bide.errors import Locked, StorageBusy, StorageError
from bide.storage.opening import PAGE_BYTES, begins_blank
from bide_cli.home import folder as homes
from bide_cli.home.files import sync_directory
from bide_cli.home.locks import KEY_LOCK, SYNC_LOCK, Lock
from bide_cli.terminal.shell import Shell

if TYPE_CHECKING:
    from bide.replica.doctor import Finding
    from bide.replica.mending import Mended
    from bide_cli.home.folder import Config

WORK = "mending"
READY = "ready.db"
KEPT = "damaged-"
_PART = ".part"
_BUSY = "Another Bide has this home open, so nothing was changed."
_BUSY_HINT = "End what runs, such as bide sync --watch, then try again."
_SQLITE_LOCKS = (0x40000000, 512)
"""Where SQLite locks a file: a process that has it open in any way holds a part of this."""
_COPY_BYTES = 1024 * 1024


class Mending(NamedTuple):
    """What was done."""

    kept: Path | None
    """Where the damaged database is now; None: an earlier run had kept it, and this one finished that."""
    mended: Mended | None


def mend_home(shell: Shell, config: Config) -> Mending:
    """Mend the database of a home, whatever is wrong with it.

    Raises:
        Locked: the key can't be had, or it isn't the one of this database.
        KeysLost: what would be needed can't be read any more; the home is as it was.
        StorageBusy: another process has the home open.
        StorageError: there is no room, or it can't be written.
    """
    from bide_cli.unlocking.keys import unlock

    database = shell.home / homes.DATABASE
    with (
        Lock(shell.home / KEY_LOCK, busy=_BUSY),
        Lock(shell.home / SYNC_LOCK, busy=_BUSY),
        _alone(database) as descriptor,
    ):
        work = shell.home / WORK
        try:
            if (work / READY).exists() and not any(os.pread(descriptor, PAGE_BYTES, 0)):
                _put_in_place(work / READY, descriptor, database)
                shutil.rmtree(work)
                return Mending(None, None)
            shutil.rmtree(work, ignore_errors=True)
            key = unlock(shell, config)
            kept = _keep(shell.home, descriptor)
            work.mkdir(0o700)
            try:
                mended = _make_whole(kept / homes.DATABASE, key, work)
            except BaseException:
                # The database itself is as it was, so that a copy of it keeps nothing.
                shutil.rmtree(work, ignore_errors=True)
                shutil.rmtree(kept, ignore_errors=True)
                raise
            _put_in_place(work / READY, descriptor, database)
            shutil.rmtree(work)
        except OSError as error:
            raise StorageError(
                "The home can't be mended: {reason}.",
                hint="The damaged database was kept.",
                reason=os.strerror(error.errno or 0),
            ) from error
    return Mending(kept, mended)


def key_opens(shell: Shell, key: bytes) -> bool:
    """Whether a key that doesn't open the database is its key all the same, and the file is damaged. Changes nothing."""
    import tempfile

    from bide.storage.salvage import salvage

    with tempfile.TemporaryDirectory(dir=shell.home, prefix=f"{WORK}-") as folder:
        scratch = Path(folder)
        copy = _copy_for_reading(shell.home / homes.DATABASE, scratch)
        return next(salvage(copy, key, scratch=scratch), None) is not None


@contextmanager
def _alone(database: Path) -> Iterator[int]:
    """Hold the database as SQLite would, for this process alone.

    The system lets go of such a lock as soon as the process closes *any* descriptor of the file: so inside, the file is read
    and written through this one only.
    """
    try:
        descriptor = os.open(database, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise StorageError("The home can't be written.", hint="Copy the whole folder to where it can be written.") from error
    try:
        start, size = _SQLITE_LOCKS
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, size, start)
        except OSError as error:
            raise StorageBusy(_BUSY, hint=_BUSY_HINT) from error
        yield descriptor
    finally:
        os.close(descriptor)


def _beside(database: Path) -> list[Path]:
    return [database.with_name(database.name + suffix) for suffix in ("-wal", "-journal", "-applying")]


def _keep(home: Path, descriptor: int) -> Path:
    """Copy the damaged database and what belongs to it into a folder of its own, on disk before anything else happens."""
    for left in home.glob(f"{KEPT}*{_PART}"):
        shutil.rmtree(left)
    stamp = time.strftime("%Y-%m-%d")
    number = 1
    while (kept := home / (f"{KEPT}{stamp}" + (f"-{number}" if number > 1 else ""))).exists():
        number += 1
    part = kept.with_name(kept.name + _PART)
    part.mkdir(0o700)
    database = home / homes.DATABASE
    _copy_out(descriptor, part / homes.DATABASE)
    for path in (*_beside(database), home / homes.CONFIG, *home.glob("key*.wrapped")):
        if path.exists():
            _copy_file(path, part / path.name)
    sync_directory(part)
    part.rename(kept)
    sync_directory(home)
    return kept


def _make_whole(kept: Path, key: bytes, work: Path) -> Mended:
    """Build the new database as ``ready.db``, look at it whole, and have it on disk."""
    from bide.replica import Replica
    from bide.replica.mending import KeysLost, mend
    from bide.storage.salvage import salvage
    from bide.storage.sqlite import SqliteStorage

    copy = _copy_for_reading(kept, work)
    new = work / "new.db"
    lost: KeysLost | None = None
    still: list[Finding] = []
    for found in salvage(copy, key, scratch=work):
        for path in (new, new.with_name(new.name + "-wal"), new.with_name(new.name + "-shm")):
            path.unlink(missing_ok=True)
        new.touch(0o600)
        storage = SqliteStorage(new, key, create=True)
        try:
            mended = mend(found, storage)
            still = [finding for finding in Replica(storage).doctor() if finding.mendable]
            storage.make_single_file()
        except KeysLost as error:
            lost = error
            continue
        finally:
            storage.close()
        if still:
            continue
        _sync_file(new)
        new.rename(work / READY)
        sync_directory(work)
        return mended
    if lost is not None:
        raise lost
    if still:
        raise StorageError("What could be saved does not make a whole home; nothing was changed.", hint="Keep this home.")
    if begins_blank(kept) and kept.stat().st_size <= PAGE_BYTES:
        raise KeysLost
    raise Locked("That key doesn't open this home, or nothing of it can be read any more; nothing was changed.")


def _put_in_place(ready: Path, descriptor: int, database: Path) -> None:
    """Write the new database over the old one, its first page last: in between nothing opens it."""
    size = ready.stat().st_size
    os.pwrite(descriptor, bytes(PAGE_BYTES), 0)
    os.fsync(descriptor)
    for path in (*_beside(database), database.with_name(database.name + "-shm")):
        path.unlink(missing_ok=True)
    sync_directory(database.parent)
    with ready.open("rb") as source:
        first = source.read(PAGE_BYTES)
        at = PAGE_BYTES
        while block := source.read(_COPY_BYTES):
            at += _write_all(descriptor, block, at)
    os.ftruncate(descriptor, size)
    os.fsync(descriptor)
    _write_all(descriptor, first, 0)
    os.fsync(descriptor)


def _write_all(descriptor: int, block: bytes, at: int) -> int:
    done = 0
    while done < len(block):
        done += os.pwrite(descriptor, block[done:], at + done)
    return done


def _copy_for_reading(database: Path, scratch: Path) -> Path:
    """A copy that SQLite may write to: reading takes in what waits in the -wal file."""
    copy = scratch / homes.DATABASE
    for suffix in ("", "-wal", "-journal"):
        source = database.with_name(database.name + suffix)
        if source.exists():
            target = copy.with_name(copy.name + suffix)
            target.touch(0o600)
            shutil.copyfile(source, target)
    return copy


def _copy_out(descriptor: int, target: Path) -> None:
    out = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        at = 0
        while block := os.pread(descriptor, _COPY_BYTES, at):
            _write_all(out, block, at)
            at += len(block)
        os.fsync(out)
    finally:
        os.close(out)


def _copy_file(source: Path, target: Path) -> None:
    opened = os.open(source, os.O_RDONLY)
    try:
        _copy_out(opened, target)
    finally:
        os.close(opened)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
