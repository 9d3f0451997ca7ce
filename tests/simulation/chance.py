"""Takes chance and time away from the real code: inside `seeded`, every random byte comes from the seed and every clock from
the world. Only doors through which the code reaches for them are replaced, nothing that it does with what it gets.
"""

from __future__ import annotations

import contextlib
import faulthandler
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import nacl.bindings as sodium

import bide_relay.connection
import bide_relay.server
import bide_relay.storage.memory
import bide_relay.storage.sqlite
from bide.testing import SeededRandomness
from simulation.clockwork import START_MS, Clockwork


class _Instead:
    """A module with some of its names replaced."""

    def __init__(self, module: Any, **names: Any) -> None:
        self._module = module
        self.__dict__.update(names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


@contextlib.contextmanager
def seeded(clockwork: Clockwork, seed: str) -> Iterator[None]:
    """Inside, this process has no chance and no time but the world's."""
    bytes_of = SeededRandomness(f"{seed} relay").token
    boxes = SeededRandomness(f"{seed} boxes").token

    def seal_box(message: bytes, public: bytes) -> bytes:
        """As crypto_box_seal, with a key of its own that comes from the seed."""
        secret = boxes(sodium.crypto_box_SECRETKEYBYTES)
        mine = sodium.crypto_scalarmult_base(secret)
        nonce = blake2b(mine + public, digest_size=sodium.crypto_box_NONCEBYTES).digest()
        sealed: bytes = sodium.crypto_box_easy(message, nonce, public, secret)
        return mine + sealed

    def now_s() -> float:
        return clockwork.now_ms / 1000

    times = {
        "monotonic": now_s,
        "time": lambda: START_MS / 1000 + now_s(),
        "time_ns": lambda: int((START_MS + clockwork.now_ms) * 1_000_000),
    }
    with_chance: tuple[Any, ...] = (bide_relay.server, bide_relay.storage.memory, bide_relay.storage.sqlite)
    with_time: tuple[Any, ...] = (bide_relay.server, bide_relay.connection, bide_relay.storage.sqlite)
    doors: list[tuple[Any, str, Any]] = [
        (sodium, "crypto_box_seal", seal_box),
        # Its minute is one of the machine's; and it costs a thread at every turn.
        (faulthandler, "dump_traceback_later", lambda *_, **__: None),
        (faulthandler, "cancel_dump_traceback_later", lambda: None),
        *((module, "os", _Instead(module.os, urandom=bytes_of)) for module in with_chance),
        *((module, "time", _Instead(module.time, **times)) for module in with_time),
    ]
    before = [(module, name, getattr(module, name)) for module, name, _ in doors]
    try:
        for module, name, door in doors:
            setattr(module, name, door)
        yield
    finally:
        for module, name, door in before:
            setattr(module, name, door)
