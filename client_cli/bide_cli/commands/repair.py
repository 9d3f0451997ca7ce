"""``bide repair``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from bide.entries.fields import Field
from bide.entries.hearing import CLARIFICATION, Verdict
from bide.entries.hearing import FIELDS as HEARING_FIELDS
from bide.entries.repair import AGREEMENT_FIELD, GESTURE_FIELD, INVITE_FIELDS, TELL_FIELDS, Step
from bide.errors import BideError, InputError, NotFound
from bide.replica.authoring.holding import Deed, Do
from bide.replica.spaces.removal import require_belonging
from bide_cli.home.folder import read_config
from bide_cli.language import _
from bide_cli.options import field_options, now_option, shell_options, with_option
from bide_cli.reading.render import draw_timeline
from bide_cli.terminal.shell import Shell, clean
from bide_cli.terminal.stdin import STDIN, read_stdin
from bide_cli.unlocking.opening import open_replica
from bide_cli.writing.giving import Given, flag, gather
from bide_cli.writing.holding import put, require_place
from bide_cli.writing.leading import AFTER, Leader, ask_before, stems
from bide_cli.writing.telling import tell_written

STEP_FIELDS: Mapping[str, tuple[Field, ...]] = {
    "tell": TELL_FIELDS,
    "hear": HEARING_FIELDS,
    "answer": (Field("verdict", CLARIFICATION.kind, "Were you heard?", "Answer"), CLARIFICATION),
    "reconnect": (GESTURE_FIELD,),
    "agree": (AGREEMENT_FIELD,),
}
STEPS = tuple(step.name.lower() for step in Step if step is not Step.INVITE)
OPTION_FIELDS = (*INVITE_FIELDS, *TELL_FIELDS, *HEARING_FIELDS, GESTURE_FIELD, AGREEMENT_FIELD)


@click.command(
    epilog="\b\nExamples:\n  bide repair\n  bide repair --topic 'The dishes on Sunday'\n"
    "  bide repair rp-7KQ2MX tell --own-part 'I was short with you.' --felt 'ashamed'\n"
    "  bide repair rp-7KQ2MX hear --mirrored 'You felt alone with it.'\n  bide repair rp-7KQ2MX answer --heard\n"
    "  bide repair rp-7KQ2MX agree --from-json -\n  bide repair rp-7KQ2MX later"
)
@click.argument("entry_id", metavar="[ID]", required=False)
@click.argument("step", metavar="[STEP]", required=False)
@field_options(OPTION_FIELDS)
@click.option("--heard", is_flag=True, help="With answer: you were heard.")
@click.option("--not-quite", metavar="TEXT", help="With answer: what you meant instead.")
@with_option
@now_option
@shell_options
def command(
    shell: Shell,
    entry_id: str | None,
    step: str | None,
    given: Given,
    heard: bool,
    not_quite: str | None,
    with_: str,
) -> None:
    """Talk something through, step by step.

    Each tells their own part and what they felt, says back what the other told, and only then you look for a gesture and an
    agreement. Nobody has to do anything, and nothing runs out.

    STEP is one of accept, tell, hear, answer, reconnect, agree, settle, later, rest, return, withdraw. Without ID and STEP it
    leads through what is open.
    """
    if entry_id in STEPS and step is None:
        entry_id, step = None, entry_id
    if step is not None and step not in STEPS:
        near = _near_step(step)
        raise InputError(
            "There is no step called {step!r}.",
            hint="Did you mean {near}? The steps are: {steps}" if near else "The steps are: {steps}",
            step=step[:40],
            near=near,
            steps=", ".join(STEPS),
        )
    repair = _Repair(shell, with_)
    if entry_id is not None and step is None:
        repair.require(entry_id)
    if heard or not_quite is not None:
        _put_verdict(given, step, heard=heard, not_quite=not_quite)
    if step is not None:
        repair.take(repair.one(entry_id), step, given)
    elif entry_id is None and (given.by_options or given.edit):
        repair.invite(given)
    elif shell.may_ask and not shell.as_json and not given.by_options:
        Leader(shell, repair.replica, take=repair.take, invite=repair.invite).lead(entry_id or "")
    elif given.by_options:
        raise InputError("Which step is that for?", hint="bide repair ID STEP, with one of: {steps}", steps=", ".join(STEPS))
    else:
        repair.list(entry_id)


def _near_step(word: str) -> str:
    """The step that was perhaps meant; empty if none."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word[:40].lower(), STEPS, n=1)), "")


def _put_verdict(given: Given, step: str | None, *, heard: bool, not_quite: str | None) -> None:
    if step != "answer" or (heard and not_quite is not None) or given.by_options:
        raise InputError("--heard or --not-quite, one of them, go with the step answer.")
    text = read_stdin() if not_quite == STDIN else not_quite or ""
    verdict = Verdict.HEARD if heard else Verdict.NOT_QUITE
    given.values = {"verdict": verdict.value, "clarification": text}
    given.by_options = True


