"""``bide start``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from bide.errors import BideError
from bide_cli.home import folder as homes
from bide_cli.language import N_, _, sentence
from bide_cli.options import shell_options, with_option
from bide_cli.prompting.proposing import ALONE, look, propose
from bide_cli.terminal.asking import ask, choose
from bide_cli.terminal.shell import Shell, clean_line
from bide_cli.unlocking.opening import open_replica

if TYPE_CHECKING:
    from datetime import date

WHAT_IT_IS = (
    N_("Bide is a journal that two people keep together: how you are, what you liked, what was hard."),
    N_("What you share goes to the other's device, sealed; what you keep private stays with you. Nobody counts anything."),
    N_("You can begin by yourself and share later, or never."),
)
_NOW, _ANOTHER, _SHARE, _LEAVE = "now", "another", "share", "leave"
_PAIR, _JOIN, _ALONE = "pair", "join", "alone"
LETTERS = {_NOW: "y", _ANOTHER: "n", _SHARE: "s", _LEAVE: "q"}
NEXT_TIME = N_("Fine. Come back whenever you like: bide start")


@click.command(epilog="\b\nExamples:\n  bide start\n  bide start --with Robin\n  bide start --json --no-input")
@with_option
@shell_options
def command(shell: Shell, with_: str) -> None:
    """Begin, or find one small thing for this week.

    Without a journal it leads through making one; every step can be skipped. With one it proposes a single practice, and runs
    it if you like. Nothing is noted of it, and nobody reminds you.
    """
    if not homes.exists(shell.home):
        if not _begin(shell):
            return
        if shell.may_ask:
            _share(shell)
    _propose(shell, with_)


def _begin(shell: Shell) -> bool:
    """Say what Bide is, and make a journal; whether there is one now."""
    if shell.as_json:
        shell.emit("start", journal=False, words=_(WHAT_IT_IS[0]), why="", run=["bide", "init"])
        return False
    for line in WHAT_IT_IS:
        shell.say(_(line))
    shell.say()
    if not shell.may_ask:
        shell.out("bide init")
        return False
    choices = [(_NOW, _("make a journal on this device now")), (_LEAVE, _("not now"))]
    if choose(shell, _("Shall we begin?"), choices, letters=LETTERS) == _LEAVE:
        shell.say(_(NEXT_TIME))
        return False
    _run(shell, "init")
    return homes.exists(shell.home)


def _share(shell: Shell) -> None:
    """Find out with whom the journal is shared, if with anybody."""
    choices = [
        (_PAIR, _("with somebody whom I invite")),
        (_JOIN, _("with somebody who gave me a code")),
        (_ALONE, _("just for me for now")),
    ]
    chosen = choose(shell, "\n" + _("Who is the journal for?"), choices)
    if chosen == _ALONE:
        shell.say(_("Good. You can share later: bide pair, or bide join"))
    elif chosen == _JOIN:
        _run(shell, "join")
    elif _has_relay(shell):
        _run(shell, "pair")


def _has_relay(shell: Shell) -> bool:
    """See to it that there is a relay to meet on; whether there is one now."""
    if open_replica(shell).relay():
        return True
    shell.say(_("To meet, your two devices need a relay. It passes on what it can't read. A friend may keep one, or you may."))
    while url := ask(shell, _("Its address, such as wss://relay.example.org (Enter: later):")).strip():
        if _run(shell, "relay", "set", url):
            return True
    shell.say(_("Later, then: bide relay set URL, and bide pair"))
    return False


def _propose(shell: Shell, with_: str) -> None:
    from bide_cli.cli import SUMMARIES

    replica, today = open_replica(shell), _today(shell)
    situation = look(replica, with_, today=today)
    another = 0
    while True:
        proposal = propose(situation, frozenset(SUMMARIES), today=today, with_=with_, another=another)
        if shell.as_json:
            shell.emit("start", journal=True, words=proposal.words, why=proposal.why, run=proposal.command)
            return
        if not shell.may_ask:
            shell.out(clean_line(proposal.words))
            shell.out(" ".join(proposal.command))
            return
        shell.say("\n" + _("One thing for this week, if you like:") + "\n")
        shell.say("  " + clean_line(proposal.words))
        shell.say("  " + clean_line(proposal.why) + "\n")
        choices = [(_NOW, _("do it now ({command})").format(command=clean_line(" ".join(proposal.command))))]
        choices += [
            (_ANOTHER, _("another one")),
            *([(_SHARE, _("share the journal with somebody"))] if situation.fits == ALONE else []),
        ]
        choices.append((_LEAVE, _("not now")))
        chosen = choose(shell, "", choices, letters=LETTERS)
        if chosen == _ANOTHER:
            another += 1
            continue
        replica.storage.close()  # what is run in place opens it for itself
        if chosen == _LEAVE:
            shell.say(_(NEXT_TIME))
        elif chosen == _SHARE:
            _share(shell)
        else:
            _run(shell, *proposal.command[1:])
        return


def _today(shell: Shell) -> date:
    """The day it is for this person, whose day may begin after midnight."""
    from datetime import date

    now = time.localtime(time.time() - homes.read_config(shell.home).day_starts_min * 60)
    return date(now.tm_year, now.tm_mon, now.tm_mday)


def _run(shell: Shell, *words: str) -> bool:
    """Run another command here and now, as if it had been typed; whether it went well.

    A step that doesn't work out is told as it would be, and the next one is still offered.
    """
    from bide_cli.cli import run

    flags = [flag for flag, wanted in (("--plain", shell.plain), ("--accessible", shell.accessible)) if wanted]
    try:
        return run(["--home", str(shell.home), *words, *flags]) == 0
    except BideError as error:
        message, hint = sentence(error)
        shell.say(f"{message}\n{hint}".rstrip())
        return False
