"""The documents hold what they say: snippets run, links resolve, generated parts are fresh, nothing is left out."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import bide.errors
import bide_relay.errors
from bide.errors import BideError
from bide_cli.cli import SUMMARIES
from bide_cli.cli import bide as bide_program
from bide_relay.main import main as relay_program
from bide_relay.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/decisions").glob("*.md")),
]
SNIPPET = re.compile(r"<!-- run -->\n```python\n(.*?)```", re.DOTALL)
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
REFERENCE = re.compile(r"`((?:bide|bide_cli|bide_relay)(?:\.\w+)+)`")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def pages_with(pattern: re.Pattern[str]) -> list[Path]:
    return [page for page in PAGES if pattern.search(page.read_text(encoding="utf-8"))]


def read(*names: str) -> str:
    return "\n".join((ROOT / name).read_text(encoding="utf-8") for name in names)


def commands_of(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands_of(below, f"{path} {name}")


@pytest.mark.parametrize("page", pages_with(SNIPPET), ids=name_of)
def test_every_python_snippet_that_is_marked_runs(page: Path, tmp_path: Path) -> None:
    for number, source in enumerate(SNIPPET.findall(page.read_text(encoding="utf-8"))):
        file = tmp_path / f"snippet_{number}.py"
        file.write_text(source, encoding="utf-8")
        done = subprocess.run([sys.executable, file.name], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_readme_has_snippets_that_run() -> None:
    assert len(SNIPPET.findall(read("README.md"))) >= 2


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_resolves(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", to.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}, target


def test_the_generated_parts_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "docs.generate", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_stale_page_is_named(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for file in (ROOT / "docs").glob("*.py"):
        (tmp_path / "docs" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    page = "<!-- generated: exit-codes -->\nold\n<!-- end generated -->\n"
    (tmp_path / "README.md").write_text(page, encoding="utf-8")
    run = [sys.executable, "-m", "docs.generate"]

    stale = subprocess.run([*run, "--check"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (stale.returncode, "README.md" in stale.stderr) == (1, True)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == page

    subprocess.run(run, cwd=tmp_path, capture_output=True, check=True)
    assert subprocess.run([*run, "--check"], cwd=tmp_path, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("program", "name", "page"),
    [(bide_program, "bide", "docs/cli-reference.md"), (relay_program, "bide-relay", "docs/operating.md")],
    ids=["bide", "bide-relay"],
)
def test_every_command_and_option_is_documented(program: click.Command, name: str, page: str) -> None:
    text = read(page)
    for path, command in commands_of(program, name):
        if not isinstance(command, click.Group):
            assert f"### `{path}`" in text, f"{path} is not in {page}"
        for parameter in command.params:
            if not isinstance(parameter, click.Option) or parameter.hidden:
                continue
            if parameter.name in Settings.model_fields:
                assert f"`{parameter.name}`" in text
            elif parameter.name not in ("help", "version"):
                assert any(option in text for option in parameter.opts), f"{path} {parameter.opts}"


def test_every_command_is_documented_with_an_example_of_its_own() -> None:
    """Between its heading and the next one: what it does, its usage, and a line that calls it."""
    text = read("docs/cli-reference.md")
    for path, command in commands_of(bide_program, "bide"):
        if isinstance(command, click.Group) and not command.invoke_without_command:
            continue
        if path == "bide":
            continue
        part = text.partition(f"### `{path}`\n")[2].partition("\n### ")[0]
        assert len(part.strip().splitlines()[0]) > 10, path
        assert f"{path} [OPTIONS]" in part, path
        examples = "\n".join(CONSOLE.findall(part))
        assert re.search(rf"\b{path}\b", examples), f"{path} has no example"


def test_a_manual_of_a_command_that_is_gone_is_stale(tmp_path: Path) -> None:
    """And removed by the next run; a file that was changed by hand is written anew."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    run = [sys.executable, "-m", "docs.generate"]
    gone, changed = tmp_path / "docs/man/bide-sing.1", tmp_path / "docs/man/bide-thank.1"
    gone.write_text(".TH SING 1\n", encoding="utf-8")
    changed.write_text(".TH THANK 1\n", encoding="utf-8")
    stale = subprocess.run([*run, "--check"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert stale.returncode == 1
    assert "bide-sing.1" in stale.stderr
    assert "bide-thank.1" in stale.stderr
    subprocess.run(run, cwd=tmp_path, capture_output=True, check=True)
    assert not gone.exists()
    assert "bide thank" in changed.read_text(encoding="utf-8")
    assert subprocess.run([*run, "--check"], cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_every_command_has_its_json_documented() -> None:
    text = read("docs/cli-json.md")
    for name in SUMMARIES:
        assert name == "demo" or f"`{name}`" in text, name


@pytest.mark.parametrize("page", pages_with(CONSOLE), ids=name_of)
def test_the_commands_in_console_blocks_exist(page: Path) -> None:
    known = {
        path: command
        for program, name in ((bide_program, "bide"), (relay_program, "bide-relay"))
        for path, command in commands_of(program, name)
    }
    for block in CONSOLE.findall(page.read_text(encoding="utf-8")):
        for line in re.findall(r"^\w*\$ (.*)$", block, re.MULTILINE):
            words = shlex.split(line, comments=True)
            if words[0] not in ("bide", "bide-relay"):
                continue
            path = words.pop(0)
            if words[:1] == ["--home"]:
                words = words[2:]
            while words and f"{path} {words[0]}" in known:
                path = f"{path} {words.pop(0)}"
            options = {option for p in known[path].params for option in (*p.opts, *p.secondary_opts)}
            for word in words:
                assert not word.startswith("--") or word in options, line
            assert path != "bide-relay", line


def classes_of(module: object) -> list[type[BideError]]:
    return [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, BideError)]


def test_every_error_code_is_documented() -> None:
    client, relay = read("docs/cli.md"), read("docs/protocol.md")
    for kind in classes_of(bide.errors):
        assert f"| `{kind.code}` |" in client, kind
    for kind in classes_of(bide_relay.errors):
        assert f"| `{kind.code}` |" in relay, kind


def test_the_program_parts_that_the_pages_name_exist() -> None:
    for page in PAGES:
        for reference in set(REFERENCE.findall(page.read_text(encoding="utf-8"))) - {
            "bide.db",
            "bide.mo",
            "bide.po",
            "bide.pot",
        }:
            assert exists(reference), f"{name_of(page)} names {reference}"


def exists(reference: str) -> bool:
    parts = reference.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def test_the_pages_that_the_code_names_exist() -> None:
    for package in ("core", "sync_server", "client_cli"):
        for file in (ROOT / package).rglob("*.py"):
            for named in re.findall(r"docs/[\w/-]+\.md", file.read_text(encoding="utf-8")):
                assert (ROOT / named).exists(), f"{file.relative_to(ROOT)} names {named}"


def test_the_words_of_the_glossary_are_words_of_the_code() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", read("docs/glossary.md"), re.MULTILINE)
    assert len(words) == len(set(words)) > 30
    code = "\n".join(
        file.read_text(encoding="utf-8").lower()
        for package in ("core", "sync_server", "client_cli")
        for file in (ROOT / package).rglob("*.py")
    )
    for word in words:
        assert word.lower() in code or word.lower().replace(" ", "") in code, word


def test_no_page_names_a_place_of_one_machine() -> None:
    places = [str(ROOT), os.fspath(Path(sys.prefix).parent)]
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not any(place in text for place in places), name_of(page)


DECODER = json.JSONDecoder()
Documented = dict[str, list[dict[str, Any]]]


def documented_json() -> Documented:
    """Every object in the page about JSON, by schema; the one without a schema is the entry."""
    found: Documented = {}
    for block in re.findall(r"```json\n(.*?)```", read("docs/cli-json.md"), re.DOTALL):
        text = re.sub(r",\s*…", "", block).replace("ENTRY", "{}").replace("{…}", "{}").strip()
        while text:
            value, end = DECODER.raw_decode(text)
            found.setdefault(value.get("schema", "entry"), []).append(value)
            text = text[end:].strip()
    return found


def bide_json(home: Path, *args: str, code: int = 0) -> dict[str, Any]:
    environment = {**os.environ, "BIDE_HOME": str(home), "BIDE_AUTO_SYNC": "0"}
    environment.pop("BIDE_KEY_FILE", None)
    command = [sys.executable, "-m", "bide_cli.main", *args, "--json", "--no-input"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    value: dict[str, Any] = json.loads(done.stderr if code else done.stdout)
    return value


def test_what_the_program_prints_has_the_members_that_are_documented(tmp_path: Path) -> None:
    documented, home = documented_json(), tmp_path / "home"
    init = bide_json(home, "init", "--name", "Sam", "--key-file", str(tmp_path / "key"))
    printed = [
        init,
        bide_json(home, "relay", "set", "ws://127.0.0.1:9"),
        written := bide_json(home, "thank", "--private", "--noticed", "The river"),
        bide_json(home, "checkin", "--private", "--lift", "The sun"),
        bide_json(home, "edit", written["id"], "--felt", "calm"),
        timeline := bide_json(home, "timeline"),
        bide_json(home, "search", "river"),
        bide_json(home, "show", written["code"]),
        bide_json(home, "repair"),
        bide_json(home, "outbox"),
        status := bide_json(home, "status"),
        digest := bide_json(home, "digest"),
        bide_json(home, "doctor"),
        bide_json(home, "rebuild"),
        bide_json(home, "relay"),
        bide_json(home, "undo", written["id"]),
    ]
    write = documented["bide.thank/1"][0]
    for value in printed:
        shapes = documented.get(value["schema"], [write])
        assert any(set(value) - {"schema"} == set(shape) - {"schema"} for shape in shapes), value
    assert [set(entry) for entry in timeline["entries"]] == [set(documented["entry"][0])] * 2
    for name, value in (("bide.status/1", status), ("bide.digest/1", digest)):
        assert set(value["spaces"][0]) == set(documented[name][0]["spaces"][0])
    error = bide_json(home, "show", "zzzz", code=4)
    assert set(error) == {"schema", "code", "message", "hint"}
    assert error["schema"] == "bide.error/1"
