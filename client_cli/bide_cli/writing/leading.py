"""Leading a person through a repair conversation: what is open, what is theirs to do next, and nothing pressing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from bide.entries.fields import Field
from bide.entries.hearing import Verdict
from bide.entries.repair import AGREEMENT_FIELD
from bide_cli.language import N_, _, language
from bide_cli.reading.outbox import outbox_lines
from bide_cli.reading.render import STATES, draw_timeline
from bide_cli.terminal.asking import ask, ask_yes, choose
from bide_cli.terminal.layout import wrap
from bide_cli.terminal.shell import WIDTH_DEFAULT, Shell, clean_line
from bide_cli.writing.giving import Given

if TYPE_CHECKING:
    from bide.replica import Replica

STEP_WORDS = {
    "accept": N_("yes, let's talk about it"),
    "tell": N_("tell yours: your own part in it, and what you felt"),
    "hear": N_("say back what you heard"),
    "answer": N_("say whether you were heard"),
    "reconnect": N_("offer a small gesture"),
    "agree": N_("write down what you agree on"),
    "settle": N_("it is settled, for you"),
    "return": N_("come back to it"),
    "later": N_("keep it for later"),
    "rest": N_("let it rest"),
    "withdraw": N_("withdraw from it for good"),
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
    "accept": N_("Whoever likes can begin: bide repair"),
    "tell": N_("They can say back what they heard, when they are ready."),
    "hear": N_("They can say whether it fits."),
    "later": N_("Fine. It stays where it is; nobody is told why."),
    "rest": N_("Fine. It rests; nobody is told why."),
    "return": N_("Good to have you back."),
    "settle": N_("It is settled once both of you say so."),
    "settled": N_("It is settled, for both of you."),
    "withdraw": N_("It is over. What was said stays readable."),
}
"""What is said after a step, or after what the step has come to."""
WHAT_IS_THIS = N_("""\
A conversation in small steps, each in your own time. One of you invites. Each tells their own part and what they felt; \
there is no place for the other's part. Each says back what they heard, before anything else. Then you look for a small \
gesture and an agreement that both can edit. Later and rest are always fine, and nobody is told a reason.""")
STEMS_MAX = 3
"""Lines of suggestions above a question."""
_STEM_DECKS = {"mirrored": "listening", "validated": "listening", "empathised": "listening"}
_STEM_DECK_DEFAULT = "repair"
_INDENT = "  "
_NEW, _LEAVE, _HELP = "new", "leave", "?"
_ALWAYS = ("return", "later", "rest", "withdraw")
"""Ways out and back, offered after everything else."""
_PAUSED = ("later", "resting")


