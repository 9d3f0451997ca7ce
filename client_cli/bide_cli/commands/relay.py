"""``bide relay``."""

from __future__ import annotations

import click

from bide.errors import InputError
from bide_cli.language import _
from bide_cli.options import shell_options, with_option
from bide_cli.syncing.relays import OFFER, described, follow_command, former_lines, note_relays, offers
from bide_cli.terminal.shell import Shell, clean_line, name_list
from bide_cli.unlocking.opening import open_replica

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bide.replica import Replica
    from bide.replica.spaces.people import Person


@click.group(
    invoke_without_command=True,
    epilog="\b\nExamples:\n  bide relay set wss://relay.example.org\n  bide relay set wss://relay.example.org --invite -\n"
    "  bide relay show\n  bide relay move wss://new.example.org\n  bide relay follow\n  bide relay unset",
)
@shell_options
def command(shell: Shell) -> None:
    """Choose the relay.

    The relay carries what you share to the other's devices, and what is private to your own. It can't read any of it. Without
    one everything stays here.
    """
    context = click.get_current_context()
    context.obj = {**(context.obj or {}), "home": str(shell.home)}
    if context.invoked_subcommand is None:
        _show(shell)


def _show(shell: Shell) -> None:
    replica = open_replica(shell)
    url = replica.relay()
    if shell.as_json:
        shell.emit("relay", relay=url, **described(replica))
        return
    if url:
        shell.out(url)
    else:
        shell.say(_("No relay is set. (bide relay set URL)"))
    for person in replica.reader.people():
        if person.space.relay_url not in ("", url):
            shell.out(_("With {name}: {url}").format(name=clean_line(person.name), url=person.space.relay_url))
    for line in former_lines(replica):
        shell.out(line)
    for name, _space, offer in offers(replica):
        shell.say(_(OFFER).format(name=clean_line(name), url=offer, command=follow_command(replica, name)))


@command.command("show", epilog="\b\nExample:\n  bide relay show --json")
@shell_options
def show(shell: Shell) -> None:
    """Show which relay is used."""
    _show(shell)


@command.command("set", epilog="\b\nExamples:\n  bide relay set wss://relay.example.org\n  bide relay set ws://127.0.0.1:8765")
@click.argument("url")
@click.option("--invite", metavar="TOKEN", default="", help="What the relay's keeper gave you; - reads it from stdin.")
@shell_options
def set_relay(shell: Shell, url: str, invite: str) -> None:
    """Sync through this relay from now on, on this device alone.

    To move with your other devices, and have the other person follow: bide relay move. Nothing is sent yet; bide sync or the
    next entry does. Private entries go too, sealed for your own other devices. A journal that you joined through another relay
    stays with that one, where the other person's device is.
    """
    from bide.replica.spaces.addresses import check_url
    from bide_cli.terminal.stdin import STDIN, read_stdin

    checked = check_url(url)
    token = read_stdin().strip() if invite == STDIN else invite
    replica = open_replica(shell)
    replica.set_relay(checked, invite=token)
    note_relays(replica)
    if shell.as_json:
        shell.emit("relay", relay=checked, **described(replica))
        return
    shell.out(_("Relay: {url}").format(url=checked))
    if not replica.reader.people():
        shell.say(_("Next: bide pair, or bide join with the code that the other person reads to you."))


