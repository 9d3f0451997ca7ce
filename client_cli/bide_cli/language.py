"""The language people are spoken to in: gettext catalogues for what the program says, folders of `bide.words` for decks.

English is the source and reads no catalogue. `_` and `plural` are for words of the command line itself; an error carries its own
English words with what was put into them, and is worded by `sentence` where it is told.
"""

from __future__ import annotations

from bide.errors import BideError

ENGLISH = "en"


def _(message: str) -> str:
    """`message` in the language of this call. Values are put in afterwards: ``_("Shared with {name}").format(name=name)``."""
    return message


def plural(one: str, many: str, number: int) -> str:
    """The form of a message that goes with `number`, in the language of this call; ``{n}`` stands for the number in it."""
    return (one if number == 1 else many).format(n=f"{number:,}")


def language() -> str:
    """The tag of the language of this call, for decks and feelings: ``en``, ``de``."""
    return ENGLISH


def sentence(error: BideError) -> tuple[str, str]:
    """What an error says and what to do next, in the language of this call."""
    return error.message, error.hint
