"""``bide review``."""

from __future__ import annotations

import click

from bide.projections.review import WEEKS_DEFAULT
from bide_cli.language import _, language
from bide_cli.options import shell_options
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.opening import open_replica


@click.command(
    epilog="\b\nExamples:\n  bide review\n  bide review --weeks 26\n  bide review --html review.html\n"
    "  bide review --html for-my-therapist.html --shared-only"
)
@click.option("--weeks", default=WEEKS_DEFAULT, show_default=True, metavar="N", help="How many weeks, this one included.")
@click.option("--html", "html", metavar="FILE", default="", help="Write it as one page, to keep or to print.")
@click.option("--force", is_flag=True, help="Replace FILE if it is there already.")
@click.option("--shared-only", is_flag=True, help="Leave out what only you can see.")
@click.option("--with", "with_", default="", metavar="NAME", help="Only what is shared with this person.")
@shell_options
def command(shell: Shell, weeks: int, html: str, force: bool, shared_only: bool, with_: str) -> None:
    """Look back on some weeks.

    Made of what you wrote yourself, and of what you two had together. It compares nobody and judges nothing.
    """
    path = None
    if html:
        from bide_cli.reviewing.filing import check_place

        path = check_place(html, force=force)
    replica = open_replica(shell)
    data = replica.review(weeks=weeks, shared_only=shared_only, with_=with_, language=language())
    if path is not None:
        from bide_cli.reviewing.filing import write_page
        from bide_cli.reviewing.page import draw_page

        write_page(path, draw_page(data, name=replica.name), force=force)
    if shell.as_json:
        shell.emit("review", **data, **({"html": str(path)} if path is not None else {}))
    elif path is not None:
        shell.say(_("Written to {path}. Only you can open it on this machine.").format(path=path))
        if data["holds_private"]:
            shell.say(_("It holds entries that only you can see; --shared-only leaves them out."))
    else:
        from bide_cli.reviewing.terminal import draw_review

        shell.page("\n".join(draw_review(shell, data)) + "\n")
