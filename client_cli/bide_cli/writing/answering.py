"""Answers: which questions are open, giving an answer, and saying when it opens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bide.entries.fields import clean_field
from bide.entries.question import ANSWER_FIELDS, Reveal
from bide.errors import NotAllowed
from bide.replica.authoring.holding import Deed, Do
from bide_cli.language import _
from bide_cli.reading.render import draw_timeline
from bide_cli.terminal.asking import ask_until_good
from bide_cli.terminal.shell import Shell, clean_line
from bide_cli.writing.holding import put, require_place
from bide_cli.writing.telling import tell_written

if TYPE_CHECKING:
    from bide.replica import Replica
    from bide_cli.home.folder import Config

FIELD = ANSWER_FIELDS[0]


def open_questions(replica: Replica, with_: str = "") -> list[dict[str, Any]]:
    """Questions that I have not answered, the newest first; those kept for later at the end."""
    entries = replica.timeline(kinds=("question",), with_=with_)
    found = [entry for entry in reversed(entries) if _can_be_answered(entry)]
    return sorted(found, key=lambda entry: bool(entry.get("later")))


def _can_be_answered(entry: dict[str, Any]) -> bool:
    return entry["visibility"] == "shared" and not entry.get("retracted") and my_answer(entry) is None


def my_answer(question: dict[str, Any]) -> dict[str, Any] | None:
    """My answer to a question, if I gave one and did not take it back."""
    return next((reply for reply in _answers(question) if reply["by"]["me"]), None)


def require_unanswered(replica: Replica, question: dict[str, Any]) -> None:
    """See to it that an answer of mine can be given. Told before anything is asked, so that no text is lost.

    Raises:
        NotAllowed: I have answered it, it was taken back, or it is no question.
    """
    mine = my_answer(question) if question["kind"] == "question" else None
    if mine is not None:
        raise NotAllowed("You have answered that one.", hint="To change your answer: bide edit {code}", code=mine["code"])
    require_place(replica, question["id"])
    replica.require_reply("answer", question["id"])


def ask_answer(shell: Shell, prompt: str) -> str:
    """An answer that a person types; empty if they would rather not."""

    def check(text: str) -> str:
        return text if clean_field(FIELD, text) else ""

    return ask_until_good(shell, prompt, check)


def give_answer(shell: Shell, replica: Replica, config: Config, question: dict[str, Any], values: dict[str, Any]) -> None:
    """Write an answer, and tell when it opens."""
    written = put(shell, replica, config, Deed(Do.REPLY, "answer", values, about=question["id"]))
    now = replica.show(question["id"])
    extra = {"about": now["id"], "reveal": now["fields"].get("reveal", ""), "open": is_open(now)}
    tell_written(shell, "answer", replica, config, written, words=opening_words(now), extra=extra)
    if is_open(now) and my_answer(now) and _others(now) and shell.may_ask:
        shell.out()
        shell.out("\n".join(draw_timeline(shell, [now])))


def is_open(question: dict[str, Any]) -> bool:
    """Whether the answers can be read by both."""
    at_once = question["fields"].get("reveal") == Reveal.AT_ONCE.value
    return at_once or (my_answer(question) is not None and bool(_others(question)))


def _others(question: dict[str, Any]) -> list[dict[str, Any]]:
    return [reply for reply in _answers(question) if not reply["by"]["me"]]


def _answers(question: dict[str, Any]) -> list[dict[str, Any]]:
    return [reply for reply in question["replies"] if reply["kind"] == "answer" and not reply.get("retracted")]


def opening_words(question: dict[str, Any]) -> str:
    """When the answers open, in a sentence."""
    if question["fields"].get("reveal") == Reveal.AT_ONCE.value:
        return _("It can be read as soon as it arrives.")
    if is_open(question):
        return _("There are two answers now, so both are open.")
    return _("It opens once there are two answers.")


def describe(question: dict[str, Any]) -> str:
    """One line for a question: its words, and whose it is."""
    words = clean_line(question["fields"].get("question", ""))
    whose = _("you asked it") if question["by"]["me"] else _("{name} asked it").format(name=clean_line(question["by"]["name"]))
    return f"{words} · {whose}"
