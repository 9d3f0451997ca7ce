"""Counts for Prometheus, on a listener of their own that only this machine reaches. No labels: nothing about any space."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

_REQUEST_BYTES_MAX = 4096
_TIMEOUT_S = 5.0
_READERS_MAX = 8
_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class Metric(NamedTuple):
    """One number."""

    kind: str
    """``gauge`` or ``counter``."""
    help: str
    value: float


def exposition(metrics: Mapping[str, Metric]) -> bytes:
    """The text that Prometheus reads."""
    lines = []
    for name, metric in metrics.items():
        full = f"bide_relay_{name}"
        lines += [f"# HELP {full} {metric.help}", f"# TYPE {full} {metric.kind}", f"{full} {metric.value:g}"]
    return ("\n".join(lines) + "\n").encode()


async def serve_metrics(port: int, read: Callable[[], Mapping[str, Metric]]) -> asyncio.Server:
    """Answer ``GET /metrics`` on loopback.

    Raises:
        OSError: the port can't be had.
    """
    readers = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal readers
        readers += 1
        try:
            if readers <= _READERS_MAX:
                async with asyncio.timeout(_TIMEOUT_S):
                    request = await reader.readuntil(b"\r\n\r\n")
                    known = request.startswith((b"GET /metrics ", b"GET /metrics?"))
                    status, body = (b"200 OK", exposition(read())) if known else (b"404 Not Found", b"")
                    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
                    writer.write(head % (status, _TYPE, len(body)) + body)
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            readers -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    return await asyncio.start_server(answer, "127.0.0.1", port, limit=_REQUEST_BYTES_MAX)
