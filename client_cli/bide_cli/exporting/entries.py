"""Walking the journal for an export: a few days at a time, so that a large one is never in memory whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from bide.errors import InputError
from bide_cli.exporting.mine import is_me, me_called, own_words
from bide_cli.exporting.originals import unpack

if TYPE_CHECKING:
    from bide.replica import Replica

PRIVATE, SHARED = "private", "shared"
WINDOW_ENTRIES = 500
_KEEPSAKE = "keepsake"


class Wanted(NamedTuple):
    """Which entries go into the file."""

    since: str = ""
    until: str = ""
    kinds: tuple[str, ...] = ()
    with_: str = ""
    only: str = ""
    """`PRIVATE`, `SHARED`, or empty for both."""
    mine: bool = False


class Walk:
    """One walk over what is wanted; counts as it goes."""

    def __init__(self, replica: Replica, wanted: Wanted) -> None:
        """Prepare it.

        Raises:
            InputError: an unknown kind.
            NotFound: nobody of that name.
        """
        self._replica = replica
        self._wanted = wanted
        # Keepsakes as well: one may keep an entry of a kind that is wanted.
        self._kinds = (*wanted.kinds, _KEEPSAKE) if wanted.kinds and _KEEPSAKE not in wanted.kinds else wanted.kinds
        self.entries = 0
        self.private = 0
        """How many of them only this person could see so far."""
        self.windows = self._windows()

    def _windows(self) -> list[tuple[str, str]]:
        """Runs of days, first and last, of some hundred entries each."""
        from bide.storage.base import EntryQuery

        wanted = self._wanted
        # Asked for by the replica once, with a limit, for what it says about kinds and names that it doesn't know.
        self._replica.timeline(kinds=self._kinds, with_=wanted.with_, limit=1)
        query = EntryQuery(kinds=self._kinds, since_day=wanted.since, until_day=wanted.until)
        days: dict[str, int] = {}
        for record in self._replica.storage.entries(query):
            days[record.day] = days.get(record.day, 0) + 1
        windows: list[tuple[str, str]] = []
        first, count = "", 0
        for day in sorted(days):
            first = first or day
            count += days[day]
            if count >= WINDOW_ENTRIES:
                windows.append((first, day))
                first, count = "", 0
        return [*windows, (first, max(days))] if first else windows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """What is to be shown, oldest day first."""
        wanted = self._wanted
        for first, last in self.windows:
            window = self._replica.timeline(since=first, until=last, kinds=self._kinds, with_=wanted.with_)
            window.sort(key=lambda entry: (entry["day"], entry["at"]))
            for holder, shown in unpack(entry for entry in window if wanted.only in ("", entry["visibility"])):
                if wanted.kinds and shown["kind"] not in wanted.kinds and holder["kind"] not in wanted.kinds:
                    continue
                for entry in self._pruned(holder, shown):
                    self.entries += 1
                    self.private += holder["visibility"] == PRIVATE
                    yield entry

    def _pruned(self, holder: dict[str, Any], shown: dict[str, Any]) -> list[dict[str, Any]]:
        if not self._wanted.mine:
            return [shown]
        name = self._replica.name
        return own_words(shown, is_me if shown is holder else me_called(name), name=name)


def only(*, private_only: bool, shared_only: bool) -> str:
    """What two flags come to.

    Raises:
        InputError: both at once.
    """
    if private_only and shared_only:
        raise InputError("Nothing is both private and shared.", hint="Leave both away for everything.")
    return PRIVATE if private_only else SHARED if shared_only else ""
