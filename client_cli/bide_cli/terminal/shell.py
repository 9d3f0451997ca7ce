"""What a command needs to know about where it runs: the home, the streams, and how the person likes to be spoken to.

stdout is data, stderr is talk. Everything that a person may read from a journal passes `clean` first: text of the other
person must not be able to move the cursor, colour the screen or turn words around.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, TextIO

from bide_cli.terminal import directions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    # Bytes of a path or an argument that are no text.
    **dict.fromkeys(range(0xDC80, 0xDD00), _REPLACED),
}
_STYLE_END = 0xDB00
"""Styles travel inside of texts as lone surrogates, which can't be in UTF-8 and so in nothing that another device sent."""
_STYLES = {_STYLE_END + code: f"\x1b[{code}m" for code in (*range(8), *range(31, 37))}
_UNMARKED: dict[int, str | None] = {**_HARMFUL, **dict.fromkeys(_STYLES), **dict.fromkeys(directions.MARKS)}
_SHOWN: dict[tuple[bool, bool], dict[int, str | None]] = {
    (False, False): _UNMARKED,
    (False, True): {**_UNMARKED, **directions.MARKS},
    (True, False): {**_UNMARKED, **_STYLES},
    (True, True): {**_UNMARKED, **_STYLES, **directions.MARKS},
}
_HARMFUL.update(dict.fromkeys((*_STYLES, *directions.MARKS), _REPLACED))
_MARKED = frozenset((*_STYLES, *directions.MARKS))
_UNDIRECTED_TERMS = ("", "dumb", "linux")
"""Terminals that may show a box for a mark that gives text its direction."""
_JSON_ESCAPED = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, *_BIDI, *range(0xDC80, 0xDD00))}
_PAGER_DEFAULT = "less"
_NO_BREAK = "\x1f"
"""A space where no line may end, while lines are being made."""


def clean(value: object) -> str:
    """`value` as text without what could take over a terminal, pass for a style, or turn the order of words around."""
    text = value if isinstance(value, str) else str(value)
    return text if text.isascii() and text.isprintable() else text.translate(_HARMFUL)


def clean_line(value: object) -> str:
    """`clean`, on one line: a name must not be able to begin a line of its own."""
    text = clean(value)
    return text.replace("\n", " ") if "\n" in text else text


def quoted(name: str) -> str:
    """A name for the middle of a command that somebody copies into a shell."""
    return name if name.isascii() and name.replace("-", "").isalnum() else "'" + name.replace("'", "'\\''") + "'"


def name_list(names: Iterable[object]) -> str:
    """Names of people, for the middle of a line."""
    *others, last = [*map(clean_line, names)] or [""]
    if not others:
        return last
    from bide_cli.language import _

    return _("{names} and {last}").format(names=", ".join(others), last=last)


def styled(text: str, code: str) -> str:
    """`text`, cleaned already, in the ANSI style `code`: it travels as a mark, see `shown`."""
    return f"{chr(_STYLE_END + int(code))}{text}{chr(_STYLE_END)}"


