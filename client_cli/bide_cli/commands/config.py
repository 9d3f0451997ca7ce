"""``bide config``."""

from __future__ import annotations

import click

from bide_cli.home.configuring import KEYS, Key, Value, change, find_key, read_values
from bide_cli.home.folder import HOLD
from bide_cli.language import _
from bide_cli.options import shell_options
from bide_cli.terminal.layout import wrap
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.opening import open_replica, require_home

_COLUMN_MAX = 24
"""A longer value, such as a path, moves what stands behind it on its own line only."""
_WORDS_COLUMNS_MIN = 24
"""With less room than this beside a value, what it is for goes beneath it."""


@click.group(
    invoke_without_command=True,
    epilog="\b\nExamples:\n  bide config\n  bide config get day_starts\n  bide config set auto_sync false\n"
    "  bide config set hold.repair 60\n  bide config unset language",
)
@shell_options
def command(shell: Shell) -> None:
    """See and change what this device does.

    Choices of this device alone, kept in config.toml in its home. Nothing in it is secret.
    """
    context = click.get_current_context()
    context.obj = {**(context.obj or {}), "home": str(shell.home)}
    if context.invoked_subcommand is None:
        _list(shell)


def _list(shell: Shell) -> None:
    require_home(shell)
    values = read_values(shell.home)
    shown = [key for key in KEYS if key.check is not None or key.name in values]
    if shell.as_json:
        shell.emit("config", keys=[_described(key, values) for key in shown])
        return
    waiting = [key for key in shown if key.name.startswith(f"{HOLD}.") and key.name not in values and not key.default]
    shown = [key for key in shown if key not in waiting]
    names = max(len(key.name) for key in shown)
    texts = {key.name: _value_text(values.get(key.name, key.default)) for key in shown}
    widest = max(len(text) for text in texts.values() if len(text) <= _COLUMN_MAX)
    for key in shown:
        # What nobody chose is faint, where colours are welcome.
        value = f"{texts[key.name]:<{widest}}"
        line = f"{key.name:<{names}}  {value if key.name in values else shell.style(value, '2')}"
        before = names + len(value) + 4
        beside = not shell.width or before + _WORDS_COLUMNS_MIN <= shell.width
        indent = before if beside else 2
        first, *others = wrap(_(key.words), shell.width - indent if shell.width else 0)
        lines = [f"{line}  {shell.style(first, '2')}"] if beside else [line, f"{' ' * indent}{shell.style(first, '2')}"]
        lines += [f"{' ' * indent}{shell.style(other, '2')}" for other in others]
        shell.out("\n".join(each.rstrip() for each in lines))
    if waiting:
        shell.say(_("The same for other kinds: {keys}").format(keys=", ".join(key.name for key in waiting)))


def _described(key: Key, values: dict[str, Value]) -> dict[str, Value]:
    return {
        "key": key.name,
        "value": values.get(key.name, key.default),
        "set": key.name in values,
        "fixed": key.check is None,
    }


def _value_text(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "-" if value == "" else str(value)


def _tell(shell: Shell, key: Key) -> None:
    values = read_values(shell.home)
    value = values.get(key.name, key.default)
    if shell.as_json:
        shell.emit("config", **_described(key, values))
    elif value != "":
        shell.out(_value_text(value))
    else:
        shell.say(_("{key} is not set.").format(key=key.name))


@command.command("list", epilog="\b\nExample:\n  bide config list --json")
@shell_options
def list_keys(shell: Shell) -> None:
    """Show every key, what it is set to, and what it is for."""
    _list(shell)


@command.command("get", epilog="\b\nExample:\n  bide config get day_starts")
@click.argument("key")
@shell_options
def get(shell: Shell, key: str) -> None:
    """Show one key."""
    require_home(shell)
    _tell(shell, find_key(key))


@command.command(
    "set",
    epilog="\b\nExamples:\n  bide config set day_starts 05:30\n  bide config set with Robin\n  bide config set language de",
)
@click.argument("key")
@click.argument("value")
@shell_options
def set_key(shell: Shell, key: str, value: str) -> None:
    """Set one key. What else stands in the file, comments too, stays as it is."""
    require_home(shell)
    known = find_key(key)
    if known.check is None:
        change(shell.home, known, None)  # tells why not
        return
    checked = known.check(value)
    if known.name == "with":
        # Whole, and of somebody who is there: a beginning that is clear today may not be tomorrow.
        checked = open_replica(shell).reader.person(value).name
    change(shell.home, known, checked)
    _told(shell, known)


@command.command("unset", epilog="\b\nExample:\n  bide config unset with")
@click.argument("key")
@shell_options
def unset(shell: Shell, key: str) -> None:
    """Go back to what one key is without you."""
    require_home(shell)
    known = find_key(key)
    change(shell.home, known, None)
    _told(shell, known)


def _told(shell: Shell, key: Key) -> None:
    if shell.as_json:
        _tell(shell, key)
        return
    value = read_values(shell.home).get(key.name, key.default)
    shell.out(f"{key.name} = {_value_text(value)}")
