"""``bide bundle``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bide.errors import BideError, InputError
from bide_cli.joining.devices import tell_devices
from bide_cli.language import _, plural, worded
from bide_cli.options import shell_options
from bide_cli.terminal.shell import Shell, clean_line, name_list
from bide_cli.unlocking.opening import open_replica

if TYPE_CHECKING:
    from bide.ids import SpaceId
    from bide.replica import Replica
    from bide.replica.sync.bundles import Taken
    from bide.replica.sync.syncing import SpaceSync
    from bide.storage.base import SpaceRecord, Storage


@click.group(epilog="\b\nExamples:\n  bide bundle export journal.bide\n  bide bundle import journal.bide")
@shell_options
def command(shell: Shell) -> None:
    """Exchange entries by a file, without a relay.

    On a USB stick or in a shared folder: one device exports, the other imports, and back. Everything in the file is sealed; who
    finds it sees how many journals it holds and how much was written, and nothing else.
    """
    context = click.get_current_context()
    context.obj = {**(context.obj or {}), "home": str(shell.home)}


@command.command(
    "export",
    epilog="\b\nExamples:\n  bide bundle export journal.bide\n  bide bundle export for-robin.bide --with Robin --force",
)
@click.argument("file")
@click.option("--with", "with_", default="", metavar="NAME", help="Only what you share with this person.")
@click.option("--force", is_flag=True, help="Replace the file if there is one of that name.")
@shell_options
def export(shell: Shell, file: str, with_: str, force: bool) -> None:
    """Write everything that is here into a file, sealed.

    For your other devices, as a backup together with a recovery phrase, or for the other person: with --with NAME.
    """
    from bide.replica.sync.bundles import write_bundle
    from bide_cli.exporting.output import check_place, write_bytes

    if file in ("", "-"):
        raise InputError("A bundle goes into a file.", hint="bide bundle export journal.bide")
    check_place(file, force=force)
    replica = open_replica(shell)
    replica.holding.send_due()
    spaces = _wanted(replica, with_)
    size = 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for piece in write_bundle(replica.storage, spaces, randomness=replica.randomness):
            size += len(piece)
            yield piece

    write_bytes(file, counted(), force=force)
    if shell.as_json:
        shell.emit("bundle", written={"file": file, "spaces": len(spaces), "bytes": size})
        return
    shell.out(_("Written to {file}, sealed:").format(file=clean_line(file)))
    for space in spaces:
        others = replica.reader.view().others(space.space_id)
        shell.out("  " + (_("what you share with {name}").format(name=name_list(others)) if others else _("private entries")))
    shell.say(_("On the other device: bide bundle import FILE"))


def _wanted(replica: Replica, with_: str) -> list[SpaceRecord]:
    if with_:
        return [replica.reader.pair_space(with_)]
    return [space for space in replica.spaces() if not space.pending]


@command.command("import", epilog="\b\nExample:\n  bide bundle import journal.bide")
@click.argument("file")
@shell_options
def take_in(shell: Shell, file: str) -> None:
    """Take in what another device has exported.

    What is here already stays as it is. Journals in the file that this device is not in are left out.
    """
    replica = open_replica(shell)
    taken: list[Taken] = []
    unknown = 0
    begun = False
    try:
        for each in _read(replica, file):
            begun = True
            if each is None:
                unknown += 1
            else:
                taken.append(each)
    except InputError:
        if begun or shell.as_json:
            _tell(shell, replica, taken, unknown)
        raise
    except BideError:
        _tell(shell, replica, taken, unknown)
        raise
    _tell(shell, replica, taken, unknown)
    for each in taken:
        if each.error is not None:
            raise each.error


def _read(replica: Replica, file: str) -> Iterator[Taken | None]:
    from bide.replica.sync.bundles import HOST, read_bundle

    here = {space.space_id for space in replica.spaces()}

    def session_for(space: SpaceId, beside: Storage) -> SpaceSync | None:
        return replica.sync_session(space, host=HOST, storage=beside) if space in here else None

    path = Path(file)
    try:
        if path.is_dir():
            raise InputError("That is a folder.", hint="Give the file that bide bundle export wrote.")
        if not path.is_file():
            raise InputError("There is no such file.", hint="bide bundle export makes one.")
        with path.open("rb") as opened:
            yield from read_bundle(opened.read, replica.storage, session_for)
    except (OSError, ValueError):
        raise InputError("The bundle file can't be read.", hint="Look at its name and whose it is.") from None


def _tell(shell: Shell, replica: Replica, taken: list[Taken], unknown: int) -> None:
    received = sum(each.session.received for each in taken if each.session is not None)
    errors: list[BideError] = [each.error for each in taken if each.error is not None]
    if shell.as_json:
        shell.emit("bundle", spaces=len(taken) - len(errors), received=received, unknown=unknown, failed=len(errors))
        return
    for each in taken:
        for notice in each.session.notices if each.session is not None else ():
            shell.say(worded(*notice))
    shell.out(_("Something new came") if received else _("Nothing new"))
    if unknown:
        shell.say(
            plural("{n} part of the file is not for this device.", "{n} parts of the file are not for this device.", unknown)
        )
    tell_devices(shell, replica)
