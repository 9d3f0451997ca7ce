"""Writing by way of the outbox: what the config says is to wait is held, everything else goes at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bide.errors import BideError
from bide.ids import parse_entry_id
from bide.replica.authoring.holding import Deed, Held
from bide.replica.spaces.removal import require_belonging
from bide.storage.base import find_space
from bide_cli.language import _
from bide_cli.terminal.shell import Shell

if TYPE_CHECKING:
    from bide.replica import Replica
    from bide.replica.authoring.writing import Written
    from bide.storage.base import HeldRecord, SpaceRecord
    from bide_cli.home.folder import Config


def put(
    shell: Shell, replica: Replica, config: Config, deed: Deed, *, space: SpaceRecord | None = None, private: bool = False
) -> Written | Held:
    """Write something, or hold it if the config says so and ``--now`` was not given. What is due goes before it.

    Args:
        shell: where.
        replica: of the home.
        config: of the home.
        deed: what to write.
        space: where, for what begins an entry.
        private: nobody else gets it, so it is never held.

    Raises:
        BideError: as `bide.replica.authoring.holding.Holding.put`.
    """
    if space is not None:
        require_belonging(replica.storage, space)
    if deed.about and not is_elsewhere(replica, deed.about):
        require_place(replica, deed.about)
    send_due(shell, replica)
    minutes = 0 if private or shell.now or not deed.has_words else config.hold_min(deed.kind)
    return replica.holding.put(deed, minutes=minutes, space=space)


def send_due(shell: Shell, replica: Replica) -> list[Written]:
    """Let go of what is due, and say so. Whatever is in its way is in nobody else's."""
    try:
        sent = replica.holding.send_due()
    except BideError:
        return []
    for written in sent:
        shell.say(_("What was held goes now: {code}").format(code=written.code))
    return sent


def require_place(replica: Replica, entry_id: str) -> None:
    """See to it, before anybody is asked for words, that what is said about an entry can reach somebody.

    Raises:
        NotAllowed: this device was removed from where the entry is.
        NotFound, InputError: as `bide.replica.Replica.show`.
    """
    record = replica.reader.find(entry_id)
    require_belonging(replica.storage, find_space(replica.storage, record.space_id))


def is_elsewhere(replica: Replica, entry_id: str) -> bool:
    """Whether that is the whole id of an entry that is not on this device (yet)."""
    entry = parse_entry_id(entry_id)
    return entry is not None and not replica.storage.entries_with_id(entry)


def is_there_yet(replica: Replica, record: HeldRecord) -> bool:
    """Whether what something held answers, if it answers anything, is on this device."""
    return record.waits_for is None or bool(replica.storage.entries_with_id(record.waits_for))
