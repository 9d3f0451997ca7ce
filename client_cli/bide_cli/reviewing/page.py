"""A look back as one page: text, pictures and the tables beside them, with nothing that runs and nothing that is fetched."""

from __future__ import annotations

from html import escape
from pathlib import Path

from bide_cli.language import _, language
from bide_cli.reviewing.days import WEEKDAYS_SHORT, axis, day_name, range_name, span_name, span_short
from bide_cli.reviewing.outline import empty_words, heading, is_empty, outline, preface
from bide_cli.reviewing.svg import Bar, Row, bars, dots
from bide_cli.reviewing.terminal import feelings_title, weekday_rows
from bide_cli.terminal.shell import clean, clean_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bide_cli.reviewing.outline import Group, Item, Section

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""Even what a mistake of ours let through could not run, nor call anybody."""
_MARK_COLUMNS = 0.14
"""How much of all columns the name of one takes on a narrow screen."""


def draw_page(data: dict[str, Any], *, name: str) -> str:
    """The whole page.

    Args:
        data: what `bide.replica.Replica.review` gave.
        name: whose journal it is.
    """
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    title = escape(heading(data))
    sections = [*_pictures(data), *((s.key, s.title, _section(s)) for s in outline(data))]
    return (
        f'<!DOCTYPE html>\n<html lang="{escape(language())}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{_header(data, name, sections)}\n<main>\n{_main(data, sections)}\n</main>\n{_footer(data)}\n</body>\n</html>\n"
    )


Titled = tuple[str, str, str]
"""Key, title and HTML of a section."""


def _header(data: dict[str, Any], name: str, sections: Sequence[Titled]) -> str:
    parts = [
        f'<p class="whose">{_words(clean_line(name))}</p>',
        f"<h1>{escape(_('A look back'))}</h1>",
        f'<p class="preface">{escape(range_name(data["since"], data["until"]))}</p>',
        f'<p class="preface">{escape(preface())}</p>',
    ]
    if data["holds_private"]:
        note = _("Some of this only you can see in your journal. Whoever gets this file can read that too.")
        parts.append(f'<p class="note" id="private-note">{escape(note)}</p>')
    if len(sections) > 1:
        links = "".join(f'<li><a href="#{key}">{escape(title)}</a></li>' for key, title, _html in sections)
        parts.append(f'<nav aria-label="{escape(_("On this page"))}"><ul>{links}</ul></nav>')
    return "<header>\n" + "\n".join(parts) + "\n</header>"


def _main(data: dict[str, Any], sections: Sequence[Titled]) -> str:
    if is_empty(data):
        return f"<section><p>{escape(empty_words())}</p></section>"
    return "\n".join(
        f'<section id="{key}" aria-labelledby="{key}-heading"><h2 id="{key}-heading">{escape(title)}</h2>\n{html}</section>'
        for key, title, html in sections
    )


def _footer(data: dict[str, Any]) -> str:
    lines = [
        _("Made by Bide on your own device, on {day}.").format(day=day_name(data["until"], year=True)),
        _("This file is not encrypted. Keep it where only you can open it, or print it and delete it."),
    ]
    return "<footer>" + "".join(f"<p>{escape(line)}</p>" for line in lines) + "</footer>"


# Pictures


def _pictures(data: dict[str, Any]) -> list[Titled]:
    feelings = data["feelings"]
    found: list[Titled] = []
    if cores := feelings["cores"]:
        found.append(("feelings", feelings_title(data), _over_time(data, cores)))
    if rows := weekday_rows(data):
        found.append(("weekdays", _("Feelings through the week"), _by_weekday(rows)))
    if often := feelings["words"]:
        found.append(("words", _("Words you chose most"), _most_chosen(often)))
    return found


def _over_time(data: dict[str, Any], cores: Sequence[dict[str, Any]]) -> str:
    numbers = range(len(data["spans"]))
    names = [span_name(data, number) for number in numbers]
    marks = axis(data, apart=max(1, round(len(names) * _MARK_COLUMNS)))
    rows = [Row(core["core"], core["word"], core["by_span"]) for core in cores]
    title = _("How often you named which feeling, {days}").format(days=range_name(data["since"], data["until"]))
    picture = dots("feelings-picture", title, _how_to_read(), rows, columns=names, marks=marks)
    about = _("A larger dot means that you named it more often. An empty place means nothing at all.")
    return _figure(picture, about, title, [span_short(data, number) for number in numbers], rows)


def _by_weekday(cores: Sequence[dict[str, Any]]) -> str:
    days = [_(day) for day in WEEKDAYS_SHORT]
    rows = [Row(core["core"], core["word"], core["by_weekday"]) for core in cores]
    title = _("How often you named which feeling, by day of the week")
    picture = dots("weekdays-picture", title, _how_to_read(), rows, columns=days, marks=list(enumerate(days)))
    return _figure(picture, _("The same feelings, by the day on which you wrote them."), title, days, rows)


def _how_to_read() -> str:
    return _("A row for each feeling, a column for each stretch of time. The table after the picture has the same numbers.")


def _most_chosen(often: Sequence[dict[str, Any]]) -> str:
    items = [Bar(item["core"], clean_line(item["word"]), item["times"]) for item in often]
    title = _("The words you chose most often for how you felt")
    picture = bars("words-picture", title, _("A bar for each word. The table after the picture has the same numbers."), items)
    head = f'<tr><th scope="col">{escape(_("Word"))}</th><th scope="col">{escape(_("Chosen"))}</th></tr>'
    body = "".join(f'<tr><th scope="row">{_words(item.label)}</th><td>{item.times}</td></tr>' for item in items)
    return f"<figure>{picture}{_table(title, head, body)}</figure>"


def _figure(picture: str, about: str, title: str, columns: Sequence[str], rows: Sequence[Row]) -> str:
    """A picture and its table, which stands upright: a line for each stretch of time."""
    head = "<tr><td></td>" + "".join(f'<th scope="col">{escape(row.label)}</th>' for row in rows) + "</tr>"
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{row.counts[number] or ''}</td>" for row in rows) + "</tr>"
        for number, name in enumerate(columns)
    )
    return f'<p class="about">{escape(about)}</p><figure>{picture}{_table(title, head, body)}</figure>'


def _table(title: str, head: str, body: str) -> str:
    return (
        f"<details><summary>{escape(_('The same as a table'))}</summary>"
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(title)}">'
        f"<table><thead>{head}</thead><tbody>{body}</tbody></table></div></details>"
    )


# Words


def _section(section: Section) -> str:
    about = f'<p class="about">{escape(section.about)}</p>' if section.about else ""
    return about + "".join(map(_group, section.groups))


def _group(group: Group) -> str:
    items = "".join(map(_item, group.items))
    return f'\n<div class="group"><h3>{escape(group.heading)}</h3><div class="items">{items}</div></div>'


def _item(item: Item) -> str:
    day = f'<time datetime="{escape(item.day)}">{escape(day_name(item.day, short=True))}</time>' if item.day else ""
    mine = f'<span class="mine">{escape(_("only you"))}</span>' if item.private else ""
    parts = ""
    for number, (label, text) in enumerate(item.parts):
        meta = _meta("" if number else day + mine, label)
        parts += f'<div class="part">{meta}<p class="said" dir="auto">{escape(clean(text))}</p></div>'
    return f'<article class="item">{parts}</article>'


def _meta(before: str, label: str) -> str:
    named = f'<span class="label">{escape(label)}</span>' if label else ""
    return f'<div class="meta">{before}{named}</div>' if before or named else ""


def _words(text: str) -> str:
    """A person's own words, in the direction they are written in."""
    return f'<bdi dir="auto">{escape(text)}</bdi>'
