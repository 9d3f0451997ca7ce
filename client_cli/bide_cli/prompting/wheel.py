"""Finding words for feelings: nine to begin with, nearer ones beneath each. Stop wherever it fits, or type a word."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bide.entries.fields import FEELINGS_MAX
from bide.errors import InputError
from bide_cli.language import _, language, sentence
from bide_cli.terminal.asking import ask
from bide_cli.terminal.shell import Shell

if TYPE_CHECKING:
    from bide.words import Feeling

_BETWEEN = "   "
_INDENT = "  "


def ask_feelings(shell: Shell, prompt: str) -> str:
    """Up to three feelings, as the text that the field takes; empty if none was named.

    Args:
        shell: where to ask.
        prompt: the question.
    """
    from bide import words

    shell.say(prompt)
    _offer(shell, words.cores(language()))
    found: dict[str, Feeling] = {}
    while len(found) < FEELINGS_MAX:
        begin = _("A number, words with commas, or Enter to go on:") if not found else _("Another one, or Enter to go on:")
        answer = ask(shell, f"{_INDENT}{begin}").strip()
        if not answer:
            break
        if not _is_number(answer):
            # Who types words knows them: no need to be led any nearer, or to be asked for more.
            typed, whole = _words(shell, answer, len(found))
            found |= {each.slug: each for each in typed}
            if whole:
                break
        else:
            chosen = _find(shell, answer, words.cores(language()))
            if chosen is None:
                continue
            chosen = _deeper(shell, chosen)
            found[chosen.slug] = chosen
        if found:
            shell.say(_INDENT + _("So far: {words}").format(words=", ".join(each.word for each in found.values())))
    return ",".join(found)


def _is_number(answer: str) -> bool:
    return answer.isascii() and answer.isdecimal()


def _words(shell: Shell, answer: str, before: int) -> tuple[list[Feeling], bool]:
    """The feelings of an answer such as ``tired, close``, and whether those are all; if not, it was said why."""
    parts = [part.strip() for part in answer.split(",") if part.strip()]
    if before + len(parts) > FEELINGS_MAX:
        shell.say(_INDENT + _("At most {most}. Choose those that matter most.").format(most=FEELINGS_MAX))
        return [], False
    found = [_find(shell, part, ()) for part in parts]
    known = [each for each in found if each is not None]
    return known, len(known) == len(found)


def _deeper(shell: Shell, chosen: Feeling) -> Feeling:
    """Offer what lies beneath a feeling, level by level, until the person stops."""
    from bide import words

    while not chosen.own and (beneath := words.below(chosen.slug, language())):
        shell.say(f"{_INDENT}{_gloss(chosen)}")
        _offer(shell, beneath)
        answer = ask(shell, _INDENT + _("Nearer, or Enter for {word}:").format(word=chosen.word)).strip()
        if not answer:
            return chosen
        found = _find(shell, answer, beneath)
        if found is not None:
            chosen = found
    if chosen.gloss:
        shell.say(f"{_INDENT}{_gloss(chosen)}")
    return chosen


def _gloss(feeling: Feeling) -> str:
    return f"{feeling.word}: {feeling.gloss}"


def _find(shell: Shell, answer: str, offered: Sequence[Feeling]) -> Feeling | None:
    """What an answer means: a number of those offered, or any word that is here; None after saying what could be meant."""
    from bide import words

    if offered and _is_number(answer):
        number = int(answer[:6])
        if 1 <= number <= len(offered):
            return offered[number - 1]
        shell.say(_INDENT + _("Type a number from 1 to {most}, or a word.").format(most=len(offered)))
        return None
    try:
        return words.feeling(answer, language())
    except InputError as error:
        near = words.suggest(answer, language())
        if not near:
            shell.say(_INDENT + " ".join(filter(None, sentence(error))))
            return None
        shell.say(_INDENT + sentence(error)[0])
    _offer(shell, near)
    typed = ask(shell, _INDENT + _("One of these? A number, or Enter for none:")).strip()
    return near[int(typed) - 1] if _is_number(typed) and 1 <= int(typed[:6]) <= len(near) else None


def _offer(shell: Shell, feelings: Sequence[Feeling]) -> None:
    """Show what can be chosen: a line each for a screen reader, else as many beside one another as fit."""
    offered = [f"{number} {feeling.word}" for number, feeling in enumerate(feelings, 1)]
    if shell.accessible:
        for number, feeling in enumerate(feelings, 1):
            shell.say(f"{_INDENT}{number}  {_gloss(feeling)}")
        return
    # Spaces inside of one must not be where the line breaks.
    shell.say(_INDENT + _BETWEEN.join(each.replace(" ", "\N{NO-BREAK SPACE}") for each in offered))


def with_words(shell: Shell, ask_again: Callable[[], str], prompt: str) -> str:
    """For a question about a feeling that is answered in a text: find words for it first, then say it.

    Returns:
        The text: what was typed, or the words that were found if nothing was.
    """
    from bide import words

    slugs = [slug for slug in ask_feelings(shell, prompt).split(",") if slug]
    found = ", ".join(words.feeling(slug, language()).word for slug in slugs)
    typed = ask_again()
    return f"{found}. {typed}" if found and typed else typed or found
