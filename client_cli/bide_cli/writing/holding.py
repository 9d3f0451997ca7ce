"""Writing by way of the outbox: what the config says is to wait is held, everything else goes at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bide.errors import BideError
from bide.ids import parse_entry_id
from bide.replica.holding import RETRACTED, UNEXPECTED, WITHDRAWN, Deed, Held
from bide_cli.language import N_, _, language, plural
from bide_cli.terminal.dates import epoch_seconds, local_minute
from bide_cli.terminal.shell import Shell, clean_line

if TYPE_CHECKING:
    from bide.replica import Replica
    from bide.replica.writing import Written
    from bide.storage.base import HeldRecord, SpaceRecord
    from bide_cli.home.folder import Config

HINDRANCES = {
    WITHDRAWN: N_("it can't go: the conversation was withdrawn meanwhile"),
    RETRACTED: N_("it can't go: what it is about was taken back meanwhile"),
    "not_found": N_("it can't go: what it is about is not on this device"),
    "nothing_changed": N_("it can't go: that is what it says already"),
    "not_allowed": N_("it can't go at this point; bide send tells why"),
    UNEXPECTED: N_("it can't go: something went wrong with it"),
}
"""Why something is still here, by its code."""


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
        BideError: as `bide.replica.holding.Holding.put`.
    """
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


def is_elsewhere(replica: Replica, entry_id: str) -> bool:
    """Whether that is the whole id of an entry that is not on this device (yet)."""
    entry = parse_entry_id(entry_id)
    return entry is not None and not replica.storage.entries_with_id(entry)


def is_there_yet(replica: Replica, record: HeldRecord) -> bool:
    """Whether what something held answers, if it answers anything, is on this device."""
    return record.waits_for is None or bool(replica.storage.entries_with_id(record.waits_for))


def due_words(due: str) -> str:
    """When something goes: the time of day if that is within a day, else with its date."""
    minute = local_minute(due)
    near = abs(epoch_seconds(due) - time.time()) < 12 * 3600
    return minute.rpartition(" ")[2] if near else minute


def first_line(item: dict[str, Any]) -> str:
    """The beginning of what is held, on one line."""
    for name, value in item["fields"].items():
        if text := as_text(name, value):
            return clean_line(text.split("\n", 1)[0])
    return ""


def as_text(name: str, value: Any) -> str:
    """A field's value for a person."""
    if name == "feelings" and isinstance(value, list):
        from bide.words.showing import shown_feeling

        return ", ".join(shown_feeling(str(slug), language()) for slug in value)
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def state_words(item: dict[str, Any]) -> str:
    """What is with something that is held: when it goes, or why it doesn't."""
    if item["hindrance"]:
        return _(HINDRANCES.get(item["hindrance"], N_("it can't go; bide send tells why")))
    if item["waits_for"]:
        return _("goes when what it answers has arrived here")
    if epoch_seconds(item["due"]) <= time.time():
        return _("goes with the next thing you write or sync")
    return _("until {time}").format(time=due_words(item["due"]))


def count_words(items: Sequence[dict[str, Any]]) -> str:
    """How much is held, for one line of `bide status`; empty if nothing is."""
    if not items:
        return ""
    stuck = [item for item in items if item["hindrance"]]
    waiting = [item for item in items if item["waits_for"] and not item["hindrance"]]
    timed = [item for item in items if not item["hindrance"] and not item["waits_for"]]
    parts = [plural("{n} held", "{n} held", len(items))]
    if timed:
        words = _("until {time}") if len(items) == 1 else _("the first until {time}")
        parts.append(words.format(time=due_words(timed[0]["due"])))
    if waiting:
        parts.append(
            _("until what it answers has arrived") if len(items) == 1 else _("some until what they answer has arrived")
        )
    if stuck:
        parts.append(plural("{n} can't go as it is", "{n} can't go as they are", len(stuck)))
    return ", ".join(parts) if len(items) > 1 or stuck else " ".join(parts)
