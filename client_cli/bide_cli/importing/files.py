"""Reading a file that somebody else's program made: everything limited, nothing believed."""

from __future__ import annotations

import json
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

from bide.errors import InputError
from bide_cli.importing.found import NOTHING_WRITTEN

STDIN = "-"
FILE_BYTES_MAX = 256 * 1024 * 1024
ARCHIVE_BYTES_MAX = 8 * 1024 * 1024 * 1024
"""A zip is mostly photos, which are not read."""
MEMBERS_MAX = 200_000
JOURNALS_MAX = 100
ZIP_MAGIC = b"PK\x03\x04"
_CHUNK_BYTES = 1024 * 1024


def open_file(source: str) -> Any:
    """The file of that name, open for reading bytes, or stdin for ``-``.

    Raises:
        InputError: it can't be read.
    """
    if source == STDIN:
        if sys.stdin is None:
            raise InputError("There is nothing on stdin.")
        return sys.stdin.buffer
    path = Path(source)
    try:
        if not path.is_file():
            # A pipe is fine; a folder is not.
            if path.is_dir():
                raise InputError("That is a folder; a file is wanted.", hint=NOTHING_WRITTEN)
            if not path.exists():
                raise InputError("There is no such file.", hint="Look at its name and place.")
        return path.open("rb")
    except (OSError, ValueError):
        raise InputError("That file can't be read.", hint="Look at its name and who owns it.") from None


def read_bytes(source: str) -> bytes:
    """All that a file holds.

    Raises:
        InputError: it can't be read, is empty or too large.
    """
    file = open_file(source)
    try:
        data: bytes = file.read(FILE_BYTES_MAX + 1)
    except OSError:
        raise InputError("That file can't be read.") from None
    finally:
        if source != STDIN:
            file.close()
    _check_size(len(data))
    if not data.strip():
        raise InputError("That file is empty.", hint=NOTHING_WRITTEN)
    return data


def _check_size(size: int) -> None:
    if size > FILE_BYTES_MAX:
        raise InputError(
            "That is more than fits: at most {most} MiB are read at once.",
            hint=NOTHING_WRITTEN,
            most=FILE_BYTES_MAX // (1024 * 1024),
        )


def decode(data: bytes, *, hint: str = NOTHING_WRITTEN) -> str:
    """`data` as text, without a mark at its beginning.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError("That is not valid UTF-8 text (line {line}).", hint=hint, line=line) from None


def load_json(text: str, *, wanted: str) -> Any:
    """What a JSON text says.

    Args:
        text: the whole of it.
        wanted: what was expected, for the hint.

    Raises:
        InputError: it is not JSON; names the line, and whether it just ends too early.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated string"):
            raise InputError(
                "The file ends in the middle (line {line}), as if it had been cut.", hint=NOTHING_WRITTEN, line=error.lineno
            ) from None
        raise InputError("That is not valid JSON (line {line}).", hint=wanted, line=error.lineno) from None
    except (ValueError, RecursionError):
        raise InputError("That is not valid JSON.", hint=wanted) from None


class Archive:
    """A zip, of which only some members are read."""

    def __init__(self, source: str) -> None:
        """Look into it.

        Raises:
            InputError: it is not whole, or too much is in it.
        """
        try:
            if Path(source).stat().st_size > ARCHIVE_BYTES_MAX:
                raise InputError("That zip is too large.", hint=NOTHING_WRITTEN)
            self._zip = zipfile.ZipFile(source)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
            raise InputError("That zip is damaged, or was cut.", hint=NOTHING_WRITTEN) from None
        if len(self._zip.infolist()) > MEMBERS_MAX:
            raise InputError("There are too many files in that zip.", hint=NOTHING_WRITTEN)

    def journals(self) -> list[str]:
        """The names of the JSON files at its top, in order."""
        names = sorted(
            item.filename
            for item in self._zip.infolist()
            if item.filename.lower().endswith(".json")
            and "__MACOSX" not in item.filename
            and item.filename.count("/") <= 1
            and not item.is_dir()
        )
        if len(names) > JOURNALS_MAX:
            raise InputError("There are too many journals in that zip.", hint=NOTHING_WRITTEN)
        return names

    def read(self, name: str, *, bytes_left: int = FILE_BYTES_MAX) -> bytes:
        """One member, unpacked piece by piece: what a zip says about its sizes may be a lie.

        Raises:
            InputError: it is damaged, encrypted, or unpacks to more than is read.
        """
        pieces: list[bytes] = []
        size = 0
        try:
            with self._zip.open(name) as member:
                while piece := member.read(_CHUNK_BYTES):
                    size += len(piece)
                    _check_size(size + FILE_BYTES_MAX - bytes_left)
                    pieces.append(piece)
        except InputError:
            raise
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError):
            # RuntimeError: it is encrypted.
            raise InputError("That zip is damaged, or can't be unpacked.", hint=NOTHING_WRITTEN) from None
        return b"".join(pieces)

    def close(self) -> None:
        """Let go of it."""
        self._zip.close()


def is_zip(source: str) -> bool:
    """Whether a file is a zip, by its first bytes. Neither stdin nor a pipe is looked at: what was read of it would be gone."""
    if source == STDIN or Path(source).is_fifo():
        return False
    file = open_file(source)
    try:
        return bool(file.read(len(ZIP_MAGIC)) == ZIP_MAGIC)
    except OSError:
        raise InputError("That file can't be read.") from None
    finally:
        file.close()
