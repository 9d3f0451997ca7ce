"""Setting text in columns: how wide it is on a screen, and where to break it.

What counts is the cluster, what a reader takes for one character: a letter with its marks, a flag, a family of emoji. Most
texts are letters of one column each and need no more than their length; `wcwidth` is imported for the others alone.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LABEL_COLUMNS_MAX = 18
TEXT_COLUMNS_MAX = 88
"""Longer lines are hard to read, however wide the screen."""
BESIDE_COLUMNS_MIN = 40
"""With less room than this beside its label, a text goes beneath it."""

_SIGNS = dict.fromkeys(
    # Dashes, quotes and dots are in texts of every language; bullets, arrows and the euro are as wide as a letter.
    (*range(0x2010, 0x2028), *range(0x2030, 0x205F), 0x20AC, 0x2190, 0x2192)
)
_ONE_COLUMN_END = "\u0300"
_MARKS = dict.fromkeys(range(0xDB00, 0xDC00))
"""Styles and directions on their way to the screen, see `bide_cli.terminal.shell`: they take no room."""

# Where a line may not begin: closing signs, small kana, what lengthens or repeats; and where it may not end.
_NOT_FIRST = frozenset(
    "、。，．,.!?！？：；:;・)）]］}｝」』】〕〉》〗〙’”»…‥ー～々ゝゞヽヾ%％℃°"  # signs
    "ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮ"  # small kana
)
_NOT_LAST = frozenset("(（[［{｛「『【〔〈《〖〘‘“«¥￥$＄£#＃")
_THAI_VOWELS_BEFORE = frozenset("เแโใไເແໂໃໄ")
"""Written before their consonant: a syllable begins here."""
_THAI_ENDINGS = frozenset("ๆໆ")
"""Repeats a word: the next one begins after it."""
_THAI_FOLLOWING = frozenset("ะาำๅๆฯະາຳໆຯ")
"""Belong to what stands before them."""


def text_columns(text: str) -> int:
    """How many columns `text` takes on a screen."""
    if text.isascii():
        return len(text)
    text = text.translate(_MARKS)
    return len(text) if _is_simple(text) else sum(map(_cluster_columns, clusters(text)))


def clusters(text: str) -> Iterator[str]:
    """What a reader takes for the characters of `text`, by Unicode's annex 29."""
    if _is_simple(text):
        return iter(text)
    from wcwidth import iter_graphemes

    return iter_graphemes(text)


def _is_simple(text: str) -> bool:
    """Whether each character is one column wide and stands by itself."""
    return not text or text.isascii() or max(text.translate(_SIGNS), default="") < _ONE_COLUMN_END


def _cluster_columns(cluster: str) -> int:
    if cluster < _ONE_COLUMN_END and len(cluster) == 1:
        return 1
    from wcwidth import wcswidth

    columns = wcswidth(cluster)
    # A control character, which `bide_cli.terminal.shell.clean` has replaced in everything that is shown.
    return columns if columns >= 0 else len(cluster)


def _room(cluster: str) -> int:
    """The columns to keep free for a cluster: terminals that know no clusters draw a family as the people in it."""
    if len(cluster) == 1:
        return _cluster_columns(cluster)
    from wcwidth import wcwidth

    return max(_cluster_columns(cluster), sum(max(wcwidth(character), 0) for character in cluster))


