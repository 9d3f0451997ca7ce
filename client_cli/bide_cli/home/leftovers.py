"""What a command that was killed may have left in a home. Found and removed by the next one.

These are the folders of an editor, and what `bide doctor --repair` made on its way. What is still at work holds a lock.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

FOLDER_PREFIX = ".edit-"
MENDING = "mending"
"""Where `bide doctor --repair` builds the new database."""
READING_PREFIX = "mending-"
"""Where `bide doctor` looks at a copy."""
KEPT_PREFIX, PART_SUFFIX = "damaged-", ".part"
KEY_LOCK = "key.lock"
"""Held by whoever mends the home, or changes how it is locked."""


def remove_leftovers(home: Path) -> None:
    """Remove what was left by a Bide that is gone, as far as it is of no use to anybody."""
    try:
        found = [name for name in os.listdir(home) if name.startswith((FOLDER_PREFIX, READING_PREFIX))]  # noqa: PTH208
    except OSError:
        return
    for name in found:
        folder = os.path.join(home, name)  # noqa: PTH118
        _remove_unless_held(folder, folder)


def remove_mending(home: Path) -> None:
    """Remove what a repair left that was killed. The database has been opened, so it is whole, and has no use for that.

    Left there, it would one day be taken for the end of another repair, and be old by then.
    """
    try:
        found = [name for name in os.listdir(home) if _is_of_mending(name)]  # noqa: PTH208 every command does this
    except OSError:
        return
    for name in found:
        _remove_unless_held(os.path.join(home, KEY_LOCK), os.path.join(home, name))  # noqa: PTH118


def _is_of_mending(name: str) -> bool:
    return name == MENDING or (name.startswith(KEPT_PREFIX) and name.endswith(PART_SUFFIX))


def _remove_unless_held(lock: str, folder: str) -> None:
    import fcntl
    import shutil

    try:
        held = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        pass  # somebody is at work there just now
    finally:
        os.close(held)
