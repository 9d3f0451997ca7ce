"""Devices and a real relay process over real websockets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as ws_connect
from websockets.exceptions import ConnectionClosed

from bide.ids import SystemRandomness
from bide.protocol.codec import decode_frame, encode_frame
from bide.protocol.frames import CaughtUp, Envelopes, Error, Hello, Register, Stored, Want, Welcome
from bide.testing import Member, SpaceBuilder
from bide_relay.service import admit, found_space, load_state
from bide_relay.settings import Settings
from bide_relay.storage.memory import MemoryStorage
from bide_relay.testing import RelayProcess, WireClient

Connect = Callable[..., Awaitable[WireClient]]


def data(space: SpaceBuilder) -> list[bytes]:
    return [envelope.data for envelope in space.envelopes]


async def collect(client: WireClient, count: int) -> list[bytes]:
    """Envelopes until `count` have come; other frames are passed over."""
    found: list[bytes] = []
    while len(found) < count:
        frame = await client.receive()
        if isinstance(frame, Envelopes):
            found += frame.envelopes
        assert not isinstance(frame, Error), frame
    return found


async def acknowledged(client: WireClient, member: Member, seq: int) -> None:
    """Wait until the relay has acknowledged `member`'s log up to `seq`."""
    while True:
        frame = await client.receive()
        assert not isinstance(frame, Error), frame
        if isinstance(frame, Stored) and any(h.log_id == member.log_id and h.seq >= seq for h in frame.heads):
            return


async def close_code(ws: ClientConnection) -> int | None:
    """Read on until the relay hangs up; returns its close code."""
    async with asyncio.timeout(8):
        try:
            while True:
                await ws.recv()
        except ConnectionClosed as closed:
            return None if closed.rcvd is None else int(closed.rcvd.code)


async def gone(client: WireClient) -> None:
    """The relay hangs up."""
    assert await close_code(client.ws) == 1008


async def test_two_devices_exchange_live(space: SpaceBuilder, connect: Connect) -> None:
    """What one uploads reaches the other once, and is not sent back; both are caught up once."""
    sam, robin = space.members
    first = await connect(space, sam, have={sam.log_id: 2})
    assert isinstance(await first.receive(), CaughtUp)
    await first.upload([space.envelopes[1].data])
    assert isinstance(await first.receive(), Stored)

    second = await connect(space, robin)
    assert (await second.expect(Envelopes)).envelopes == data(space)
    await second.expect(CaughtUp)

    ours = space.write(sam)
    await first.upload([ours.data])
    assert (await first.expect(Stored)).heads == [(sam.log_id, 3, ours.hash)]
    assert (await second.expect(Envelopes)).envelopes == [ours.data]

    theirs = space.write(robin)
    await second.upload([theirs.data])
    assert (await second.expect(Stored)).heads == [(robin.log_id, 1, theirs.hash)]
    assert (await first.expect(Envelopes)).envelopes == [theirs.data]


async def test_a_new_device_catches_up_in_an_order_that_it_can_judge(connect: Connect) -> None:
    """Each envelope comes after the admission of its author and after what its control entry builds on."""
    space = SpaceBuilder.found("pair", randomness=SystemRandomness())
    sam = space.founder
    robin = space.join()
    for _ in range(600):
        space.write(robin)
    robin_two = space.add_device(robin)
    # This one names the entry of Robin's log before it as its parent, and stands in the log that is sent first.
    sam_two = space.add_device(sam)
    for member in (sam, robin, robin_two, sam_two) * 50:
        space.write(member)
    uploader = await connect(space, sam)
    await uploader.upload(data(space))
    await acknowledged(uploader, sam_two, 50)

    reader = await connect(space, sam_two)
    replica = await collect(reader, len(space.envelopes))
    await reader.expect(CaughtUp)
    assert sorted(replica) == sorted(data(space))
    # A relay judges strictly: whatever order it accepts, a client can follow.
    storage = MemoryStorage()
    settings = Settings(registration="open")
    found_space(storage, settings, space=space.id, genesis=replica[0], invite="")
    state = load_state(storage, space.id)
    assert state is not None
    admission = admit(state, replica[1:], settings=settings, header=lambda log, seq: None, is_bare=lambda log, seq: False)
    assert admission.refusal is None
    assert len(admission.envelopes) == len(replica) - 1


