"""The short way for well-formed reading commands: the same work, without click, which would take as long as all the rest.

It understands what is in `COMMANDS` and gives up on anything else (an abbreviation, a mistake, ``--help``), so that
click stays the one place that explains. A test holds the table and click's options together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bide_cli.shell import Shell

SHARED_FLAGS = ("--json", "--plain", "--no-input", "--accessible")


class Reading(NamedTuple):
    """What a reading command takes, beside what every command takes."""

    texts: tuple[str, ...] = ()
    """Options with one text."""
    numbers: tuple[str, ...] = ()
    """Options with one number."""
    lists: tuple[str, ...] = ()
    """Options that can be given several times."""
    words_max: int = 0
    """How many arguments; each at least one if any is allowed."""


COMMANDS = {
    "timeline": Reading(("--since", "--until", "--by", "--search", "--with"), ("--limit",), ("--kind",)),
    "show": Reading(words_max=1),
    "search": Reading(("--since", "--until", "--by"), ("--limit",), words_max=32),
}


def run(args: list[str]) -> int | None:
    """Run `args` if they are plain enough.

    Returns:
        The exit code, or None: nothing was done, click has to look at it.
    """
    parsed = parse(args)
    if parsed is None:
        return None
    command, home, flags, values = parsed
    from bide_cli import reading
    from bide_cli.home import find_home
    from bide_cli.shell import Shell

    shell = Shell(
        find_home(home),
        as_json="--json" in flags,
        plain="--plain" in flags,
        accessible="--accessible" in flags,
        no_input="--no-input" in flags,
    )
    _dispatch(reading, command, shell, values)
    return 0


def _dispatch(reading: Any, command: str, shell: Shell, values: dict[str, Any]) -> None:
    getattr(reading, command)(shell, **values)


def parse(args: list[str]) -> tuple[str, str, frozenset[str], dict[str, Any]] | None:
    """Command, ``--home`` (empty if not given), shared flags and the values of the command; None if unsure."""
    home = ""
    rest = list(args)
    if rest[:1] == ["--home"] and len(rest) > 1:
        home, rest = rest[1], rest[2:]
        if not home:
            return None
    spec = COMMANDS.get(rest[0]) if rest else None
    if spec is None:
        return None
    flags: set[str] = set()
    values: dict[str, Any] = {}
    words: list[str] = []
    items = iter(rest[1:])
    for item in items:
        if item in SHARED_FLAGS:
            flags.add(item)
            continue
        if not item.startswith("-"):
            words.append(item)
            continue
        name, equals, value = item.partition("=")
        if not equals:
            value = next(items, "-")
        # A value that begins with a dash may be a mistake: click decides.
        if value.startswith("-") or not _take(spec, name, value, values):
            return None
    if len(words) > spec.words_max or (spec.words_max and not words):
        return None
    if spec.words_max:
        values["words"] = tuple(words)
    return rest[0], home, frozenset(flags), values


def _take(spec: Reading, name: str, value: str, values: dict[str, Any]) -> bool:
    key = name[2:].replace("-", "_")
    if name in spec.texts and key not in values:
        values["with_" if key == "with" else key] = value
        return True
    if name in spec.numbers and key not in values and value.isascii() and value.isdecimal() and len(value) < 10:
        values[key] = int(value)
        return True
    if name in spec.lists:
        values[key] = (*values.get(key, ()), value)
        return True
    return False
