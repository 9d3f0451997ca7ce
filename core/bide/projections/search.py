"""What full-text search compares: text folded so that case, accents and forms of letters don't matter, in every script."""

from __future__ import annotations

import unicodedata

WORDS_MAX = 12
WORD_CHARS_MAX = 100


class _WithoutMarks(dict[int, int | None]):
    """For `str.translate`: every letter as it is, marks that combine away. Fills itself, so each is looked up once."""

    def __missing__(self, code: int) -> int | None:
        kept = self[code] = None if unicodedata.combining(chr(code)) else code
        return kept


_WITHOUT_MARKS = _WithoutMarks()


def fold(text: str) -> str:
    """`text` for comparing: compatibility forms resolved, marks that combine removed, lower case."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKD", text).translate(_WITHOUT_MARKS).casefold()


def words(query: str) -> tuple[str, ...]:
    """The folded words of a query, at most `WORDS_MAX`; an entry fits if it contains all of them."""
    # NUL and halves of surrogate pairs stand in no text and end or break a query: U+FFFD finds nothing either, in peace.
    text = "".join("\ufffd" if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in query)
    return tuple(word[:WORD_CHARS_MAX] for word in fold(text).split()[:WORDS_MAX])