class Leader:
    """One walk through the open conversations."""

    def __init__(
        self,
        shell: Shell,
        replica: Replica,
        *,
        take: Callable[[dict[str, Any], str, Given], bool],
        invite: Callable[[Given], None],
    ) -> None:
        """Prepare.

        Args:
            shell: where to ask.
            replica: has the conversations.
            take: takes a step; tells whether it counts already, which one that is held back does not.
            invite: begins a conversation.
        """
        self._shell = shell
        self._replica = replica
        self._take = take
        self._invite = invite
        self._held: list[dict[str, Any]] = []

    def lead(self, entry_id: str) -> None:
        """Ask which conversation, then which step, take it, and offer what is next.

        Args:
            entry_id: the conversation; empty: ask, where there are several.
        """
        self._tell_held()
        if entry_id:
            self._talk(self._replica.show(entry_id))
            return
        conversations = sorted(self._replica.conversations(), key=lambda entry: not turns(entry))
        if not conversations:
            if self._held and self._choose(_("You can:"), [_endings()[0], (_NEW, _("something new")), _endings()[1]]) == _LEAVE:
                self._shell.say(_("Fine. Nothing changed."))
                return
            self._begin()
        elif len(conversations) == 1:
            self._talk(conversations[0], new=True)
        else:
            choices = [(str(number), describe(entry)) for number, entry in enumerate(conversations, 1)]
            chosen = self._choose(_("Open between you:"), [*choices, (_NEW, _("something new")), *_endings()])
            if chosen == _NEW:
                self._begin()
            elif chosen != _LEAVE:
                self._talk(conversations[int(chosen) - 1])

    def _tell_held(self) -> None:
        """Say what of conversations waits here, so that nobody writes it a second time."""
        self._held = [item for item in self._replica.holding.shown() if item["kind"] == "repair"]
        if self._held:
            self._shell.say(_("Written, and waiting here on this device only:"))
            self._shell.say("\n".join(f"{_INDENT}{line}" for line in outbox_lines(self._shell, self._held)))
            self._shell.say(_INDENT + _("send it now: bide send {code}").format(code=self._held[0]["code"]))
            self._shell.say(_INDENT + _("take it back: bide undo {code}").format(code=self._held[0]["code"]) + "\n")

    def _turns(self, entry: dict[str, Any]) -> list[str]:
        """What is mine to do, without what waits in the outbox."""
        waiting = {item["step"] for item in self._held if item["about"] == entry["id"]}
        return [step for step in turns(entry) if step not in waiting]

    def _begin(self) -> None:
        self._replica.reader.pair_space("")  # told before anything is asked
        if not ask_yes(self._shell, _("Are you calm enough to talk about it now?"), default=True):
            self._shell.say(_("Then not now. It keeps; come back whenever you like."))
            return
        self._invite(Given({}))

    def _talk(self, entry: dict[str, Any], *, new: bool = False) -> None:
        """One conversation, step after step, for as long as the person likes and something is theirs to do."""
        step = self._first_step(entry, new=new)
        while step:
            if step == "withdraw" and not ask_yes(self._shell, _("For good?"), default=False):
                self._shell.say(_("Fine. Nothing changed."))
                return
            if not self._take(entry, step, Given({})):
                return
            entry = self._replica.show(entry["id"])
            step = self._next_step(entry)

    def _first_step(self, entry: dict[str, Any], *, new: bool) -> str:
        self._shell.say("\n".join(draw_timeline(self._shell, [entry])) + "\n")
        mine = self._turns(entry)
        steps = [step for step in entry.get("next", []) if step in STEP_WORDS and step not in mine]
        if not steps and not mine:
            self._shell.say(_("Nothing is open here any more."))
            return ""
        if clashes(entry):
            self._shell.say(_("You both changed the agreement at the same time; each wording is shown. One of you settles it."))
        title = _("Your turn, when you want it:") if mine else _("Nothing waits for you here. You can:")
        steps = [*(step for step in steps if step not in _ALWAYS), *(step for step in _ALWAYS if step in steps)]
        others = _offered(steps) + ([(_NEW, _("something new"))] if new else [])
        # Enter takes the first: what is mine to do, and if nothing is, nothing.
        choices = [*_offered(mine), *others, *_endings()] if mine else [_endings()[0], *others, _endings()[1]]
        chosen = self._choose(title, choices)
        if chosen == _NEW:
            self._begin()
            return ""
        if chosen == _LEAVE:
            self._shell.say(_("Fine. Nothing changed."))
            return ""
        return chosen

    def _next_step(self, entry: dict[str, Any]) -> str:
        mine = turns(entry)
        if not mine or mine == ["return"]:
            return ""
        leave, explain = _endings()
        out = [step for step in _ALWAYS if step in entry["next"]]
        chosen = self._choose(_("If you would like to go on:"), [leave, *_offered(mine), *_offered(out), explain])
        return "" if chosen == _LEAVE else chosen

    def _choose(self, title: str, choices: Sequence[tuple[str, str]]) -> str:
        while (chosen := choose(self._shell, title, choices, letters=LETTERS)) == _HELP:
            self._shell.say(_(WHAT_IS_THIS))
        return chosen


def ask_before(shell: Shell, entry: dict[str, Any], step: str) -> Given | None:
    """What is better chosen than typed: whether one was heard, and what becomes of an agreement that is there.

    Returns:
        What was chosen; empty where the step has only its own questions. None: the person would rather not.
    """
    if step == "answer":
        return _ask_verdict(shell)
    if step == "agree" and entry["fields"].get(AGREEMENT_FIELD.name):
        return _ask_agreement(shell, entry)
    return Given({})


def _ask_verdict(shell: Shell) -> Given:
    verdicts = ((Verdict.HEARD.value, _("yes, that is it")), (Verdict.NOT_QUITE.value, _("not quite; say what you meant")))
    verdict = choose(shell, _("Were you heard?"), verdicts, by_default=False)
    clarification = ""
    while verdict == Verdict.NOT_QUITE.value and not clarification:
        clarification = ask(shell, _("What did you mean?")).strip()
    return _said({"verdict": verdict, "clarification": clarification})


