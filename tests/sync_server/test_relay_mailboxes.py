"""Pairing mailboxes on a real relay: brought together once, handed on, and gone."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from bide.crypto.pairing import Pairing
from bide.crypto.pairing_code import PairingCode
from bide.errors import CodeMismatch, LocalProtocolError, RemoteProtocolError
from bide.ids import SystemRandomness
from bide.protocol.frames import Error, MailboxClaim, MailboxClosed, MailboxMessage, MailboxOpen, MailboxOpened, MailboxReady
from bide_relay.limits import Gate
from bide_relay.mailboxes import Mailboxes
from bide_relay.settings import Settings
from bide_relay.testing import RelayProcess, WireClient


class Mailrooms:
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
async def pairing(relay: RelayProcess) -> AsyncIterator[Mailrooms]:
    async with AsyncExitStack() as stack:
        yield Mailrooms(relay, stack)


async def closed(client: WireClient, reason: str) -> None:
    """The pairing ends for this reason, and the relay hangs up."""
    assert (await client.expect(MailboxClosed)).reason == reason
    with pytest.raises(ConnectionClosed):
        await client.ws.recv()


async def test_messages_go_both_ways_and_the_end_is_passed_on(pairing: Mailrooms) -> None:
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


async def test_a_nameplate_is_dead_after_one_claim(pairing: Mailrooms) -> None:
    """During the pairing, after it, and when the claim came to nothing."""
    opener, nameplate = await pairing.open()
    claimer = await pairing.claim(nameplate)
    await claimer.expect(MailboxReady)
    await closed(await pairing.claim(nameplate), "unknown")
    await opener.expect(MailboxReady)
    claimer.ws.transport.abort()
    await closed(opener, "gone")
    await closed(await pairing.claim(nameplate), "unknown")


async def test_an_unknown_nameplate(pairing: Mailrooms) -> None:
    """Nobody waits there."""
    await closed(await pairing.claim(999_999), "unknown")


async def test_an_opener_that_leaves_takes_its_nameplate_along(pairing: Mailrooms) -> None:
    """By closing, or by vanishing."""
    for vanish in (False, True):
        opener, nameplate = await pairing.open()
        if vanish:
            opener.ws.transport.abort()
        else:
            await opener.send(MailboxClosed("failed"))
        await asyncio.sleep(0.1)
        await closed(await pairing.claim(nameplate), "unknown")


async def test_the_protocol_holds_here_too(pairing: Mailrooms) -> None:
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
        pairing = Mailrooms(relay, stack)
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
        pairing = Mailrooms(relay, stack)
        for _ in range(5):
            await closed(await pairing.claim(999_999), "unknown")
        _, nameplate = await pairing.open()
        refused = await pairing.claim(nameplate)
        error = await refused.expect(Error)
        assert (error.code, error.fatal, error.retry_after_ms > 0) == ("rate_limited", True, True)


async def test_a_side_that_does_not_read_holds_back_the_other(pairing: Mailrooms) -> None:
    """And loses nothing."""
    opener, claimer = await pairing.both()
    claimer.ws.transport.pause_reading()
    sent = [MailboxMessage(bytes([i]) * 3072) for i in range(60)]
    for message in sent:
        await opener.send(message)
    claimer.ws.transport.resume_reading()
    assert [await claimer.receive() for _ in sent] == sent


# Somebody in between, who may be the relay itself

Words = tuple[str, str, str]
WORDS: Words = ("maple", "river", "harbor")


async def speak(client: WireClient, pairing: Pairing) -> str:
    """Pair as a device does; returns how it ended: ``confirmed``, the error, or the reason for which it was closed."""
    try:
        while True:
            for body in pairing.data_to_send():
                await client.send(MailboxMessage(body))
            if pairing.safety_words:
                # What comes now would be the other's acceptance; the other may also have found something wrong.
                frame = await client.receive(1)
            else:
                frame = await client.receive()
            if isinstance(frame, MailboxClosed):
                return frame.reason
            assert isinstance(frame, MailboxMessage)
            pairing.receive(frame.body)
    except TimeoutError:
        return "confirmed"
    except ConnectionClosed:
        return "gone"
    except (CodeMismatch, RemoteProtocolError) as error:
        with suppress(ConnectionClosed, LocalProtocolError):
            await client.send(MailboxClosed("failed"))
        return type(error).__name__


def device(client: WireClient, nameplate: int, *, initiates: bool, words: Words = WORDS) -> Pairing:
    assert client.session.hello is not None
    begin = Pairing.initiate if initiates else Pairing.join
    code = PairingCode(nameplate, words)
    return begin(code, client.session.hello.relay_key, offer=os.urandom(20), randomness=SystemRandomness())


async def test_two_devices_pair_over_the_relay(pairing: Mailrooms) -> None:
    """The control for what follows: with the right words and nobody in between both see the same safety words."""
    opener, nameplate = await pairing.open()
    joiner = await pairing.claim(nameplate)
    await opener.expect(MailboxReady)
    await joiner.expect(MailboxReady)
    sam, robin = device(opener, nameplate, initiates=True), device(joiner, nameplate, initiates=False)
    assert list(await asyncio.gather(speak(opener, sam), speak(joiner, robin))) == ["confirmed", "confirmed"]
    assert sam.safety_words == robin.safety_words != ()


async def test_a_wrong_guess_spends_the_code(pairing: Mailrooms) -> None:
    """Whoever guesses has one try: both end, and the nameplate is gone also for who has the right words."""
    opener, nameplate = await pairing.open()
    guesser = await pairing.claim(nameplate)
    await opener.expect(MailboxReady)
    await guesser.expect(MailboxReady)
    sam = device(opener, nameplate, initiates=True)
    guess = device(guesser, nameplate, initiates=False, words=("maple", "river", "maple"))
    ends = await asyncio.gather(speak(opener, sam), speak(guesser, guess))
    assert "CodeMismatch" in ends
    assert set(ends) <= {"CodeMismatch", "failed", "gone"}
    assert not sam.safety_words
    assert not guess.safety_words
    await closed(await pairing.claim(nameplate), "unknown")


async def test_two_joiners_at_once(pairing: Mailrooms) -> None:
    """Exactly one comes through; the other is told that there is no such code any more."""
    for _ in range(5):
        opener, nameplate = await pairing.open()
        joiners = await asyncio.gather(*(pairing.claim(nameplate) for _ in range(4)))
        answers = await asyncio.gather(*(joiner.receive() for joiner in joiners))
        assert sorted(type(answer).__name__ for answer in answers) == ["MailboxClosed"] * 3 + ["MailboxReady"]
        await opener.expect(MailboxReady)
        await opener.send(MailboxClosed("done"))


@pytest.mark.parametrize("attack", ["guesses", "alters the key", "alters the confirmation", "alters the offer", "repeats"])
async def test_a_relay_in_the_middle_is_noticed_by_both(pairing: Mailrooms, attack: str) -> None:
    """It leads the two to two mailboxes and stands between: nobody confirms, whatever it passes on."""
    opener, first = await pairing.open()
    to_opener = await pairing.claim(first)
    to_joiner, second = await pairing.open()
    joiner = await pairing.claim(second)
    for client in (opener, to_opener, to_joiner, joiner):
        await client.expect(MailboxReady)
    # The joiner typed the opener's code: only the relay knows that it stands in another mailbox.
    sam, robin = device(opener, first, initiates=True), device(joiner, first, initiates=False)

    async def pass_on(source: WireClient, target: WireClient) -> None:
        held = b""
        while isinstance(frame := await source.receive(), MailboxMessage):
            body = bytearray(frame.body)
            if body[0] == {"alters the key": 1, "alters the confirmation": 2, "alters the offer": 3}.get(attack):
                body[-1] ^= 1
            if attack == "repeats" and body[0] == 3:
                body = bytearray(held)
            held = frame.body
            await target.send(MailboxMessage(bytes(body)))
        with suppress(ConnectionClosed, LocalProtocolError):
            await target.send(frame)

    if attack == "guesses":
        words = ("maple", "river", "maple")
        middle = [
            speak(to_opener, device(to_opener, first, initiates=False, words=words)),
            speak(to_joiner, device(to_joiner, first, initiates=True, words=words)),
        ]
    else:
        middle = [pass_on(to_opener, to_joiner), pass_on(to_joiner, to_opener)]  # type: ignore[list-item]
    both = asyncio.gather(speak(opener, sam), speak(joiner, robin))
    passing = [asyncio.ensure_future(one) for one in middle]
    ends = await both
    for one in passing:
        one.cancel()
    await asyncio.gather(*passing, return_exceptions=True)
    assert "confirmed" not in ends
    assert {"CodeMismatch", "RemoteProtocolError"} & set(ends)


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
