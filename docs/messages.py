"""Find every message that a person may read: in the source, in what stands in the running program, and in click.

A message that is put together (an f-string, a sum) can't be translated, so it is a problem and not passed over.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import bide
import bide_cli
from bide.entries.fields import Field
from bide.errors import BideError

ROOT = Path(__file__).parent.parent
CLICK_MODULES = ("core", "decorators", "exceptions", "formatting", "parser", "types")
"""Those of click whose words Bide can show: it asks nothing through click."""
CLICK_SKIPPED = ("Aborted!", "DeprecationWarning", "%(prog)s, version")
CLICK_TO_PROGRAMMERS = ("TypeError", "RuntimeError", "ValueError", "AttributeError")
TAKES_TEMPLATES = {"Phrase": (0,), "_finding": (1,), "advise": (0,), "require_person": (1, 2), "N_": (0,), "_": (0,)}
"""By function: which arguments are messages."""
SHOWN_FROM_TABLES = ("Phrase", "_")
"""These are also given words that are marked where they stand, or that were stored; so what can't be told is no problem."""
TEMPLATE_KEYWORDS = ("hint", "busy")
"""Keywords that hold a message, whatever is called with them."""
PASSED_ON = ("template", "hint_template")
"""Words of an error that was caught."""
_HOLE = re.compile(r"{[^{}]*}")
_NOT_SHOWN = ("bide.testing", "bide.testing_replicas")

Id = str | tuple[str, str]


class Collected(NamedTuple):
    """What was found."""

    messages: dict[Id, set[str]]
    """Each message, with a plural as a pair, and in which files it stands."""
    problems: list[str]
    """What can't be translated as it stands."""

    def add(self, message: Id, place: str) -> None:
        """Note a message: one with a word in it, or with several places, whose order is the language's own."""
        words = _HOLE.sub("", message) if isinstance(message, str) else message[0]
        if any(character.isalnum() for character in words) or len(_HOLE.findall(str(message))) > 1:
            self.messages.setdefault(message, set()).add(place)


def collect() -> Collected:
    """Every message, in an order that stays the same."""
    found = Collected({}, [])
    modules = list(_modules(bide)) + list(_modules(bide_cli))
    errors = {kind.__name__ for kind in _error_classes()}
    for module in modules:
        _Source(module, errors, found).collect()
    _add_errors(found)
    _add_fields(modules, found)
    _add_help(found)
    _add_click(found)
    ordered = sorted(found.messages.items(), key=lambda item: (min(item[1]), _folded(item[0])))
    return Collected(dict(ordered), sorted(set(found.problems)))


def _folded(message: Id) -> tuple[str, str]:
    first = message if isinstance(message, str) else message[0]
    return first.casefold(), first


def place_of(path: str | None) -> str:
    """A file as catalogues name it."""
    return Path(path or "").resolve().relative_to(ROOT).as_posix()


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    yield package
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if info.name not in _NOT_SHOWN:
            yield importlib.import_module(info.name)


# In the source


