"""Reading what a look back is made of; see `bide.projections.review`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any

from bide.entries.records import EntryRecord, Standing
from bide.ids import EntryId
from bide.projections.review import OWN_KINDS, both_answered, period_until, review
from bide.projections.timeline import View, show_entry
from bide.storage.base import EntryQuery, SpaceRecord, Storage
from bide.words.showing import CORES

_BEFORE_DAYS = {"repair": 26 * 7, "question": 26 * 7, "activity": 0}
"""A talk or a question that came to its end in a period can have begun so long before it."""
_PORTION = 512
"""What two people who write much may come to in `_PORTION_WEEKS`."""
_PORTION_WEEKS = 12
_PORTION_OF_FACTS = 64
_GROWTH = 4
_EVENTS_SETTLED = "repair.settled"


def look_back(
    storage: Storage, view: View, *, today: str, weeks: int, space: SpaceRecord | None, shared_only: bool, language: str
) -> dict[str, Any]:
    """The data of `bide.replica.Replica.review`."""
    period = period_until(today, weeks)
    came_on: dict[str, str] = {}
    in_space = EntryQuery(space_id=space.space_id if space else None)
    portions = 1 + weeks // _PORTION_WEEKS
    entries = [
        show_entry(record, (), view)
        for record in _newest(storage, in_space, since=period.first, portion=_PORTION * portions)
        if record.kind in OWN_KINDS and view.own_slots.get(record.space_id) == record.slot
    ]
    for kind, days in _BEFORE_DAYS.items():
        query = in_space._replace(kinds=(kind,))
        for record in _newest(storage, query, since=_days_before(period.first, days), portion=_PORTION_OF_FACTS * portions):
            entries += _fact(storage, record, view, came_on)
    return review(entries, period, core_of=_Cores(), came_on=came_on, shared_only=shared_only, language=language)


def _newest(storage: Storage, query: EntryQuery, *, since: str, portion: int) -> list[EntryRecord]:
    """The entries that fit a query and are of `since` or later, oldest first.

    They are asked for from the newest backwards, in growing portions: the indexes are by time, so ten years of history cost
    nothing to whoever looks back on three months.
    """
    # By time, which is not quite by day: two people can be a day apart, and each has a day of their own.
    surely_before = _days_before(since, 2)
    while True:
        records = storage.entries(query._replace(limit=portion))
        if len(records) < portion or records[0].day < surely_before:
            return [record for record in records if record.day >= since]
        portion *= _GROWTH


def _fact(storage: Storage, record: EntryRecord, view: View, came_on: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The entry as shown if it is something the two had together; notes the day on which it came about."""
    if record.kind == "repair":
        if record.state != "settled":
            return
        entry = show_entry(record, (), view)
        came_on[entry["id"]] = _settled_on(storage, record)
    elif record.kind == "question":
        answers = [reply for reply in storage.replies([record.entry_id]) if reply.space_id == record.space_id]
        entry = show_entry(record, [show_entry(answer, (), view) for answer in answers], view)
        came_on[entry["id"]] = both_answered(entry) or ""
    else:
        entry = show_entry(record, (), view)
    yield entry


def _settled_on(storage: Storage, record: EntryRecord) -> str:
    import json

    ids = [record.entry_id, *(EntryId(bytes.fromhex(other)) for other in json.loads(record.body).get("folded", ()))]
    days = [
        event.day
        for entry in ids
        for event in storage.events(record.space_id, entry)
        if event.type == _EVENTS_SETTLED and event.standing is Standing.APPLIED
    ]
    return max(days, default=record.day)


class _Cores(dict[str, str]):
    """Stored feeling to the slug of its core, looked up once each."""

    def __call__(self, stored: str) -> str:
        """The core; empty for a word that belongs to none, such as one from before there were slugs."""
        return self[stored]

    def __missing__(self, stored: str) -> str:
        before = stored.partition("/")[0]
        if before in CORES:
            self[stored] = before
        else:
            from bide.words.feelings import find_slug

            found = find_slug(stored)
            self[stored] = found.core if found is not None else ""
        return self[stored]


def _days_before(day: str, days: int) -> str:
    first = date.fromisoformat(day)
    return (first - min(timedelta(days=days), first - date.min)).isoformat()


def local_day(now_ms: int, *, zone: str, day_starts_min: int) -> str:
    """The day it is for somebody in a zone, whose days begin some minutes after midnight."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=now_ms)
    with suppress(ZoneInfoNotFoundError, ValueError):  # a zone that this machine doesn't know: by UTC
        moment = moment.astimezone(ZoneInfo(zone))
    return (moment.replace(tzinfo=None) - timedelta(minutes=day_starts_min)).date().isoformat()