async def test_a_cut_connection_resumes_from_heads(space: SpaceBuilder, connect: Connect) -> None:
    """After a reconnect the welcome says exactly what is stored, and only what is missing is sent."""
    sam, robin = space.members
    for _ in range(20):
        space.write(sam)
    client = await connect(space, sam)
    await client.upload(data(space)[:10])
    await acknowledged(client, sam, 10)
    client.ws.transport.abort()

    again = await WireClient.connect(f"ws://{client.host}")
    await again.prove(space=space.id, device=robin.device_id, signing_seed=robin.keys.signing_seed)
    welcome = await again.welcome()
    assert [(h.log_id, h.seq, h.hash) for h in welcome.heads] == [(sam.log_id, 10, space.envelopes[9].hash)]
    await again.want({sam.log_id: 7})
    assert (await again.expect(Envelopes)).envelopes == data(space)[7:10]
    await again.expect(CaughtUp)
    await again.close()


async def test_uploading_again_is_acknowledged_and_changes_nothing(space: SpaceBuilder, connect: Connect) -> None:
    """Any member may refill a relay, with whatever is there already."""
    sam, robin = space.members
    space.write(sam)
    first = await connect(space, sam)
    await first.upload(data(space))
    await acknowledged(first, sam, 3)
    second = await connect(space, robin, have={sam.log_id: 3})
    await second.expect(CaughtUp)
    await second.upload(data(space))
    assert (await second.expect(Stored)).heads == [(sam.log_id, 3, space.envelopes[2].hash)]


async def test_a_provisional_device_uploads_its_admission_and_then_reads(space: SpaceBuilder, connect: Connect) -> None:
    """Someone who is no member of what is stored is told nothing, until what they bring makes them one."""
    sam, robin = space.members
    first = await connect(space, sam)
    await first.expect(Envelopes)
    await first.expect(CaughtUp)

    second = await WireClient.connect(f"ws://{first.host}")
    await second.prove(space=space.id, device=robin.device_id, signing_seed=robin.keys.signing_seed)
    welcome = await second.welcome()
    assert welcome.provisional
    assert welcome.heads == []
    await second.want()
    with pytest.raises(TimeoutError):
        await second.receive(0.3)
    mine = space.write(robin)
    await second.upload(data(space))
    await second.expect(Stored)
    await second.expect(CaughtUp)
    assert await collect(first, 2) == data(space)[1:]
    assert data(space)[-1] == mine.data
    ours = space.write(sam)
    await first.upload([ours.data])
    assert await collect(second, 1) == [ours.data]
    await second.close()


async def test_a_joiner_may_register_a_space_on_an_empty_relay(space: SpaceBuilder, connect: Connect) -> None:
    """A relay that lost its disk is refilled by whoever comes first."""
    robin = space.members[1]
    client = await connect(space, robin)
    await client.upload(data(space))
    assert isinstance(await client.receive(), Stored)


async def test_a_stranger_is_refused(space: SpaceBuilder, connect: Connect) -> None:
    """Bringing an envelope of one's own does not make one a member."""
    await connect(space, space.founder)
    other = SpaceBuilder.found("pair", randomness=SystemRandomness())
    stranger = await connect(space, other.founder)
    await stranger.upload([other.write(other.founder).data])
    error = await stranger.expect_error("not_a_member")
    assert error.fatal
    await gone(stranger)


async def test_a_stranger_who_waits_is_refused_too(tmp_path: Path, space: SpaceBuilder, connect: Connect) -> None:
    """Not being a member is not a place to stay in."""
    async with RelayProcess(tmp_path / "data", "--registration", "open", "--provisional-timeout-s", "0.3") as relay:
        await connect(space, space.founder, to=relay)
        other = SpaceBuilder.found("pair", randomness=SystemRandomness())
        stranger = await connect(space, other.founder, to=relay)
        await stranger.expect_error("not_a_member")
        await gone(stranger)


