"""`forget`: a space goes from a relay when everybody in it has said so, and not before. On the wire, with a real relay."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path

import pytest

from bide.ids import SystemRandomness
from bide.protocol.frames import FORGOTTEN_DAYS, CaughtUp, Envelopes, Error, Forget, Forgotten, Register, Stored, Welcome
from bide.testing import Member, SpaceBuilder
from bide_relay.testing import RelayProcess, WireClient

from .conftest import Connect


async def everything_sent(client: WireClient) -> None:
    """Read until the relay says that this was all."""
    while not isinstance(await client.receive(), CaughtUp):
        pass


async def ask(client: WireClient) -> bool:
    """Ask to forget; whether the space is gone."""
    await client.send(Forget())
    while not isinstance(frame := await client.receive(), Forgotten):
        assert isinstance(frame, Envelopes | Stored | CaughtUp), frame
    return frame.gone


async def knock(relay: RelayProcess, space: SpaceBuilder, member: Member) -> WireClient:
    client = await WireClient.connect(relay.url)
    await client.prove(space=space.id, device=member.device_id, signing_seed=member.keys.signing_seed)
    return client


async def answers(relay: RelayProcess, space: SpaceBuilder, code: str) -> None:
    """See to it that the relay answers so, or comes to: what it knows for too long goes soon after its start."""
    for _ in range(50):
        client = await knock(relay, space, space.founder)
        answer = await client.expect(Error)
        await client.close()
        if answer.code == code:
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"the answer stays {answer.code}")


async def filled(connect: Connect, space: SpaceBuilder, entries: int = 20) -> tuple[WireClient, WireClient]:
    """Both people connected, the relay holding everything."""
    for _ in range(entries):
        space.write(space.founder)
    sam = await connect(space, space.founder, have={m.log_id: 99 for m in space.members})
    await sam.upload([envelope.data for envelope in space.envelopes[1:]])
    while not isinstance(await sam.receive(), Stored):
        pass
    robin = await connect(space, space.members[1], have={m.log_id: 99 for m in space.members})
    await everything_sent(robin)
    return sam, robin


async def test_the_relay_says_that_it_can_forget(relay: RelayProcess) -> None:
    """A client asks no relay that doesn't: an older one would take the frame for a breach of the protocol."""
    client = await WireClient.connect(relay.url)
    assert client.session.hello is not None
    assert client.session.hello.limits[FORGOTTEN_DAYS] == 400
    await client.close()


async def test_one_person_alone_deletes_nothing(relay: RelayProcess, connect: Connect, space: SpaceBuilder) -> None:
    """However often, and from a second device as well: the other has everything still."""
    await filled(connect, space)
    phone = space.add_device(space.founder)
    for member in (space.founder, space.founder, phone):
        client = await connect(space, member, have={m.log_id: 99 for m in space.members})
        await client.upload([envelope.data for envelope in space.envelopes[1:]])
        assert await ask(client) is False
    robin = await connect(space, space.members[1])
    got = 0
    while not isinstance(frame := await robin.receive(), CaughtUp):
        assert isinstance(frame, Envelopes)
        got += len(frame.envelopes)
    assert got == len(space.envelopes)


async def test_when_both_have_asked_it_is_gone(relay: RelayProcess, connect: Connect, space: SpaceBuilder) -> None:
    """Who is connected is sent away, who comes later is told, and only who means to begins it anew."""
    sam, robin = await filled(connect, space)
    assert await ask(sam) is False
    assert await ask(robin) is True
    for client in (sam, robin):
        assert (await client.expect_error("forgotten")).fatal
    late = await knock(relay, space, space.founder)
    assert not (await late.expect_error("forgotten")).fatal
    await late.close()
    anew = await knock(relay, space, space.founder)
    assert isinstance(await anew.receive(), Error)
    await anew.send(Register("", space.envelopes[0].data))
    assert [head.seq for head in (await anew.expect(Welcome)).heads] == [1]
    await anew.close()


@pytest.mark.parametrize("restarted", [False, True])
async def test_who_is_there_again_wishes_it_no_more(
    relay: RelayProcess, connect: Connect, space: SpaceBuilder, restarted: bool
) -> None:
    """Sam asked and came back with another device: what Robin asks afterwards deletes nothing, until Sam asks again."""
    sam, robin = await filled(connect, space)
    phone = space.add_device(space.founder)
    await sam.upload([envelope.data for envelope in space.envelopes[-1:]])
    assert await ask(sam) is False
    if restarted:
        relay.stop()
        relay.start()
        robin = await connect(space, space.members[1], have={m.log_id: 99 for m in space.members})
    back = await connect(space, phone, have={m.log_id: 99 for m in space.members})
    await everything_sent(back)
    assert await ask(robin) is False
    assert await ask(back) is True


async def test_what_comes_while_it_goes_is_refused(relay: RelayProcess, connect: Connect, space: SpaceBuilder) -> None:
    """A batch that was on its way when the space went is stored nowhere, and the relay goes on with others."""
    sam, robin = await filled(connect, space)
    other = SpaceBuilder.found("own", randomness=SystemRandomness())
    writer = await connect(other, other.founder)
    assert await ask(sam) is False
    await robin.send(Forget())
    late = [space.write(space.founder).data for _ in range(3)]
    await sam.upload(late)
    await writer.upload([other.write(other.founder).data])
    while not isinstance(frame := await sam.receive(), Error):
        assert isinstance(frame, Stored), frame  # it came before the wish of the other
    assert frame.code == "forgotten"
    while not isinstance(await writer.receive(), Stored):
        pass


