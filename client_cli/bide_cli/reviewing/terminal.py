"""A look back on a screen: blocks over the weeks, then the words. Where blocks would be noise, the same in plain words."""

from __future__ import annotations

import os
import sys

from bide_cli.language import _, plural
from bide_cli.layout import LABEL_COLUMNS_MAX, labelled, text_columns, wrap
from bide_cli.reviewing.days import WEEKDAYS_SHORT, axis, span_name
from bide_cli.reviewing.outline import empty_words, heading, is_empty, outline, preface
from bide_cli.shell import Shell, clean, clean_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bide_cli.reviewing.outline import Group, Section

BOLD, FAINT = "1", "2"
INDENT = "  "
LEVELS = "▁▂▃▄▅▆▇█"
BAR = "█"
NONE = "·"
BAR_COLUMNS_MAX = 24
CELL_COLUMNS_MAX = 4
ITEMS_MAX = 4
"""So many of one week are shown; all of them stand on the page and in the JSON."""
WEEKDAY_WORDS_MIN = 20
"""With fewer feelings than this the days of the week would show chance only."""


def draw_review(shell: Shell, data: dict[str, Any]) -> list[str]:
    """The lines of a look back."""
    lines = [shell.style(heading(data), BOLD), *_set(shell, preface(), "")]
    if is_empty(data):
        return [*lines, "", *_set(shell, empty_words(), "")]
    lines += _draw_feelings(shell, data)
    more = False
    for section in outline(data):
        drawn, cut = _draw_section(shell, section)
        lines += ["", *drawn]
        more = more or cut
    if more:
        lines += ["", *_set(shell, _("All of it, as a page to keep or print: bide review --html FILE"), "", faint=True)]
    return lines


def weekday_rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The cores by day of the week, where there is enough to see anything in it."""
    cores: list[dict[str, Any]] = data["feelings"]["cores"]
    return cores if sum(sum(core["by_weekday"]) for core in cores) >= WEEKDAY_WORDS_MIN else []


def drawn_in_blocks(shell: Shell) -> bool:
    """Whether blocks can be seen: on a real screen, by somebody who didn't ask for plain words."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    return bool(shell.width) and not shell.accessible and os.environ.get("TERM", "dumb") != "dumb" and encoding == "utf8"


def _set(shell: Shell, text: str, indent: str, *, faint: bool = False) -> list[str]:
    lines = wrap(text, max(shell.width - len(indent), 20) if shell.width else 0)
    return [indent + (shell.style(line, FAINT) if faint else line) for line in lines]


# Pictures