class _Source:
    """One module, read as text; what its names stand for is looked up in the module itself."""

    def __init__(self, module: ModuleType, errors: set[str], found: Collected) -> None:
        self._module = module
        self._errors = errors
        self._found = found
        self._place = place_of(module.__file__)
        self._tree = ast.parse(inspect.getsource(module)) if Path(module.__file__ or "").stat().st_size else ast.Module([], [])
        self._inside: dict[ast.AST, ast.AST] = {}
        """Each call's innermost function."""
        self._functions: dict[str, list[ast.FunctionDef | ast.AsyncFunctionDef]] = {}
        self._walk(self._tree, self._tree)

    def _walk(self, node: ast.AST, function: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            self._inside[child] = function
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                self._functions.setdefault(child.name, []).append(child)
                self._walk(child, child)
            else:
                self._walk(child, function)

    def collect(self) -> None:
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.Tuple):
                self._pair(node)

    def _call(self, node: ast.Call) -> None:
        name = (
            node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
        )
        if name == "plural" and isinstance(node.func, ast.Name):
            self._plural(node)
            return
        is_error = name in self._errors
        for place in (0,) if is_error else TAKES_TEMPLATES.get(name, ()):
            if place < len(node.args):
                self._take(node.args[place], strict=name not in SHOWN_FROM_TABLES)
        for keyword in node.keywords:
            if keyword.arg in TEMPLATE_KEYWORDS:
                self._take(keyword.value)

    def _plural(self, node: ast.Call) -> None:
        match [self._set_before(argument) for argument in node.args[:2]]:
            case [ast.Constant(str() as one), ast.Constant(str() as many)]:
                self._found.add((one, many), self._place)
            case _:
                self._problem(node)

    def _set_before(self, node: ast.expr) -> ast.expr:
        """What a name was last set to above the place where it is used."""
        if not isinstance(node, ast.Name):
            return node
        above = [value for value in _assigned(self._inside[node], node.id) if value.lineno < node.lineno]
        return max(above, key=lambda value: value.lineno, default=node)

    def _pair(self, node: ast.Tuple) -> None:
        """A table of errors and their words."""
        match node.elts:
            case [ast.Name(name), ast.Constant() | ast.JoinedStr() as words] if name in self._errors:
                self._take(words)

    def _take(self, node: ast.expr, *, strict: bool = True) -> None:
        if _is_put_together(node):
            self._problem(node)
            return
        for text in self._strings(node, depth=0):
            if text is not None:
                self._found.add(text, self._place)
            elif strict:
                self._problem(node)

    def _problem(self, node: ast.expr) -> None:
        words = ast.unparse(node)
        self._found.problems.append(f"{self._place}:{node.lineno}: this can't be translated as it stands: {words[:90]}")

    def _strings(self, node: ast.expr | None, *, depth: int) -> Iterator[str | None]:
        """The texts that an expression may come to; None for what can't be told."""
        match node:
            case None:
                return
            case _ if depth > 4:
                yield None
            case ast.Constant(value):
                yield from [value] if isinstance(value, str) else []
            case ast.IfExp(_, body, orelse):
                yield from self._strings(body, depth=depth)
                yield from self._strings(orelse, depth=depth)
            case ast.BoolOp(_, values) | ast.Tuple(values) | ast.List(values):
                for value in values:
                    yield from self._strings(value, depth=depth + 1)
            case ast.Name(name):
                yield from self._named(node, name, depth=depth)
            case ast.Subscript(value):
                yield from self._strings(value, depth=depth + 1)
            case ast.Call(ast.Attribute(value, "get"), args):
                yield from self._strings(value, depth=depth + 1)
                for default in args[1:]:
                    yield from self._strings(default, depth=depth + 1)
            case ast.Call(ast.Name("Phrase" | "N_" | "_")):
                return  # collected where it stands
            case ast.Call(ast.Name(name)) | ast.Call(ast.Attribute(_, name)) | ast.Attribute(ast.Name("self"), name):
                if name not in self._functions:
                    # What an object was given when it was made was collected there.
                    yield from [] if isinstance(node, ast.Attribute) else [None]
                for function in self._functions.get(name, []):
                    for inner in ast.walk(function):
                        if isinstance(inner, ast.Return) and self._inside[inner] is function:
                            yield from self._strings(inner.value, depth=depth + 1)
            case ast.Attribute(_, name):
                if name not in PASSED_ON:
                    yield from _texts(self._looked_up(node))
            case _:
                yield None

    def _named(self, node: ast.AST, name: str, *, depth: int) -> Iterator[str | None]:
        function = self._inside.get(node, self._tree)
        while isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = function.args
            for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                if argument.arg == name:
                    return  # collected where it is given
            values = list(_assigned(function, name))
            if values:
                for value in values:
                    yield from self._strings(value, depth=depth + 1)
                return
            function = self._inside.get(function, self._tree)
        yield from _texts(getattr(self._module, name, None))

    def _looked_up(self, node: ast.Attribute) -> Any:
        """What ``module.NAME`` or ``Class.NAME`` is."""
        if isinstance(node.value, ast.Name):
            return getattr(getattr(self._module, node.value.id, None), node.attr, None)
        return None


def _name(call: ast.Call) -> str:
    match call.func:
        case ast.Name(name) | ast.Attribute(_, name):
            return name
    return ""


