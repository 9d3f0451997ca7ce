"""``bide erase``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bide.errors import InputError
from bide.replica.spaces.removal import require_belonging
from bide.storage.base import find_space
from bide_cli.language import _, plural, sentence
from bide_cli.options import shell_options
from bide_cli.syncing import background
from bide_cli.terminal.asking import choose, require_person
from bide_cli.terminal.shell import Shell, clean_line
from bide_cli.unlocking.opening import open_replica
from bide_cli.writing.holding import require_place

if TYPE_CHECKING:
    from bide.errors import BideError
    from bide.ids import SpaceId
    from bide.replica import Replica

_IDS_MAX = 200


@click.command(
    epilog="\b\nExamples:\n  bide erase th-7KQ2MX\n  bide erase th-7KQ2MX ck-62XTN3 --yes\n  bide erase --all --with Robin"
)
@click.argument("entry_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "all_", is_flag=True, help="Everything that you ever wrote to one person.")
@click.option("--with", "with_", default="", metavar="NAME", help="Whom, with --all; needed if you share with several people.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@shell_options
def command(shell: Shell, entry_ids: tuple[str, ...], all_: bool, with_: str, yes: bool) -> None:
    """Erase your own words for good.

    They go from your devices, from the relay, and from the other person's devices at their next sync, if these run Bide as it
    is. What they have read, copied or exported can't be taken back, and a changed program can keep what it has. What the other
    wrote stays. What only waits here is taken back by bide undo.
    """
    from bide_cli.syncing.carrying import sync_now

    if bool(entry_ids) == all_:
        raise InputError("Say which entries, or --all.", hint="bide erase ID...; bide timeline shows the ids.")
    if with_ and not all_:
        raise InputError("--with goes with --all.", hint="bide erase --all --with NAME")
    if len(entry_ids) > _IDS_MAX:
        raise InputError("That is too much at once.", hint="At most {most} ids in one go.", most=_IDS_MAX)
    replica = open_replica(shell)
    for entry_id in entry_ids:
        require_place(replica, entry_id)
    if all_:
        require_belonging(replica.storage, replica.reader.space_to_read(with_))
    if not yes and not _agreed(shell, replica, entry_ids, with_, all_=all_):
        shell.say(_("Fine. Nothing changed."))
        return
    spaces = replica.erase(entry_ids, all_with=with_ if all_ else None)
    background.poke(shell.home)
    error = sync_now(replica, shell.home)
    told = error is None and not any(_waits(replica, space) for space in spaces)
    if shell.as_json:
        shell.emit("erase", erased=len(entry_ids), all=all_, told=told)
        return
    shell.out(_("Erased. Your words are gone from here, and can't be brought back."))
    _tell_of_copies(shell)
    if told:
        shell.say(_("The relay has dropped them too. A device that has them does so at its next sync."))
    else:
        shell.say(_not_told(replica, spaces, error))


def _tell_of_copies(shell: Shell) -> None:
    """What a repair kept is a whole database from before, and nothing in it is erased."""
    from bide_cli.home.leftovers import KEPT_PREFIX

    kept = ", ".join(sorted(clean_line(path.name) for path in shell.home.glob(f"{KEPT_PREFIX}*")))
    if kept:
        shell.say(
            _("What a repair of this home kept may still hold them. To be rid of it too, delete: {kept}").format(kept=kept)
        )


def _waits(replica: Replica, space_id: SpaceId) -> bool:
    space = find_space(replica.storage, space_id)
    return not space.relay_url or replica.reader.pending(space) > 0


def _not_told(replica: Replica, spaces: list[SpaceId], error: BideError | None) -> str:
    if not replica.resting().isdisjoint(spaces):
        return _("Nobody else is told: what is paused or left sends nothing. Elsewhere your words stay.")
    why = sentence(error)[0] if error is not None else _("No relay is set.")
    return _("The relay does not know it yet; bide sync tells it. ({why})").format(why=why)


def _agreed(shell: Shell, replica: Replica, entry_ids: tuple[str, ...], with_: str, *, all_: bool) -> bool:
    """Say what goes and what stays, and ask."""
    require_person(shell, "Erasing can't be undone.", "To do it without being asked: --yes")
    if all_:
        space = replica.reader.space_to_read(with_)
        name = clean_line(", ".join(replica.reader.view().others(space.space_id)))
        shell.say(_("Everything that you wrote to {name} is erased, in all of your conversations too.").format(name=name))
    else:
        entries = [replica.show(each) for each in entry_ids]
        words = plural("Your words in {n} entry are erased.", "Your words in {n} entries are erased.", len(entries))
        shell.say(words)
        if any(entry["kind"] == "repair" for entry in entries):
            shell.say(_("A conversation stays with the other's words alone; what you agreed on in it goes for both of you."))
    shell.say(_("They go from the relay, and from every device at its next sync. That they were there stays visible."))
    shell.say(_("What somebody has read, copied or exported can't be taken back, and a changed program can keep what it has."))
    return choose(shell, _("Erase them? It can't be undone."), [("keep", _("no, keep them")), ("erase", _("yes"))]) == "erase"
