"""The wheel as people get it: built from the sdist, installed apart, with what it says it needs and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bide_relay.testing import RelayProcess

ROOT = Path(__file__).parents[2]
PACKAGES = {"bide": "core/bide", "bide_cli": "client_cli/bide_cli", "bide_relay": "sync_server/bide_relay"}
WORDS = "You mended the bicycle."


class Installed(NamedTuple):
    """An environment of its own that holds the wheel."""

    folder: Path
    wheel: Path
    sdist: Path

    def run(self, program: str, *args: str, home: Path | None = None, stdin: str = "", language: str = "en") -> str:
        """What a program of the environment prints, from a folder where no source is near."""
        gone = ("BIDE_", "PYTHON", "VIRTUAL_ENV")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(gone)}
        env = {**kept, "BIDE_LANGUAGE": language, "BIDE_AUTO_SYNC": "0", "BIDE_HOME": str(home or self.folder / "none")}
        command = [str(self.folder / "bin" / program), *args]
        done = subprocess.run(
            command, input=stdin, cwd=self.folder, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *args: str, home: Path, stdin: str = "") -> Any:
        return json.loads(self.run("bide", *args, "--json", home=home, stdin=stdin))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Built and installed without a network. The dependencies are links to those of this environment, so that it is quick."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(ROOT)]
    subprocess.run(build, capture_output=True, check=True, timeout=120)
    (wheel,) = (folder / "dist").glob("*.whl")
    (sdist,) = (folder / "dist").glob("*.tar.gz")
    fresh = folder / "fresh"
    venv.create(fresh, symlinks=True, with_pip=False)
    (packages,) = fresh.glob("lib/python*/site-packages")
    listed = subprocess.run([sys.executable, "-m", "docs.dependencies", "--runtime"], cwd=ROOT, capture_output=True, check=True)
    for name in listed.stdout.decode().split():
        files = distribution(name).files or []
        for top in {file.parts[0] for file in files} - {"..", "__pycache__"}:
            if not (packages / top).exists():  # a namespace belongs to several
                (packages / top).symlink_to(Path(str(distribution(name).locate_file(top))))
    pip = [sys.executable, "-m", "pip", "--python", str(fresh / "bin/python"), "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], capture_output=True, check=True, timeout=120)
    return Installed(fresh, wheel, sdist)


@pytest.fixture
def home(installed: Installed, tmp_path: Path) -> Path:
    """A home that the installed program made."""
    made = tmp_path / "home"
    installed.run("bide", "init", "--name", "Sam", "--key-file", str(tmp_path / "key"), "--no-input", home=made)
    return made


def test_it_is_the_wheel_that_runs(installed: Installed) -> None:
    """Its own files, its version, and none of the tools that only developers have."""
    look = (
        "import bide, bide_cli, bide_relay, importlib.util as u; print(bide.__file__, bide_cli.__file__, bide_relay.__file__)"
    )
    tools = "print([n for n in ('pytest', 'mypy', 'hypothesis', 'babel', 'packaging', 'jrnl') if u.find_spec(n)])"
    files, found = installed.run("python", "-c", f"{look}; {tools}").splitlines()
    assert all(file.startswith(str(installed.folder)) for file in files.split())
    assert found == "[]"
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert installed.run("bide", "--version").split()[-1] == version
    assert installed.run("bide-relay", "--version").split()[-1] == version


def test_it_holds_every_file_of_the_three_packages_and_no_others(installed: Installed) -> None:
    """Schemas, words, catalogues and pages among them; byte for byte."""
    with zipfile.ZipFile(installed.wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist() if ".data/" not in name and ".dist-info/" not in name}
    source = {
        f"{package}/{file.relative_to(ROOT / place)}": file.read_bytes()
        for package, place in PACKAGES.items()
        for file in (ROOT / place).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert held.keys() == source.keys()
    assert [name for name in held if held[name] != source[name]] == []


def test_the_sdist_holds_what_reading_and_testing_it_takes(installed: Installed) -> None:
    """Above all how to report a weakness, and what is promised."""
    with tarfile.open(installed.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"SECURITY.md", "LICENSE", "README.md", "docs/threat-model.md", "docs/encryption.md", "tests/system/test_wheel.py"}
    assert wanted <= names


def test_what_is_written_is_read(installed: Installed, home: Path) -> None:
    """By the installed program, in a home that it made; looking for words and examining it too."""
    written = installed.json("thank", "--private", "--from-json", "-", home=home, stdin=json.dumps({"noticed": WORDS}))
    (entry,) = installed.json("timeline", home=home)["entries"]
    assert (entry["id"], entry["fields"]["noticed"]) == (written["id"], WORDS)
    assert WORDS in installed.run("bide", "search", "bicycle", home=home)
    assert installed.json("doctor", home=home)["sound"]


def test_the_installed_relay_takes_what_is_sent(installed: Installed, home: Path, tmp_path: Path) -> None:
    """It starts with no more than a folder, and what a home has goes there."""
    installed.json("thank", "--private", "--from-json", "-", home=home, stdin=json.dumps({"noticed": WORDS}))
    program = [str(installed.folder / "bin/bide-relay")]
    with RelayProcess(tmp_path / "relay", "--registration", "open", program=program) as relay:
        installed.run("bide", "relay", "set", relay.url, home=home)
        result = installed.json("sync", home=home)
    assert (result["sent"] > 1, result["pending"], [space["error"] for space in result["spaces"]]) == (True, 0, [""])


def test_it_speaks_german(installed: Installed, home: Path) -> None:
    """Help, and the feelings and decks of the language."""
    assert installed.run("bide", "--help", language="de").startswith("Aufruf:")
    english, german = (installed.run("bide", "decks", home=home, language=language) for language in ("en", "de"))
    assert german != english


def test_the_decks_are_there(installed: Installed, home: Path) -> None:
    """All that the source has, each with its cards."""
    decks = {deck["name"]: deck["items"] for deck in installed.json("decks", home=home)["decks"]}
    have = {path.stem for path in (ROOT / "core/bide/words/en").glob("*.toml")}
    assert decks.keys() <= have
    assert have - decks.keys() <= {"feelings", "safety"}
    assert all(decks.values())


def test_the_manual_and_the_completions_are_where_systems_look(installed: Installed) -> None:
    """Below share of the environment; the program prints the same completions."""
    share = installed.folder / "share"
    pages = {path.name: path.read_bytes() for path in (share / "man/man1").iterdir()}
    assert pages == {path.name: path.read_bytes() for path in (ROOT / "docs/man").glob("*.1")}
    places = {
        "bash": share / "bash-completion/completions/bide",
        "zsh": share / "zsh/site-functions/_bide",
        "fish": share / "fish/vendor_completions.d/bide.fish",
    }
    for shell, place in places.items():
        assert installed.run("bide", "completion", shell) == place.read_text("utf-8")
