"""``bide doctor``."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bide.errors import Phrase
from bide.replica.doctor import DAMAGE, NOTE, OK, Finding
from bide_cli import failures
from bide_cli import home as homes
from bide_cli.language import N_, _, plural, worded
from bide_cli.opening import open_replica
from bide_cli.options import shell_options
from bide_cli.shell import Shell

if TYPE_CHECKING:
    from bide.replica.replica import Replica

MARKS = {OK: N_("ok"), NOTE: N_("note"), DAMAGE: N_("DAMAGE")}
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@click.command(
    epilog="\b\nExamples:\n  bide doctor\n  bide doctor --again\n"
    "  bide doctor --json | jq '.findings[] | select(.level != \"ok\")'"
)
@click.option("--again", is_flag=True, help="First try again what was set aside because it stops Bide, as after an upgrade.")
@shell_options
def command(shell: Shell, again: bool) -> int:
    """Look for anything wrong in this home.

    Reads everything and changes nothing, unless --again finds that something set aside can be taken in now. It is tried in a
    process of its own, so nothing can happen to this one. Exit code 1 if there is damage.
    """
    replica = open_replica(shell)
    if again:
        _look_again(shell, replica)
    findings = [*replica.doctor(), *_permissions(shell.home)]
    sound = all(finding.level != DAMAGE for finding in findings)
    told = [{"level": finding.level, "words": worded(*finding.words)} for finding in findings]
    if shell.as_json:
        shell.emit("doctor", findings=told, sound=sound)
    else:
        marks = {level: _(mark) for level, mark in MARKS.items()}
        width = max(map(len, marks.values()))
        for finding in told:
            shell.out(f"{marks[finding['level']]:<{width}}  {finding['words']}")
        if not sound:
            shell.say(_("Keep a copy of this home before anything else. What is only derived comes back with: bide rebuild"))
    return failures.OK if sound else failures.ERROR


def _look_again(shell: Shell, replica: Replica) -> None:
    came, left = replica.look_again()
    if came:
        shell.say(
            plural("{n} change that was set aside is taken in now.", "{n} changes that were set aside are taken in now.", came)
        )
    elif not left:
        shell.say(_("Nothing was set aside because it stops Bide."))


def _permissions(home: Path) -> list[Finding]:
    """Whether other people of this machine can look into the home."""
    open_ones = [
        path.name or str(path)
        for path in (home, home / homes.DATABASE, home / homes.CONFIG, home / homes.WRAPPED_KEY)
        if path.exists() and path.stat().st_mode & _OTHERS
    ]
    if open_ones:
        values = {"files": ", ".join(open_ones), "home": home}
        return [Finding(NOTE, Phrase("Other people of this machine can look at {files} (chmod go= {home}).", values))]
    return [Finding(OK, Phrase("Only you can look into this home."))]
