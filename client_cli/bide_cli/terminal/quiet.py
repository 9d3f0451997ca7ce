"""A quiet terminal: one line that is drawn again and again, keys that aren't shown, and everything as it was afterwards.

Whatever ends it (a key, Ctrl-C, SIGTERM, a closed window), the cursor is back and the keyboard echoes. Ctrl-Z lets go of the
terminal and takes it again.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from types import FrameType
from typing import Any

from bide_cli.terminal.shell import Shell, shown

COLUMNS_DEFAULT = 40
_HIDE, _SHOW, _TO_END, _BELOW = "\x1b[?25l", "\x1b[?25h", "\x1b[K", "\x1b[J"
_ESCAPE = b"\x1b"
_LEAVING_KEYS = frozenset(b"\n\r\x03\x04qQ")
_READ_BYTES = 1024
_ENDING_SIGNALS = ("SIGTERM", "SIGHUP")


class Left(Exception):
    """The person left: Enter, q, Esc, Ctrl-D, or the window was closed."""


class QuietTerminal:
    """What a person sees and types while time passes. `begin` and `end` go around everything else."""

    def __init__(self, shell: Shell) -> None:
        """Look at what is there.

        Args:
            shell: how the person likes to be spoken to.
        """
        self._shell = shell
        self.draws = may_draw(shell)
        """Whether there is a line to draw; otherwise `say` prints plain lines."""
        self._keyboard = _keyboard() if not shell.no_input else -1
        self._modes: list[Any] | None = None
        self._handlers: dict[int, Any] = {}
        self._text = ""
        self._columns = 0

    def begin(self) -> None:
        """Hide the cursor and listen."""
        sys.stdout.flush()  # what was said before is there while time passes, whoever reads it
        for name in _ENDING_SIGNALS:
            if hasattr(signal, name):
                self._handle(getattr(signal, name), _end_process)
        if self.draws:
            if hasattr(signal, "SIGTSTP"):
                self._handle(signal.SIGTSTP, self._suspend)
            self._take()

    def end(self) -> None:
        """Put everything back. May be called twice."""
        # A second Ctrl-C must not leave the terminal half restored.
        for number in {signal.SIGINT, *self._handlers}:
            self._handle(number, signal.SIG_IGN)
        if self.draws:
            self._let_go()
        for number, handler in self._handlers.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._handlers = {}

    def wait(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            Left: a key was pressed that leaves.
        """
        if self._keyboard < 0:
            time.sleep(seconds)
            return
        ready, _, _ = select.select([self._keyboard], [], [], seconds)
        if not ready:
            return
        try:
            typed = os.read(self._keyboard, _READ_BYTES)
        except OSError:
            typed = b""
        # Arrow keys and the like begin with an escape, too. Without a line to draw, whole lines are read: any of them leaves.
        if not typed or typed == _ESCAPE or not self.draws:
            raise Left
        if not typed.startswith(_ESCAPE) and _LEAVING_KEYS & set(typed):
            raise Left

    def draw(self, text: str) -> None:
        """Show `text` on the one line, if it isn't there already. It has to be narrow characters."""
        columns = _columns()
        if columns != self._columns:
            # The cursor rests at the beginning of the line, so whatever a resized window made of it stands below.
            self._columns, self._text = columns, ""
            self._write(_BELOW)
        text = text[: max(1, columns - 1)]
        if text != self._text:
            self._text = text
            self._write(f"{text}{_TO_END}\r")

    def say(self, words: str) -> None:
        """Words that stay, above the line if there is one."""
        if not self.draws:
            self._shell.out(words)
            sys.stdout.flush()
            return
        from bide_cli.terminal.layout import wrap

        self._text = ""
        self._write(_BELOW + shown("\n".join(wrap(words, self._shell.width))) + "\n")

    def _take(self) -> None:
        self._columns = 0
        if self._keyboard >= 0:
            import termios
            import tty

            self._modes = termios.tcgetattr(self._keyboard)
            tty.setcbreak(self._keyboard)
        self._write(_HIDE)

    def _let_go(self) -> None:
        with contextlib.suppress(Left):
            self._write(_BELOW + _SHOW)
        if self._modes is not None:
            import termios

            with contextlib.suppress(termios.error):
                # Also throws away what was typed meanwhile, so that it doesn't reach the shell.
                termios.tcsetattr(self._keyboard, termios.TCSAFLUSH, self._modes)
            self._modes = None

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z."""
        del number, frame
        self._let_go()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()

    def _handle(self, number: int, handler: Any) -> None:
        before = signal.signal(number, handler)
        self._handlers.setdefault(number, before)

    @staticmethod
    def _write(text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError:
            raise Left from None


def may_draw(shell: Shell) -> bool:
    """Whether a line may be drawn again and again."""
    return (
        shell.on_terminal
        and not (shell.plain or shell.accessible or shell.as_json)
        and os.environ.get("TERM", "") not in ("", "dumb")
    )


def _keyboard() -> int:
    """The file descriptor of the keyboard; -1 if there is none, or if another program has it (`bide sit talk &`)."""
    try:
        keyboard = sys.stdin.fileno()
        if os.isatty(keyboard) and os.tcgetpgrp(keyboard) == os.getpgrp():
            return keyboard
    except (AttributeError, OSError, ValueError):
        pass
    return -1


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or COLUMNS_DEFAULT
    except OSError:
        return COLUMNS_DEFAULT


def _end_process(number: int, frame: FrameType | None) -> None:
    del frame
    raise SystemExit(128 + number)
