"""What a script gives on stdin: text, and not too much of it."""

from __future__ import annotations

import sys

from bide.errors import InputError, Phrase

STDIN_BYTES_MAX = 1024 * 1024
STDIN = "-"


def read_stdin() -> str:
    """All of stdin as text.

    Raises:
        InputError: too much, or not valid UTF-8.
    """
    if sys.stdin is None:
        raise InputError("There is nothing on stdin.")
    return decode(sys.stdin.buffer.read(STDIN_BYTES_MAX + 1), "stdin")


def decode(data: bytes, source: str | Phrase) -> str:
    """`data` as text.

    Raises:
        InputError: too much, or not valid UTF-8.
    """
    if len(data) > STDIN_BYTES_MAX:
        raise InputError("That is more than fits: {source} takes at most 1 MiB.", hint="Nothing was written.", source=source)
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError:
        raise InputError(
            "What came from {source} is not valid UTF-8 text.", hint="Nothing was written.", source=source
        ) from None
