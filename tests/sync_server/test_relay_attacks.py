"""What somebody may try who wants the relay down: at worst their own connections end, and its memory stays where it is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as ws_connect
from websockets.exceptions import ConnectionClosed

from bide.ids import SystemRandomness
from bide.protocol.codec import decode_frame
from bide.protocol.frames import CaughtUp, Envelopes, Error, MailboxOpen, MailboxOpened, Stored
from bide.testing import Member, SpaceBuilder
from bide_relay.testing import RelayProcess, WireClient

MIB = 1024 * 1024
UNTHROTTLED = (
    *("--registration", "open", "--bytes-per-device-s", str(2**40), "--bytes-per-device-burst", str(2**40)),
    *("--frames-per-device-s", "1e9", "--frames-per-device-burst", "1000000000", "--ping-timeout-s", "600"),
)
FLOODING = Path(__file__).with_name("flooding.py")
SOME_MIB = 32
"""What buffers, caches and a busy interpreter may take besides: a fraction of what any of the attacks sends."""


def memory_mib(relay: RelayProcess) -> int:
    """The most memory that the relay ever held."""
    status = Path(f"/proc/{relay.pid}/status")
    if not status.exists():
        pytest.skip("memory is measured on Linux only")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) // 1024


@contextlib.contextmanager
def bounded(relay: RelayProcess, mib: int = SOME_MIB) -> Iterator[None]:
    """What happens within doesn't make the relay grow by more, and nothing of it is a mistake of the relay's."""
    before = memory_mib(relay)
    yield
    assert memory_mib(relay) - before <= mib
    assert relay.alive()
    assert "ERROR" not in relay.log


async def sync(relay: RelayProcess, space: SpaceBuilder, member: Member) -> WireClient:
    """Connect as an honest client does, to where everything is live."""
    client = await WireClient.connect(relay.url)
    await client.prove(space=space.id, device=member.device_id, signing_seed=member.keys.signing_seed)
    await client.welcome(genesis=space.envelopes[0].data)
    await client.want({m.log_id: m.head.seq for m in space.members})
    await client.expect(CaughtUp)
    return client


async def gone(ws: ClientConnection) -> None:
    """The relay hangs up, whatever it says before."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(10):
            while True:
                await ws.recv(decode=False)


@contextlib.asynccontextmanager
async def flood(relay: RelayProcess, kind: str, *, addresses: int, workers: int = 500) -> AsyncIterator[None]:
    """While other connections come in without end."""
    arguments = [kind, relay.url.rpartition(":")[2], str(addresses), str(workers)]
    process = await asyncio.create_subprocess_exec(sys.executable, FLOODING, *arguments, stdout=subprocess.PIPE)
    assert process.stdout is not None  # asked for above
    try:
        assert await process.stdout.readline() == b"flooding\n"
        yield
    finally:
        process.kill()
        await process.wait()


# Floods


@pytest.mark.skipif(sys.platform != "linux", reason="needs all of 127.0.0.0/8")
@pytest.mark.parametrize("kind", ["connect", "drip", "upgrade", "key", "garbage"])
async def test_an_honest_client_gets_in_at_once_amid_a_flood(tmp_path: Path, kind: str) -> None:
    """From its first moment on, at the first try, while 500 connections of 100 addresses come back as often as they can.

    The limits of connects by address are widened, so that the flood is not simply turned away.
    """
    flags = ("--registration", "open", "--limit-loopback", "--connects-per-ip-minute-max", "100")
    async with RelayProcess(tmp_path / "data", *flags) as relay:
        space = SpaceBuilder.found("own", randomness=SystemRandomness())
        before = await sync(relay, space, space.founder)
        with bounded(relay):
            async with flood(relay, kind, addresses=100):
                for _ in range(3):
                    client = await sync(relay, space, space.founder)
                    await client.upload([space.write(space.founder).data])
                    await client.expect(Stored)
                    await client.close()
        await before.close()


@pytest.mark.skipif(sys.platform != "linux", reason="needs all of 127.0.0.0/8")
async def test_one_address_that_floods_is_turned_away(tmp_path: Path) -> None:
    """With the limits as they come: its connections hardly reach the relay, and those who are there don't notice."""
    async with RelayProcess(tmp_path / "data", "--registration", "open", "--limit-loopback") as relay:
        space = SpaceBuilder.found("own", randomness=SystemRandomness())
        there = await sync(relay, space, space.founder)
        with bounded(relay):
            async with flood(relay, "upgrade", addresses=1):
                for _ in range(5):
                    await there.upload([space.write(space.founder).data])
                    await there.expect(Stored)
                late = await sync(relay, space, space.founder)
        for client in (there, late):
            await client.close()


