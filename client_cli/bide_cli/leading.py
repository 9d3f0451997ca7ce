"""Leading a person through a repair conversation: what is open, what can be done next, and nothing pressing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bide.entries.hearing import Verdict
from bide_cli.asking import ask, ask_yes, choose
from bide_cli.giving import Given
from bide_cli.render import STATES, draw_timeline
from bide_cli.shell import Shell, clean_line

if TYPE_CHECKING:
    from bide.replica import Replica

STEP_WORDS = {
    "accept": "yes, let's talk about it",
    "tell": "tell yours: your own part in it, and what you felt",
    "hear": "say back what you heard",
    "answer": "say whether you were heard",
    "reconnect": "offer a small gesture",
    "agree": "write down what you agree on",
    "settle": "it is settled, for you",
    "return": "come back to it",
    "later": "keep it for later",
    "rest": "let it rest",
    "withdraw": "withdraw from it for good",
}
"""Every step, as a person is offered it."""
LETTERS = {
    "accept": "y",
    "tell": "t",
    "hear": "h",
    "answer": "s",
    "reconnect": "g",
    "agree": "a",
    "settle": "d",
    "return": "b",
    "later": "l",
    "rest": "r",
    "withdraw": "w",
    "new": "n",
    "leave": "q",
    "?": "?",
}
"""What can be typed instead of a number."""
AFTER = {
    "accept": "Whoever likes can begin: bide repair",
    "tell": "They can say back what they heard, when they are ready.",
    "hear": "They can say whether it fits.",
    "later": "Fine. It stays where it is; nobody is told why.",
    "rest": "Fine. It rests; nobody is told why.",
    "return": "Good to have you back.",
    "settle": "It is settled once both of you say so.",
    "settled": "It is settled, for both of you.",
    "withdraw": "It is over. What was said stays readable.",
}
WHAT_IS_THIS = """\
A conversation in small steps, each in your own time. One of you invites. Each tells their own part and what they felt; \
there is no place for the other's part. Each says back what they heard, before anything else. Then you look for a small \
gesture and an agreement that both can edit. Later and rest are always fine, and nobody is told a reason."""
_NEW, _LEAVE, _HELP = "new", "leave", "?"


class Leader:
    """One walk through the open conversations."""

    def __init__(
        self,
        shell: Shell,
        replica: Replica,
        *,
        take: Callable[[dict[str, Any], str, Given], None],
        invite: Callable[[Given], None],
    ) -> None:
        """Prepare.

        Args:
            shell: where to ask.
            replica: has the conversations.
            take: takes a step.
            invite: begins a conversation.
        """
        self._shell = shell
        self._replica = replica
        self._take = take
        self._invite = invite

    def lead(self, entry_id: str) -> None:
        """Ask which conversation, then which step, and take it.

        Args:
            entry_id: the conversation; empty: ask.
        """
        if entry_id:
            self._step(self._replica.show(entry_id))
            return
        conversations = self._replica.conversations()
        if not conversations:
            self._begin()
            return
        choices = [(str(number), describe(entry)) for number, entry in enumerate(conversations, 1)]
        choices += [(_NEW, "something new"), (_LEAVE, "nothing now"), (_HELP, "what is this?")]
        chosen = self._choose("Open between you:", choices)
        if chosen == _NEW:
            self._begin()
        elif chosen != _LEAVE:
            self._step(conversations[int(chosen) - 1])

    def _begin(self) -> None:
        self._replica.reader.pair_space("")  # told before anything is asked
        if not ask_yes(self._shell, "Are you calm enough to talk about it now?", default=True):
            self._shell.say("Then not now. It keeps; come back whenever you like.")
            return
        self._invite(Given({}))

    def _step(self, entry: dict[str, Any]) -> None:
        self._shell.say("\n".join(draw_timeline(self._shell, [entry])) + "\n")
        steps = [step for step in entry.get("next", []) if step in STEP_WORDS]
        if not steps:
            self._shell.say("Nothing is open here any more.")
            return
        choices = [*((step, STEP_WORDS[step]) for step in steps), (_LEAVE, "nothing now"), (_HELP, "what is this?")]
        step = self._choose("What would you like?", choices)
        if step == _LEAVE or (step == "withdraw" and not ask_yes(self._shell, "For good?", default=False)):
            self._shell.say("Fine. Nothing changed.")
            return
        self._take(entry, step, self._answer() if step == "answer" else Given({}))

    def _choose(self, title: str, choices: Sequence[tuple[str, str]]) -> str:
        while (chosen := choose(self._shell, title, choices, letters=LETTERS)) == _HELP:
            self._shell.say(WHAT_IS_THIS)
        return chosen

    def _answer(self) -> Given:
        verdicts = ((Verdict.HEARD.value, "yes, that is it"), (Verdict.NOT_QUITE.value, "not quite; say what you meant"))
        verdict = choose(self._shell, "Were you heard?", verdicts)
        clarification = ask(self._shell, "What did you mean?") if verdict == Verdict.NOT_QUITE.value else ""
        return Given({"verdict": verdict, "clarification": clarification})


def describe(entry: dict[str, Any]) -> str:
    """One line for a conversation: its topic and where it stands."""
    topic = clean_line(entry["fields"]["topic"]) or "(no topic)"
    state = entry["state"]
    if state == "invited":
        asks = "you asked to talk about it" if entry["by"]["me"] else f"{clean_line(entry['by']['name'])} asks to talk about it"
        return f"{topic} · {asks}"
    if state in ("told", "heard"):
        told = ["you have" if t["by"]["me"] else f"{clean_line(t['by']['name'])} has" for t in entry["fields"]["tells"]]
        return (
            f"{topic} · {' and '.join(told)} told their part" if told != ["you have"] else f"{topic} · you have told your part"
        )
    return f"{topic} · {STATES.get(state, clean_line(state))}"
