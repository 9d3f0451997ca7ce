"""Feelings: nine cores, four kinds of each, three words for each kind; and words of one's own beneath a core.

An entry stores a slug, which is the same in every language, or ``core/own word``. People type what they like: a slug, a word
in any language that is here, with or without accents.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from bide.entries.fields import FEELING_CHARS_MAX, clean_text
from bide.errors import InputError
from bide.words.decks import FEELINGS_FILE, LANGUAGE_DEFAULT, file_of, language_for, languages

OWN_MARK = "/"
SUGGESTIONS_MAX = 3
_SIMILARITY_MIN = 0.65
_PREFIX_CHARS_MIN = 2
_ALSO = "also"
"""The table of a file that holds no feelings but words to answer with one."""

_OWN_WORD = "A word of your own goes beneath one of the nine, as in: {example}"
_NEAR_OR_OWN_WORD = "Did you mean: {near}? A word of your own goes beneath one of the nine, as in: {example}"

_DIGRAPHS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae"})


@dataclass(frozen=True, slots=True)
class Feeling:
    """A word for how someone is."""

    slug: str
    """Stable, ASCII; for a word of one's own, ``core/own word``. This is what an entry stores."""
    word: str
    """In the language that was asked for."""
    gloss: str
    """What is meant by it, in one line; empty for a word of one's own."""
    core: str
    """The slug of its core, which for a core is its own."""
    level: int
    """1 for a core, 2 beneath it, 3 beneath that. A word of one's own stands at 2."""
    parent: str
    """The slug it stands beneath; empty for a core."""

    @property
    def own(self) -> bool:
        """It is a person's own word."""
        return OWN_MARK in self.slug


def vocabulary(language: str = LANGUAGE_DEFAULT) -> tuple[Feeling, ...]:
    """All of them: each core, and beneath it its kinds, each followed by its words."""
    return tuple(_table(language_for(language)).values())


def cores(language: str = LANGUAGE_DEFAULT) -> tuple[Feeling, ...]:
    """The nine to begin with."""
    return below("", language)


def below(slug: str, language: str = LANGUAGE_DEFAULT) -> tuple[Feeling, ...]:
    """Those that stand directly beneath a slug, or the cores for an empty one; nothing beneath the third level."""
    return tuple(each for each in vocabulary(language) if each.parent == slug)


def feeling(text: str, language: str = LANGUAGE_DEFAULT) -> Feeling:
    """The feeling that was typed.

    Args:
        text: a slug, a word in any language, or ``core/own word`` with the core as slug or word.
        language: what the answer is worded in, and where a word is looked up first.

    Raises:
        InputError: it is unknown, and the hint names what was perhaps meant; or it is too long or can't be shown.
    """
    text = clean_text(text, what="feelings", chars_max=FEELING_CHARS_MAX, one_line=True)
    if OWN_MARK in text:
        return _own(text, language)
    found = find(text, language)
    if found is not None:
        return found
    near = ", ".join(each.word for each in suggest(text, language))
    core = cores(language)[0].word
    raise InputError(
        "{text!r} is not among the feelings here.",
        hint=_NEAR_OR_OWN_WORD if near else _OWN_WORD,
        text=text,
        near=near,
        example=f"{core}{OWN_MARK}{text or '...'}",
    )


def find_slug(slug: str, language: str = LANGUAGE_DEFAULT) -> Feeling | None:
    """The feeling of exactly that slug, with no guessing: for what is stored."""
    return _table(language_for(language)).get(slug)


def find(text: str, language: str = LANGUAGE_DEFAULT) -> Feeling | None:
    """The feeling of that slug, or of that word in `language` or else in any other; also a stored ``core/own word``."""
    language = language_for(language)
    if OWN_MARK in text:
        try:
            return _own(text, language)
        except InputError:
            return None
    table = _table(language)
    key = _fold(text)
    for where in (language, *(other for other in languages() if other != language)):
        slug = _slugs_by_key(where).get(key)
        if slug is not None:
            return table[slug]
    return None


