"""Decks to choose from: those that Bide brings, and the person's own, which are files in a folder of theirs.

A deck of one's own that can't be used is told of in one line, and nothing else suffers from it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bide.errors import InputError, NotFound
from bide_cli.home import folder as homes
from bide_cli.language import _, language, sentence
from bide_cli.terminal.shell import Shell, clean_line

if TYPE_CHECKING:
    from bide.words import Deck
    from bide_cli.home.folder import Config

FOLDER = "decks"


def decks_folder(home: Path, config: Config) -> Path:
    """Where the person's own decks are: ``decks`` in the home, or where the config says, seen from the home."""
    return home / os.path.expanduser(config.decks or FOLDER)  # noqa: PTH111 pathlib's own fails for an unknown person


def own_decks(shell: Shell, config: Config) -> tuple[list[Deck], list[InputError]]:
    """The person's own decks, and what is wrong with the others."""
    from bide.words import load_deck_folder

    folder = decks_folder(shell.home, config)
    decks, errors = load_deck_folder(folder)
    if config.decks and not os.path.lexists(folder):
        errors.append(InputError("The folder for decks that the config names is not there: {folder}", folder=folder))
    return decks, errors


def find_deck(shell: Shell, name: str) -> Deck:
    """The deck of that name: one of the person's own or one that Bide brings.

    Raises:
        NotFound: there is none.
        InputError: it is one of the person's own, and something in it is not right.
    """
    from bide.words import deck, deck_names

    wanted = name.strip().casefold()
    if wanted in deck_names():
        return deck(wanted, language())
    own, errors = own_decks(shell, homes.read_config(shell.home))
    if found := next((each for each in own if each.name.casefold() == wanted), None):
        return found
    # The message begins with the file, which is what the deck is called after.
    if error := next((error for error in errors if error.message.casefold().startswith(f"{wanted}.toml")), None):
        raise error
    raise _unknown(name, [*(each.name for each in own), *deck_names()])


def tell_broken(shell: Shell, errors: list[InputError]) -> None:
    """Say in a line each which decks can't be used."""
    for error in errors:
        message, _hint = sentence(error)
        shell.say(_("Left out: {why}").format(why=clean_line(message)))


def _unknown(name: str, names: list[str]) -> NotFound:
    from difflib import get_close_matches

    near = get_close_matches(name[:80], names, n=3, cutoff=0.5)
    if near:
        return NotFound(
            "There is no deck called {name!r}.", hint="Did you mean: {near}", name=clean_line(name)[:40], near=", ".join(near)
        )
    return NotFound("There is no deck called {name!r}.", hint="bide decks lists them.", name=clean_line(name)[:40])
