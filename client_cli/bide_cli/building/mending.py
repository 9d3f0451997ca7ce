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

import errno
import fcntl
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bide.errors import Locked, StorageBusy, StorageError
from bide.storage.opening import PAGE_BYTES, NoRoom, begins_blank
from bide_cli.home import folder as homes
from bide_cli.home.files import sync_directory
from bide_cli.home.leftovers import KEPT_PREFIX, KEY_LOCK, MENDING, PART_SUFFIX, READING_PREFIX
from bide_cli.home.locks import SYNC_LOCK, Lock
from bide_cli.language import _
from bide_cli.terminal.shell import Shell
from bide_cli.terminal.waiting import Waiting
from bide_cli.unlocking.opening import keys_at_hand, opened_with

if TYPE_CHECKING:
    from bide.replica.examining.doctor import Finding
    from bide.replica.examining.mending import Mended
    from bide_cli.home.folder import Config

READY = "ready.db"
_BUSY = "Another Bide has this home open, so nothing was changed."
_BUSY_HINT = "End what runs, such as bide sync --watch, then try again."
_SQLITE_LOCKS = (0x40000000, 512)
"""Where SQLite locks a file: a process that has it open in any way holds a part of this."""
_COPY_BYTES = 1024 * 1024
_COPIES = 4
"""What stays, one to read from, and the new one with its write-ahead log."""


class Mending(NamedTuple):
    """What was done."""

    kept: Path | None
    """Where the damaged database is now; None: an earlier run had kept it, and this one finished that."""
    mended: Mended | None
    findings: list[Finding]
    """What there is to say of the new database; empty if it was finished only, and not looked at."""


def mend_home(shell: Shell, config: Config, waiting: Waiting, *, insisted: bool = False) -> Mending:
    """Mend the database of a home, whatever is wrong with it. It must not be open in this process.

    Args:
        shell: of the home.
        config: of the home.
        waiting: is told what is being done.
        insisted: the person wants it even if something that can still be read is taken off the timeline.

    Raises:
        Locked: the key can't be had, or it isn't the one of this database.
        NoRelayHasIt: something would be taken off the timeline that can still be read; the home is as it was.
        KeysLost: what would be needed can't be read any more; the home is as it was.
        StorageBusy: another process has the home open.
        StorageError: there is no room, or it can't be written.
    """
    database = shell.home / homes.DATABASE
    work = shell.home / MENDING
    _require_writable(database)
    with _told_of_failures(database):
        # Looked for before the database is locked: that would end with any other descriptor of the file.
        key = None if _is_to_be_finished(database) else _key_of(shell, config)
    with (
        _told_of_failures(database),
        Lock(shell.home / KEY_LOCK, busy=_BUSY),
        Lock(shell.home / SYNC_LOCK, busy=_BUSY),
        _alone(database) as descriptor,
    ):
        if (work / READY).exists() and not any(os.pread(descriptor, PAGE_BYTES, 0)):
            _put_in_place(work / READY, descriptor, database)
            shutil.rmtree(work)
            return Mending(None, None, [])
        if key is None:  # another one finished it just now
            raise StorageBusy(_BUSY, hint=_BUSY_HINT)
        with ExitStack() as undo:
            # Until the new one is put in place the database is as it was, so that a copy of it keeps nothing.
            shutil.rmtree(work, ignore_errors=True)
            undo.callback(shutil.rmtree, work, ignore_errors=True)
            waiting.begin(_("Keeping a copy of the damaged database"))
            kept = _keep(shell.home, descriptor)
            undo.callback(shutil.rmtree, kept, ignore_errors=True)
            work.mkdir(0o700)
            opens = opened_with(shell.home) is not None and not insisted
            mended, findings = _make_whole(kept / homes.DATABASE, key, work, waiting, opens=opens)
            _make_room(descriptor, work / READY)
            undo.pop_all()
        waiting.begin(_("Putting the new database in its place"))
        _put_in_place(work / READY, descriptor, database)
        shutil.rmtree(work)
    return Mending(kept, mended, findings)


def key_opens(shell: Shell, key: bytes) -> bool:
    """Whether a key that doesn't open the database is its key all the same, and the file is damaged. Changes nothing."""
    from bide.storage.salvage import salvage

    with _scratch(shell.home) as scratch:
        copy = _copy_for_reading(shell.home / homes.DATABASE, scratch)
        return next(salvage(copy, key, scratch=scratch), None) is not None


def agent_knows_it_is_damaged(shell: Shell, config: Config) -> bool:
    """Whether an agent holds the key of a database that it doesn't open any more, so that nobody need be asked for it."""
    from bide.storage.opening import open_database
    from bide_cli.unlocking.keys import key_of_agent

    key = key_of_agent(shell.home, config)
    if key is None or not homes.exists(shell.home):
        return False
    try:
        open_database(shell.home / homes.DATABASE, key).close()
    except Locked:
        return key_opens(shell, key)
    return False


