"""``bide doctor``."""

from __future__ import annotations

import stat
from pathlib import Path

import click

from bide_cli import failures
from bide_cli import home as homes
from bide_cli.opening import open_replica
from bide_cli.options import shell_options
from bide_cli.shell import Shell

MARKS = {"ok": "ok    ", "note": "note  ", "damage": "DAMAGE"}
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@click.command(epilog="\b\nExamples:\n  bide doctor\n  bide doctor --json | jq '.findings[] | select(.level != \"ok\")'")
@shell_options
def command(shell: Shell) -> int:
    """Look for anything wrong in this home.

    Reads everything and changes nothing. Exit code 1 if there is damage.
    """
    findings = [*open_replica(shell).doctor(), *_permissions(shell.home)]
    sound = all(finding["level"] != "damage" for finding in findings)
    if shell.as_json:
        shell.emit("doctor", findings=findings, sound=sound)
    else:
        for finding in findings:
            shell.out(f"{MARKS.get(finding['level'], finding['level'])}  {finding['words']}")
        if not sound:
            shell.say("Keep a copy of this home before anything else. What is only derived comes back with: bide rebuild")
    return failures.OK if sound else failures.ERROR


def _permissions(home: Path) -> list[dict[str, str]]:
    """Whether other people of this machine can look into the home."""
    open_ones = [
        path.name or str(path)
        for path in (home, home / homes.DATABASE, home / homes.CONFIG, home / homes.WRAPPED_KEY)
        if path.exists() and path.stat().st_mode & _OTHERS
    ]
    if open_ones:
        words = f"Other people of this machine can look at {', '.join(open_ones)} (chmod go= {home})."
        return [{"level": "note", "words": words}]
    return [{"level": "ok", "words": "Only you can look into this home."}]
