"""What stands at the head of an export: whose journal, when, and what is in it."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from typing import NamedTuple

from bide_cli.exporting.entries import PRIVATE, SHARED, Wanted
from bide_cli.language import _
from bide_cli.terminal.dates import heading
from bide_cli.terminal.shell import clean_line
from bide_cli.terminal.zone import local_zone


class Head(NamedTuple):
    """Of one export."""

    name: str
    """Whose journal it is."""
    at: str
    """RFC 3339 in UTC."""
    day: str
    version: str
    """Of Bide."""
    wanted: Wanted

    @property
    def title(self) -> str:
        """What to call it."""
        return _("The journal of {name}").format(name=clean_line(self.name))

    def lines(self) -> list[str]:
        """What a reader should know of it, a sentence each."""
        wanted = self.wanted
        said = [_("Exported from Bide on {day}.").format(day=heading(self.day))]
        if wanted.mine:
            said.append(_("Only {name}'s own words are in it.").format(name=clean_line(self.name)))
        if wanted.only == PRIVATE:
            said.append(_("Only what was private is in it."))
        elif wanted.only == SHARED:
            said.append(_("Only what was shared is in it."))
        if wanted.with_:
            said.append(_("Only what is shared with {name} is in it.").format(name=clean_line(wanted.with_)))
        if wanted.since or wanted.until:
            first, last = wanted.since or "…", wanted.until or "…"
            said.append(_("Days: {first} to {last}.").format(first=first, last=last))
        return said


def head_now(name: str, wanted: Wanted) -> Head:
    """The head of an export that is made now."""
    import time

    now = datetime.now(UTC)
    at = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Head(name, at, time.strftime("%Y-%m-%d", time.localtime()), version("bide"), wanted)


def here() -> str:
    """The zone in whose time the entries that were written in it are told."""
    return local_zone()
