"""A relay whose disk takes ``SLOW_S`` seconds for every commit of changes."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from bide_relay.main import main
from bide_relay.storage.base import Appended, Batch
from bide_relay.storage.sqlite import SqliteStorage

_append = SqliteStorage.append


def _append_slowly(self: SqliteStorage, batches: Sequence[Batch]) -> list[Appended]:
    time.sleep(float(os.environ["SLOW_S"]))
    return _append(self, batches)


if __name__ == "__main__":
    SqliteStorage.append = _append_slowly  # type: ignore[method-assign]
    main()
