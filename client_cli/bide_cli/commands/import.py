# ruff: noqa: N999  the module of a command has its name
"""``bide import``."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from bide.errors import InputError
from bide_cli.language import N_, _, grouped, plural
from bide_cli.options import OneOf, shell_options
from bide_cli.syncing import background
from bide_cli.terminal.shell import Shell, clean_line

if TYPE_CHECKING:
    from bide.replica import Replica
    from bide.storage.base import SpaceRecord
    from bide_cli.importing.found import Parsed
    from bide_cli.importing.plan import Plan

FORMATS = ("jrnl", "dayone", "daylio", "bide")
_MODULES = {"bide": "bide_json"}
_UNASKED = N_("To share it unasked: --yes. To keep it private, leave --with away.")


@click.command(
    epilog="\b\nExamples:\n  bide import jrnl ~/journal.txt --dry-run\n  jrnl --export json | bide import jrnl -\n"
    "  bide import dayone export.zip\n  bide import daylio daylio_export.csv\n  bide import bide journal.json"
)
@click.argument("format_", metavar="FORMAT", type=OneOf(FORMATS))
@click.argument("file", metavar="FILE")
@click.option("--dry-run", is_flag=True, help="Say what would come, and write nothing.")
@click.option(
    "--with", "with_", default="", metavar="NAME", help="Share it all with this person, instead of keeping it private."
)
@click.option("--yes", is_flag=True, help="Don't ask before sharing.")
@click.option("--zone", default="", metavar="ZONE", help="Where its times are from, such as Europe/Berlin. Default: here.")
@click.option("--timeformat", default="", metavar="FORMAT", help="How jrnl writes dates, as in its config.")
@shell_options
def command(shell: Shell, format_: str, file: str, dry_run: bool, with_: str, yes: bool, zone: str, timeformat: str) -> None:
    """Bring along what you wrote in another journal.

    FORMAT is jrnl, dayone, daylio or bide; FILE is what that exported, or - for stdin. Each entry becomes a keepsake with the
    day and time that it had, and stays private. Importing the same file again brings only what is new in it.
    """
    from bide.replica.spaces.removal import require_belonging
    from bide_cli.home.folder import read_config
    from bide_cli.importing.plan import SOURCES, plan
    from bide_cli.unlocking.opening import open_replica

    if timeformat and format_ != "jrnl":
        raise InputError("--timeformat is for jrnl.")
    config = read_config(shell.home)
    replica = open_replica(shell, config)
    space = replica.reader.pair_space(with_) if with_ else replica.reader.own_space()
    require_belonging(replica.storage, space)
    parsed = _parse(format_, file, zone, timeformat)
    planned = plan(replica, space, SOURCES[format_], parsed)
    name = clean_line(replica.reader.view().others(space.space_id)[0]) if with_ else ""
    if planned.new and not dry_run and (not with_ or _is_meant(shell, planned.new, name, from_stdin=file == "-", yes=yes)):
        _write(shell, replica, space, planned)
        if replica.relay():
            background.carry_on(shell.home, config)
    elif planned.new and not dry_run:
        shell.say(_("Fine. Nothing was written."))
        return
    _tell(shell, format_, planned, dry_run=dry_run, name=name)


def _parse(format_: str, file: str, zone: str, timeformat: str) -> Parsed:
    """All that the file holds; each format is imported when it is wanted."""
    from bide_cli.importing.found import zone_named
    from bide_cli.terminal.zone import local_zone

    if zone and zone_named(zone) is None:
        raise InputError("There is no time zone of that name.", hint="For example: Europe/Berlin")
    here = local_zone()
    zone = zone or (here if zone_named(here) is not None else "UTC")
    module = import_module(f"bide_cli.importing.{_MODULES.get(format_, format_)}")
    parsed: Parsed = module.read(file, zone=zone, **({"timeformat": timeformat} if timeformat else {}))
    return parsed


def _is_meant(shell: Shell, count: int, name: str, *, from_stdin: bool, yes: bool) -> bool:
    """Whether the person wants to share it all: what they wrote for themselves may hold what is not for the other."""
    if yes:
        return True
    from bide_cli.terminal.asking import ask_yes, require_person

    if from_stdin:
        raise InputError("The file takes up stdin, so you can't be asked.", hint=_UNASKED)
    require_person(shell, "That would share all of it, so you would be asked first.", _UNASKED)
    shell.say(plural("{n} entry would be shared.", "{n} entries would be shared.", count))
    return ask_yes(shell, _("Share all of it with {name}?").format(name=name), default=False)


def _write(shell: Shell, replica: Replica, space: SpaceRecord, planned: Plan) -> None:
    from bide.replica.authoring.importing import write_keepsakes
    from bide_cli.terminal.waiting import Waiting

    total = sum(map(len, planned.groups))
    waiting = Waiting(shell)
    waiting.begin("")

    def tell(written: int) -> None:
        waiting.show(_("{done} of {total} entries").format(done=grouped(written), total=grouped(total)))

    try:
        write_keepsakes(replica, space, planned.groups, progress=tell)
    finally:
        waiting.end()


# Telling


def _tell(shell: Shell, format_: str, planned: Plan, *, dry_run: bool, name: str) -> None:
    if shell.as_json:
        counts: dict[str, Any] = {key: getattr(planned, key) for key in _COUNTS}
        shell.emit("import", format=format_, dry_run=dry_run, visibility="shared" if name else "private", **counts)
        return
    shell.out(_headline(planned, dry_run=dry_run, name=name))
    for line in _remarks(planned):
        shell.say(line)


_COUNTS = ("found", "new", "here", "changed", "split", "replaced", "left", "empty")


def _headline(planned: Plan, *, dry_run: bool, name: str) -> str:
    if not planned.new:
        return _("Nothing new in it. Nothing was written.")
    if dry_run:
        words = plural("{n} entry would come.", "{n} entries would come.", planned.new)
        return words + " " + _("Nothing was written: this was a dry run.")
    words = plural("{n} entry came along.", "{n} entries came along.", planned.new)
    return f"{words} {_('Shared with {name}.').format(name=name) if name else _('Nobody but you can see what came.')}"


def _remarks(planned: Plan) -> list[str]:
    remarks = (
        (planned.here, plural("{n} entry is here already.", "{n} entries are here already.", planned.here)),
        (
            planned.changed,
            plural(
                "{n} entry has changed over there since. What is here stays as it is.",
                "{n} entries have changed over there since. What is here stays as it is.",
                planned.changed,
            ),
        ),
        (
            planned.split,
            plural(
                "{n} entry is longer than fits and takes several keepsakes.",
                "{n} entries are longer than fits and take several keepsakes each.",
                planned.split,
            ),
        ),
        (
            planned.replaced,
            plural(
                "{n} character that can't be shown was replaced by a mark.",
                "{n} characters that can't be shown were replaced by a mark.",
                planned.replaced,
            ),
        ),
        (
            planned.left,
            plural("{n} picture or attachment was left out.", "{n} pictures or attachments were left out.", planned.left),
        ),
        (
            planned.empty,
            plural("{n} entry without words was left out.", "{n} entries without words were left out.", planned.empty),
        ),
    )
    return [words for count, words in remarks if count]
