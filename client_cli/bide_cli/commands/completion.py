"""``bide completion``."""

from __future__ import annotations

from pathlib import Path

import click

from bide_cli.options import OneOf, shell_options
from bide_cli.terminal.shell import Shell

FILES = {"bash": "bide.bash", "zsh": "_bide", "fish": "bide.fish"}
FOLDER = Path(__file__).parent.parent / "completions"


@click.command(
    epilog="\b\nExamples:\n  bide completion bash > ~/.local/share/bash-completion/completions/bide\n"
    "  bide completion zsh > ~/.zfunc/_bide\n  bide completion fish > ~/.config/fish/completions/bide.fish\n\n"
    "For zsh the folder has to be in fpath, before compinit. A shell that is open takes it up when you open the next one."
)
@click.argument("name", metavar="bash|zsh|fish", type=OneOf(tuple(FILES)))
@shell_options
def command(shell: Shell, name: str) -> None:
    """Print the completion file of a shell.

    With it the tab key completes commands, options, steps, decks and feelings. It is a plain file: nothing runs, nothing is
    opened, and no name or entry of yours is in it.
    """
    script = (FOLDER / FILES[name]).read_text(encoding="utf-8")
    if shell.as_json:
        shell.emit("completion", shell=name, script=script)
    else:
        shell.out(script.rstrip("\n"))
