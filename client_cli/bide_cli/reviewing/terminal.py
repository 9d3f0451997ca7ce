"""A look back on a screen: blocks over the weeks, then the words. Where blocks would be noise, the same in plain words."""

from __future__ import annotations

import os
import sys

from bide_cli.language import _, plural
from bide_cli.reading.render import BOLD, FAINT, INDENT, Sheet
from bide_cli.reviewing.days import WEEKDAYS_SHORT, axis, span_name
from bide_cli.reviewing.outline import empty_words, heading, is_empty, outline, preface
from bide_cli.terminal.layout import BESIDE_COLUMNS_MIN, LABEL_COLUMNS_MAX, labelled, text_columns, text_room, wrap
from bide_cli.terminal.shell import Shell, clean, clean_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from bide_cli.reviewing.outline import Group, Section

BLOCKS = "36"
"""The one colour of all pictures: none of the feelings is the red one."""
LEVELS = "▁▂▃▄▅▆▇█"
BAR = "━"
NONE = "·"
BAR_COLUMNS_MAX = 24
_BAR_COLUMNS_MIN = 4
_COUNT_COLUMNS = 8
CELL_COLUMNS_MAX = 4
_MARK_COLUMNS = 5
"""A month or a year over a column, and a space."""
_WORD_COLUMNS_MAX = 16
ITEMS_MAX = 4
"""So many entries of one week are shown; all of them stand on the page and in the JSON."""
WEEKDAY_WORDS_MIN = 20
"""With fewer feelings than this the days of the week would show chance only."""


def draw_review(shell: Shell, data: dict[str, Any]) -> list[str]:
    """The lines of a look back."""
    sheet = Sheet(shell)
    lines = [*_prose(sheet, heading(data), BOLD), *_prose(sheet, preface())]
    if is_empty(data):
        return [*lines, "", *_prose(sheet, empty_words())]
    lines += _draw_feelings(sheet, data, in_blocks=_shows_blocks(shell))
    cut = False
    for section in outline(data):
        drawn, was_cut = _draw_section(sheet, section)
        lines += ["", *drawn]
        cut = cut or was_cut
    if cut:
        lines += ["", *_prose(sheet, _("All of it, as a page to keep or to print: bide review --html FILE"), FAINT)]
    return lines


