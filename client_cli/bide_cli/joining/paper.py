"""The words of a recovery phrase between a person, a screen and a paper."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from bide.errors import InputError
from bide_cli.language import _
from bide_cli.terminal.asking import Stopped, ask, ask_until_good, require_person, say_again
from bide_cli.terminal.quiet import may_draw

if TYPE_CHECKING:
    from bide.crypto.recovery import RecoveryPhrase
    from bide.ids import Randomness
    from bide_cli.terminal.shell import Shell

ASKED_BACK = 3
_ROWS = 8
_CLEARED = "\x1b[H\x1b[2J\x1b[3J"
"""The screen and what was scrolled off it."""


def rows(words: tuple[str, ...]) -> list[str]:
    """The words as they are shown: numbered, downwards in columns."""
    width = max(map(len, words))
    columns = range(0, len(words), _ROWS)
    return ["   ".join(f"{at + row + 1:>2}. {words[at + row]:<{width}}" for at in columns).rstrip() for row in range(_ROWS)]


def require_screen(shell: Shell) -> None:
    """See to it that there is a person who can write the words down.

    Raises:
        InputError: there is none, or what is shown goes into a file.
    """
    hint = "A script takes them from --json --words-noted, and keeps them where no computer is."
    require_person(shell, "The words are shown to a person, who writes them down.", hint)
    if not shell.on_terminal:
        raise InputError("The words belong on paper, not in a file.", hint=hint)


def show_until_noted(shell: Shell, phrase: RecoveryPhrase, randomness: Randomness) -> None:
    """Show the words once, take them off the screen, and ask for some of them.

    Who stops meanwhile is told that these words count for nothing, and isn't left with them on the screen.
    """
    words = phrase.words()
    try:
        _show(shell, words)
        order = sorted(range(len(words)), key=lambda _at: randomness.token(8))[:ASKED_BACK]
        for at in sorted(order):
            _ask_back(shell, words, at)
    except (Stopped, KeyboardInterrupt):
        if not may_draw(shell):
            shell.say()
        clear_words(shell)
        shell.say(_("Stopped: the words that were shown count for nothing, and nothing was changed."))
        raise


def clear_words(shell: Shell) -> None:
    """Take what was shown or typed off the screen, and off what was scrolled away."""
    if may_draw(shell):
        sys.stdout.write(_CLEARED)
        sys.stdout.flush()
    else:
        shell.say(_("The words are still on this screen: close the window when you are done."))


def _show(shell: Shell, words: tuple[str, ...]) -> None:
    shell.say(_("These are your 24 words. Write them on paper, with their numbers; take no picture of them."))
    shell.say()
    for row in rows(words):
        sys.stdout.write(f"  {row}\n")
    sys.stdout.flush()
    shell.say()
    ask(shell, _("When they are on the paper: Enter"))
    clear_words(shell)


def _ask_back(shell: Shell, words: tuple[str, ...], at: int) -> None:
    def check(typed: str) -> str:
        word = typed.strip().casefold()
        if word and word not in (words[at], words[at][:4]):
            raise InputError("That is not what was shown as number {n}.", hint="Enter alone shows the words again.", n=at + 1)
        return word

    while not ask_until_good(shell, _("Which word is number {n} on your paper?").format(n=at + 1), check):
        _show(shell, words)


def read_words(shell: Shell, given: str | None) -> RecoveryPhrase:
    """The words that somebody types, in one line or several; from stdin with ``-``.

    Raises:
        InputError: they are no phrase, and nobody can be asked again.
    """
    from bide.crypto.recovery import WORDS_PER_PHRASE, RecoveryPhrase
    from bide_cli.terminal.stdin import STDIN, read_stdin

    if given is not None:
        if given != STDIN:
            raise InputError(
                "The words are not given on the command line: it is kept in histories and shown to others.",
                hint="Type them when asked, or give them on stdin: --words -",
            )
        return RecoveryPhrase.parse(read_stdin())
    require_person(shell, "The words are asked for.", "A script gives them on stdin: --words -")
    shell.say(_("Type the 24 words of your paper, in one line or several. Four letters of each are enough."))
    while True:
        typed = ""
        while (count := len([part for part in typed.split() if any(map(str.isalpha, part))])) < WORDS_PER_PHRASE:
            line = ask(shell, _("From word {n}:").format(n=count + 1))
            if not line.strip() and typed:
                break
            typed += " " + line.replace("-", " ")
        try:
            phrase = RecoveryPhrase.parse(typed)
        except InputError as error:
            say_again(shell, error)
        else:
            clear_words(shell)
            return phrase
