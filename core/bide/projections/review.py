"""A look back over weeks: how often which feeling was named, and own words and shared facts in the order of their days.

It is made from my own entries and from what two people did together: activities, talks that both settled, questions that both
answered. Nothing of the other person's words is in it beyond those facts, nothing is compared, and what was put off,
withdrawn or taken back is not in it at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from bide.errors import InputError
from bide.words.showing import CORES, shown_feeling

WEEKS_DEFAULT = 12
WEEKS_MAX = 1_040
"""Twenty years."""
WORDS_MAX = 12
"""How many of the words chosen most often are named."""

_WEEKS_UP_TO, _MONTHS_UP_TO, _QUARTERS_UP_TO = 26, 130, 312
"""Up to so many weeks a picture has a column a week, a month, a quarter; beyond that a year: never more than 32."""
_STEP_MONTHS = {"month": 1, "quarter": 3, "year": 12}

GOOD = ("went_well", "lift", "grateful", "proud")
HARD = ("hard", "worry")
NOTICED = ("noticed", "felt", "shows")
FELT_IN = ("checkin", "share", "feeling", "reflection", "keepsake")
"""Kinds whose feelings count. The feelings of an appreciation or a repair are about one moment with the other person."""
OWN_KINDS = (*FELT_IN, "appreciation")
SHARED_KINDS = ("activity", "repair", "question")

Entry = Mapping[str, Any]
"""An entry as `bide.projections.timeline.show_entry` gives it."""
CoreOf = Callable[[str], str]
"""The slug of the core of a stored feeling; empty for a word that belongs to none."""


class Step(StrEnum):
    """How long a column of a picture is."""

    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


class Span(NamedTuple):
    """Some days in a row, both ends counted, as ``YYYY-MM-DD``."""

    first: str
    last: str


class Period(NamedTuple):
    """What is looked back on: from a Monday to today."""

    weeks: int
    step: Step
    spans: tuple[Span, ...]
    """Its parts, one column each. Only the first and the last can be shorter than a step."""

    @property
    def first(self) -> str:
        """The first day."""
        return self.spans[0].first

    @property
    def last(self) -> str:
        """The last day."""
        return self.spans[-1].last

    def holds(self, day: str) -> bool:
        """Whether a day is in it."""
        return self.first <= day <= self.last

    def span_of(self, day: str) -> int:
        """The number of the part that holds a day of the period."""
        from bisect import bisect_right

        return bisect_right(self.spans, day, key=lambda span: span.first) - 1


def period_until(today: str, weeks: int) -> Period:
    """The calendar weeks that end with today's.

    Raises:
        InputError: too many weeks, or none.
    """
    if not 1 <= weeks <= WEEKS_MAX:
        raise InputError("A look back takes from 1 to {most} weeks.", hint="For example: --weeks 12", most=f"{WEEKS_MAX:,}")
    last = date.fromisoformat(today)
    monday = last - timedelta(days=last.weekday())
    # Before the year 1 there are no days.
    back = min(timedelta(weeks=weeks - 1), monday - date.min)
    step = _step_for(weeks)
    return Period(weeks, step, tuple(_spans(monday - back, last, step)))


def _step_for(weeks: int) -> Step:
    if weeks <= _WEEKS_UP_TO:
        return Step.WEEK
    if weeks <= _MONTHS_UP_TO:
        return Step.MONTH
    return Step.QUARTER if weeks <= _QUARTERS_UP_TO else Step.YEAR


def _spans(first: date, last: date, step: Step) -> Iterator[Span]:
    begins = first
    while begins <= last:
        following = begins + timedelta(weeks=1) if step is Step.WEEK else _next_begin(begins, _STEP_MONTHS[step])
        yield Span(begins.isoformat(), min(last, following - timedelta(days=1)).isoformat())
        begins = following


def _next_begin(day: date, months: int) -> date:
    """The first day of the next month, quarter or year."""
    number = (day.year * 12 + day.month - 1) // months * months + months
    return date(number // 12, number % 12 + 1, 1)


def review(
    entries: Iterable[Entry],
    period: Period,
    *,
    core_of: CoreOf,
    came_on: Mapping[str, str],
    shared_only: bool = False,
    language: str = "en",
) -> dict[str, Any]:
    """What there is to see, as plain data; see docs/cli-json.md for its shape.

    Args:
        entries: shown entries, oldest first; those that don't belong in a review are passed over.
        period: what to look back on.
        core_of: see `CoreOf`.
        came_on: entry id to the day on which a talk was settled by both or a question answered by both.
        shared_only: leave out what only I can see.
        language: what feelings are worded in.
    """
    counting = [entry for entry in entries if _counts(entry, shared_only=shared_only)]
    mine = [(day, e) for e in counting if e["by"]["me"] and e["kind"] in OWN_KINDS and period.holds(day := _day(e))]
    facts = [(day, e) for e in counting if e["kind"] in SHARED_KINDS and period.holds(day := came_on.get(e["id"]) or _day(e))]
    mine.sort(key=lambda item: item[0])
    facts.sort(key=lambda item: item[0])
    return {
        "since": period.first,
        "until": period.last,
        "weeks": period.weeks,
        "step": period.step.value,
        "spans": [{"first": span.first, "last": span.last} for span in period.spans],
        "shared_only": shared_only,
        "holds_private": any(entry["visibility"] == "private" for _, entry in (*mine, *facts)),
        "feelings": _feelings(mine, period, core_of=core_of, language=language),
        "good": _said(mine, "checkin", GOOD),
        "hard": _said(mine, "checkin", HARD),
        "noticed": _said(mine, "appreciation", NOTICED),
        "together": [_activity(day, entry) for day, entry in facts if entry["kind"] == "activity"],
        "talks": [_talk(day, entry) for day, entry in facts if entry["kind"] == "repair" and entry["state"] == "settled"],
        "questions": [
            _question(day, entry) for day, entry in facts if entry["kind"] == "question" and both_answered(entry) is not None
        ],
    }


def _counts(entry: Entry, *, shared_only: bool) -> bool:
    # What was released is counted where it went on to; what somebody else wrote stays theirs, imported by me or not.
    return not (
        entry.get("retracted")
        or entry.get("hidden")
        or entry.get("released_to")
        or entry["fields"].get("by_name")
        or (shared_only and entry["visibility"] == "private")
    )


def _day(entry: Entry) -> str:
    """The day an entry is about: what was released later was written earlier."""
    return str(entry.get("written_on") or entry["day"])


# Feelings

Dated = tuple[str, Entry]


def _feelings(mine: Sequence[Dated], period: Period, *, core_of: CoreOf, language: str) -> dict[str, Any]:
    """How often each core and each word was chosen. A core that was not named is not there: nothing is missing from a life."""
    by_span: dict[str, list[int]] = {}
    by_weekday: dict[str, list[int]] = {}
    words: Counter[str] = Counter()
    for day, entry in mine:
        chosen = entry["fields"].get("feelings", ())
        if entry["kind"] not in FELT_IN or not isinstance(chosen, list):
            continue
        words.update(chosen)
        weekday = date.fromisoformat(day).weekday()
        for core in filter(None, map(core_of, chosen)):
            by_span.setdefault(core, [0] * len(period.spans))[period.span_of(day)] += 1
            by_weekday.setdefault(core, [0] * 7)[weekday] += 1
    named = [core for core in CORES if core in by_span]
    often = sorted(words.items(), key=lambda item: (-item[1], item[0]))[:WORDS_MAX]
    return {
        "cores": [
            {
                "core": core,
                "word": shown_feeling(core, language),
                "by_span": by_span[core],
                "by_weekday": by_weekday[core],
            }
            for core in named
        ],
        "words": [
            {"feeling": stored, "word": shown_feeling(stored, language), "core": core_of(stored), "times": times}
            for stored, times in often
        ],
    }


# Words and facts


def _said(mine: Sequence[Dated], kind: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """What I said in these fields, an item an entry."""
    items = []
    for day, entry in mine:
        if entry["kind"] == kind:
            said = {name: text for name in names if (text := entry["fields"].get(name))}
            if said:
                items.append({**_place(day, entry), "fields": said})
    return items


def _place(day: str, entry: Entry) -> dict[str, Any]:
    return {"day": day, "code": entry["code"], "visibility": entry["visibility"], "shared_with": list(entry["shared_with"])}


def _activity(day: str, entry: Entry) -> dict[str, Any]:
    """What was done is a fact of both; what it was like is said by the one who wrote it. Whose idea it was is not asked."""
    memory = entry["fields"].get("memory", "") if entry["by"]["me"] else ""
    return {**_place(day, entry), "what": entry["fields"].get("what", ""), "memory": memory}


def _talk(day: str, entry: Entry) -> dict[str, Any]:
    fields = entry["fields"]
    topics = list(dict.fromkeys(item["topic"] for item in fields["topics"] if item["topic"]))
    also = [str(text) for text in entry.get("alternatives", {}).get("agreement", ())]
    return {**_place(day, entry), "topics": topics, "agreement": fields["agreement"], "agreement_also": also}


def _question(day: str, entry: Entry) -> dict[str, Any]:
    own = [reply["fields"].get("answer", "") for reply in _answers(entry) if reply["by"]["me"]]
    return {**_place(day, entry), "question": entry["fields"].get("question", ""), "answer": own[-1]}


def _answers(entry: Entry) -> list[Entry]:
    return [
        reply
        for reply in entry["replies"]
        if reply["kind"] == "answer" and not (reply.get("retracted") or reply.get("hidden")) and reply["fields"].get("answer")
    ]


def both_answered(entry: Entry) -> str | None:
    """The day on which a question had been answered by both; None if it isn't."""
    first: dict[bool, str] = {}
    for reply in _answers(entry):
        first.setdefault(reply["by"]["me"], reply["day"])
    return max(first.values()) if len(first) == 2 else None
