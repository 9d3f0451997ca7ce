"""``bide decks``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bide.errors import InputError
from bide_cli.home.folder import read_config
from bide_cli.language import _, language, plural, sentence
from bide_cli.options import shell_options
from bide_cli.prompting.choosing import decks_folder, find_deck, own_decks, tell_broken
from bide_cli.terminal.layout import text_columns, wrap
from bide_cli.terminal.shell import Shell, clean_line

if TYPE_CHECKING:
    from bide.words import Deck

_GAP = "   "


@click.group(
    invoke_without_command=True,
    epilog="\b\nExamples:\n  bide decks\n  bide decks show questions-1\n  bide decks check ~/journal/decks/our-summer.toml",
)
@shell_options
def command(shell: Shell) -> None:
    """See the decks of questions and prompts.

    Those that Bide brings, and your own: files in the folder decks of your home, or in the one that the config names. They
    are looked at every time, and never sent to anybody.
    """
    context = click.get_current_context()
    context.obj = {**(context.obj or {}), "home": str(shell.home)}
    if context.invoked_subcommand is None:
        _list(shell)


@command.command("list", epilog="\b\nExample:\n  bide decks list --json")
@shell_options
def list_decks(shell: Shell) -> None:
    """List all decks."""
    _list(shell)


def _list(shell: Shell) -> None:
    from bide.words import deck, deck_names

    config = read_config(shell.home)
    own, errors = own_decks(shell, config)
    decks = [*(deck(name, language()) for name in deck_names()), *own]
    if shell.as_json:
        folder = str(decks_folder(shell.home, config))
        shell.emit("decks", folder=folder, decks=[_told(each) for each in decks], broken=_broken(errors))
        return
    columns = max(text_columns(clean_line(each.name)) for each in decks)
    for each in decks:
        shell.out(_line(each, columns))
    if not own:
        shell.say(_("Your own go here, one file each: {folder}").format(folder=clean_line(decks_folder(shell.home, config))))
    tell_broken(shell, errors)


def _line(each: Deck, columns: int) -> str:
    name = clean_line(each.name)
    words = [clean_line(each.title), plural("{n} item", "{n} items", len(each)), each.kind]
    if each.own:
        words.append(_("your own"))
    return name + " " * (columns - text_columns(name)) + _GAP + " · ".join(words)


def _told(each: Deck) -> dict[str, Any]:
    return {"name": each.name, "title": each.title, "kind": each.kind, "items": len(each), "own": each.own}


def _broken(errors: list[InputError]) -> list[dict[str, str]]:
    return [{"message": message, "hint": hint} for message, hint in map(sentence, errors)]


@command.command("show", epilog="\b\nExamples:\n  bide decks show questions-1\n  bide decks show our-summer --json")
@click.argument("name")
@shell_options
def show(shell: Shell, name: str) -> None:
    """Read a deck whole."""
    found = find_deck(shell, name)
    if shell.as_json:
        parts = [{"id": part.id, "heading": part.heading} for part in found.parts]
        told = _told(found) | {"about": found.about, "depth": found.depth, "parts": parts}
        told["items"] = [{"id": item.id, "text": item.text, "note": item.note, "part": item.part} for item in found]
        shell.emit("decks", deck=told)
        return
    lines = [shell.style(clean_line(found.title), "1")]
    if found.about:
        lines += wrap(clean_line(found.about), shell.width)
    for part_id in ("", *(part.id for part in found.parts)):
        items = found.in_part(part_id)
        if items:
            lines += ["", *([shell.style(clean_line(found.heading(part_id)), "1")] if part_id else [])]
        for item in items:
            lines += _item_lines(shell, found.items.index(item) + 1, f"{item.text} ({item.note})" if item.note else item.text)
    shell.page("\n".join(lines) + "\n")


def _item_lines(shell: Shell, number: int, text: str) -> list[str]:
    mark = f"{number:>3}  "
    lines = wrap(clean_line(text), max(0, shell.width - len(mark)))
    return [(mark if place == 0 else " " * len(mark)) + line for place, line in enumerate(lines)]


@command.command("check", epilog="\b\nExamples:\n  bide decks check\n  bide decks check our-summer.toml")
@click.argument("path", required=False, type=click.Path(path_type=Path), metavar="[FILE|FOLDER]")
@shell_options
def check(shell: Shell, path: Path | None) -> None:
    """Look for mistakes in a deck file, or in all of a folder.

    Without one: in the folder of your own decks. A mistake is told with its line, and the exit code is 2.
    """
    from bide.words import load_deck_file, load_deck_folder

    # An own folder that nobody made yet is fine; a path that was typed has to be there.
    asked, path = path is not None, path or decks_folder(shell.home, read_config(shell.home))
    decks: list[Deck] = []
    errors: list[InputError] = []
    if path.is_dir() or not (asked or path.exists()):
        decks, errors = load_deck_folder(path)
    else:
        try:
            decks = [load_deck_file(path)]
        except InputError as error:
            errors = [error]
    if shell.as_json:
        shell.emit("decks", checked=[_told(each) for each in decks], broken=_broken(errors))
    if errors:
        # All but the last are told here; it ends the command as every error does.
        for each_error in errors[:-1]:
            message, hint = sentence(each_error)
            shell.say(f"{message}\n{hint}".rstrip())
        raise errors[-1]
    if decks:
        for each in decks:
            words = _("{name}: fine, {items}").format(
                name=clean_line(each.name), items=plural("{n} item", "{n} items", len(each))
            )
            shell.out(words)
    else:
        shell.say(_("There is no deck in {folder}").format(folder=clean_line(path)))
