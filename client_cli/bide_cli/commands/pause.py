"""``bide pause``."""

from __future__ import annotations

import click

from bide_cli.home.folder import read_config
from bide_cli.language import _
from bide_cli.options import shell_options
from bide_cli.syncing import background
from bide_cli.terminal.shell import Shell, clean_line
from bide_cli.unlocking.opening import open_replica


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
    if shell.as_json:
        shell.emit("pause", **{"with": person.name}, paused=not end)
    elif end:
        shell.out(_("Going on with {name}. What waited here goes now.").format(name=name))
    else:
        shell.out(_("Paused with {name}. Nothing is sent or fetched until bide pause --end.").format(name=name))
        shell.say(
            _("{name} is told nothing, and can see only that nothing new comes. What they have, they keep.").format(name=name)
        )
        if several:
            shell.say(_("Each of your other devices pauses when it hears of it, which takes a sync there."))
    if end and replica.relay():
        background.carry_on(shell.home, config)