def wrap(text: str, columns: int, *, cut: bool = True) -> list[str]:
    """The lines of `text`, at most `columns` wide, broken where its script allows; as they are if `columns` is 0.

    With `cut` a word that is wider than a line is broken as well; addresses and paths had better stay whole.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        if not columns or (len(line) <= columns and _is_simple(line)):
            lines.append(line)
        else:
            lines.extend(_wrap_line(line, columns, cut=cut))
    return lines


def _wrap_line(line: str, columns: int, *, cut: bool) -> list[str]:
    lines: list[str] = []
    current, used = "", 0
    for gap, word, width in _words(line):
        if used + len(gap) + width > columns:
            if current.strip(" "):
                lines.append(current)
            current, used, gap = "", 0, ""
        if cut and width > columns:
            *whole, word = _cut(word, columns)
            lines.extend(whole)
            width = sum(map(_room, clusters(word)))
        current += gap + word
        used += len(gap) + width
    lines.append(current)
    return lines


def _words(line: str) -> Iterator[tuple[str, str, int]]:
    """What may not be broken, each with the space before it and its width."""
    if _is_simple(line):
        gap = ""
        for word in line.split(" "):
            yield gap, word, len(word)
            gap = " "
        return
    gap, word, width = "", "", 0
    before = " "
    for cluster in clusters(line):
        if cluster == " ":
            yield gap, word, width
            gap, word, width = " ", "", 0
        else:
            if word and _may_break(before, cluster):
                yield gap, word, width
                gap, word, width = "", "", 0
            word += cluster
            width += _room(cluster)
        before = cluster
    yield gap, word, width


def _may_break(before: str, after: str) -> bool:
    """Whether a line may end between two clusters that no space parts."""
    if before[-1] in "\u200b\u3000":
        return True
    if after[0] in _NOT_FIRST or before[-1] in _NOT_LAST:
        return False
    if after[0] in _THAI_VOWELS_BEFORE:
        return _is_thai(before[0])
    if before[-1] in _THAI_ENDINGS:
        return _is_thai(after[0]) and after[0] not in _THAI_FOLLOWING
    return _stands_alone(before) or _stands_alone(after)


def _is_thai(character: str) -> bool:
    """Thai or Lao, which put no space between words."""
    return "\u0e00" <= character <= "\u0eff"


def _stands_alone(cluster: str) -> bool:
    """Han, kana or emoji. Not Hangul: Korean puts spaces between words, and reads better when these stay whole."""
    first = cluster[0]
    if first < "\u2600" or "\uac00" <= first <= "\ud7ff" or "\u3130" <= first <= "\u318f":
        return False
    return _cluster_columns(cluster) == 2


def _cut(word: str, columns: int) -> list[str]:
    """A word that is wider than a line, such as an address, in pieces. The last may have room left."""
    pieces: list[str] = []
    current: list[str] = []
    used = 0
    for cluster in clusters(word):
        width = _room(cluster)
        if current and used + width > columns:
            kept = _kept_together(current, cluster)
            pieces.append("".join(current[: len(current) - kept]))
            current = current[len(current) - kept :]
            used = sum(map(_room, current))
        current.append(cluster)
        used += width
    pieces.append("".join(current))
    return pieces


def _kept_together(current: list[str], after: str) -> int:
    """How many clusters at the end of a piece go to the next one, because a break may not stand after them."""
    follows = after[0] in _THAI_FOLLOWING or after[0] in _NOT_FIRST
    leads = current[-1][-1] in _THAI_VOWELS_BEFORE or current[-1][-1] in _NOT_LAST
    return 1 if (follows or leads) and len(current) > 1 and not after.isascii() else 0


def labelled(label: str, texts: list[str], *, indent: str, label_columns: int) -> list[str]:
    """Lines of a text with its label before them: ``Went well   The walk by the river``, continued below itself.

    Args:
        label: set in a column of its own.
        texts: the lines, see `wrap`; at least one.
        indent: before all lines.
        label_columns: width of the label's column.
    """
    hanging = label_columns + 2
    first, *others = texts
    head = f"{indent}{label}{' ' * max(hanging - text_columns(label), 1)}{first}".rstrip()
    return [head, *(f"{indent}{' ' * hanging}{line}".rstrip() for line in others)]


def text_room(width: int, before: int) -> int:
    """The columns for a text with `before` columns to its left, on a screen of `width`; 0: don't wrap."""
    return min(max(width - before, 16), TEXT_COLUMNS_MAX) if width else 0
