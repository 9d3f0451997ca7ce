"""``bide recovery``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bide.errors import BideError, InputError, NotAllowed
from bide.replica.spaces.removal import require_let_in
from bide_cli.joining.devices import note_devices
from bide_cli.language import _, plural, sentence
from bide_cli.options import shell_options
from bide_cli.terminal.shell import Shell, clean_line, name_list
from bide_cli.unlocking.opening import open_replica

if TYPE_CHECKING:
    from bide.crypto.recovery import RecoveryPhrase
    from bide.replica import Replica
    from bide.storage.base import SpaceRecord


@click.group(
    invoke_without_command=True,
    epilog="\b\nExamples:\n  bide recovery create\n  bide recovery check\n  bide recovery use --relay wss://relay.example.org",
)
@shell_options
def command(shell: Shell) -> None:
    """Keep a way back on paper, and use it.

    24 words that you write down. If every device of yours is lost, they and the relay bring your journal back, and the lost
    devices read nothing more. The other person sees that you have such a paper, and when it was used.
    """
    context = click.get_current_context()
    context.obj = {**(context.obj or {}), "home": str(shell.home)}
    if context.invoked_subcommand is None:
        _status(shell)


@command.command("status", epilog="\b\nExample:\n  bide recovery status --json")
@shell_options
def status(shell: Shell) -> None:
    """See whether there is a recovery phrase, and what it brings back."""
    _status(shell)


def _status(shell: Shell) -> None:
    from bide.replica.own_devices.phrases import covered_by, prepared, ungiven

    replica = open_replica(shell)
    phrases = prepared(replica.storage)
    spaces = [
        _described(replica, space, covered=any(covered_by(replica.storage, phrase, space) for phrase in phrases))
        for space in replica.spaces()
        if not space.pending
    ]
    if shell.as_json:
        shell.emit("recovery", phrases=len(phrases), given=not ungiven(replica.storage), spaces=spaces)
        return
    if not phrases:
        shell.out(_("You have no recovery phrase. To make one: bide recovery create"))
        return
    shell.out(plural("You have {n} recovery phrase.", "You have {n} recovery phrases.", len(phrases)))
    if ungiven(replica.storage):
        shell.say(_("Perhaps nobody has its words: Bide ended before it could give them. For new ones: bide recovery rotate"))
    if len(phrases) > 1:
        shell.say(_("They were made at the same time on two devices. To have one again: bide recovery rotate"))
    _tell_covers(shell, spaces)


@command.command(
    "create",
    epilog="\b\nExamples:\n  bide recovery create\n  bide recovery create --json --words-noted --no-input",
)
@click.option("--words-noted", is_flag=True, help="With --json: give the words without asking for some of them back.")
@shell_options
def create(shell: Shell, words_noted: bool) -> None:
    """Make a recovery phrase: 24 words for a paper.

    They are shown once. Who finds the paper can do everything that you can: keep it as you would keep a key to your home, and
    not with your devices.
    """
    from bide.replica.own_devices.phrases import prepared

    _require_way(shell, words_noted=words_noted)
    replica = open_replica(shell)
    require_let_in(replica.storage)
    if prepared(replica.storage):
        raise NotAllowed("You have a recovery phrase already.", hint="For new words in place of the old: bide recovery rotate")
    _make(shell, replica, words_noted=words_noted)


@command.command(
    "rotate",
    epilog="\b\nExamples:\n  bide recovery rotate\n  bide recovery rotate --json --words-noted --no-input",
)
@click.option("--words-noted", is_flag=True, help="With --json: give the words without asking for some of them back.")
@shell_options
def rotate(shell: Shell, words_noted: bool) -> None:
    """Make new words; the old ones count no more.

    For when somebody may have seen the paper, or after the words were typed on a device that isn't yours.
    """
    from bide.replica.own_devices.phrases import prepared

    _require_way(shell, words_noted=words_noted)
    replica = open_replica(shell)
    require_let_in(replica.storage)
    if not prepared(replica.storage):
        raise NotAllowed("You have no recovery phrase to replace.", hint="bide recovery create makes one.")
    _make(shell, replica, words_noted=words_noted)


def _require_way(shell: Shell, *, words_noted: bool) -> None:
    from bide_cli.joining.paper import require_screen

    if not shell.as_json:
        require_screen(shell)
        if words_noted:
            raise InputError("--words-noted goes with --json.")
    elif not words_noted:
        raise InputError("With --json the words are given to a script.", hint="If it notes them: --words-noted")


def _make(shell: Shell, replica: Replica, *, words_noted: bool) -> None:
    from bide.crypto.recovery import RecoveryPhrase
    from bide.replica.own_devices.phrases import anchor_for, note_given
    from bide.replica.own_devices.phrases import create as enrol
    from bide_cli.joining.paper import show_until_noted

    _sync(shell, replica)  # shows what the relay takes, and what was said on other devices
    phrase = RecoveryPhrase.new(anchor_for(replica.storage).space_id, replica.randomness)
    if not words_noted:
        show_until_noted(shell, phrase, replica.randomness)
    covers = enrol(replica, phrase, given=not words_noted)
    error = _sync(shell, replica)
    note_devices(replica)
    spaces = [_described(replica, cover.space, covered=cover.covered) for cover in covers if not cover.space.pending]
    if shell.as_json:
        shell.emit("recovery", words=list(phrase.words()), spaces=spaces, synced=error is None)
        note_given(replica.storage)
        return
    shell.out(_("The phrase counts now."))
    _tell_covers(shell, spaces)
    if replica.relay():
        shell.say(_("Write on the paper too where your journal is: {url}").format(url=replica.relay()))
    else:
        shell.say(_("No relay is set: the words bring back what is in a bundle file. bide bundle export makes one."))
    _tell_error(shell, error)


@command.command("check", epilog="\b\nExamples:\n  bide recovery check\n  bide recovery check --words - --no-input < words.txt")
@click.option("--words", metavar="-", help="- reads the words from stdin.")
@shell_options
def check(shell: Shell, words: str | None) -> None:
    """See whether the words on the paper are right, and what they bring back. Nothing is sent."""
    from bide.replica.own_devices.phrases import covers, is_ungiven, note_given, prepared
    from bide_cli.joining.paper import read_words

    replica = open_replica(shell)
    phrase = read_words(shell, words)
    spaces = [
        _described(replica, cover.space, covered=cover.covered)
        for cover in covers(replica.storage, phrase)
        if not cover.space.pending
    ]
    if is_ungiven(replica.storage, phrase):
        note_given(replica.storage)
    if shell.as_json:
        shell.emit("recovery", right=True, phrases=len(prepared(replica.storage)), spaces=spaces)
        return
    shell.out(_("The words are right."))
    _tell_covers(shell, spaces)
    if len(prepared(replica.storage)) > 1:
        shell.say(_("There is another phrase beside this one. If you know of one only: bide recovery rotate"))


@command.command("destroy", epilog="\b\nExamples:\n  bide recovery destroy\n  bide recovery destroy --yes")
@click.option("--yes", is_flag=True, help="Don't ask.")
@shell_options
def destroy(shell: Shell, yes: bool) -> None:
    """End the recovery phrase: the words open nothing more.

    Destroy the paper as well: who has it, and the help of a relay that deceives you, could claim to have used it before.
    """
    from bide.replica.own_devices.phrases import destroy as end
    from bide.replica.own_devices.phrases import prepared

    replica = open_replica(shell)
    require_let_in(replica.storage)
    if not yes:
        from bide_cli.terminal.asking import choose, require_person

        require_person(shell, "Ending a recovery phrase can't be undone.", "To do it without a question: --yes")
        question = _("End your recovery phrase? Without it, losing every device loses the journal.")
        if choose(shell, question, [("keep", _("keep it")), ("end", _("end it"))]) != "end":
            shell.say(_("Fine. Nothing changed."))
            return
    _sync(shell, replica)
    count = len(prepared(replica.storage))
    ended = end(replica)
    if not ended:
        raise NotAllowed("You have no recovery phrase.", hint="bide recovery create makes one.")
    error = _sync(shell, replica)
    note_devices(replica)
    if shell.as_json:
        shell.emit("recovery", destroyed=count, spaces=ended, synced=error is None)
        return
    shell.out(_("The words count no more. Destroy the paper, too."))
    _tell_error(shell, error)


@command.command(
    "use",
    epilog="\b\nExamples:\n  bide recovery use --relay wss://relay.example.org --name laptop\n"
    "  bide recovery use --bundle journal.bide --name laptop\n"
    "  bide recovery use --words - --relay wss://relay.example.org --name laptop --key-file ~/.bide.key --no-input < words.txt",
)
@click.option("--words", metavar="-", help="- reads the words from stdin.")
@click.option("--relay", "relay", metavar="URL", help="The relay that your journal is on.")
@click.option("--bundle", metavar="FILE", help="A file of bide bundle export, instead of the relay or with it.")
@click.option("--name", metavar="NAME", help="What this device is to be called; the other person sees it too.")
@click.option("--without-missing", is_flag=True, help="Go on without what you share with somebody where it can't be had.")
@click.option("--key-file", metavar="FILE", help="Lock with a file of 32 random bytes; made if it is not there.")
@click.option(
    "--passphrase", is_flag=True, help="Lock with a passphrase: asked, or in the file that BIDE_PASSPHRASE_FILE names."
)
@click.option("--keyring", is_flag=True, help="Lock with the keyring of this system; with --passphrase, both are needed.")
@shell_options
def use(shell: Shell, words: str | None, name: str | None, **options: Any) -> None:
    """Bring your journal back on this device, by the words.

    For a device without a journal; one in which nothing was written yet is replaced. All your other devices are removed, and
    everybody with whom you share is told. Until it is done, nothing is kept here: if it is interrupted, run it again.
    """
    from bide_cli.building.founding import found_home
    from bide_cli.commands.device import ask_device_name, fresh_home
    from bide_cli.joining.paper import read_words
    from bide_cli.joining.recovering import Recovery
    from bide_cli.unlocking.locking import ask_locking

    begun = fresh_home(shell, hint="To bring yours back beside it: bide --home DIR recovery use")
    key_file = options["key_file"] or ""
    if key_file and (options["passphrase"] or options["keyring"]):
        raise InputError("A key file opens a home alone.", hint="Use --key-file, or --passphrase, --keyring, or these two.")
    url = _where(shell, options["relay"], options["bundle"])
    phrase = read_words(shell, words)
    device_name = ask_device_name(shell, name, hint="bide recovery use --name laptop")
    locking = None
    if begun is None:
        locking = ask_locking(shell, key_file, passphrase=options["passphrase"], keyring=options["keyring"])
    recovery = Recovery(
        shell,
        phrase,
        device_name=device_name,
        relay_url=url,
        bundle=options["bundle"] or "",
        without_missing=options["without_missing"],
    )
    if locking is not None:
        found_home(shell.home, name="", locking=locking, fill=recovery.fill)
    elif begun is not None:
        recovery.fill_begun(begun.storage)
    _finish(shell, phrase, recovery, device_name)


def _where(shell: Shell, relay: str | None, bundle: str | None) -> str:
    from bide.replica.spaces.addresses import check_url
    from bide_cli.terminal.asking import ask_until_good

    if relay:
        return check_url(relay)
    if bundle:
        return ""
    if not shell.may_ask:
        raise InputError("Where is your journal?", hint="--relay URL, or --bundle FILE")
    return ask_until_good(shell, _("Which relay is your journal on (wss://…)?"), check_url)


def _finish(shell: Shell, phrase: RecoveryPhrase, recovery: Any, device_name: str) -> None:
    from bide.replica.own_devices.phrases import covers

    taken = recovery.taken
    replica = open_replica(shell)
    error = _sync(shell, replica)
    note_devices(replica)
    spaces = [_described(replica, cover.space, covered=cover.covered) for cover in covers(replica.storage, phrase)]
    if shell.as_json:
        shell.emit(
            "recovery",
            recovered=True,
            name=taken.name,
            device=device_name,
            removed=taken.removed,
            private=not taken.own_lost,
            missing=recovery.left_out,
            spaces=spaces,
            synced=error is None,
        )
        return
    shell.out(_("Welcome back, {name}. Your journal is here.").format(name=clean_line(taken.name)))
    if taken.own_lost:
        shell.say(_("What you wrote for yourself was on no relay and in no file, so it did not come back."))
    if recovery.left_out:
        shell.say(_("Left out, since it could not be had: {n}").format(n=recovery.left_out))
    if taken.removed:
        shell.say(plural("{n} earlier device was removed.", "{n} earlier devices were removed.", taken.removed))
    shell.say(_("The words still count. If somebody may have seen them: bide recovery rotate"))
    _tell_error(shell, error)


def _described(replica: Replica, space: SpaceRecord, *, covered: bool) -> dict[str, Any]:
    on_relay = bool(replica.storage.relay_heads(space.space_id))
    others = replica.reader.view().others(space.space_id)
    return {"space": space.space_id.hex(), "kind": space.kind, "with": others, "covered": covered, "on_relay": on_relay}


def _tell_covers(shell: Shell, spaces: list[dict[str, Any]]) -> None:
    for space in spaces:
        what = _("what you share with {name}").format(name=name_list(space["with"])) if space["with"] else _("private entries")
        if not space["covered"]:
            shell.out("  " + _("Not covered: {what}").format(what=what))
        elif not space["on_relay"]:
            shell.out("  " + _("From a bundle file only, since it is on no relay: {what}").format(what=what))
        else:
            shell.out("  " + _("Covered: {what}").format(what=what))


def _sync(shell: Shell, replica: Replica) -> BideError | None:
    """Sync; who was removed is told at once, since nothing that is said here would count.

    Returns:
        What is wrong, if anything is.

    Raises:
        NotAllowed: this device was removed.
    """
    from bide_cli.syncing.carrying import sync_once, worst_error

    if not any(space.relay_url for space in replica.spaces()):
        return None
    try:
        outcomes = sync_once(replica, shell.home)
    except BideError as busy:
        return busy
    for outcome in outcomes:
        if outcome.error is not None and outcome.sync is not None and outcome.sync.refusal == "revoked":
            raise outcome.error
    return worst_error(outcomes)


def _tell_error(shell: Shell, error: BideError | None) -> None:
    if error is not None:
        shell.say(_("The relay does not know it yet; bide sync tells it. ({why})").format(why=sentence(error)[0]))
