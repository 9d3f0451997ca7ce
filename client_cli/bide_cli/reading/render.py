"""Drawing entries for a person: days as headings, each entry under its line, everything labelled.

What is drawn are the words of `bide_cli.reading.saying`, which have been cleaned. A line is never wider than the screen: where
there is little room labels go above their text, and where there is much the text stays as narrow as is good to read.
"""

from __future__ import annotations

from bide_cli.language import _
from bide_cli.reading.saying import STATES as STATES
from bide_cli.reading.saying import Said, beneath, beside, headline, said, said_before, who
from bide_cli.terminal.dates import clock, heading, local_minute
from bide_cli.terminal.directions import isolated, isolated_lines
from bide_cli.terminal.layout import (
    BESIDE_COLUMNS_MIN,
    LABEL_COLUMNS_MAX,
    TEXT_COLUMNS_MAX,
    labelled,
    text_columns,
    text_room,
    wrap,
)
from bide_cli.terminal.shell import Shell, styled
from bide_cli.terminal.zone import local_zone

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

BOLD, FAINT = "1", "2"
ACCENTS = {"appreciation": "33", "repair": "35", "share": "36", "question": "32", "activity": "34"}
"""One quiet colour for the title of some kinds, so that they are found at a glance."""
INDENT = "  "
NARROW = 60
"""On a screen narrower than this nothing is spent on margins."""
WIDE = 100
"""From here on times stand in a margin of their own, and what is less read stands to the right."""
EDGE = TEXT_COLUMNS_MAX + 24
"""Nothing is drawn to the right of it: margin, labels and text have their full room by then."""
_TIME_COLUMNS = 7
_SEPARATOR = " · "

Piece = tuple[str, str]
"""A text that stays together where it can, and its style."""


class Sheet:
    """What lines are drawn on: worked out once, for all entries."""

    __slots__ = ("accessible", "coloured", "here", "width")

    def __init__(self, shell: Shell) -> None:
        self.coloured = shell.coloured
        self.accessible = shell.accessible
        self.width = min(shell.columns, EDGE)
        """0: no screen, nothing is wrapped."""
        self.here = local_zone()

    @property
    def is_wide(self) -> bool:
        """Whether there is room to set things apart. Not for a screen reader, which reads along the line."""
        return self.width >= WIDE and not self.accessible

    @property
    def indent(self) -> str:
        """What an entry is indented by."""
        return "" if 0 < self.width < NARROW else INDENT

    @property
    def step(self) -> str:
        """What stands beneath something is indented by this."""
        return " " * _TIME_COLUMNS if self.is_wide else INDENT

    def paint(self, text: str, style: str) -> str:
        """A cleaned text in a style, and set apart if it runs from right to left."""
        text = isolated(text)
        return styled(text, style) if self.coloured and style and text else text

    def set(self, text: str, columns: int, style: str = "") -> list[str]:
        """The lines of a cleaned text, at most `columns` wide."""
        lines: list[str] = []
        for paragraph in text.split("\n"):
            lines += isolated_lines([line.rstrip() for line in wrap(paragraph, columns)], paragraph)
        return [styled(line, style) if line else line for line in lines] if self.coloured and style else lines


def draw_timeline(
    shell: Shell, entries: Iterable[dict[str, Any]], *, today: int | None = None, whole: bool = False
) -> list[str]:
    """The lines of a timeline, oldest first.

    Args:
        shell: of this call.
        entries: as `bide.projections.timeline.show_entry` makes them.
        today: as `bide_cli.terminal.dates.today` counts it, to call it that.
        whole: with what only an entry by itself has room for.
    """
    sheet = Sheet(shell)
    lines: list[str] = []
    day = ""
    for entry in entries:
        if entry["day"] != day:
            day = entry["day"]
            lines += [*([""] if lines else []), *_draw_heading(sheet, heading(day, today=today))]
        lines.append("")
        lines += draw_entry(sheet, entry, whole=whole)
    return lines


def _draw_heading(sheet: Sheet, text: str) -> list[str]:
    lines = sheet.set(text, sheet.width, BOLD)
    rule = sheet.width - text_columns(text) - 2
    if sheet.is_wide and sheet.coloured and rule > 0 and len(lines) == 1:
        # A day is found again while scrolling, also where its name is far to the left of everything else.
        lines[0] += f"  {sheet.paint('─' * rule, FAINT)}"
    return lines


