"""``bide hear``."""

from __future__ import annotations

from typing import Any

import click

from bide.entries.hearing import CLARIFICATION, FIELDS, Verdict
from bide.errors import InputError, NotAllowed
from bide.replica.authoring.holding import Deed, Do
from bide_cli.home.folder import read_config
from bide_cli.language import N_, _
from bide_cli.options import field_options, now_option, shell_options
from bide_cli.prompting.starters import Starters
from bide_cli.reading.render import draw_timeline
from bide_cli.terminal.asking import choose
from bide_cli.terminal.shell import Shell
from bide_cli.terminal.stdin import STDIN, read_stdin
from bide_cli.unlocking.opening import open_replica
from bide_cli.writing.entry import write_reply
from bide_cli.writing.giving import Given, gather
from bide_cli.writing.holding import is_elsewhere, put, require_place
from bide_cli.writing.telling import tell_written

VERDICTS = ((Verdict.HEARD.value, N_("yes, that is it")), (Verdict.NOT_QUITE.value, N_("not quite; say what you meant")))


@click.command(
    epilog="\b\nExamples:\n  bide hear ck-62XTN3\n  bide hear ck-62XTN3 --mirrored 'The day was long and nobody asked.'\n"
    "  bide hear ck-62XTN3 --heard\n  bide hear ck-62XTN3 --not-quite 'It was not the work, it was the silence.'"
)
@click.argument("entry_id", metavar="ID")
@field_options(FIELDS)
@click.option("--heard", is_flag=True, help="For who was heard: that is it.")
@click.option("--not-quite", metavar="TEXT", help="For who was heard: what you meant instead.")
@now_option
@shell_options
def command(shell: Shell, entry_id: str, given: Given, heard: bool, not_quite: str | None) -> None:
    """Say back what the other wrote.

    What you heard, what makes sense about it, what it might feel like. No advice, nothing to fix. The one who was heard then
    says whether it fits: --heard, or --not-quite with what they meant.
    """
    if heard and not_quite is not None:
        raise InputError("Either --heard or --not-quite, not both.")
    answering = heard or not_quite is not None
    if answering and (given.by_options or given.edit):
        raise InputError("--heard and --not-quite answer a hearing; they take no other fields.")
    config = read_config(shell.home)
    replica = open_replica(shell, config)
    if is_elsewhere(replica, entry_id) and not answering:
        write_reply(shell, "hearing", FIELDS, entry_id, given, command="hear", deck="listening")
        return
    entry = replica.show(entry_id)
    require_place(replica, entry_id)
    if shell.may_ask and not answering and not given.by_options:
        shell.say("\n".join(draw_timeline(shell, [entry])) + "\n")
        if entry["by"]["me"] and entry["kind"] != "repair" and _hearings(entry):
            heard, not_quite = _ask_verdict(shell)
            answering = True
    if answering:
        written = put(shell, replica, config, _answer(entry, heard=heard, not_quite=not_quite))
        words = ""
    else:
        if entry["by"]["me"] and entry["kind"] != "repair":
            raise NotAllowed("That one is yours; hearing is for what the other wrote.")
        said = gather(shell, FIELDS, given, starter=Starters("listening"))
        deed = Deed(Do.REPLY, "hearing", said, about=entry["id"])
        if entry["kind"] == "repair":
            deed = Deed(Do.STEP, "repair", said, about=entry["id"], step="hear")
        written = put(shell, replica, config, deed)
        words = _("They can say whether it fits.")
    tell_written(shell, "hear", replica, config, written, words=words)


def _hearings(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [reply for reply in entry["replies"] if reply["kind"] == "hearing" and not reply["by"]["me"]]


def _ask_verdict(shell: Shell) -> tuple[bool, str | None]:
    choices = [(verdict, _(words)) for verdict, words in VERDICTS]
    if choose(shell, _("Were you heard?"), choices, by_default=False) == Verdict.HEARD.value:
        return True, None
    return False, ask_clarification(shell)


def ask_clarification(shell: Shell) -> str:
    """What the one who was heard meant."""
    return str(gather(shell, (CLARIFICATION,), Given({})).get(CLARIFICATION.name, ""))


def _answer(entry: dict[str, Any], *, heard: bool, not_quite: str | None) -> Deed:
    verdict = Verdict.HEARD if heard else Verdict.NOT_QUITE
    text = read_stdin() if not_quite == STDIN else not_quite or ""
    values = {"verdict": verdict.value, "clarification": text}
    if entry["kind"] == "repair":
        return Deed(Do.STEP, "repair", values, about=entry["id"], step="answer")
    if entry["kind"] != "hearing":
        if not entry["by"]["me"]:
            raise NotAllowed("Only the one who was heard can say whether it fits.")
        hearings = _hearings(entry)
        if not hearings:
            raise NotAllowed("Nobody has said that one back yet, so there is nothing to answer.")
        # The one that waits for an answer; if none does, the last one's answer is changed.
        entry = next((h for h in reversed(hearings) if not h["fields"].get("answer")), hearings[-1])
    return Deed(Do.VERDICT, "hearing", values, about=entry["id"])
