"""``bide pair``."""

from __future__ import annotations

import click

from bide.entries.person import PARTNER, RELATIONS, clean_relation
from bide.errors import InputError
from bide.replica.spaces.removal import require_let_in
from bide_cli.options import shell_options
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.opening import open_replica


@click.command(
    epilog="\b\nExamples:\n  bide pair\n  bide pair --kind friend\n  bide pair --json --words-verified\n\n"
    'With --json the first line holds the code, at once; the last one "paired": true and the safety words.'
)
@click.option(
    "--kind",
    metavar="|".join(RELATIONS),
    default=PARTNER,
    help="What they are to you; partner if left out. bide people kind changes it.",
)
@click.option("--words-verified", is_flag=True, help="Don't ask for a safety word: whoever runs this compares them.")
@shell_options
def command(shell: Shell, kind: str, words_verified: bool) -> None:
    """Invite the other person; gives a code.

    Read the code to them, on the telephone or face to face. It works once, for ten minutes. Then both compare six words,
    which shows that nobody is in between.

    With several people each has a space of their own: what you share with one, no other can open.
    """
    relation = clean_relation(kind)
    replica = open_replica(shell)
    require_let_in(replica.storage)
    url = replica.relay()
    if not url:
        raise InputError("Pairing needs a relay to meet on, and none is set.", hint="bide relay set URL, then bide pair")
    from bide.replica.joining.pairing import PairingSession
    from bide_cli.joining.pairing import PairingTalk, finish, require_way_to_compare
    from bide_cli.syncing.carrying import sync_own

    require_way_to_compare(shell, words_verified=words_verified)
    sync_own(replica, shell.home)  # a relay that won't take this person would make the code lead nowhere
    session = PairingSession.initiate(replica, url, relation=relation)
    result = PairingTalk(shell, replica, session, initiator=True, words_verified=words_verified).run()
    finish(shell, replica, "pair", result, url)
