"""A relay with the safety taken out: it acknowledges first and commits later. The kill campaign must notice."""

from __future__ import annotations

from collections.abc import Sequence

from bide_relay.main import main
from bide_relay.storage.base import Appended, Batch
from bide_relay.storage.sqlite import SqliteStorage

_HELD_MAX = 8
_append = SqliteStorage.append
_held: list[Batch] = []


def _append_later(self: SqliteStorage, batches: Sequence[Batch]) -> list[Appended]:
    _held.extend(batches)
    if len(_held) > _HELD_MAX:
        _append(self, _held)
        _held.clear()
    return [Appended(len(batch.envelopes), 0, None, b"") for batch in batches]


if __name__ == "__main__":
    SqliteStorage.append = _append_later  # type: ignore[method-assign]
    main()
