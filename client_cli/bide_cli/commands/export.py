"""``bide export``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import click

from bide.errors import InputError
from bide_cli.language import _, plural
from bide_cli.options import OneOf, shell_options
from bide_cli.terminal.dates import check_day, day_of
from bide_cli.terminal.shell import Shell

MARKDOWN, JSON, HTML = "markdown", "json", "html"
FORMATS = (MARKDOWN, JSON, HTML)
_BY_ENDING = {".md": MARKDOWN, ".markdown": MARKDOWN, ".json": JSON, ".html": HTML, ".htm": HTML}


@click.command(
    epilog="\b\nExamples:\n  bide export --output journal.html\n  bide export --format json > journal.json\n"
    "  bide export --mine --since 2026-10-01 --output for-therapy.md\n  bide export --shared-only --with Robin --output us.md"
)
@click.option("--format", "format_", type=OneOf(FORMATS), help="Default: by the file's ending, else markdown.")
@click.option(
    "--output", default="", metavar="FILE", help="Write a file that only you can read; stdout if left out, or with -."
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--mine", is_flag=True, help="Only your own words: nothing that the other wrote or did.")
@click.option("--since", default="", metavar="DAY", help="From this day on: 2026-11-22, today or yesterday.")
@click.option("--until", default="", metavar="DAY", help="Up to and with this day.")
@click.option("--kind", multiple=True, metavar="KIND", help="Only this kind, such as repair; can be given several times.")
@click.option("--with", "with_", default="", metavar="NAME", help="Only what is shared with this person.")
@click.option("--private-only", is_flag=True, help="Only what nobody but you can see.")
@click.option("--shared-only", is_flag=True, help="Nothing that is private.")
@shell_options
def command(shell: Shell, format_: str | None, output: str, force: bool, **chosen: Any) -> None:
    """Take your journal along as a file.

    As Markdown, JSON or one HTML page. Works offline. What is private is in it too, unless you leave it out, and the file is
    not encrypted: keep it where only you can read it. bide import bide takes the JSON back in.
    """
    from bide_cli.exporting.entries import Walk, Wanted, only
    from bide_cli.exporting.head import head_now
    from bide_cli.exporting.output import check_place, write
    from bide_cli.unlocking.opening import open_replica

    to_file = output not in ("", "-")
    format_ = format_ or _default_format(shell, output)
    if shell.as_json and not to_file and format_ != JSON:
        raise InputError("With --json only JSON goes to stdout.", hint="Give the other a file: --output FILE")
    check_day(chosen["since"], "--since")
    check_day(chosen["until"], "--until")
    check_place(output, force=force)
    replica = open_replica(shell)
    wanted = Wanted(
        since=day_of(chosen["since"], replica.day_starts_min),
        until=day_of(chosen["until"], replica.day_starts_min),
        kinds=tuple(chosen["kind"]),
        with_=chosen["with_"],
        only=only(private_only=chosen["private_only"], shared_only=chosen["shared_only"]),
        mine=chosen["mine"],
    )
    walk = Walk(replica, wanted)
    write(output, _drawer(format_)(head_now(replica.name, wanted), walk), force=force)
    if shell.as_json and to_file:
        shell.emit("export", written={"file": output, "format": format_, "entries": walk.entries, "private": walk.private})
    else:
        _tell(shell, walk.entries, walk.private, file=output if to_file else "")


def _default_format(shell: Shell, output: str) -> str:
    if shell.as_json and output in ("", "-"):
        return JSON
    return _BY_ENDING.get(os.path.splitext(output)[1].lower(), MARKDOWN)  # noqa: PTH122 a name is all it is


def _drawer(format_: str) -> Callable[[Any, Iterable[dict[str, Any]]], Iterator[str]]:
    """What draws a format, imported when it is wanted."""
    if format_ == JSON:
        from bide_cli.exporting.as_json import draw
    elif format_ == HTML:
        from bide_cli.exporting.as_html import draw
    else:
        from bide_cli.exporting.as_markdown import draw
    return draw


def _tell(shell: Shell, entries: int, private: int, *, file: str) -> None:
    if not entries:
        shell.say(_("Nothing here fits that, so the export is empty."))
        return
    if file:
        words = plural(
            "{n} entry is in it. Only you can read the file.", "{n} entries are in it. Only you can read the file.", entries
        )
        shell.say(words)
    if private:
        shell.say(
            plural(
                "{n} of them is private: nobody but you could see it so far.",
                "{n} of them are private: nobody but you could see them so far.",
                private,
            )
        )
