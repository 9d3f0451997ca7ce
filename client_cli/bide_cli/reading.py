"""Reading the journal: what `bide timeline`, `bide show` and `bide search` do. Imports neither click nor what writing needs."""

from __future__ import annotations

import time

from bide.errors import InputError
from bide_cli.dates import iso_day, today
from bide_cli.language import ENGLISH, N_, _, language
from bide_cli.opening import open_replica
from bide_cli.render import draw_history, draw_notes, draw_timeline
from bide_cli.shell import Shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from bide.replica import Replica

_NEAR_DAYS = {"today": 0, "yesterday": 1}
SEARCH_CHARS_MAX = 400
DELIVERIES = {
    "here": N_("It is on this device only, until the relay can be reached."),
    "on the relay": N_("It has reached the relay."),
    "on a device of theirs": N_("It has reached a device of theirs."),
}


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
    _check_day(since, "--since")
    _check_day(until, "--until")
    search = _words(search)
    replica = open_replica(shell)
    entries = _entries(replica, search, limit, since=since, until=until, kinds=tuple(kind), by=by, with_=with_)
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
    _check_day(since, "--since")
    _check_day(until, "--until")
    replica = open_replica(shell)
    entries = _entries(replica, text, limit, since=since, until=until, by=by)
    if shell.as_json:
        shell.emit("search", words=text.split(), entries=entries)
    elif entries:
        _page(shell, replica, entries)
    else:
        shell.say(_("Nothing here contains that."))


def _page(shell: Shell, replica: Replica, entries: list[dict[str, Any]]) -> None:
    lines = draw_timeline(shell, entries, today=today(replica.day_starts_min))
    shell.page("\n".join(lines) + "\n", newest_last=True)


def _entries(replica: Replica, search: str, limit: int, *, since: str, until: str, **filters: Any) -> list[dict[str, Any]]:
    """The entries that fit. In another language than English feelings are looked for by their word in it as well."""
    filters |= {"since": _day(since, replica.day_starts_min), "until": _day(until, replica.day_starts_min)}
    entries = replica.timeline(search=search, limit=limit, **filters)
    if not search or language() == ENGLISH:
        return entries
    from bide.words.feelings import find

    feeling = find(search, language())
    if feeling is None or feeling.slug == search:
        return entries
    # What is stored is the slug, which may also stand in somebody's text, in English.
    felt = [entry for entry in replica.timeline(search=feeling.slug, **filters) if _holds(entry, feeling.slug)]
    merged = {entry["id"]: entry for entry in (*felt, *entries)}
    ordered = sorted(merged.values(), key=lambda entry: (entry["day"], entry["at"], entry["id"]))
    return ordered[-limit:]


def _holds(entry: dict[str, Any], slug: str) -> bool:
    return slug in entry["fields"].get("feelings", ()) or any(_holds(reply, slug) for reply in entry["replies"])


def show(shell: Shell, *, words: Sequence[str]) -> None:
    """Show one entry whole: replies, earlier texts, and how far it has come."""
    replica = open_replica(shell)
    entry = replica.show(words[0])
    if shell.as_json:
        shell.emit("show", entry=entry)
        return
    lines = draw_timeline(shell, [entry], today=today(replica.day_starts_min), whole=True)
    if entry["history"]:
        lines += ["", *draw_history(shell, entry)]
    notes = [_(DELIVERIES[entry["delivery"]])] if entry.get("delivery") in DELIVERIES else []
    if steps := entry.get("next"):
        command = f"bide repair {entry['code']} {steps[0]}"
        notes.append(_("Open to you: {steps}   ({command})").format(steps=", ".join(steps), command=command))
    lines += draw_notes(shell, notes)
    shell.page("\n".join(lines) + "\n")


def _words(text: str) -> str:
    if len(text) > SEARCH_CHARS_MAX:
        raise InputError("That is too much to look for at once.", hint="A few words are enough.")
    if "\0" in text:
        raise InputError("That can't be looked for.")
    return text.strip()


def _check_day(text: str, option: str) -> None:
    """See to it that an option gives a day: ``2026-11-22``, ``today`` or ``yesterday``, or nothing."""
    if not text or text in _NEAR_DAYS:
        return
    try:
        if len(text) != len("2026-11-22") or not text.isascii():
            raise ValueError
        time.strptime(text, "%Y-%m-%d")
    except ValueError:
        raise InputError("{option} takes a day.", hint="For example: 2026-11-22, today, yesterday", option=option) from None


def _day(text: str, day_starts_min: int) -> str:
    """A day that was checked, as entries have it. What is written after midnight still belongs to the day before."""
    return iso_day(today(day_starts_min) - _NEAR_DAYS[text]) if text in _NEAR_DAYS else text
