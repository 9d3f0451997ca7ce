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
        self._show(words)

    def progress(self, done: int, total: int) -> None:
        """So much of it is done."""
        if self._on and total:
            self._show(f"{self._words} {100 * done // total} %")

    def _show(self, text: str) -> None:
        now = time.monotonic()
        if not self._on or now - self._begun < AFTER_S or now - self._last < (_EVERY_S if self._redraws else _LINE_EVERY_S):
            return
        self._last = now
        sys.stderr.write(f"\r{text}\x1b[K" if self._redraws else f"{text}\n")
        sys.stderr.flush()
        self._drawn = self._redraws

    def end(self) -> None:
        """Take the line away."""
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False
