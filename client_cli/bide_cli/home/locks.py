"""Locks between processes of one home. The system lets go of them when a process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from bide.errors import StorageBusy

SYNC_LOCK = "sync.lock"
"""Of whoever syncs, or has to be sure that nobody does."""
_POLL_S = 0.05


class Lock:
    """An exclusive lock on a file of the home, held inside ``with``."""

    def __init__(self, path: Path, *, wait_s: float = 0.0, busy: str = "Another Bide is at work in this home.") -> None:
        """Prepare a lock; nothing is taken yet.

        Args:
            path: the lock file; made if missing and left behind.
            wait_s: how long to wait for it.
            busy: what to say when it can't be had.
        """
        self._path = path
        self._wait_s = wait_s
        self._busy = busy
        self._descriptor = -1

    def take(self) -> bool:
        """Take it, waiting as long as was said.

        Returns:
            Whether it was had.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + self._wait_s
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(descriptor)
                    return False
                time.sleep(_POLL_S)
            except BaseException:
                os.close(descriptor)
                raise
            else:
                self._descriptor = descriptor
                return True

    def release(self) -> None:
        """Let go of it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Lock:
        """Take it.

        Raises:
            StorageBusy: it could not be had in time.
        """
        if not self.take():
            raise StorageBusy(self._busy)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Let go of it."""
        self.release()
