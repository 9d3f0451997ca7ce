"""Pictures of a look back as inline SVG. Places are in percent and sizes in pixels, so that text stays readable."""

from __future__ import annotations

from html import escape
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PLOT_LEFT, PLOT_WIDTH = 25.0, 74.0
"""Where the columns begin, and how wide all of them are, in percent. To the left of them stand the names of the rows."""
_NARROW_PX = 340
"""The width a picture has on a small telephone: dots of neighbouring columns must not touch there."""
_DOT_PX_MAX, _DOT_PX_MIN = 11.0, 2.0
_BAR_LEFT, _BAR_WIDTH = 37.0, 52.0
_BAR_PITCH_PX, _BAR_PX = 30, 8
_LABEL_CHARS_MAX = 16
_TOP_PX = 30


class Row(NamedTuple):
    """One row of dots."""

    core: str
    """Gives it its colour."""
    label: str
    counts: Sequence[int]


class Bar(NamedTuple):
    """One bar."""

    core: str
    label: str
    times: int


def dots(
    key: str, title: str, description: str, rows: Sequence[Row], *, columns: Sequence[str], marks: Sequence[tuple[int, str]]
) -> str:
    """A row for each feeling and a column for each span of time; the area of a dot says how often.

    Args:
        key: makes the ids unique in the page.
        title: what it is, for those who can't see it.
        description: how it is to be read.
        rows: at least one.
        columns: their names, told of each dot.
        marks: which columns have a name above them.
    """
    width = PLOT_WIDTH / len(columns)
    largest = min(_DOT_PX_MAX, _NARROW_PX * width / 100 / 2)
    pitch = max(24, round(largest * 2 + 10))
    most = max(max(row.counts) for row in rows)
    height = _TOP_PX + pitch * len(rows)

    def middle(column: int) -> str:
        return f"{PLOT_LEFT + width * (column + 0.5):.2f}%"

    parts = [
        f'<text class="mark" x="{middle(column)}" y="14" text-anchor="middle">{escape(name)}</text>' for column, name in marks
    ]
    for number, row in enumerate(rows):
        y = _TOP_PX + pitch * number + pitch // 2
        parts.append(f'<line class="base" x1="{PLOT_LEFT}%" x2="{PLOT_LEFT + PLOT_WIDTH}%" y1="{y}" y2="{y}"/>')
        parts.append(_label(row.label, y=y))
        for column, count in enumerate(row.counts):
            if count:
                radius = max(largest * (count / most) ** 0.5, _DOT_PX_MIN)
                told = escape(f"{row.label}, {columns[column]}: {count}")
                parts.append(
                    f'<circle class="{escape(row.core)}" cx="{middle(column)}" cy="{y}" r="{radius:.1f}">'
                    f"<title>{told}</title></circle>"
                )
    return _picture(key, title, description, height, parts)


def bars(key: str, title: str, description: str, items: Sequence[Bar]) -> str:
    """A bar for each word."""
    most = max(item.times for item in items)
    parts: list[str] = []
    for number, item in enumerate(items):
        y = _BAR_PITCH_PX * number + _BAR_PITCH_PX // 2
        width = _BAR_WIDTH * item.times / most
        parts.append(_label(item.label, y=y))
        parts.append(
            f'<rect class="{escape(item.core or "own")}" x="{_BAR_LEFT}%" y="{y - _BAR_PX // 2}" width="{width:.2f}%" '
            f'height="{_BAR_PX}" rx="{_BAR_PX // 2}"/>'
        )
        parts.append(f'<text class="times" x="{_BAR_LEFT + width + 2:.2f}%" y="{y}" dy="0.35em">{item.times}</text>')
    return _picture(key, title, description, _BAR_PITCH_PX * len(items), parts)


def _label(text: str, *, y: int) -> str:
    shown = text if len(text) <= _LABEL_CHARS_MAX else f"{text[: _LABEL_CHARS_MAX - 1]}…"
    return f'<text class="name" x="0" y="{y}" dy="0.35em">{escape(shown)}</text>'


def _picture(key: str, title: str, description: str, height: int, parts: list[str]) -> str:
    return (
        f'<svg role="img" aria-labelledby="{key}-title {key}-desc" width="100%" height="{height}">'
        f'<title id="{key}-title">{escape(title)}</title><desc id="{key}-desc">{escape(description)}</desc>'
        f"{''.join(parts)}</svg>"
    )
