"""Text that runs from right to left, on a screen that runs from left to right.

Hebrew and Arabic pull the signs and numbers beside them to their side, so that a code or a time could land in the middle of a
name. What a person wrote is therefore isolated, by Unicode's annex 9: inside it runs as its first letter says, outside of it
nothing moves. The marks are made here and nowhere else; those in somebody's text were taken out by
`bide_cli.terminal.shell.clean`. They travel as lone surrogates, as styles do, and become what they stand for only on a terminal
(`bide_cli.terminal.shell.shown`).
"""

from __future__ import annotations

FIRST_STRONG_ISOLATE, POP_ISOLATE, LEFT_TO_RIGHT, RIGHT_TO_LEFT = "\udb80", "\udb81", "\udb82", "\udb83"
MARKS = {
    ord(FIRST_STRONG_ISOLATE): "\u2068",
    ord(POP_ISOLATE): "\u2069",
    ord(LEFT_TO_RIGHT): "\u200e",
    ord(RIGHT_TO_LEFT): "\u200f",
}
"""What travels, and what it stands for."""

_FIRST = "\u0590"
"""Nothing before it runs from right to left."""
_TURNING = frozenset(("R", "AL", "AN"))
_FROM_THE_RIGHT = frozenset(("R", "AL"))


def isolated(text: str) -> str:
    """`text`, which is one line, so that it moves nothing around it; as it is if it wouldn't anyway."""
    return f"{FIRST_STRONG_ISOLATE}{text}{POP_ISOLATE}" if _turns(text) else text


def isolated_lines(lines: list[str], paragraph: str) -> list[str]:
    """The lines that a paragraph was broken into, each isolated, and each running as the paragraph does."""
    if not _turns(paragraph):
        return lines
    right_to_left = _starts_from_the_right(paragraph)
    mark = RIGHT_TO_LEFT if right_to_left else LEFT_TO_RIGHT
    directed: list[str] = []
    for line in lines:
        if not line or not (right_to_left or _turns(line)):
            directed.append(line)
            continue
        # A line in the middle may begin with a word of the other direction, and would run as that one does.
        lead = "" if _starts_from_the_right(line) == right_to_left else mark
        directed.append(f"{FIRST_STRONG_ISOLATE}{lead}{line}{POP_ISOLATE}")
    return directed


def _turns(text: str) -> bool:
    if text.isascii() or max(text) < _FIRST:
        return False
    from unicodedata import bidirectional

    return any(character >= _FIRST and bidirectional(character) in _TURNING for character in text)


def _starts_from_the_right(text: str) -> bool:
    """Whether the first letter that has a direction runs from right to left."""
    from unicodedata import bidirectional

    for character in text:
        direction = bidirectional(character)
        if direction == "L":
            return False
        if direction in _FROM_THE_RIGHT:
            return True
    return False
