"""What a person or a script gives for an entry: by flags, stdin, JSON, an editor, or question by question.

However it comes, it is text that somebody else's program may have produced: it is limited and checked here and in
`bide.entries` before anything is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bide.entries.fields import Field, FieldKind, clean_field
from bide.errors import InputError, Phrase
from bide_cli.language import N_, _
from bide_cli.terminal.asking import ask, ask_until_good, say_again
from bide_cli.terminal.shell import Shell, clean_line
from bide_cli.terminal.stdin import STDIN, STDIN_BYTES_MAX, decode, read_stdin


class Given:
    """The values of one call's field options, before anything is asked."""

    def __init__(self, values: Mapping[str, Any], *, from_json: str = "", edit: bool = False) -> None:
        """Read stdin and JSON where the options say so.

        Args:
            values: option values by field name; None or an empty tuple: not given.
            from_json: ``-`` or a file; empty: not given.
            edit: the editor was asked for.

        Raises:
            InputError: stdin is asked for twice, or what it holds can't be used.
        """
        present = {name: _joined(value) for name, value in values.items() if value is not None and value != ()}
        on_stdin = [name for name, value in present.items() if value == STDIN]
        if len(on_stdin) + (from_json == STDIN) > 1:
            raise InputError("Only one thing can come from stdin.", hint="--from-json - takes all fields at once.")
        if from_json and present:
            raise InputError("Give the fields either by --from-json or by their own options, not by both.")
        for name in on_stdin:
            present[name] = read_stdin()
        self.values: dict[str, Any] = read_json_object(from_json) if from_json else present
        self.edit = edit
        self.by_options = bool(present or from_json)


def _joined(value: Any) -> Any:
    """Options that can be given several times, as the one text that the fields take."""
    if isinstance(value, tuple):
        return value[0] if len(value) == 1 else "\n".join(value)
    return value


def read_json_object(source: str) -> dict[str, Any]:
    """The one JSON object in a file, or on stdin for ``-``.

    Raises:
        InputError: it can't be read, or is anything else than one object.
    """
    import json

    if source == STDIN:
        text = read_stdin()
    else:
        try:
            with Path(source).open("rb") as file:
                text = decode(file.read(STDIN_BYTES_MAX + 1), Phrase("the file"))
        except (OSError, ValueError):
            raise InputError("The file for --from-json can't be read.") from None
    try:
        value = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        # The text of the error may quote what somebody wrote.
        wanted = "One object with the entry's fields is wanted."
        if isinstance(error, json.JSONDecodeError):
            raise InputError("That is not valid JSON (line {line}).", hint=wanted, line=error.lineno) from None
        raise InputError("That is not valid JSON.", hint=wanted) from None
    if not isinstance(value, dict):
        raise InputError("One JSON object with the entry's fields is wanted.")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise InputError("A field is in the JSON twice.")
    return value


def gather(
    shell: Shell,
    fields: Sequence[Field],
    given: Given,
    *,
    before: Mapping[str, Any] | None = None,
    name: str = "",
    starter: Callable[[Field], str] | None = None,
    asking: bool = False,
) -> dict[str, Any]:
    """The values for `fields`, asking for them only if nothing was given and somebody is there.

    Args:
        shell: where to ask.
        fields: what can be said, in the order of asking.
        given: what the options gave.
        before: present values, for an edit.
        name: of the other person, for the questions that have a place for it.
        starter: for whoever looks for words: a line to stand above a field's question; may be empty.
        asking: those lines are questions themselves, and are asked instead.

    Raises:
        InputError: nothing was given and nobody can be asked.
    """
    if given.edit:
        from bide_cli.writing.editor import edit_fields

        written = edit_fields(shell, fields, {**(before or {}), **given.values}, name=name)
        if not before and not any(written.values()) and any(field.required for field in fields):
            raise InputError("Nothing was written.")
        return written
    if given.by_options:
        return given.values
    if not shell.may_ask:
        flags = " ".join(flag(field.name) for field in fields if field.asked)
        raise InputError("Nothing was said, so nothing was written.", hint="Say it with {flags} or --from-json -", flags=flags)
    return _ask_fields(shell, fields, name, starter, asking=asking)


FAINT = "2"
FELT = ("felt",)
"""Texts about a feeling: a question mark brings words for it."""
CHOICES = {
    ("wants", "listening"): N_("just listening"),
    ("wants", "advice"): N_("advice"),
    ("wants", "nothing"): N_("nothing"),
    ("depth", "1"): N_("on the surface"),
    ("depth", "2"): N_("a little deeper"),
    ("depth", "3"): N_("close to the core"),
    ("idea", "mine"): N_("mine"),
    ("idea", "theirs"): N_("theirs"),
    ("idea", "both"): N_("both of us"),
    ("reveal", "at_once"): N_("at once"),
    ("reveal", "both"): N_("when both have answered"),
}
"""By field and what is stored: what a person reads and can type."""


