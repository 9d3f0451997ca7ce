"""The relay's log: counts and places in the source. No ids, no addresses, no keys, no nameplates, no content.

What the relay itself says is written as it is. What libraries say may name addresses or show what a client sent, at any
level, so of that only the library, the level, the place and the kind of error are kept.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import Any

NAME = "bide_relay"


class _Discreet(logging.Formatter):
    """Lets through only what the relay says itself."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name == NAME:
            return super().format(record)
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        told = f"{record.name} says something at {record.module}:{record.lineno}" + (f", {kind}" if kind else "")
        return super().format(logging.LogRecord(record.name, record.levelno, "", 0, told, None, None))


def log_discreetly(level: int = logging.INFO) -> None:
    """Send the log to stderr, from now on, whoever writes to it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Discreet("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def log_failure(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An event loop's exception handler. Its own would show sockets with both their addresses."""
    error = context.get("exception")
    # A connection that breaks is no failure of ours.
    if isinstance(error, ConnectionError | TimeoutError):
        return
    logging.getLogger(NAME).error("the event loop reports: %s", "?" if error is None else f"{kind_of(error)} at {where(error)}")


def kind_of(error: BaseException) -> str:
    """The kind of an error: what it says might hold what a client sent."""
    number = f" {error.errno}" if isinstance(error, OSError) and error.errno else ""
    return type(error).__name__ + number


def where(error: BaseException) -> str:
    """File and line of an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"  # noqa: PTH119
