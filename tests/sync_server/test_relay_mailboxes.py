"""Pairing mailboxes on a real relay: brought together once, handed on, and gone."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from bide.protocol.frames import Error, MailboxClaim, MailboxClosed, MailboxMessage, MailboxOpen, MailboxOpened, MailboxReady
from bide_relay.limits import Gate
from bide_relay.mailboxes import Mailboxes
from bide_relay.settings import Settings
from bide_relay.testing import RelayProcess, WireClient


class Pairing:
    """Opens connections that are closed at the end of the test."""

    def __init__(self, relay: RelayProcess, stack: AsyncExitStack) -> None:
        self.relay = relay
        self.stack = stack

    async def connect(self) -> WireClient:
        return await self.stack.enter_async_context(await WireClient.connect(self.relay.url))

    async def open(self) -> tuple[WireClient, int]:
        client = await self.connect()
        await client.send(MailboxOpen())
        opened = await client.expect(MailboxOpened)
        return client, opened.nameplate

    async def claim(self, nameplate: int) -> WireClient:
        client = await self.connect()
        await client.send(MailboxClaim(nameplate))
        return client

    async def both(self) -> tuple[WireClient, WireClient]:
        opener, nameplate = await self.open()
        claimer = await self.claim(nameplate)
        await opener.expect(MailboxReady)
        await claimer.expect(MailboxReady)
        return opener, claimer


@pytest.fixture
async def pairing(relay: RelayProcess) -> AsyncIterator[Pairing]:
    async with AsyncExitStack() as stack:
        yield Pairing(relay, stack)


async def closed(client: WireClient, reason: str) -> None:
    """The pairing ends for this reason, and the relay hangs up."""
    assert (await client.expect(MailboxClosed)).reason == reason
    with pytest.raises(ConnectionClosed):
        await client.ws.recv()


async def test_messages_go_both_ways_and_the_end_is_passed_on(pairing: Pairing) -> None:
    """In order, as they are; who closes says why."""
    opener, claimer = await pairing.both()
    sent = [MailboxMessage(os.urandom(size)) for size in (1, 100, 3072)]
    for message in sent:
        await opener.send(message)
        await claimer.send(message)
    assert [await claimer.receive() for _ in sent] == sent
    assert [await opener.receive() for _ in sent] == sent
    await claimer.send(MailboxClosed("done"))
    await closed(opener, "done")


async def test_a_nameplate_is_dead_after_one_claim(pairing: Pairing) -> None:
    """During the pairing, after it, and when the claim came to nothing."""
    opener, nameplate = await pairing.open()
    claimer = await pairing.claim(nameplate)
    await claimer.expect(MailboxReady)
    await closed(await pairing.claim(nameplate), "unknown")
    await opener.expect(MailboxReady)
    claimer.ws.transport.abort()
    await closed(opener, "gone")
    await closed(await pairing.claim(nameplate), "unknown")


async def test_an_unknown_nameplate(pairing: Pairing) -> None:
    """Nobody waits there."""
    await closed(await pairing.claim(999_999), "unknown")


async def test_an_opener_that_leaves_takes_its_nameplate_along(pairing: Pairing) -> None:
    """By closing, or by vanishing."""
    for vanish in (False, True):
        opener, nameplate = await pairing.open()
        if vanish:
            opener.ws.transport.abort()
        else:
            await opener.send(MailboxClosed("failed"))
        await asyncio.sleep(0.1)
        await closed(await pairing.claim(nameplate), "unknown")


async def test_the_protocol_holds_here_too(pairing: Pairing) -> None:
    """No message before the other is there, none too long, not too many, nothing else; the other side hears of it."""
    opener, _ = await pairing.open()
    with pytest.raises(Exception, match="can't be sent"):
        await opener.send(MailboxMessage(b"early"))
    await opener.ws.send(b"\x92\xafmailbox_message\xc4\x01x")
    await opener.expect_error("remote_protocol")

    opener, claimer = await pairing.both()
    await claimer.ws.send(b"\x92\xafmailbox_message\xc5\x0c\x01" + bytes(3073))
    await claimer.expect_error("remote_protocol")
    await closed(opener, "failed")

    opener, claimer = await pairing.both()
    for _ in range(65):
        await opener.send(MailboxMessage(b"x"))
    await opener.expect_error("remote_protocol")
    for _ in range(64):
        await claimer.expect(MailboxMessage)
    await closed(claimer, "failed")


async def test_a_nameplate_expires(tmp_path: Path) -> None:
    """So does the pairing that began with it."""
    async with RelayProcess(tmp_path / "data", "--mailbox-expires-s", "1") as relay, AsyncExitStack() as stack:
        pairing = Pairing(relay, stack)
        lonely, nameplate = await pairing.open()
        opener, claimer = await pairing.both()
        await closed(lonely, "expired")
        await closed(opener, "expired")
        await closed(claimer, "expired")
        await closed(await pairing.claim(nameplate), "unknown")


async def test_claims_are_limited(tmp_path: Path) -> None:
    """After five in a minute the sixth is refused, even with the right number."""
    flags = ("--limit-loopback", "--connects-per-ip-minute-max", "100")
    async with RelayProcess(tmp_path / "data", *flags) as relay, AsyncExitStack() as stack:
        pairing = Pairing(relay, stack)
        for _ in range(5):
            await closed(await pairing.claim(999_999), "unknown")
        _, nameplate = await pairing.open()
        refused = await pairing.claim(nameplate)
        error = await refused.expect(Error)
        assert (error.code, error.fatal, error.retry_after_ms > 0) == ("rate_limited", True, True)


async def test_a_side_that_does_not_read_holds_back_the_other(pairing: Pairing) -> None:
    """And loses nothing."""
    opener, claimer = await pairing.both()
    claimer.ws.transport.pause_reading()
    sent = [MailboxMessage(bytes([i]) * 3072) for i in range(60)]
    for message in sent:
        await opener.send(message)
    claimer.ws.transport.resume_reading()
    assert [await claimer.receive() for _ in sent] == sent


def test_nameplates_are_small_until_it_is_crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random among the free ones of the smallest range that is at most half full."""
    settings = Settings()
    boxes = Mailboxes(settings, Gate(settings, lambda: 0.0))
    monkeypatch.setattr(boxes, "_random", random.Random(1))

    class End:
        nameplate = 0

    numbers = [boxes.open(End()) for _ in range(600)]  # type: ignore[arg-type]
    assert len(set(numbers)) == 600
    assert max(numbers[:49]) <= 99
    assert 99 < max(numbers[:499]) <= 999
    assert max(numbers) > 999
    assert numbers[:49] != sorted(numbers[:49])
