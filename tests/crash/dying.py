"""Processes that die at a step of their own, so that every place of a command can be tried in turn.

A step is whatever makes a difference to others or to the next run: a commit (once before it and once after), a message that is
about to be sent, a file that is about to be moved or removed. A process that is told to die at step *n* kills itself with
SIGKILL when it gets there; one that has fewer steps runs to its end.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

DIES_AT = "CRASH_DIES_AT"
"""The environment variable with the number of the step, from 1."""


class _Steps:
    def __init__(self, last: int, *, counting: bool) -> None:
        self._left = last
        self.counting = counting

    def take(self) -> None:
        self._left -= self.counting
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def die_at(step: int) -> None:
    """Let this process die there; 0: nowhere, it is only made not to wait for the other side.

    Two that pair count from when they begin to talk: before that either is alone.
    """
    from bide_cli.joining import enrolling, pairing

    enrolling.SYNC_PAUSE_S = 0.02  # what died is not going to let anybody in
    if not step:
        return
    steps = _Steps(step, counting=not sys.argv[1:] or not {"pair", "join", "add"} & set(sys.argv[1:3]))
    run = pairing.PairingTalk.run

    def talking(self: pairing.PairingTalk) -> pairing.Result:
        steps.counting = True
        return run(self)

    pairing.PairingTalk.run = talking  # type: ignore[method-assign]
    _die_in_transactions(steps)
    _die_before_sending(steps)
    for name in ("rename", "replace", "link", "unlink"):
        setattr(os, name, _before(steps, getattr(os, name)))


def _before(steps: _Steps, call: Callable[..., Any]) -> Callable[..., Any]:
    def stepping(*args: Any, **options: Any) -> Any:
        steps.take()
        return call(*args, **options)

    return stepping


def _die_in_transactions(steps: _Steps) -> None:
    from bide.storage.sqlite_truth import SqliteTruth
    from bide_relay.storage.sqlite import SqliteStorage

    transaction = SqliteTruth.transaction

    @contextmanager
    def dying(self: Any) -> Iterator[None]:
        outermost = not self._db.in_transaction
        with transaction(self):
            yield
            if outermost:
                steps.take()
        if outermost:
            steps.take()

    SqliteTruth.transaction = dying  # type: ignore[method-assign]
    of_relay = SqliteStorage._transaction

    @contextmanager
    def dying_relay(self: Any) -> Iterator[Any]:
        with of_relay(self) as connection:
            yield connection
            steps.take()
        steps.take()

    SqliteStorage._transaction = dying_relay  # type: ignore[method-assign]


def _die_before_sending(steps: _Steps) -> None:
    from websockets.asyncio.connection import Connection as Carrying
    from websockets.sync.connection import Connection

    carry = Carrying.send

    async def carrying(self: Any, *args: Any, **options: Any) -> None:
        steps.take()
        await carry(self, *args, **options)

    Connection.send = _before(steps, Connection.send)  # type: ignore[method-assign]
    Carrying.send = carrying  # type: ignore[method-assign]
