"""The short way for well-formed commands that people run most: the same work, without click, which would take as long as it.

It understands what is in `READING` and `WRITING` and gives up on anything else (an abbreviation, a mistake, ``--help``), so
that click stays the one place that explains. A test holds the tables and click's options together.
"""

from __future__ import annotations

from typing import Any, NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from bide_cli.terminal.shell import Shell

SHARED_FLAGS = ("--json", "--plain", "--no-input", "--accessible")


class Options(NamedTuple):
    """What a command takes, beside what every command takes."""

    texts: tuple[str, ...] = ()
    """Options with one text."""
    numbers: tuple[str, ...] = ()
    """Options with one number."""
    lists: tuple[str, ...] = ()
    """Options that can be given several times."""
    flags: tuple[str, ...] = ()
    """Options without a value."""
    words_max: int = 0
    """How many arguments; each at least one if any is allowed."""


READING = {
    "timeline": Options(("--since", "--until", "--by", "--search", "--with"), ("--limit",), ("--kind",)),
    "show": Options(words_max=1),
    "search": Options(("--since", "--until", "--by"), ("--limit",), words_max=32),
}
WRITING = ("checkin", "thank", "share", "did")
"""Those of `bide_cli.writing.entering.ENTERING`; their options follow from the fields of the entry."""


class Parsed(NamedTuple):
    """A command line that was understood."""

    command: str
    home: str
    """Empty: not given."""
    flags: frozenset[str]
    values: dict[str, Any]


def run(args: list[str]) -> int | None:
    """Run `args` if they are plain enough.

    Returns:
        The exit code, or None: nothing was done, click has to look at it.
    """
    parsed = parse(args)
    if parsed is None:
        return None
    from bide_cli.home.folder import find_home
    from bide_cli.terminal.shell import Shell

    shell = Shell(
        find_home(parsed.home),
        as_json="--json" in parsed.flags,
        plain="--plain" in parsed.flags,
        accessible="--accessible" in parsed.flags,
        no_input="--no-input" in parsed.flags,
        now="--now" in parsed.flags,
    )
    if parsed.command in READING:
        from bide_cli.reading import showing

        getattr(showing, parsed.command)(shell, **parsed.values)
    else:
        _write(shell, parsed)
    return 0


def _write(shell: Shell, parsed: Parsed) -> None:
    from bide_cli.writing.entering import ENTERING, enter, given_by

    values = dict(parsed.values)
    with_, from_json = values.pop("with_", ""), values.pop("from_json", "")
    given = given_by(ENTERING[parsed.command].fields, values, from_json=from_json, edit="--edit" in parsed.flags)
    enter(shell, parsed.command, given, private="--private" in parsed.flags, with_=with_)


def options_of(command: str) -> Options | None:
    """What a command takes; None: it is none of those here."""
    if command not in WRITING:
        return READING.get(command)
    from bide.entries.fields import FieldKind
    from bide_cli.writing.entering import ENTERING
    from bide_cli.writing.giving import flag

    several = (FieldKind.LINES, FieldKind.FEELINGS)
    asked = [field for field in ENTERING[command].fields if field.asked]
    return Options(
        texts=("--with", "--from-json", *(flag(field.name) for field in asked if field.kind not in several)),
        lists=tuple(flag(field.name) for field in asked if field.kind in several),
        flags=("--private", "--now", "--edit"),
    )


def parse(args: list[str]) -> Parsed | None:
    """A command line with its values; None if unsure."""
    home = ""
    rest = list(args)
    if rest[:1] == ["--home"] and len(rest) > 1:
        home, rest = rest[1], rest[2:]
        if not home:
            return None
    options = options_of(rest[0]) if rest else None
    if options is None:
        return None
    flags: set[str] = set()
    values: dict[str, Any] = {}
    words: list[str] = []
    items = iter(rest[1:])
    for item in items:
        if item in SHARED_FLAGS or item in options.flags:
            flags.add(item)
            continue
        if not item.startswith("-"):
            words.append(item)
            continue
        name, equals, value = item.partition("=")
        if not equals:
            value = next(items, "--")
        # A value that begins with a dash may be a mistake: click decides. A dash alone is stdin.
        if (value.startswith("-") and value != "-") or not _take(options, name, value, values):
            return None
    if len(words) > options.words_max or (options.words_max and not words):
        return None
    if options.words_max:
        values["words"] = tuple(words)
    return Parsed(rest[0], home, frozenset(flags), values)


def _take(options: Options, name: str, value: str, values: dict[str, Any]) -> bool:
    key = name[2:].replace("-", "_")
    key = "with_" if key == "with" else key
    if name in options.texts and key not in values:
        values[key] = value
        return True
    if name in options.numbers and key not in values and value.isascii() and value.isdecimal() and len(value) < 10:
        values[key] = int(value)
        return True
    if name in options.lists:
        values[key] = (*values.get(key, ()), value)
        return True
    return False
