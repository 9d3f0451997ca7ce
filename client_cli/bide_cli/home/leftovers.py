"""What a command that was killed may have left in a home: the folders of an editor. Found and removed by the next one."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

FOLDER_PREFIX = ".edit-"


def remove_leftovers(home: Path) -> None:
    """Remove the folders of editors whose Bide is gone. One that is still at work holds a lock on its folder."""
    try:
        found = [name for name in os.listdir(home) if name.startswith(FOLDER_PREFIX)]  # noqa: PTH208 every command does this
    except OSError:
        return
    for name in found:
        _remove_if_left(os.path.join(home, name))  # noqa: PTH118


def _remove_if_left(folder: str) -> None:
    import fcntl
    import shutil

    try:
        held = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # somebody writes there just now
    finally:
        os.close(held)
