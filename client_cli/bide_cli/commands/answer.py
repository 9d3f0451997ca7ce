"""``bide answer``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bide.entries.question import ANSWER_FIELDS
from bide.errors import InputError, NotPaired
from bide_cli.home.folder import read_config
from bide_cli.language import _
from bide_cli.options import field_options, now_option, shell_options, with_option
from bide_cli.terminal.asking import choose
from bide_cli.terminal.shell import Shell, clean_line
from bide_cli.unlocking.opening import open_replica
from bide_cli.writing.answering import describe, give_answer, open_questions, opening_words, require_unanswered
from bide_cli.writing.entry import write_reply
from bide_cli.writing.giving import Given, gather
from bide_cli.writing.holding import is_elsewhere

if TYPE_CHECKING:
    from bide.replica import Replica

LISTED_MAX = 12
_LEAVE = "leave"


@click.command(
    epilog="\b\nExamples:\n  bide answer\n  bide answer qu-7KQ2MX\n  bide answer qu-7KQ2MX --answer - < answer.txt\n"
    "  bide answer --json --no-input"
)
@click.argument("entry_id", metavar="[ID]", required=False)
@field_options(ANSWER_FIELDS)
@with_option
@now_option
@shell_options
def command(shell: Shell, entry_id: str | None, given: Given, with_: str) -> None:
    """Answer a question.

    The other's, or your own: both of you can. Without ID it shows what is open and lets you choose. Going past a question
    leaves no trace, and nobody is told.
    """
    config = read_config(shell.home)
    replica = open_replica(shell, config)
    if entry_id is None:
        question = _choose(shell, replica, with_, writes=given.by_options or given.edit)
        if question is None:
            return
    elif is_elsewhere(replica, entry_id):
        write_reply(shell, "answer", ANSWER_FIELDS, entry_id, given, command="answer")
        return
    else:
        question = replica.show(entry_id)
    require_unanswered(replica, question)
    if shell.may_ask and not given.by_options:
        shell.say(clean_line(question["fields"].get("question", "")))
        shell.say(opening_words(question))
    give_answer(shell, replica, config, question, gather(shell, ANSWER_FIELDS, given))


def _choose(shell: Shell, replica: Replica, with_: str, *, writes: bool) -> dict[str, Any] | None:
    """The question that is meant; None if there is nothing to answer now."""
    if not replica.people():
        raise NotPaired
    questions = open_questions(replica, with_)
    if writes and not shell.may_ask:
        if len(questions) != 1:
            raise InputError(
                "Which question?" if questions else "No question is open.", hint="bide answer ID; bide answer lists them."
            )
        return questions[0]
    if shell.as_json:
        shell.emit("answer", questions=questions)
        return None
    if not questions:
        shell.say(_("No question is open. One begins with: bide ask"))
        return None
    if not shell.may_ask:
        for question in questions:
            shell.out(f"{question['code']}  {describe(question)}")
        return None
    choices = [(question["code"].casefold(), describe(question)) for question in questions[:LISTED_MAX]]
    chosen = choose(shell, _("Open between you:"), [*choices, (_LEAVE, _("nothing now"))])
    return next((question for question in questions if question["code"].casefold() == chosen), None)