def suggest(text: str, language: str = LANGUAGE_DEFAULT, *, limit: int = SUGGESTIONS_MAX) -> tuple[Feeling, ...]:
    """Feelings that were perhaps meant, the likeliest first: for type-to-search, and for a word that is unknown.

    Words that begin with the text come before those that merely look like it, and words in `language` before those in others.
    """
    from difflib import get_close_matches

    language = language_for(language)
    key = _fold(text.rpartition(OWN_MARK)[2][: FEELING_CHARS_MAX * 2])
    if not key:
        return ()
    table = _table(language)
    slugs: dict[str, None] = {}
    keys = {where: _slugs_by_key(where) for where in (language, *(each for each in languages() if each != language))}
    # Common words that are not among the 153 have an answer of their own; "happy" looks like none of them.
    also = [_also(where) for where in keys]
    slugs |= dict.fromkeys(index[key] for index in also if key in index)
    if len(key) >= _PREFIX_CHARS_MIN:
        for index in keys.values():
            # A word inside counts as well: "gut" finds "nicht gut genug".
            slugs |= dict.fromkeys(slug for word, slug in index.items() if word.startswith(key))
            slugs |= dict.fromkeys(slug for word, slug in index.items() if f" {key}" in word)
        for index in also:
            slugs |= dict.fromkeys(slug for word, slug in index.items() if word.startswith(key))
    for words, others in zip(keys.values(), also, strict=True):
        index = others | words
        slugs |= dict.fromkeys(index[word] for word in get_close_matches(key, index, n=limit * 2, cutoff=_SIMILARITY_MIN))
    return tuple(table[slug] for slug in list(slugs)[:limit])


def _own(text: str, language: str) -> Feeling:
    """A word of one's own beneath a core. A known word beneath its own core is that word."""
    text = clean_text(text, what="feelings", chars_max=FEELING_CHARS_MAX, one_line=True)
    before, _, word = text.partition(OWN_MARK)
    word = " ".join(word.split())
    found = find(before, language) if OWN_MARK not in before else None
    if found is None or found.level != 1:
        nine = ", ".join(each.word for each in cores(language))
        raise InputError("A word of your own goes beneath one of the nine.", hint="They are: {nine}", nine=nine)
    # Commas part the feelings of an entry.
    if not any(character.isalnum() for character in word) or OWN_MARK in word or "," in word:
        raise InputError("That can't be a word for a feeling.", hint="As in: {example}", example=f"{found.word}{OWN_MARK}...")
    known = find(word, language)
    if known is not None and known.core == found.slug:
        return known
    slug = f"{found.slug}{OWN_MARK}{word}"
    # The core's slug may be longer than its word, as it was typed.
    clean_text(slug, what="feelings", chars_max=FEELING_CHARS_MAX, one_line=True)
    return Feeling(slug, word, "", found.slug, 2, found.slug)


@lru_cache(maxsize=16)
def _table(language: str) -> dict[str, Feeling]:
    """Slug to feeling, worded in `language`, and in English what it lacks."""
    english = {each.slug: each for each in _read(LANGUAGE_DEFAULT)}
    if language == LANGUAGE_DEFAULT:
        return english
    theirs = {each.slug: each for each in _read(language)}
    return {slug: theirs.get(slug, each) for slug, each in english.items()}


@lru_cache(maxsize=16)
def _slugs_by_key(language: str) -> dict[str, str]:
    """What can be typed, folded, to the slug. A word wins over a slug that reads the same."""
    keys: dict[str, str] = {}
    for each in _table(language).values():
        keys.setdefault(_fold(each.word), each.slug)
    for each in _table(language).values():
        for variant in (_fold(each.word.casefold().translate(_DIGRAPHS)), _fold(each.slug)):
            keys.setdefault(variant, each.slug)
    return keys


@lru_cache(maxsize=16)
def _also(language: str) -> dict[str, str]:
    """Words that are no feelings here, folded, to the slug that is suggested for them."""
    also: dict[str, str] = _load(language).get(_ALSO, {})
    slugs = _table(language)
    spelled = {word: slug for word, slug in also.items() if slug in slugs}
    return {_fold(word.casefold().translate(_DIGRAPHS)): slug for word, slug in spelled.items()} | {
        _fold(word): slug for word, slug in spelled.items()
    }


def _read(language: str) -> Iterator[Feeling]:
    table = {slug: value for slug, value in _load(language).items() if slug != _ALSO}
    return _walk(table, core="", parent="", level=1)


@lru_cache(maxsize=16)
def _load(language: str) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(file_of(FEELINGS_FILE, language).read_text(encoding="utf-8"))


def _walk(table: dict[str, Any], *, core: str, parent: str, level: int) -> Iterator[Feeling]:
    """The feelings in a table of the file: ``slug = [word, gloss]``, or a table with ``word``, ``gloss`` and further ones."""
    for slug, value in table.items():
        if slug in ("word", "gloss"):
            continue
        inner = value if isinstance(value, dict) else {"word": value[0], "gloss": value[1]}
        yield Feeling(slug, inner["word"], inner["gloss"], core or slug, level, parent)
        yield from _walk(inner, core=core or slug, parent=slug, level=level + 1)


def _fold(text: str) -> str:
    """How words are compared: without case, accents, and the difference between a hyphen and a space."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    kept = "".join(" " if character in "-_" else character for character in plain if not unicodedata.combining(character))
    return " ".join(kept.split())