async def test_a_gap_a_fork_and_a_forgery_end_the_connection_and_change_nothing(space: SpaceBuilder, connect: Connect) -> None:
    """Each is refused with its code; a fork with its evidence; what was stored stays as it was."""
    sam, robin = space.members
    client = await connect(space, sam)
    await client.upload(data(space))
    await acknowledged(client, sam, 2)
    # Sam's device comes back from a backup and writes its third entry once more.
    other = space.seal(sam, b"other")
    stored = space.write(sam)
    await client.upload([stored.data])
    await acknowledged(client, sam, 3)
    forker = await connect(space, sam)
    await forker.upload([other.data])
    errors = [frame async for frame in errors_of(forker)]
    assert [(error.code, error.fatal, error.evidence) for error in errors] == [("fork", True, [stored.header])]

    missing, later = space.write(sam), space.write(sam)
    jumper = await connect(space, sam)
    await jumper.upload([later.data])
    assert [error.code async for error in errors_of(jumper)] == ["gap"]

    forged = bytearray(missing.data)
    forged[150] ^= 1
    altered = bytearray(missing.data)
    altered[-1] ^= 1
    for bad in (forged, altered):
        forger = await connect(space, sam)
        await forger.upload([bytes(bad)])
        assert [error.code async for error in errors_of(forger)] == ["envelope_rejected"]

    reader = await connect(space, robin)
    assert (await reader.expect(Envelopes)).envelopes == data(space)[:3]
    await reader.expect(CaughtUp)


async def errors_of(client: WireClient) -> AsyncIterator[Error]:
    """Every error until the relay hangs up."""
    try:
        while True:
            frame = await client.receive()
            if isinstance(frame, Error):
                yield frame
    except ConnectionClosed:
        return


async def test_another_space_s_envelope_is_refused(space: SpaceBuilder, connect: Connect) -> None:
    """An envelope is signed for its space, and its log belongs to its space."""
    other = SpaceBuilder.found("pair", randomness=SystemRandomness())
    client = await connect(space, space.founder)
    await client.upload([other.envelopes[0].data])
    assert [error.code async for error in errors_of(client)] == ["not_a_member"]


async def test_a_replayed_authentication_is_refused(relay: RelayProcess, space: SpaceBuilder) -> None:
    """A proof holds for the connection whose nonce it signs, and for no other."""
    member = space.founder
    client = await WireClient.connect(relay.url)
    client.session.authenticate(
        space=space.id, device=member.device_id, signing_seed=member.keys.signing_seed, host=client.host, nonce=os.urandom(32)
    )
    (proof,) = client.session.data_to_send()
    other = await WireClient.connect(relay.url)
    await other.ws.send(proof)
    assert (decode_frame(await other.ws.recv(decode=False))) == Error(
        "remote_protocol", "That authentication is not for this connection.", True, 0, []
    )
    await gone(other)
    await client.ws.send(proof)
    await client.expect_error("unknown_space")
    await client.close()


async def test_a_proof_for_another_host_is_refused(relay: RelayProcess, space: SpaceBuilder) -> None:
    """What a device signed for another relay's name is worth nothing here."""
    client = await WireClient.connect(relay.url)
    client.host = "elsewhere.example.org"
    await client.prove(space=space.id, device=space.founder.device_id, signing_seed=space.founder.keys.signing_seed)
    await client.expect_error("remote_protocol")
    await client.close()


async def test_registering_with_another_beginning_is_refused(
    relay: RelayProcess, space: SpaceBuilder, connect: Connect
) -> None:
    """Nobody can offer another beginning for a space, known or not."""
    other = SpaceBuilder.found("pair", randomness=SystemRandomness())
    client = await WireClient.connect(relay.url)
    await client.prove(space=space.id, device=space.founder.device_id, signing_seed=space.founder.keys.signing_seed)
    await client.expect_error("unknown_space")
    await client.send(Register("", other.envelopes[0].data))
    await client.expect_error("membership_rejected")
    await gone(client)


@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"\x00",
        b"\xc1",
        os.urandom(300),
        b"\x93\xa4auth\x01\x02",
        b"\x91\xa5hello",
        encode_frame(Want([])),
        encode_frame(CaughtUp()),
    ],
    ids=["empty", "zero", "reserved", "random", "wrong auth", "relay's own", "too early", "not a client's"],
)
async def test_garbage_before_authentication(relay: RelayProcess, garbage: bytes) -> None:
    """Anything that is no frame, or comes at the wrong time, is answered with an error and the end."""
    async with ws_connect(relay.url, compression=None) as ws:
        assert isinstance(decode_frame(await ws.recv(decode=False)), Hello)
        await ws.send(garbage)
        answer = decode_frame(await ws.recv(decode=False))
        assert isinstance(answer, Error)
        assert (answer.code, answer.fatal) == ("remote_protocol", True)
        with pytest.raises(ConnectionClosed):
            await ws.recv()