@contextmanager
def _scratch(home: Path) -> Iterator[Path]:
    """A folder for copies, which stay encrypted: in the home, and where that can't be written among temporary files.

    The next Bide removes it, if this one is killed.
    """
    within = home if os.access(home, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=within, prefix=READING_PREFIX) as folder:
        held = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield Path(folder)
        finally:
            os.close(held)


def _key_of(shell: Shell, config: Config) -> bytes:
    """The key of the database, which may be damaged in such a way that no key opens it."""
    from bide_cli.unlocking.keys import unlock

    opened = opened_with(shell.home)
    if opened is not None:
        return opened
    for key in keys_at_hand(shell, config):
        if key_opens(shell, key):
            return key
    return unlock(shell, config)


def _is_to_be_finished(database: Path) -> bool:
    """Whether an earlier repair was interrupted while it put a new database in place."""
    return (database.with_name(MENDING) / READY).exists() and begins_blank(database)


def _require_writable(database: Path) -> None:
    if not (os.access(database, os.W_OK) and os.access(database.parent, os.W_OK)):
        raise StorageError(
            "This home can't be written, so it can't be mended where it is.", hint="Copy the whole folder to where it can be."
        )


@contextmanager
def _told_of_failures(database: Path) -> Iterator[None]:
    """Say in a sentence what the system had against it, and what state that left."""
    try:
        yield
    except (OSError, NoRoom) as error:
        hint = "Nothing was changed."
        if _is_to_be_finished(database):
            hint = "It was being put in its place, and is ready: bide doctor --repair goes on with it."
        if isinstance(error, NoRoom) or error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                "There is not enough room on the disk to mend this home: for a while it takes about {size} MB.",
                hint=hint,
                size=_COPIES * database.stat().st_size // 1_000_000 + 1,
            ) from error
        raise StorageError("The home can't be mended: {reason}.", hint=hint, reason=os.strerror(error.errno or 0)) from error


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
    for left in home.glob(f"{KEPT_PREFIX}*{PART_SUFFIX}"):
        shutil.rmtree(left)
    stamp = time.strftime("%Y-%m-%d")
    number = 1
    while (kept := home / (f"{KEPT_PREFIX}{stamp}" + (f"-{number}" if number > 1 else ""))).exists():
        number += 1
    part = kept.with_name(kept.name + PART_SUFFIX)
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


def _make_whole(kept: Path, key: bytes, work: Path, waiting: Waiting, *, opens: bool) -> tuple[Mended, list[Finding]]:
    """Build the new database as ``ready.db``, look at it whole, and have it on disk."""
    from bide.replica import Replica
    from bide.replica.examining.mending import KeysLost, NoRelayHasIt, mend
    from bide.storage.salvage import salvage
    from bide.storage.sqlite import SqliteStorage

    waiting.begin(_("Reading what can still be read"))
    copy = _copy_for_reading(kept, work)
    new = work / "new.db"
    lost: KeysLost | NoRelayHasIt | None = None
    findings: list[Finding] = []
    for found in salvage(copy, key, scratch=work):
        for path in (new, new.with_name(new.name + "-wal"), new.with_name(new.name + "-shm")):
            path.unlink(missing_ok=True)
        new.touch(0o600)
        storage = SqliteStorage(new, key, create=True)
        try:
            waiting.begin(_("Building everything anew"))
            mended = mend(found, storage, waiting.progress, opens=opens)
            waiting.begin(_("Looking through everything"))
            findings = Replica(storage).doctor(waiting.progress)
            storage.make_single_file()
        except (KeysLost, NoRelayHasIt) as error:
            lost = error
            continue
        finally:
            storage.close()
        if any(finding.mendable for finding in findings):
            continue
        _sync_file(new)
        new.rename(work / READY)
        sync_directory(work)
        return mended, findings
    if lost is not None:
        raise lost
    if findings:
        raise StorageError("What could be saved does not make a whole home; nothing was changed.", hint="Keep this home.")
    if begins_blank(kept) and kept.stat().st_size <= PAGE_BYTES:
        raise KeysLost
    raise Locked("That key doesn't open this home, or nothing of it can be read any more; nothing was changed.")


def _make_room(descriptor: int, ready: Path) -> None:
    """Have the room for the new database before anything of the old one is written over. SQLite minds no longer a file."""
    before, size = os.fstat(descriptor).st_size, ready.stat().st_size
    if size > before and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, before, size - before)
        except OSError as error:
            os.ftruncate(descriptor, before)
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C and the like wait for the second that this takes; who is told that it is done needs nothing else."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _put_in_place(ready: Path, descriptor: int, database: Path) -> None:
    """Write the new database over the old one, its first page last: in between nothing opens it."""
    with _uninterrupted():
        _write_over(ready, descriptor, database)


def _write_over(ready: Path, descriptor: int, database: Path) -> None:
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
