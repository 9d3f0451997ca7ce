"""How a stored feeling is shown. A timeline calls this for every entry, so English reads no file, and nothing is imported."""

from __future__ import annotations

CORES = ("glad", "calm", "close", "able", "sad", "afraid", "angry", "ashamed", "worn")
"""The slugs of the nine cores, so that reading the vocabulary can be spared."""


def shown_feeling(stored: str, language: str = "en") -> str:
    """The word for what an entry stores.

    Args:
        stored: a slug, or ``core/own word``. Anything else, such as a word from before there were slugs, is shown as it is.
        language: a tag or a locale.
    """
    core, mark, own = stored.partition("/")
    if mark:
        return own if core in CORES and own else stored
    # An English word is its slug with spaces; a test holds the vocabulary to that.
    if language.casefold().startswith("en") or language in ("", "C"):
        return stored.replace("-", " ") if stored.isascii() and stored.islower() else stored
    from bide.words.feelings import find_slug

    found = find_slug(stored, language)
    return found.word if found is not None else stored