async def test_text_is_garbage_too(relay: RelayProcess) -> None:
    """Frames are binary."""
    async with ws_connect(relay.url, compression=None) as ws:
        await ws.recv()
        await ws.send("hello")
        assert isinstance(decode_frame(await ws.recv(decode=False)), Error)


async def test_garbage_while_syncing(space: SpaceBuilder, connect: Connect) -> None:
    """After authentication the same holds."""
    client = await connect(space, space.founder)
    await client.ws.send(os.urandom(2000))
    assert [error.code async for error in errors_of(client)] == ["remote_protocol"]


async def test_oversized_frames(relay: RelayProcess, space: SpaceBuilder, connect: Connect) -> None:
    """4 KiB before authentication, 320 KiB after: more closes the connection before it is read."""
    async with ws_connect(relay.url, compression=None) as ws:
        await ws.recv()
        await ws.send(bytes(4 * 1024 + 1))
        assert await close_code(ws) == 1009
    client = await connect(space, space.founder)
    await client.ws.send(bytes(320 * 1024 + 1))
    assert await close_code(client.ws) == 1009


async def test_a_slow_reader_blocks_nobody(space: SpaceBuilder, connect: Connect) -> None:
    """One that never reads costs the others nothing, and gets everything when it reads again."""
    sam, robin = space.members
    slow = await connect(space, robin)
    slow.ws.transport.pause_reading()
    writer = await connect(space, sam)
    reader = await connect(space, robin)
    big = os.urandom(60_000)
    await writer.upload([space.envelopes[1].data])
    for _ in range(100):
        space.write(sam, space.event(sam, change=big))
    await writer.upload(data(space)[2:])
    await acknowledged(writer, sam, 102)
    assert await collect(reader, 102) == data(space)
    slow.ws.transport.resume_reading()
    assert await collect(slow, 102) == data(space)


async def test_the_oldest_of_a_device_s_connections_makes_way(space: SpaceBuilder, connect: Connect) -> None:
    """A third connection of a device closes its first: after a change of network that one is dead."""
    sam = space.founder
    first, second, third = [await connect(space, sam) for _ in range(3)]
    assert [error.code async for error in errors_of(first)] == ["too_many_connections"]
    for client in (second, third):
        await client.upload([space.envelopes[1].data])
        await acknowledged(client, sam, 2)


async def test_heads_are_for_members(space: SpaceBuilder, connect: Connect, relay: RelayProcess) -> None:
    """A member's welcome holds every log; it is not provisional."""
    sam, robin = space.members
    space.write(robin)
    client = await connect(space, sam)
    await client.upload(data(space))
    await acknowledged(client, robin, 1)
    other = await WireClient.connect(relay.url)
    await other.prove(space=space.id, device=robin.device_id, signing_seed=robin.keys.signing_seed)
    welcome = await other.expect(Welcome)
    assert not welcome.provisional
    assert {(h.log_id, h.seq, h.hash) for h in welcome.heads} == set(space.heads())
    await other.close()


async def test_who_goes_on_sending_hears_why_it_is_refused(space: SpaceBuilder, connect: Connect) -> None:
    """The acknowledgement of what was stored and the reason for the rest come, however much is on its way already."""
    sam = space.founder
    for _ in range(20):
        space.write(sam)
    client = await connect(space, sam, have={sam.log_id: sam.head.seq})
    await client.expect(CaughtUp)
    client.session.send(Envelopes([*data(space)[1:5], data(space)[6]]))
    for envelope in data(space)[7:] * 20:
        client.session.send(Envelopes([envelope]))
    sending = asyncio.create_task(client.flush())
    await acknowledged(client, sam, 5)
    await client.expect_error("gap")
    await gone(client)
    await asyncio.gather(sending, return_exceptions=True)
