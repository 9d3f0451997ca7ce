"""The tree of commands, on click. A command's module is imported when it is used, so that none pays for another."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from bide_cli import failures
from bide_cli.language import ENGLISH, _, language

SECTIONS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Writing",
        (
            ("checkin", "Say how you are."),
            ("thank", "Tell what you noticed and liked."),
            ("share", "Tell something about yourself."),
            ("feel", "Name what you feel."),
            ("did", "Keep something that you did together."),
            ("reflect", "Write for yourself."),
            ("edit", "Change something you wrote."),
            ("undo", "Take back what you wrote."),
            ("erase", "Erase your own words for good."),
            ("outbox", "See what waits here before it is sent."),
            ("send", "Let go now of what waits here."),
            ("release", "Share something that you wrote for yourself."),
        ),
    ),
    (
        "Answering",
        (
            ("hear", "Say back what the other wrote."),
            ("ask", "Ask a question that both of you can answer."),
            ("answer", "Answer a question."),
            ("repair", "Talk something through, step by step."),
            ("receive", "Thank the other for telling you."),
            ("later", 'Say "not right now" to something.'),
        ),
    ),
    (
        "Reading",
        (
            ("timeline", "Read what you both wrote."),
            ("show", "Read one entry whole."),
            ("search", "Find entries by words."),
            ("review", "Look back on some weeks."),
        ),
    ),
    (
        "Together",
        (
            ("start", "Begin, or find one small thing for this week."),
            ("init", "Begin a journal on this device."),
            ("pair", "Invite the other person; gives a code."),
            ("join", "Join by the other person's code."),
            ("people", "See with whom you share."),
            ("device", "See your devices and the other's; add and remove yours."),
            ("recovery", "Keep a way back on paper, and use it."),
            ("sync", "Exchange entries through the relay now."),
            ("verify", "Compare, side by side, that both hold the same."),
            ("pause", "Stop syncing with somebody for a while; nobody is told."),
            ("leave", "End what you share with somebody."),
            ("sit", "Sit together: talk, look, or breathe."),
            ("safety", "Read what to do when it is not safe."),
        ),
    ),
    (
        "Upkeep",
        (
            ("status", "See what is here and what still waits."),
            ("decks", "See the decks of questions and prompts."),
            ("relay", "Choose the relay."),
            ("unlock", "Keep this home open for a while."),
            ("lock", "Close this home again."),
            ("key", "See and change how this home is locked."),
            ("config", "See and change what this device does."),
            ("bundle", "Exchange entries by a file, without a relay."),
            ("import", "Bring along what you wrote in another journal."),
            ("export", "Take your journal along as a file."),
            ("completion", "Print the completion file of a shell."),
            ("doctor", "Look for anything wrong in this home."),
            ("rebuild", "Build everything shown again from the log."),
            ("digest", "Compare two devices by one short line."),
            ("demo", "Watch two people share one timeline."),
        ),
    ),
)
"""Every command with its one line, so that ``bide --help`` imports none. A test holds them to the commands' own help."""
SUMMARIES = {name: summary for _, commands in SECTIONS for name, summary in commands}
_SUGGESTIONS_MAX = 3


class LazyGroup(click.Group):
    """The group of all commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 click's signature
        """All names."""
        return list(SUMMARIES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one."""
        if cmd_name not in SUMMARIES:
            return None
        module = importlib.import_module(f"bide_cli.commands.{cmd_name}")
        command: click.Command = module.command
        return command if language() == ENGLISH else _translated(command)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant. An unknown word never becomes an entry."""
        name = args[0]
        if name not in SUMMARIES and not name.startswith("-"):
            near = difflib.get_close_matches(name, SUMMARIES, n=_SUGGESTIONS_MAX)
            words = _("There is no command {name!r}.").format(name=name[:40])
            if near:
                words += " " + _("Did you mean {words}?").format(words=_(" or ").join(near))
            raise click.UsageError(words, ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The commands with their lines, by what they are for."""
        for title, commands in SECTIONS:
            with formatter.section(_(title)):
                formatter.write_dl([(name, _(summary)) for name, summary in commands])


def _translated(command: click.Command) -> click.Command:
    from bide_cli.helping import translate

    return translate(command)


def _print_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: ARG001 click's signature
    if value:
        from importlib.metadata import version

        click.echo(f"bide {version('bide')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="\b\nExamples:\n  bide init --name Sam\n  bide checkin\n  bide timeline --since yesterday\n  bide thank --help",
)
@click.option("--home", metavar="DIR", help="Where everything of this device is. Default: BIDE_HOME, or this system's place.")
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print the version.")
@click.pass_context
def bide(ctx: click.Context, home: str | None) -> None:
    """A journal that two people keep together.

    Everything works without a connection; what you share goes to the other's device, and nobody in between can read it.
    """
    ctx.obj = {"home": home or ""}


def run(args: Sequence[str]) -> int:
    """Run a command line.

    Returns:
        The exit code.

    Raises:
        BideError: whatever a command raised.
    """
    as_json = "--json" in args
    if language() != ENGLISH:
        _translated(bide)
    try:
        result: Any = bide.main(list(args), prog_name="bide", standalone_mode=False)
        return result if isinstance(result, int) else failures.OK
    except click.exceptions.NoArgsIsHelpError as error:
        error.show(sys.stderr)
        return failures.USAGE
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else "bide"
        failures.tell("usage", error.format_message(), _("See: {command} --help").format(command=path), as_json=as_json)
        return failures.USAGE
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        failures.tell("error", error.format_message(), "", as_json=as_json)
        return error.exit_code
