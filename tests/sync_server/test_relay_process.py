"""The relay as a process: start, stop, kill, limits, HTTP, admin commands."""

from __future__ import annotations

import asyncio
import http.client
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest
from websockets.asyncio.client import connect as ws_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bide.errors import BideError, StorageError
from bide.ids import LogId, SpaceId, SystemRandomness
from bide.log.envelope import parse_envelope
from bide.protocol.codec import decode_frame
from bide.protocol.frames import CaughtUp, Error, Register, Stored, Welcome
from bide.testing import Member, SpaceBuilder
from bide_relay.storage.base import Batch
from bide_relay.storage.sqlite import SqliteStorage
from bide_relay.testing import RelayProcess, WireClient

KILLS = 20


def own_space() -> SpaceBuilder:
    return SpaceBuilder.found("own", randomness=SystemRandomness())


async def join(relay: RelayProcess, space: SpaceBuilder, member: Member, invite: str = "") -> tuple[WireClient, Welcome]:
    client = await WireClient.connect(relay.url)
    await client.prove(space=space.id, device=member.device_id, signing_seed=member.keys.signing_seed)
    return client, await client.welcome(genesis=space.envelopes[0].data, invite=invite)


def command(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bide_relay.main", *map(str, args)], capture_output=True, text=True, timeout=30
    )


