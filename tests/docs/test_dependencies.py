"""What Bide is made of: the lock file is held to what the project asks for, to its hashes and to licences."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def look(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "docs.dependencies", "--root", str(root)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def copied(folder: Path) -> Path:
    for name in ("pyproject.toml", "requirements.lock"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


def block_of(lock: str, name: str) -> str:
    """An entry of the lock file, with its hashes."""
    begin = lock.index(f"\n{name}==") + 1
    lines = lock[begin:].splitlines(keepends=True)
    end = next(place for place, line in enumerate(lines) if place and not line.startswith(" "))
    return "".join(lines[:end])


def test_the_lock_file_is_pinned_hashed_and_complete() -> None:
    """As it is here, with what is installed here."""
    done = look(ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "pinned and hashed" in done.stdout


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lock: lock.replace(block_of(lock, "msgpack"), "msgpack==1.2.4\n"), "msgpack: without a hash"),
        (lambda lock: lock.replace("--hash=sha256:", "--hash=md5:", 1), "annotated-types: without a hash"),
        (lambda lock: lock.replace("\nmsgpack==", "\nmsgpack>="), "msgpack: not pinned"),
        (
            lambda lock: lock.replace(block_of(lock, "websockets"), ""),
            "websockets: asked for in pyproject.toml, and not locked",
        ),
        (lambda lock: lock.replace(block_of(lock, "cffi"), ""), "cffi: comes along with Bide, and is not locked"),
        (lambda lock: lock.replace("\nclick==8", "\nclick==7"), "pyproject.toml asks for"),
        (lambda lock: lock + block_of(lock, "click"), "click: stands there twice"),
        (lambda lock: "--extra-index-url https://example.org\n" + lock, "no option and no address"),
        (lambda lock: lock + "bad @ https://example.org/bad.whl\n", "no option and no address"),
        (lambda lock: lock.replace("\nrich==15", "\nrich==16"), "is installed, and 16"),
    ],
)
def test_what_is_wrong_with_a_lock_file_is_named(tmp_path: Path, change: object, said: str) -> None:
    """Each of the ways in which something else than was looked at could be installed."""
    assert callable(change)
    lock = copied(tmp_path) / "requirements.lock"
    before = lock.read_text("utf-8")
    lock.write_text(change(before), encoding="utf-8")
    assert lock.read_text("utf-8") != before
    done = look(tmp_path)
    assert done.returncode == 1
    assert said in done.stderr


def test_a_licence_that_asks_more_does_not_come_along(tmp_path: Path) -> None:
    """A tool may be under the GPL; what Bide itself needs may not, nor may what is unknown."""
    project = copied(tmp_path) / "pyproject.toml"
    text = project.read_text("utf-8")
    project.write_text(text.replace("dependencies = [\n", 'dependencies = [\n    "jrnl>=4.6",\n', 1), encoding="utf-8")
    done = look(tmp_path)
    assert done.returncode == 1
    assert "jrnl 4.6: its licence is GPL-3.0-only" in done.stderr
