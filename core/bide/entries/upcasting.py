"""Upcasters: what an older schema version meant, said in today's fields.

A step takes the fields that an entry of one version has and returns those of the next. Steps are chained, so each is written
once and never changed. The stored events stay as they were signed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bide.entries.records import DocumentFields

Upcaster = Callable[[DocumentFields], DocumentFields]

UPCASTERS: Mapping[tuple[str, int], Upcaster] = {}
"""(event type, version) to the step that leads to the next version. Every event type is still at its first version."""


def upcast(
    event_type: str,
    version: int,
    fields: DocumentFields,
    *,
    upcasters: Mapping[tuple[str, int], Upcaster] = UPCASTERS,
) -> DocumentFields:
    """The fields of an entry that began with `event_type` at `version`, in today's schema."""
    while (step := upcasters.get((event_type, version))) is not None:
        fields = step(fields)
        version += 1
    return fields
