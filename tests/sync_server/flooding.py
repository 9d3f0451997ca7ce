"""A flood of connections, as a process of its own: ``flooding.py KIND PORT ADDRESSES WORKERS``, until it is killed.

KIND says how far each goes before it falls silent: ``connect``, ``drip`` (a request, a byte at a time), ``upgrade``, ``key``
(the proof of a key that was just made), ``garbage``. The connections come from 127.1.0.1 on, ADDRESSES of them. Prints a line
once the first WORKERS are under way; each that is closed comes back at once.
"""

from __future__ import annotations

import asyncio
import os
import resource
import struct
import sys

from bide.crypto import signing
from bide.errors import BideError
from bide.protocol.session import ClientSession

HOST = "127.0.0.1"
_REQUEST = (
    "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def masked(payload: bytes) -> bytes:
    """A binary websocket message from a client, its mask being zeros."""
    return b"\x82\xfe" + struct.pack("!H", len(payload)) + bytes(4) + payload


async def behave(kind: str, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if kind == "connect":
        return
    if kind == "garbage":
        writer.write(os.urandom(4096))
        return
    request = _REQUEST.format(host=f"{HOST}:{port}").encode()
    if kind == "drip":
        for byte in request:
            writer.write(bytes([byte]))
            if writer.transport.is_closing():
                return
            await asyncio.sleep(0.05)
        return
    writer.write(request)
    if kind == "upgrade":
        return
    await reader.readuntil(b"\r\n\r\n")
    head = await reader.readexactly(2)
    size = head[1] if head[1] < 126 else struct.unpack("!H", await reader.readexactly(2))[0]
    session = ClientSession()
    session.receive_data(await reader.readexactly(size))
    seed = os.urandom(32)
    device = signing.public_key(seed)
    session.authenticate(space=os.urandom(16), device=device, signing_seed=seed, host=f"{HOST}:{port}", nonce=os.urandom(32))
    for message in session.data_to_send():
        writer.write(masked(message))


async def knock(kind: str, port: int, address: str) -> None:
    reader, writer = await asyncio.open_connection(HOST, port, local_addr=(address, 0))
    try:
        await behave(kind, port, reader, writer)
        while await reader.read(65536):
            pass
    finally:
        writer.transport.abort()


async def main(kind: str, port: int, addresses: int, workers: int) -> None:
    begun = 0

    async def work(number: int) -> None:
        nonlocal begun
        address = f"127.1.{number % addresses // 250}.{number % addresses % 250 + 1}"
        while True:
            begun += 1
            if begun == workers:
                print("flooding", flush=True)
            try:
                await knock(kind, port, address)
            except (OSError, EOFError, BideError):
                await asyncio.sleep(0)

    await asyncio.gather(*(work(number) for number in range(workers)))


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
