"""How far something long is, told to who waits at a terminal."""

from __future__ import annotations

import sys
import time

from bide_cli.terminal.shell import Shell

AFTER_S = 1.0
"""Whatever is done by then needs no words."""
_EVERY_S = 0.2
_LINE_EVERY_S = 10.0


class Waiting:
    """A line that says how far it is, and is gone afterwards. For screen readers a new line now and then."""

    def __init__(self, shell: Shell) -> None:
        self._on = sys.stderr is not None and sys.stderr.isatty() and not shell.as_json
        self._redraws = self._on and not (shell.plain or shell.accessible)
        self._begun = self._last = 0.0
        self._words = ""
        self._drawn = False

    def begin(self, words: str) -> None:
        """From now on this is being done: words for people."""
        self._words = words
        self._begun = self._begun or time.monotonic()  # not before: whoever types a passphrase doesn't wait
        self.show(words)

    def progress(self, done: int, total: int) -> None:
        """So much of it is done."""
        if self._on and total:
            self.show(f"{self._words} {100 * done // total} %")

    @property
    def due(self) -> bool:
        """Whether it is time to say something again."""
        now = time.monotonic()
        every_s = _EVERY_S if self._redraws else _LINE_EVERY_S
        return self._on and now - self._begun >= AFTER_S and now - self._last >= every_s

    def show(self, text: str) -> None:
        """Say how far it is, if that is due."""
        if not self.due:
            return
        self._last = time.monotonic()
        sys.stderr.write(f"\r{text}\x1b[K" if self._redraws else f"{text}\n")
        sys.stderr.flush()
        self._drawn = self._redraws

    def end(self) -> None:
        """Take the line away."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False
