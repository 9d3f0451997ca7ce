"""The choices in ``config.toml``: which there are, what each takes, and changing one without touching the rest of the file."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bide.entries.fields import LINE_CHARS_MAX, clean_text
from bide.entries.kinds import KINDS, PERSON
from bide.errors import InputError, NotAllowed, StorageError
from bide_cli.home import folder as homes
from bide_cli.home.files import sync_directory
from bide_cli.home.folder import HOLD, HOLD_DEFAULTS, HOLD_MINUTES_MAX
from bide_cli.home.locks import Lock
from bide_cli.language import N_

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

Value = str | bool | int
_WAIT_S = 10
_YES = ("true", "yes", "on", "1")
_NO = ("false", "no", "off", "0")
_SUGGESTIONS_MAX = 3


class Key(NamedTuple):
    """One choice."""

    name: str
    words: str
    """What it is for, marked for translators."""
    default: Value
    check: Callable[[str], Value] | None
    """From what was typed to what is kept; None: it is not for changing here."""


def _check_switch(text: str) -> bool:
    typed = text.strip().lower()
    if typed in (*_YES, *_NO):
        return typed in _YES
    raise InputError("That is neither true nor false.", hint="Say: true, or false")


def _check_time(text: str) -> str:
    hours, colon, minutes = text.strip().partition(":")
    digits = hours + minutes
    if not (colon and digits.isascii() and digits.isdecimal() and len(hours) in (1, 2) and len(minutes) == 2):
        raise InputError("That is no time of day.", hint="For example: 04:00")
    if int(hours) > 23 or int(minutes) > 59:
        raise InputError("That is no time of day.", hint="For example: 04:00")
    return f"{int(hours):02}:{minutes}"


def _check_language(text: str) -> str:
    from bide.words import languages
    from bide_cli.language import locale_folder

    typed = text.strip()
    catalogues = Path(locale_folder())
    known = {*languages(), *(path.name for path in catalogues.glob("*/") if (path / "LC_MESSAGES").is_dir())}
    for name in known:
        if name.lower().replace("_", "-") == typed.lower().replace("_", "-"):
            return name
    raise InputError(
        "There is no language {name!r} here.",
        hint="The languages are: {known}",
        name=typed[:40],
        known=", ".join(sorted(known)),
    )


def _check_name(text: str) -> str:
    name = clean_text(text, what="with", chars_max=LINE_CHARS_MAX, one_line=True)
    if not name:
        raise InputError("That is empty.", hint="To write to nobody unasked: bide config unset with")
    return name


def _check_folder(text: str) -> str:
    typed = clean_text(text, what="decks", chars_max=LINE_CHARS_MAX, one_line=True)
    try:
        path = Path(os.path.abspath(Path(typed).expanduser()))  # noqa: PTH100 no links are resolved
        there = bool(typed) and path.is_dir()
    except (OSError, RuntimeError, ValueError):
        there = False
    if not there:
        raise InputError("There is no such folder.", hint="Make it first; a deck is a TOML file in it.")
    return str(path)


def _check_minutes(text: str) -> int:
    typed = text.strip()
    if not (typed.isascii() and typed.isdecimal() and len(typed) < 6 and int(typed) <= HOLD_MINUTES_MAX):
        raise InputError(
            "A hold is a number of minutes, from 0 to {most}.", hint="0 lets it go at once.", most=HOLD_MINUTES_MAX
        )
    return int(typed)


KEYS: tuple[Key, ...] = (
    Key("auto_sync", N_("sync by itself after a write"), True, _check_switch),
    Key("day_starts", N_("before this hour an entry belongs to the evening before"), homes.DAY_STARTS_DEFAULT, _check_time),
    Key("language", N_("the language to speak; that of the system if unset"), "", _check_language),
    Key("with", N_("whom to write to where nobody is named"), "", _check_name),
    Key("decks", N_("the folder of your own decks; decks in the home if unset"), "", _check_folder),
    *(
        Key(
            f"{HOLD}.{kind.name}",
            N_("minutes that it waits here before it goes"),
            HOLD_DEFAULTS.get(kind.name, 0),
            _check_minutes,
        )
        for kind in KINDS.values()
        if kind is not PERSON
    ),
    Key("unlock", N_("how this home is unlocked; set by bide init"), "", None),
    Key("key_file", N_("where its key file is; set by bide init"), "", None),
    Key("keyring_name", N_("its name in the keyring; set by bide init"), "", None),
)
"""Every choice, in the order in which they are listed."""


def find_key(name: str) -> Key:
    """The key of that name.

    Raises:
        InputError: there is none.
    """
    typed = name.strip().lower().replace("-", "_")
    for key in KEYS:
        if key.name == typed:
            return key
    from difflib import get_close_matches

    names = [key.name for key in KEYS]
    near = get_close_matches(typed[:40], names, n=_SUGGESTIONS_MAX)
    if near:
        raise InputError(
            "There is no key {key!r} in the config.", hint="Did you mean {near}?", key=name[:40], near=", ".join(near)
        )
    raise InputError("There is no key {key!r} in the config.", hint="bide config lists them.", key=name[:40])


def read_values(home: Path) -> dict[str, Value]:
    """What is set in the file, by key.

    Raises:
        InputError: it can't be understood.
    """
    homes.read_config(home)  # tells what is wrong with it
    document = _parse(_text(home))
    found = {key.name: _value_in(document, key.name) for key in KEYS}
    return {name: value for name, value in found.items() if isinstance(value, str | bool | int) and value != ""}


def change(home: Path, key: Key, value: Value | None) -> None:
    """Set a key, or take it out for None. Comments, order, and what a newer Bide put there stay.

    Raises:
        InputError: the file can't be understood.
        NotAllowed: the key is not for changing here.
        StorageError: the file can't be written.
    """
    if key.check is None:
        raise NotAllowed(
            "{key} says how this home is unlocked, and can't be changed here.", hint="bide key change does that.", key=key.name
        )
    put_values(home, {key.name: value})


def put_values(home: Path, values: Mapping[str, Value | None]) -> None:
    """Set some keys, or take those out that are None, all at once. The rest of the file stays; it is on disk afterwards.

    Raises:
        InputError: the file can't be understood.
        StorageError: the file can't be written.
    """
    try:
        with Lock(home / "config.lock", wait_s=_WAIT_S):
            homes.read_config(home)
            document = _parse(_text(home))
            for name, value in values.items():
                _put(document, name, value)
            _replace(Path(os.path.realpath(home / homes.CONFIG)), document.as_string())
    except OSError as error:
        raise StorageError("The config of this home can't be written.", hint="{path}", path=home / homes.CONFIG) from error


def _text(home: Path) -> str:
    try:
        return (home / homes.CONFIG).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def _parse(text: str) -> TOMLDocument:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise InputError("The config of this home can't be understood.") from error


def _value_in(document: Mapping[str, Any], name: str) -> Any:
    table, _, last = name.rpartition(".")
    holder = document.get(table) if table else document
    value = holder.get(last) if isinstance(holder, Mapping) else None
    # tomlkit's own numbers and texts remember how they were written; what is shown is the value.
    return value.unwrap() if value is not None and hasattr(value, "unwrap") else value


def _put(document: TOMLDocument, name: str, value: Value | None) -> None:
    import tomlkit

    table, _, last = name.rpartition(".")
    if table and table not in document:
        if value is not None:
            # In one line of its own: the plain form, which is quick to read.
            document.append(tomlkit.key([table, last]), tomlkit.item(value))
        return
    holder: Any = document[table] if table else document
    if value is not None:
        holder[last] = value
    elif last in holder:
        del holder[last]


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all, for its owner alone."""
    data = text.encode()
    if len(data) > homes.CONFIG_BYTES_MAX:
        raise InputError("The config would become too long.", hint="Nothing was changed.")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        sync_directory(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
