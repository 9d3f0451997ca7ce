"""A relay whose disk takes ``SLOW_S`` seconds for every commit of changes, and ``SLOW_READ_S`` to read some."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from bide.ids import SpaceId
from bide_relay.main import main
from bide_relay.storage.base import Appended, Batch, Entry, Span
from bide_relay.storage.sqlite import SqliteStorage

_append, _read = SqliteStorage.append, SqliteStorage.read


def _append_slowly(self: SqliteStorage, batches: Sequence[Batch]) -> list[Appended]:
    time.sleep(float(os.environ.get("SLOW_S", "0")))
    return _append(self, batches)


def _read_slowly(
    self: SqliteStorage, space: SpaceId, spans: Sequence[Span], *, bytes_max: int, envelopes_max: int
) -> list[Entry]:
    time.sleep(float(os.environ.get("SLOW_READ_S", "0")))
    return _read(self, space, spans, bytes_max=bytes_max, envelopes_max=envelopes_max)


if __name__ == "__main__":
    SqliteStorage.append = _append_slowly  # type: ignore[method-assign]
    SqliteStorage.read = _read_slowly  # type: ignore[method-assign]
    main()
