"""``bide safety``."""

from __future__ import annotations

import sys

import click

from bide_cli.language import _, language
from bide_cli.options import shell_options
from bide_cli.terminal.quiet import may_draw
from bide_cli.terminal.shell import Shell

_CLEARED = "\x1b[H\x1b[2J\x1b[3J"
"""The screen and what was scrolled off it."""


@click.command(epilog="\b\nExamples:\n  bide safety\n  bide safety --plain")
@shell_options
def command(shell: Shell) -> None:
    """Read what to do when it is not safe.

    About control and fear, before you pair, and where to find help. It is a text on this device: needs no journal and no
    connection, writes nothing down, sends nothing. Many shells don't keep a command in their history if you type a space in
    front of it; not all.
    """
    from bide.words import deck

    text = deck("safety", language())
    if shell.as_json:
        parts = [{"heading": part.heading, "texts": [item.text for item in text.in_part(part.id)]} for part in text.parts]
        shell.emit("safety", title=text.title, about=text.about, parts=parts)
        return
    from bide_cli.terminal.layout import wrap

    width = shell.width

    mark = "" if shell.plain or shell.accessible else "· "
    indent = " " * len(mark)

    def show(words: str) -> None:
        shell.out(mark + f"\n{indent}".join(wrap(words, max(0, width - len(mark)))))

    # No pager: it may keep a history, and is one more program that knows.
    steps = shell.may_ask and may_draw(shell)
    shell.out(shell.style(text.title, "1"))
    shell.out("\n".join(wrap(text.about, width)))
    for part in text.parts:
        if steps and not _goes_on():
            return
        shell.out("\n" + shell.style(part.heading, "1"))
        for item in text.in_part(part.id):
            show(item.text)
    if steps:
        _goes_on(last=True)


def _goes_on(*, last: bool = False) -> bool:
    """Wait for Enter; clear the screen for who wants to leave at once."""
    words = _("Enter: leave it standing   q: clear the screen") if last else _("Enter: go on   q: clear the screen and leave")
    sys.stdout.write(f"\n{words} ")
    sys.stdout.flush()
    # Not `asking.ask`: nothing typed here is to be near anything that keeps a history.
    typed = sys.stdin.readline(1000)
    if typed.strip().casefold() == "q":
        sys.stdout.write(_CLEARED)
        sys.stdout.flush()
        return False
    return bool(typed)
