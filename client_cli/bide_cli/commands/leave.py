"""``bide leave``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bide.replica.spaces.removal import require_belonging
from bide.storage.base import find_space
from bide_cli.language import _, plural, sentence
from bide_cli.options import shell_options
from bide_cli.syncing import background
from bide_cli.terminal.asking import choose, require_person
from bide_cli.terminal.shell import Shell, clean_line
from bide_cli.unlocking.opening import open_replica

if TYPE_CHECKING:
    from bide.replica import Replica
    from bide.replica.spaces.people import Person
    from bide.storage.base import SpaceRecord


@click.command(epilog="\b\nExamples:\n  bide leave\n  bide leave --with Robin\n  bide leave --with Robin --quietly --yes")
@click.option("--with", "with_", default="", metavar="NAME", help="Whom; needed if you share with several people.")
@click.option("--quietly", is_flag=True, help="Send nothing any more, and tell nobody.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@shell_options
def command(shell: Shell, with_: str, quietly: bool, yes: bool) -> None:
    """End what you share with somebody.

    Nobody has to agree, and no reason is asked for. The other person sees that it has ended, and neither of you can write in
    it any more; both of you can still read. With --quietly they see nothing: your devices send and fetch nothing of it, ever
    again. Where a notice could put you in danger, read bide safety first.
    """
    from bide_cli.syncing.carrying import sync_now, tell_own_devices

    replica = open_replica(shell)
    person = replica.reader.person(with_)
    if not quietly:
        _require_notice(replica, person)
    if not yes and not _agreed(shell, replica, person, quietly=quietly):
        shell.say(_("Fine. Nothing changed."))
        return
    replica.leave(person.name, quietly=quietly)
    background.poke(shell.home)
    name = clean_line(person.name)
    if quietly:
        several = tell_own_devices(shell, replica)
        if shell.as_json:
            shell.emit("leave", **{"with": person.name}, quietly=True, told=False)
            return
        shell.tell(_("Left. Nothing of what you shared with {name} is sent or fetched from here any more.").format(name=name))
        if several:
            shell.say(_("Each of your other devices leaves when it hears of it, which takes a sync there."))
        return
    error = sync_now(replica, shell.home)
    told = not error and not replica.reader.pending(_space(replica, person)) and bool(person.space.relay_url)
    if shell.as_json:
        shell.emit("leave", **{"with": person.name}, quietly=False, told=told)
        return
    shell.tell(_("It has ended. {name} sees that at their next sync; nothing more can be written in it.").format(name=name))
    if not told:
        why = sentence(error)[0] if error is not None else _("No relay is set.")
        shell.say(_("The relay does not know it yet; bide sync tells it. ({why})").format(why=why))


def _require_notice(replica: Replica, person: Person) -> None:
    """See to it, before anybody is asked, that the other would hear of a notice.

    Raises:
        NotAllowed: this device was removed, or can't write there until something lost has come back.
    """
    from bide.replica.authoring.appending import NotWhole, require_whole
    from bide.replica.spaces.removal import is_out
    from bide.replica.spaces.waiting import is_short

    require_belonging(replica.storage, person.space)
    try:
        require_whole(replica.storage, person.space)
    except NotWhole as error:
        own = replica.reader.own_space()  # where it is said to leave quietly
        if not is_out(replica.storage, person.space) and not is_short(replica.storage, own.space_id):
            error.advise(
                "First run: bide sync. If it doesn't come back, bide doctor --repair goes on without it."
                " To leave at once, without a notice: bide leave --quietly"
            )
        raise


def _space(replica: Replica, person: Person) -> SpaceRecord:
    return find_space(replica.storage, person.space.space_id)


def _agreed(shell: Shell, replica: Replica, person: Person, *, quietly: bool) -> bool:
    """Say what stays and what goes, and ask."""
    require_person(shell, "That ends what you share, for good.", "To do it without being asked: --yes")
    name = clean_line(person.name)
    if quietly:
        shell.say(
            _("Nothing will be sent to {name} any more, or fetched, from any device of yours. It can't be undone.").format(
                name=name
            )
        )
        shell.say(_("{name} is told nothing, but can see that nothing new comes.").format(name=name))
        if replica.reader.pending(_space(replica, person)) and replica.storage.count_entries(person.space.space_id):
            shell.say(_("What you wrote and what still waits here for the relay never goes to them."))
    else:
        shell.say(
            _("{name} will see that it has ended. Nothing more can be written in it, by either of you.").format(name=name)
        )
        waiting = replica.reader.pending(_space(replica, person))
        if waiting and replica.storage.count_entries(person.space.space_id):
            shell.say(_("What you wrote and what still waits here for the relay goes to them before the notice does."))
    held = sum(record.space_id == person.space.space_id for record in replica.storage.outbox())
    if held:
        shell.say(
            plural(
                "{n} thing in your outbox is meant for them, and won't go.",
                "{n} things in your outbox are meant for them, and won't go.",
                held,
            )
        )
    shell.say(_("What reached them can't be unread: they keep their copy, and you keep yours."))
    shell.say(_("To take your words along: bide export --mine. To have yours erased where that is possible: bide erase --all"))
    if quietly:
        shell.say(_("Erase before you leave, not after: later nobody would hear of it."))
    shell.say(_("If you are afraid of how they may react, read first: bide safety"))
    words = _("Leave quietly?") if quietly else _("End it?")
    return choose(shell, words, [("stay", _("no, leave it as it is")), ("leave", _("yes"))]) == "leave"
