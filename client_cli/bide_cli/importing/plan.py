"""From what was found to keepsakes, and how that compares with what is here.

What is imported again is recognised by its id, which follows from its own id over there or, where it has none, from its time
and its words. An entry that has changed over there is left here as it is, and told of: what somebody may have replied to or
edited here is not written over, and a second copy beside it would only confuse.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bide.entries.fields import FEELINGS_MAX, LINE_CHARS_MAX, LINES_MAX, TEXT_CHARS_MAX
from bide.ids import parse_entry_id
from bide.replica.authoring.appending import Moment
from bide.replica.authoring.importing import Kept, Planned, imported_entry_id, is_anywhere, is_here, kept
from bide.storage.base import SpaceRecord
from bide_cli.exporting import originals
from bide_cli.importing.found import Found, Parsed

if TYPE_CHECKING:
    from bide.replica import Replica

_MINUTE_MS = 60_000
_TITLE_SHORT_CHARS = LINE_CHARS_MAX - 20
"""Leaves room for ``(2 of 3)``."""
_JOINERS = "\N{ZERO WIDTH JOINER}\N{VARIATION SELECTOR-16}\N{VARIATION SELECTOR-15}"


class Source(NamedTuple):
    """A kind of journal to import from."""

    name: str
    """Its key in ids and originals; never changes."""
    shown: str
    """What stands in a keepsake's ``source``."""


SOURCES = {
    "jrnl": Source("jrnl", "jrnl"),
    "dayone": Source("dayone", "Day One"),
    "daylio": Source("daylio", "Daylio"),
    "bide": Source(originals.FORMAT, originals.SOURCE),
}


class Plan(NamedTuple):
    """What an import would do."""

    groups: list[list[Planned]]
    """The keepsakes of each new entry."""
    found: int
    here: int
    """Entries of the file that are here as they are."""
    changed: int
    """Entries that are here in another version."""
    split: int
    """New entries that take more than one keepsake."""
    replaced: int
    left: int
    empty: int

    @property
    def new(self) -> int:
        """How many entries would come."""
        return len(self.groups)


def plan(replica: Replica, space: SpaceRecord, source: Source, parsed: Parsed) -> Plan:
    """Compare a file with what is in a space.

    Args:
        replica: whose journal.
        space: where to.
        source: what the file is from.
        parsed: what is in it.
    """
    seen: set[bytes] = set()
    counts: dict[bytes, int] = {}
    here = 0
    unknown: list[tuple[Found, dict[str, Any], bytes]] = []
    changed = 0
    at_home = {item.entry_id: originals.read(item.original) for item in kept(replica, space) if item.source == source.shown}
    for found in parsed.entries:
        digest = _digest(found)
        name = _name(source, found, digest, counts)
        first = imported_entry_id(space, _id_ms(found), name + b"\x001")
        seen.add(first)
        own = parse_entry_id(found.key) if source.name == originals.FORMAT else None
        if own is not None and is_anywhere(replica, own):
            here += 1  # exported from this very journal
        elif is_here(replica, space, first):
            known = at_home.get(first, {}).get("digest", digest)
            here, changed = (here + 1, changed) if known == digest else (here, changed + 1)
        else:
            unknown.append((found, {"format": source.name, "digest": digest}, name))
    orphans = _Orphans([item for item in kept(replica, space) if item.source == source.shown and item.entry_id not in seen])
    groups: list[list[Planned]] = []
    for found, label, name in unknown:
        if orphans.take(found):
            changed += 1
        else:
            groups.append(_keepsakes(space, source, found, label, name))
    return Plan(
        groups,
        len(parsed.entries),
        here,
        changed,
        sum(len(group) > 1 for group in groups),
        parsed.replaced,
        parsed.left,
        parsed.empty,
    )


class _Orphans:
    """Keepsakes of the same journal that nothing in the file matches: perhaps an entry was changed over there."""

    def __init__(self, items: Iterable[Kept]) -> None:
        self._keys: set[str] = set()
        self._minutes: dict[int, int] = {}
        for item in items:
            original = originals.read(item.original)
            if original.get("part", 1) != 1:
                continue
            if key := str(original.get("id", "")):
                self._keys.add(key)
            else:
                minute = item.at_ms // _MINUTE_MS
                self._minutes[minute] = self._minutes.get(minute, 0) + 1

    def take(self, found: Found) -> bool:
        """Whether one of them is what `found` was before; no other entry is then."""
        if found.key:
            return found.key in self._keys
        minute = found.at_ms // _MINUTE_MS
        left = self._minutes.get(minute, 0)
        self._minutes[minute] = left - 1
        return left > 0