def weekday_rows(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The cores by day of the week, where there is enough to see anything in it."""
    cores: list[dict[str, Any]] = data["feelings"]["cores"]
    return cores if sum(sum(core["by_weekday"]) for core in cores) >= WEEKDAY_WORDS_MIN else []


def feelings_title(data: dict[str, Any]) -> str:
    """What stands over the picture of the feelings."""
    return {
        "week": _("Feelings, week by week"),
        "month": _("Feelings, month by month"),
        "quarter": _("Feelings, by quarters of a year"),
        "year": _("Feelings, year by year"),
    }[data["step"]]


def _shows_blocks(shell: Shell) -> bool:
    """Whether blocks can be seen: on a real screen, by somebody who didn't ask for plain words."""
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    return bool(shell.columns) and not shell.accessible and os.environ.get("TERM", "dumb") != "dumb" and encoding == "utf8"


def _prose(sheet: Sheet, text: str, style: str = "", indent: str = "") -> list[str]:
    return _indented(sheet.set(text, text_room(sheet.width, len(indent)), style), indent)


def _indented(lines: Iterable[str], indent: str) -> list[str]:
    return [f"{indent}{line}".rstrip() for line in lines]


# Pictures


def _draw_feelings(sheet: Sheet, data: dict[str, Any], *, in_blocks: bool) -> list[str]:
    lines: list[str] = []
    feelings = data["feelings"]
    if cores := feelings["cores"]:
        names = [span_name(data, number) for number in range(len(data["spans"]))]
        rows = [(core["word"], core["by_span"]) for core in cores]
        cell = _cell_columns(sheet, rows, len(names)) if in_blocks else 0
        lines += ["", *_prose(sheet, feelings_title(data), BOLD)]
        if cell:
            lines += _in_blocks(sheet, rows, cell, axis(data, apart=-(-_MARK_COLUMNS // cell)))
        else:
            lines += _in_words(sheet, rows, names)
    if cores := weekday_rows(data):
        names = [_(day) for day in WEEKDAYS_SHORT]
        rows = [(core["word"], core["by_weekday"]) for core in cores]
        cell = _cell_columns(sheet, rows, len(names)) if in_blocks else 0
        lines += ["", *_prose(sheet, _("Feelings through the week"), BOLD)]
        # As many letters of a day as there is room for.
        shown = [name if text_columns(name) < cell else wrap(name, max(cell - 1, 1))[0] for name in names]
        lines += _in_blocks(sheet, rows, cell, list(enumerate(shown))) if cell else _in_words(sheet, rows, names)
    if often := feelings["words"]:
        lines += ["", *_prose(sheet, _("Words you chose most"), BOLD), *_draw_words(sheet, often, in_blocks=in_blocks)]
    return lines


Rows = list[tuple[str, list[int]]]
"""A word and how often it stands in each column."""


def _label_columns(words: Iterable[str]) -> int:
    return min(max(map(text_columns, words)), _WORD_COLUMNS_MAX)


def _cell_columns(sheet: Sheet, rows: Rows, count: int) -> int:
    """How wide a column of a picture is; 0: there is no room for it."""
    room = sheet.width - len(INDENT) - _label_columns(word for word, _counts in rows) - 2
    return max(0, min(room // count, CELL_COLUMNS_MAX))


def _in_blocks(sheet: Sheet, rows: Rows, cell: int, marks: Sequence[tuple[int, str]]) -> list[str]:
    label_columns = _label_columns(word for word, _counts in rows)
    most = max(max(counts) for _word, counts in rows)
    line = ""
    for number, name in marks:
        line += " " * (number * cell - text_columns(line)) + name
    lines = [INDENT + " " * (label_columns + 2) + sheet.paint(line, FAINT)]
    for word, counts in rows:
        cells = "".join(_cell(sheet, number, most, cell) for number in counts)
        lines.append(f"{INDENT}{_padded(sheet, word, label_columns)}  {cells}".rstrip())
    told = plural("The tallest block: named once.", "The tallest block: named {n} times.", most)
    return [*lines, *_prose(sheet, told, FAINT, INDENT)]


def _cell(sheet: Sheet, number: int, most: int, cell: int) -> str:
    if not number:
        return sheet.paint(NONE, FAINT) + " " * (cell - 1)
    block = LEVELS[-(-number * len(LEVELS) // most) - 1]
    return sheet.paint(block * max(cell - 1, 1), BLOCKS) + " " * (cell > 1)


def _in_words(sheet: Sheet, rows: Rows, names: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for word, counts in rows:
        said = ", ".join(f"{name} ({number})" for name, number in zip(names, counts, strict=True) if number)
        lines += _prose(sheet, f"{clean_line(word)}: {said}", indent=INDENT)
    return lines


def _draw_words(sheet: Sheet, often: list[dict[str, Any]], *, in_blocks: bool) -> list[str]:
    words = [clean_line(item["word"]) for item in often]
    label_columns = _label_columns(words)
    bar_columns = min(sheet.width - len(INDENT) - label_columns - _COUNT_COLUMNS, BAR_COLUMNS_MAX)
    if not in_blocks or bar_columns < _BAR_COLUMNS_MIN:
        said = ", ".join(f"{word} ({item['times']})" for word, item in zip(words, often, strict=True))
        return _prose(sheet, said, indent=INDENT)
    most = often[0]["times"]
    lines = []
    for word, item in zip(words, often, strict=True):
        bar = BAR * max(round(bar_columns * item["times"] / most), 1)
        lines.append(f"{INDENT}{_padded(sheet, word, label_columns)}  {sheet.paint(bar, BLOCKS)} {item['times']}")
    return lines


def _padded(sheet: Sheet, word: str, columns: int) -> str:
    """A word in a column: cut if it is too long for it."""
    if text_columns(word) > columns:
        first, *_rest = wrap(word.replace(" ", "\N{NO-BREAK SPACE}"), columns - 1)
        word = f"{first}…"
    return sheet.paint(word, "") + " " * (columns - text_columns(word))


# Words


def _draw_section(sheet: Sheet, section: Section) -> tuple[list[str], bool]:
    """The lines of a section, and whether something was left out for brevity."""
    lines = _prose(sheet, section.title, BOLD)
    if section.about:
        lines += _prose(sheet, section.about, FAINT)
    labels = [label for group in section.groups for item in group.items for label, _text in item.parts]
    columns = min(max(map(text_columns, labels)), LABEL_COLUMNS_MAX)
    cut = False
    for group in section.groups:
        lines += ["", *_prose(sheet, group.heading, FAINT, sheet.indent), *_draw_items(sheet, group, columns)]
        left = len(group.items) - ITEMS_MAX
        if left > 0:
            cut = True
            lines += _prose(sheet, plural("and {n} more entry", "and {n} more entries", left), FAINT, sheet.indent + INDENT)
    return lines, cut


def _draw_items(sheet: Sheet, group: Group, columns: int) -> list[str]:
    """Texts beside their labels where there is room for that, beneath them elsewhere."""
    indent = sheet.indent + INDENT
    is_beside = not sheet.width or sheet.width - len(indent) - columns - 2 >= BESIDE_COLUMNS_MIN
    lines: list[str] = []
    for label, text in (part for item in group.items[:ITEMS_MAX] for part in item.parts):
        if label and is_beside and text_columns(label) <= columns:
            texts = sheet.set(clean(text), text_room(sheet.width, len(indent) + columns + 2))
            lines += labelled(sheet.paint(label, FAINT), texts, indent=indent, label_columns=columns)
        else:
            lines += _prose(sheet, label, FAINT, indent) if label else []
            lines += _prose(sheet, clean(text), "", indent + (INDENT if label else ""))
    return lines
