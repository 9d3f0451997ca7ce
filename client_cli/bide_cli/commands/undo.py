"""``bide undo``."""

from __future__ import annotations

from typing import Any

import click

from bide.errors import InputError, NotAllowed
from bide_cli.home.folder import Config, read_config
from bide_cli.language import _
from bide_cli.options import shell_options
from bide_cli.reading.outbox import text_lines
from bide_cli.syncing import background
from bide_cli.terminal.asking import ask_yes, require_person
from bide_cli.terminal.shell import Shell, name_list
from bide_cli.unlocking.opening import open_replica
from bide_cli.writing.holding import require_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bide.replica import Replica


@click.command(epilog="\b\nExamples:\n  bide undo\n  bide undo rp-7KQ2MX\n  bide undo th-62XTN3\n  bide undo rp-7KQ2MX --yes")
@click.argument("entry_id", metavar="[ID]", required=False)
@click.option("--yes", is_flag=True, help="Don't ask before withdrawing from a conversation.")
@shell_options
def command(shell: Shell, entry_id: str | None, yes: bool) -> None:
    """Take back what you wrote.

    What is held back goes as if it never was, and you get its words once more. What has been shared stays marked as taken
    back; whoever has received it may have read it. Without ID, what was held last.
    """
    config = read_config(shell.home)
    replica = open_replica(shell, config)
    held = replica.holding.find(entry_id) if entry_id is not None else replica.storage.outbox()
    if held:
        newest = max(held, key=lambda record: (record.held_ms, record.held_id))
        taken = replica.holding.take_back(newest.held_id)
        if taken is None:
            raise NotAllowed("It has gone already.", hint="To take it back visibly: bide undo, with its id")
        _tell_taken(shell, taken)
        return
    if entry_id is None:
        raise InputError("Nothing is held back, so say what to take back.", hint="bide undo ID; bide timeline shows the ids.")
    _retract(shell, replica, config, entry_id, yes=yes)


def _tell_taken(shell: Shell, taken: dict[str, Any]) -> None:
    if shell.as_json:
        shell.emit("undo", id=taken["id"], code=taken["code"], kind=taken["kind"], how="taken_back", held=taken)
        return
    shell.tell(_("Taken back · {code} · it was on this device only, and nobody knows of it").format(code=taken["code"]))
    lines = text_lines(shell, taken)
    if lines and taken["step"] != "release":
        shell.say(_("Its words are kept nowhere any more. Here they are once, should you want them again:"))
        shell.out("\n".join(lines))


def _retract(shell: Shell, replica: Replica, config: Config, entry_id: str, *, yes: bool) -> None:
    entry = replica.show(entry_id)
    require_place(replica, entry_id)
    if entry["kind"] == "repair":
        if not yes:
            require_person(shell, "That ends the conversation for both of you.", "To do it without being asked: --yes")
            shell.say(_("That ends the conversation for both of you. What was said in it stays readable."))
            if not ask_yes(shell, _("For good?"), default=False):
                shell.say(_("Fine. Nothing changed."))
                return
        written, how = replica.repair_step(entry["id"], "withdraw"), "withdrawn"
    else:
        written, how = replica.retract(entry["id"]), "retracted"
    if shell.as_json:
        shell.emit("undo", id=written.id, code=written.code, kind=written.kind, how=how, held=None)
    elif how == "withdrawn":
        shell.out(_("Withdrawn · {code} · it is over, and nobody is told why").format(code=written.code))
    elif written.visibility == "private":
        shell.out(_("Taken back · {code} · only you could see it").format(code=written.code))
    else:
        shell.tell(_("Taken back · {code} · it stays visible that something was taken back").format(code=written.code))
        shell.say(_("What has reached a device of {names} may have been read.").format(names=name_list(written.shared_with)))
    if replica.relay():
        background.carry_on(shell.home, config)