async def test_a_wish_is_taken_once_in_a_connection(connect: Connect, space: SpaceBuilder) -> None:
    """Each is a commit: whoever sends more of them has to connect as often, and that is limited."""
    sam, _ = await filled(connect, space)
    assert await ask(sam) is False
    await sam.send(Forget())
    assert (await sam.expect_error("rate_limited")).fatal


async def test_a_stranger_has_no_wishes(relay: RelayProcess, connect: Connect, space: SpaceBuilder) -> None:
    """A key that is no member's, and one that is a member's no more."""
    sam, _ = await filled(connect, space)
    stranger = SpaceBuilder.found("own", randomness=SystemRandomness()).founder
    client = await knock(relay, space, stranger)
    assert (await client.welcome()).provisional
    await client.want()
    await client.send(Forget())
    await client.expect_error("not_a_member")
    await client.close()
    assert await ask(sam) is False


@pytest.mark.parametrize("number", [15, 9])
async def test_what_was_answered_holds_whatever_becomes_of_the_relay(tmp_path: Path, space: SpaceBuilder, number: int) -> None:
    """Stopped or killed right after the answer: the next start deletes what is left."""
    relay = RelayProcess(tmp_path / "data", "--registration", "open").start()
    for _ in range(2000):
        space.write(space.founder)
    clients: list[WireClient] = []
    for member in space.members:
        client = await knock(relay, space, member)
        await client.welcome(genesis=space.envelopes[0].data)
        await client.want({m.log_id: 9999 for m in space.members})
        if not clients:
            await client.upload([envelope.data for envelope in space.envelopes[1:]])
            seq = 0
            while seq < 2002:
                frame = await client.receive()
                seq = max([seq, *(head.seq for head in frame.heads)]) if isinstance(frame, Stored) else seq
        clients.append(client)
    assert [await ask(client) for client in clients] == [False, True]
    for client in clients:
        await client.close()
    relay.stop(number)
    relay.start()
    late = await knock(relay, space, space.founder)
    await late.expect_error("forgotten")
    await late.close()
    relay.stop()
    with sqlite3.connect(tmp_path / "data" / "relay.db") as db:
        counts = [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("spaces", "logs", "moved_on")]
        assert counts == [0, 0, 0]
    # A stop may come before the last piece is deleted; it takes a few starts at most.
    for _ in range(6):
        with sqlite3.connect(tmp_path / "data" / "relay.db") as db:
            if db.execute("SELECT swept FROM forgotten").fetchone()[0]:
                break
        relay.start().stop()
    assert space.envelopes[-1].data[204:260] not in (tmp_path / "data" / "relay.db").read_bytes()
    assert "Traceback" not in relay.log


async def test_who_asks_while_the_relay_reads_from_its_disk_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read is gone by then, and what there is to say since must not wait for the connection to be cut off."""
    monkeypatch.setenv("SLOW_READ_S", "0.3")
    slow = [sys.executable, str(Path(__file__).with_name("slow_relay.py"))]
    async with RelayProcess(tmp_path / "data", "--registration", "open", program=slow) as relay:
        space = SpaceBuilder.found("own", randomness=SystemRandomness())
        client = await knock(relay, space, space.founder)
        await client.welcome(genesis=space.envelopes[0].data)
        await client.want()
        assert await ask(client) is True
        await client.expect_error("forgotten")


async def test_so_many_forgotten_spaces_are_known_and_no_more(tmp_path: Path) -> None:
    """Beyond it the oldest is as unknown as if it had never been."""
    spaces = [SpaceBuilder.found("own", randomness=SystemRandomness()) for _ in range(2)]
    async with RelayProcess(tmp_path / "data", "--registration", "open") as relay:
        for space in spaces:
            client = await knock(relay, space, space.founder)
            await client.welcome(genesis=space.envelopes[0].data)
            await client.want()
            assert await ask(client) is True
            await client.close()
    with sqlite3.connect(tmp_path / "data" / "relay.db") as db:
        db.execute("UPDATE forgotten SET day = day - 1 WHERE space_id = ?", (spaces[0].id,))
    async with RelayProcess(tmp_path / "data", "--registration", "open", "--forgotten-max", "1") as relay:
        for space, code in zip(spaces, ("unknown_space", "forgotten"), strict=True):
            await answers(relay, space, code)


async def test_so_long_a_forgotten_space_is_known_and_no_longer(tmp_path: Path) -> None:
    """By days: after that it may begin anew without anybody meaning it."""
    space = SpaceBuilder.found("own", randomness=SystemRandomness())
    relay = RelayProcess(tmp_path / "data", "--registration", "open", "--forgotten-days", "30").start()
    client = await knock(relay, space, space.founder)
    await client.welcome(genesis=space.envelopes[0].data)
    await client.want()
    assert await ask(client) is True
    await client.close()
    for days, code in ((29, "forgotten"), (2, "unknown_space")):
        relay.stop()
        with sqlite3.connect(tmp_path / "data" / "relay.db") as db:
            db.execute("UPDATE forgotten SET day = day - ?", (days,))
        relay.start()
        await answers(relay, space, code)
    relay.stop()
