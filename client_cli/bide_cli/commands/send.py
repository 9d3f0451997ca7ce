"""``bide send``."""

from __future__ import annotations

import click

from bide.errors import BideError, InputError, NotAllowed, NotFound
from bide.replica.spaces.removal import require_belonging
from bide.storage.base import HeldRecord, find_space
from bide_cli.home.folder import read_config
from bide_cli.language import _
from bide_cli.options import shell_options
from bide_cli.syncing import background
from bide_cli.terminal.shell import Shell, name_list
from bide_cli.unlocking.opening import open_replica
from bide_cli.writing.holding import is_there_yet
from bide_cli.writing.telling import next_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from bide.replica import Replica
    from bide.replica.authoring.writing import Written

NOTHING = "Nothing is held back."


@click.command(epilog="\b\nExamples:\n  bide send\n  bide send rp-7KQ2MX\n  bide send --all")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Everything that is held.")
@shell_options
def command(shell: Shell, ids: tuple[str, ...], everything: bool) -> None:
    """Let go now of what waits here.

    Without ID, the one thing that is held. What can't go stays where it is, and you are told why.
    """
    if ids and everything:
        raise InputError("Either ids or --all, not both.")
    config = read_config(shell.home)
    replica = open_replica(shell, config)
    sent, errors = _send(replica, _chosen(replica, ids, everything=everything))
    if shell.as_json:
        shell.emit("send", sent=[written._asdict() for written in sent], left=replica.holding.shown())
    for written in sent:
        seen = _("Shared with {names}").format(names=name_list(written.shared_with))
        shell.tell(f"{seen} · {written.code} · {_(next_words(replica, config, shared=True, names=written.shared_with))}")
    if not sent and not errors:
        shell.say(_("It has gone already."))
    if sent and replica.relay():
        background.carry_on(shell.home, config)
    if errors:
        raise errors[0]


def _chosen(replica: Replica, ids: Sequence[str], *, everything: bool) -> list[HeldRecord]:
    held = replica.storage.outbox()
    if everything:
        # What answers something that is not here yet goes by itself when that arrives.
        return [record for record in held if is_there_yet(replica, record)]
    if not ids:
        if len(held) == 1:
            return held
        if not held:
            raise InputError(NOTHING, hint="bide outbox shows what waits here.")
        raise InputError("More than one thing is held.", hint="bide send ID, or bide send --all")
    chosen: dict[bytes, HeldRecord] = {}
    for text in ids:
        found = replica.holding.find(text)
        if not found:
            raise NotFound("Nothing of that id is held back.", hint="bide outbox shows what is.")
        chosen |= {record.held_id: record for record in found}
    return list(chosen.values())


def _send(replica: Replica, records: Sequence[HeldRecord]) -> tuple[list[Written], list[BideError]]:
    """Each by itself: one that can't go is in nobody's way."""
    sent: list[Written] = []
    errors: list[BideError] = []
    for record in records:
        try:
            if not is_there_yet(replica, record):
                raise NotAllowed("What it answers has not arrived on this device.", hint="It goes by itself when that is here.")
            require_belonging(replica.storage, find_space(replica.storage, record.space_id))
            written = replica.holding.send(record.held_id)
        except BideError as error:
            errors.append(error)
            continue
        if written is not None:
            sent.append(written)
    return sent, errors
