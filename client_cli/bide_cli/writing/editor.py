"""Writing an entry in the person's own editor, on a file that only they can read and that goes away afterwards."""

from __future__ import annotations

import fcntl
import os
import secrets
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from bide.entries.fields import Field, FieldKind
from bide.errors import InputError, Phrase
from bide_cli.home.leftovers import FOLDER_PREFIX
from bide_cli.language import N_, _
from bide_cli.terminal.shell import Shell
from bide_cli.terminal.stdin import STDIN_BYTES_MAX, decode
from bide_cli.writing.giving import question

_HEAD = "## "
_NOTE = N_("Write below the questions. Empty ones are left out; lines such as this one are, too.")
EDITOR_DEFAULT = "vi"


def edit_fields(
    shell: Shell,
    fields: Sequence[Field],
    before: Mapping[str, Any],
    *,
    name: str = "",
) -> dict[str, Any]:
    """Let the person write the fields in $VISUAL or $EDITOR.

    Returns:
        Every field's text, empty where nothing was said; for a new entry empty ones count as not given.

    Raises:
        InputError: the editor failed, or its file can't be used.
    """
    fields = [field for field in fields if field.asked]
    sheet = _note() + "\n"
    for field in fields:
        value = before.get(field.name, "")
        between = ", " if field.kind is FieldKind.FEELINGS else "\n"
        text = between.join(map(str, value)) if isinstance(value, list) else str(value)
        choices = f" ({', '.join(field.choices)})" if field.choices else ""
        sheet += f"\n{_HEAD}{question(field, name)}{choices} [{field.name}]\n{text}\n"
    return _read_sheet(_edit(shell, sheet), fields)


def _note() -> str:
    return f"<!-- {_(_NOTE)} -->"


def _edit(shell: Shell, text: str) -> str:
    folder = shell.home / f"{FOLDER_PREFIX}{secrets.token_hex(8)}"
    path = folder / "entry.md"
    held = -1
    before = {number: signal.signal(number, _end) for number in (signal.SIGHUP, signal.SIGTERM)}
    try:
        # A folder of its own: whatever an editor puts beside the file (backups, swap files) goes away with it.
        folder.mkdir(mode=0o700)
        # Held as long as this process lives, however it ends: so the next one can tell what nobody needs any more.
        held = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(held, fcntl.LOCK_EX)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        _run_editor(path)
        with path.open("rb") as file:
            return decode(file.read(STDIN_BYTES_MAX + 1), Phrase("the editor"))
    except OSError:
        raise InputError("The text could not be handed to the editor.", hint="Nothing was written.") from None
    finally:
        _remove(folder)
        if held >= 0:
            os.close(held)
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:
    """The terminal was closed: go, but by way of what removes the text."""
    del frame
    raise SystemExit(128 + number)


def _run_editor(path: Path) -> None:
    command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or EDITOR_DEFAULT
    try:
        words = shlex.split(command)
        code = subprocess.run([*words, str(path)], check=False).returncode
    except (OSError, ValueError):
        raise InputError("The editor could not be started.", hint="Set EDITOR to the one you like.") from None
    if code != 0:
        raise InputError("The editor ended with an error.", hint="Nothing was written.")


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _read_sheet(text: str, fields: Sequence[Field]) -> dict[str, Any]:
    values: dict[str, list[str]] = {field.name: [] for field in fields}
    name, note = "", _note()
    for line in text.splitlines():
        if line.startswith(_HEAD) and line.rstrip().endswith("]"):
            candidate = line.rstrip()[:-1].rpartition("[")[2]
            if candidate in values:
                name = candidate
                continue
        if line.strip() == note:
            continue
        if name:
            values[name].append(line)
        elif line.strip():
            raise InputError("There is text above the first question.", hint="Write below the questions; nothing was written.")
    return {field: "\n".join(lines).strip() for field, lines in values.items()}