async def test_sockets_that_never_speak_are_cut_off(tmp_path: Path) -> None:
    """Nothing at all, a request a byte at a time, half a websocket message: each has its time."""
    async with RelayProcess(tmp_path / "data", "--open-timeout-s", "0.5", "--auth-timeout-s", "0.5") as relay:
        host, port = relay.host.split(":")

        async def drip(data: bytes, *, upgraded: bool) -> None:
            reader, writer = await asyncio.open_connection(host, port)
            if upgraded:
                writer.write(UPGRADE.format(host=relay.host).encode())
                await reader.readuntil(b"\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                for byte in data:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.05)
                    if reader.at_eof():
                        break
                while await reader.read(4096):
                    pass
            writer.transport.abort()

        async with asyncio.timeout(10):
            await asyncio.gather(
                drip(b"", upgraded=False),
                drip(b"GET / HTTP/1.1\r\n" + b"X-More: and more\r\n" * 1000, upgraded=False),
                drip(b"\x82\xfe\x0f\xff\0\0\0\0" + bytes(4095), upgraded=True),
                drip(b"\x02\x81\0\0\0\0a" + b"\0\x81\0\0\0\0a" * 1000, upgraded=True),
            )
        assert "ERROR" not in relay.log


UPGRADE = (
    "GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    try:
        subprocess.run([*request, *names, "-keyout", str(key), "-out", str(cert)], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no openssl here to make a certificate with")
    return cert, key


async def test_what_is_no_tls_costs_the_connection_only(tmp_path: Path, certificate: tuple[Path, Path]) -> None:
    """Silence, garbage, plain HTTP and a handshake that stops halfway are cut off in time; others get in meanwhile."""
    cert, key = certificate
    flags = ("--tls-cert", str(cert), "--tls-key", str(key), "--open-timeout-s", "1", "--connections-unauthenticated-max", "10")
    context = ssl.create_default_context(cafile=str(cert))
    halfway, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    begin = context.wrap_bio(halfway, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        begin.do_handshake()
    beginnings = [b"", os.urandom(3000), b"GET / HTTP/1.1\r\n\r\n", outgoing.read()[:100], b"\x16\x03\x01\xff\xff"] * 8
    async with RelayProcess(tmp_path / "data", *flags) as relay:
        with bounded(relay):
            url = f"wss://localhost:{relay.url.rpartition(':')[2]}"
            raw = [await asyncio.open_connection(*relay.host.split(":")) for _ in beginnings]
            for (_, writer), data in zip(raw, beginnings, strict=True):
                writer.write(data)
            async with ws_connect(url, ssl=context, compression=None) as ws:
                assert type(decode_frame(await ws.recv(decode=False))).__name__ == "Hello"
            async with asyncio.timeout(10):
                for reader, writer in raw:
                    with contextlib.suppress(ConnectionError):
                        while await reader.read(4096):
                            pass
                    writer.transport.abort()


# Readers that stall


@pytest.mark.slow
async def test_a_reader_that_stalls_costs_one_buffer(tmp_path: Path, space: SpaceBuilder) -> None:
    """Somebody uploads 100 MiB while three devices read nothing; then one reads on, and everything is there."""
    sam, robin = space.members
    readers = [robin, space.add_device(robin), space.add_device(robin)]
    big = os.urandom(60_000)
    async with RelayProcess(tmp_path / "data", *UNTHROTTLED) as relay:
        writer = await WireClient.connect(relay.url)
        await writer.prove(space=space.id, device=sam.device_id, signing_seed=sam.keys.signing_seed)
        await writer.welcome(genesis=space.envelopes[0].data)
        await writer.want({m.log_id: m.head.seq for m in space.members})
        await writer.expect(CaughtUp)
        await writer.upload([e.data for e in space.envelopes[1:]])
        stalled = [await sync(relay, space, member) for member in readers]
        for client in stalled:
            client.ws.transport.pause_reading()
        sent = 0
        with bounded(relay, 48):
            while sent < 100 * MIB:
                envelope = space.write(sam, space.event(sam, change=big))
                sent += len(envelope.data)
                await writer.upload([envelope.data])
            last = 0
            while last < sam.head.seq:
                frame = await writer.receive()
                if isinstance(frame, Stored):
                    last = max([last, *(head.seq for head in frame.heads if head.log_id == sam.log_id)])
            stalled[0].ws.transport.resume_reading()
            got = 0
            while got < 100 * MIB:
                frame = await stalled[0].receive()
                assert isinstance(frame, Envelopes)
                got += sum(len(data) for data in frame.envelopes)
        assert got == sent
        await writer.close()
        for client in stalled:
            client.ws.transport.abort()


async def test_half_open_connections_are_found(tmp_path: Path, space: SpaceBuilder) -> None:
    """Whoever doesn't answer a ping in time is gone, as after a change of network; whoever answers stays."""
    flags = ("--registration", "open", "--ping-interval-s", "0.3", "--ping-timeout-s", "1.5", "--close-timeout-s", "0.3")
    async with RelayProcess(tmp_path / "data", *flags) as relay:
        dead = await sync(relay, space, space.founder)
        alive = await sync(relay, space, space.founder)
        dead.ws.transport.pause_reading()
        await asyncio.sleep(4)
        dead.ws.transport.resume_reading()
        await gone(dead.ws)
        await alive.upload([space.envelopes[1].data])
        await alive.expect(Stored)
        await alive.close()


# Bombs


def websocket_frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """As a client sends it, masked with zeros."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2) if size < 65536 else b"\xff" + size.to_bytes(8)
    return bytes([(0x80 if fin else 0) | opcode]) + length + bytes(4) + payload


FRAME_BOMBS = {
    "endless fragments": (websocket_frame(2, b"a", fin=False), websocket_frame(0, b"", fin=False) * 10_000),
    "endless small fragments": (websocket_frame(2, b"a", fin=False), websocket_frame(0, b"a", fin=False) * 10_000),
    "endless pings": (b"", websocket_frame(9, bytes(125)) * 1_000),
    "endless pongs": (b"", websocket_frame(10, bytes(125)) * 1_000),
    "a huge announced length": (b"\x82\xff\x7f" + b"\xff" * 7 + bytes(4), bytes(MIB)),
    "a compressed message": (b"\xc2\x81" + bytes(5), bytes(MIB)),
    "a reserved opcode": (websocket_frame(3), bytes(MIB)),
    "an unmasked message": (b"\x82\x01a", bytes(MIB)),
    "text for ever": (b"", websocket_frame(1, b"a") * 10_000),
}


@pytest.mark.parametrize("known", [False, True], ids=["anybody", "a member"])
@pytest.mark.parametrize("bomb", FRAME_BOMBS.values(), ids=FRAME_BOMBS)
async def test_websocket_bombs(relay: RelayProcess, space: SpaceBuilder, bomb: tuple[bytes, bytes], *, known: bool) -> None:
    """Whatever is sent, without reading a byte: it ends the connection before it amounts to anything."""
    client = await sync(relay, space, space.founder) if known else await WireClient.connect(relay.url)
    transport = client.ws.transport
    transport.pause_reading()
    beginning, more = bomb
    with bounded(relay):
        transport.write(beginning)
        async with asyncio.timeout(20):
            for _ in range(400):
                while transport.get_write_buffer_size() > MIB:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
                if transport.is_closing():
                    break
                transport.write(more)
                await asyncio.sleep(0)
            transport.resume_reading()
            await gone(client.ws)


MSGPACK_BOMBS = {
    "deep arrays": b"\x91" * 4000,
    "deep maps": b"\x81\xa1a" * 1300,
    "a huge array": b"\xdd\xff\xff\xff\xff",
    "a huge map": b"\xdf\xff\xff\xff\xff",
    "a huge text": b"\xdb\xff\xff\xff\xffa",
    "huge bytes": b"\xc6\xff\xff\xff\xffa",
    "a huge extension": b"\xc9\xff\xff\xff\xff\x01a",
    "an array of huge arrays": b"\xdc\x01\xff" + b"\xdd\x00\x00\x02\x00" * 800,
    "an array of 512 arrays of nothing": b"\xdc\x02\x00" + b"\x90" * 512,
    "an envelope batch of huge bytes": b"\x92\xa9envelopes\xdd\x00\x00\x02\x00" + b"\xc6\x7f\xff\xff\xff" * 512,
    "a map for a frame": b"\x81\xa4auth\xc0",
    "a time stamp": b"\x92\xa4auth\xd6\xff\x00\x00\x00\x00",
    "a float": b"\x92\xa4auth\xcb" + bytes(8),
    "text that is none": b"\x91\xa4\xff\xfe\xfd\xfc",
}


@pytest.mark.parametrize("known", [False, True], ids=["anybody", "a member"])
@pytest.mark.parametrize("bomb", MSGPACK_BOMBS.values(), ids=MSGPACK_BOMBS)
async def test_msgpack_bombs(relay: RelayProcess, space: SpaceBuilder, bomb: bytes, *, known: bool) -> None:
    """Refused as what they are; for a member as long as a message may be."""
    client = await sync(relay, space, space.founder) if known else await WireClient.connect(relay.url)
    with bounded(relay, 8):
        await client.ws.send(bomb[0:1] * (320 * 1024) if known and len(bomb) == 4000 else bomb)
        async with asyncio.timeout(5):
            answer = decode_frame(await client.ws.recv(decode=False))
        assert isinstance(answer, Error)
        assert (answer.code, answer.fatal) == ("remote_protocol", True)
        await gone(client.ws)


# Nameplates


async def test_many_nameplates(tmp_path: Path) -> None:
    """As many as allowed; one more is refused with advice, and one that goes makes room."""
    async with RelayProcess(tmp_path / "data", "--mailboxes-max", "30") as relay, AsyncExitStack() as stack:

        async def open_mailbox() -> WireClient:
            client = await stack.enter_async_context(await WireClient.connect(relay.url))
            await client.send(MailboxOpen())
            return client

        with bounded(relay):
            clients = [await open_mailbox() for _ in range(30)]
            plates = {(await client.expect(MailboxOpened)).nameplate for client in clients}
            assert len(plates) == 30
            refused = await open_mailbox()
            assert (await refused.expect_error("too_many_connections")).retry_after_ms > 0
            await clients[0].close()
            async with asyncio.timeout(5):
                while not isinstance(await (await open_mailbox()).receive(), MailboxOpened):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
