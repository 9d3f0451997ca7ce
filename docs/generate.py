"""Write what follows from the program: parts of the pages, the manual and the completion files.

    python -m docs.generate            # bring every page up to date
    python -m docs.generate --check    # change nothing; exit 1 and name the pages that are stale

A page says where a part goes, and everything between its two markers is replaced::

    <!-- generated: relay-settings -->
    <!-- end generated -->

The files of the manual (``docs/man``) and of the shells (``bide_cli/completions``) are written whole.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
import tomllib
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import annotated_types
import click
from pydantic.fields import FieldInfo

import bide
from bide.entries.repair import ALLOWED, Phase, RepairState, Step
from bide.errors import BideError
from bide.protocol import frames
from bide.protocol.states import TRANSITIONS, Side, State
from docs.commands import examples_of, help_of, options_of, usage, walk
from docs.completions import completion_files
from docs.manpages import man_pages

ROOT = Path(__file__).parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
MANUAL = ROOT / "docs" / "man"
COMPLETIONS = ROOT / "client_cli" / "bide_cli" / "completions"
_BLOCK = re.compile(r"(<!-- generated: ([a-z-]+) -->\n)(.*?)(<!-- end generated -->)", re.DOTALL)


# Small helpers for Markdown


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def fenced(text: str, language: str = "text") -> str:
    """A fenced block."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def attribute_docs(module: types.ModuleType) -> dict[tuple[str, str], str]:
    """(class, attribute) to the first paragraph of the string beneath the attribute in the source."""
    docs: dict[tuple[str, str], str] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for before, after in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(before, ast.AnnAssign)
                and isinstance(before.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                docs[node.name, before.target.id] = inspect.cleandoc(after.value.value).replace("\n", " ").replace("``", "`")
    return docs


def first_line(thing: Any) -> str:
    """The first line of a docstring, in Markdown."""
    return inspect.getdoc(thing).splitlines()[0].replace("``", "`")  # type: ignore[union-attr]


# The protocol


def protocol_states() -> str:
    """The state diagram of a connection and its table, from `bide.protocol.states.TRANSITIONS`."""
    rows = [(start, side, frames.FRAME_NAMES[kind], end) for (start, side, kind), end in TRANSITIONS.items()]
    order = list(State)
    rows.sort(key=lambda row: (order.index(row[0]), order.index(row[3]), row[1].value, row[2]))
    lines = []
    width = max(len(state.value) for state in State)
    label = max(len(f"{side.value}: {name}") for _, side, name, _ in rows)
    before = None
    for start, side, name, end in rows:
        said = f"{side.value}: {name}"
        head = start.value if start is not before else ""
        lines.append(f"{head:<{width}}  --[ {said:<{label}} ]-->  {end.value}")
        before = start
    lines.append("")
    lines.append(f"{'authenticating':<{width}}  --[ relay: error unknown_space, not fatal ]-->  {State.UNKNOWN_SPACE.value}")
    lines.append(f"{'any but closed':<{width}}  --[ either: error, fatal ]-->  {State.CLOSED.value}")
    lines.append(f"{'any but closed':<{width}}  --[ either: error, not fatal ]-->  the same state")
    return fenced("\n".join(lines))


def protocol_frames() -> str:
    """Every frame with its fields and limits, from `bide.protocol.frames`."""
    docs = attribute_docs(frames)
    senders: dict[type[Any], set[str]] = {}
    for _, side, kind in TRANSITIONS:
        senders.setdefault(kind, set()).add(side.value)
    senders[frames.Error] = {side.value for side in Side}
    parts = []
    for kind, name in frames.FRAME_NAMES.items():
        by = " and ".join(sorted(senders[kind]))
        parts.append(f"### `{name}` ({by})\n\n{first_line(kind)}\n")
        hints = typing.get_type_hints(kind, include_extras=True)
        if hints:
            rows = [
                (str(place), f"`{field}`", shape(hint), docs.get((kind.__name__, field), ""))
                for place, (field, hint) in enumerate(hints.items(), 1)
            ]
            parts.append(table(("place", "field", "shape", ""), rows))
        else:
            parts.append("No fields.\n")
    return "\n".join(parts)


def shape(hint: Any) -> str:
    """A field's type and limits in words."""
    base, limits = hint, {}
    if typing.get_origin(hint) is typing.Annotated:
        base, *notes = typing.get_args(hint)
        limits = _limits(notes)
    if typing.get_origin(base) is list:
        (item,) = typing.get_args(base)
        return f"list, {_range(limits, '')} of: {shape(item)}"
    if typing.get_origin(base) is dict:
        _, value = typing.get_args(base)
        return f"map, {_range(limits, 'entries')}, text to {shape(value)}"
    if base is bytes:
        return f"{_range(limits, 'bytes')}"
    if base is str:
        return f"text, {_range(limits, 'characters')}"
    if base is int:
        return f"integer, {limits.get('ge', 0)} to {_number(limits['le'])}"
    if base is bool:
        return "true or false"
    inner = typing.get_type_hints(base, include_extras=True)
    return "[" + ", ".join(f"{name}: {shape(kind)}" for name, kind in inner.items()) + "]"


def _limits(notes: Iterable[Any]) -> dict[str, int]:
    limits: dict[str, int] = {}
    for note in notes:
        for item in note.metadata if isinstance(note, FieldInfo) else [note]:
            for kind, name in (
                (annotated_types.MinLen, "min_length"),
                (annotated_types.MaxLen, "max_length"),
                (annotated_types.Ge, "ge"),
                (annotated_types.Le, "le"),
            ):
                if isinstance(item, kind):
                    limits[name] = int(getattr(item, name))
    return limits


def _range(limits: dict[str, int], unit: str) -> str:
    low, high = limits.get("min_length", 0), limits["max_length"]
    amount = str(low) if low == high else f"{low} to {_number(high)}"
    return f"{amount} {unit}".strip()


def _number(value: int) -> str:
    return "2^62" if value == 2**62 else f"{value:,}"


def relay_errors() -> str:
    """The codes that a relay refuses with, from `bide_relay.errors` and what its service raises."""
    import bide.errors as core
    from bide_relay import errors as relay

    rows = [
        (f"`{kind.code}`", "yes" if kind.fatal else "no", _retry(kind.retry_after_ms), first_line(kind))
        for kind in _classes_of(relay)
        if issubclass(kind, relay.RelayRefusal)
    ]
    passed_on: tuple[type[BideError], ...] = (
        core.ForkDetected,
        core.SequenceGap,
        core.EnvelopeRejected,
        core.MembershipRejected,
        core.RemoteProtocolError,
        core.BideError,
    )
    rows += [(f"`{kind.code}`", "yes", "", first_line(kind)) for kind in passed_on]
    return table(("code", "fatal", "retry after", "what it means"), rows)


def _retry(milliseconds: int) -> str:
    return f"{milliseconds // 1000} s" if milliseconds else ""


def _classes_of(module: types.ModuleType) -> list[Any]:
    return [kind for kind in vars(module).values() if inspect.isclass(kind) and kind.__module__ == module.__name__]


def event_types() -> str:
    """Every event type with who may cause it and what it may write, from `bide.entries.kinds`."""
    from bide.entries.kinds import KINDS, By

    who = {By.AUTHOR: "the author of the entry", By.OTHER: "the other person", By.EITHER: "either"}
    rows = []
    for kind in KINDS.values():
        for event in kind.events:
            begins = "begins" if event.creates else ""
            keys = ", ".join(f"`{key}`" for key in event.keys)
            rows.append((f"`{event.name}`", str(event.version), begins, who[event.by], keys, "yes" if event.edits_text else ""))
    return table(("event type", "version", "", "by", "root keys it may write", "may touch a text"), rows)


# The conversation


def repair_states() -> str:
    """What leads where in a repair conversation, explored from `bide.entries.repair.ALLOWED` and the fold."""
    arrows: dict[tuple[Phase, Phase], set[Step]] = {}
    seen: set[Any] = set()
    waiting = [RepairState(frozenset({0})), RepairState(frozenset({0, 1}))]
    while waiting:
        state = waiting.pop()
        key = (state.inviters, state.accepted, state.told, state.heard, state.reconnecting, state.settled)
        if (*key, frozenset(state.pauses.items()), state.withdrawn) in seen:
            continue
        seen.add((*key, frozenset(state.pauses.items()), state.withdrawn))
        for step in Step:
            for slot in (0, 1):
                if not state.allows(step, slot):
                    continue
                for not_quite in {False, step is Step.ANSWER}:
                    after = state.after(step, slot, not_quite=not_quite)
                    waiting.append(after)
                    if after.phase is not state.phase:
                        arrows.setdefault((state.phase, after.phase), set()).add(step)
    phases, steps = list(Phase), list(Step)
    calm = [phase for phase in phases if phase not in (Phase.LATER, Phase.RESTING, Phase.WITHDRAWN)]
    lines = []
    width = max(len(phase.value) for phase in phases)
    labels = {
        (start, end): ", ".join(step.name.lower() for step in sorted(found, key=steps.index))
        for (start, end), found in arrows.items()
        if start in calm and end in calm
    }
    label = max(len(words) for words in labels.values())
    before = None
    for (start, end), words in sorted(labels.items(), key=lambda item: tuple(phases.index(phase) for phase in item[0])):
        head = start.value if start is not before else ""
        lines.append(f"{head:<{width}}  --[ {words:<{label}} ]-->  {end.value}")
        before = start
    lines.append("")
    pausing = [phase.value for phase in calm if (phase, Phase.LATER) in arrows]
    lines.append(f"{', '.join(pausing)}")
    for name, phase in (("later", Phase.LATER), ("rest", Phase.RESTING)):
        back = "return, or any other step of the one who paused"
        lines.append(f"{'':<{width}}  --[ {name:<5} ]-->  {phase.value:<7}  --[ {back} ]-->  back")
    lines.append("")
    leaving = [phase.value for phase in phases if (phase, Phase.WITHDRAWN) in arrows]
    lines.append(f"{', '.join(leaving)}")
    lines.append(f"{'':<{width}}  --[ withdraw ]-->  {Phase.WITHDRAWN.value}")
    return fenced("\n".join(lines))


def repair_table() -> str:
    """Who may take which step in which phase, from `bide.entries.repair.ALLOWED`."""
    rows = []
    for phase, allowed in ALLOWED.items():
        by_who: dict[str, list[str]] = {}
        for step, who in allowed.items():
            by_who.setdefault(who.value, []).append(step.name.lower())
        words = "; ".join(f"{who}: {', '.join(dict.fromkeys(steps))}" for who, steps in by_who.items())
        rows.append((phase.value, words or "nobody, nothing: it is over"))
    return table(("phase", "who may do what"), rows)


# The programs


def commands_of(root: click.Command, path: str, level: str) -> str:
    """Every command of a program with its arguments, options and examples."""
    parts = []
    for name, command in walk(root, path):
        words = "\n\n".join(fenced(p.text).rstrip() if p.preformatted else p.text for p in help_of(command))
        parts.append(f"{level} `{name}`\n\n{words}\n\n{fenced(usage(name, command))}")
        rows = [(f"`{option.typed}`", option.words) for option in options_of(command, shared=path != "bide")]
        if rows:
            parts.append(table(("option or argument", ""), rows))
        examples, others = examples_of(command)
        if examples:
            parts.append(fenced("\n".join(f"$ {line}" for line in examples), "console"))
        parts += [f"{paragraph.text}\n" for paragraph in others]
    return "\n".join(parts)


def bide_commands() -> str:
    """The commands of ``bide``."""
    from bide_cli.cli import bide as program

    return commands_of(program, "bide", "###")


def relay_commands() -> str:
    """The commands of ``bide-relay``, without the flags of `serve` that are settings."""
    from bide_relay.main import main as program
    from bide_relay.settings import Settings

    for _, command in walk(program, "bide-relay"):
        command.params = [parameter for parameter in command.params if parameter.name not in Settings.model_fields]
    return commands_of(program, "bide-relay", "###")


def relay_settings() -> str:
    """Every setting of the relay, from `bide_relay.settings.Settings`."""
    from bide_relay import settings

    docs = attribute_docs(settings)
    rows = []
    for name, field in settings.Settings.model_fields.items():
        default = field.default
        shown = f"{default:,}" if type(default) is int else str(default).lower() if isinstance(default, bool) else str(default)
        rows.append((f"`{name}`", shown or "(empty)", docs.get(("Settings", name), "")))
    return table(("setting", "default", ""), rows)


def config_keys() -> str:
    """Every key of ``config.toml`` that can be chosen, from `bide_cli.home.configuring`."""
    from bide_cli.home.configuring import KEYS
    from bide_cli.home.folder import HOLD

    rows = []
    for key in KEYS:
        if key.name.startswith(f"{HOLD}.") and not key.default:
            continue  # one line for all of them
        default = str(key.default).lower() if isinstance(key.default, bool) else str(key.default)
        rows.append((f"`{key.name}`", f"`{default}`" if default else "", key.words))
        if key.name.startswith(f"{HOLD}."):
            others = ", ".join(f"`{each.name}`" for each in KEYS if each.name.startswith(f"{HOLD}.") and each is not key)
            rows.append((f"`{HOLD}.KIND`", "`0`", f"the same for another kind: {others}"))
    return table(("key", "default", ""), rows)


def exit_meanings() -> dict[int, str]:
    """What each exit code of `bide_cli.failures` means."""
    from bide_cli import failures

    return {
        failures.OK: "It worked. A write while the relay is away is this too.",
        failures.ERROR: "Any other error.",
        failures.USAGE: "The command line or the input can't be used.",
        failures.NOT_PAIRED: "There is no shared space yet.",
        failures.NOT_FOUND: "No entry, person or journal of that name.",
        failures.UNREACHABLE: "The relay can't be reached.",
        failures.VERIFICATION: "Something is not what it claims to be.",
        failures.LOCKED: "The home can't be opened with what was given.",
        failures.NOT_ALLOWED: "Not possible at this point.",
        failures.INTERRUPTED: "Ctrl-C.",
    }


def exit_codes() -> str:
    """The exit codes as a table."""
    return table(("code", "meaning"), [(str(code), words) for code, words in sorted(exit_meanings().items())])


def error_kinds() -> list[type[BideError]]:
    """Every error class of the library and the command line, the relay's own excepted."""
    for package in (bide, importlib.import_module("bide_cli")):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__") and module.name != "bide.testing":
                importlib.import_module(module.name)
    found: dict[str, type[BideError]] = {}

    def collect(kind: type[BideError]) -> None:
        if kind.__module__.partition(".")[0] in ("bide", "bide_cli") and kind.__module__ != "bide.testing":
            found[f"{kind.__module__}.{kind.__qualname__}"] = kind
        for below in sorted(kind.__subclasses__(), key=lambda k: (k.__module__, k.__qualname__)):
            collect(below)

    collect(BideError)
    return list(found.values())


def error_codes() -> str:
    """Every code that ``--json`` can print for an error, with its exit code."""
    from bide_cli import failures

    rows: dict[str, tuple[str, str, str]] = {}
    for kind in error_kinds():
        code = failures.exit_code(kind.__new__(kind))
        rows.setdefault(kind.code, (f"`{kind.code}`", str(code), first_line(kind)))
    rows["usage"] = ("`usage`", str(failures.USAGE), "The command line can't be understood.")
    rows["unexpected"] = ("`unexpected`", str(failures.ERROR), failures.UNEXPECTED)
    return table(("code", "exit", "message unless there is a better one"), rows.values())


def decisions() -> str:
    """The list of decision records."""
    rows = []
    for path in sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        rows.append(f"- [{title}](decisions/{path.name})\n")
    return "".join(rows)


def rooms() -> str:
    """The rooms of the command line."""
    return _rooms_of("bide_cli", shown={"commands": "one a command"})


def replica_rooms() -> str:
    """The rooms of a replica, with the modules that stand between them."""
    return _rooms_of("bide.replica", shown={})


def _rooms_of(package: str, *, shown: Mapping[str, str]) -> str:
    """The rooms of a package, from above to below as pyproject.toml has them, with what each says of itself.

    Args:
        package: such as ``bide_cli``.
        shown: of some rooms, what is said instead of their modules.

    Raises:
        ValueError: a room has no layer, or a layer no room.
    """
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract.get("containers") == [package])
    layered = [(number, name.strip()) for number, layer in enumerate(layers, 1) for name in layer.split("|")]
    there = {info.name: info.ispkg for info in pkgutil.iter_modules(importlib.import_module(package).__path__)}
    if not {name for name, is_room in there.items() if is_room} <= {name for _, name in layered} <= set(there):
        raise ValueError(f"The layers of {package} in pyproject.toml are not its rooms.")
    rows = []
    for number, name in layered:
        room = importlib.import_module(f"{package}.{name}")
        inside = [info.name for info in pkgutil.iter_modules(room.__path__)] if there[name] else []
        rows.append((str(number), f"`{name}`", first_line(room), shown.get(name, ", ".join(inside))))
    return table(("layer", "room", "", "modules"), rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "protocol-states": protocol_states,
    "protocol-frames": protocol_frames,
    "relay-errors": relay_errors,
    "event-types": event_types,
    "repair-states": repair_states,
    "repair-table": repair_table,
    "bide-commands": bide_commands,
    "relay-commands": relay_commands,
    "relay-settings": relay_settings,
    "config-keys": config_keys,
    "exit-codes": exit_codes,
    "error-codes": error_codes,
    "decisions": decisions,
    "rooms": rooms,
    "replica-rooms": replica_rooms,
}


