"""``bide pause``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bide_cli.home.folder import read_config
from bide_cli.language import _
from bide_cli.options import shell_options
from bide_cli.syncing import background
from bide_cli.terminal.shell import Shell, clean_line
from bide_cli.unlocking.opening import open_replica

if TYPE_CHECKING:
    from bide.replica import Replica
    from bide.replica.spaces.people import Person


@click.command(epilog="\b\nExamples:\n  bide pause\n  bide pause --with Robin\n  bide pause --end")
@click.option("--with", "with_", default="", metavar="NAME", help="With whom; needed if you share with several people.")
@click.option("--end", is_flag=True, help="Go on syncing.")
@shell_options
def command(shell: Shell, with_: str, end: bool) -> None:
    """Stop syncing with somebody for a while; nobody is told.

    Nothing is sent to them and nothing is fetched. You can go on writing; it waits here until bide pause --end, and then goes.
    Other devices of yours pause as well once they hear of it, through your own space.
    """
    from bide_cli.syncing.carrying import tell_own_devices

    config = read_config(shell.home)
    replica = open_replica(shell, config)
    person = replica.reader.person(with_)
    replica.pause(person.name, end=end)
    name = clean_line(person.name)
    background.poke(shell.home)
    several = tell_own_devices(shell, replica)
    carried = end and bool(replica.relay()) and background.carry_on(shell.home, config)
    if shell.as_json:
        shell.emit("pause", **{"with": person.name}, paused=not end)
    elif end:
        shell.tell(_going_on(replica, person, carried=carried))
    else:
        shell.tell(_("Paused with {name}. Nothing is sent or fetched until bide pause --end.").format(name=name))
        shell.say(
            _("{name} is told nothing, and can see only that nothing new comes. What they have, they keep.").format(name=name)
        )
        if several:
            shell.say(_("Each of your other devices pauses when it hears of it, which takes a sync there."))


def _going_on(replica: Replica, person: Person, *, carried: bool) -> str:
    """That it goes on, and when what waited here goes."""
    if not replica.reader.pending(person.space):
        words = _("Going on with {name}.")  # it went just now, or there was nothing
    elif not replica.relay():
        words = _("Going on with {name}. What waited here goes when a relay is set: bide relay set URL")
    elif carried:
        words = _("Going on with {name}. What waited here goes as soon as the relay can be reached.")
    else:
        words = _("Going on with {name}. What waited here goes with the next bide sync.")
    return words.format(name=clean_line(person.name))