class _Repair:
    """What can be done with repair conversations, however it was asked for."""

    def __init__(self, shell: Shell, with_: str) -> None:
        self._shell = shell
        self._with = with_
        self._config = read_config(shell.home)
        self.replica = open_replica(shell, self._config)

    def require(self, entry_id: str) -> None:
        """See to it that a word on its own is a conversation; it may have been meant for a step."""
        try:
            self.replica.show(entry_id)
        except NotFound as error:
            if near := _near_step(entry_id):
                error.advise("Did you mean the step {near}?", near=near)
            raise

    def one(self, entry_id: str | None) -> dict[str, Any]:
        """The conversation that is meant."""
        if entry_id is not None:
            return self.replica.show(entry_id)
        conversations = self.replica.conversations()
        if len(conversations) != 1:
            raise InputError(
                "Which conversation?" if conversations else "No conversation is open.",
                hint=(
                    "bide repair ID STEP; bide timeline --kind repair shows the ids."
                    if conversations
                    else "One begins with: bide repair --topic 'What it is about'"
                ),
            )
        return conversations[0]

    def invite(self, given: Given) -> None:
        """Begin a conversation."""
        require_belonging(self.replica.storage, self.replica.reader.pair_space(self._with))  # told before anything is asked
        values = dict(self._gather(INVITE_FIELDS, given, about=""))
        calm = values.pop("calm", True)
        if not isinstance(calm, bool):
            raise InputError("'calm' has to be true or false.")
        deed = Deed(Do.INVITE, "repair", {**_only(values, INVITE_FIELDS), "calm": calm})
        written = put(self._shell, self.replica, self._config, deed, space=self.replica.reader.pair_space(self._with))
        self._told(written, "invite", _("They can say yes, or come back to it later; neither needs a reason."))

    def take(self, entry: dict[str, Any], step: str, given: Given) -> bool:
        """Take a step.

        Returns:
            Whether it was taken and counts already; what is held back does not.
        """
        require_place(self.replica, entry["id"])
        fields = STEP_FIELDS.get(step, ())
        # What isn't possible is told before anything is asked.
        asking = bool(fields) and (given.edit or not given.by_options) and step in entry.get("next", ())
        if asking and not given.edit and self._shell.may_ask:
            chosen = ask_before(self._shell, entry, step)
            if chosen is None:
                self._shell.say(_("Fine. Nothing changed."))
                return False
            given = chosen
        values: Mapping[str, Any] = given.values
        if asking:
            values = self._gather(fields, given, about=entry["id"], before=_present(entry, step))
        try:
            deed = Deed(Do.STEP, "repair", _only(values, fields), about=entry["id"], step=step)
            written = put(self._shell, self.replica, self._config, deed)
        except BideError:
            if asking:
                self._give_back(fields, values)
            raise
        return self._told(written, step, entry=entry)

    def list(self, entry_id: str | None) -> None:
        """For a script that asks for nothing: what is open."""
        entries = self.replica.conversations() if entry_id is None else [self.replica.show(entry_id)]
        if self._shell.as_json:
            self._shell.emit("repair", conversations=entries)
        elif entries:
            self._shell.page("\n".join(draw_timeline(self._shell, entries)) + "\n")
        else:
            self._shell.say(_("No conversation is open. One begins with: bide repair --topic 'What it is about'"))

    def _gather(
        self, fields: Sequence[Field], given: Given, *, about: str, before: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        return gather(self._shell, fields, given, before=before, starter=lambda field: stems(self._shell, about, field))

    def _give_back(self, fields: Sequence[Field], values: Mapping[str, Any]) -> None:
        """Show what was typed and could not be written: it is nowhere else."""
        said = [(field, str(values.get(field.name) or "")) for field in fields]
        if any(text for _field, text in said):
            self._shell.say(_("This is what you wrote, so that it isn't lost:"))
        for field, text in said:
            if text:
                self._shell.say(f"  {_(field.label)}: {clean(text)}")

    def _told(self, written: Any, step: str, words: str = "", *, entry: dict[str, Any] | None = None) -> bool:
        """Tell what was written.

        Args:
            written: what the replica said: `Written`, or `Held` for a while.
            step: what was done.
            words: what else to say; by default what goes with the step.
            entry: the conversation before the step; None: it began with it.

        Returns:
            Whether it counts already.
        """
        held = hasattr(written, "due")  # what is held has changed nothing yet, and has no entry of its own
        now = (entry or {}) if held else self.replica.show(written.id)
        # What the step has come to goes before what it usually comes to.
        outcome = now["state"] if step == "settle" and now.get("state") == "settled" else step
        words = "" if held else words or _(AFTER.get(outcome, ""))
        extra = {"step": step, "state": now.get("state", ""), "next": now.get("next", [])}
        tell_written(self._shell, "repair", self.replica, self._config, written, words=words, extra=extra)
        return not held


def _present(entry: dict[str, Any], step: str) -> dict[str, Any]:
    """What the step would change, to start an editor from."""
    if step == "agree":
        return {AGREEMENT_FIELD.name: entry["fields"].get(AGREEMENT_FIELD.name, "")}
    told = {"tell": "tells", "hear": "hearings"}.get(step, "")
    mine = (item for item in entry["fields"].get(told, ()) if item["by"]["me"])
    return {name: value for name, value in next(mine, {}).items() if name != "by"}


def _only(values: Mapping[str, Any], fields: Sequence[Field]) -> Mapping[str, Any]:
    """Refuse what the step doesn't take, instead of losing it."""
    known = {field.name for field in fields}
    for name in values:
        if name not in known:
            takes = ", ".join(flag(field.name) for field in fields) or "nothing"
            raise InputError(
                "There is no field {field!r} in this step.", hint="It takes {takes}.", field=name[:40], takes=takes
            )
    return values
