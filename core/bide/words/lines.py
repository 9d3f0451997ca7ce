"""Lines: where in a TOML file something stands. Python's reader keeps no positions, and an error has to name the line.

This walks over a text that the reader has accepted already, so it may take the grammar for granted. It runs only when there
is something to report.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any, NamedTuple

Path = tuple[str | int, ...]
"""Keys and places in arrays, as in ``("items", 3, "text")``."""

PATH_PARTS_MAX = 4

# No possessive quantifiers: those of Python 3.11.2, which Debian ships, go wrong on groups. The alternatives exclude each other
# instead, so there is nothing to backtrack into.
_TOKEN = re.compile(
    r'''"""(?:\\.|(?!""")[^\\])*"{3,5}'''
    r"""|'''(?:(?!''').)*'{3,5}"""
    r"""|"(?:\\.|[^"\\\n])*"|'[^'\n]*\'"""
    r"""|\#[^\n]*|\n|[ \t]+|[\[\]{},]|[^\s"'\#\[\]{},]+|.""",
    re.DOTALL,
)


class _Statement(NamedTuple):
    """A header, or a key with its value."""

    line: int
    source: str
    elements: list[int]
    """If the value is an array: the line on which each element begins."""


def line_of(text: str, path: Path) -> int:
    """The line, from 1, of what `path` leads to, or of the nearest thing around it that has a line of its own."""
    lines = _index(text)
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _index(text: str) -> dict[Path, int]:
    lines: dict[Path, int] = {}
    inside: Path = ()
    counts: dict[Path, int] = {}
    for statement in _statements(text):
        try:
            parsed = tomllib.loads(statement.source)
        except (ValueError, RecursionError):
            continue
        if not statement.source.startswith("["):
            _note(lines, inside, parsed, statement)
            continue
        inside = ()
        value: Any = parsed
        while isinstance(value, dict) and value:
            key, value = next(iter(value.items()))
            inside += (key,)
            lines.setdefault(inside, statement.line)
            if isinstance(value, list):
                counts[inside] = counts.get(inside, 0) + 1
                value = value[0]
            if inside in counts:
                inside += (counts[inside] - 1,)
                lines.setdefault(inside, statement.line)
    return lines


def _note(lines: dict[Path, int], inside: Path, parsed: dict[str, Any], statement: _Statement) -> None:
    """Enter what a key with its value defines. An inline table defines several things on its line."""
    for key, value in parsed.items():
        path = (*inside, key)
        lines.setdefault(path, statement.line)
        if isinstance(value, dict) and len(path) < PATH_PARTS_MAX:
            _note(lines, path, value, statement)
        elif isinstance(value, list):
            for place, line in enumerate(statement.elements[: len(value)]):
                lines.setdefault((*path, place), line)


def _statements(text: str) -> Iterator[_Statement]:
    line, depth, start, start_line = 1, 0, -1, 1
    elements: list[int] = []
    expecting = False
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token == "\n":  # noqa: S105
            if depth == 0 and start >= 0:
                yield _Statement(start_line, text[start : match.start()], elements)
                start = -1
            line += 1
            continue
        if token[0] in "# \t":
            continue
        if start < 0:
            start, start_line, elements, expecting = match.start(), line, [], False
        if expecting and depth == 1 and token != "]":  # noqa: S105
            elements.append(line)
            expecting = False
        if token in ("[", "{"):
            depth += 1
            expecting = token == "[" and depth == 1  # noqa: S105
        elif token in ("]", "}"):
            depth -= 1
        elif token == "," and depth == 1:  # noqa: S105
            expecting = True
        line += token.count("\n")
    if start >= 0:
        yield _Statement(start_line, text[start:], elements)
