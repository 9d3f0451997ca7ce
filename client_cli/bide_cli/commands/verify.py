"""``bide verify``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from bide.errors import BideError, InputError, NotAllowed, VerificationFailed
from bide_cli.language import _, grouped, sentence
from bide_cli.options import shell_options, with_option
from bide_cli.terminal.shell import Shell, clean_line, write_talk
from bide_cli.unlocking.opening import open_replica

if TYPE_CHECKING:
    from bide.crypto.comparing import Said
    from bide.replica import Replica
    from bide.replica.examining.comparing import Comparison
    from bide.replica.spaces.people import Person

TRIES = 2
STDIN_CHARS_MAX = 1000
_DIFFERENT = "You and {name} hold different histories, though equally much of them."
_DIFFERENT_HINT = (
    "Nothing was changed or taken away. Keep both devices as they are, stop using this relay (bide relay unset),"
    " and see bide doctor on both."
)
_BEHIND_HINT = "Then bide verify again, on both. If it stays like that, the relay is holding something back: bide doctor"
_UNKNOWN_HINT = (
    "Do both screens show the same two numbers? If so, you hold different histories: bide doctor on both."
    " If not, both run bide sync first."
)


@click.command(
    epilog="\b\nExamples:\n  bide verify\n  bide verify --with Robin\n"
    "  bide verify --json --words - < words-of-the-other-screen.txt\n\n"
    "The words may be followed by the two numbers of the other screen. Without --words and without a terminal nothing is"
    " compared: the words of this side are printed."
)
@with_option
@click.option(
    "--words", "words_given", metavar="TEXT", help="The six words of the other screen, instead of asking; from stdin with -."
)
@shell_options
def command(shell: Shell, with_: str, words_given: str | None) -> None:
    """Compare, side by side, that both hold the same.

    Sit together; both run this. Each says six words and types those of the other screen. They are the same kind of words as
    when pairing, and they fit only if nothing was withheld from either, left out or changed.

    Exit code 6 if you hold different histories, and 8 if one of you is only ahead.
    """
    replica = open_replica(shell)
    person = replica.reader.person(with_)
    said = _given(words_given) if words_given is not None else None
    synced = _sync(shell, replica, person)
    from bide.replica.examining.comparing import compare

    space = replica.reader.person(with_).space
    comparison = compare(replica.storage, space)
    name = clean_line(person.name)
    _show(shell, comparison, name)
    if said is None and shell.may_ask and not shell.as_json:
        said = _ask(shell, comparison, name)
    matched = None if said is None else _judged(comparison, said)
    if shell.as_json:
        counts = [{"you": slot == comparison.slot, "entries": count} for slot, count in enumerate(comparison.counts)]
        shell.emit(
            "verify", **{"with": person.name}, synced=synced, words=list(comparison.words), counts=counts, matched=matched
        )
    if said is not None:
        _tell(shell, replica, person, comparison, said, matched=matched)


def _given(text: str) -> Said:
    from bide.crypto.comparing import parse_said

    if text != "-":
        return parse_said(text)
    try:
        return parse_said(sys.stdin.read(STDIN_CHARS_MAX))
    except UnicodeDecodeError:
        raise InputError("That was not valid UTF-8 text.") from None


def _sync(shell: Shell, replica: Replica, person: Person) -> bool:
    """Exchange what there is first, so that neither is only a bit ahead. What hinders it is told, and no reason to stop."""
    if person.space.space_id in replica.resting():
        shell.say(_("Paused with {name}, so what is here is compared as it is.").format(name=clean_line(person.name)))
        return False
    if not person.space.relay_url:
        shell.say(_("No relay is set, so what is here is compared as it is."))
        return False
    from bide_cli.syncing.carrying import sync_once

    try:
        outcomes = sync_once(replica, shell.home)
        error = next((each.error for each in outcomes if each.space.space_id == person.space.space_id), None)
    except BideError as busy:
        error = busy
    if error is not None:
        shell.say(_("{why} What is here is compared as it is.").format(why=sentence(error)[0]))
    return error is None


def _show(shell: Shell, comparison: Comparison, name: str) -> None:
    # The founder of the space first, on both screens, so that the two lines can be laid side by side.
    numbers = [
        (_("you {n}") if slot == comparison.slot else _("{name} {n}")).format(name=name, n=grouped(count))
        for slot, count in enumerate(comparison.counts)
    ]
    shell.out(_("Say to {name}:  {words}").format(name=name, words=" ".join(comparison.words)))
    shell.out(_("Log entries:  {numbers}").format(numbers=", ".join(numbers)))


def _ask(shell: Shell, comparison: Comparison, name: str) -> Said:
    """The words of the other screen; where they don't fit, its numbers too."""
    from bide.crypto.comparing import Said, parse_count
    from bide_cli.terminal.asking import ask_until_good

    said = _ask_words(shell, name)
    for _left in range(TRIES - 1):
        if comparison.matches(said):
            return said
        write_talk("  " + _("Those are not the words that belong to it. Once more, letter by letter."))
        said = _ask_words(shell, name)
    if comparison.matches(said) or said.counts:
        return said
    questions = (
        _("How many log entries does {name}'s screen show for you?").format(name=name),
        _("And how many for {name}?").format(name=name),
    )
    mine, theirs = (int(ask_until_good(shell, question, lambda text: str(parse_count(text)))) for question in questions)
    return Said(said.words, (mine, theirs) if comparison.slot == 0 else (theirs, mine))


def _ask_words(shell: Shell, name: str) -> Said:
    from bide.crypto.comparing import parse_said
    from bide_cli.terminal.asking import ask_until_good

    def check(text: str) -> str:
        parse_said(text)
        return text

    return parse_said(ask_until_good(shell, _("The six words on {name}'s screen?").format(name=name), check))


def _judged(comparison: Comparison, said: Said) -> bool | None:
    """Whether both hold the same; None: one is ahead, so it can't be told yet."""
    if comparison.matches(said):
        return True
    return None if said.counts and any(comparison.is_behind(said.counts)) else False


def _tell(shell: Shell, replica: Replica, person: Person, comparison: Comparison, said: Said, *, matched: bool | None) -> None:
    name = clean_line(person.name)
    if matched:
        shell.out(
            _("You and {name} hold the same journal, to the last word. Nothing was kept from either of you.").format(name=name)
        )
        return
    if matched is None:
        here, there = comparison.is_behind(said.counts)
        if here and there:
            words = "Each of you has something that the other doesn't have yet. Both run: bide sync"
        elif here:
            words = "{name} has something that has not come here yet. {name} runs bide sync first, then you."
        else:
            words = "You have something that {name} doesn't have yet. You run bide sync first, then {name}."
        raise NotAllowed(words, hint=_BEHIND_HINT, name=name)
    if not said.counts:
        raise VerificationFailed("These are not the words that belong to what is here.", hint=_UNKNOWN_HINT)
    replica.note_difference(person.space.space_id)
    raise VerificationFailed(_DIFFERENT, hint=_DIFFERENT_HINT, name=name)
