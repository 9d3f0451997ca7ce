"""Setting text in columns: how wide it is on a screen, and where to break it."""

from __future__ import annotations

LABEL_COLUMNS_MAX = 18


def text_columns(text: str) -> int:
    """How many columns `text` takes on a screen."""
    if text.isascii():
        return len(text)
    return sum(_character_columns(character) for character in text)


def _character_columns(character: str) -> int:
    if character < "\u0300":
        return 1
    from unicodedata import category, combining, east_asian_width

    if combining(character) or category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1


def wrap(text: str, columns: int, *, cut: bool = True) -> list[str]:
    """The lines of `text`, at most `columns` wide, broken between words; as they are if `columns` is 0.

    With `cut` a word that is wider than a line is broken as well; addresses and paths had better stay whole.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        if not columns or text_columns(line) <= columns:
            lines.append(line)
        else:
            lines.extend(_wrap_line(line, columns, cut=cut))
    return lines


def _wrap_line(line: str, columns: int, *, cut: bool) -> list[str]:
    lines: list[str] = []
    current, used = "", 0
    for word in line.split(" "):
        width = text_columns(word)
        if current and used + 1 + width > columns:
            lines.append(current)
            current, used = "", 0
        if cut and width > columns:
            *whole, word = _cut(word, columns)
            lines.extend(whole)
            width = text_columns(word)
        current, used = (f"{current} {word}", used + 1 + width) if current else (word, width)
    lines.append(current)
    return lines


def _cut(word: str, columns: int) -> list[str]:
    """A word that is wider than a line, such as Japanese prose, in pieces."""
    pieces: list[str] = []
    current, used = "", 0
    for character in word:
        width = _character_columns(character)
        if current and used + width > columns:
            pieces.append(current)
            current, used = "", 0
        current += character
        used += width
    pieces.append(current)
    return pieces


def labelled(label: str, text: str, *, indent: str, label_columns: int, width: int) -> list[str]:
    """A text with its label before it: ``Went well   The walk by the river``, continued below itself.

    Args:
        label: set in a column of its own.
        text: may have several lines.
        indent: before all lines.
        label_columns: width of the label's column.
        width: of the screen; 0: don't wrap.
    """
    hanging = label_columns + 2
    columns = max(width - len(indent) - hanging, 20) if width else 0
    first, *others = wrap(text, columns)
    head = f"{indent}{label}{' ' * max(hanging - text_columns(label), 1)}{first}".rstrip()
    return [head, *(f"{indent}{' ' * hanging}{line}".rstrip() for line in others)]
