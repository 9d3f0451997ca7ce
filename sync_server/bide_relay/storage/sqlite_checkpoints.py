"""Copying the write-ahead log into the database, off the commit path."""

from __future__ import annotations

import threading
from collections.abc import Callable

import apsw

from bide_relay.storage.base import StorageFailed

_EMPTY_BUSY_MS = 200
"""How long the emptying of the write-ahead log may hold up who writes."""
_EMPTY_AGAIN_S = 5.0
CHECKPOINT_PAGES = 1_000
"""Pages in the write-ahead log after which a checkpoint begins beside the writer."""
CHECKPOINT_PAGES_URGENT = 16_000
"""Pages after which the writer lends a hand: under steady load only it can let the log begin anew."""


class Checkpoints:
    """A thread beside the writer, with a connection of its own."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        """Begin.

        Args:
            connect: makes a connection that may write.
        """
        self._connect = connect
        self._pages = 0
        """In the write-ahead log, after the last commit."""
        self._one_at_a_time = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._to_be_emptied = False
        """The write-ahead log may hold pages of what was deleted or erased."""
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        self._thread.start()

    def on_commit(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        """The writer's hook after each commit."""
        self._pages = pages
        if pages >= CHECKPOINT_PAGES:
            self._wake.set()
        return apsw.SQLITE_OK

    def help_out(self, connection: apsw.Connection) -> None:
        """Have the writer do one, if it is urgent. Raises `StorageFailed`: nothing can be promised any more."""
        if self._pages >= CHECKPOINT_PAGES_URGENT:
            self._checkpoint(connection)

    def empty_soon(self) -> None:
        """Something was deleted or erased: leave nothing of it in the write-ahead log."""
        self._to_be_emptied = True
        self._wake.set()

    def close(self) -> None:
        """End, and wait for that."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        connection = self._connect()
        connection.set_busy_timeout(_EMPTY_BUSY_MS)
        try:
            while True:
                self._wake.wait()
                self._wake.clear()
                if self._closing:
                    return
                self._checkpoint(connection)
                if self._to_be_emptied:
                    self._empty(connection)
        finally:
            connection.close()

    def _checkpoint(self, connection: apsw.Connection) -> None:
        """Copy the write-ahead log into the file as far as that disturbs nobody. Trying again later is safe."""
        try:
            # One at a time, waiting: the writer's own must not give up because the one beside it is at work.
            with self._one_at_a_time:
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except (apsw.BusyError, apsw.LockedError):
            return
        except apsw.FullError:
            return
        except apsw.Error as error:
            raise StorageFailed(f"The relay's database failed while writing: {error}") from error

    def _empty(self, connection: apsw.Connection) -> None:
        """Leave nothing in the write-ahead log. While others are at it, later will do, or closing."""
        try:
            with self._one_at_a_time:
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            self._to_be_emptied = False
        except (apsw.BusyError, apsw.LockedError, apsw.FullError):
            retry = threading.Timer(_EMPTY_AGAIN_S, self._wake.set)
            retry.daemon = True
            retry.start()
