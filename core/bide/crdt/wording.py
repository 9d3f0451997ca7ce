"""Comparing versions of one text by their words: what differs, and what comes of two edits made at the same time.

The smallest thing that is exchanged is a token: a word, a gap, a sign. So two people who change different words of one
sentence both find their word in it, and letters of two words never mix. Pure, and the same on every device.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

DISTANCE_MAX = 400
"""How many tokens may differ before everything between the first and the last of them counts as one stretch. The time that a
comparison takes grows with the square of it."""
_BETWEEN = " / "
_JOINER = "\u200d"


class _Sort(Enum):
    """What a character is to its neighbours. By ranges of our own: Unicode's tables differ between versions of Python."""

    WORD = "part of a word"
    SPACE = "part of a gap"
    SIGN = "stands by itself"
    SYLLABLE = "stands by itself and says something: a character of a script that is written without spaces"
    CLINGING = "goes with what stands before it"


_RANGES: tuple[tuple[int, int, _Sort], ...] = (
    (0x00, 0x20, _Sort.SPACE),
    (0x21, 0x26, _Sort.SIGN),
    (0x27, 0x27, _Sort.CLINGING),  # as in: don't
    (0x28, 0x2F, _Sort.SIGN),
    (0x3A, 0x40, _Sort.SIGN),
    (0x5B, 0x5E, _Sort.SIGN),
    (0x60, 0x60, _Sort.SIGN),
    (0x7B, 0x7E, _Sort.SIGN),
    (0x7F, 0xA0, _Sort.SPACE),
    (0xA1, 0xA9, _Sort.SIGN),
    (0xAB, 0xB4, _Sort.SIGN),
    (0xB6, 0xB9, _Sort.SIGN),
    (0xBB, 0xBF, _Sort.SIGN),
    (0x300, 0x36F, _Sort.CLINGING),
    (0xE31, 0xE31, _Sort.CLINGING),
    (0xE34, 0xE3A, _Sort.CLINGING),
    (0xE47, 0xE4E, _Sort.CLINGING),
    (0xEB1, 0xEB1, _Sort.CLINGING),
    (0xEB4, 0xEBC, _Sort.CLINGING),
    (0xEC8, 0xECE, _Sort.CLINGING),
    (0xE01, 0xEFF, _Sort.SYLLABLE),  # Thai and Lao, their marks apart
    (0x1680, 0x1680, _Sort.SPACE),
    (0x2000, 0x200A, _Sort.SPACE),
    (0x200D, 0x200D, _Sort.CLINGING),
    (0x2019, 0x2019, _Sort.CLINGING),
    (0x2028, 0x2029, _Sort.SPACE),
    (0x202F, 0x202F, _Sort.SPACE),
    (0x205F, 0x205F, _Sort.SPACE),
    (0x2010, 0x205E, _Sort.SIGN),
    (0x20D0, 0x20FF, _Sort.CLINGING),
    (0x2190, 0x2BFF, _Sort.SIGN),
    (0x3000, 0x3000, _Sort.SPACE),
    (0x3099, 0x309A, _Sort.CLINGING),
    (0x3001, 0x3003, _Sort.SIGN),
    (0x3008, 0x3020, _Sort.SIGN),
    (0x2E80, 0x31FF, _Sort.SYLLABLE),  # Chinese and Japanese
    (0x3200, 0x9FFF, _Sort.SYLLABLE),
    (0xF900, 0xFAFF, _Sort.SYLLABLE),
    (0xFE00, 0xFE0F, _Sort.CLINGING),
    (0xFF00, 0xFF65, _Sort.SIGN),
    (0xFF66, 0xFF9F, _Sort.SYLLABLE),
    (0x1F3FB, 0x1F3FF, _Sort.CLINGING),
    (0x1F000, 0x1FAFF, _Sort.SIGN),
    (0x20000, 0x3FFFF, _Sort.SYLLABLE),
)
"""The first that a character is in decides; a character in none is part of a word."""


class Stretch(NamedTuple):
    """A part of a text that became something else."""

    start: int
    """The first token of the old text that went, or before which something new stands."""
    end: int
    """The token after the last that went."""
    new: tuple[str, ...]
    """The tokens that came for it."""


class Merged(NamedTuple):
    """What several versions of a text come to."""

    text: str
    clashes: bool
    """Whether two of them changed the same stretch, or touching ones, differently."""


def tokens(text: str) -> list[str]:
    """`text` in words, gaps and single signs. Joined they are the text again."""
    found: list[str] = []
    last: _Sort | None = None
    for character in text:
        sort = _sort(character)
        if sort is _Sort.CLINGING and last in (None, _Sort.SPACE):
            sort, last = _Sort.WORD, None  # nothing to go with: a quote before a word begins it
        alike = sort is last and sort in (_Sort.WORD, _Sort.SPACE)
        if found and (alike or sort is _Sort.CLINGING or found[-1].endswith(_JOINER)):
            found[-1] += character
        else:
            found.append(character)
        last = sort if sort is not _Sort.CLINGING else last
    return found


@lru_cache(maxsize=4096)
def _sort(character: str) -> _Sort:
    code = ord(character)
    return next((sort for first, last, sort in _RANGES if first <= code <= last), _Sort.WORD)


