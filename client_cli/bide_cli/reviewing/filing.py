"""Putting a page where a person wants it: whole or not at all, readable by them alone, never unasked over another file."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from bide.errors import InputError, StorageError
from bide_cli.home.files import sync_directory


def check_place(given: str, *, force: bool) -> Path:
    """Where the page is to go, made sure of before any work is done.

    Raises:
        InputError: there is something already, or it is no place for a file.
    """
    if given == "-":
        raise InputError("The page needs a file of its own.", hint="For example: --html review.html")
    path = Path(os.path.abspath(os.path.expanduser(given)))  # noqa: PTH100, PTH111 no links are resolved
    try:
        if path.is_dir():
            raise InputError("{path} is a folder.", hint="Name a file in it, such as review.html.", path=path)
        if not path.parent.is_dir():
            raise InputError("There is no folder {path}.", hint="Make it first, or choose another place.", path=path.parent)
        if not force and (path.exists() or path.is_symlink()):
            raise _is_there(path)
        if path.exists() and not path.is_file():
            raise InputError("{path} is no file that a page could replace.", path=path)
    except (OSError, ValueError) as error:
        raise StorageError("The page can't be written there.", hint="Choose another place.") from error
    return path


def write_page(path: Path, text: str, *, force: bool) -> None:
    """Write a page.

    Raises:
        InputError: something came to be there in the meantime.
        StorageError: it can't be written.
    """
    # Beside its place, in the folder that was chosen for it, so that it can be moved there in one step.
    part = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            _put(part, path, force=force)
            sync_directory(path.parent)
        finally:
            with contextlib.suppress(FileNotFoundError):
                part.unlink()
    except (OSError, ValueError) as error:
        raise StorageError("The page can't be written there.", hint="Choose another place; nothing was left behind.") from error


def _put(part: Path, path: Path, *, force: bool) -> None:
    if force:
        part.replace(path)
        return
    try:
        os.link(part, path)
    except FileExistsError:
        raise _is_there(path) from None
    except OSError:  # a file system without links
        if path.exists():
            raise _is_there(path) from None
        part.rename(path)


def _is_there(path: Path) -> InputError:
    return InputError("{path} is there already.", hint="Choose another name, or say --force to replace it.", path=path)
