"""Days, weeks and months of a look back, in words."""

from __future__ import annotations

from bide_cli.language import N_, _
from bide_cli.terminal.dates import MONTHS
from bide_cli.terminal.shell import clean_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MONTHS_SHORT = (
    N_("Jan"),
    N_("Feb"),
    N_("Mar"),
    N_("Apr"),
    N_("May"),
    N_("Jun"),
    N_("Jul"),
    N_("Aug"),
    N_("Sep"),
    N_("Oct"),
    N_("Nov"),
    N_("Dec"),
)
WEEKDAYS_SHORT = (N_("Mon"), N_("Tue"), N_("Wed"), N_("Thu"), N_("Fri"), N_("Sat"), N_("Sun"))


def _parts(day: str) -> tuple[int, int, int]:
    year, month, number = (int(part) for part in day.split("-"))
    if not 1 <= month <= 12:
        raise ValueError(day)
    return year, month, number


def day_name(day: str, *, year: bool = False, short: bool = False) -> str:
    """``31 August``, ``31 August 2026`` or ``31 Aug``."""
    try:
        its_year, month, number = _parts(day)
    except ValueError:  # another device's word for it
        return clean_line(day)
    name = _(MONTHS_SHORT[month - 1]) if short else _(MONTHS[month - 1])
    if year:
        return _("{day} {month} {year}").format(day=number, month=name, year=its_year)
    return _("{day} {month}").format(day=number, month=name)


def range_name(first: str, last: str) -> str:
    """``31 August to 22 November 2026``."""
    whole = first[:4] != last[:4]
    return _("{first} to {last}").format(first=day_name(first, year=whole), last=day_name(last, year=True))


def span_name(data: dict[str, Any], number: int) -> str:
    """A part of the period, as a heading: ``Week of 2 November``, ``August 2026``, ``July to September 2026``, ``2026``."""
    first, last = data["spans"][number]["first"], data["spans"][number]["last"]
    year, month, _day = _parts(first)
    if data["step"] == "week":
        return _("Week of {day}").format(day=day_name(first, year=first[:4] != data["until"][:4]))
    if data["step"] == "year":
        return str(year)
    until = _parts(last)[1]
    if until == month:
        return _("{month} {year}").format(month=_(MONTHS[month - 1]), year=year)
    return _("{first} to {last} {year}").format(first=_(MONTHS[month - 1]), last=_(MONTHS[until - 1]), year=year)


def span_short(data: dict[str, Any], number: int) -> str:
    """A part of the period, for the side of a table: ``2 Nov``, ``Aug 2026``, ``2026``."""
    first, last = data["spans"][number]["first"], data["spans"][number]["last"]
    year, month, _day = _parts(first)
    if data["step"] == "week":
        return day_name(first, short=True)
    if data["step"] == "year":
        return str(year)
    until = _parts(last)[1]
    if until == month:
        return _("{month} {year}").format(month=_(MONTHS_SHORT[month - 1]), year=year)
    return _("{first}–{last} {year}").format(first=_(MONTHS_SHORT[month - 1]), last=_(MONTHS_SHORT[until - 1]), year=year)


def axis(data: dict[str, Any], *, apart: int) -> list[tuple[int, str]]:
    """Which columns of a picture are named, and how: months over weeks, years over anything longer.

    Args:
        data: the review.
        apart: how many columns there are at least from one name to the next.
    """
    names: list[tuple[int, str]] = []
    before = ""
    for number, span in enumerate(data["spans"]):
        first = span["first"]
        key = first[:7] if data["step"] == "week" else first[:4]
        if key == before:
            continue
        before = key
        name = _(MONTHS_SHORT[int(first[5:7]) - 1]) if data["step"] == "week" else first[:4]
        if names and number - names[-1][0] < apart:
            if len(names) > 1 or data["step"] == "year":
                continue
            names.pop()  # a beginning so short that its name would stand over what follows
        names.append((number, name))
    return names
