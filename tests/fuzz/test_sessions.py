"""A real relay that is told anything: it answers with its errors or hangs up, and goes on serving everybody else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from pathlib import Path

from homes import Home, pair
from seeds import SEED
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from bide.crypto import signing
from bide.protocol.codec import encode_frame
from bide.protocol.frames import CaughtUp, Envelopes, LogPosition, MailboxClaim, MailboxOpen, Want
from bide.protocol.session import ClientSession
from bide.storage.base import SpaceRecord
from bide.storage.sqlite import SqliteStorage
from bide_relay.testing import RelayProcess, WireClient

SESSIONS = int(os.environ.get("FUZZ_SESSIONS", "60"))
FRAMES_MAX = 12


async def babble(url: str, space: SpaceRecord, envelopes: list[bytes], chance: random.Random) -> int:
    """One connection that says anything, mostly after it proved who it is. Returns how many frames were taken."""
    sent = 0
    with contextlib.suppress(ConnectionClosed, OSError, TimeoutError):
        async with connect(url, compression=None, max_size=None, ping_interval=None, close_timeout=0.5) as ws:
            client = WireClient(ws, ClientSession(), url.partition("://")[2])
            await client.receive()
            if chance.random() < 0.8:
                device = signing.public_key(space.signing_seed)
                await client.prove(space=space.space_id, device=device, signing_seed=space.signing_seed)
                await client.receive()
            for _ in range(chance.randrange(1, FRAMES_MAX)):
                await ws.send(_anything(space, envelopes, chance))
                sent += 1
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await ws.recv()
    return sent


def _anything(space: SpaceRecord, envelopes: list[bytes], chance: random.Random) -> bytes | str:
    altered = bytearray(chance.choice(envelopes))
    for _ in range(chance.randrange(3)):
        altered[chance.randrange(len(altered))] ^= 1 << chance.randrange(8)
    frames = [
        encode_frame(Want([LogPosition(space.log_id, chance.randrange(9))])),
        encode_frame(Envelopes([bytes(altered)])),
        encode_frame(Envelopes(chance.choices(envelopes, k=3))),
        encode_frame(CaughtUp()),
        encode_frame(MailboxOpen()),
        encode_frame(MailboxClaim(chance.randrange(1, 9999))),
        chance.randbytes(chance.randrange(300)),
    ]
    frame = bytearray(chance.choice(frames))
    if frame and chance.random() < 0.3:
        frame[chance.randrange(len(frame))] = chance.randrange(256)
    return "words" if chance.random() < 0.02 else bytes(frame)


def test_a_relay_outlives_whatever_its_members_say(tmp_path: Path) -> None:
    """Hundreds of connections of a real member that says anything; then both people sync as ever, and nothing is lost."""
    print(f"SEED={SEED} FUZZ_SESSIONS={SESSIONS}")
    chance = random.Random(SEED)
    with RelayProcess(tmp_path / "relay", "--registration", "open") as relay:
        sam, robin = Home(tmp_path / "sam", "Sam"), Home(tmp_path / "robin", "Robin")
        pair(sam, robin, relay.url)
        sam.write("before")
        sam.run("sync")
        storage = SqliteStorage(sam.folder / "bide.db", sam.folder.with_suffix(".key").read_bytes())
        space = next(each for each in storage.spaces() if each.kind == "pair")
        logs = [
            storage.envelopes_after(space.space_id, log, 0, bytes_max=1 << 20, count_max=99)
            for log in storage.heads(space.space_id)
        ]
        envelopes = [each.data for log in logs for each in log]
        storage.close()

        async def all_of_them() -> int:
            return sum([await babble(relay.url, space, envelopes, chance) for _ in range(SESSIONS)])

        assert asyncio.run(all_of_them()) > SESSIONS
        assert relay.alive()
        assert "Traceback" not in relay.log
        written = sam.write("afterwards")
        sam.run("sync")
        robin.run("sync")
        assert written in robin.ids()
        assert sam.pair_digest() == robin.pair_digest()
