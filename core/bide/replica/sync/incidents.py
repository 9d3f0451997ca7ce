"""What syncing only says in passing, kept for `bide doctor`: how often a relay did what no honest and whole one does.

One line a kind for each space, with a count and two days: it can't grow, and there is no id in it.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from bide.ids import SpaceId
from bide.storage.base import Storage

NEW_STORAGE = "new_storage"
"""The relay's storage is another one than before."""
LOST = "lost"
"""It lacks what it had confirmed: it was put back to an older state, or forgets."""
NOT_SENT = "not_sent"
"""It announced entries and did not send them."""
FALSE_RECEIPT = "false_receipt"
"""It acknowledged what it was not sent."""
NOT_GENUINE = "not_genuine"
"""It sent what its author did not sign, or what nobody could have written."""
OUT_OF_ORDER = "out_of_order"
"""It left something out, or turned the order within a log around."""
TWO_PASTS = "two_pasts"
"""It holds or sent another past of a log than this device."""
BROKE_RULES = "broke_rules"
"""It broke the protocol."""
DIFFERED = "differed"
"""Two people compared what they hold, and it was not the same."""
KINDS = (NEW_STORAGE, LOST, NOT_SENT, FALSE_RECEIPT, NOT_GENUINE, OUT_OF_ORDER, TWO_PASTS, BROKE_RULES, DIFFERED)

_COUNT_MAX = 999_999


class Incident(NamedTuple):
    """All incidents of one kind in one space."""

    kind: str
    times: int
    first_day: str
    """The person's day, ``YYYY-MM-DD``."""
    last_day: str


def note_incident(storage: Storage, space: SpaceId, kind: str, day: str) -> None:
    """Count one more. Inside a transaction."""
    assert kind in KINDS  # a constant above
    found = {incident.kind: incident for incident in incidents(storage, space)}
    before = found.get(kind, Incident(kind, 0, day, day))
    found[kind] = before._replace(times=min(before.times + 1, _COUNT_MAX), last_day=max(before.last_day, day))
    kept = {incident.kind: incident[1:] for incident in found.values()}
    storage.put_meta(_key(space), json.dumps(kept))


def incidents(storage: Storage, space: SpaceId) -> list[Incident]:
    """What was noted, in the order of `KINDS`."""
    text = storage.meta(_key(space))
    kept = json.loads(text) if text else {}
    return [Incident(kind, *kept[kind]) for kind in KINDS if kind in kept]


def _key(space: SpaceId) -> str:
    return f"incidents.{space.hex()}"
