"""``bide join``."""

from __future__ import annotations

import click

from bide.errors import InputError
from bide.replica.spaces.removal import require_let_in
from bide_cli.language import _
from bide_cli.options import shell_options
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.opening import open_replica


@click.command(
    epilog="\b\nExamples:\n  bide join\n  bide join 7-lantern-otter-cedar@relay.example.org\n"
    "  bide join --code - --json --words-verified < code.txt"
)
@click.argument("code", required=False)
@click.option("--code", "code_option", metavar="CODE", help="The code; - reads it from stdin.")
@click.option("--words-verified", is_flag=True, help="Don't ask for a safety word: whoever runs this compares them.")
@shell_options
def command(shell: Shell, code: str | None, code_option: str | None, words_verified: bool) -> None:
    """Join by the other person's code.

    They run bide pair and read it to you. Type it as you hear it: capitals and hyphens don't matter. Then both compare six
    words, which shows that nobody is in between.
    """
    from bide_cli.terminal.stdin import STDIN, read_stdin

    if code and code_option:
        raise InputError("The code was given twice.")
    replica = open_replica(shell)
    require_let_in(replica.storage)
    text = code or code_option or ""
    if text == STDIN:
        text = read_stdin().strip()
    from bide.replica.joining.pairing import PairingSession
    from bide_cli.joining.pairing import PairingTalk, finish, require_way_to_compare
    from bide_cli.terminal.asking import ask, require_person, say_again

    require_way_to_compare(shell, words_verified=words_verified)
    if not text:
        require_person(shell, "There is no code.", "bide join CODE, or bide join --code - with the code on stdin")
    while True:
        typed = text or ask(shell, _("Code:"))
        try:
            session = PairingSession.join(replica, typed, replica.relay())
            break
        except InputError as error:
            if text:
                raise
            # Nothing has been sent yet, so a slip of the keyboard costs nothing.
            say_again(shell, error)
    result = PairingTalk(shell, replica, session, initiator=False, words_verified=words_verified).run()
    finish(shell, replica, "join", result, session.relay_url)
