"""An export as Markdown (CommonMark), to be read as it is, or by whatever shows it nicely.

What people wrote is text and nothing else: whatever Markdown or HTML would see in it is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bide_cli.exporting.head import Head, here
from bide_cli.exporting.said import Part, earlier, marks, parts, time_of, title, who
from bide_cli.language import _
from bide_cli.terminal.dates import heading, local_minute
from bide_cli.terminal.shell import clean_line

_ANYWHERE = re.compile(r"([\\`*_\[\]<>&~|$])")
_LINE_START = re.compile(r"^([#+=\-]|:{1,3})")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])")
_LINK = re.compile(r"(?i)\b(https?|ftp)(:)(?=//)|\b(www)(\.)|(?<=\w)(@)(?=\w)")
"""What some readers make a link of by themselves."""
_NBSP = "\N{NO-BREAK SPACE}"
_SHORT_CHARS_MAX = 60


def draw(head: Head, entries: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The pieces of the file."""
    zone = here()
    yield f"# {escape(head.title)}\n\n" + "\n".join(escape(line) for line in head.lines()) + "\n"
    day = ""
    for entry in entries:
        if entry["day"] != day:
            day = entry["day"]
            yield f"\n## {escape(heading(day))}\n"
        yield "\n" + "\n".join(_entry(entry, zone)) + "\n"
    if not day:
        yield "\n" + escape(_("There is nothing in it.")) + "\n"


def escape(text: str) -> str:
    """A line of text, with nothing in it that Markdown takes for more than text."""
    spaces = len(text) - len(text.lstrip(" \t"))
    text = _ANYWHERE.sub(r"\\\1", text.strip(" \t"))
    text = _LINE_START.sub(r"\\\1", text)
    text = _NUMBERED.sub(r"\1\\\2", text)
    # A character reference in the middle: it reads the same, and is no address any more.
    text = _LINK.sub(lambda match: "".join(f"&#{ord(g)};" if g in (":", ".", "@") else g for g in match.groups() if g), text)
    return _NBSP * spaces + text


def block(text: str) -> list[str]:
    """Lines of text: a paragraph for each of its paragraphs, and its own line breaks inside."""
    lines: list[str] = []
    for paragraph in re.split(r"\n[ \t]*\n\s*", text.strip("\n")):
        written = [escape(line) for line in paragraph.split("\n") if line.strip()]
        if written:
            lines += [*([""] if lines else []), *(f"{line}  " for line in written[:-1]), written[-1]]
    return lines


def _entry(entry: Mapping[str, Any], zone: str) -> list[str]:
    code = f" · {escape(clean_line(entry['code']))}"
    lines = [f"### {escape(time_of(entry, zone))} · {escape(title(entry))} · {escape(who(entry['by']))}", ""]
    lines.append(f"*{escape(' · '.join(marks(entry)))}{code}*")
    return lines + _body(entry, zone)


def _body(entry: Mapping[str, Any], zone: str) -> list[str]:
    lines: list[str] = []
    for part in parts(entry):
        lines += ["", *_part(part)]
    for until, replaced in earlier(entry):
        before = _("Before {time}:").format(time=local_minute(until))
        quoted = [f"*{escape(before)}*"]
        for part in replaced:
            quoted += ["", *_part(part)]
        lines += ["", *_quoted(quoted)]
    for reply in entry["replies"]:
        head = f"**{escape(time_of(reply, zone))} · {escape(title(reply))} · {escape(who(reply['by']))}**"
        lines += ["", *_quoted([head, *_body(reply, zone)])]
    return lines


def _part(part: Part) -> list[str]:
    if not part.label:
        return block(part.text)
    label = escape(f"{part.who} · {part.label}" if part.who else part.label)
    if part.items:
        return [f"**{label}:**", "", *(f"- {escape(item)}" for item in part.items)]
    if "\n" not in part.text and len(part.text) <= _SHORT_CHARS_MAX:
        return [f"**{label}:** {escape(part.text)}"]
    return [f"**{label}:**", "", *block(part.text)]


def _quoted(lines: list[str]) -> list[str]:
    return [f"> {line}" if line else ">" for line in lines]
