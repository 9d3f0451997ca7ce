"""The words of Bide: decks of prompts, and a vocabulary of feelings, as data that a person can read and translate.

A language is a folder here, and in it stands one TOML file a deck and one for the feelings. What a translation lacks is shown
in English, item by item. Importing this package reads nothing: each name below is imported when it is first used.

======================  ===========================================================================================
`deck`                  a deck that Bide brings, in a language
`deck_names`            the names of those decks
`languages`             the languages that are here
`load_deck_file`        a deck of one's own, checked; an error names the file and the line
`load_deck_folder`      all of them in a folder: the good ones, and what is wrong with the others
`feeling`               the feeling that was typed: a slug, a word in any language, or ``core/own word``
`shown_feeling`         the word for a stored feeling, cheap enough for every line of a timeline
`vocabulary`            all feelings, in order
`suggest`               feelings that were perhaps meant
======================  ===========================================================================================
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bide.words.deckfiles import load_deck_file, load_deck_folder
    from bide.words.decks import Deck, Item, Part, deck, deck_names, language_for, languages
    from bide.words.feelings import Feeling, below, cores, feeling, find, find_slug, suggest, vocabulary
    from bide.words.showing import shown_feeling

__all__ = [
    "Deck",
    "Feeling",
    "Item",
    "Part",
    "below",
    "cores",
    "deck",
    "deck_names",
    "feeling",
    "find",
    "find_slug",
    "language_for",
    "languages",
    "load_deck_file",
    "load_deck_folder",
    "shown_feeling",
    "suggest",
    "vocabulary",
]

_HOMES = {
    **dict.fromkeys(("load_deck_file", "load_deck_folder"), "bide.words.deckfiles"),
    **dict.fromkeys(("Deck", "Item", "Part", "deck", "deck_names", "language_for", "languages"), "bide.words.decks"),
    "shown_feeling": "bide.words.showing",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'bide.words' has no attribute {name!r}")
    return getattr(import_module(_HOMES.get(name, "bide.words.feelings")), name)
