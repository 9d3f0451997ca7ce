"""The home: the one directory that holds everything of one device.

::

    bide.db          the encrypted database; a home exists exactly when this does
    config.toml      how to unlock it, and a few choices; no secrets
    key.wrapped      the database key under a passphrase, if that is how it is locked; key-NAME.wrapped after a change
    *.lock           locks of `bide init`, `bide sync`, its background runs and what waits for something held
    watch.sock       where `bide sync --watch` hears of new entries
    damaged-DATE     what `bide doctor --repair` kept of a damaged database; stays until somebody deletes it
    mending          where it builds the new one; gone when it is done
    agent.sock       where the key is to be had after `bide unlock`, for a bounded time
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from bide.errors import InputError, StorageError

DATABASE = "bide.db"
CONFIG = "config.toml"
WRAPPED_KEY = "key.wrapped"
CONFIG_BYTES_MAX = 64 * 1024
DAY_STARTS_DEFAULT = "04:00"
HOLD = "hold"
HOLD_DEFAULTS = {"repair": 30}
"""Minutes; every other kind goes at once."""
HOLD_MINUTES_MAX = 7 * 24 * 60

KEY_FILE = "key-file"
PASSPHRASE = "passphrase"  # noqa: S105 the name of a method
KEYRING = "keyring"
BOTH = "both"
"""A half in the keyring and a passphrase; neither opens anything without the other."""
UNLOCK_METHODS = (KEY_FILE, PASSPHRASE, KEYRING, BOTH)
BY_PASSPHRASE = (PASSPHRASE, BOTH)
"""Those that ask."""
BY_KEYRING = (KEYRING, BOTH)


class Config(NamedTuple):
    """What ``config.toml`` says."""

    unlock: str = ""
    """One of `UNLOCK_METHODS`."""
    key_file: str = ""
    """Where the key file is, for that method."""
    keyring_name: str = ""
    """Under which name the key, or its half, is in the keyring of the system, for those methods."""
    wrapped: str = ""
    """Which file of the home holds the key under the passphrase, if it isn't `WRAPPED_KEY`."""
    turning: str = ""
    """``to NAME`` while the key of the database is being changed, ``from NAME`` until what was before it is cleared away."""
    auto_sync: bool = True
    day_starts: str = DAY_STARTS_DEFAULT
    decks: str = ""
    """The folder of the person's own decks, if it isn't ``decks`` in the home; see `bide_cli.prompting.choosing`."""
    language: str = ""
    """In which language Bide speaks; empty: in that of the system."""
    with_: str = ""
    """Whom to write to where nobody is named and there are several; ``with`` in the file."""
    hold: Mapping[str, int] = MappingProxyType({})
    """By kind, for how many minutes an entry waits on this device before it goes: ``hold.KIND`` in the file."""

    def hold_min(self, kind: str) -> int:
        """For how many minutes an entry of that kind waits on this device."""
        return self.hold.get(kind, HOLD_DEFAULTS.get(kind, 0))

    @property
    def day_starts_min(self) -> int:
        """When a day begins, in minutes after midnight."""
        hours, _, minutes = self.day_starts.partition(":")
        if not (hours.isdecimal() and minutes.isdecimal() and int(hours) < 24 and int(minutes) < 60):
            raise InputError("'day_starts' in the config has to look like \"04:00\".")
        return int(hours) * 60 + int(minutes)


