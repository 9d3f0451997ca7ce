"""What a command needs to know about where it runs: the home, the streams, and how the person likes to be spoken to.

stdout is data, stderr is talk. Everything that a person may read from a journal passes `clean` first: text of the other
person must not be able to move the cursor, colour the screen or turn words around.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH_DEFAULT = 80
WIDTH_MIN = 30
WIDTH_MAX = 100
"""Longer lines are hard to read."""

_REPLACED = "\N{REPLACEMENT CHARACTER}"
_BIDI = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_HARMFUL: dict[int, str | None] = {
    **{code: _REPLACED for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A)},
    # The line breaks of Unicode would leave the column that a text is set in.
    0x2028: "\n",
    0x2029: "\n",
    0x09: "    ",
    **dict.fromkeys(_BIDI),
}
_PAGER_DEFAULT = "less"


def clean(text: str) -> str:
    """`text` without what could take over a terminal or turn the order of words around."""
    return text if text.isascii() and text.isprintable() else text.translate(_HARMFUL)


class Shell:
    """One call of a command."""

    __slots__ = ("accessible", "as_json", "home", "no_input", "plain")

    def __init__(
        self,
        home: Path,
        *,
        as_json: bool = False,
        plain: bool = False,
        accessible: bool = False,
        no_input: bool = False,
    ) -> None:
        self.home = home
        self.as_json = as_json
        self.plain = plain
        """No colours, no pager, no wrapping to the screen."""
        self.accessible = accessible
        """For screen readers: numbered choices, no boxes, nothing that redraws itself."""
        self.no_input = no_input

    @property
    def may_ask(self) -> bool:
        """Whether there is a person to ask."""
        return not self.no_input and sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def on_terminal(self) -> bool:
        """Whether the data goes to a screen."""
        return sys.stdout.isatty()

    @property
    def coloured(self) -> bool:
        """Whether quiet colours are welcome. https://no-color.org: set and not empty means no."""
        return (
            self.on_terminal
            and not (self.plain or self.accessible or self.as_json)
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM", "dumb") != "dumb"
        )

    @property
    def width(self) -> int:
        """Columns for text; 0: don't wrap, because no screen is there."""
        if self.plain or not self.on_terminal:
            return 0
        try:
            columns = os.get_terminal_size(sys.stdout.fileno()).columns
        except OSError:
            columns = 0
        return min(max(columns or WIDTH_DEFAULT, WIDTH_MIN), WIDTH_MAX)

    def style(self, text: str, code: str) -> str:
        """`text` in an ANSI style such as ``1`` (bold) or ``2`` (faint), where colours are welcome."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.coloured and text else text

    def out(self, text: str = "") -> None:
        """Print data for a person. With ``--json`` nothing but the object may be on stdout, so this is silent."""
        if not self.as_json:
            sys.stdout.write(clean_styled(text) + "\n")

    def say(self, text: str = "") -> None:
        """Tell a person something that is not the data."""
        if not self.as_json and sys.stderr is not None:
            sys.stderr.write(clean_styled(text) + "\n")
            sys.stderr.flush()

    def emit(self, command: str, **values: Any) -> None:
        """Print the one object of ``--json``, flushed."""
        emit_json({"schema": f"bide.{command}/1", **values})

    def page(self, text: str, *, newest_last: bool = False) -> None:
        """Print a text, through a pager if it doesn't fit on the screen; opened at its end where the newest stands there."""
        if self.plain or self.accessible or self.as_json or not self.on_terminal or not _is_long(text):
            sys.stdout.write(text)
            return
        _run_pager(text, newest_last=newest_last)


def clean_styled(text: str) -> str:
    """`clean`, but keeping the styles that `Shell.style` made."""
    if "\x1b" not in text:
        return clean(text)
    import re

    parts = re.split(r"(\x1b\[[0-9;]*m)", text)
    return "".join(part if part.startswith("\x1b[") else clean(part) for part in parts)


def emit_json(value: Mapping[str, Any]) -> None:
    """Write one JSON object on one line of stdout, and flush it: scripts wait for it."""
    import json

    # A terminal or file that isn't UTF-8 still gets every character, escaped.
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    sys.stdout.write(json.dumps(value, ensure_ascii=plain) + "\n")
    sys.stdout.flush()


def _is_long(text: str) -> bool:
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        return False
    return text.count("\n") >= size.lines


def _run_pager(text: str, *, newest_last: bool) -> None:
    import shlex
    import shutil
    import subprocess

    try:
        command = shlex.split(os.environ.get("BIDE_PAGER") or os.environ.get("PAGER") or _PAGER_DEFAULT)
    except ValueError:
        command = []
    program = shutil.which(command[0]) if command else None
    if program is None or os.environ.get("TERM", "dumb") == "dumb":
        sys.stdout.write(text)
        return
    # LESSSECURE: no shell and no saving to a file from inside the pager; LESSHISTFILE: no trace of what was looked for.
    env = {**os.environ, "LESSSECURE": "1", "LESSHISTFILE": "-", "LESSCHARSET": "utf-8"}
    # A timeline is read from its end, where the newest entry is; one long entry from its beginning.
    env.setdefault("LESS", "FRX +G" if newest_last else "FRX")
    sys.stdout.flush()
    process = subprocess.Popen([program, *command[1:]], stdin=subprocess.PIPE, env=env)
    assert process.stdin is not None
    try:
        process.stdin.write(text.encode("utf-8", "replace"))
        process.stdin.close()
    except BrokenPipeError:
        pass  # the person left the pager
    while True:
        try:
            process.wait()
            return
        except KeyboardInterrupt:
            continue  # Ctrl-C belongs to the pager
