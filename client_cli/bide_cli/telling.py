"""After a write: its id, who can see it, what happens next; and waking what carries it on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bide_cli import background
from bide_cli.home import Config
from bide_cli.shell import Shell, name_list

if TYPE_CHECKING:
    from bide.replica import Replica
    from bide.replica.writing import Written

NEXT_PRIVATE = "only your own devices can open it"
NEXT_NO_RELAY = "stays here until a relay is set: bide relay set URL"
NEXT_RELAY = "goes when the relay is reachable"
NEXT_BY_HAND = "goes with the next bide sync"


def tell_written(
    shell: Shell,
    command: str,
    replica: Replica,
    config: Config,
    written: Written,
    *,
    words: str = "",
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Tell a person or a script what was written, and let the background carry it on.

    Args:
        shell: where.
        command: for the schema.
        replica: has it.
        config: of the home.
        written: what the replica said.
        words: what else to say.
        extra: what else a script is told.
    """
    shared = written.visibility == "shared"
    then = _next(replica, config, shared=shared)
    if shell.as_json:
        shell.emit(command, **written._asdict(), then=then, **(extra or {}))
    else:
        seen = f"Shared with {name_list(written.shared_with)}" if shared else "Only you can see it"
        shell.out(f"{seen} · {written.code} · {then}")
        if words:
            shell.say(words)
    if replica.relay():
        # Private entries too: they go, sealed, to the person's own other devices.
        background.carry_on(shell.home, config)


def _next(replica: Replica, config: Config, *, shared: bool) -> str:
    if not shared:
        return NEXT_PRIVATE
    if not replica.relay():
        return NEXT_NO_RELAY
    return NEXT_RELAY if background.wanted(config) else NEXT_BY_HAND
