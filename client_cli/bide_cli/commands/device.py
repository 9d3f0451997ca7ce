"""``bide device``."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import click

from bide.errors import BideError, InputError, NotAllowed, RelayUnreachable
from bide.replica.spaces.personal import DeviceName, enrolling_key, my_devices
from bide.replica.spaces.removal import require_let_in
from bide_cli.home.folder import exists, read_config
from bide_cli.joining.devices import listed, note_devices, tell_devices
from bide_cli.language import _, sentence
from bide_cli.options import shell_options
from bide_cli.terminal.shell import Shell, clean_line, quoted
from bide_cli.unlocking.opening import open_replica

if TYPE_CHECKING:
    from bide.replica import Replica
    from bide.replica.joining.enrolling import NewDeviceSession
    from bide.storage.base import Storage

_CODE = re.compile(r"\d+-\w+-\w+-\w+(@.*)?", re.ASCII)
"""What bide device add shows, typed where a name is asked for."""
_HINT_HOME = "A further device needs a home of its own: bide --home DIR device join"
_HINT_RELAY = "bide relay set URL, then bide device add"


@click.group(
    invoke_without_command=True,
    epilog="\b\nExamples:\n  bide device\n  bide device add\n  bide device join --name phone\n  bide device revoke phone",
)
@shell_options
def command(shell: Shell) -> None:
    """See your devices and the other's; add and remove yours.

    Each device has keys of its own. You can add and remove your own devices, and nobody else's.
    """
    context = click.get_current_context()
    context.obj = {**(context.obj or {}), "home": str(shell.home)}
    if context.invoked_subcommand is None:
        _list(shell)


@command.command("list", epilog="\b\nExample:\n  bide device list --json")
@shell_options
def list_devices(shell: Shell) -> None:
    """Show all devices: yours, and of those with whom you share."""
    _list(shell)


def _list(shell: Shell) -> None:
    replica = open_replica(shell)
    devices = listed(replica)
    if shell.as_json:
        shell.emit("device", devices=devices)
        return
    for device in devices:
        shell.tell(_line(device))
    note_devices(replica)


def _line(device: dict[str, Any]) -> str:
    owner = _("yours") if device["by"]["me"] else clean_line(device["by"]["name"])
    parts = [clean_line(device["name"]), owner]
    if device["this"]:
        parts.append(_("this one"))
    if device["recovered"]:
        parts.append(_("brought in by a recovery phrase"))
    if device["state"] != "active":
        parts.append(_("removed"))
    return " · ".join(parts)


@command.command(
    "add",
    epilog="\b\nExamples:\n  bide device add\n  bide device add --json --words-verified\n\n"
    'With --json the first line holds the code, at once; the last one "added": true and the safety words.',
)
@click.option("--words-verified", is_flag=True, help="Don't ask for a safety word: whoever runs this compares them.")
@shell_options
def add(shell: Shell, words_verified: bool) -> None:
    """Add a device of your own; gives a code.

    The new device gets everything that is here, private entries too. Type the code there after bide device join; then compare
    six words on the two screens. The other person sees that you have another device.
    """
    replica = open_replica(shell)
    require_let_in(replica.storage)
    url = replica.relay()
    if not url:
        raise InputError("The two devices meet on a relay, and none is set.", hint=_HINT_RELAY)
    from bide.replica.joining.enrolling import AddingSession
    from bide_cli.joining.enrolling import DeviceTalk
    from bide_cli.joining.pairing import require_way_to_compare
    from bide_cli.syncing.carrying import sync_once, sync_own

    require_way_to_compare(shell, words_verified=words_verified)
    sync_own(replica, shell.home)  # a relay that won't take this person would make the code lead nowhere

    def bring() -> None:
        with contextlib.suppress(BideError):  # what doesn't go now goes with the next sync
            sync_once(replica, shell.home)

    bring()  # so that nothing written elsewhere meanwhile is missing in what the new device gets first
    tell_devices(shell, replica)  # one that was let in when this broke off, for example
    session = AddingSession(replica, url)
    result = DeviceTalk(shell, session, words_verified=words_verified, meanwhile=bring, replica=replica).run()
    note_devices(replica)
    if shell.as_json:
        shell.emit("device", added=session.saved, name=result.name, safety_words=list(result.safety_words))
    else:
        shell.tell(_("Added: {name}").format(name=clean_line(result.name)))
        shell.say(
            _("It now fetches everything. If you lose it: bide device revoke {name}").format(
                name=quoted(clean_line(result.name))
            )
        )


@command.command(
    "join",
    epilog="\b\nExamples:\n  bide device join --name phone\n"
    "  bide device join --code - --name phone --key-file ~/.bide.key --words-verified --no-input < code.txt",
)
@click.argument("code", required=False)
@click.option("--code", "code_option", metavar="CODE", help="The code; - reads it from stdin.")
@click.option("--name", metavar="NAME", help="What this device is to be called; the other person sees it too.")
@click.option("--words-verified", is_flag=True, help="Don't ask for a safety word: whoever runs this compares them.")
@click.option("--key-file", metavar="FILE", help="Lock with a file of 32 random bytes; made if it is not there.")
@click.option(
    "--passphrase", is_flag=True, help="Lock with a passphrase: asked, or in the file that BIDE_PASSPHRASE_FILE names."
)
@click.option("--keyring", is_flag=True, help="Lock with the keyring of this system; with --passphrase, both are needed.")
@shell_options
def join(
    shell: Shell,
    code: str | None,
    code_option: str | None,
    name: str | None,
    words_verified: bool,
    key_file: str | None,
    passphrase: bool,
    keyring: bool,
) -> None:
    """Make this your further device, by the code of bide device add.

    For a device without a journal: its home is made here, as bide init does. A journal in which nothing was written yet is
    replaced; any other stays as it is.
    """
    from bide.ids import SystemRandomness
    from bide.replica.joining.enrolling import NewDeviceSession
    from bide_cli.joining.enrolling import DeviceTalk, sync_in
    from bide_cli.joining.pairing import require_way_to_compare
    from bide_cli.terminal.stdin import STDIN, read_stdin

    if code and code_option:
        raise InputError("The code was given twice.")
    if key_file and (passphrase or keyring):
        raise InputError("A key file opens a home alone.", hint="Use --key-file, or --passphrase, --keyring, or these two.")
    begun = fresh_home(shell, hint=_HINT_HOME)
    if begun is not None and begun.spaces()[0].pending and _finished_before(shell, begun):
        return
    require_way_to_compare(shell, words_verified=words_verified)
    text = code or code_option or ""
    text = read_stdin().strip() if text == STDIN else text
    device_name = ask_device_name(shell, name, hint="bide device join --name phone")
    keep = (
        _into(shell, begun)
        if begun is not None
        else _into_new_home(shell, key_file or "", passphrase=passphrase, keyring=keyring)
    )
    session = _session(
        shell,
        text,
        lambda typed: NewDeviceSession(
            typed, device_name=device_name, randomness=SystemRandomness(), relay_url=begun.relay() if begun is not None else ""
        ),
    )
    if begun is not None and begun.spaces()[0].pending:
        if not text and _finished_before(shell, begun):
            return  # the other one has brought it to the relay since, and would let in a second device
        shell.say(_("An earlier try was never finished on the other device; this one takes its place."))
    talk = DeviceTalk(shell, session, words_verified=words_verified, meanwhile=lambda: keep(session))
    result = talk.run()
    replica = open_replica(shell)
    error = sync_in(shell, replica)
    resting = replica.resting()
    joined = not any(space.pending and space.space_id not in resting for space in replica.spaces())
    if shell.as_json:
        words = list(result.safety_words)
        shell.emit(
            "device", joined=joined, name=device_name, spaces=len(replica.spaces()), safety_words=words, synced=error is None
        )
    if not joined:
        raise RelayUnreachable(
            "The connection ended before the other device had let this one in.",
            hint="If bide device shows it there, bide sync finishes it. If not, begin again: bide device add there, "
            "bide device join here.",
        )
    note_devices(replica)
    shell.tell(
        _("This is {name} now, a device of {person}. Everything is here.").format(
            name=clean_line(device_name), person=clean_line(replica.name)
        )
        if error is None
        else _("This is {name} now. Some of it has yet to come: bide sync").format(name=clean_line(device_name))
    )
    if error is not None:
        shell.say(_("Syncing: {why}").format(why=sentence(error)[0]))


def _finished_before(shell: Shell, replica: Replica) -> bool:
    """Finish a joining that broke off, if the other device has let this one in by now.

    Returns:
        Whether that was all there was to do. Otherwise it is begun again: nothing was written here.
    """
    from bide_cli.syncing.carrying import sync_once

    with contextlib.suppress(BideError):
        sync_once(replica, shell.home)
    if replica.spaces()[0].pending:
        return False
    mine = next(device for device in my_devices(replica.storage) if device.this)
    note_devices(replica)
    if shell.as_json:
        shell.emit("device", joined=True, name=mine.name, spaces=len(replica.spaces()), safety_words=[], synced=True)
    else:
        shell.tell(
            _("The other device had let this one in: this is {name} now, a device of {person}.").format(
                name=clean_line(mine.name), person=clean_line(replica.name)
            )
        )
    return True


def fresh_home(shell: Shell, *, hint: str) -> Replica | None:
    """The journal in this home, if nothing was written in it yet; None: there is no home.

    Raises:
        NotAllowed: there is more in it.
    """
    if not exists(shell.home):
        return None
    replica = open_replica(shell)
    _require_fresh(replica.storage, shell, hint=hint)
    return replica


def _require_fresh(storage: Storage, shell: Shell, *, hint: str) -> None:
    """See to it that a home holds nothing but an empty journal, or a joining that broke off.

    Raises:
        NotAllowed: there is more in it.
    """
    [own, *pairs] = storage.spaces()
    if own.pending:
        fresh = all(pair.pending and storage.meta(enrolling_key(pair.space_id)) for pair in pairs)
    else:
        fresh = not pairs and len(storage.members(own.space_id)) == 1
    if not fresh or storage.outbox() or any(storage.count_entries(space.space_id) for space in (own, *pairs)):
        raise NotAllowed(
            "There is a journal in {home} already; it was left as it is.",
            hint=hint,
            home=shell.home,
        )


def ask_device_name(shell: Shell, given: str | None, *, hint: str) -> str:
    """What this device is to be called, as given or asked.

    Raises:
        InputError: it can't be called so, or nobody can be asked.
    """
    from bide.replica.own_devices.devices import clean_device_name
    from bide_cli.terminal.asking import ask_until_good

    if given is not None:
        return clean_device_name(given)
    if not shell.may_ask:
        raise InputError("A device needs a name.", hint=hint)

    def check(typed: str) -> str:
        if _CODE.fullmatch(typed.strip()):
            raise InputError(
                "That looks like the code, which is asked for later.", hint="First a name, such as laptop or phone."
            )
        return clean_device_name(typed)

    return ask_until_good(shell, _("What is this device to be called, for example laptop or phone?"), check)


def _session(shell: Shell, text: str, make: Any) -> NewDeviceSession:
    from bide_cli.terminal.asking import ask, require_person, say_again

    if not text:
        require_person(shell, "There is no code.", "bide device join CODE, or --code - with the code on stdin")
    while True:
        try:
            session: NewDeviceSession = make(text or ask(shell, _("Code:")))
        except InputError as error:
            if text:
                raise
            # Nothing has been sent yet, so a slip of the keyboard costs nothing.
            say_again(shell, error)
        else:
            return session


def _into_new_home(shell: Shell, key_file: str, *, passphrase: bool, keyring: bool) -> Any:
    from bide_cli.building.founding import found_home
    from bide_cli.unlocking.locking import ask_locking

    locking = ask_locking(shell, key_file, passphrase=passphrase, keyring=keyring)
    return lambda session: found_home(shell.home, name="", locking=locking, fill=session.keep)


def _into(shell: Shell, replica: Replica) -> Any:
    def keep(session: NewDeviceSession) -> None:
        storage: Storage = replica.storage
        with storage.transaction():
            _require_fresh(storage, shell, hint=_HINT_HOME)  # another command may have begun something meanwhile
            for space in storage.spaces():
                storage.remove_space(space.space_id)
            session.keep(storage)
        storage.close()

    return keep


@command.command("rename", epilog="\b\nExample:\n  bide device rename 'device 1' laptop")
@click.argument("name")
@click.argument("new_name")
@shell_options
def rename(shell: Shell, name: str, new_name: str) -> None:
    """Call a device of yours something else."""
    from bide.replica.own_devices.devices import find_device
    from bide.replica.own_devices.devices import rename as rename_device

    replica = open_replica(shell)
    require_let_in(replica.storage)
    rename_device(replica, find_device(replica.storage, name), new_name)
    _carry_on(shell, replica)
    if shell.as_json:
        shell.emit("device", devices=listed(replica))
    else:
        shell.tell(_("It is called {name} now.").format(name=clean_line(new_name)))


@command.command("revoke", epilog="\b\nExamples:\n  bide device revoke phone\n  bide device revoke phone --yes")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Don't ask.")
@shell_options
def revoke(shell: Shell, name: str, yes: bool) -> None:
    """Remove a device of yours: lost, stolen, or given away.

    Nothing that is written from now on can be read with it, and nothing that is written on it counts. What it has, it keeps:
    nobody can take that back from afar.
    """
    from bide.replica.own_devices.devices import find_device, require_device
    from bide.replica.own_devices.devices import revoke as revoke_device
    from bide_cli.syncing.carrying import sync_now

    replica = open_replica(shell)
    require_let_in(replica.storage)
    target = find_device(replica.storage, name)
    require_device(target)
    if not yes and not _agreed(shell, target):
        shell.say(_("Fine. Nothing changed."))
        return
    error = sync_now(replica, shell.home)  # what it wrote and already sent is to count
    spaces = revoke_device(replica, find_device(replica.storage, target.name))
    error = sync_now(replica, shell.home) if error is None else error
    if shell.as_json:
        shell.emit("device", revoked=target.name, spaces=len(spaces), synced=error is None)
    else:
        shell.tell(_("Removed: {name}").format(name=clean_line(target.name)))
        shell.say(_("What is on it can still be read there. Nothing that is written from now on can be."))
        if error is not None:
            shell.say(_("The relay does not know it yet; bide sync tells it. ({why})").format(why=sentence(error)[0]))
    note_devices(replica)


def _agreed(shell: Shell, target: DeviceName) -> bool:
    from bide_cli.terminal.asking import choose, require_person

    require_person(shell, "Removing a device can't be undone.", "To do it without a question: --yes")
    if target.this:
        shell.say(_("It is the device that you are at: what is here can then be read, and nothing written any more."))
    words = _("Remove {name} from your devices? It can't be undone.").format(name=clean_line(target.name))
    return choose(shell, words, [("keep", _("keep it")), ("remove", _("remove it"))]) == "remove"


def _carry_on(shell: Shell, replica: Replica) -> None:
    from bide_cli.syncing import background

    if replica.relay():
        background.carry_on(shell.home, read_config(shell.home))
