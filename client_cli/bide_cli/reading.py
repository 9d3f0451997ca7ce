"""Reading the journal: what `bide timeline`, `bide show` and `bide search` do. Imports neither click nor what writing needs."""

from __future__ import annotations

import time

from bide.errors import InputError
from bide_cli.opening import open_replica
from bide_cli.render import draw_history, draw_timeline
from bide_cli.shell import Shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_DAY_SECONDS = 86_400
SEARCH_CHARS_MAX = 400
DELIVERIES = {
    "here": "It is on this device only, until the relay can be reached.",
    "on the relay": "It has reached the relay.",
    "on a device of theirs": "It has reached a device of theirs.",
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
    entries = open_replica(shell).timeline(
        since=_day(since, "--since"),
        until=_day(until, "--until"),
        kinds=tuple(kind),
        by=by,
        search=_words(search),
        limit=limit,
        with_=with_,
    )
    if shell.as_json:
        shell.emit("timeline", entries=entries)
    elif entries:
        shell.page("\n".join(draw_timeline(shell, entries)) + "\n", newest_last=True)
    elif since or until or kind or by or search or with_:
        shell.say("Nothing here fits that.")
    else:
        shell.say("Nothing has been written yet. A good beginning: bide checkin")


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
    entries = open_replica(shell).timeline(
        since=_day(since, "--since"), until=_day(until, "--until"), by=by, search=text, limit=limit
    )
    if shell.as_json:
        shell.emit("search", words=text.split(), entries=entries)
    elif entries:
        shell.page("\n".join(draw_timeline(shell, entries)) + "\n", newest_last=True)
    else:
        shell.say("Nothing here contains that.")


def show(shell: Shell, *, words: Sequence[str]) -> None:
    """Show one entry whole: replies, earlier texts, and how far it has come."""
    entry = open_replica(shell).show(words[0])
    if shell.as_json:
        shell.emit("show", entry=entry)
        return
    lines = draw_timeline(shell, [entry])
    if entry["history"]:
        lines += ["", *draw_history(shell, entry)]
    delivery = DELIVERIES.get(entry.get("delivery", ""))
    if delivery:
        lines += ["", f"  {delivery}"]
    if entry.get("next"):
        lines += ["", f"  Open to you: {', '.join(entry['next'])}   (bide repair {entry['code']} {entry['next'][0]})"]
    shell.page("\n".join(lines) + "\n")


def _words(text: str) -> str:
    if len(text) > SEARCH_CHARS_MAX:
        raise InputError("That is too much to look for at once.", hint="A few words are enough.")
    if "\0" in text:
        raise InputError("That can't be looked for.")
    return text.strip()


def _day(text: str, option: str) -> str:
    """A day as an option gives it: ``2026-11-22``, ``today`` or ``yesterday``; empty stays empty."""
    if text in ("today", "yesterday"):
        seconds = time.time() - (_DAY_SECONDS if text == "yesterday" else 0)
        return time.strftime("%Y-%m-%d", time.localtime(seconds))
    if text:
        try:
            if len(text) != len("2026-11-22") or not text.isascii():
                raise ValueError
            time.strptime(text, "%Y-%m-%d")
        except ValueError:
            raise InputError(f"{option} takes a day.", hint="For example: 2026-11-22, today, yesterday") from None
    return text
