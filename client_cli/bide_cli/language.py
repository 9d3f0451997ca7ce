"""The language people are spoken to in: gettext catalogues for what the program says, folders of `bide.words` for decks.

English is the source: speaking it reads no catalogue and imports no gettext. `_` and `plural` are for words of the command line
itself; an error carries its own English words with what was put into them, and is worded by `sentence` where it is told.

A language is a folder in ``locale`` with a catalogue in it; docs/translating.md says how one is made.
"""

from __future__ import annotations

import os

from bide.errors import BideError, Phrase, filled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from gettext import GNUTranslations

ENGLISH = "en"
DOMAIN = "bide"
LOCALE_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""The first that is set says how the system speaks."""
THOUSAND = "1,000"
"""As translators write it; what stands between the 1 and the zeros groups the digits of every number."""
_UNSPOKEN = ("C", "POSIX")
_COUNTS = ("count", "entries")
"""Values of the core's words that are how many of something there are; other numbers, such as a port, are not grouped."""

_tag = ENGLISH
_catalogue: GNUTranslations | None = None


def _(message: str) -> str:
    """`message` in the language of this call. Values are put in afterwards: ``_("Shared with {name}").format(name=name)``."""
    return message if _catalogue is None or not message else _catalogue.gettext(message)


def N_(message: str) -> str:  # noqa: N802 gettext's own name for it
    """Mark a message that stands in a table, for translators; it is shown through `_`."""
    return message


def plural(one: str, many: str, number: int) -> str:
    """The form of a message that goes with `number`, in the language of this call; ``{n}`` stands for the number in it."""
    words = (one if number == 1 else many) if _catalogue is None else _catalogue.ngettext(one, many, number)
    return words.format(n=grouped(number))


def grouped(number: int) -> str:
    """A number with its digits in groups, as this language writes it: ``30,000``, ``30.000``."""
    digits = f"{number:,}"
    return digits if _catalogue is None else digits.replace(",", _(THOUSAND)[1:-3])


def language() -> str:
    """The tag of the language of this call, for decks and feelings: ``en``, ``de``."""
    return _tag


def sentence(error: BideError) -> tuple[str, str]:
    """What an error says and what to do next, in the language of this call."""
    return worded(error.template, error.values), worded(error.hint_template, error.values)


def worded(template: str, values: Mapping[str, object]) -> str:
    """English words of the core with what was put into them, in the language of this call.

    A translation that asks for other values than the English is not used: better an English sentence than half a one.
    """
    said = {name: _said(name, value) for name, value in values.items()}
    if _catalogue is None:
        return filled(template, said)
    translated = _(template)
    try:
        if said and placeholders(translated) != placeholders(template):
            translated = template
        return filled(translated, said)
    except (LookupError, ValueError, AttributeError):
        return filled(template, said)


def _said(name: str, value: object) -> object:
    if isinstance(value, Phrase):
        return worded(*value)
    return grouped(value) if name in _COUNTS and isinstance(value, int) else value


def placeholders(template: str) -> frozenset[str]:
    """The names in braces in a message.

    Raises:
        ValueError: its braces don't fit together.
    """
    from string import Formatter

    return frozenset(name for _before, name, _format, _conversion in Formatter().parse(template) if name is not None)


def settle(home: str = "") -> None:
    """Settle on the language of this call, before anything is said.

    The first of these that is set decides: BIDE_LANGUAGE, ``language`` in the config of the home, and how the system speaks.
    A language that is not here is spoken to in English.

    Args:
        home: as ``--home`` named it; empty if it did not.
    """
    wanted = os.environ.get("BIDE_LANGUAGE") or _configured(home) or _of_system()
    tag = wanted.partition(".")[0].partition("@")[0].replace("-", "_")
    base = tag.partition("_")[0]
    if base.lower() in ("", ENGLISH) or tag in _UNSPOKEN or not tag.replace("_", "").isalnum():
        return
    for name in dict.fromkeys((tag, base.lower())):
        path = os.path.join(locale_folder(), name, "LC_MESSAGES", f"{DOMAIN}.mo")  # noqa: PTH118 pathlib costs more
        if os.path.exists(path):  # noqa: PTH110
            _speak(name, path)
            return


def locale_folder() -> str:
    """Where the catalogues are: BIDE_LOCALE_DIR lets a translator try out one that is not in the package yet."""
    return os.environ.get("BIDE_LOCALE_DIR") or os.path.join(os.path.dirname(__file__), "locale")  # noqa: PTH118, PTH120


def _configured(home: str) -> str:
    from bide_cli.home.folder import find_home, read_config

    try:
        return read_config(find_home(home)).language
    except BideError:
        return ""  # the command itself tells it, if it needs the config


def _of_system() -> str:
    return next(filter(None, map(os.environ.get, LOCALE_VARIABLES)), "") or ""


def _speak(tag: str, path: str) -> None:
    """Load a catalogue, and let click find its own sentences in it."""
    global _catalogue, _tag
    import gettext

    try:
        with open(path, "rb") as file:
            catalogue = gettext.GNUTranslations(file)
    except Exception:  # a damaged catalogue can fail in any way, and is no reason to say nothing
        return
    _tag, _catalogue = tag, catalogue
    # click takes these two functions when it is imported, and their own choice of a language would be the system's.
    gettext.gettext, gettext.ngettext = catalogue.gettext, catalogue.ngettext
