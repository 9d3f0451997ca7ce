"""Tools for tests and benchmarks: a relay in a process of its own, and a client that speaks frames to it.

Nothing here is used by the relay::

    with RelayProcess(folder, "--registration", "open") as relay:
        async with await WireClient.connect(relay.url) as client:
            await client.authenticate(space=..., device=..., signing_seed=...)
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from websockets.asyncio.client import ClientConnection, connect

from bide.errors import BideError
from bide.protocol.frames import (
    BATCH_BYTES_MAX,
    BATCH_ENVELOPES_MAX,
    Envelopes,
    Error,
    Frame,
    LogPosition,
    Register,
    Want,
    Welcome,
)
from bide.protocol.session import ClientSession

READY = "bide-relay is ready on "
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 20.0
FRAME_TIMEOUT_S = 30.0
_F = TypeVar("_F", bound=Frame)


class RelayProcess:
    """``bide-relay serve`` as a process. Restarting it keeps its port and its data."""

    def __init__(self, data: Path, *flags: str, listen: str = "127.0.0.1:0", program: Sequence[str] = ()) -> None:
        """Prepare.

        Args:
            data: its data folder.
            flags: further flags of ``serve``.
            listen: where; with port 0 the first start chooses, and later ones keep it.
            program: what to run instead of ``python -m bide_relay.main``.
        """
        self.data = data
        self.flags = flags
        self.url = ""
        self._listen = listen
        self._program = program or (sys.executable, "-m", "bide_relay.main")
        self._log = data.parent / f"{data.name}.log"
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None, "start it first"
        return self._process.pid

    @property
    def host(self) -> str:
        """Host and port, as clients prove them."""
        return self.url.partition("://")[2]

    @property
    def log(self) -> str:
        """What it wrote to stderr so far, all starts together."""
        return self._log.read_text(encoding="utf-8")

    def start(self) -> Self:
        """Start, and return once it accepts connections.

        Raises:
            BideError: it ended instead.
        """
        command = [*self._program, "serve", "--listen", self._listen, "--data", str(self.data)]
        with self._log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen([*command, *self.flags], stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603
        assert self._process.stdout is not None  # asked for above
        line = self._process.stdout.readline()
        if not line.startswith(READY):
            self._process.wait(_START_TIMEOUT_S)
            raise BideError(f"The relay did not start: {self.log}")
        self.url = line.removeprefix(READY).strip()
        self._listen = self.host
        return self

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        assert self._process is not None, "start it first"
        if self.alive():
            os.kill(self._process.pid, number)
        return self.wait()

    def wait(self) -> int:
        """Wait until it has ended, and return the exit code."""
        assert self._process is not None, "start it first"
        code = self._process.wait(_STOP_TIMEOUT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def kill(self) -> None:
        """End it at once, as a power cut would end the process."""
        self.stop(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.alive():
            self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Clients in this event loop must be able to answer the relay's goodbye.
        await asyncio.to_thread(self.__exit__, kind, error, trace)


class WireClient:
    """A client's end that speaks frames: what a real client does, without a log of its own."""

    def __init__(self, ws: ClientConnection, session: ClientSession, host: str) -> None:
        """Use `connect`."""
        self.ws = ws
        self.session = session
        self.host = host

    @classmethod
    async def connect(cls, url: str) -> WireClient:
        """Connect, and take the relay's hello."""
        ws = await connect(url, compression=None, max_size=None, ping_interval=None, close_timeout=1)
        client = cls(ws, ClientSession(), url.partition("://")[2])
        await client.receive()
        return client

    async def receive(self, timeout_s: float = FRAME_TIMEOUT_S) -> Frame:
        """The next frame.

        Raises:
            TimeoutError: none came.
            ConnectionClosed: none will come.
        """
        async with asyncio.timeout(timeout_s):
            return self.session.receive_data(await self.ws.recv(decode=False))

    async def expect(self, kind: type[_F], timeout_s: float = FRAME_TIMEOUT_S) -> _F:
        """The next frame, which must be of a kind."""
        frame = await self.receive(timeout_s)
        assert isinstance(frame, kind), f"expected {kind.__name__}, got {frame}"
        return frame

    async def expect_error(self, code: str) -> Error:
        """The next frame, which must be an error with this code."""
        error = await self.expect(Error)
        assert error.code == code, f"expected {code}, got {error.code}: {error.words}"
        return error

    async def send(self, frame: Frame) -> None:
        """Send a frame that the protocol allows now."""
        self.session.send(frame)
        await self.flush()

    async def flush(self) -> None:
        """Send what the session holds."""
        for message in self.session.data_to_send():
            await self.ws.send(message)

    async def prove(self, *, space: bytes, device: bytes, signing_seed: bytes) -> None:
        """Send an authentication."""
        self.session.authenticate(space=space, device=device, signing_seed=signing_seed, host=self.host, nonce=os.urandom(32))
        await self.flush()

    async def welcome(self, *, genesis: bytes = b"", invite: str = "") -> Welcome:
        """Take the answer to an authentication; registers with `genesis` if the relay doesn't know the space."""
        frame = await self.receive()
        if isinstance(frame, Error) and not frame.fatal and genesis:
            await self.send(Register(invite, genesis))
            frame = await self.receive()
        assert isinstance(frame, Welcome), f"expected a welcome, got {frame}"
        return frame

    async def want(self, have: dict[bytes, int] | None = None) -> None:
        """Say what is here already."""
        await self.send(Want([LogPosition(log, seq) for log, seq in (have or {}).items()]))

    async def upload(self, envelopes: list[bytes]) -> int:
        """Send envelopes in as many batches as they need; returns how many batches."""
        batches = 0
        batch: list[bytes] = []
        size = 0
        for data in envelopes:
            if batch and (size + len(data) > BATCH_BYTES_MAX or len(batch) == BATCH_ENVELOPES_MAX):
                await self.send(Envelopes(batch))
                batches, batch, size = batches + 1, [], 0
            batch.append(data)
            size += len(data)
        if batch:
            await self.send(Envelopes(batch))
            batches += 1
        return batches

    async def close(self) -> None:
        """Hang up."""
        await self.ws.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
