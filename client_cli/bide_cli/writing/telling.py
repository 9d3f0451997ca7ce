"""After a write: its id, who can see it, what happens next, how to take it back; and waking what carries it on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bide.ids import entry_slot, parse_entry_id
from bide.replica.spaces.removal import is_removed
from bide.replica.spaces.stance import PAUSED
from bide_cli.home.folder import Config
from bide_cli.language import N_, _
from bide_cli.syncing import background
from bide_cli.terminal.layout import text_columns
from bide_cli.terminal.shell import Shell, name_list

if TYPE_CHECKING:
    from bide.replica import Replica
    from bide.replica.authoring.holding import Held
    from bide.replica.authoring.writing import Written

NEXT_PRIVATE = N_("only your own devices can open it")
NEXT_NO_RELAY = N_("stays here until a relay is set: bide relay set URL")
NEXT_RELAY = N_("goes when the relay is reachable")
NEXT_REMOVED = N_("stays on this device, which was removed, as the relay says")
NEXT_AFTER_PAUSE = N_("goes when the pause ends: bide pause --end")
NEXT_BY_HAND = N_("goes with the next bide sync")
HELD_BY_ITSELF = N_("goes by itself then")
HELD_BY_HAND = N_("goes with the first thing you write or sync after that")
HELD_REPLY = N_("goes when what it answers has arrived here")
_UNDONE_OTHERWISE = ("edit", "later")
"""Commands that add to an entry; `bide undo` would take back all of it."""
_CLOCK_SLACK_MS = 3_600_000
_CLOCK_LOOK = 12


def tell_written(
    shell: Shell,
    command: str,
    replica: Replica,
    config: Config,
    written: Written | Held,
    *,
    words: str = "",
    seen: str = "",
    back: str = "",
    extra: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Tell a person or a script what was written, and let the background carry it on.

    Args:
        shell: where.
        command: for the schema.
        replica: has it.
        config: of the home.
        written: what the replica said.
        words: what else to say of what is under way; what is held is not.
        seen: what {names} can see, where it is not the entry.
        back: how to take it back by {code}, where that is not by `bide undo`.
        extra: what else a script is told.
    """
    from bide.replica.authoring.holding import Held  # only who writes gets here

    if isinstance(written, Held):
        _tell_held(shell, command, replica, config, written, extra)
    else:
        shared = written.visibility == "shared"
        then = next_words(replica, config, shared=shared, names=written.shared_with)
        if shell.as_json:
            shell.emit(command, **written._asdict(), then=then, held=False, **extra)
        else:
            names = name_list(written.shared_with)
            alone = _("Only you can see it")
            parts = [(seen or _("Shared with {names}")).format(names=names) if shared else alone, written.code, _(then)]
            if _can_be_undone(replica, command, written, extra):
                back = _("take it back: bide undo {code}")
            if back:
                parts.append(back.format(code=written.code))
            _tell_parts(shell, parts)
            if words:
                shell.say(words)
        if command in _UNDONE_OTHERWISE:
            from bide_cli.writing.holding import send_due

            send_due(shell, replica)  # who begins an entry has done so before
        if replica.relay():
            # Private entries too: they go, sealed, to the person's own other devices.
            background.carry_on(shell.home, config)
    if clock := clock_words(replica):
        shell.say(clock)


def _tell_held(shell: Shell, command: str, replica: Replica, config: Config, held: Held, extra: Mapping[str, Any]) -> None:
    from bide_cli.reading.outbox import due_words
    from bide_cli.terminal.dates import epoch_seconds

    relay = bool(replica.relay())
    if held.waits_for:
        then = HELD_REPLY
    elif not relay:
        then = NEXT_NO_RELAY
    else:
        by_itself = background.wait_for(shell.home, config, epoch_seconds(held.due))
        then = HELD_BY_ITSELF if by_itself else HELD_BY_HAND
    if shell.as_json:
        values = held._asdict()
        shell.emit(command, **values, then=then, held=True, **extra)
        return
    if held.waits_for:
        parts = [_("Waits here until what it answers has arrived"), held.code]
    else:
        parts = [_("Waits here until {time}").format(time=due_words(held.due)), held.code]
        parts.append(_("send it now: bide send {code}").format(code=held.code))
    parts.append(_("take it back: bide undo {code}").format(code=held.code))
    _tell_parts(shell, parts)
    if not held.waits_for:
        seen = _("Until then it is on this device only; afterwards {names} can see it.").format(
            names=name_list(held.shared_with)
        )
        shell.say(f"{seen} {_('It {then}.').format(then=_(then))}")


def _tell_parts(shell: Shell, parts: list[str]) -> None:
    """On one line; on a narrower screen broken between the parts, so that a command stays whole."""
    columns = shell.width
    lines = parts[:1]
    for part in parts[1:]:
        if columns and text_columns(f"{lines[-1]} · {part}") > columns:
            lines.append(part)
        else:
            lines[-1] += f" · {part}"
    shell.out("\n".join(lines))


def next_words(replica: Replica, config: Config, *, shared: bool, names: Sequence[str] = ()) -> str:
    """What happens next with what was written, in English: it is translated where it is shown."""
    if not shared:
        return NEXT_PRIVATE
    if replica.resting() and any(person.stance == PAUSED and person.name in names for person in replica.reader.people()):
        return NEXT_AFTER_PAUSE
    if not replica.relay():
        return NEXT_NO_RELAY
    if _turned_away(replica, names):
        return NEXT_REMOVED
    return NEXT_RELAY if background.wanted(config) else NEXT_BY_HAND


def _turned_away(replica: Replica, names: Sequence[str]) -> bool:
    view = replica.reader.view()
    shared = [space for space in replica.spaces() if space.kind == "pair" and not space.pending]
    return any(is_removed(replica.storage, space) for space in shared if {*view.others(space.space_id)} & {*names})


def _can_be_undone(replica: Replica, command: str, written: Written, extra: Mapping[str, Any]) -> bool:
    """Whether `bide undo` takes back what was just done, and nothing besides."""
    if command in _UNDONE_OTHERWISE or (written.kind == "repair" and extra.get("step") != "invite"):
        return False
    entry = parse_entry_id(written.id)
    records = replica.storage.entries_with_id(entry) if entry is not None else []
    slots = {space.space_id: space.slot for space in replica.spaces()}
    return entry is not None and any(slots[record.space_id] == entry_slot(entry) for record in records)


def clock_words(replica: Replica) -> str:
    """A gentle sentence if this device's clock says that it is long before what one wrote last; else empty.

    Looks at a few entries: a single one from a day when the clock was ahead says nothing about today.
    """
    from bide.storage.base import EntryQuery

    now_ms = time.time_ns() // 1_000_000
    slots = {space.space_id: space.slot for space in replica.spaces()}
    newest = [e.at_ms for e in replica.storage.entries(EntryQuery(limit=_CLOCK_LOOK)) if e.slot == slots[e.space_id]]
    # What was written just now is among them only if it is one of the newest.
    earlier = [at_ms for at_ms in newest if abs(at_ms - now_ms) > _CLOCK_SLACK_MS]
    if not earlier or min(earlier) < now_ms:
        return ""
    today = time.strftime("%Y-%m-%d", time.localtime(now_ms // 1000))
    return _("This device's clock says {day}, which is before your last entry. Is it right?").format(day=_day(today))


def _day(day: str) -> str:
    from bide_cli.terminal.dates import heading

    return heading(day)
