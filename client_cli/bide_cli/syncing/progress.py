"""How far a long sync is, while it lasts."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from bide_cli.terminal.shell import Shell

if TYPE_CHECKING:
    from bide_cli.syncing.carrying import Outcome

_AFTER_S = 1.0
_EVERY_S = 0.2
_LINE_EVERY_S = 5.0


class Progress:
    """Tells how far a long sync is, on a terminal, after a second."""

    def __init__(self, shell: Shell) -> None:
        self._on = sys.stderr is not None and sys.stderr.isatty() and not shell.as_json
        self._redraws = self._on and not (shell.plain or shell.accessible)
        self._begun = self._last = time.monotonic()
        self._drawn = False

    def show(self, outcomes: list[Outcome]) -> None:
        """Called after each frame."""
        now = time.monotonic()
        every = _EVERY_S if self._redraws else _LINE_EVERY_S
        if not self._on or now - self._begun < _AFTER_S or now - self._last < every:
            return
        self._last = now
        syncs = [outcome.sync for outcome in outcomes if outcome.sync]
        done = sum(sync.sent + sync.received for sync in syncs)
        total = max(done, sum(sync.to_send + sync.to_receive for sync in syncs))
        text = f"{done:,} of {total:,} entries"
        sys.stderr.write(f"\r{text}\x1b[K" if self._redraws else f"{text}\n")
        sys.stderr.flush()
        self._drawn = self._redraws

    def end(self) -> None:
        """Take the line away."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