def stretches(old: Sequence[str], new: Sequence[str]) -> list[Stretch]:
    """Where `new` differs from `old`, in order.

    Two changes with nothing but gaps and signs between them are one: a sentence that was replaced is one stretch, even if both
    the old and the new one have gaps in them.
    """
    begin = 0
    while begin < min(len(old), len(new)) and old[begin] == new[begin]:
        begin += 1
    tail = 0
    while tail < min(len(old), len(new)) - begin and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    old_end, new_end = len(old) - tail, len(new) - tail
    pieces = [
        (begin + a, begin + b, begin + c, begin + d) for a, b, c, d in _differences(old[begin:old_end], new[begin:new_end])
    ]
    joined: list[tuple[int, int, int, int]] = []
    for piece in pieces:
        if joined and not any(_is_word(token) for token in old[joined[-1][1] : piece[0]]):
            joined[-1] = (joined[-1][0], piece[1], joined[-1][2], piece[3])
        else:
            joined.append(piece)
    return [Stretch(start, end, tuple(new[new_start:new_stop])) for start, end, new_start, new_stop in joined]


def _is_word(token: str) -> bool:
    return any(_sort(character) in (_Sort.WORD, _Sort.SYLLABLE) for character in token)


def _differences(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int, int, int]]:
    """(from, to) in `old` and (from, to) in `new` of everything that differs, by Myers' greedy comparison.

    E. W. Myers, An O(ND) Difference Algorithm and Its Variations, Algorithmica 1 (1986).
    """
    if not old and not new:
        return []
    whole = [(0, len(old), 0, len(new))]
    if not old or not new:
        return whole
    furthest = {1: 0}
    trace: list[dict[int, int]] = []
    for distance in range(min(len(old) + len(new), DISTANCE_MAX) + 1):
        trace.append(dict(furthest))
        for diagonal in range(-distance, distance + 1, 2):
            down = diagonal == -distance or (diagonal != distance and furthest[diagonal - 1] < furthest[diagonal + 1])
            x = furthest[diagonal + 1] if down else furthest[diagonal - 1] + 1
            y = x - diagonal
            while x < len(old) and y < len(new) and old[x] == new[y]:
                x, y = x + 1, y + 1
            furthest[diagonal] = x
            if x >= len(old) and y >= len(new):
                return _backwards(trace, len(old), len(new))
    return whole


def _backwards(trace: list[dict[int, int]], x: int, y: int) -> list[tuple[int, int, int, int]]:
    """The way that the comparison took, as differences in order; neighbouring ones are joined."""
    found: list[tuple[int, int, int, int]] = []
    for distance in range(len(trace) - 1, 0, -1):
        furthest = trace[distance]
        diagonal = x - y
        down = diagonal == -distance or (diagonal != distance and furthest[diagonal - 1] < furthest[diagonal + 1])
        before = diagonal + 1 if down else diagonal - 1
        from_x = furthest[before]
        from_y = from_x - before
        to_x, to_y = (from_x, from_y + 1) if down else (from_x + 1, from_y)
        if found and (to_x, to_y) == (found[-1][0], found[-1][2]):
            found[-1] = (from_x, found[-1][1], from_y, found[-1][3])
        else:
            found.append((from_x, to_x, from_y, to_y))
        x, y = from_x, from_y
    return found[::-1]


def merge(base: str, versions: Sequence[str]) -> Merged:
    """What versions that were all made from `base`, none knowing of another, come to together.

    Stretches that don't touch are all taken. Of those that do, one that all agree on is taken once; of different ones each is
    shown, with a stroke between.

    Args:
        base: what they began from.
        versions: each person's text, in an order that is the same on every device.
    """
    old = tokens(base)
    edits = sorted((stretch, number) for number, version in enumerate(versions) for stretch in stretches(old, tokens(version)))
    text: list[str] = []
    clashes = False
    done = 0
    while edits:
        group = [edits.pop(0)]
        start, end = group[0][0].start, group[0][0].end
        while edits and edits[0][0].start <= end:
            group.append(edits.pop(0))
            end = max(end, group[-1][0].end)
        said = {number for _, number in group}
        wordings = list(dict.fromkeys(_apply(old, group, number, start, end) for number in sorted(said)))
        clashes = clashes or len(wordings) > 1
        text += [*old[done:start], _side_by_side(wordings)]
        done = end
    return Merged("".join([*text, *old[done:]]), clashes)


def _apply(old: Sequence[str], group: Sequence[tuple[Stretch, int]], number: int, start: int, end: int) -> str:
    """What one version makes of a part of the old text."""
    text: list[str] = []
    done = start
    for stretch, by in group:
        if by == number:
            text += [*old[done : stretch.start], *stretch.new]
            done = stretch.end
    return "".join([*text, *old[done:end]])


def _side_by_side(wordings: Sequence[str]) -> str:
    if len(wordings) == 1:
        return wordings[0]
    said = [wording for wording in wordings if wording.strip()]
    if not said:
        return max(wordings, key=len)
    # A gap that any of them keeps to what stands before or after stays: words must not grow together.
    before = max((wording[: len(wording) - len(wording.lstrip())] for wording in said), key=len)
    after = max((wording[len(wording.rstrip()) :] for wording in said), key=len)
    between = "\n" if any("\n" in wording.strip() for wording in said) else _BETWEEN
    return before + between.join(wording.strip() for wording in said) + after