def draw_entry(sheet: Sheet, entry: dict[str, Any], *, indent: str | None = None, whole: bool = False) -> list[str]:
    """The lines of one entry: who and when, what was said, and the replies to it."""
    indent = sheet.indent if indent is None else indent
    inner = indent + sheet.step
    lines = _draw_headline(sheet, entry, indent)
    if notes := beneath(entry):
        lines += _draw_pieces(sheet, [(note, FAINT) for note in notes], inner, inner)
    lines += _draw_said(sheet, said(entry, whole=whole), inner)
    for reply in entry["replies"]:
        lines += draw_entry(sheet, reply, indent=inner, whole=whole)
    return lines


def draw_history(shell: Shell, entry: dict[str, Any]) -> list[str]:
    """The lines of an entry's earlier texts."""
    sheet = Sheet(shell)
    inner = sheet.indent + sheet.step
    lines: list[str] = []
    for item in entry["history"]:
        lines.append(sheet.indent + _("Before {time}:").format(time=local_minute(item["at"])))
        lines += _draw_said(sheet, said_before(entry["kind"], item), inner)
    return lines


def draw_notes(shell: Shell, notes: Iterable[str]) -> list[str]:
    """The lines of what is said beneath an entry, each a paragraph of its own."""
    sheet = Sheet(shell)
    lines: list[str] = []
    for note in notes:
        lines += ["", *_indented(sheet.set(note, text_room(sheet.width, len(sheet.indent))), sheet.indent)]
    return lines


def _draw_headline(sheet: Sheet, entry: dict[str, Any], indent: str) -> list[str]:
    time = f"{clock(entry['at'], entry['tz'], sheet.here)}  "
    left = [(who(entry), BOLD), (headline(entry), ACCENTS.get(entry["kind"], FAINT))]
    right = [(part, FAINT) for part in beside(entry)]
    if sheet.is_wide:
        used = len(indent) + text_columns(time) + _pieces_columns(left)
        gap = sheet.width - used - _pieces_columns(right)
        if gap >= len(_SEPARATOR):
            return [f"{indent}{time}{_joined(sheet, left)}{' ' * gap}{_joined(sheet, right)}"]
    hanging = indent + (INDENT if sheet.indent == "" else " " * _TIME_COLUMNS)
    return _draw_pieces(sheet, [*left, *right], indent + time, hanging)


def _pieces_columns(pieces: Sequence[Piece]) -> int:
    return sum(text_columns(text) for text, _style in pieces) + len(_SEPARATOR) * (len(pieces) - 1)


def _joined(sheet: Sheet, pieces: Sequence[Piece]) -> str:
    separator = sheet.paint(_SEPARATOR, FAINT)
    return separator.join(sheet.paint(text, style) for text, style in pieces)


def _draw_pieces(sheet: Sheet, pieces: Sequence[Piece], first: str, hanging: str) -> list[str]:
    """Short texts on one line with points between, or on as many lines as they need: `first` before it, then `hanging`."""
    if not sheet.width or text_columns(first) + _pieces_columns(pieces) <= sheet.width:
        return [first + _joined(sheet, pieces)]
    lines: list[str] = []
    line: list[Piece] = []
    before = first
    for piece in pieces:
        if line and text_columns(before) + _pieces_columns([*line, piece]) > sheet.width:
            lines.append(before + _joined(sheet, line))
            line, before = [], hanging
        room = sheet.width - text_columns(before)
        text, style = piece
        if text_columns(text) > room:
            *whole, text = wrap(text, max(room, 8))
            for part in whole:
                lines.append(before + sheet.paint(part, style))
                before = hanging
        line.append((text, style))
    lines.append(before + _joined(sheet, line))
    return lines


def _draw_said(sheet: Sheet, things: Sequence[Said], indent: str) -> list[str]:
    columns = min(max((text_columns(thing.label) for thing in things if thing.label), default=0), LABEL_COLUMNS_MAX)
    # Beside their label texts begin in one column: either all of them have room there, or none is put there.
    is_beside = not sheet.width or sheet.width - len(indent) - columns - 2 >= BESIDE_COLUMNS_MIN
    lines: list[str] = []
    for label, text, style in things:
        if label is None:
            # Deeper than where replies begin: no text can pass for one.
            deeper = indent + INDENT
            lines += _indented(sheet.set(text, text_room(sheet.width, len(deeper)), style), deeper)
        elif is_beside and (not sheet.width or text_columns(label) <= columns):
            texts = sheet.set(text, text_room(sheet.width, len(indent) + columns + 2))
            lines += labelled(sheet.paint(label, FAINT), texts, indent=indent, label_columns=columns)
        else:
            beneath_it = indent + INDENT
            if label:
                lines += _indented(sheet.set(label, sheet.width - len(indent), FAINT), indent)
            lines += _indented(sheet.set(text, text_room(sheet.width, len(beneath_it))), beneath_it)
    return lines


def _indented(lines: Iterable[str], indent: str) -> list[str]:
    return [f"{indent}{line}".rstrip() for line in lines]