def question(field: Field, name: str) -> str:
    """What a person is asked for a field; `name` is the other person's, empty where there is none."""
    if name and field.prompt_named:
        return _(field.prompt_named).format(name=clean_line(name))
    return _(field.prompt)


def flag(name: str) -> str:
    """The option of a field, e.g. ``--went-well``."""
    return "--" + name.replace("_", "-")


def _ask_fields(
    shell: Shell, fields: Sequence[Field], name: str, starter: Callable[[Field], str] | None, *, asking: bool
) -> dict[str, Any]:
    if sum(field.asked for field in fields) > 1 and any(not field.required for field in fields):
        shell.say(_("Answer what you like; Enter goes past a question."))
    values: dict[str, Any] = {}
    for field in fields:
        if not field.asked:
            continue
        prompt = question(field, name)
        line = starter(field) if starter is not None else ""
        if line and asking:
            prompt = f"{_(field.label)} · {line}"
            if field.kind is not FieldKind.FEELINGS:
                # On a line of its own: such a question can be as long as the line, and the answer needs room too.
                shell.say(prompt)
                prompt = ">"
        elif line:
            shell.say(shell.style(f"  {line}", FAINT))
        answer = _ask_field(shell, field, prompt)
        if answer:
            values[field.name] = answer
    return values


def _ask_field(shell: Shell, field: Field, prompt: str) -> str:
    if field.kind is FieldKind.LINES:
        return _ask_lines(shell, field, prompt)
    if field.kind is FieldKind.FEELINGS:
        return _ask_feelings(shell, field, prompt)
    if field.kind is FieldKind.CHOICE:
        return _ask_choice(shell, field, prompt)
    about_feelings = field.name in FELT

    def check(answer: str) -> str:
        cleaned = _clean(field, answer)
        if field.required and not cleaned:
            raise InputError("This one is needed; Ctrl-C leaves without writing anything.")
        return answer if cleaned else ""

    if not about_feelings:
        return ask_until_good(shell, prompt, check)
    answer = ask_until_good(shell, f"{prompt} {_('(? for words)')}", lambda text: text if text.strip() == "?" else check(text))
    if answer.strip() != "?":
        return answer
    from bide_cli.prompting.wheel import with_words

    return check(with_words(shell, lambda: ask(shell, _("And in your own words, if you like:")), prompt))


def _ask_feelings(shell: Shell, field: Field, prompt: str) -> str:
    from bide_cli.prompting.wheel import ask_feelings  # reads the vocabulary

    while not (answer := ask_feelings(shell, prompt)) and field.required:
        shell.say("  " + _("This one is needed; Ctrl-C leaves without writing anything."))
    return answer


def _ask_choice(shell: Shell, field: Field, prompt: str) -> str:
    words = {choice: _(CHOICES.get((field.name, choice), choice)) for choice in field.choices}
    listed = [f"{number} {words[choice]}" for number, choice in enumerate(field.choices, 1)]
    shell.say(prompt)
    shell.say("\n".join(f"  {each}" for each in listed) if shell.accessible else "  " + "   ".join(listed))

    def check(answer: str) -> str:
        typed = answer.strip().casefold()
        if not typed:
            return ""
        if typed.isascii() and typed.isdecimal() and 1 <= int(typed[:6]) <= len(words):
            return field.choices[int(typed) - 1]
        for choice, word in words.items():
            if typed in (choice, word.casefold()):
                return choice
        raise InputError("Type a number from 1 to {most}, or Enter to go past it.", most=len(words))

    return ask_until_good(shell, f"  {_('A number, or Enter to go past it:')}", check)


def _clean(field: Field, value: Any) -> str:
    """`clean_field`, for who was asked a question and never saw the field's name."""
    try:
        return clean_field(field, value)
    except InputError as error:
        values = {**error.values, "field": Phrase(field.label)} if "field" in error.values else error.values
        raise InputError(error.template, hint=error.hint_template, **values) from None


def _ask_lines(shell: Shell, field: Field, prompt: str) -> str:
    lines: list[str] = []
    while True:
        answer = ask(shell, prompt if not lines else "  " + _("and?")).strip()
        if not answer:
            return "\n".join(lines)
        try:
            _clean(field, [*lines, answer])
        except InputError as error:
            say_again(shell, error)
            continue
        lines.append(answer)