def find_home(given: str = "") -> Path:
    """The home to use: ``--home``, else BIDE_HOME, else where this system keeps such things."""
    path = given or os.environ.get("BIDE_HOME", "")
    if path:
        # Absolute, because what runs in the background starts elsewhere.
        return Path(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111 no links are resolved
    from platformdirs import user_data_path

    return user_data_path("bide", appauthor=False)


def exists(home: Path) -> bool:
    """Whether there is a journal in `home`."""
    return (home / DATABASE).exists()


def read_config(home: Path) -> Config:
    """What the config of `home` says; a missing file says nothing.

    Raises:
        InputError: it can't be understood.
    """
    try:
        with (home / CONFIG).open("rb") as file:
            data = file.read(CONFIG_BYTES_MAX + 1)
        text = data.decode("utf-8")
    except FileNotFoundError:
        return Config()
    except OSError as error:
        raise StorageError("The config of this home can't be read.", hint="{path}", path=home / CONFIG) from error
    except UnicodeDecodeError as error:
        raise _broken(home) from error
    if len(data) > CONFIG_BYTES_MAX:
        raise _broken(home)
    values = _read_simple(text)
    if values is None:
        values = _read_toml(text, home)
    return _checked(values, home)


def _read_simple(text: str) -> dict[str, object] | None:
    """The plain lines that Bide itself writes; None if there is anything else. Importing tomllib costs 10 ms."""
    values: dict[str, object] = {}
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, _, value = (part.strip() for part in line.partition("="))
        if key.startswith(f"{HOLD}."):
            if not _read_hold(key.removeprefix(f"{HOLD}."), value, values):
                return None
            continue
        if not key.isidentifier() or not key.isascii() or key in values:
            return None
        if value in ("true", "false"):
            values[key] = value == "true"
        elif len(value) >= 2 and value[0] == value[-1] == '"' and not {'"', "\\"} & set(value[1:-1]) and value.isprintable():
            values[key] = value[1:-1]
        else:
            return None
    return values


def _read_hold(kind: str, value: str, values: dict[str, object]) -> bool:
    """Put one ``hold.KIND = MINUTES`` where TOML would put it; False: it is not as plain as that."""
    held = values.setdefault(HOLD, {})
    plain = value.isascii() and value.isdecimal() and (value == "0" or value[0] != "0")
    if not plain or not isinstance(held, dict) or kind in held or not (kind.isidentifier() and kind.isascii()):
        return False
    held[kind] = int(value[:9])
    return True


def _read_toml(text: str, home: Path) -> dict[str, object]:
    import tomllib

    try:
        return dict(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise _broken(home) from error


def _checked(values: dict[str, object], home: Path) -> Config:
    # What a newer Bide or the person put there besides is left alone.
    known = {name: values[name.rstrip("_")] for name in Config._fields if name.rstrip("_") in values}
    if HOLD in known:
        known[HOLD] = _checked_hold(known[HOLD], home)
    for name, value in known.items():
        if name != HOLD and type(value) is not type(Config._field_defaults[name]):
            raise _broken(home)
    config = Config(**known)  # type: ignore[arg-type]  # checked one by one above
    if config.unlock not in ("", *UNLOCK_METHODS):
        raise InputError("This home is locked in a way that this Bide doesn't know: {method!r}.", method=config.unlock[:40])
    return config


def _checked_hold(value: object, home: Path) -> Mapping[str, int]:
    if not isinstance(value, dict):
        raise _broken(home)
    for kind, minutes in value.items():
        if type(minutes) is not int or not 0 <= minutes <= HOLD_MINUTES_MAX:
            raise InputError(
                "'hold.{kind}' in the config is a number of minutes, from 0 to {most}.",
                hint="For example: bide config set hold.repair 30",
                kind=str(kind)[:40],
                most=HOLD_MINUTES_MAX,
            )
    return value


def _broken(home: Path) -> InputError:
    return InputError("The config of this home can't be understood.", hint="Look at {path}", path=home / CONFIG)


def format_config(config: Config) -> str:
    """`config` as the text of ``config.toml``."""
    lines = ["# Bide's config for this device. It holds no secrets."]
    for name, value in config._asdict().items():
        if value == "" or name == HOLD:
            continue
        lines.append(f"{name.rstrip('_')} = {_toml(value)}")
    lines += [f"{HOLD}.{kind} = {minutes}" for kind, minutes in config.hold.items()]
    return "\n".join(lines) + "\n"


def _toml(value: str | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    import json

    # A JSON string of printable text is a TOML basic string too.
    return json.dumps(value, ensure_ascii=False)
