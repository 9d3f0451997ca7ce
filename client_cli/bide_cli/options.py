"""Options that commands share, declared once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

import click

from bide.entries.fields import Field, FieldKind
from bide_cli.helping import SEVERAL
from bide_cli.home.folder import find_home
from bide_cli.language import _
from bide_cli.terminal.shell import Shell
from bide_cli.writing.entering import given_by
from bide_cli.writing.giving import flag

Command = Callable[..., Any]
_NOW = "bide_cli.now"


def shell_options(command: Command) -> Command:
    """What every command takes; hands it a `Shell` as its first argument."""

    @functools.wraps(command)
    @click.pass_context
    def wrapper(
        context: click.Context,
        /,
        *args: Any,
        home: str | None,
        as_json: bool,
        plain: bool,
        accessible: bool,
        no_input: bool,
        **kwargs: Any,
    ) -> Any:
        asked: dict[str, Any] = context.find_root().obj or {}
        shell = Shell(
            find_home(home or asked.get("home") or ""),
            as_json=as_json,
            plain=plain,
            accessible=accessible,
            no_input=no_input,
            now=bool(context.meta.get(_NOW)),
        )
        return command(shell, *args, **kwargs)

    options = (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout."),
        click.option("--plain", is_flag=True, help="No colours, no pager, no wrapping."),
        click.option("--accessible", is_flag=True, help="For screen readers: plain lines, numbered choices."),
        click.option("--no-input", is_flag=True, help="Never ask anything."),
        click.option("--home", metavar="DIR", hidden=True),
    )
    wrapped: Command = wrapper
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


def field_options(fields: Sequence[Field]) -> Callable[[Command], Command]:
    """An option for each field, and ``--from-json`` and ``--edit``; hands the command a `Given` as ``given``.

    The texts are not click's to check: `bide.entries` does that for every way in.
    """
    asked = [field for field in fields if field.asked]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def wrapper(*args: Any, from_json: str | None, edit_text: bool, **kwargs: Any) -> Any:
            values = {field.name: kwargs.pop(f"field_{field.name}") for field in asked}
            return command(*args, given=given_by(tuple(asked), values, from_json=from_json or "", edit=edit_text), **kwargs)

        wrapped: Command = wrapper
        wrapped = click.option("--edit", "edit_text", is_flag=True, help="Write it in $EDITOR.")(wrapped)
        wrapped = click.option(
            "--from-json", metavar="FILE", help="All fields as one JSON object from a file, or from stdin with -."
        )(wrapped)
        for field in reversed(asked):
            several = field.kind in (FieldKind.LINES, FieldKind.FEELINGS)
            wrapped = click.option(
                flag(field.name),
                f"field_{field.name}",
                metavar="|".join(field.choices) or "TEXT",
                multiple=several,
                help=f"{field.prompt} {SEVERAL}" if several else field.prompt,
            )(wrapped)
        return wrapped

    return decorate


def _note_now(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    context.meta[_NOW] = value


private_option = click.option("--private", is_flag=True, help="Only for you: nothing but your own devices can open it.")
with_option = click.option("--with", "with_", metavar="NAME", default="", help="With whom, if you share with several people.")
now_option = click.option(
    "--now", is_flag=True, expose_value=False, callback=_note_now, help="Let it go at once, even what is held back by default."
)


class OneOf(click.Choice[str]):
    """click's choice, which also says what was perhaps meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word that was meant, as it is written here."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            near = get_close_matches(str(value)[:40].lower(), list(self.choices), n=1)
            if not near:
                raise
            meant = _("Did you mean {words}?").format(words=near[0])
            raise click.BadParameter(f"{error.message} {meant}", ctx=ctx, param=param) from None
