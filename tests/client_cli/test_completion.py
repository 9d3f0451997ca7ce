"""The tab key, in the shells themselves: what is completed, what is not, and that nothing is run for it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pexpect
import pytest

import bide_cli
from bide.words import deck_names, vocabulary
from bide_cli.cli import SUMMARIES
from bide_cli.commands.completion import FILES

FOLDER = Path(bide_cli.__file__).parent / "completions"
EVERYTHING = ("bash", "zsh", "fish")
CASES: tuple[tuple[str, str], ...] = (
    ("bide timel", "bide timeline"),
    ("bide relay un", "bide relay unset"),
    ("bide relay set --inv", "bide relay set --invite"),
    ("bide thank --notic", "bide thank --noticed"),
    ("bide --home /tmp timel", "bide --home /tmp timeline"),
    ("bide repair rp-7KQ2MX te", "bide repair rp-7KQ2MX tell"),
    ("bide repair withd", "bide repair withdraw"),
    ("bide timeline --kind appr", "bide timeline --kind appreciation"),
    ("bide ask --deck listen", "bide ask --deck listening"),
    ("bide checkin --feelings lonel", "bide checkin --feelings lonely"),
    ("bide feel lonely gloo", "bide feel lonely gloomy"),
    ("bide pair --kind fri", "bide pair --kind friend"),
    ("bide people kind Kim fam", "bide people kind Kim family"),
    ("bide config set day", "bide config set day_starts"),
    ("bide completion fi", "bide completion fish"),
    ("bide init --key-file /etc/passw", "bide init --key-file /etc/passwd"),
    # What is said about something is no command.
    ("bide thank --noticed relay --sho", "bide thank --noticed relay --shows"),
    # What only the journal knows is not completed.
    ("bide show ", "bide show "),
    ("bide thank --with ", "bide thank --with "),
)


def empty_environment(folder: Path) -> dict[str, str]:
    """Where there is neither a Bide nor a home."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "TERM": "xterm", "LC_ALL": "C.UTF-8"}


def bash(line: str, folder: Path) -> list[str]:
    """What bash offers for a line, taken apart as it would."""
    words = line.replace("=", " = ").split(" ")
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bide; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", str(FOLDER / "bide.bash"), *words],
        env=empty_environment(folder),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(("typed", "whole"), CASES, ids=[typed for typed, _ in CASES])
def test_bash_completes(typed: str, whole: str, tmp_path: Path) -> None:
    """One word is offered, or none."""
    before, _, _ = typed.rpartition(" ")
    offered = bash(typed, tmp_path)
    if typed == whole:
        assert offered == []
    else:
        assert whole in {f"{before} {word}" for word in offered}
        assert all(word.startswith(typed.rpartition(" ")[2]) for word in offered)


def test_bash_offers_all_of_a_list(tmp_path: Path) -> None:
    """Every command, every deck, every feeling; the feelings after a comma too, and a value after an equals sign."""
    assert set(bash("bide ", tmp_path)) == set(SUMMARIES)
    assert set(bash("bide ask --deck ", tmp_path)) == set(deck_names())
    slugs = {feeling.slug for feeling in vocabulary()}
    assert set(bash("bide checkin --feelings ", tmp_path)) == slugs
    assert set(bash("bide feel ", tmp_path)) == slugs
    assert set(bash("bide checkin --feelings calm,", tmp_path)) == {f"calm,{slug}" for slug in slugs}
    assert bash("bide timeline --kind=rep", tmp_path) == ["repair"]
    assert {"--json", "--plain", "--no-input", "--help", "--noticed"} <= set(bash("bide thank --", tmp_path))


def test_bash_completes_at_a_real_prompt(tmp_path: Path) -> None:
    """With the tab key, in an interactive shell."""
    shell = pexpect.spawn(
        "bash", ["--norc", "--noprofile", "-i"], env=empty_environment(tmp_path), encoding="utf-8", timeout=20, echo=False
    )
    shell.sendline(f"PS1='re''ady '; bide() {{ printf '<%s>' \"$@\"; echo; }}; source '{FOLDER}/bide.bash'")
    shell.expect("ready ")
    shell.sendline("bide rece\tx")
    shell.expect("<receive><x>")
    shell.close()


def test_zsh_completes(tmp_path: Path) -> None:
    """The same, by the completion system of zsh."""
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed here")
    kept = tmp_path / "lines"
    shell = pexpect.spawn(
        "zsh", ["-f", "-i"], env=empty_environment(tmp_path), encoding="utf-8", timeout=20, dimensions=(50, 160)
    )
    setup = (
        f"fpath=('{FOLDER}' $fpath); autoload -Uz compinit; compinit -u -d '{tmp_path}/dump';"
        f" keep() {{ print -r -- $BUFFER >> '{kept}'; zle kill-whole-line }}; zle -N keep; bindkey '^B' keep; echo set''up"
    )
    shell.sendline(setup)
    shell.expect("setup\r\n")
    for typed, _ in CASES:
        shell.send(f"{typed}\t\x02")
    shell.send("bide timeline --kind=rep\t\x02bide checkin --feelings calm,lonel\t\x02")
    shell.sendline("echo do''ne")
    shell.expect("done\r\n")
    shell.close()
    lines = [line.rstrip() for line in kept.read_text().splitlines()]
    wanted = [whole.rstrip() for _, whole in CASES if "passwd" not in whole]
    assert [line for line in lines[: len(CASES)] if "passwd" not in line] == wanted
    assert lines[len(CASES) :] == ["bide timeline --kind=repair", "bide checkin --feelings calm,lonely"]


def fish(lines: Sequence[str], folder: Path) -> list[list[str]]:
    """What fish offers for each line."""
    script = 'source $argv[1]; for line in $argv[2..-1]; complete -C "$line"; echo END; end'
    done = subprocess.run(
        ["fish", "--no-config", "-c", script, str(FOLDER / "bide.fish"), *lines],
        env=empty_environment(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    parts = done.stdout.split("END\n")
    return [[line.partition("\t")[0] for line in part.splitlines()] for part in parts[:-1]]


def test_fish_completes(tmp_path: Path) -> None:
    """The same, with a line about each."""
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed here")
    offered = fish([typed for typed, _ in CASES], tmp_path)
    for (typed, whole), words in zip(CASES, offered, strict=True):
        before, _, _ = typed.rpartition(" ")
        if typed == whole:
            assert words == [], typed
        else:
            assert whole in {f"{before} {word}" for word in words}, typed


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_program_prints_the_file(nobody: Any, name: str) -> None:
    """As it is in the package; without a home, and without making one."""
    text = (FOLDER / FILES[name]).read_text(encoding="utf-8")
    assert nobody.ok("completion", name).out == text
    assert nobody.json("completion", name) == {"schema": "bide.completion/1", "shell": name, "script": text}
    assert not nobody.home.exists()


def test_an_unknown_shell_is_answered_with_what_was_meant(nobody: Any) -> None:
    """And what there is."""
    refused = nobody.run("completion", "bsh")
    assert refused.code == 2
    assert "Did you mean bash?" in refused.err


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_file_runs_nothing_of_bide(name: str) -> None:
    """Words and the shell's own functions: no call of the program that could ask, unlock or be slow."""
    for line in (FOLDER / FILES[name]).read_text(encoding="utf-8").splitlines():
        assert "$(bide" not in line
        assert "`bide" not in line
        assert "(command bide" not in line
    assert (FOLDER / FILES[name]).stat().st_size < 200_000
