"""Where an export goes: stdout, or a file that only its owner can read and that is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from bide.errors import InputError, StorageError
from bide_cli.home.files import sync_directory

STDOUT = "-"
_TEMPORARY = ".bide-export-"


def check_place(target: str, *, force: bool) -> None:
    """See to it, before anything is drawn, that a file can be made there.

    Raises:
        InputError: something is there already, or it is no place for a file.
    """
    if target in ("", STDOUT):
        return
    path = Path(target)
    try:
        if path.is_symlink() or path.exists():
            if not path.is_file() or path.is_symlink():
                raise InputError("There is something else than a plain file in that place.", hint="Give another name.")
            if not force:
                raise InputError("There is a file of that name already.", hint="Give another name, or replace it: --force")
        if not path.parent.is_dir():
            raise InputError("There is no such folder.", hint="Make it first.")
    except (OSError, ValueError):
        raise InputError("No file can be made there.", hint="Give another name.") from None


def write(target: str, pieces: Iterable[str], *, force: bool) -> None:
    """Write all pieces.

    Args:
        target: a file, or ``-`` or nothing for stdout.
        pieces: of text.
        force: replace what is there.

    Raises:
        InputError: there is a file already.
        StorageError: it can't be written.
    """
    if target in ("", STDOUT):
        # Not through the text layer: a file of this kind is UTF-8 wherever it goes.
        sys.stdout.flush()
        for piece in pieces:
            sys.stdout.buffer.write(piece.encode())
        sys.stdout.buffer.flush()
        return
    write_bytes(target, (piece.encode() for piece in pieces), force=force)


def write_bytes(target: str, pieces: Iterable[bytes], *, force: bool) -> None:
    """`write` for bytes, into a file."""
    path = Path(target)
    try:
        descriptor, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
    except OSError:
        raise InputError("No file can be made in that folder.", hint="Look at who owns it.") from None
    temporary = Path(name)
    try:
        # mkstemp makes it readable for nobody else.
        with os.fdopen(descriptor, "wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        _put_in_place(temporary, path, force=force)
        sync_directory(path.parent)
    except OSError:
        raise StorageError("The file could not be written.", hint="Is there room on the disk?") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _put_in_place(temporary: Path, path: Path, *, force: bool) -> None:
    if not force:
        try:
            # A link never takes the place of what somebody else made there meanwhile.
            path.hardlink_to(temporary)
        except FileExistsError:
            check_place(str(path), force=False)
            raise
        except OSError:  # a file system without links
            check_place(str(path), force=False)
        else:
            return
    temporary.replace(path)
