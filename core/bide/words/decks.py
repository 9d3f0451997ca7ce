"""Decks: prompts, stems, questions and texts that a person can choose from, in each language that is here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from bide.errors import NotFound

LANGUAGE_DEFAULT = "en"
FEELINGS_FILE = "feelings"
"""The one file of a language that is no deck, see `bide.words.feelings`."""

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a deck: a field of an entry, or a section."""

    id: str
    heading: str


@dataclass(frozen=True, slots=True)
class Item:
    """One card of a deck."""

    id: str
    """Stable and the same in every language."""
    text: str
    """One line, however long; the screen wraps it."""
    note: str = ""
    part: str = ""
    """The id of the part it belongs to; empty in a deck without parts."""


@dataclass(frozen=True, slots=True)
class Deck:
    """A deck: a title, and items in their order."""

    name: str
    title: str
    kind: str
    """What it is for, see `bide.words.deckfiles.KINDS`."""
    items: tuple[Item, ...]
    about: str = ""
    """One line about it, shown before the first item."""
    depth: int | None = None
    """From 1, which is easy, to 3; None where that does not apply."""
    parts: tuple[Part, ...] = ()
    own: bool = False
    """It was loaded from a file of the person's own."""

    def __iter__(self) -> Iterator[Item]:
        """The items in order."""
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def item(self, item_id: str) -> Item | None:
        """The item of that id."""
        return next((item for item in self.items if item.id == item_id), None)

    def in_part(self, part_id: str) -> tuple[Item, ...]:
        """The items of one part."""
        return tuple(item for item in self.items if item.part == part_id)

    def heading(self, part_id: str) -> str:
        """The heading of a part; empty when there is none."""
        return next((part.heading for part in self.parts if part.id == part_id), "")


@lru_cache(maxsize=1)
def languages() -> tuple[str, ...]:
    """The languages that are here, English first."""
    found = sorted(folder.name for folder in _HERE.iterdir() if (folder / f"{FEELINGS_FILE}.toml").is_file())
    return (LANGUAGE_DEFAULT, *(name for name in found if name != LANGUAGE_DEFAULT))


def language_for(tag: str) -> str:
    """The language here that fits a tag or a locale best: ``de_AT.UTF-8`` is ``de``; English where none fits."""
    wanted = tag.split(".")[0].split("@")[0].replace("_", "-").casefold()
    by_name = {name.casefold(): name for name in languages()}
    return by_name.get(wanted) or by_name.get(wanted.split("-")[0]) or LANGUAGE_DEFAULT


@lru_cache(maxsize=1)
def deck_names() -> tuple[str, ...]:
    """The names of the decks that Bide brings. English has them all."""
    return tuple(sorted(path.stem for path in (_HERE / LANGUAGE_DEFAULT).glob("*.toml") if path.stem != FEELINGS_FILE))


def file_of(name: str, language: str) -> Path:
    """Where a deck or the feelings of a language stand."""
    return _HERE / language / f"{name}.toml"


@lru_cache(maxsize=64)
def deck(name: str, language: str = LANGUAGE_DEFAULT) -> Deck:
    """A deck that Bide brings.

    Args:
        name: one of `deck_names`.
        language: a tag or a locale. What the language lacks is taken from English, item by item.

    Raises:
        NotFound: there is no deck of that name.
    """
    if name not in deck_names():
        raise _unknown_deck(name)
    language = language_for(language)
    english = _load(name, LANGUAGE_DEFAULT)
    if language == LANGUAGE_DEFAULT or not file_of(name, language).is_file():
        return english
    return translated(english, _load(name, language))


def translated(english: Deck, other: Deck) -> Deck:
    """A deck in another language. English decides which items there are, and in which order."""
    headings = {part.id: part.heading for part in other.parts}
    items: list[Item] = []
    for item in english.items:
        theirs = other.item(item.id)
        # A note goes with its text: a sentence in one language and a note in another would puzzle.
        items.append(item if theirs is None else replace(item, text=theirs.text, note=theirs.note))
    return replace(
        english,
        title=other.title,
        about=other.about or english.about,
        items=tuple(items),
        parts=tuple(replace(part, heading=headings.get(part.id, part.heading)) for part in english.parts),
    )


def _load(name: str, language: str) -> Deck:
    from bide.words.deckfiles import parse_deck

    path = file_of(name, language)
    return parse_deck(path.read_bytes(), name=name, file=f"{language}/{path.name}", own=False)


def _unknown_deck(name: str) -> NotFound:
    from difflib import get_close_matches

    near = get_close_matches(name[:80], deck_names(), n=3, cutoff=0.5)
    if near:
        return NotFound("There is no deck of that name.", hint="Did you mean: {near}", near=", ".join(near))
    return NotFound("There is no deck of that name.", hint="The decks are: {known}", known=", ".join(deck_names()))
