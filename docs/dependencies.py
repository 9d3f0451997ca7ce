"""Look at what Bide is made of, without a network: pinned, hashed, declared, and under licences that fit.

    python -m docs.dependencies             # say what is wrong; exit 1 if anything is
    python -m docs.dependencies --runtime   # the packages that come along with Bide, one a line

Known vulnerabilities are another matter: a database on the network has them. ``make audit`` asks it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from argparse import ArgumentParser
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCK = "requirements.lock"
ALLOWED = frozenset(
    ("Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib")
)
"""What may come along with Bide: licences that ask for no more than to be named, and the MPL, which keeps to its own files."""
TOOLS_ONLY = frozenset(("GPL-3.0-only", "LGPL-2.0-only"))
"""What a tool or a test may be under besides. Nothing of it is imported by Bide or handed on with it."""
SAID_OTHERWISE = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 2-Clause License": "BSD-2-Clause",
    "BSD License": "BSD-3-Clause",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "ISC License (ISCL)": "ISC",
    "ISC license": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
"""How metadata says it that is older than SPDX expressions."""
READ_BY_HAND = {("apsw-sqlite3mc", "3.54.0.0"): "Zlib", ("automerge", "1.0.0rc1"): "MIT"}
"""Where the metadata says nothing of use, the licence file was read. By version: the next one wants to be read anew."""
_HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}$")
_PINNED = re.compile(r"==[^,*\s]+$")


class Locked(NamedTuple):
    """One entry of the lock file."""

    requirement: Requirement
    hashes: int

    @property
    def name(self) -> str:
        """The name as packages are compared."""
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str:
        """The one version that it allows."""
        return str(self.requirement.specifier).removeprefix("==")

    @property
    def here(self) -> bool:
        """Whether it is for this system and this Python at all."""
        return self.requirement.marker is None or self.requirement.marker.evaluate()


def read_lock(text: str) -> tuple[list[Locked], list[str]]:
    """The entries of a lock file, and what is wrong with it.

    Args:
        text: the file, as ``uv pip compile --generate-hashes`` writes it.
    """
    entries: list[Locked] = []
    wrongs: list[str] = []
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*$", "", text)).splitlines()
    for line in filter(str.strip, lines):
        stated, *options = re.split(r"\s+(?=--)", line.strip())
        if stated.startswith("-") or " @ " in stated or "://" in stated:
            wrongs.append(f"{stated[:60]}: only names and versions belong here, no option and no address")
            continue
        entry = Locked(Requirement(stated), len(options))
        if not _PINNED.match(str(entry.requirement.specifier)):
            wrongs.append(f"{entry.name}: not pinned to one version")
            continue
        if not options or not all(map(_HASH.match, options)):
            wrongs.append(f"{entry.name}: without a hash, or with one that is no SHA-256")
        entries.append(entry)
    twice = {entry.name for entry in entries if sum(other.name == entry.name for other in entries) > 1}
    return entries, wrongs + [f"{name}: stands there twice" for name in sorted(twice)]


def undeclared(project: dict[str, dict[str, object]], locked: Iterable[Locked]) -> list[str]:
    """What the project asks for that the lock file lacks, or holds in a version that doesn't do."""
    versions = {entry.name: entry.version for entry in locked}
    wrongs = []
    for requirement in map(Requirement, _asked_for(project)):
        version = versions.get(canonicalize_name(requirement.name))
        if version is None:
            wrongs.append(f"{requirement.name}: asked for in pyproject.toml, and not locked: make lock")
        elif not requirement.specifier.contains(Version(version), prereleases=True):
            wrongs.append(
                f"{requirement.name}: {version} is locked, and pyproject.toml asks for {requirement.specifier}: make lock"
            )
    return wrongs


def _asked_for(project: dict[str, dict[str, object]], *, tools: bool = True) -> list[str]:
    lists: list[object] = [project["project"]["dependencies"]]
    if tools:
        extras = project["project"]["optional-dependencies"]
        assert isinstance(extras, dict)
        lists += [project["build-system"]["requires"], *extras.values()]
    return [str(item) for one in lists if isinstance(one, list) for item in one]


