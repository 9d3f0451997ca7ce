"""``bide release``."""

from __future__ import annotations

import click

from bide.errors import NotAllowed
from bide.replica.authoring.holding import Deed, Do
from bide.replica.spaces.removal import require_belonging
from bide_cli.home.folder import read_config
from bide_cli.language import _
from bide_cli.options import now_option, shell_options, with_option
from bide_cli.reading.render import draw_timeline
from bide_cli.terminal.asking import ask_yes, require_person
from bide_cli.terminal.shell import Shell, clean_line
from bide_cli.unlocking.opening import open_replica
from bide_cli.writing.holding import put, require_place
from bide_cli.writing.telling import tell_written


@click.command(epilog="\b\nExamples:\n  bide release rf-7KQ2MX\n  bide release ck-62XTN3 --with Robin --yes")
@click.argument("entry_id", metavar="ID")
@with_option
@click.option("--yes", is_flag=True, help="Don't ask.")
@now_option
@shell_options
def command(shell: Shell, entry_id: str, with_: str, yes: bool) -> None:
    """Share something that you wrote for yourself.

    The other gets it as a new entry that says on which day it was written. Its earlier texts stay with you.
    """
    config = read_config(shell.home)
    replica = open_replica(shell, config)
    entry = replica.show(entry_id)
    if entry["visibility"] != "private":
        raise NotAllowed("That one is shared already.")
    if entry["retracted"] or entry["released_to"]:
        raise NotAllowed("That one was taken back." if entry["retracted"] else "That one was shared before.")
    space = replica.reader.pair_space(with_)
    require_place(replica, entry_id)
    require_belonging(replica.storage, space)
    name = clean_line(replica.reader.view().others(space.space_id)[0])
    if not yes:
        require_person(shell, "That shows it to somebody else, so you would be asked first.", "To do it unasked: --yes")
        shell.say("\n".join(draw_timeline(shell, [entry])) + "\n")
        shell.say(_("{name} will see these words, and the day on which you wrote them.").format(name=name))
        if not ask_yes(shell, _("Share it with {name}?").format(name=name), default=False):
            shell.say(_("Fine. It stays with you."))
            return
    written = put(shell, replica, config, Deed(Do.RELEASE, entry["kind"], about=entry["id"]), space=space)
    tell_written(shell, "release", replica, config, written, extra={"released": entry["id"]})
