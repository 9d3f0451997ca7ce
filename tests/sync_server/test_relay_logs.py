"""What the relay's log holds: counts. Whatever happens, and however much is logged."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.asyncio.client import connect as ws_connect
from websockets.exceptions import ConnectionClosed

from bide.ids import SystemRandomness
from bide.protocol.frames import Envelopes, MailboxClaim, MailboxMessage, MailboxOpen, MailboxOpened, MailboxReady, Stored
from bide.testing import SpaceBuilder
from bide_relay.logs import log_discreetly, log_failure
from bide_relay.testing import RelayProcess, WireClient

TALKATIVE = Path(__file__).with_name("talkative_relay.py")


def spellings(value: bytes) -> set[str]:
    """How bytes may end up in a text: whole, or their first half."""
    found = set()
    for part in (value, value[: len(value) // 2]):
        text = part.hex()
        found |= {text, text.upper(), ":".join(re.findall("..", text)), repr(part)[2:-1], str(int.from_bytes(part))}
        for encode in (base64.b64encode, base64.urlsafe_b64encode, base64.b32encode):
            found.add(encode(part).decode().rstrip("=")[:-1])
    return found


async def test_the_log_names_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No id, key, nonce, token, address, port or nameplate, in any spelling, at the most talkative level of everything."""
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    relay = RelayProcess(tmp_path / "data", "--log-interval-s", "0.2", program=[sys.executable, str(TALKATIVE)])
    secrets: list[bytes] = []
    words: list[str] = []
    async with relay:
        command = [sys.executable, "-m", "bide_relay.main", "invite", "--data", str(relay.data)]
        made = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
        token = made.stdout.strip()
        words.append(token)

        space = SpaceBuilder.found("pair", randomness=SystemRandomness())
        sam, robin = space.founder, space.join()
        for member in (sam, robin):
            secrets += [member.keys.device_id, member.keys.signing_seed, member.log_id]
        client = await WireClient.connect(relay.url)
        assert client.session.hello is not None
        secrets += [space.id, client.session.hello.relay_key, client.session.hello.nonce, client.session.hello.store_id]
        await client.prove(space=space.id, device=sam.device_id, signing_seed=sam.keys.signing_seed)
        await client.welcome(genesis=space.envelopes[0].data, invite=token)
        await client.want()
        space.write(sam)
        await client.upload([e.data for e in space.envelopes[1:]])
        while not isinstance(await client.receive(), Stored):
            pass
        secrets += [e.hash for e in space.envelopes] + [e.signature for e in space.envelopes]
        secrets += [e.data[204:260] for e in space.envelopes]

        # A fork, a gap, an envelope of somebody else, garbage, a wrong proof, a connection that breaks.
        forged = bytearray(space.envelopes[-1].data)
        forged[-1] ^= 1
        other = SpaceBuilder.found("own", randomness=SystemRandomness())
        secrets += [other.id, other.founder.device_id]
        for bad in (bytes(forged), other.envelopes[0].data, space.write(sam).data[:-1]):
            abuser = await WireClient.connect(relay.url)
            await abuser.prove(space=space.id, device=sam.device_id, signing_seed=sam.keys.signing_seed)
            await abuser.welcome()
            await abuser.want()
            await abuser.send(Envelopes([bad]))
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await abuser.receive()
        stranger = await WireClient.connect(relay.url)
        await stranger.prove(space=other.id, device=sam.device_id, signing_seed=other.founder.keys.signing_seed)
        await stranger.expect_error("remote_protocol")
        for garbage in (os.urandom(300), "text", b"\xc1"):
            async with ws_connect(relay.url, compression=None) as ws:
                await ws.send(garbage)
        broken = await WireClient.connect(relay.url)
        broken.ws.transport.abort()
        _, raw = await asyncio.open_connection(*relay.host.split(":"))
        raw.write(b"GET /private-path-of-somebody HTTP/1.1\r\nHost: host-of-somebody\r\nX-Forwarded-For: 203.0.113.77\r\n\r\n")
        await raw.drain()
        words += ["private-path", "host-of-somebody", "203.0.113", "127.0.0.1", relay.url.rpartition(":")[2]]

        # A pairing. Enough of them that its number can't be taken for a count.
        boxes = []
        plates: list[int] = []
        while len(plates) < 55 or max(plates) < 200:
            boxes.append(await WireClient.connect(relay.url))
            await boxes[-1].send(MailboxOpen())
            plates.append((await boxes[-1].expect(MailboxOpened)).nameplate)
        number = plates.index(max(plates))
        joiner = await WireClient.connect(relay.url)
        await joiner.send(MailboxClaim(plates[number]))
        await joiner.expect(MailboxReady)
        body = os.urandom(40)
        secrets.append(body)
        await joiner.send(MailboxMessage(body))
        await asyncio.sleep(0.5)
        for one in (*boxes, joiner, client):
            one.ws.transport.abort()
    log = relay.log
    assert " asyncio says something at " in log
    assert "INFO connections " in log
    for secret in secrets:
        for spelling in spellings(bytes(secret)):
            assert spelling not in log
    for word in words:
        assert word not in log
    said = [line.split(" ", 2)[2] for line in log.splitlines()]
    assert not any(re.search(rf"\b{plates[number]}\b", line) for line in said)


def test_what_others_log_is_reduced(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """To who said it and where; errors to their kind. What the relay says itself stays."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        log_discreetly(logging.DEBUG)
        try:
            raise ValueError("the secret")
        except ValueError as error:
            logging.getLogger("some.library").exception("about %s", "the secret")
            log_failure(None, {"message": "about the secret", "exception": error})  # type: ignore[arg-type]
        log_failure(None, {"exception": ConnectionResetError("the secret")})  # type: ignore[arg-type]
        logging.getLogger("bide_relay").info("counts %d", 7)
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    err = capsys.readouterr().err
    assert "the secret" not in err
    assert [line.split(" ", 2)[2].split(" at ")[0] for line in err.splitlines()] == [
        "ERROR some.library says something",
        "ERROR the event loop reports: ValueError",
        "INFO counts 7",
    ]