def runtime(project: dict[str, dict[str, object]]) -> dict[str, Distribution]:
    """What comes along with Bide on this system, by name: its dependencies, and what these need in turn.

    Raises:
        PackageNotFoundError: one of them is not installed.
    """
    found: dict[str, Distribution] = {}
    ahead = [Requirement(text) for text in _asked_for(project, tools=False)]
    while ahead:
        requirement = ahead.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        found[name] = distribution(name)
        ahead += map(Requirement, found[name].requires or ())
    return dict(sorted(found.items()))


def licences(package: Distribution) -> list[frozenset[str]]:
    """The licences of a package, to choose from: each choice is what holds together. Empty if it isn't known.

    The expression of the metadata counts most, then its classifiers, then what else it says.
    """
    metadata = package.metadata
    read = READ_BY_HAND.get((canonicalize_name(metadata["Name"]), package.version))
    if expression := read or _first(package, "License-Expression"):
        if set("()") & set(expression) or " WITH " in expression:
            return []
        return [frozenset(choice.split(" AND ")) for choice in expression.split(" OR ")]
    classifiers = [line for line in metadata.get_all("Classifier") or () if line.startswith("License ::")]
    said = [line.rpartition(" :: ")[2] for line in classifiers] or [_first(package, "License").partition("\n")[0]]
    known = [SAID_OTHERWISE.get(one, one) for one in said]
    return [frozenset((one,)) for one in known if one in ALLOWED | TOOLS_ONLY]


def _first(package: Distribution, field: str) -> str:
    return next(iter(package.metadata.get_all(field) or ()), "")


def unfit(locked: Iterable[Locked], shipped: Iterable[str]) -> list[str]:
    """What is installed in another version than the locked one, or under a licence that doesn't fit."""
    with_bide = set(shipped)
    wrongs = []
    for entry in locked:
        if not entry.here:
            continue
        try:
            package = distribution(entry.name)
        except PackageNotFoundError:
            wrongs.append(f"{entry.name}: locked, and not installed: make setup")
            continue
        if package.version != entry.version:
            wrongs.append(f"{entry.name}: {package.version} is installed, and {entry.version} is locked: make setup")
        fitting = ALLOWED if entry.name in with_bide else ALLOWED | TOOLS_ONLY
        choices = licences(package)
        if not any(choice <= fitting for choice in choices):
            said = " or ".join(" and ".join(sorted(choice)) for choice in choices) or "unknown"
            wrongs.append(f"{entry.name} {package.version}: its licence is {said}; read it, then see docs/dependencies.py")
    return wrongs


def check(root: Path) -> tuple[list[str], str]:
    """Everything that is wrong, and the figures for when nothing is."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    locked, wrongs = read_lock((root / LOCK).read_text("utf-8"))
    wrongs += undeclared(project, locked)
    try:
        shipped = runtime(project)
    except PackageNotFoundError as error:
        return [*wrongs, f"{error.name}: needed by Bide, and not installed: make setup"], ""
    names = {entry.name for entry in locked}
    wrongs += [f"{name}: comes along with Bide, and is not locked: make lock" for name in shipped if name not in names]
    wrongs += unfit(locked, shipped)
    return wrongs, f"{len(locked)} packages are pinned and hashed, {len(shipped)} come along with Bide, all licences fit."


def main() -> int:
    """Run it as a program."""
    parser = ArgumentParser(description="Look at what Bide is made of, without a network.")
    parser.add_argument("--runtime", action="store_true", help="list the packages that come along with Bide")
    parser.add_argument("--root", type=Path, default=ROOT, help="where pyproject.toml and the lock file are")
    asked = parser.parse_args()
    if asked.runtime:
        project = tomllib.loads((asked.root / "pyproject.toml").read_text("utf-8"))
        sys.stdout.writelines(f"{name}\n" for name in runtime(project))
        return 0
    wrongs, figures = check(asked.root)
    sys.stderr.writelines(f"{wrong}\n" for wrong in wrongs)
    if not wrongs:
        sys.stdout.write(f"{figures}\n")
    return int(bool(wrongs))


if __name__ == "__main__":
    sys.exit(main())