# Telling one from another


def _id_ms(found: Found) -> int:
    return found.at_ms // _MINUTE_MS * _MINUTE_MS if not found.key else found.at_ms


def _name(source: Source, found: Found, digest: str, counts: dict[bytes, int]) -> bytes:
    """What tells an entry from all others; two that are alike in everything are told apart by their number."""
    if found.key:
        return f"{source.name}\0{found.key}".encode()
    name = f"{source.name}\0{_id_ms(found)}\0{digest}".encode()
    counts[name] = counts.get(name, 0) + 1
    return name + f"\0{counts[name]}".encode()


def _digest(found: Found) -> str:
    """Of what an entry says."""
    entry = found.extra.get("entry")
    # How far it had been sent, and what it asked of its reader that day, are no words of it.
    passing = ("delivery", "next", "later")
    said = {key: value for key, value in entry.items() if key not in passing} if entry else [found.title, found.text]
    more = [] if entry else [found.tags, found.feelings]
    text = json.dumps([said, more], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=12, person=b"bide.original").hexdigest()


# Keepsakes


def _keepsakes(space: SpaceRecord, source: Source, found: Found, label: dict[str, Any], name: bytes) -> list[Planned]:
    title, text = found.title, found.text
    if len(title) > _TITLE_SHORT_CHARS:
        title, text = "", f"{title}\n\n{text}".strip()
    texts = split(text)
    kept_as = _originals(space, found, label, parts=len(texts))
    count = max(len(texts), len(kept_as))
    at = Moment(found.at_ms, found.zone, found.day)
    planned = []
    for number in range(count):
        mark = f"({number + 1} of {count})" if count > 1 else ""
        values: dict[str, Any] = {
            "title": f"{title} {mark}".strip(),
            "text": texts[number] if number < len(texts) else "",
            "source": source.shown,
            "by_name": found.by_name[:LINE_CHARS_MAX],
            "original": originals.write(kept_as[number]) if number < len(kept_as) else "",
        }
        if number == 0:
            values |= {"feelings": list(found.feelings[:FEELINGS_MAX]), "tags": _tags(found.tags)}
        entry = imported_entry_id(space, _id_ms(found), name + b"\0" + str(number + 1).encode())
        planned.append(Planned(entry, {key: value for key, value in values.items() if value}, at))
    return planned


def _originals(space: SpaceRecord, found: Found, label: dict[str, Any], *, parts: int) -> list[dict[str, Any]]:
    """What each keepsake keeps of where it comes from. What is shared says no more than its words."""
    label = label | ({"id": found.key} if found.key else {})
    if entry := found.extra.get("entry"):
        return originals.pack(label, entry)
    if space.kind == "own":
        label |= found.extra
    return [label, *({"format": label["format"], "part": number} for number in range(2, parts + 1))]


def _tags(tags: Sequence[str]) -> list[str]:
    """As many lines as there may be: where there are more, several stand on one."""
    several = -(-len(tags) // LINES_MAX)
    lines = [", ".join(tags[at : at + several]) for at in range(0, len(tags), several)] if tags else []
    return [line[:LINE_CHARS_MAX] for line in lines]


def split(text: str, *, chars_max: int = TEXT_CHARS_MAX) -> list[str]:
    """`text` in pieces that fit, cut between paragraphs, else lines, else words, else never inside of a character."""
    pieces: list[str] = []
    while len(text) > chars_max:
        cut = next((at for mark in ("\n\n", "\n", " ") if (at := text.rfind(mark, chars_max // 2, chars_max)) > 0), 0)
        cut = cut or _between_characters(text, chars_max)
        pieces.append(text[:cut].strip())
        text = text[cut:].strip()
    return [*pieces, text] if text or not pieces else pieces


def _between_characters(text: str, at: int) -> int:
    """A place at or shortly before `at` where no character is torn from its accents or joined ones."""
    for place in range(at, max(at - 64, 1), -1):
        joined = text[place] in _JOINERS or text[place - 1] == _JOINERS[0] or unicodedata.combining(text[place])
        if not joined and unicodedata.category(text[place]) not in ("Mn", "Mc", "Me"):
            return place
    return at