def _ask_agreement(shell: Shell, entry: dict[str, Any]) -> Given | None:
    """Take one of two wordings, keep what stands there, change it, or write another one."""
    present = str(entry["fields"][AGREEMENT_FIELD.name])
    wordings = [version for version in clashes(entry) if version != present]
    choices: list[tuple[Given | None, str]] = [
        (_said({AGREEMENT_FIELD.name: wording}), _("take this one: {text}").format(text=clean_line(wording)))
        for wording in wordings
    ]
    if wordings:
        choices.append((_said({AGREEMENT_FIELD.name: present}), _("take it as it stands, with both")))
    choices += [
        (Given({}), _("write it anew")),
        (Given({}, edit=True), _("change it in your editor")),
        (None, _("nothing now")),
    ]
    shell.say(_("What you agree on now: {text}").format(text=clean_line(present)))
    numbered = [(str(number), words) for number, (_given, words) in enumerate(choices, 1)]
    return choices[int(choose(shell, _("What would you like?"), numbered)) - 1][0]


def _said(values: dict[str, str]) -> Given:
    """What was answered already: unlike an option's, a text of one stroke is a text and not stdin."""
    given = Given({})
    given.values, given.by_options = dict(values), True
    return given


def _endings() -> list[tuple[str, str]]:
    return [(_LEAVE, _("nothing now")), (_HELP, _("what is this?"))]


def _offered(steps: Sequence[str]) -> list[tuple[str, str]]:
    return [(step, _(STEP_WORDS[step])) for step in steps]


def turns(entry: dict[str, Any]) -> list[str]:
    """The steps that are mine to take next, the likeliest first; empty where it is up to the other, or where one has paused.

    Everything else that `next` has is open too: turns guide, they never lock.
    """
    steps = [step for step in entry.get("next", []) if step in STEP_WORDS]
    if "return" in steps:
        return ["return"]
    if entry["state"] in _PAUSED or (entry["state"] == "invited" and entry["by"]["me"]):
        return []
    if "later" not in steps:  # it is over
        return []
    fields = entry["fields"]
    done = {"reconnect"} if any(item["by"]["me"] for item in fields["gestures"]) else set()
    if fields["agreement"] and not clashes(entry):
        done.add("agree")
    if not fields["agreement"] and not fields["gestures"]:
        done.add("settle")
    # What comes after the ways out has been done before.
    mine = [step for step in steps[: steps.index("later")] if step not in done]
    return sorted(mine, key=lambda step: step != "agree") if clashes(entry) else mine


def clashes(entry: dict[str, Any]) -> list[str]:
    """The wordings of the agreement that two edits made at the same time left; empty where they fit together."""
    return [str(version) for version in entry["alternatives"].get(AGREEMENT_FIELD.name, ())]


def stems(shell: Shell, entry_id: str, field: Field) -> str:
    """A few beginnings of sentences for a question, a line each; not the same ones in every conversation."""
    from bide.words import deck

    found = [item.text for item in deck(_STEM_DECKS.get(field.name, _STEM_DECK_DEFAULT), language()).in_part(field.name)]
    if not found:
        return ""
    begin = sum(map(ord, entry_id)) % len(found)
    lines: list[str] = []
    for text in (*found[begin:], *found[:begin]):
        line = wrap(_("Perhaps: \u201c{text}\u201d").format(text=text), (shell.width or WIDTH_DEFAULT) - len(_INDENT))
        if len(lines) + len(line) <= STEMS_MAX:
            lines += line
    return f"\n{_INDENT}".join(lines)


def describe(entry: dict[str, Any]) -> str:
    """One line for a conversation: its topic, where it stands, and whether something in it is mine to do."""
    topic = clean_line(entry["fields"]["topic"]) or _("(no topic)")
    parts = [topic, _standing(entry)]
    if turns(entry) not in ([], ["return"]):
        parts.append(_("your turn when you want it"))
    return " · ".join(parts)


def _standing(entry: dict[str, Any]) -> str:
    state = entry["state"]
    if state == "invited":
        if entry["by"]["me"]:
            return _("you asked to talk about it")
        return _("{name} asks to talk about it").format(name=clean_line(entry["by"]["name"]))
    if state in ("told", "heard"):
        tells = entry["fields"]["tells"]
        if len(tells) == 2:
            return _("you have both told your parts")
        if tells and tells[0]["by"]["me"]:
            return _("you have told your part")
        if tells:
            return _("{name} wrote their part and how they felt").format(name=clean_line(tells[0]["by"]["name"]))
    return _(STATES.get(state, clean_line(state)))
