"""One practice for this week: small, concrete, and fitting for who is there. Nothing is noted of what was proposed or done.

Which one it is follows from the week and the space alone, so that it stays the same until the week is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bide_cli.language import N_, _, language

if TYPE_CHECKING:
    from datetime import date

    from bide.replica import Replica

ALONE, PARTNER, FRIEND, FAMILY = "alone", "partner", "friend", "family"
_TWO = (PARTNER, FRIEND, FAMILY)
NEW_DAYS = 28
"""For so long two people count as new here, and get what is easy."""
IDEA = "{idea}"


class Practice(NamedTuple):
    """Something that one or two people can do."""

    command: tuple[str, ...]
    """What to run for it, after ``bide``."""
    words: str
    why: str
    fits: tuple[str, ...]
    """What two people are to each other, or `ALONE`."""
    easy: bool = True
    ideas: tuple[str, str] = ("", "")
    """A deck and a part of it (empty: all), where ``{idea}`` in the words comes from."""


PRACTICES = (
    Practice(
        ("thank",),
        N_("Tell {name} one thing you noticed this week, however small."),
        N_("What is said aloud doesn't have to be guessed."),
        _TWO,
    ),
    Practice(
        ("checkin",),
        N_("Say how you are, one evening, before you talk about what has to be done."),
        N_("A day is easier to share while it is still fresh."),
        _TWO,
    ),
    Practice(
        ("sit", "breathe"),
        N_("Take seven slow breaths next to each other, before you do anything else."),
        N_("It takes about a minute, and there is nothing to do well."),
        (PARTNER,),
    ),
    Practice(
        ("ask", "--depth", "1"),
        N_("Ask {name} one easy question, and answer it yourself."),
        N_("One question is enough for an evening, and you may hear something new."),
        _TWO,
    ),
    Practice(
        ("did",),
        N_("Do something that is new for both of you: {idea}"),
        N_("A first time gives you something that only the two of you have."),
        (PARTNER,),
        ideas=("new-things", ""),
    ),
    Practice(
        ("did",),
        N_("Do something together: {idea}"),
        N_("It gives you something that only the two of you have."),
        (FRIEND,),
        ideas=("friends", "together"),
    ),
    Practice(
        ("did",),
        N_("Do something together: {idea}"),
        N_("It gives you something that only the two of you have."),
        (FAMILY,),
        ideas=("family", "together"),
    ),
    Practice(
        ("sit", "talk", "--minutes", "20"),
        N_("Talk for twenty minutes: ten are yours, ten are {name}'s, and nobody interrupts."),
        N_("It is rare to be listened to for ten minutes on end."),
        _TWO,
        easy=False,
    ),
    Practice(
        ("sit", "gaze", "--minutes", "2"),
        N_("Look at each other for two minutes, without a word."),
        N_("It is long for looking at somebody, and short on the clock."),
        (PARTNER,),
        easy=False,
    ),
    Practice(
        ("share",),
        N_("Tell {name} something small about yourself that they don't know yet."),
        N_("You choose how far it goes, and you can stop there."),
        _TWO,
        easy=False,
    ),
    Practice(
        ("ask", "--depth", "2"),
        N_("Ask {name} a question with some time around it, and answer it yourself."),
        N_("Some things are told only to somebody who asks."),
        _TWO,
        easy=False,
    ),
    Practice(
        ("feel", "--private"),
        N_("Find the word for how you feel just now."),
        N_("What has a name is easier to tell, to yourself too."),
        (ALONE,),
    ),
    Practice(
        ("reflect",),
        N_("Write a few lines that nobody will read."),
        N_("It is a place to find out what you think before you say it."),
        (ALONE,),
    ),
    Practice(
        ("sit", "breathe"),
        N_("Take seven slow breaths before the evening begins."),
        N_("It takes about a minute, and there is nothing to do well."),
        (ALONE,),
    ),
    Practice(
        ("checkin", "--private"),
        N_("Write down how the day was, for yourself alone."),
        N_("A line is plenty, and in a few weeks you can look back at it."),
        (ALONE,),
    ),
)


class Proposal(NamedTuple):
    """A practice, as it is proposed."""

    command: list[str]
    words: str
    why: str


class Situation(NamedTuple):
    """Who is there."""

    fits: str
    """What the two are to each other, or `ALONE`."""
    name: str
    """Of the other; empty for who is alone."""
    space_id: bytes
    new: bool
    """The two have not written here for long."""


def look(replica: Replica, with_: str, *, today: date) -> Situation:
    """Who is there, by what the replica knows.

    Raises:
        InputError: there are several people and none was named.
        NotFound: nobody of that name.
    """
    if not with_ and not replica.people():
        return Situation(ALONE, "", replica.reader.own_space().space_id, new=False)
    space_id = replica.reader.pair_space(with_).space_id
    name = replica.reader.view().others(space_id)[0]
    return Situation(replica.relation(with_), name, space_id, new=_is_new(replica, name, today))


def propose(situation: Situation, known: frozenset[str], *, today: date, with_: str = "", another: int = 0) -> Proposal:
    """The practice for this week.

    Args:
        situation: who is there.
        known: the commands that there are.
        today: the day it is.
        with_: how the person named the other; goes into the command.
        another: how many were passed over.
    """
    found = [
        each
        for each in PRACTICES
        if situation.fits in each.fits and each.command[0] in known and (each.easy or not situation.new)
    ]
    number = _draw(situation.space_id, today)
    chosen = found[(number + another) % len(found)]
    values = {"name": situation.name}
    if IDEA in chosen.words:
        values["idea"] = _idea(chosen.ideas, number // len(found) + another // len(found))
    command = ["bide", *chosen.command]
    if with_ and chosen.command[0] != "sit":
        command += ["--with", with_]
    return Proposal(command, _(chosen.words).format(**values), _(chosen.why))


def _is_new(replica: Replica, with_: str, today: date) -> bool:
    """Whether the two have not written here for long. Judged by the week's beginning, so that it doesn't change within one."""
    from datetime import timedelta

    try:
        before = (today - timedelta(days=today.weekday() + NEW_DAYS)).isoformat()
    except OverflowError:  # a clock at the beginning of time
        return True
    shared = replica.timeline(until=before, limit=1, with_=with_)
    return not any(entry["visibility"] == "shared" for entry in shared)


def _draw(space: bytes, today: date) -> int:
    """A number that is the same all week, and another one for other people."""
    from hashlib import blake2b

    year, week, _day = today.isocalendar()
    return int.from_bytes(blake2b(space + f"{year}-{week}".encode(), digest_size=6).digest(), "big")


def _idea(source: tuple[str, str], number: int) -> str:
    from bide.words import deck

    name, part = source
    found = deck(name, language())
    items = found.in_part(part) if part else found.items
    return items[number % len(items)].text