@command.command(
    "move",
    epilog="\b\nExamples:\n  bide relay move wss://new.example.org --invite -\n"
    "  bide relay move wss://new.example.org --with Robin\n  bide relay move wss://new.example.org --without-old",
)
@click.argument("url")
@click.option("--invite", metavar="TOKEN", default="", help="What the new relay's keeper gave you; - reads it from stdin.")
@with_option
@click.option("--without-old", is_flag=True, help="Go even if the relay that is left can't be reached any more.")
@shell_options
def move(shell: Shell, url: str, invite: str, with_: str, without_old: bool) -> None:
    """Move what is on the relay that is set to another one.

    Everything goes there first; only then anything changes. Your other devices go along by themselves. The other person is
    told, sealed, and follows when they like: until then both relays are synced with, and nobody misses anything. When everybody
    has moved, the old relay is asked to delete what it holds; it does so once both have asked.
    """
    from bide.replica.spaces.addresses import check_url
    from bide_cli.syncing import moving
    from bide_cli.terminal.stdin import STDIN, read_stdin

    checked = check_url(url)
    token = read_stdin().strip() if invite == STDIN else invite
    replica = open_replica(shell)
    space = replica.reader.pair_space(with_) if with_ else None
    moved = moving.move(replica, shell.home, checked, invite=token, space=space, without_old=without_old)
    note_relays(replica)
    names = {person.space.space_id: person.name for person in replica.reader.people()}
    told = [names[each.space_id] for each in moved if each.space_id in names]
    if shell.as_json:
        shell.emit("relay", moved=len(moved), relay=checked, **{"with": told}, former=described(replica)["former"])
        return
    shell.out(_("Moved to {url}").format(url=checked))
    if told:
        shell.say(
            _("{names} can follow: bide relay follow. Until then your devices sync with the old relay as well.").format(
                names=name_list(told)
            )
        )
    for person in replica.reader.people():
        if person.space.relay_url != checked and not with_:
            shell.say(
                _("What you share with {name} stays on {url}. To move that too: --with '{name}'").format(
                    name=clean_line(person.name), url=person.space.relay_url
                )
            )


@command.command("follow", epilog="\b\nExamples:\n  bide relay follow\n  bide relay follow --with Robin --yes")
@click.argument("url", required=False)
@with_option
@click.option("--yes", is_flag=True, help="Don't ask.")
@shell_options
def follow(shell: Shell, url: str | None, with_: str, yes: bool) -> None:
    """Follow somebody to the relay that they moved to.

    Bide never connects to an address that somebody else chose unless you say so here. With URL: one that they told you in
    another way. Only what you share with them moves.
    """
    from bide.replica.spaces.addresses import check_url
    from bide_cli.syncing import moving

    replica = open_replica(shell)
    person, offer = _whom_to_follow(replica, with_, check_url(url) if url else "")
    if not yes and not _agreed(shell, person.name, offer):
        shell.say(_("Fine. Nothing changed."))
        return
    moving.follow(replica, shell.home, offer, person.space)
    note_relays(replica)
    if shell.as_json:
        shell.emit("relay", followed=True, relay=offer, **{"with": [person.name]})
    else:
        shell.tell(_("What you share with {name} now goes through {url}").format(name=clean_line(person.name), url=offer))


def _whom_to_follow(replica: Replica, with_: str, url: str) -> tuple[Person, str]:
    """Whom, and where to.

    Raises:
        InputError: nobody moved, or several did and none was named.
    """
    offered = {space.space_id: address for _name, space, address in offers(replica)}
    if with_ or url:
        person = replica.reader.person(with_)
    else:
        moved = [person for person in replica.reader.people() if person.space.space_id in offered]
        if len(moved) > 1:
            names = ", ".join(person.name for person in moved)
            raise InputError("Several people have moved.", hint="Say whom to follow, with --with: {names}", names=names)
        person = moved[0] if moved else replica.reader.person("")
    address = url or offered.get(person.space.space_id, "")
    if not address:
        raise InputError("Nobody has moved to a relay that this device is not on.", hint="bide relay shows what is in use.")
    if address == person.space.relay_url:
        raise InputError("That is the relay that is in use already.")
    return person, address


def _agreed(shell: Shell, name: str, url: str) -> bool:
    """Show the address, and have the person decide.

    Raises:
        InputError: nobody is there to ask.
    """
    from bide_cli.terminal.asking import ask_yes, require_person

    shell.say(_("{name} uses this relay: {url}").format(name=clean_line(name), url=url))
    shell.say(_("Whoever runs it can't read anything, but sees when and from where your devices connect."))
    require_person(shell, "Whether to follow is for you to say.", "To do it without a question: --yes")
    return ask_yes(shell, _("Follow there?"), default=False)


@command.command("unset", epilog="\b\nExample:\n  bide relay unset")
@shell_options
def unset(shell: Shell) -> None:
    """Use no relay.

    Everything here stays as it is; nothing is sent any more, and nothing comes, from anyone.
    """
    replica = open_replica(shell)
    replica.set_relay("")
    if shell.as_json:
        shell.emit("relay", relay="", **described(replica))
    else:
        shell.out(
            _(
                "No relay any more: nothing is sent and nothing comes. "
                "What you write stays on this device until you set one again."
            )
        )
