"""An export as one HTML page: its own style inside, no script, nothing from anywhere else, light and dark, fit to print."""

from __future__ import annotations

import base64
import hashlib
import html
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bide_cli.exporting.head import Head, here
from bide_cli.exporting.said import Part, earlier, marks, parts, time_of, title, who
from bide_cli.language import _, language
from bide_cli.terminal.dates import heading, local_minute
from bide_cli.terminal.shell import clean_line

STYLE = """
:root { color-scheme: light dark; --ink: #222; --quiet: #5a5a5a; --paper: #fdfcfa; --line: #d9d4cc; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e4dd; --quiet: #a8a299; --paper: #1b1a18; --line: #45413b; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1.05rem/1.6 Georgia, 'Noto Serif', serif; }
main { max-width: 42rem; margin: 0 auto; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.7rem; font-weight: normal; margin: 0; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .6rem; border-bottom: 1px solid var(--line); }
h3, h4, h5, h6 { font-size: 1rem; margin: 0; }
header p, .marks, .before, dt { color: var(--quiet); font-size: .9rem; margin: 0; }
article { margin: 1.4rem 0; overflow-wrap: anywhere; }
article article, .before { margin: 1rem 0 0; padding-inline-start: 1rem; border-inline-start: 2px solid var(--line); }
dl { margin: .4rem 0 0; }
dd { margin: 0 0 .7rem; }
dd p, dd ul, .words p { margin: 0 0 .5rem; white-space: pre-line; }
.words { margin-top: .4rem; }
@media print {
  :root { color-scheme: light; --ink: #000; --quiet: #444; --paper: #fff; --line: #bbb; }
  main { max-width: none; padding: 0; }
  h2, h3, h4, .marks, dt { break-after: avoid; }
}
"""
_HEADING_MAX = 6
_RIGHT_TO_LEFT = frozenset(("ar", "fa", "he", "ur", "yi"))


def draw(head: Head, entries: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The pieces of the page."""
    zone = here()
    yield _opening(head)
    day = ""
    for entry in entries:
        if entry["day"] != day:
            closing = "</section>\n" if day else ""
            day = entry["day"]
            yield f"{closing}<section>\n<h2>{_text(heading(day))}</h2>\n"
        yield _article(entry, zone, level=3)
    yield "</section>\n" if day else f"<p>{_text(_('There is nothing in it.'))}</p>\n"
    yield "</main>\n</body>\n</html>\n"


def policy() -> str:
    """What the page may load: nothing but its own style, named by its hash."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def _opening(head: Head) -> str:
    lines = "".join(f"<p>{_text(line)}</p>\n" for line in head.lines())
    return (
        f'<!DOCTYPE html>\n<html lang="{_text(language())}" dir="{_direction()}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_text(policy())}">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="robots" content="noindex">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(head.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<header>\n<h1>{_text(head.title)}</h1>\n{lines}</header>\n"
    )


def _direction() -> str:
    return "rtl" if language().partition("-")[0] in _RIGHT_TO_LEFT else "ltr"


def _text(text: str) -> str:
    return html.escape(text)


def _theirs(tag: str, text: str) -> str:
    """People's text, in whatever language and direction it is."""
    return f'<{tag} dir="auto" lang="">{_text(text)}</{tag}>'


def _article(entry: Mapping[str, Any], zone: str, *, level: int) -> str:
    heading_tag = f"h{min(level, _HEADING_MAX)}"
    time = f'<time datetime="{_text(clean_line(entry["at"]))}">{_text(time_of(entry, zone))}</time>'
    name = f'<bdi lang="">{_text(who(entry["by"]))}</bdi>'
    pieces = [f"<article>\n<{heading_tag}>{time} · {_text(title(entry))} · {name}</{heading_tag}>\n"]
    if level == 3:
        pieces.append(f'<p class="marks">{_text(" · ".join([*marks(entry), clean_line(entry["code"])]))}</p>\n')
    pieces.append(_parts(parts(entry)))
    for until, replaced in earlier(entry):
        before = _("Before {time}:").format(time=local_minute(until))
        pieces.append(f'<div class="before">\n<p>{_text(before)}</p>\n{_parts(replaced)}</div>\n')
    pieces += [_article(reply, zone, level=level + 1) for reply in entry["replies"]]
    return "".join([*pieces, "</article>\n"])


def _parts(said: Iterable[Part]) -> str:
    pieces: list[str] = []
    for labelled, together in itertools.groupby(said, lambda part: bool(part.label)):
        if labelled:
            pieces += ["<dl>\n", *map(_pair, together), "</dl>\n"]
        else:
            pieces += [f'<div class="words">{_words(part)}</div>\n' for part in together]
    return "".join(pieces)


def _pair(part: Part) -> str:
    name = f'<bdi lang="">{_text(part.who)}</bdi> · ' if part.who else ""
    return f"<dt>{name}{_text(part.label)}</dt>\n<dd>{_words(part)}</dd>\n"


def _words(part: Part) -> str:
    if part.items:
        return f"<ul>{''.join(_theirs('li', item) for item in part.items)}</ul>"
    return "".join(_theirs("p", paragraph.strip("\n")) for paragraph in part.text.split("\n\n") if paragraph.strip())