def regenerate(text: str) -> str:
    """A page's text with every generated part as it should be.

    Raises:
        KeyError: a marker names a part that does not exist.
    """

    def fill(found: re.Match[str]) -> str:
        return f"{found[1]}{BLOCKS[found[2]]().rstrip()}\n{found[4]}"

    return _BLOCK.sub(fill, text)


def whole_files() -> dict[Path, str]:
    """The files that are written whole, with their texts."""
    from bide_cli.cli import bide as program

    texts = {MANUAL / name: text for name, text in man_pages(program, exit_codes=exit_meanings()).items()}
    return texts | {COMPLETIONS / name: text for name, text in completion_files(program).items()}


def stale_files() -> dict[Path, str | None]:
    """What is not as it should be, with how it should be; None: it should not be there."""
    stale: dict[Path, str | None] = {}
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (fresh := regenerate(text)) != text:
            stale[page] = fresh
    wanted = whole_files()
    stale |= {path: text for path, text in wanted.items() if not path.exists() or path.read_text(encoding="utf-8") != text}
    # The manual of a command that is gone.
    stale |= dict.fromkeys(set(MANUAL.glob("*.1")) - wanted.keys())
    return stale


def main(args: Sequence[str]) -> int:
    """Write what is stale, or only name it.

    Returns:
        The exit code.
    """
    check = "--check" in args
    stale = stale_files()
    for path, text in stale.items():
        name = path.relative_to(ROOT)
        if check:
            sys.stderr.write(f"{name} is stale; run: python -m docs.generate\n")
        elif text is None:
            path.unlink()
            sys.stdout.write(f"{name} removed\n")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{name} written\n")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