def get(relay: RelayProcess, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection(relay.host, timeout=5)
    connection.request(method, path)
    response = connection.getresponse()
    return response.status, response.read().decode()


# HTTP


def test_healthz(relay: RelayProcess) -> None:
    """A bare answer for whoever watches; everything else is no page."""
    assert get(relay, "/healthz") == (200, "ok\n")
    assert get(relay, "/")[0] == 426
    assert get(relay, "/metrics")[0] == 404
    assert get(relay, "/healthz/..")[0] == 404


def test_bytes_that_are_no_http(relay: RelayProcess) -> None:
    """Garbage on the socket costs the connection only."""
    for garbage in (
        os.urandom(500),
        b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 100_000,
        b"POST / HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection(relay.host.split(":")) as raw:  # type: ignore[arg-type]
            raw.settimeout(7)
            raw.sendall(garbage + b"\r\n\r\n")
            while True:
                try:
                    if not raw.recv(4096):
                        break
                except ConnectionError:
                    break
    assert get(relay, "/healthz")[0] == 200


# Limits


async def test_those_who_say_nothing_are_cut_off(tmp_path: Path) -> None:
    """After connecting, after the upgrade, after unknown_space, after the welcome."""
    flags = ("--registration", "open", "--auth-timeout-s", "1.5", "--open-timeout-s", "1.5")
    async with RelayProcess(tmp_path / "data", *flags) as relay:
        reader, writer = await asyncio.open_connection(*relay.host.split(":"))
        silent = await WireClient.connect(relay.url)
        space = own_space()
        registering = await WireClient.connect(relay.url)
        await registering.prove(space=space.id, device=space.founder.device_id, signing_seed=space.founder.keys.signing_seed)
        await registering.expect_error("unknown_space")
        other = own_space()
        wanting, _ = await join(relay, other, other.founder)
        async with asyncio.timeout(20):
            assert await reader.read() == b""
            for client in (silent, registering, wanting):
                error = await client.expect_error("remote_protocol")
                assert error.fatal
                with pytest.raises(ConnectionClosed):
                    await client.ws.recv()
        writer.close()
        assert relay.alive()


async def test_connections_are_limited_with_a_reason(tmp_path: Path) -> None:
    """In all, by those who haven't said who they are, and by address; who leaves makes room."""
    flags = ("--connections-unauthenticated-max", "3", "--connections-per-ip-max", "2", "--limit-loopback")
    async with RelayProcess(tmp_path / "data", *flags) as relay:
        one, two = [await WireClient.connect(relay.url) for _ in range(2)]
        three = await WireClient.connect(relay.url)
        error = await three.expect_error("too_many_connections")
        assert error.retry_after_ms > 0
        await one.close()
        four = await let_in(relay)
        await two.close()
        await four.close()


async def let_in(relay: RelayProcess) -> WireClient:
    """Connect as soon as there is room: whoever has just left is counted a moment longer."""
    async with asyncio.timeout(10):
        while True:
            client = await WireClient.connect(relay.url)
            try:
                error = await client.expect(Error, 0.2)
            except TimeoutError:
                return client
            assert error.code == "too_many_connections"


async def test_silent_connections_keep_nobody_out(tmp_path: Path) -> None:
    """Where they take every place, the oldest has to go at once, and hears why; those that said who they are stay."""
    flags = ("--registration", "open", "--connections-unauthenticated-max", "3")
    async with RelayProcess(tmp_path / "data", *flags) as relay:
        space = own_space()
        known, _ = await join(relay, space, space.founder)
        await known.want({space.founder.log_id: 1})
        await known.expect(CaughtUp)
        silent = [await WireClient.connect(relay.url) for _ in range(3)]
        other = own_space()
        for _ in range(2):
            late, _ = await join(relay, other, other.founder)
            await late.want({other.founder.log_id: 1})
            await late.expect(CaughtUp)
        error = await silent[0].expect_error("too_many_connections")
        assert error.fatal
        with pytest.raises(ConnectionClosed):
            await silent[0].ws.recv()
        with pytest.raises(TimeoutError):
            await silent[1].receive(0.2)
        await known.upload([space.write(space.founder).data])
        await known.expect(Stored)
        assert relay.alive()
        for client in (known, *silent):
            await client.close()


async def test_connecting_too_often(tmp_path: Path) -> None:
    """Ten a minute from one address."""
    async with RelayProcess(tmp_path / "data", "--limit-loopback") as relay:
        for _ in range(10):
            await (await WireClient.connect(relay.url)).close()
        eleventh = await WireClient.connect(relay.url)
        await eleventh.expect_error("rate_limited")


async def test_too_much_is_slowed_down_and_nothing_is_refused(tmp_path: Path) -> None:
    """Beyond the burst the relay reads at its rate."""
    flags = ("--registration", "open", "--frames-per-device-s", "50", "--frames-per-device-burst", "10")
    async with RelayProcess(tmp_path / "data", *flags) as relay:
        space = own_space()
        client, _ = await join(relay, space, space.founder)
        await client.want({space.founder.log_id: 1})
        await client.expect(CaughtUp)
        began_s = time.monotonic()
        for _ in range(40):
            await client.upload([space.write(space.founder).data])
        while True:
            frame = await client.expect(Stored)
            if frame.heads[0].seq == 41:
                break
        assert time.monotonic() - began_s > 0.5
        await client.close()


async def test_the_quota_is_refused_for_now(tmp_path: Path) -> None:
    """Not fatal: reading goes on, and the advice is to come back later."""
    async with RelayProcess(tmp_path / "data", "--registration", "open", "--space-entries-max", "3") as relay:
        space = own_space()
        client, _ = await join(relay, space, space.founder)
        await client.want({space.founder.log_id: 1})
        await client.expect(CaughtUp)
        for _ in range(4):
            space.write(space.founder)
        await client.upload([e.data for e in space.envelopes[1:]])
        assert (await client.expect(Stored)).heads[0].seq == 3
        error = await client.expect(Error)
        assert (error.code, error.fatal, error.retry_after_ms > 0) == ("quota", False, True)
        await client.upload([space.envelopes[1].data])
        assert (await client.expect(Stored)).heads[0].seq == 2
        await client.close()


async def test_little_disk_refuses_writes_and_serves_reads(tmp_path: Path) -> None:
    """With a retry-after, for uploads and for new spaces."""
    space = own_space()
    space.write(space.founder)
    data = tmp_path / "data"
    async with RelayProcess(data, "--registration", "open") as relay:
        client, _ = await join(relay, space, space.founder)
        await client.close()
    async with RelayProcess(data, "--registration", "open", "--disk-free-bytes-min", str(2**60)) as relay:
        client, welcome = await join(relay, space, space.founder)
        assert [h.seq for h in welcome.heads] == [1]
        await client.want()
        assert len(await client.receive()) == 1
        await client.expect(CaughtUp)
        await client.upload([space.envelopes[1].data])
        error = await client.expect_error("disk_low")
        assert (error.fatal, error.retry_after_ms > 0) == (False, True)
        await client.close()
        other = own_space()
        founding = await WireClient.connect(relay.url)
        await founding.prove(space=other.id, device=other.founder.device_id, signing_seed=other.founder.keys.signing_seed)
        await founding.expect_error("unknown_space")
        await founding.send(Register("", other.envelopes[0].data))
        assert (await founding.expect_error("disk_low")).retry_after_ms > 0
        await founding.close()


# Registration


async def test_registration_by_invite(tmp_path: Path) -> None:
    """The default: nobody without a token; a token made while the relay runs admits its number of spaces."""
    async with RelayProcess(tmp_path / "data") as relay:

        async def register(space: SpaceBuilder, invite: str) -> str:
            client = await WireClient.connect(relay.url)
            try:
                await client.prove(space=space.id, device=space.founder.device_id, signing_seed=space.founder.keys.signing_seed)
                await client.expect_error("unknown_space")
                await client.send(Register(invite, space.envelopes[0].data))
                frame = await client.receive()
                return frame.code if isinstance(frame, Error) else type(frame).__name__
            finally:
                await client.close()

        spaces = [own_space() for _ in range(3)]
        assert await register(spaces[0], "") == "invite_required"
        assert await register(spaces[0], "made-up") == "invite_spent"
        made = await asyncio.to_thread(command, "invite", "--data", relay.data, "--spaces", "2")
        assert made.returncode == 0
        token = made.stdout.strip()
        assert [await register(space, token) for space in spaces] == ["Welcome", "Welcome", "invite_spent"]
        stored = b"".join(path.read_bytes() for path in relay.data.iterdir())
        assert token.encode() not in stored


# Stopping and dying


async def test_sigterm_stores_what_is_under_way_and_says_goodbye(tmp_path: Path) -> None:
    """Acknowledged or not, a stop loses nothing that was submitted; 1001, exit code 0, and a clean file."""
    async with RelayProcess(tmp_path / "data", "--registration", "open") as relay:
        space = own_space()
        client, _ = await join(relay, space, space.founder)
        await client.want({space.founder.log_id: 1})
        await client.expect(CaughtUp)
        idle = await WireClient.connect(relay.url)
        for _ in range(50):
            space.write(space.founder)
        await client.upload([e.data for e in space.envelopes[1:]])
        await client.expect(Stored)
        assert await asyncio.to_thread(relay.stop, signal.SIGTERM) == 0
        await client.expect_error("shutting_down")
        for ws in (client.ws, idle.ws):
            with pytest.raises(ConnectionClosed) as closed:
                await ws.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
        assert sorted(path.name for path in relay.data.iterdir()) == ["relay.db", "relay.lock"]
        assert not any(space.id.hex() in text or "127.0.0.1" in text for text in relay.log.splitlines())


async def test_sigint_with_a_stalled_client_ends_too(tmp_path: Path) -> None:
    """Somebody who reads nothing can't hold up a stop."""
    flags = ("--registration", "open", "--close-timeout-s", "0.5")
    async with RelayProcess(tmp_path / "data", *flags) as relay:
        space = own_space()
        client, _ = await join(relay, space, space.founder)
        client.ws.transport.pause_reading()
        began_s = time.monotonic()
        assert await asyncio.to_thread(relay.stop, signal.SIGINT) == 0
        assert time.monotonic() - began_s < 5


async def kill_campaign(relay: RelayProcess, *, kills: int, seed: int) -> int:
    """Write, and kill -9 right after an acknowledgement, again and again; returns how much was acknowledged.

    Raises:
        AssertionError: something that was acknowledged is not there, or not what it was.
    """
    space = own_space()
    sam = space.founder
    chance = random.Random(seed)
    acknowledged = 1
    for _ in range(kills):
        await asyncio.to_thread(relay.start)
        client, welcome = await join(relay, space, sam)
        ((_, seq, digest),) = welcome.heads
        assert seq >= acknowledged, "an acknowledged entry is gone"
        assert space.envelopes[seq - 1].hash == digest
        await client.want({sam.log_id: len(space.envelopes)})
        await client.upload([e.data for e in space.envelopes[seq:]])
        writing = asyncio.create_task(write_on(client, space))
        kill_at = chance.randint(1, 60)
        while kill_at > 0:
            frame = await client.receive()
            if isinstance(frame, Stored):
                acknowledged = frame.heads[0].seq
                assert frame.heads[0].hash == space.envelopes[acknowledged - 1].hash
                kill_at -= 1
        relay.kill()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        client.ws.transport.abort()
    return acknowledged


async def write_on(client: WireClient, space: SpaceBuilder) -> None:
    """Upload one change after another, without waiting for anything."""
    while True:
        await client.upload([space.write(space.founder).data])
        await asyncio.sleep(0)


UNTHROTTLED = ("--registration", "open", "--frames-per-device-s", "100000", "--frames-per-device-burst", "100000")


async def test_kill_after_acknowledgement_loses_nothing(tmp_path: Path) -> None:
    """Whatever was acknowledged before a kill -9 is there after the restart, at exactly that hash."""
    relay = RelayProcess(tmp_path / "data", *UNTHROTTLED)
    assert await kill_campaign(relay, kills=KILLS, seed=7) > KILLS
    checked = await asyncio.to_thread(command, "check", "--data", relay.data)
    assert (checked.returncode, checked.stdout.startswith("All is well")) == (0, True), checked.stderr


async def test_the_kill_campaign_can_fail(tmp_path: Path) -> None:
    """The control: a relay that acknowledges before its commit is found out."""
    forgetful = str(Path(__file__).with_name("forgetful_relay.py"))
    relay = RelayProcess(tmp_path / "data", *UNTHROTTLED, program=[sys.executable, forgetful])
    with pytest.raises(AssertionError, match="an acknowledged entry is gone"):
        await kill_campaign(relay, kills=KILLS, seed=7)
    relay.kill()  # the campaign ended while it ran


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace, to let a sync fail")
async def test_a_failed_sync_ends_the_process_without_an_acknowledgement(tmp_path: Path) -> None:
    """After an I/O error nobody knows what is on the disk: no promise, no second try, exit code 70; a restart is clean."""
    data = tmp_path / "data"
    space = own_space()
    async with RelayProcess(data, *UNTHROTTLED) as relay:
        client, _ = await join(relay, space, space.founder)
        await client.close()
    inject = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=3+"]
    broken = RelayProcess(data, *UNTHROTTLED, program=[*inject, sys.executable, "-m", "bide_relay.main"])
    try:
        await asyncio.to_thread(broken.start)
    except BideError:
        pytest.skip("strace may not trace here")
    client, _ = await join(broken, space, space.founder)
    await client.want({space.founder.log_id: 1})
    await client.expect(CaughtUp)
    acknowledged = 1
    try:
        while acknowledged < 11:
            await client.upload([space.write(space.founder).data])
            acknowledged = (await client.expect(Stored)).heads[0].seq
    except ConnectionClosed:
        pass
    assert await asyncio.to_thread(broken.wait) == 70
    assert acknowledged < 11
    async with RelayProcess(data, *UNTHROTTLED) as relay:
        client, welcome = await join(relay, space, space.founder)
        assert welcome.heads[0].seq >= acknowledged
        await client.close()


# Starting


def test_two_relays_on_one_folder(relay: RelayProcess) -> None:
    """The second one says so and ends."""
    second = command("serve", "--listen", "127.0.0.1:0", "--data", relay.data)
    assert second.returncode == 1
    assert second.stderr.strip().endswith("Another relay is running on that data folder.")
    assert relay.alive()


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--listen", "0.0.0.0:0"], 2, "Without TLS"),
        (["--listen", "nonsense"], 2, "is not HOST:PORT"),
        (["--listen", "127.0.0.1:99999"], 2, "is not HOST:PORT"),
        (["--listen", "::1:80"], 2, "is not HOST:PORT"),
        (["--connections-max", "0"], 2, "connections_max"),
        (["--config", "/nowhere.toml"], 2, "config file"),
        (["--listen", "203.0.113.1:0", "--behind-proxy"], 1, "can't listen"),
        (["--tls-cert", __file__], 2, "go together"),
        (["--tls-cert", __file__, "--tls-key", __file__], 2, "certificate"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_line_is_one_sentence(tmp_path: Path, args: list[str], code: int, words: str) -> None:
    """On stderr, with exit code 2, or 1 where the line was right and the world is not."""
    done = command("serve", "--data", tmp_path / "data", *args)
    lines = done.stderr.strip().splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (code, "", 1), done.stderr
    assert words in lines[0]


async def test_tls(tmp_path: Path) -> None:
    """With a certificate it speaks wss, and may listen anywhere."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = await asyncio.to_thread(
        subprocess.run, [*request, *names, "-keyout", str(key), "-out", str(cert)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("no openssl here to make a certificate with")
    flags = ("--tls-cert", str(cert), "--tls-key", str(key))
    async with RelayProcess(tmp_path / "data", *flags, listen="0.0.0.0:0") as relay:
        assert relay.url.startswith("wss://0.0.0.0:")
        context = ssl.create_default_context(cafile=str(cert))
        async with ws_connect(f"wss://localhost:{relay.url.rpartition(':')[2]}", ssl=context, compression=None) as ws:
            assert type(decode_frame(await ws.recv(decode=False))).__name__ == "Hello"


async def test_behind_a_proxy_the_configured_name_counts(tmp_path: Path) -> None:
    """With --host, a proof must be for that name, whatever the Host header says."""
    flags = ("--registration", "open", "--host", "relay.example.org")
    async with RelayProcess(tmp_path / "data", *flags) as relay:
        space = own_space()
        with pytest.raises(AssertionError, match="remote_protocol"):
            await join(relay, space, space.founder)
        client = await WireClient.connect(relay.url)
        client.host = "relay.example.org"
        await client.prove(space=space.id, device=space.founder.device_id, signing_seed=space.founder.keys.signing_seed)
        await client.welcome(genesis=space.envelopes[0].data)
        await client.close()


async def test_a_trusted_proxy_names_the_address(tmp_path: Path) -> None:
    """Limits hold for the address that the proxy saw, not for the proxy's; what a client makes up doesn't count."""
    flags = ("--trusted-proxy", "127.0.0.1", "--connections-per-ip-max", "1")
    async with RelayProcess(tmp_path / "data", *flags) as relay:

        async def first_two(forwarded: str) -> list[str]:
            async with ws_connect(relay.url, compression=None, additional_headers={"X-Forwarded-For": forwarded}) as ws:
                frames = [decode_frame(await ws.recv(decode=False))]
                try:
                    async with asyncio.timeout(2):
                        frames.append(decode_frame(await ws.recv(decode=False)))
                except TimeoutError:
                    pass
                return [frame.code if isinstance(frame, Error) else type(frame).__name__ for frame in frames]

        one, two, three = await asyncio.gather(first_two("192.0.2.1"), first_two("10.0.0.1, 192.0.2.1"), first_two("192.0.2.2"))
        assert sorted([one, two]) == [["Hello"], ["Hello", "too_many_connections"]]
        assert three == ["Hello"]


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    """Untouched, with one sentence."""
    SqliteStorage(tmp_path).close()
    connection = apsw.Connection(str(tmp_path / "relay.db"))
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    before = (tmp_path / "relay.db").read_bytes()
    for args in (["serve", "--listen", "127.0.0.1:0"], ["check"], ["status"], ["invite"]):
        done = command(*args, "--data", tmp_path)
        assert done.returncode == 1
        assert "newer bide-relay" in done.stderr
    assert (tmp_path / "relay.db").read_bytes() == before


# Admin


async def test_status_and_check_while_the_relay_runs(tmp_path: Path) -> None:
    """Counts, and a whole verification, without stopping anything."""
    async with RelayProcess(tmp_path / "data", "--registration", "open") as relay:
        space = own_space()
        space.write(space.founder)
        client, _ = await join(relay, space, space.founder)
        await client.want({space.founder.log_id: 1})
        await client.expect(CaughtUp)
        await client.upload([space.envelopes[1].data])
        await client.expect(Stored)
        status = await asyncio.to_thread(command, "status", "--data", relay.data)
        assert status.stdout.splitlines()[:2] == ["spaces 1", "entries 2"]
        check = await asyncio.to_thread(command, "check", "--data", relay.data)
        assert (check.returncode, check.stdout) == (0, "All is well: 1 space, 2 entries.\n")
        await client.upload([space.write(space.founder).data])
        await client.expect(Stored)
        await client.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE envelopes SET data = CAST(substr(data, 1, length(data) - 8) || zeroblob(8) AS BLOB) WHERE seq = 3",
        "UPDATE envelopes SET data = CAST(substr(data, 1, 150) || zeroblob(8) || substr(data, 159) AS BLOB) WHERE seq = 5",
        "DELETE FROM envelopes WHERE seq = 3",
        "DELETE FROM envelopes WHERE seq = 5",
        "DELETE FROM envelopes WHERE seq = 1",
        "UPDATE logs SET hash = zeroblob(32)",
        "UPDATE logs SET seq = 4",
        "UPDATE envelopes SET class = 0",
    ],
    ids=["body", "signature", "hole", "end", "beginning", "head's hash", "head's number", "class"],
)
def test_check_finds_damage(tmp_path: Path, damage: str) -> None:
    """What SQLite takes for whole may still not be what was signed."""
    space = own_space()
    for _ in range(4):
        space.write(space.founder)
    storage = SqliteStorage(tmp_path)
    storage.found(space.id, space.envelopes[0], invite=None)
    storage.append([Batch(space.id, space.envelopes)])
    storage.close()
    assert command("check", "--data", tmp_path).returncode == 0
    connection = apsw.Connection(str(tmp_path / "relay.db"))
    connection.execute(damage)
    connection.close()
    done = command("check", "--data", tmp_path)
    assert done.returncode == 1
    # Which one it is, and what brings it back while a device has it.
    assert done.stdout.startswith("Space 1 is damaged: ")
    assert "0 spaces are whole, 1 is not." in done.stdout
    assert "bide-relay purge --damaged" in done.stderr


def test_check_asks_for_the_signatures_that_vouch(tmp_path: Path) -> None:
    """An entry amid a log was vouched for by a later one when it came, and still is: nothing is damaged."""
    space = own_space()
    for _ in range(4):
        space.write(space.founder)
    storage = SqliteStorage(tmp_path)
    storage.found(space.id, space.envelopes[0], invite=None)
    data = bytearray(space.envelopes[2].data)
    data[150] ^= 1
    storage.append([Batch(space.id, [space.envelopes[1], parse_envelope(bytes(data)), *space.envelopes[3:]])])
    storage.close()
    done = command("check", "--data", tmp_path)
    assert (done.returncode, done.stdout) == (0, "All is well: 1 space, 5 entries.\n")


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE notes (text TEXT)",
        "CREATE TABLE relay (one)",
        "CREATE TABLE relay (one); PRAGMA user_version = 1",
        "PRAGMA user_version = 1",
        "PRAGMA user_version = -1",
    ],
)
def test_another_programs_database_is_refused(tmp_path: Path, script: str) -> None:
    """Untouched, with one sentence, whatever its version says."""
    connection = apsw.Connection(str(tmp_path / "relay.db"))
    connection.execute(script)
    connection.close()
    before = (tmp_path / "relay.db").read_bytes()
    for args in (["serve", "--listen", "127.0.0.1:0"], ["check"], ["status"], ["invite"]):
        done = command(*args, "--data", tmp_path)
        assert (done.returncode, done.stdout, len(done.stderr.strip().splitlines())) == (1, "", 1), done.stderr
        assert "was not made by bide-relay" in done.stderr
    assert (tmp_path / "relay.db").read_bytes() == before


def test_a_database_that_fails_while_it_is_read_is_one_sentence(tmp_path: Path) -> None:
    """A part of it went missing after it was opened."""
    storage = SqliteStorage(tmp_path)
    connection = apsw.Connection(str(tmp_path / "relay.db"))
    connection.execute("DROP TABLE envelopes; DROP TABLE logs; DROP TABLE spaces")
    connection.close()
    for read in (storage.totals, storage.spaces, lambda: storage.header(SpaceId(bytes(16)), LogId(bytes(16)), 1)):
        with pytest.raises(StorageError, match="can't be read"):
            read()
    storage.close()


def test_admin_commands_make_no_database(tmp_path: Path) -> None:
    """A mistyped folder is an error, not a new relay."""
    for name in ("status", "check", "invite"):
        done = command(name, "--data", tmp_path / "typo")
        assert done.returncode == 1
        assert "no relay database" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_relay_that_does_not_start_says_why(tmp_path: Path) -> None:
    """The test tool's own seam: an error, not a hang."""
    (tmp_path / "data").write_text("a file")
    with pytest.raises(BideError, match="did not start"):
        RelayProcess(tmp_path / "data").start()


async def test_plain_http_to_a_websocket_path_and_back(relay: RelayProcess) -> None:
    """Any path upgrades, for proxies that keep one; a wrong upgrade doesn't."""
    async with ws_connect(relay.url + "/bide/", compression=None) as ws:
        assert type(decode_frame(await ws.recv(decode=False))).__name__ == "Hello"
    with pytest.raises(InvalidStatus):
        async with ws_connect(relay.url, compression=None, additional_headers={"Upgrade": "h2c"}):
            pass
