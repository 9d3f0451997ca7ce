"""The manual: a page in groff for ``bide`` and one for each of its commands, written from the program."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from docs.commands import Option, Paragraph, examples_of, help_of, options_of, summary_of, usage

ROOT = Path(__file__).parent.parent
_SECTION = 1
_ENVIRONMENT = re.compile(r"^## Environment\n(?:[^|].*\n|\n)*((?:\|.*\n)+)", re.MULTILINE)
_RELAY_NOTE = (
    "This is about the relay that this device uses. The server itself is another program, bide-relay; bide-relay --help and "
    "docs/operating.md are about that."
)


def man_pages(root: click.Group, *, exit_codes: Mapping[int, str]) -> dict[str, str]:
    """The text of each page, by file name.

    Args:
        root: the program.
        exit_codes: what each means.
    """
    context = click.Context(root)
    commands = {name: root.get_command(context, name) for name in root.list_commands(context)}
    known = {name: command for name, command in commands.items() if command is not None and not command.hidden}
    pages = {"bide.1": _program_page(root, known, exit_codes)}
    for name, command in known.items():
        pages[f"bide-{name}.1"] = _command_page(name, command)
    return pages


def escape(text: str) -> str:
    """`text` for groff: nothing in it is a request or an escape, and what is not ASCII is named."""
    named = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    named = named.replace("^", "\\(ha").replace("~", "\\(ti")
    named = "".join(each if each.isascii() else f"\\[u{ord(each):04X}]" for each in named)
    return "\n".join(f"\\&{line}" if line.startswith(".") else line for line in named.split("\n"))


def _title(name: str) -> list[str]:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    # No date: the same program makes the same page on every day.
    return [
        '.\\" Written by docs/manpages.py from the program; do not edit it here.',
        f'.TH {name.upper().replace("-", chr(92) + "-")} {_SECTION} "" "Bide {version}" "Bide"',
        # Words of a command line are not to be taken apart.
        ".nh",
        ".ad l",
    ]


def _paragraphs(paragraphs: Iterable[Paragraph]) -> list[str]:
    lines: list[str] = []
    for paragraph in paragraphs:
        lines += [".nf" if paragraph.preformatted else ".PP", escape(paragraph.text)]
        if paragraph.preformatted:
            lines.append(".fi")
    return lines


def _options(options: Iterable[Option]) -> list[str]:
    lines: list[str] = []
    for option in options:
        if not option.names and not option.words:
            continue  # an argument that the description is about
        names = ", ".join(f"\\fB{escape(name)}\\fR" for name in option.names)
        value = f"\\fI{escape(option.metavar)}\\fR" if option.metavar else ""
        lines += [".TP", " ".join(filter(None, (names, value)))]
        lines.append(escape(option.words) if option.words else "\\&")
    return lines


def _examples(command: click.Command) -> list[str]:
    examples, others = examples_of(command)
    lines = [".SH EXAMPLES", ".nf", *map(escape, examples), ".fi"] if examples else []
    return lines + _paragraphs(others)


def _body(path: str, command: click.Command) -> list[str]:
    """Usage, words, options and examples of a command beneath another one."""
    lines = [f".SS \\fB{escape(path)}\\fR", escape(usage(path, command)), *_paragraphs(help_of(command))]
    lines += _options(options_of(command, shared=False))
    examples, _ = examples_of(command)
    if examples:
        lines += [".PP", ".nf", *map(escape, examples), ".fi"]
    return lines


def _command_page(name: str, command: click.Command) -> str:
    path = f"bide {name}"
    lines = [*_title(f"bide-{name}"), ".SH NAME", f"bide\\-{escape(name)} \\- {escape(_as_name(summary_of(command)))}"]
    lines += [".SH SYNOPSIS", f"\\fB{escape(path)}\\fR{escape(usage(path, command).removeprefix(path))}"]
    lines += [".SH DESCRIPTION", *_paragraphs(help_of(command))]
    if name == "relay":
        lines += _paragraphs([Paragraph(_RELAY_NOTE)])
    if isinstance(command, click.Group):
        context = click.Context(command)
        lines.append(".SH COMMANDS")
        for below in command.list_commands(context):
            found = command.get_command(context, below)
            if found is not None and not found.hidden:
                lines += _body(f"{path} {below}", found)
    lines += [".SH OPTIONS", *_options(options_of(command)), *_options([_HELP]), *_examples(command)]
    lines += [".SH SEE ALSO", "\\fBbide\\fR(1)"]
    return "\n".join(lines) + "\n"


_HELP = Option(("-h", "--help"), "", "Show what it does, and leave.", ())


def _as_name(summary: str) -> str:
    """A summary as the NAME section wants it: what whatis(1) prints."""
    return summary.rstrip(".")


def _program_page(root: click.Group, commands: Mapping[str, click.Command], exit_codes: Mapping[int, str]) -> str:
    lines = [*_title("bide"), ".SH NAME", f"bide \\- {escape(_as_name(summary_of(root)).lower())}"]
    lines += [".SH SYNOPSIS", escape(usage("bide", root)), ".SH DESCRIPTION", *_paragraphs(help_of(root))]
    lines.append(".SH COMMANDS")
    for name, command in commands.items():
        lines += [".TP", f"\\fBbide\\-{escape(name)}\\fR(1)", escape(summary_of(command))]
    lines += [".SH OPTIONS", *_options(options_of(root)), *_options([_HELP])]
    lines.append(".SH ENVIRONMENT")
    for variable, words in _environment():
        lines += [".TP", f"\\fB{escape(variable)}\\fR", escape(words)]
    lines.append(".SH EXIT STATUS")
    for code, words in sorted(exit_codes.items()):
        lines += [".TP", f"\\fB{code}\\fR", escape(words)]
    lines += _examples(root)
    lines += [".SH SEE ALSO", ",\n".join(f"\\fBbide\\-{escape(name)}\\fR(1)" for name in commands)]
    return "\n".join(lines) + "\n"


def _environment() -> list[tuple[str, str]]:
    """The table of variables in docs/cli.md, which is the one place where they are described."""
    page = ROOT / "docs" / "cli.md"
    found = _ENVIRONMENT.search(page.read_text(encoding="utf-8")) if page.exists() else None
    rows = []
    for line in found[1].splitlines()[2:] if found else ():
        variable, words = (cell.strip().replace("`", "") for cell in line.strip("| ").split(" | ", 1))
        rows.append((variable, words))
    return rows
