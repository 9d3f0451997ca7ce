"""How far a long sync is, while it lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bide_cli.language import _, grouped
from bide_cli.terminal.shell import Shell
from bide_cli.terminal.waiting import Waiting

if TYPE_CHECKING:
    from bide_cli.syncing.carrying import Outcome


class Progress:
    """Tells how far a long sync is, on a terminal, after a second."""

    def __init__(self, shell: Shell) -> None:
        self._line = Waiting(shell)
        self._line.begin("")

    def show(self, outcomes: list[Outcome]) -> None:
        """Called after each frame."""
        if not self._line.due:
            return
        syncs = [outcome.sync for outcome in outcomes if outcome.sync]
        done = sum(sync.sent + sync.received for sync in syncs)
        total = max(done, sum(sync.to_send + sync.to_receive for sync in syncs))
        self._line.show(_("{done} of {total} entries").format(done=grouped(done), total=grouped(total)))

    def end(self) -> None:
        """Take the line away."""
        self._line.end()