def _is_put_together(node: ast.expr) -> bool:
    match node:
        case ast.JoinedStr() | ast.BinOp() | ast.Call(ast.Attribute(_, "format" | "join")):
            return True
        case ast.IfExp(_, body, orelse):
            return _is_put_together(body) or _is_put_together(orelse)
        case ast.BoolOp(_, values):
            return any(map(_is_put_together, values))
    return False


def _assigned(function: ast.AST, name: str) -> Iterator[ast.expr]:
    """What a name is set to inside of a function."""
    for inner in ast.walk(function):
        match inner:
            case ast.Assign(targets, value):
                if any(_binds(target, name) for target in targets):
                    yield value
            case ast.AnnAssign(target, _, value) if value is not None and _binds(target, name):
                yield value
            case ast.For(target, values) | ast.comprehension(target, values) if _binds(target, name):
                yield values


def _binds(target: ast.expr, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(target))


def _texts(value: Any) -> Iterator[str | None]:
    """The texts in a value of the running program; None if there are none."""
    texts: list[str | None] = [*_inside_value(value)]
    yield from texts or [None]


def _inside_value(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _inside_value(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _inside_value(item)


# In the running program


def _error_classes() -> list[type[BideError]]:
    found: list[type[BideError]] = []
    waiting: list[type[BideError]] = [BideError]
    while waiting:
        kind = waiting.pop()
        if kind.__module__.partition(".")[0] in ("bide", "bide_cli") and kind.__module__ not in _NOT_SHOWN:
            found.append(kind)
            waiting += kind.__subclasses__()
    return found


def _add_errors(found: Collected) -> None:
    """What an error says of itself."""
    for kind in _error_classes():
        place = place_of(inspect.getsourcefile(kind))
        found.add((kind.__doc__ or "").splitlines()[0], place)
        found.add(kind.hint_default, place)


def _add_fields(modules: Iterable[ModuleType], found: Collected) -> None:
    """The questions and labels of all fields, and the titles of the kinds."""
    from bide.entries.kinds import KINDS

    for module in modules:
        if not module.__name__.startswith("bide.entries"):
            continue
        for value in vars(module).values():
            for field in [value] if isinstance(value, Field) else value if isinstance(value, tuple) else ():
                if isinstance(field, Field):
                    found.add(field.prompt, place_of(module.__file__))
                    if field.prompt_named:
                        found.add(field.prompt_named, place_of(module.__file__))
                    found.add(field.label, place_of(module.__file__))
    for kind in KINDS.values():
        found.add(kind.title, "core/bide/entries/kinds.py")


def _add_help(found: Collected) -> None:
    """Every command's help, and the list of them."""
    import click

    from bide_cli import helping
    from bide_cli.cli import SECTIONS
    from bide_cli.cli import bide as root

    context = click.Context(root)
    commands = {"cli": root} | {name: root.get_command(context, name) for name in root.list_commands(context)}
    for name, command in commands.items():
        assert command is not None  # it was listed
        place = "client_cli/bide_cli/" + ("cli.py" if command is root else f"commands/{name}.py")
        for text in helping.texts(command):
            found.add(text, place)
    for title, entries in SECTIONS:
        found.add(title, "client_cli/bide_cli/cli.py")
        for _name, summary in entries:
            found.add(summary, "client_cli/bide_cli/cli.py")


def _add_click(found: Collected) -> None:
    """What click says by itself to a person. What it tells programmers stays out."""
    for name in CLICK_MODULES:
        tree = ast.parse(inspect.getsource(importlib.import_module(f"click.{name}")))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
        inner = {part for call in calls if call.func.id in CLICK_TO_PROGRAMMERS for part in ast.walk(call)}  # type: ignore[attr-defined]
        for call in calls:
            assert isinstance(call.func, ast.Name)  # they were chosen so
            texts = [item.value for item in call.args if isinstance(item, ast.Constant) and isinstance(item.value, str)]
            if call in inner or not texts:
                continue
            if call.func.id == "_" and not texts[0].startswith(CLICK_SKIPPED):
                found.add(texts[0], "click")
            elif call.func.id == "ngettext" and len(texts) == 2:
                found.add((texts[0], texts[1]), "click")