def _draw_feelings(shell: Shell, data: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    cores = data["feelings"]["cores"]
    if cores:
        names = [span_name(data, number) for number in range(len(data["spans"]))]
        lines += ["", shell.style(feelings_title(data), BOLD)]
        lines += _rows(shell, [(core["word"], core["by_span"]) for core in cores], names, data=data)
    if rows := weekday_rows(data):
        lines += ["", shell.style(_("Feelings through the week"), BOLD)]
        lines += _rows(shell, [(core["word"], core["by_weekday"]) for core in rows], [_(day) for day in WEEKDAYS_SHORT])
    if often := data["feelings"]["words"]:
        lines += ["", shell.style(_("Words you chose most"), BOLD), *_draw_words(shell, often)]
    return lines


def feelings_title(data: dict[str, Any]) -> str:
    """What stands over the picture of the feelings."""
    return {
        "week": _("Feelings, week by week"),
        "month": _("Feelings, month by month"),
        "quarter": _("Feelings, by quarters of a year"),
        "year": _("Feelings, year by year"),
    }[data["step"]]


def _rows(
    shell: Shell, rows: Sequence[tuple[str, list[int]]], names: list[str], *, data: dict[str, Any] | None = None
) -> list[str]:
    """A row for each feeling and a column for each name; with `data` months or years stand over the columns."""
    label_columns = max(text_columns(word) for word, _counts in rows)
    count = len(names)
    cell = min((shell.width - len(INDENT) - label_columns - 2) // count, CELL_COLUMNS_MAX)
    if data is None:
        cell = min(max(cell, max(map(text_columns, names)) + 1), (shell.width - len(INDENT) - label_columns - 2) // count)
    if cell < 1 or not drawn_in_blocks(shell):
        return _in_words(shell, rows, names)
    marks = axis(data, apart=-(-5 // cell)) if data else list(enumerate(name[: max(cell - 1, 1)] for name in names))
    most = max(max(counts) for _word, counts in rows)
    lines = [INDENT + " " * (label_columns + 2) + shell.style(_axis_line(marks, cell), FAINT)]
    for word, counts in rows:
        cells = "".join(_cell(shell, number, most, cell) for number in counts)
        lines.append(f"{INDENT}{_padded(word, label_columns)}  {cells}".rstrip())
    told = plural("The tallest block stands for {n} word.", "The tallest block stands for {n} words.", most)
    return [*lines, *_set(shell, told, INDENT, faint=True)]


def _axis_line(marks: list[tuple[int, str]], cell: int) -> str:
    line = ""
    for number, name in marks:
        line += " " * (number * cell - text_columns(line)) + name
    return line


def _cell(shell: Shell, number: int, most: int, cell: int) -> str:
    if not number:
        return shell.style(NONE, FAINT) + " " * (cell - 1)
    block = LEVELS[-(-number * len(LEVELS) // most) - 1]
    return block * max(cell - 1, 1) + " " * (cell > 1)


def _in_words(shell: Shell, rows: Sequence[tuple[str, list[int]]], names: list[str]) -> list[str]:
    lines: list[str] = []
    for word, counts in rows:
        said = ", ".join(f"{name}: {number}" for name, number in zip(names, counts, strict=True) if number)
        lines += _set(shell, f"{clean_line(word)}. {said}", INDENT)
    return lines


def _draw_words(shell: Shell, often: list[dict[str, Any]]) -> list[str]:
    if not drawn_in_blocks(shell):
        said = ", ".join(f"{clean_line(item['word'])}: {item['times']}" for item in often)
        return _set(shell, said, INDENT)
    label_columns = max(text_columns(clean_line(item["word"])) for item in often)
    bar_columns = min(shell.width - len(INDENT) - label_columns - 8, BAR_COLUMNS_MAX)
    most = often[0]["times"]
    lines = []
    for item in often:
        bar = BAR * max(round(bar_columns * item["times"] / most), 1) if bar_columns > 3 else ""
        lines.append(f"{INDENT}{_padded(clean_line(item['word']), label_columns)}  {bar} {item['times']}")
    return lines


def _padded(text: str, columns: int) -> str:
    return text + " " * (columns - text_columns(text))


# Words


def _draw_section(shell: Shell, section: Section) -> tuple[list[str], bool]:
    """The lines of a section, and whether something was left out for brevity."""
    lines = [shell.style(section.title, BOLD)]
    if section.about:
        lines += _set(shell, section.about, "", faint=True)
    labels = [label for group in section.groups for item in group.items for label, _text in item.parts]
    columns = min(max(map(text_columns, labels)), LABEL_COLUMNS_MAX)
    cut = False
    for group in section.groups:
        lines += ["", INDENT + shell.style(group.heading, FAINT), *_draw_items(shell, group, columns)]
        left = len(group.items) - ITEMS_MAX
        if left > 0:
            cut = True
            lines.append(INDENT * 2 + shell.style(plural("and {n} more entry", "and {n} more entries", left), FAINT))
    return lines, cut


def _draw_items(shell: Shell, group: Group, columns: int) -> list[str]:
    lines: list[str] = []
    for item in group.items[:ITEMS_MAX]:
        for label, text in item.parts:
            if columns:
                drawn = labelled(label, clean(text), indent=INDENT * 2, label_columns=columns, width=shell.width)
            else:
                drawn = [line for part in clean(text).split("\n") for line in _set(shell, part, INDENT * 2)]
            if label and shell.coloured:
                drawn[0] = drawn[0].replace(label, shell.style(label, FAINT), 1)
            lines += drawn
    return lines
