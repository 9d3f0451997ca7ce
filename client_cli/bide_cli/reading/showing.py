"""Reading the journal: what `bide timeline`, `bide show` and `bide search` do. Imports neither click nor what writing needs."""

from __future__ import annotations

from bide.errors import InputError, NotFound
from bide.replica.views.reading import ALL, HERE, LATER_PART
from bide_cli.language import N_, _
from bide_cli.reading.render import draw_history, draw_notes, draw_timeline
from bide_cli.terminal.dates import check_day, day_of, today
from bide_cli.terminal.shell import Shell
from bide_cli.unlocking.opening import open_replica

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bide.replica import Replica

_ANSWERABLE = ("checkin", "appreciation", "share", "question", "feeling", "activity", "reflection", "keepsake")
"""Kinds that stand by themselves, and are no conversation."""
_NOT_QUITE = "not_quite"
_HEARABLE = ("checkin", "share", "feeling", "reflection", "keepsake")
"""Kinds that tell of the one who wrote them, which is what hearing is for."""
SEARCH_CHARS_MAX = 400
DELIVERIES = {
    "on the relay": N_("It has reached the relay."),
    "on a device of theirs": N_("It has reached a device of theirs."),
}
UNSENT = {
    ALL: N_("It is on this device only, until the relay can be reached."),
    LATER_PART: N_(
        "Your last change is on this device only, until the relay can be reached; what was there before has been sent."
    ),
    "": N_("Not all of it has reached the relay yet."),
}
"""Where the delivery is ``here``."""


def timeline(
    shell: Shell,
    *,
    since: str = "",
    until: str = "",
    kind: Sequence[str] = (),
    by: str = "",
    search: str = "",
    with_: str = "",
    limit: int = 0,
) -> None:
    """Show the entries that fit, oldest first."""
    check_day(since, "--since")
    check_day(until, "--until")
    search = _words(search)
    replica = open_replica(shell)
    entries = replica.timeline(
        since=day_of(since, replica.day_starts_min),
        until=day_of(until, replica.day_starts_min),
        kinds=tuple(kind),
        by=by,
        search=search,
        limit=limit,
        with_=with_,
    )
    if shell.as_json:
        shell.emit("timeline", entries=entries)
    elif entries:
        _page(shell, replica, entries)
    elif since or until or kind or by or search or with_:
        shell.say(_("Nothing here fits that."))
    else:
        shell.say(_("Nothing has been written yet. A good beginning: bide checkin"))


def search(
    shell: Shell,
    *,
    words: Sequence[str],
    since: str = "",
    until: str = "",
    by: str = "",
    limit: int = 0,
) -> None:
    """Show the entries that contain all the words."""
    text = _words(" ".join(words))
    if not text:
        raise InputError("Nothing to look for.", hint="For example: bide search river walk")
    check_day(since, "--since")
    check_day(until, "--until")
    replica = open_replica(shell)
    since, until = day_of(since, replica.day_starts_min), day_of(until, replica.day_starts_min)
    entries = replica.timeline(since=since, until=until, by=by, search=text, limit=limit)
    if shell.as_json:
        shell.emit("search", words=text.split(), entries=entries)
    elif entries:
        _page(shell, replica, entries)
    else:
        shell.say(_("Nothing here contains that."))


def _page(shell: Shell, replica: Replica, entries: list[dict[str, Any]]) -> None:
    lines = draw_timeline(shell, entries, today=today(replica.day_starts_min))
    if replica.reader.former():
        from bide_cli.reading.standing import standing_lines

        lines += draw_notes(shell, standing_lines(replica, paused=False))
    shell.page("\n".join(lines) + "\n", newest_last=True)


def show(shell: Shell, *, words: Sequence[str]) -> None:
    """Show one entry whole: replies, earlier texts, and how far it has come."""
    replica = open_replica(shell)
    try:
        entry = replica.show(words[0])
    except NotFound:
        from bide_cli.reading.outbox import show_held  # what is held is in no timeline, and a look at it may take longer

        if show_held(shell, replica, words[0]):
            return
        raise
    if shell.as_json:
        shell.emit("show", entry=entry)
        return
    lines = draw_timeline(shell, [entry], today=today(replica.day_starts_min), whole=True)
    if entry["history"]:
        lines += ["", *draw_history(shell, entry)]
    notes = [_(DELIVERIES[entry["delivery"]])] if entry.get("delivery") in DELIVERIES else []
    if entry.get("delivery") == HERE:
        notes.append(_(UNSENT[replica.reader.unsent(entry)]))
    if steps := entry.get("next"):
        command = f"bide repair {entry['code']} {steps[0]}"
        notes.append(_("Open to you: {steps}   ({command})").format(steps=", ".join(steps), command=command))
    elif commands := _open_commands(entry):
        notes.append(_("Open to you: {commands}").format(commands=" · ".join(commands)))
    lines += draw_notes(shell, notes)
    shell.page("\n".join(lines) + "\n")


def _open_commands(entry: dict[str, Any]) -> list[str]:
    """What can be done with an entry that is no conversation; empty where nothing is."""
    kind, mine, replies = entry["kind"], entry["by"]["me"], entry["replies"]
    if entry["retracted"] or kind not in _ANSWERABLE:
        return []
    mine_there = [reply for reply in replies if reply["by"]["me"] and not reply["retracted"]]
    # What did not quite fit can be said back once more.
    given = {reply["kind"] for reply in mine_there if reply["fields"].get("answer") != _NOT_QUITE}
    verbs = ["answer"] if kind == "question" and "answer" not in given else []
    if not mine:
        verbs += ["hear"] if kind in _HEARABLE and "hearing" not in given else []
        verbs += ["receive"] if kind != "question" and "reception" not in given else []
        verbs += ["later"] if not given and not entry["later"] else []
    else:
        heard = (reply for reply in replies if reply["kind"] == "hearing" and not reply["by"]["me"])
        verbs += ["hear"] if any(not reply["fields"].get("answer") and not reply["retracted"] for reply in heard) else []
        verbs += ["release"] if entry["visibility"] == "private" and not entry["released_to"] else []
        verbs += ["edit", "undo"]
    return [f"bide {verb} {entry['code']}" for verb in verbs]


def _words(text: str) -> str:
    if len(text) > SEARCH_CHARS_MAX:
        raise InputError("That is too much to look for at once.", hint="A few words are enough.")
    if "\0" in text:
        raise InputError("That can't be looked for.")
    return text.strip()
