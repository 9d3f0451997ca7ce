"""What a look back says in words, section by section. The terminal and the page draw the same."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from bide_cli.language import N_, _
from bide_cli.reviewing.days import day_name, range_name, span_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

Parts = list[tuple[str, str]]
"""Label, which may be empty, and what was said."""


class Item(NamedTuple):
    """What one entry adds to a section."""

    day: str
    """Empty where the heading above it says the day."""
    private: bool
    parts: Parts


class Group(NamedTuple):
    """The items of one week, month, quarter or year; of one day for what two people had together."""

    heading: str
    items: list[Item]


class Section(NamedTuple):
    """Items of one sort, oldest first."""

    key: str
    """Its key in the data, and its anchor on the page."""
    title: str
    about: str
    groups: list[Group]


SECTIONS = (
    ("good", N_("What was good"), N_("What went well, what gave you a lift, what you were grateful for or a little proud of.")),
    ("hard", N_("What was hard, and what was on your mind"), N_("In your words, as you wrote them then.")),
    ("noticed", N_("What you noticed and liked"), N_("From the appreciations you wrote.")),
    ("together", N_("Done together"), ""),
    ("talks", N_("Talked through, and settled by both of you"), ""),
    ("questions", N_("Questions you both answered"), N_("With your own answer beside it.")),
)
_BY_DAY = ("together", "talks", "questions")
"""These are few, and each stands under its own day."""


def outline(data: dict[str, Any]) -> list[Section]:
    """The sections that have something in them."""
    begins = [span["first"] for span in data["spans"]]
    sections = []
    for key, title, about in SECTIONS:
        groups: dict[str, list[Item]] = {}
        for item in data[key]:
            day = item["day"]
            parts = [(label, text) for label, text in _PARTS[key](item) if text]
            single = key in _BY_DAY
            name = _full_day(data, day) if single else span_name(data, max(bisect_right(begins, day) - 1, 0))
            groups.setdefault(name, []).append(Item("" if single else day, item["visibility"] == "private", parts))
        if groups:
            drawn = [Group(name, items) for name, items in groups.items()]
            sections.append(Section(key, _(title), _(about) if about else "", drawn))
    return sections


def _full_day(data: dict[str, Any], day: str) -> str:
    return day_name(day, year=data["step"] != "week" or day[:4] != data["until"][:4])


def is_empty(data: dict[str, Any]) -> bool:
    """Whether there is nothing at all to look back on."""
    return not (data["feelings"]["words"] or any(data[key] for key, *_rest in SECTIONS))


def heading(data: dict[str, Any]) -> str:
    """The title of it all."""
    return _("A look back, {days}").format(days=range_name(data["since"], data["until"]))


def preface() -> str:
    """What it is, in a line or two."""
    return _("Your own words, and what you shared. It measures nobody; look at it as at a photograph of a few weeks.")


def empty_words() -> str:
    """Said where there is nothing yet."""
    return _("There is nothing from this time, and that is fine. Whatever you write from now on can be looked back on here.")


def _said(kind: str) -> Callable[[dict[str, Any]], Parts]:
    def parts(item: dict[str, Any]) -> Parts:
        from bide.entries.kinds import KINDS

        labels = {field.name: field.label for field in KINDS[kind].fields}
        return [(_(labels[name]), str(text)) for name, text in item["fields"].items()]

    return parts


def _together(item: dict[str, Any]) -> Parts:
    return [("", item["what"]), (_("To remember"), item["memory"])]


def _talk(item: dict[str, Any]) -> Parts:
    agreed = [(_("We agree, also"), text) for text in item["agreement_also"]]
    return [*((_("About"), topic) for topic in item["topics"]), (_("We agree"), item["agreement"]), *agreed]


def _question(item: dict[str, Any]) -> Parts:
    return [("", item["question"]), (_("Your answer"), item["answer"])]


_PARTS: dict[str, Callable[[dict[str, Any]], Parts]] = {
    "good": _said("checkin"),
    "hard": _said("checkin"),
    "noticed": _said("appreciation"),
    "together": _together,
    "talks": _talk,
    "questions": _question,
}
