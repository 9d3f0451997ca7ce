"""Every limit is exceeded somewhere against a relay process: here is the list, and here are those that no other page has."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import connect as ws_connect
from websockets.exceptions import ConnectionClosed

from bide.ids import SystemRandomness
from bide.protocol.frames import CaughtUp, Envelopes, Error, MailboxClaim, MailboxClosed, Stored
from bide.testing import SpaceBuilder
from bide_relay.settings import Settings
from bide_relay.testing import RelayProcess, WireClient

HERE = Path(__file__).parent
SLOW = HERE / "slow_relay.py"
STALLED = "test_relay_attacks:test_a_reader_that_stalls_costs_one_buffer"

EXCEEDED = {
    "frame_bytes_before_auth_max": "test_relay_wire:test_oversized_frames",
    "frame_bytes_max": "test_relay_wire:test_oversized_frames",
    "batch_bytes_max": "test_relay_limits:test_batches_are_as_small_as_set",
    "batch_envelopes_max": "test_relay_limits:test_batches_are_as_small_as_set",
    "open_timeout_s": "test_relay_attacks:test_sockets_that_never_speak_are_cut_off",
    "auth_timeout_s": "test_relay_process:test_those_who_say_nothing_are_cut_off",
    "close_timeout_s": "test_relay_limits:test_who_does_not_take_the_goodbye_is_cut_off",
    "ping_interval_s": "test_relay_attacks:test_half_open_connections_are_found",
    "ping_timeout_s": "test_relay_attacks:test_half_open_connections_are_found",
    "provisional_timeout_s": "test_relay_wire:test_a_stranger_who_waits_is_refused_too",
    "stop_timeout_s": "test_relay_limits:test_a_stop_waits_no_longer_than_set",
    "connections_max": "test_relay_limits:test_connections_in_all",
    "connections_per_ip_max": "test_relay_process:test_connections_are_limited_with_a_reason",
    "connections_per_device_max": "test_relay_wire:test_the_oldest_of_a_device_s_connections_makes_way",
    "connections_unauthenticated_max": "test_relay_process:test_silent_connections_keep_nobody_out",
    "connects_per_ip_minute_max": "test_relay_process:test_connecting_too_often",
    "control_frames_minute_max": "test_relay_attacks:test_websocket_bombs",
    "frames_per_device_s": "test_relay_process:test_too_much_is_slowed_down_and_nothing_is_refused",
    "frames_per_device_burst": "test_relay_process:test_too_much_is_slowed_down_and_nothing_is_refused",
    "bytes_per_device_s": "test_relay_limits:test_too_many_bytes_are_slowed_down",
    "bytes_per_device_burst": "test_relay_limits:test_too_many_bytes_are_slowed_down",
    "uploads_in_flight_max": "test_relay_limits:test_what_waits_for_the_disk_is_bounded",
    "uploads_in_flight_bytes_max": "test_relay_limits:test_what_waits_for_the_disk_is_bounded",
    "receive_queue_frames_max": STALLED,
    "send_buffer_bytes": STALLED,
    "recent_bytes_per_space_max": STALLED,
    "space_bytes_max": "test_relay_limits:test_the_quota_of_bytes",
    "space_entries_max": "test_relay_process:test_the_quota_is_refused_for_now",
    "invite_spaces": "test_relay_process:test_registration_by_invite",
    "forgotten_days": "test_forgetting:test_so_long_a_forgotten_space_is_known_and_no_longer",
    "forgotten_max": "test_forgetting:test_so_many_forgotten_spaces_are_known_and_no_more",
    "disk_free_bytes_min": "test_relay_limits:test_a_disk_that_fills_up",
    "mailboxes_max": "test_relay_attacks:test_many_nameplates",
    "mailbox_expires_s": "test_relay_mailboxes:test_a_nameplate_expires",
    "mailbox_messages_max": "test_relay_mailboxes:test_the_protocol_holds_here_too",
    "mailbox_claims_per_ip_minute_max": "test_relay_mailboxes:test_claims_are_limited",
    "mailbox_claims_per_ip_hour_max": "test_relay_limits:test_claims_of_an_hour",
}
NO_LIMITS = {
    *("registration", "host", "trusted_proxy", "limit_loopback", "metrics_port", "log_interval_s"),
    *("commit_wait_ms", "commit_bytes_max"),  # how commits are cut; nobody is refused anything by them
}


def test_every_limit_has_a_test() -> None:
    """A new setting must be put on one of the two lists; and what the list names must be there."""
    assert set(Settings.model_fields) == set(EXCEEDED) | NO_LIMITS
    assert not set(EXCEEDED) & NO_LIMITS
    for name in set(EXCEEDED.values()):
        module, _, test = name.partition(":")
        tree = ast.parse((HERE / f"{module}.py").read_text(encoding="utf-8"))
        assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}, name


def own_space(entries: int = 0, *, size: int = 100) -> SpaceBuilder:
    space = SpaceBuilder.found("own", randomness=SystemRandomness())
    for _ in range(entries):
        space.write(space.founder, space.event(space.founder, change=os.urandom(size)))
    return space


async def sync(relay: RelayProcess, space: SpaceBuilder, *, have: int | None = None) -> WireClient:
    client = await WireClient.connect(relay.url)
    await client.prove(space=space.id, device=space.founder.device_id, signing_seed=space.founder.keys.signing_seed)
    await client.welcome(genesis=space.envelopes[0].data)
    await client.want({space.founder.log_id: len(space.envelopes) if have is None else have})
    return client


async def stored_up_to(client: WireClient, seq: int) -> None:
    while (await client.expect(Stored)).heads[0].seq < seq:
        pass


async def test_batches_are_as_small_as_set(tmp_path: Path) -> None:
    """By number and by bytes; an envelope that is larger by itself goes alone."""
    space = own_space(12, size=100)
    space.write(space.founder, space.event(space.founder, change=bytes(8000)))
    for flags, count_max, bytes_max in (
        (("--batch-envelopes-max", "5"), 5, 2**20),
        (("--batch-bytes-max", "4096"), 100, 4096),
    ):
        async with RelayProcess(tmp_path / flags[0], "--registration", "open", *flags) as relay:
            writer = await sync(relay, space)
            await writer.expect(CaughtUp)
            await writer.upload([e.data for e in space.envelopes[1:]])
            await stored_up_to(writer, 14)
            reader = await sync(relay, space, have=0)
            got: list[bytes] = []
            while len(got) < 14:
                batch = (await reader.expect(Envelopes)).envelopes
                assert len(batch) <= count_max
                assert len(batch) == 1 or sum(len(data) for data in batch) <= bytes_max
                got += batch
            assert got == [e.data for e in space.envelopes]
            await writer.close()
            await reader.close()


def open_files(relay: RelayProcess) -> int:
    folder = Path(f"/proc/{relay.pid}/fd")
    if not folder.exists():
        pytest.skip("open files are counted on Linux only")
    return len(list(folder.iterdir()))


async def test_who_does_not_take_the_goodbye_is_cut_off(tmp_path: Path) -> None:
    """One that reads nothing at all, and so answers no close either."""
    async with RelayProcess(tmp_path / "data", "--close-timeout-s", "0.5") as relay:
        await (await WireClient.connect(relay.url)).close()
        await asyncio.sleep(0.5)
        before = open_files(relay)
        ws = await ws_connect(relay.url, compression=None, ping_interval=None)
        await ws.recv()
        ws.transport.pause_reading()
        assert open_files(relay) > before
        await ws.send(b"\xc1")
        async with asyncio.timeout(4):
            while open_files(relay) > before:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        ws.transport.abort()


async def test_connections_in_all(tmp_path: Path) -> None:
    """One more is refused with advice, and one that goes makes room."""
    async with RelayProcess(tmp_path / "data", "--registration", "open", "--connections-max", "3") as relay:
        space = own_space()
        there = [await WireClient.connect(relay.url) for _ in range(2)]
        known = await sync(relay, space)
        await known.expect(CaughtUp)
        late = await WireClient.connect(relay.url)
        assert (await late.expect_error("too_many_connections")).retry_after_ms > 0
        await there[0].close()
        await late.close()
        await asyncio.sleep(0.2)
        other = own_space()
        again = await sync(relay, other)
        await again.expect(CaughtUp)
        for client in (known, again, there[1]):
            await client.close()


async def test_too_many_bytes_are_slowed_down(tmp_path: Path) -> None:
    """Beyond the burst the relay reads at its rate; nothing is refused."""
    flags = ("--registration", "open", "--bytes-per-device-s", "100000", "--bytes-per-device-burst", "50000")
    async with RelayProcess(tmp_path / "data", *flags) as relay:
        space = own_space(10, size=20_000)
        client = await sync(relay, space)
        await client.expect(CaughtUp)
        began_s = time.monotonic()
        for envelope in space.envelopes[1:]:
            await client.upload([envelope.data])
        await stored_up_to(client, 11)
        assert time.monotonic() - began_s > 1
        await client.close()


async def test_the_quota_of_bytes(tmp_path: Path) -> None:
    """What fits is stored, and the rest refused for now."""
    space = own_space(5, size=5_000)
    room = sum(len(e.data) for e in space.envelopes[:4])
    async with RelayProcess(tmp_path / "data", "--registration", "open", "--space-bytes-max", str(room)) as relay:
        client = await sync(relay, space)
        await client.expect(CaughtUp)
        await client.upload([e.data for e in space.envelopes[1:]])
        await stored_up_to(client, 4)
        error = await client.expect(Error)
        assert (error.code, error.fatal, error.retry_after_ms > 0) == ("quota", False, True)
        await client.close()


async def test_what_waits_for_the_disk_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow disk fills no memory: of one connection and of all together only so much waits, and all of it is stored."""
    monkeypatch.setenv("SLOW_S", "0.05")
    port = _free_port()
    flags = ("--registration", "open", "--metrics-port", str(port), "--uploads-in-flight-bytes-max", "100000")
    program = [sys.executable, str(SLOW)]
    async with RelayProcess(tmp_path / "data", *flags, program=program) as relay:
        seen = 0

        def in_flight() -> int:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
            return int(float(next(line for line in lines if line.startswith("bide_relay_uploads_in_flight")).split()[1]))

        async def watch() -> None:
            nonlocal seen
            while True:
                seen = max(seen, await asyncio.to_thread(in_flight))

        async def upload(space: SpaceBuilder) -> None:
            client = await sync(relay, space)
            await client.expect(CaughtUp)
            for envelope in space.envelopes[1:]:
                await client.upload([envelope.data])
            await stored_up_to(client, len(space.envelopes))
            await client.close()

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(upload(own_space(20, size=20_000)) for _ in range(4)))
        watching.cancel()
        assert 0 < seen <= 100_000


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_claims_of_an_hour(tmp_path: Path) -> None:
    """Those of a minute may be many; those of an hour are limited too."""
    flags = ("--limit-loopback", "--connects-per-ip-minute-max", "100", "--mailbox-claims-per-ip-minute-max", "50")
    async with RelayProcess(tmp_path / "data", *flags) as relay, AsyncExitStack() as stack:
        for number in range(21):
            client = await stack.enter_async_context(await WireClient.connect(relay.url))
            await client.send(MailboxClaim(999_999))
            if number < 20:
                assert (await client.expect(MailboxClosed)).reason == "unknown"
                await client.close()
        assert (await client.expect(Error)).code == "rate_limited"