class Shell:
    """One call of a command."""

    __slots__ = ("accessible", "as_json", "home", "no_input", "now", "plain")

    def __init__(
        self,
        home: Path,
        *,
        as_json: bool = False,
        plain: bool = False,
        accessible: bool = False,
        no_input: bool = False,
        now: bool = False,
    ) -> None:
        self.home = home
        self.as_json = as_json
        self.plain = plain
        """No colours, no pager, no wrapping to the screen."""
        self.accessible = accessible
        """For screen readers: numbered choices, no boxes, nothing that redraws itself."""
        self.no_input = no_input
        self.now = now
        """Nothing is held back, whatever the config says."""

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
    def directed(self) -> bool:
        """Whether marks for text that runs from right to left go out with the data."""
        return self.on_terminal and not (self.plain or self.as_json) and _knows_directions(sys.stdout)

    @property
    def columns(self) -> int:
        """Columns of the screen; 0: don't wrap, because there is none."""
        if self.plain or not self.on_terminal:
            return 0
        try:
            columns = os.get_terminal_size(sys.stdout.fileno()).columns
        except OSError:
            columns = 0
        return max(columns or WIDTH_DEFAULT, WIDTH_MIN)

    @property
    def width(self) -> int:
        """Columns for lines that are read one after the other; 0: don't wrap, because no screen is there."""
        return min(self.columns, WIDTH_MAX)

    def style(self, text: str, code: str) -> str:
        """`text` in an ANSI style such as ``1`` (bold) or ``2`` (faint), where colours are welcome."""
        return styled(clean(text), code) if self.coloured and text else clean(text)

    def out(self, text: str = "") -> None:
        """Print data for a person. With ``--json`` nothing but the object may be on stdout, so this is silent."""
        if not self.as_json:
            _write_data(shown(text, directed=self.directed) + "\n")

    def tell(self, text: str, *, indent: str = "") -> None:
        """`out` for sentences: on a screen they are broken between words, and go on below `indent`."""
        columns = self.width
        if columns:
            from bide_cli.terminal.layout import text_columns

            if text_columns(text) > columns:
                text = f"\n{indent}".join(_broken(text, columns - len(indent)))
        self.out(text)

    def say(self, text: str = "") -> None:
        """Tell a person something that is not the data."""
        if not self.as_json and sys.stderr is not None:
            write_talk(text, plain=self.plain)

    def emit(self, command: str, **values: Any) -> None:
        """Print the one object of ``--json``, flushed."""
        emit_json({"schema": f"bide.{command}/1", **values})

    def page(self, text: str, *, newest_last: bool = False) -> None:
        """Print a text, through a pager if it doesn't fit on the screen; opened at its end where the newest stands there."""
        text = shown(text, directed=self.directed)
        if self.plain or self.accessible or self.as_json or not self.on_terminal or not _is_long(text):
            _write_data(text)
            return
        _run_pager(text, newest_last=newest_last)


def shown(text: str, *, styled: bool = True, directed: bool = False) -> str:
    """`text` as it goes out: cleaned, with the marks that were made here for styles and directions, and no others."""
    return text.translate(_SHOWN[styled, directed])


def _write_data(text: str) -> None:
    try:
        sys.stdout.write(text)
    except UnicodeEncodeError:  # a screen or file that isn't UTF-8: better a question mark than nothing
        encoding = sys.stdout.encoding or "ascii"
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))


def _knows_directions(stream: TextIO) -> bool:
    encoding = (stream.encoding or "").lower().replace("-", "")
    return encoding == "utf8" and os.environ.get("TERM", "") not in _UNDIRECTED_TERMS


def write_talk(text: str, *, plain: bool = False) -> None:
    """Tell a person something on stderr: set to its width where it is a screen, as it is elsewhere."""
    if sys.stderr is None:
        return
    on_screen = sys.stderr.isatty()
    directed = on_screen and not plain and _knows_directions(sys.stderr)
    if on_screen and not plain:
        try:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns
        except OSError:
            columns = 0
        text = _set_talk(text, max(columns or WIDTH_DEFAULT, WIDTH_MIN))
    sys.stderr.write(shown(text, styled=on_screen, directed=directed) + "\n")
    sys.stderr.flush()


def _set_talk(text: str, screen: int) -> str:
    from bide_cli.terminal.layout import text_columns

    columns = min(screen, WIDTH_MAX)
    lines: list[str] = []
    for line in text.split("\n"):
        # What is drawn in styles or in columns has been set already, and may use the whole screen.
        room = screen if line.startswith(" ") else columns
        if text_columns(line) <= room or any(ord(character) in _MARKED for character in line):
            lines.append(line)
        else:
            words = line.lstrip(" ")
            indent = " " * min(len(line) - len(words), columns // 2)
            lines += [indent + part for part in _broken(words, columns - len(indent))]
    return "\n".join(lines)


def _broken(text: str, columns: int) -> list[str]:
    """The lines of a sentence of ours. The name of a command stays on one of them."""
    from bide_cli.terminal.layout import wrap

    kept = text.replace("bide ", f"bide{_NO_BREAK}")
    return [line.replace(_NO_BREAK, " ") for line in wrap(kept, columns, cut=False)]


def emit_json(value: Mapping[str, Any]) -> None:
    """Write one JSON object on one line of stdout, and flush it: scripts wait for it."""
    import json

    # A terminal or file that isn't UTF-8 still gets every character, escaped.
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    text = json.dumps(value, ensure_ascii=plain)
    # What JSON lets through could still take over the terminal that it may be printed on.
    sys.stdout.write((text if text.isascii() and text.isprintable() else text.translate(_JSON_ESCAPED)) + "\n")
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
        _write_data(text)
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
