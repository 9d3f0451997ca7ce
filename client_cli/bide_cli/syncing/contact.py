"""When the relay was last tried and last reached, kept for `bide status`. About the relay only, never about people."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bide.storage.base import Storage

_KEY = "last_contact"
_NOTHING: dict[str, Any] = {"tried": "", "reached": "", "ok": False, "code": "", "words": ""}


def last_contact(storage: Storage) -> dict[str, Any]:
    """``tried`` and ``reached`` (times in UTC, empty: never), ``ok``, and what went wrong: ``code``, ``words``."""
    kept = storage.meta(_KEY)
    return {**_NOTHING, **json.loads(kept)} if kept else dict(_NOTHING)


def note_contact(storage: Storage, *, code: str = "", words: str = "") -> None:
    """Note that the relay was tried just now.

    Args:
        storage: of the replica.
        code: of the error; empty: it worked.
        words: of the error.
    """
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    with storage.transaction():
        reached = last_contact(storage)["reached"] if code else now
        value = {"tried": now, "reached": reached, "ok": not code, "code": code, "words": words}
        storage.put_meta(_KEY, json.dumps(value))
