"""The yardsticks of the relay: bare ``websockets`` servers that store nothing and check nothing.

``echo`` sends back what it gets; ``pair`` hands it to the other side of a pair (path ``/KEY/SIDE``). Prints its port.
"""

from __future__ import annotations

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

_there: dict[tuple[str, str], ServerConnection] = {}


async def echo(ws: ServerConnection) -> None:
    """Send back."""
    try:
        while True:
            await ws.send(await ws.recv(decode=False))
    except ConnectionClosed:
        pass


async def pair(ws: ServerConnection) -> None:
    """Hand over to the other side."""
    assert ws.request is not None  # there is one once a handler runs
    _, key, side = ws.request.path.split("/")
    _there[key, side] = ws
    try:
        while True:
            message = await ws.recv(decode=False)
            other = _there.get((key, "1" if side == "0" else "0"))
            if other is not None:
                await other.send(message)
    except ConnectionClosed:
        pass
    finally:
        _there.pop((key, side), None)


async def main(kind: str) -> None:
    """Serve until killed."""
    handler = {"echo": echo, "pair": pair}[kind]
    async with serve(handler, "127.0.0.1", 0, compression=None, open_timeout=30, ping_interval=20) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.Future()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
