"""Asking a person on the terminal. Questions go where the person looks, and never into the data on stdout."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from bide.errors import InputError
from bide_cli.language import N_, _, sentence
from bide_cli.terminal.shell import Shell, clean_line

YES = N_("y yes")
NO = N_("n no")
"""What can be typed, each first the letter that the question shows."""
_ENGLISH_YES, _ENGLISH_NO = YES.split(), NO.split()
LINE_CHARS_MAX = 100_000
"""More than any field takes: what is longer is refused, not cut."""


class Stopped(KeyboardInterrupt):
    """The person ended the questions (Ctrl-D); like Ctrl-C, nothing is written."""


def ask(shell: Shell, prompt: str) -> str:
    """One line that the person typed, without its newline.

    Raises:
        Stopped: the input ended.
        InputError: it is not text.
    """
    del shell
    question = f"{clean_line(prompt)} "
    try:
        if sys.stdin.isatty() and sys.stdout.isatty():
            # With it a line can be edited, and be longer than the 4,095 bytes that a terminal hands over by itself.
            import readline

            if hasattr(readline, "set_auto_history"):
                readline.set_auto_history(False)
            line = input(question)
        else:
            sys.stderr.write(question)
            sys.stderr.flush()
            line = sys.stdin.readline(LINE_CHARS_MAX + 1)
            if not line:
                raise EOFError
    except EOFError:
        sys.stderr.write("\n")
        raise Stopped from None
    except UnicodeDecodeError:
        raise InputError("That was not valid UTF-8 text.") from None
    if len(line) > LINE_CHARS_MAX:
        raise InputError("That is too long.")
    return line.rstrip("\r\n")


def ask_until_good(shell: Shell, prompt: str, check: Callable[[str], str]) -> str:
    """Ask until `check` accepts the answer.

    Args:
        shell: where.
        prompt: the question.
        check: gives back the answer as it is to be used; raises InputError to ask again.
    """
    while True:
        try:
            return check(ask(shell, prompt))
        except InputError as error:
            say_again(shell, error)


def say_again(shell: Shell, error: InputError) -> None:
    """Tell, before a question is asked once more, why the answer can't be used."""
    shell.say("  " + " ".join(filter(None, sentence(error))))


def ask_yes(shell: Shell, prompt: str, *, default: bool) -> bool:
    """A yes or a no; Enter gives the default."""

    def check(answer: str) -> str:
        word = answer.strip().casefold()
        if not word:
            return _ENGLISH_YES[0] if default else _ENGLISH_NO[0]
        # The words of this language come first: a letter may mean one thing here and the other in English.
        for yes, no in ((_(YES).split(), _(NO).split()), (_ENGLISH_YES, _ENGLISH_NO)):
            if word in yes:
                return _ENGLISH_YES[0]
            if word in no:
                return _ENGLISH_NO[0]
        raise InputError("Type y or n.")

    return ask_until_good(shell, f"{prompt} {_('[Y/n]') if default else _('[y/N]')}", check) == _ENGLISH_YES[0]


def choose(
    shell: Shell,
    title: str,
    choices: Sequence[tuple[str, str]],
    *,
    letters: Mapping[str, str] = MappingProxyType({}),
    by_default: bool = True,
) -> str:
    """Let the person choose one.

    Args:
        shell: where.
        title: what is asked.
        choices: (key, words) of each; the key or its number is typed.
        letters: by key, what is short for it.
        by_default: Enter takes the first. Not where an answer says something about the other person.

    Returns:
        The key.
    """
    if title:
        shell.say(title)
    lettered = any(key in letters for key, _ in choices)
    for number, (key, words) in enumerate(choices, 1):
        letter = f" {letters.get(key, ' ')}" if lettered else ""
        shell.say(f"  {number:>{len(str(len(choices)))}}{letter}  {words}")

    def check(answer: str) -> str:
        typed = answer.strip().casefold()
        if not typed and by_default:
            return choices[0][0]
        if typed.isascii() and typed.isdecimal() and 1 <= int(typed[:6]) <= len(choices):
            return choices[int(typed) - 1][0]
        for key, _words in choices:
            if typed in (key, letters.get(key)):
                return key
        if lettered:
            raise InputError("Type a number from 1 to {most} or a letter.", most=len(choices))
        raise InputError("Type a number from 1 to {most}.", most=len(choices))

    return ask_until_good(shell, _("Choice [1]:") if by_default else _("Choice:"), check)


def require_person(shell: Shell, what: str, hint: str) -> None:
    """Refuse to go on where somebody would have to be asked and nobody is there.

    Raises:
        InputError: there is no terminal, or ``--no-input`` was given.
    """
    if not shell.may_ask:
        raise InputError(what, hint=hint)
