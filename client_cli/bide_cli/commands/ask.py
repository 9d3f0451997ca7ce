"""``bide ask``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bide.entries.fields import clean_field
from bide.entries.question import ANSWER_FIELDS, FIELDS, Reveal
from bide.errors import InputError
from bide.replica.authoring.holding import Deed, Do, Held
from bide.replica.spaces.removal import require_belonging
from bide_cli.home.folder import read_config
from bide_cli.language import _
from bide_cli.options import field_options, now_option, shell_options, with_option
from bide_cli.prompting.choosing import find_deck
from bide_cli.prompting.questions import DEPTHS, asked_before, find_card, in_turn, sets_for
from bide_cli.terminal.asking import ask_until_good, choose
from bide_cli.terminal.shell import Shell, clean_line
from bide_cli.unlocking.opening import open_replica
from bide_cli.writing.answering import ask_answer, give_answer
from bide_cli.writing.giving import Given, gather
from bide_cli.writing.holding import put
from bide_cli.writing.telling import tell_written

if TYPE_CHECKING:
    from bide.replica import Replica
    from bide_cli.home.folder import Config
    from bide_cli.prompting.questions import Card

QUESTION = FIELDS[0]
ASKED = tuple(field for field in FIELDS if field.asked)
ANSWER = ANSWER_FIELDS[0].name
_TAKE, _NEXT, _OWN, _LEAVE = "take", "next", "own", "leave"
LETTERS = {_NEXT: "n", _OWN: "o", _LEAVE: "q"}


@click.command(
    epilog="\b\nExamples:\n  bide ask\n  bide ask --depth 1\n  bide ask --question 'What would you like to do more slowly?'\n"
    "  bide ask --deck questions-2 --item silence --reveal at-once\n  bide ask --deck our-summer --with Robin"
)
@field_options((*ASKED, *ANSWER_FIELDS))
@click.option("--deck", metavar="NAME", default="", help="Draw from this deck; bide decks lists them.")
@click.option("--depth", type=click.IntRange(DEPTHS[0], DEPTHS[-1]), help="From 1, which is easy, to 3.")
@click.option("--item", metavar="ID", default="", help="Ask this one of the deck: its id, or its number in bide decks show.")
@with_option
@now_option
@shell_options
def command(shell: Shell, given: Given, deck: str, depth: int | None, item: str, with_: str) -> None:
    """Ask a question that both of you can answer.

    On a terminal it draws one from three sets that rise in depth: take it, go on to the next, or use your own words. Then you
    choose when the answers open, and answer it yourself if you like. What you go past leaves no trace.
    """
    if item and (not deck or "question" in given.values):
        raise InputError("--item is a question of the deck that --deck names, in place of --question.")
    config = read_config(shell.home)
    replica = open_replica(shell, config)
    space = replica.reader.pair_space(with_)  # told before anything is asked
    require_belonging(replica.storage, space)
    values = dict(given.values)
    if item:
        values |= _noted(find_card(shell, deck, item))
    elif "question" not in values and not given.edit:
        chosen = _choose(shell, replica, deck, depth or 0, with_)
        if chosen is None:
            shell.say(_("Fine. Nothing was asked."))
            return
        values |= chosen
    if given.edit:
        given.values = values
        values = {**values, **gather(shell, (*ASKED, *ANSWER_FIELDS), given)}
    answer = clean_field(ANSWER_FIELDS[0], values.pop(ANSWER, None) or "")  # before the question is written, not after
    talks = _talks(shell) and not given.by_options and not given.edit
    if talks:
        values["reveal"] = _ask_reveal(shell)
    written = put(shell, replica, config, Deed(Do.WRITE, "question", values), space=space)
    held = isinstance(written, Held)
    told = dict(values) if held else replica.show(written.id)["fields"]
    extra = {"question": told["question"], "reveal": told.get("reveal", Reveal.BOTH.value)}
    if answer:  # after the question, also out of the outbox
        extra["answer"] = put(shell, replica, config, Deed(Do.REPLY, "answer", {ANSWER: answer}, about=written.id))._asdict()
    name = clean_line(replica.reader.view().others(space.space_id)[0])
    words = "" if answer else _("{name} can answer it or go past it; so can you.").format(name=name)
    tell_written(shell, "ask", replica, config, written, words=words, extra=extra)
    if talks and not held:
        _offer_answer(shell, replica, config, replica.show(written.id))


def _talks(shell: Shell) -> bool:
    """Whether a person is there who can read what is proposed."""
    return shell.may_ask and not shell.as_json


def _offer_answer(shell: Shell, replica: Replica, config: Config, question: dict[str, Any]) -> None:
    answer = ask_answer(shell, _("Your own answer, if you like (Enter: not now):"))
    if answer:
        give_answer(shell, replica, config, question, {ANSWER: answer})


def _noted(card: Card) -> dict[str, Any]:
    return {"question": card.text, "deck": card.deck, "item": card.item}


def _choose(shell: Shell, replica: Replica, deck: str, depth: int, with_: str) -> dict[str, Any] | None:
    """The question that the person takes, as fields; None if they would rather not."""
    if not _talks(shell):
        if deck:
            find_deck(shell, deck)  # one that is not there is told first
            raise InputError("Which question of the deck?", hint="Name it with --item; bide decks show {name}", name=deck[:60])
        return gather(shell, (QUESTION,), Given({}))  # or says what is missing
    from random import SystemRandom

    sets = sets_for(shell, replica.relation(with_), deck=deck, depth=depth)
    cards = in_turn(sets, asked_before(replica, with_), SystemRandom().shuffle)
    if not cards:
        raise InputError("There are no questions in that deck.")
    place, title = 0, ""
    while True:
        card = cards[place % len(cards)]
        if card.title != title:
            title = card.title
            shell.say("\n" + clean_line(title))
        shell.say("\n  " + clean_line(card.text))
        if card.note:
            shell.say("  " + clean_line(card.note))
        chosen = _pick(shell)
        if chosen == _TAKE:
            return _noted(card)
        if chosen == _LEAVE:
            return None
        if chosen == _OWN:
            return gather(shell, (QUESTION,), Given({}))
        place += 1


def _pick(shell: Shell) -> str:
    if shell.accessible:
        choices = [(_TAKE, _("ask it")), (_NEXT, _("another one")), (_OWN, _("own words")), (_LEAVE, _("not now"))]
        return choose(shell, "", choices, letters=LETTERS)

    def check(typed: str) -> str:
        word = typed.strip().casefold()
        found = next((key for key, letter in LETTERS.items() if word in (letter, key)), "" if word else _TAKE)
        if not found:
            raise InputError("Press Enter, or type n, o or q.")
        return found

    return ask_until_good(shell, _("Enter: ask it   n: another   o: own words   q: not now"), check)


def _ask_reveal(shell: Shell) -> str:
    choices = [(Reveal.BOTH.value, _("when both of you have answered")), (Reveal.AT_ONCE.value, _("at once"))]
    return choose(shell, _("When do the answers open?"), choices)