async def test_a_stop_waits_no_longer_than_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs can't keep the process: it ends with 1, and acknowledged nothing that isn't there."""
    assert Settings().stop_timeout_s <= 10
    monkeypatch.setenv("SLOW_S", "100")
    space = own_space(1)
    data = tmp_path / "data"
    async with RelayProcess(
        data, "--registration", "open", "--stop-timeout-s", "1", program=[sys.executable, str(SLOW)]
    ) as relay:
        client = await sync(relay, space, have=1)
        await client.expect(CaughtUp)
        await client.upload([space.envelopes[1].data])
        await asyncio.sleep(0.3)
        began_s = time.monotonic()
        assert await asyncio.to_thread(relay.stop, signal.SIGTERM) == 1
        assert time.monotonic() - began_s < 9
        with contextlib.suppress(ConnectionClosed):
            while True:
                assert not isinstance(await client.receive(), Stored)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None:
        pytest.skip("no mount here")
    if subprocess.run([mount, "-t", "tmpfs", "-o", "size=24M", "tmpfs", folder], capture_output=True, check=False).returncode:
        pytest.skip("may not mount here")
    yield folder
    subprocess.run([umount, "-l", folder], check=True)


@pytest.mark.parametrize("guarded", [True, False], ids=["in time", "to the last byte"])
async def test_a_disk_that_fills_up(small_disk: Path, *, guarded: bool) -> None:
    """Writes are refused for now with room to spare, or without; reads go on; nothing acknowledged is lost; then it heals."""
    flags = (
        *("--registration", "open", "--disk-free-bytes-min", str(12 * 2**20) if guarded else "0"),
        *("--bytes-per-device-burst", str(2**30), "--frames-per-device-burst", "100000"),
    )
    space = own_space(1)
    relay = RelayProcess(small_disk / "data", *flags)
    async with relay:
        client = await sync(relay, space, have=1)
        await client.expect(CaughtUp)
        await client.upload([space.envelopes[1].data])
        await stored_up_to(client, 2)
        acknowledged = 2
        refusal: Error | None = None
        began_s = time.monotonic()
        while refusal is None:
            assert time.monotonic() - began_s < 60
            envelope = space.write(space.founder, space.event(space.founder, change=os.urandom(60_000)))
            await client.upload([envelope.data])
            frame = await client.receive()
            if isinstance(frame, Stored):
                acknowledged = frame.heads[0].seq
            else:
                assert isinstance(frame, Error)
                refusal = frame
        assert (refusal.code, refusal.fatal, refusal.retry_after_ms > 0) == ("disk_low", False, True)
        assert guarded == (shutil.disk_usage(small_disk).free > 2**20)
        reader = await sync(relay, space, have=0)
        got = 0
        while got < acknowledged:
            got += len((await reader.expect(Envelopes)).envelopes)
        await reader.close()
        subprocess.run(["mount", "-o", "remount,size=200M", small_disk], check=True)  # noqa: ASYNC221
        await asyncio.sleep(1.2)
        await client.upload([e.data for e in space.envelopes[acknowledged:]])
        await stored_up_to(client, len(space.envelopes))
        await client.close()
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "bide_relay.main", "check", "--data", str(relay.data)],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
